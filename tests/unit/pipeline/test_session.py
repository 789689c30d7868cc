import numpy as np
import pytest
import torch

from mask2alpha.model.config import PRESETS
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.pipeline.predictor import Predictor
from mask2alpha.pipeline.session import PREVIEW_MARGIN, Session

SIZE = (150, 200)


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    torch.manual_seed(0)
    return Predictor(Mask2Alpha(PRESETS["tiny"]), dtype=torch.float32)


@pytest.fixture
def image(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)


@pytest.fixture
def mask() -> np.ndarray:
    mask = np.zeros(SIZE, dtype=bool)
    mask[40:120, 50:130] = True
    return mask


def add_stroke(mask: np.ndarray) -> np.ndarray:
    changed = mask.copy()
    changed[60:70, 130:160] = True
    return changed


def test_a_matte_after_any_strokes_is_that_of_a_fresh_run(
    predictor: Predictor, image: np.ndarray, mask: np.ndarray
) -> None:
    session = Session(predictor, image)
    changed = add_stroke(mask)
    session.matte(mask)
    session.preview(changed, mask)
    kept, fresh = session.matte(changed), predictor.predict(image, changed)
    assert np.array_equal(kept.alpha, fresh.alpha)
    assert np.array_equal(kept.predicted_error, fresh.predicted_error)
    assert np.array_equal(session.matte(mask).alpha, predictor.predict(image, mask).alpha)


def test_a_preview_shows_what_was_touched(predictor: Predictor, image: np.ndarray, mask: np.ndarray) -> None:
    session = Session(predictor, image)
    changed = add_stroke(mask)
    preview = session.preview(changed, mask)
    margin = round(PREVIEW_MARGIN * 200)
    assert (preview.top, preview.left) == (60 - margin, 130 - margin)
    assert preview.alpha.shape == (10 + 2 * margin, 30 + 2 * margin)
    whole = session.preview(changed)
    assert whole.alpha.shape == SIZE
    assert np.allclose(preview.paste_into(whole.alpha), whole.alpha, atol=1e-6)
    soft = changed.astype(np.float32)
    assert np.array_equal(session.preview(soft, mask).alpha, preview.alpha)


def test_a_preview_is_the_coarse_matte_of_the_overview(
    predictor: Predictor, image: np.ndarray, mask: np.ndarray
) -> None:
    # the photograph is small, so the overview has its size, and only the detail stage is missing
    undetailed = Predictor(predictor.model, dtype=torch.float32, error_threshold=1.0)
    expected = undetailed.predict(image, mask).alpha
    assert np.allclose(Session(predictor, image).preview(mask).alpha, expected, atol=1e-6)


def test_nothing_touched_and_nothing_meant(predictor: Predictor, image: np.ndarray, mask: np.ndarray) -> None:
    session = Session(predictor, predictor.encode(image))
    assert session.preview(mask, mask).alpha.size == 0
    assert (session.preview(np.zeros(SIZE, bool)).alpha == 0).all()
    assert (session.preview(np.ones(SIZE, bool), mask).alpha == 1).all()
