import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mask2alpha.model.config import PRESETS
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.pipeline.matte import Matte
from mask2alpha.pipeline.predictor import Predictor
from mask2alpha.pipeline.sharing import share_alpha

SIZE = (64, 96)


def matte(alpha: NDArray[np.floating], error: NDArray[np.floating] | float = 0.1) -> Matte:
    errors = np.broadcast_to(np.float32(error), SIZE).astype(np.float32)
    return Matte(
        alpha=alpha.astype(np.float32), image=np.zeros((*SIZE, 3), np.uint8), coarse_error=errors, spanned=SIZE
    )


def soft_disc(x: float, radius: float = 20, softness: float = 8) -> NDArray[np.floating]:
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.clip((radius - np.hypot(rows - 32, columns - x)) / softness + 0.5, 0, 1)


FRONT, BEHIND = soft_disc(36), soft_disc(60)
TRUTH = (FRONT, BEHIND * (1 - FRONT))
"""What shows of each where one lies over the other, as in a composite of three layers."""
WHOLE = FRONT + TRUTH[1]


def noisy(rng: np.random.Generator, spreads: tuple[float, float]) -> list[Matte]:
    """Mattes of the two with errors of known size where they are soft."""
    made = []
    for truth, spread in zip(TRUTH, spreads, strict=True):
        is_soft = (truth > 0) & (truth < 1)
        made.append(matte(np.clip(truth + spread * is_soft * rng.standard_normal(SIZE), 0, 1), spread * is_soft))
    return made


def test_mattes_that_add_up_already_stay() -> None:
    shared = share_alpha([matte(truth) for truth in TRUTH], matte(WHOLE))
    for made, truth in zip(shared, TRUTH, strict=True):
        np.testing.assert_allclose(made.alpha, truth, rtol=0, atol=1e-6)


@pytest.mark.parametrize("spreads", [(0.2, 0.05), (0.05, 0.2), (0.1, 0.1)])
def test_shares_add_up_to_the_whole_and_come_nearer_to_the_truth(
    rng: np.random.Generator, spreads: tuple[float, float]
) -> None:
    mattes = noisy(rng, spreads)
    shared = share_alpha(mattes, matte(WHOLE))
    total = sum(made.alpha for made in shared)
    meet = (mattes[0].alpha > 0) & (mattes[1].alpha > 0)
    assert meet.sum() > 300
    np.testing.assert_allclose(total[meet], WHOLE[meet], rtol=0, atol=1e-6)
    assert (total[meet & (WHOLE == 1)] > 1 - 1e-6).all()
    errors = [
        sum(np.abs(each.alpha - truth)[meet].sum() for each, truth in zip(group, TRUTH, strict=True))
        for group in (mattes, shared)
    ]
    assert errors[1] < 0.75 * errors[0]


def test_the_surer_matte_keeps_its_alpha() -> None:
    sure, unsure = matte(FRONT, 0.0), matte(np.clip(TRUTH[1] + 0.3 * (TRUTH[1] > 0), 0, 1), 0.3)
    shared = share_alpha([sure, unsure], matte(WHOLE))
    np.testing.assert_allclose(shared[0].alpha, FRONT, rtol=0, atol=1e-5)
    meet = (FRONT > 0) & (TRUTH[1] > 0)
    np.testing.assert_allclose(shared[1].alpha[meet], TRUTH[1][meet], rtol=0, atol=1e-5)


def test_where_one_target_is_alone_nothing_changes(rng: np.random.Generator) -> None:
    mattes = noisy(rng, (0.2, 0.2))
    shared = share_alpha(mattes, matte(np.zeros(SIZE)))
    for before, after in zip(mattes, shared, strict=True):
        assert np.array_equal(after.alpha[:, :20], before.alpha[:, :20])
        assert np.array_equal(after.alpha[:, 84:], before.alpha[:, 84:])


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_any_number_of_masks_never_exceed_one(rng: np.random.Generator, count: int) -> None:
    mattes = [matte(rng.random(SIZE), rng.random(SIZE)) for _ in range(count)]
    shared = share_alpha(mattes, matte(rng.random(SIZE)))
    total = np.sum([made.alpha for made in shared], axis=0)
    assert min(made.alpha.min() for made in shared) >= 0
    assert total.max() <= 1 + 1e-6


def test_the_predictor_shares_on_request_alone(rng: np.random.Generator) -> None:
    torch.manual_seed(0)
    predictor = Predictor(Mask2Alpha(PRESETS["tiny"]), dtype=torch.float32)
    image = rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    masks = {"left": soft_disc(36) > 0.5, "right": (soft_disc(60) > 0.5) & (soft_disc(36) < 0.5)}
    apart, shared = (predictor.predict_instances(image, masks, is_exclusive=flag) for flag in (False, True))
    assert np.sum([each.alpha for each in apart], axis=0).max() > 1.01
    assert np.sum([each.alpha for each in shared], axis=0).max() <= 1 + 1e-6
    whole = predictor.predict(image, masks["left"] | masks["right"])
    expected = share_alpha(apart, whole)
    for made, wanted in zip(shared, expected, strict=True):
        np.testing.assert_allclose(made.alpha, wanted.alpha, rtol=0, atol=1e-4)
    (alone,) = predictor.predict_instances(image, [masks["left"]], is_exclusive=True)
    np.testing.assert_allclose(alone.alpha, apart[0].alpha, rtol=0, atol=1e-5)
