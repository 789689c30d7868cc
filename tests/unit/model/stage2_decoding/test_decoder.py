import torch

from mask2alpha.model.stage2_decoding.decoder import exact_sigmoid


def test_predicted_errors_are_exact_near_zero_with_and_without_gradient() -> None:
    logits = torch.tensor([-120.0, -40.0, -17.0, -9.0, 0.0, 9.0, 40.0, 120.0]).view(1, 1, 2, 4)
    expected = logits.double().sigmoid().float()
    torch.testing.assert_close(exact_sigmoid(logits), expected, rtol=1e-6, atol=1e-38)
    with torch.no_grad():
        torch.testing.assert_close(exact_sigmoid(logits), expected, rtol=1e-6, atol=1e-38)
    logits.requires_grad_()
    exact_sigmoid(logits).sum().backward()
    assert torch.isfinite(logits.grad).all()
