import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("cv2")

from clips import make_clip
from fakes import FakePredictor
from mask2alpha.errors import InputError, VideoError
from mask2alpha.imaging.decode import read_image
from mask2alpha.imaging.encode import write_image
from mask2alpha.ops.masks import MaskChoice
from mask2alpha.video import clips as clips_module
from mask2alpha.video import job as job_module
from mask2alpha.video.backward import find_gaps
from mask2alpha.video.clips import AbstractClip, Masks, VideoClip, open_clip, open_masks, open_part
from mask2alpha.video.ffmpeg import Sound, VideoInfo
from mask2alpha.video.job import Report, VideoJob, run

NUM_FRAMES = 12
CLIP = list(make_clip((96, 128), NUM_FRAMES))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(job_module, "SEGMENT", 4)
    for index, frame in enumerate(CLIP):
        write_image(tmp_path / "frames" / f"{index}.png", frame.image)
    return tmp_path


def job_of(folder: Path, *keys: int, out: str = "out") -> VideoJob:
    """A job with exact masks of the frames `keys`."""
    shutil.rmtree(folder / "masks", ignore_errors=True)
    for key in keys:
        write_image(folder / "masks" / f"{key}.png", (CLIP[key].alpha > 0.5) * np.uint8(255))
    clip = open_clip(folder / "frames")
    masks = open_masks(folder / "masks", clip)
    return VideoJob(clip=clip, objects={"": masks}, targets={("", "alpha"): folder / out}, is_steady=True, settings={})


def mattes(folder: Path, out: str = "out") -> list[NDArray[np.uint8]]:
    return [read_image(folder / out / f"{index}.png").pixels[..., 0] for index in range(NUM_FRAMES)]


def overlap(made: NDArray[np.uint8], index: int) -> float:
    inside, truth = made > 127, CLIP[index].alpha > 0.5
    return float((inside & truth).sum() / (inside | truth).sum())


@pytest.mark.parametrize(
    ("keys", "gaps"),
    [
        ([0], []),
        ([0, 1, 2], []),
        ([7], [(0, 7)]),
        ([0, 2], []),
        ([0, 3], []),
        ([0, 4], []),
        ([0, 5], [(4, 5)]),
        ([60, 90], [(0, 60), (77, 90)]),
    ],
)
def test_the_frames_nearer_to_a_later_mask_are_followed_backwards(keys: list[int], gaps: list[tuple[int, int]]) -> None:
    assert find_gaps([index in keys for index in range(120)]) == gaps


def test_nothing_is_followed_where_a_video_has_all_masks() -> None:
    assert find_gaps([]) == []


def test_a_mask_in_the_middle_mattes_all_frames(folder: Path) -> None:
    report = run(job_of(folder, 6), FakePredictor)
    assert report.num_matted == NUM_FRAMES
    assert min(overlap(made, index) for index, made in enumerate(mattes(folder))) > 0.9
    assert not list(folder.glob(".*.unfinished"))


def test_a_later_mask_changes_nothing_before_the_middle(folder: Path) -> None:
    run(job_of(folder, 1, out="before"), FakePredictor)
    run(job_of(folder, 1, 9, out="after"), FakePredictor)
    same = [np.array_equal(*pair) for pair in zip(mattes(folder, "before"), mattes(folder, "after"), strict=True)]
    assert same == [True] * 6 + [False] * 6
    gain = [overlap(mattes(folder, out)[8], 8) for out in ("before", "after")]
    assert gain[1] >= gain[0]


class StoppedError(BaseException):
    pass


class Stopping(FakePredictor):
    """Is killed at its n-th matte."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def predict(self, image, mask):  # type: ignore[no-untyped-def]
        if self.num_predicted == self.number:
            raise StoppedError
        return super().predict(image, mask)


@pytest.mark.parametrize("number", [1, 4, 10, 15])
def test_a_run_that_is_stopped_anywhere_goes_on(folder: Path, number: int) -> None:
    run(job_of(folder, 3, 10, out="whole"), FakePredictor)
    job = job_of(folder, 3, 10)
    with pytest.raises(StoppedError):
        run(job, lambda: Stopping(number))
    report: Report = run(job, FakePredictor)
    assert report.num_matted + report.num_resumed == NUM_FRAMES
    assert all(np.array_equal(*pair) for pair in zip(mattes(folder), mattes(folder, "whole"), strict=True))


@pytest.mark.parametrize("mended", [(3, 8), (3, 5, 10), (3,)])
def test_masks_may_be_mended_while_a_run_is_stopped(folder: Path, mended: tuple[int, ...]) -> None:
    with pytest.raises(StoppedError):
        run(job_of(folder, 3, 10), lambda: Stopping(9))  # frames 0 to 2, 8 and 9 have been followed
    run(job_of(folder, *mended), FakePredictor)
    run(job_of(folder, *mended, out="whole"), FakePredictor)
    assert all(np.array_equal(*pair) for pair in zip(mattes(folder), mattes(folder, "whole"), strict=True))


def test_another_scene_before_the_first_mask_is_said(folder: Path, rng: np.random.Generator) -> None:
    for index in range(4):
        noise = rng.integers(0, 256, (96, 128, 3), dtype=np.uint8)
        write_image(folder / "frames" / f"{index}.png", noise)
    with pytest.raises(VideoError, match="frame 1 has no mask, and nothing comes before it; give a mask for it"):
        run(job_of(folder, 8), FakePredictor)


def open_some(folder: Path, masks: str = "masks", **frames: int | None) -> tuple[AbstractClip, Masks]:
    clip, objects = open_part(folder / "frames", folder / masks, **{"first": None, "last": None, **frames})  # type: ignore[arg-type]
    return clip, objects[""]


def test_a_part_of_a_clip_has_the_names_and_masks_of_the_whole(folder: Path) -> None:
    job_of(folder, 3, 6)
    part, masks = open_some(folder, first=5, last=9)
    assert list(part.names) == ["4", "5", "6", "7", "8"]
    assert masks.has_mask == [False, False, True, False, False]
    job = VideoJob(clip=part, objects={"": masks}, targets={("", "alpha"): folder / "out"}, is_steady=True, settings={})
    assert run(job, FakePredictor).num_matted == 5
    assert sorted(path.stem for path in (folder / "out").iterdir()) == list(part.names)
    for index in range(4, 9):
        assert overlap(read_image(folder / "out" / f"{index}.png").pixels[..., 0], index) > 0.9
    first, masks = open_some(folder, "masks/3.png", first=4)
    assert masks.has_mask == [True, *[False] * 8]
    assert len(first.names) == 9
    assert [len(part.names) for part in (open_some(folder, last=4)[0], open_some(folder)[0])] == [4, NUM_FRAMES]


@pytest.mark.parametrize(
    ("first", "last", "complaint"),
    [
        (13, None, "has frames 1 to 12, not 13 to 12"),
        (5, 4, "has frames 1 to 12, not 5 to 4"),
        (None, 99, "not 1 to 99"),
        (8, 12, "no mask for a frame from 8 to 12"),
    ],
)
def test_a_part_that_is_not_there_is_refused(folder: Path, first: int | None, last: int | None, complaint: str) -> None:
    job_of(folder, 3, 6)
    with pytest.raises(InputError, match=complaint):
        open_some(folder, first=first, last=last)


def test_a_part_of_a_video_file_reads_its_own_frames_without_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"path": Path("clip.mov"), "stream": 0, "num_frames": 50, "rate": Fraction(25), "is_rate_variable": False}
    values |= {"is_deep": False, "is_full_range": False, "matrix": "bt709", "tags": (), "pixel_shape": "1/1"}
    sound = Sound(stream=1, codec="aac")
    info = VideoInfo(**values, sounds=(sound,), start=0.5, orientation=1, timecode="01:00:00:00")  # type: ignore[arg-type]

    def read(info: VideoInfo, *, start: int) -> Iterator[NDArray[np.uint8]]:
        return (np.full((1, 1, 3), index, np.uint8) for index in range(start, 50))

    monkeypatch.setattr(clips_module, "read_frames", read)
    part = VideoClip(info).part(range(10, 20)).part(range(2, 5))
    assert list(part.names) == ["000013", "000014", "000015"]
    assert part.info is not None
    assert (part.info.sounds, part.info.timecode, part.info.start, part.info.num_frames) == ((), None, 0, 3)
    for start in (0, 1):
        assert [photo.pixels[0, 0, 0] for photo in part.frames(start)] == [12, 13, 14][start:]
    masks = Masks(video=info, choice=MaskChoice(label="13")).part(range(10, 20))  # frame 13 of the file alone has one
    found = next(iter(masks.part(range(2, 5)).frames(1)))
    assert found is not None
    assert found.all()
