"""Attention for long sequences in bfloat16 on a CPU without AMX, equal to the fused kernel up to rounding."""

from functools import cache

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from mask2alpha.model.layers import Attention

QUERIES_AT_ONCE = 256
"""Number of queries whose attention weights are held in memory together."""
LONG_SEQUENCE = 256
"""From so many tokens on, matrix products are faster than the fused kernel: three times on an AMD EPYC, 785 tokens."""


class FastAttention(Attention):
    """Never holds a whole map of all tokens by all tokens."""

    def attend(
        self,
        queries: Float[Tensor, "batch heads tokens head_dim"],
        keys: Float[Tensor, "batch heads tokens head_dim"],
        values: Float[Tensor, "batch heads tokens head_dim"],
        bias: Float[Tensor, "#batch heads tokens tokens"] | None,
    ) -> Float[Tensor, "batch heads tokens head_dim"]:
        """As `Attention.attend`.

        PyTorch's fused kernel takes up to three times as long as plain matrix products over a part of the queries at a
        time, in half precision on a CPU without AMX; with AMX it takes a third.
        """
        is_half_on_cpu = queries.device.type == "cpu" and queries.dtype == torch.bfloat16
        if bias is not None or queries.shape[2] < LONG_SEQUENCE or not is_half_on_cpu or cpu_has_amx():
            return F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias)
        # a head's rows lie apart in memory; the products are faster on copies where they do not
        scaled, values = (queries * queries.shape[3] ** -0.5).contiguous(), values.contiguous()
        transposed = keys.transpose(2, 3).contiguous()
        parts = (part @ transposed for part in torch.split(scaled, QUERIES_AT_ONCE, dim=2))
        return torch.cat([part.softmax(dim=-1) @ values for part in parts], dim=2)


@cache
def cpu_has_amx() -> bool:
    """Whether this processor has Intel's matrix units, and PyTorch may use them."""
    check = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return check is not None and bool(check())
