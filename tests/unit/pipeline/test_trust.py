import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mask2alpha.errors import InputError
from mask2alpha.model.config import PRESETS
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.model.values import RunOptions
from mask2alpha.pipeline.predictor import Predictor
from mask2alpha.pipeline.trust import MOST_CORRECTIONS, WIDEST_REACH, find_decided, with_trust

ndimage = pytest.importorskip("scipy.ndimage")
SIZE = (150, 210)


def disc(radius: float = 50) -> NDArray[np.bool_]:
    return np.asarray(np.hypot(*np.mgrid[-75:75, -105:105]) < radius)


def border_distance(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """How far the next pixel of the other side is, in rows or columns."""
    inside, outside = (ndimage.distance_transform_cdt(part, "chessboard") for part in (mask, ~mask))
    return np.asarray(inside + outside)


@pytest.mark.parametrize("trust", [0.51, 0.6, 0.75, 0.9, 1.0])
@pytest.mark.parametrize("kind", ["bool", "uint8", "soft"])
def test_far_from_its_border_a_trusted_mask_decides(trust: float, kind: str) -> None:
    mask = disc()
    soft = ndimage.gaussian_filter(mask.astype(np.float32), 0.7)
    given = {"bool": mask, "uint8": mask * np.uint8(255), "soft": np.where(soft > 0.5, soft, soft)}[kind]
    decided = find_decided(torch.from_numpy(np.ascontiguousarray(given))[None, None], trust)
    assert decided is not None
    distance = border_distance(np.asarray(given > (127 if kind == "uint8" else 0.5)))
    reach = (WIDEST_REACH * math.sqrt(mask.sum())) ** (2 * (1 - trust))
    assert not decided[0, 0].numpy()[distance <= reach].any()
    assert decided[0, 0].numpy()[distance > 1.6 * reach + 1].all()


def test_at_full_trust_alpha_differs_from_the_mask_within_a_pixel_alone(rng: np.random.Generator) -> None:
    torch.manual_seed(0)
    model, image = Mask2Alpha(PRESETS["tiny"]), rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    mask = disc()
    plain, default, full = (
        Predictor(model, dtype=torch.float32, **given).predict(image, mask).alpha
        for given in ({}, {"trust": 0.5}, {"trust": 1})
    )
    assert np.array_equal(default, plain)
    is_near = border_distance(mask) <= 1
    assert np.array_equal(full[~is_near], mask[~is_near])
    assert np.abs(full - mask)[is_near].mean() > 0.1


def test_the_default_changes_nothing_and_the_rest_corrects_more_often_or_never() -> None:
    mask = torch.from_numpy(disc())[None, None]
    given = RunOptions(num_steps=2, num_corrections=2)
    for trust in (0.0, 0.2, 0.4, 0.5):
        assert find_decided(mask, trust) is None
    assert with_trust(given, 0.5) is given
    for trust in (0.6, 1.0):
        assert with_trust(given, trust) == RunOptions(trust=trust, num_steps=2, num_corrections=0)
        assert with_trust(RunOptions(), trust) == RunOptions(trust=trust, num_steps=1, num_corrections=0)
    assert with_trust(given, 0.4) == RunOptions(trust=0.4, num_steps=2, num_corrections=MOST_CORRECTIONS)
    rebuilt = RunOptions(trust=0.2, num_steps=2, num_corrections=MOST_CORRECTIONS, rebuilds_mask=True)
    assert with_trust(given, 0.2) == rebuilt


@pytest.mark.parametrize("trust", [-0.1, 1.5, math.nan])
def test_a_trust_outside_of_its_range_is_refused(trust: float) -> None:
    with pytest.raises(InputError, match=r"trust must be in \[0, 1\]; got"):
        Predictor(Mask2Alpha(PRESETS["tiny"]), trust=trust)


def test_the_command_and_batches_hand_it_on(tmp_path: Path) -> None:
    from mask2alpha.batch import worker as batch_worker
    from mask2alpha.checkpoints import save_model
    from mask2alpha.cli.matte import build_predictor

    torch.manual_seed(0)
    path = save_model(Mask2Alpha(PRESETS["tiny"]), tmp_path, {})
    by_command = build_predictor(str(path), dtype=None, trust=0.2)
    settings = batch_worker.WorkerSettings(base="", out="", model=str(path), trust=0.2)
    for predictor in (by_command, batch_worker.build_predictor(settings)):
        assert isinstance(predictor, Predictor)
        assert predictor.trust == 0.2


def test_a_job_of_the_service_has_its_own(tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    from mask2alpha.serving.job_runner import configure
    from mask2alpha.serving.jobs import MatteJob, Target

    predictor = Predictor(Mask2Alpha(PRESETS["tiny"]))
    job = MatteJob(photo=tmp_path, targets=[Target(mask=0)], folder=tmp_path)
    configured = [configure(predictor, job.model_copy(update={"trust": trust})) for trust in (None, 0.9)]
    assert [each.trust for each in (predictor, *configured) if isinstance(each, Predictor)] == [0.5, 0.5, 0.9]
    with pytest.raises(ValueError, match="trust"):
        MatteJob(photo=tmp_path, targets=[Target(mask=0)], folder=tmp_path, trust=2)
