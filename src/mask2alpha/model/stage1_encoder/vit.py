"""The vision transformer under the adapter: DINOv2's and BEiT's architecture, able to load their weights (paper 3.1).

Everything before the last block depends on the image alone; the last block takes one factor per key, by which the mask
steers it (see `guidance`). Tokens are [CLS], then registers, then patches in raster order.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from mask2alpha.errors import InputError
from mask2alpha.model.config import EncoderConfig
from mask2alpha.model.layers import Block, to_map, to_tokens
from mask2alpha.shapes import Size


class AbsolutePositions(nn.Module):
    """A learnt vector per place, resized to the grid at hand as DINOv2 does (with registers: antialiased)."""

    def __init__(self, dim: int, *, side: int, has_class_token: bool, is_antialiased: bool) -> None:
        super().__init__()
        self.side = side
        self.has_class_token = has_class_token
        self.is_antialiased = is_antialiased
        self.table = nn.Parameter(torch.empty(1, side * side + has_class_token, dim))
        nn.init.trunc_normal_(self.table, std=0.02)

    def forward(self, grid: Size) -> Float[Tensor, "1 tokens dim"]:
        """One vector per token of `grid` = (rows, columns), that of [CLS] in front if there is one."""
        return self.table if grid == (self.side, self.side) else self.resize(grid)

    def resize(self, grid: Size) -> Float[Tensor, "1 tokens dim"]:
        """As `forward`, without its shortcut."""
        extra = int(self.has_class_token)
        places = to_map(self.table[:, extra:], (self.side, self.side))
        # Bicubic weights in half precision would shift the positions.
        resized = F.interpolate(
            _at_least_float32(places), size=grid, mode="bicubic", align_corners=False, antialias=self.is_antialiased
        )
        return torch.cat([self.table[:, :extra], to_tokens(resized.to(self.table.dtype))], dim=1)


class RelativePositionBias(nn.Module):
    """BEiT's bias on the attention scores: one number per head and displacement between two patches.

    The table holds (2 side - 1)^2 displacements, then [CLS] to patch, patch to [CLS], [CLS] to [CLS]. For another grid
    it is resized bilinearly, as `transformers` does. The bias of a grid is a view of sliding windows over the resized
    table, so no index is built and nothing is remembered between calls; the N x N result is the caller's to free.
    """

    def __init__(self, num_heads: int, *, side: int) -> None:
        super().__init__()
        self.side = side
        self.table = nn.Parameter(torch.zeros((2 * side - 1) ** 2 + 3, num_heads))

    def forward(self, grid: Size) -> Float[Tensor, "1 heads tokens tokens"]:
        """The bias between all tokens of `grid` = (rows, columns) and [CLS], the looking token (query) first."""
        rows, columns = grid
        table = self.table.t()  # (heads, displacements)
        heads = table.shape[0]
        displacements = table[:, :-3].reshape(heads, 2 * self.side - 1, 2 * self.side - 1)
        if grid != (self.side, self.side):
            size = (2 * rows - 1, 2 * columns - 1)
            exact = _at_least_float32(displacements.unsqueeze(0))
            resized = F.interpolate(exact, size=size, mode="bilinear", align_corners=False)
            displacements = resized.squeeze(0).to(table.dtype)
        # Entry (y, x, i, j) of the windows is displacement (y + i, x + j); a key at (v, u) has i = rows - 1 - v.
        windows = displacements.unfold(1, rows, 1).unfold(2, columns, 1).flip(3, 4)
        patches = rows * columns
        between_patches = windows.reshape(heads, patches, patches)
        class_to_patch = table[:, -3].view(heads, 1, 1).expand(heads, 1, patches)
        to_class = torch.cat(
            [table[:, -1].view(heads, 1, 1), table[:, -2].view(heads, 1, 1).expand(heads, patches, 1)], dim=1
        )
        return torch.cat([to_class, torch.cat([class_to_patch, between_patches], dim=1)], dim=2).unsqueeze(0)


class VisionTransformer(nn.Module):
    """A plain ViT in three parts: embedding, the blocks before the last, the last block.

    Raises:
        InputError: The configuration asks for convolutional positions, which only the small encoder has, or for
            relative positions without [CLS] or with registers, which no published model has.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        if config.positions == "conv":
            raise InputError("positions of a vision transformer must be 'absolute' or 'relative'; got 'conv'")
        is_relative = config.positions == "relative"
        if is_relative and (not config.has_class_token or config.num_register_tokens):
            raise InputError("relative positions need has_class_token=True and num_register_tokens=0")
        dim, side = config.embed_dim, config.position_grid
        self.patch_size = config.patch_size
        self.num_extra_tokens = int(config.has_class_token) + config.num_register_tokens
        self.patch_embedding = nn.Conv2d(3, dim, config.patch_size, stride=config.patch_size)
        self.class_token = _learnt_tokens(int(config.has_class_token), dim)
        self.register_tokens = _learnt_tokens(config.num_register_tokens, dim)
        self.positions: AbsolutePositions | None = None
        self.position_biases: nn.ModuleList | None = None
        if is_relative:
            biases = (RelativePositionBias(config.num_heads, side=side) for _ in range(config.depth))
            self.position_biases = nn.ModuleList(biases)
        else:
            self.positions = AbsolutePositions(
                dim,
                side=side,
                has_class_token=config.has_class_token,
                is_antialiased=config.num_register_tokens > 0,
            )
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.final_norm = nn.LayerNorm(dim, eps=config.layer_norm_eps) if config.has_final_norm else nn.Identity()

    def embed(self, image: Float[Tensor, "batch 3 _height _width"]) -> Float[Tensor, "batch tokens dim"]:
        """The tokens before the first block.

        Args:
            image: Normalised colours; sides are multiples of the patch size.

        Returns:
            [CLS] and registers where the model has them, then one token per patch, with absolute positions added.
        """
        patches = self.patch_embedding(image)
        grid = (patches.shape[2], patches.shape[3])
        tokens = to_tokens(patches)
        if self.class_token is not None:
            tokens = torch.cat([self.class_token.expand(len(tokens), -1, -1).to(tokens.dtype), tokens], dim=1)
        if self.positions is not None:
            tokens = tokens + self.positions(grid)
        if self.register_tokens is not None:  # they have no position
            registers = self.register_tokens.expand(len(tokens), -1, -1).to(tokens.dtype)
            first = int(self.class_token is not None)
            tokens = torch.cat([tokens[:, :first], registers, tokens[:, first:]], dim=1)
        return tokens

    def run_blocks(
        self, tokens: Float[Tensor, "batch tokens dim"], grid: Size, start: int, stop: int
    ) -> Float[Tensor, "batch tokens dim"]:
        """Run the blocks `start` to `stop` (exclusive) on tokens whose patches stand on `grid` = (rows, columns)."""
        for index in range(start, stop):
            tokens = self.blocks[index](tokens, position_bias=self._position_bias(index, grid))
        return tokens

    def run_last_block(
        self,
        tokens: Float[Tensor, "batch tokens dim"],
        grid: Size,
        key_scale: Float[Tensor, "batch tokens"] | None = None,
    ) -> Float[Tensor, "batch tokens dim"]:
        """Run the last block, without the final norm.

        Args:
            tokens: The output of all other blocks.
            grid: (rows, columns) of the patch tokens.
            key_scale: The factor on each token's key (MGFSM); none is the published block.

        Returns:
            The tokens before `final_norm`.
        """
        block, position_bias = self.last_block(grid)
        guided: Tensor = block(tokens, position_bias=position_bias, key_scale=key_scale)
        return guided

    def last_block(self, grid: Size) -> tuple[Block, Float[Tensor, "1 heads tokens tokens"] | None]:
        """The last block, and its position bias for patches on `grid` = (rows, columns)."""
        block = self.blocks[-1]
        assert isinstance(block, Block)
        return block, self._position_bias(-1, grid)

    def _position_bias(self, index: int, grid: Size) -> Tensor | None:
        return None if self.position_biases is None else self.position_biases[index](grid)


def _learnt_tokens(count: int, dim: int) -> nn.Parameter | None:
    return nn.Parameter(torch.empty(1, count, dim).normal_(std=0.02)) if count else None


def _at_least_float32(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
