"""Building blocks shared by the stages: convolutions with batch norm, and transformer blocks."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from mask2alpha.model.config import EncoderConfig

QUERIES_AT_ONCE = 256
"""Number of queries whose attention weights `Attention.received` holds in memory together."""


class ConvBlock(nn.Module):
    """3x3 (or 1x1) convolution, batch norm, ReLU."""

    def __init__(
        self, in_channels: int, out_channels: int, *, kernel_size: int = 3, stride: int = 1, has_relu: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride=stride, padding=kernel_size // 2, bias=False
        )
        self.norm: nn.BatchNorm2d | nn.Identity = nn.BatchNorm2d(out_channels)
        self.has_relu = has_relu

    def forward(self, x: Float[Tensor, "batch _in height width"]) -> Float[Tensor, "batch _out _h _w"]:
        """Convolve, normalise, rectify."""
        x = self.norm(self.conv(x))
        return F.relu(x, inplace=True) if self.has_relu else x


class MixBlock(ConvBlock):
    """A `ConvBlock` on two maps, joined along the channels."""

    def __init__(self, channels: int, channels_beside: int, out_channels: int) -> None:
        super().__init__(channels + channels_beside, out_channels)
        self.channels = channels

    def forward(  # type: ignore[override]
        self, x: Float[Tensor, "batch _channels height width"], beside: Float[Tensor, "batch _beside height width"]
    ) -> Float[Tensor, "batch _out height width"]:
        """Join the maps, convolve, normalise, rectify."""
        return super().forward(torch.cat([x, beside], dim=1))


class SumConv(nn.Conv2d):
    """A convolution whose result is added to a given map."""

    def forward(  # type: ignore[override]
        self, x: Float[Tensor, "batch _in height width"], added: Float[Tensor, "batch _out height width"]
    ) -> Float[Tensor, "batch _out height width"]:
        """Convolve and add."""
        return super().forward(x).add_(added)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around an identity; the second norm starts at zero, so the block starts as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvBlock(channels, channels)
        self.second = ConvBlock(channels, channels, has_relu=False)
        assert isinstance(self.second.norm, nn.BatchNorm2d)
        nn.init.zeros_(self.second.norm.weight)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
        """Add the correction and rectify."""
        correction: Tensor = self.second(self.first(x))
        return correction.add_(x).relu_()


class LayerScale(nn.Module):
    """A learnt factor per channel on a residual branch; small at first, so that tokens keep what they stand for."""

    def __init__(self, dim: int, *, initial: float = 0.1) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((dim,), initial))

    def forward(self, x: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch tokens dim"]:
        """Scale every channel."""
        return x * self.scale


class Attention(nn.Module):
    """Multi-head self-attention whose keys can be weighed one by one.

    Weighing keys is all that the mask-guided module of the paper needs (section 3.1): one factor per key in front of
    ``Q K^T`` is the key itself times that factor, so the fused attention kernel stays usable and no N x N map is kept.
    """

    def __init__(self, dim: int, num_heads: int, *, has_key_bias: bool = True) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim, bias=has_key_bias)
        self.value = nn.Linear(dim, dim)
        self.projection = nn.Linear(dim, dim)

    def forward(
        self,
        x: Float[Tensor, "batch tokens dim"],
        *,
        position_bias: Float[Tensor, "#batch heads tokens tokens"] | None = None,
        key_scale: Float[Tensor, "batch tokens"] | None = None,
    ) -> Float[Tensor, "batch tokens dim"]:
        """Attend.

        Args:
            x: Normalised tokens.
            position_bias: Added to the scaled scores, after the key scaling (BEiT's relative positions).
            key_scale: Factor on each token's key.

        Returns:
            The attended and projected tokens.
        """
        batch, tokens, dim = x.shape
        queries, keys = self._project(x, key_scale)
        values = self.value(x).view(batch, tokens, self.num_heads, -1).transpose(1, 2)
        bias = None if position_bias is None else position_bias.to(queries.dtype)
        attended = self.attend(queries, keys, values, bias)
        projected: Tensor = self.projection(attended.transpose(1, 2).reshape(batch, tokens, dim))
        return projected

    def attend(
        self,
        queries: Float[Tensor, "batch heads tokens head_dim"],
        keys: Float[Tensor, "batch heads tokens head_dim"],
        values: Float[Tensor, "batch heads tokens head_dim"],
        bias: Float[Tensor, "#batch heads tokens tokens"] | None,
    ) -> Float[Tensor, "batch heads tokens head_dim"]:
        """Scaled dot-product attention, without a map of all tokens by all tokens."""
        return F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias)

    @torch.no_grad()
    def received(
        self,
        x: Float[Tensor, "batch tokens dim"],
        *,
        position_bias: Float[Tensor, "#batch heads tokens tokens"] | None = None,
        key_scale: Float[Tensor, "batch tokens"] | None = None,
        num_extra_tokens: int = 0,
    ) -> Float[Tensor, "batch tokens"]:
        """How much attention each token receives: its weight, averaged over the heads and the patches' queries.

        The weights are computed for `QUERIES_AT_ONCE` queries at a time, so no N x N map is kept.

        Args:
            x: As for `forward`.
            position_bias: As for `forward`.
            key_scale: As for `forward`.
            num_extra_tokens: Tokens in front of the patches; they receive attention, but are not counted as queries.

        Returns:
            At least float32; sums to 1 over the tokens.
        """
        tokens = x.shape[1]
        queries, keys = self._project(x, key_scale)
        dtype = torch.promote_types(queries.dtype, torch.float32)
        queries, keys = queries.to(dtype) / queries.shape[-1] ** 0.5, keys.to(dtype).transpose(2, 3)
        received: Tensor = queries.new_zeros(x.shape[0], tokens)
        for start in range(num_extra_tokens, tokens, QUERIES_AT_ONCE):
            looking = slice(start, start + QUERIES_AT_ONCE)
            scores = queries[:, :, looking] @ keys
            if position_bias is not None:
                scores = scores + position_bias[:, :, looking]
            received += scores.softmax(dim=-1).sum(dim=(1, 2))
        return received / (self.num_heads * (tokens - num_extra_tokens))

    def _project(self, x: Tensor, key_scale: Tensor | None) -> tuple[Tensor, Tensor]:
        """Queries and scaled keys, (B, heads, N, D/heads)."""
        batch, tokens, dim = x.shape
        shape = (batch, tokens, self.num_heads, dim // self.num_heads)
        key = self.key(x)
        if key_scale is not None:
            key = key * key_scale.unsqueeze(-1).to(key.dtype)
        return self.query(x).view(shape).transpose(1, 2), key.view(shape).transpose(1, 2)


class Mlp(nn.Module):
    """Two linear layers with GELU between."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.expand = nn.Linear(dim, hidden)
        self.contract = nn.Linear(hidden, dim)

    def forward(self, x: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch tokens dim"]:
        """Expand, activate, contract."""
        contracted: Tensor = self.contract(F.gelu(self.expand(x)))
        return contracted


class Block(nn.Module):
    """A pre-norm transformer block, optionally with LayerScale."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        dim, eps = config.embed_dim, config.layer_norm_eps
        self.norm1 = nn.LayerNorm(dim, eps=eps)
        self.attention = Attention(dim, config.num_heads, has_key_bias=config.has_key_bias)
        self.scale1 = LayerScale(dim) if config.layer_scale else nn.Identity()
        self.norm2 = nn.LayerNorm(dim, eps=eps)
        self.mlp = Mlp(dim, int(dim * config.mlp_ratio))
        self.scale2 = LayerScale(dim) if config.layer_scale else nn.Identity()

    def forward(
        self,
        x: Float[Tensor, "batch tokens dim"],
        *,
        position_bias: Float[Tensor, "#batch heads tokens tokens"] | None = None,
        key_scale: Float[Tensor, "batch tokens"] | None = None,
    ) -> Float[Tensor, "batch tokens dim"]:
        """Attention, then the MLP, each added to its input; arguments as in `Attention.forward`."""
        x = x + self.scale1(self.attention(self.norm1(x), position_bias=position_bias, key_scale=key_scale))
        x = x + self.scale2(self.mlp(self.norm2(x)))
        return x


def to_tokens(feature_map: Float[Tensor, "batch dim h w"]) -> Float[Tensor, "batch tokens dim"]:
    """A feature map as tokens in raster order."""
    return feature_map.flatten(2).transpose(1, 2)


def to_map(tokens: Float[Tensor, "batch tokens dim"], grid: tuple[int, int]) -> Float[Tensor, "batch dim h w"]:
    """Tokens in raster order as a feature map of `grid` = (rows, columns)."""
    return tokens.transpose(1, 2).reshape(tokens.shape[0], tokens.shape[2], *grid)
