import pytest
import torch
from torch.autograd import gradcheck

from mask2alpha.training import losses


def test_unknown_region_is_a_band_around_soft_and_changing_alpha() -> None:
    alpha = torch.zeros(1, 1, 1, 12)
    alpha[..., 6:] = 1
    assert losses.unknown_region(alpha, radius=2).flatten().tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0]


def test_constant_alpha_has_no_unknown_region_and_no_regional_error() -> None:
    alpha = torch.full((2, 1, 8, 8), 0.4)
    region = losses.unknown_region(alpha, radius=3)
    assert region.sum() == 0
    assert losses.regional_error(alpha, alpha + 0.1, region) == 0


def test_regional_error_averages_inside_the_region_only() -> None:
    truth = torch.zeros(1, 1, 1, 4)
    alpha = torch.tensor([0.2, 0.4, 0.9, 0.9]).view(1, 1, 1, 4)
    region = torch.tensor([1.0, 1.0, 0.0, 0.0]).view(1, 1, 1, 4)
    assert losses.regional_error(alpha, truth, region).item() == pytest.approx(0.3)


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_cross_entropy_of_a_perfect_prediction_is_zero(value: float) -> None:
    truth = torch.full((1, 1, 4, 4), value)
    assert losses.cross_entropy(torch.logit(truth, eps=1e-7), truth).item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(
    "loss", [losses.absolute_error, losses.laplacian, losses.gradient], ids=["l1", "laplacian", "gradient"]
)
def test_losses_vanish_only_at_the_truth_and_differentiate(loss: object) -> None:
    assert callable(loss)
    truth = torch.rand(1, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert loss(truth, truth) == 0
    alpha = torch.rand(truth.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    assert loss(alpha, truth) > 0
    assert gradcheck(lambda given: loss(given, truth), (alpha,))


def test_gradient_by_hand() -> None:
    alpha = torch.tensor([[0.0, 0.0], [0.0, 1.0]]).view(1, 1, 2, 2)
    assert losses.gradient(alpha, torch.zeros_like(alpha)).item() == pytest.approx(1.0)  # (0 + 1) / 2, twice


def test_laplacian_of_a_constant_offset_is_zero() -> None:
    truth = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    assert losses.laplacian(truth + 0.25, truth).item() == pytest.approx(0, abs=1e-5)


def test_predicted_error_loss_does_not_teach_alpha() -> None:
    alpha = torch.rand(1, 1, 4, 4, requires_grad=True)
    predicted_error = torch.rand(1, 1, 4, 4, requires_grad=True)
    losses.predicted_error_loss(predicted_error, alpha, torch.zeros(1, 1, 4, 4)).backward()
    assert predicted_error.grad is not None
    assert alpha.grad is None


def test_predicted_error_loss_is_the_papers_l1_at_the_median() -> None:
    alpha, truth = torch.rand(1, 1, 4, 4), torch.rand(1, 1, 4, 4)
    predicted_error = torch.rand(1, 1, 4, 4)
    expected = (predicted_error - (alpha - truth).abs()).abs().mean()
    torch.testing.assert_close(losses.predicted_error_loss(predicted_error, alpha, truth), expected)


def test_a_high_quantile_punishes_too_low_a_predicted_error_more() -> None:
    alpha, truth = torch.full((1, 1, 1, 1), 0.5), torch.zeros(1, 1, 1, 1)
    low, high = torch.full_like(alpha, 0.4), torch.full_like(alpha, 0.6)
    assert losses.predicted_error_loss(low, alpha, truth, quantile=0.75).item() == pytest.approx(0.15)
    assert losses.predicted_error_loss(high, alpha, truth, quantile=0.75).item() == pytest.approx(0.05)


def test_a_term_without_a_weight_is_an_error() -> None:
    with pytest.raises(KeyError):
        losses.weighted_sum({"l1": torch.tensor(1.0)}, {})
