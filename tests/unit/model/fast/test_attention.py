import pytest
import torch
import torch.nn.functional as F

from mask2alpha.model.fast import attention


@torch.inference_mode()
def test_long_sequences_in_half_precision_equal_the_fused_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "LONG_SEQUENCE", 30)
    monkeypatch.setattr(attention, "QUERIES_AT_ONCE", 7)
    monkeypatch.setattr(attention, "cpu_has_amx", lambda: False)
    attend = attention.FastAttention(24, 3).attend
    queries, keys, values = (torch.randn(2, 3, 30, 8) for _ in range(3))
    expected = F.scaled_dot_product_attention(queries, keys, values)
    halves = [x.to(torch.bfloat16) for x in (queries, keys, values)]
    attended = attend(halves[0], halves[1], halves[2], None)
    assert attended.dtype == torch.bfloat16
    torch.testing.assert_close(attended.float(), expected, rtol=0.03, atol=0.03)
    assert torch.equal(attend(queries, keys, values, None), expected)
