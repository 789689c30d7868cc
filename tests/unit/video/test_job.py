from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2")

from clips import make_clip
from fakes import FakePredictor
from mask2alpha.errors import InputError, VideoError
from mask2alpha.imaging.decode import read_image
from mask2alpha.imaging.encode import write_image
from mask2alpha.imaging.photo import Photo
from mask2alpha.ops.edges import EdgeOptions
from mask2alpha.rendering import OutputOptions
from mask2alpha.video import job as job_module
from mask2alpha.video.clips import Masks, open_clip, open_masks
from mask2alpha.video.ffmpeg import DamagedClipError
from mask2alpha.video.job import VideoJob, run

NUM_FRAMES = 11


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    for index, frame in enumerate(make_clip((48, 64), NUM_FRAMES)):
        write_image(folder / "frames" / f"shot{index + 1}.png", frame.image)  # shot2 comes before shot10
        write_image(folder / "masks" / f"shot{index + 1}.png", frame.mask)
    return folder


@pytest.fixture(autouse=True)
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_module, "SEGMENT", 4)


def make_job(folder: Path, out: Path, **settings: object) -> VideoJob:
    clip = open_clip(folder / "frames")
    values: dict[str, object] = {
        "clip": clip,
        "objects": {"": open_masks(folder / "masks", clip)},
        "targets": {("", "alpha"): out / "alpha"},
        "options": OutputOptions(),
        "is_steady": True,
        "settings": {"model": "fake"},
    }
    return VideoJob(**{**values, **settings})  # type: ignore[arg-type]


def read_all(folder: Path) -> dict[str, np.ndarray]:
    return {path.name: read_image(path).pixels[..., 0] for path in folder.iterdir()}


class StopRun(BaseException):
    pass


def stop_at(number: int) -> object:
    def on_frame(num_done: int) -> None:
        if num_done == number:
            raise StopRun

    return on_frame


@pytest.mark.parametrize("is_steady", [True, False])
def test_a_stopped_run_is_taken_up_and_gives_the_same(folder: Path, tmp_path: Path, is_steady: bool) -> None:
    run(make_job(folder, tmp_path / "whole", is_steady=is_steady), FakePredictor)
    parts = make_job(folder, tmp_path / "parts", is_steady=is_steady)
    for number in (3, 7):
        with pytest.raises(StopRun):
            run(parts, FakePredictor, on_frame=stop_at(number))  # type: ignore[arg-type]
    predictor = FakePredictor()
    report = run(parts, lambda: predictor)
    assert (report.num_resumed, report.num_matted, predictor.num_predicted) == (4, 7, 7)
    whole, taken_up = read_all(tmp_path / "whole" / "alpha"), read_all(tmp_path / "parts" / "alpha")
    assert set(whole) == {f"shot{number}.png" for number in range(1, NUM_FRAMES + 1)}
    assert all(np.array_equal(whole[name], taken_up[name]) for name in whole)
    assert not parts.work_folder.exists()


def test_a_run_with_other_settings_is_not_taken_up(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(StopRun):
        run(make_job(folder, tmp_path), FakePredictor, on_frame=stop_at(6))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="other settings"):
        run(make_job(folder, tmp_path, settings={"model": "another"}), FakePredictor)


def test_frame_by_frame_every_frame_needs_a_mask(folder: Path, tmp_path: Path) -> None:
    clip = open_clip(folder / "frames")
    masks = open_masks(folder / "masks" / "shot1.png", clip)
    with pytest.raises(InputError, match="every frame needs a mask"):
        make_job(folder, tmp_path, objects={"": masks}, is_steady=False)


def test_a_folder_of_frames_makes_no_video_file(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="how fast"):
        make_job(folder, tmp_path, targets={("", "alpha"): tmp_path / "alpha.mov"})


def test_masks_fit_by_name_or_are_refused(folder: Path, tmp_path: Path) -> None:
    clip = open_clip(folder / "frames")
    mask = np.full((48, 64), 255, np.uint8)
    for name in ("shot1", "shot5"):
        write_image(tmp_path / "some" / f"{name}.png", mask)
    assert [path is not None for path in open_masks(tmp_path / "some", clip).paths] == [
        True,
        *[False] * 3,
        True,
        *[False] * 6,
    ]
    write_image(tmp_path / "some" / "shot99.png", mask)
    with pytest.raises(InputError, match="belongs to no frame"):
        open_masks(tmp_path / "some", clip)
    write_image(tmp_path / "late" / "shot2.png", mask)
    assert open_masks(tmp_path / "late", clip).has_mask == [False, True, *[False] * 9]


@pytest.mark.parametrize("keys", [range(1, NUM_FRAMES + 1), [5]])
def test_a_region_is_matted_like_a_clip_of_its_own_and_alpha_is_0_outside(
    folder: Path, tmp_path: Path, keys: Sequence[int]
) -> None:
    region = slice(4, 40), slice(20, 60)
    for kind, numbers in (("frames", range(1, NUM_FRAMES + 1)), ("masks", keys)):
        for number in numbers:
            pixels = read_image(folder / kind / f"shot{number}.png").pixels
            write_image(tmp_path / "whole" / kind / f"shot{number}.png", pixels)
            write_image(tmp_path / "part" / kind / f"shot{number}.png", np.ascontiguousarray(pixels[region]))
    options = OutputOptions(edges=EdgeOptions(shift=3.0))
    for name, given in (("whole", {"region": region}), ("part", {})):
        targets = {("", kind): tmp_path / name / kind for kind in ("alpha", "composite")}
        run(make_job(tmp_path / name, tmp_path, targets=targets, options=options, **given), FakePredictor)
    whole, part = (read_all(tmp_path / name / "alpha") for name in ("whole", "part"))
    composites = read_all(tmp_path / "whole" / "composite")
    for name, alpha in whole.items():
        assert np.array_equal(alpha[region], part[name])
        assert part[name].any(axis=1).all()  # the target goes on above and below
        is_outside = np.ones(alpha.shape, np.bool_)
        is_outside[region] = False
        assert (alpha[is_outside] == 0).all()
        assert (composites[name][is_outside] == 255).all()


def test_a_frame_of_another_size_is_refused(folder: Path, tmp_path: Path) -> None:
    for number, size in ((1, (48, 64)), (2, (48, 62))):
        write_image(tmp_path / "frames" / f"{number}.png", np.zeros((*size, 3), np.uint8))
        write_image(tmp_path / "masks" / f"{number}.png", np.zeros(size, np.uint8))
    with pytest.raises(VideoError, match="frame 2 has 62 x 48 pixels, the first one 64 x 48"):
        run(make_job(tmp_path, tmp_path / "out"), FakePredictor)


def test_cutouts_can_keep_the_clips_colours(folder: Path, tmp_path: Path) -> None:
    job = make_job(
        folder,
        tmp_path,
        targets={("", "cutout"): tmp_path / "cutout"},
        options=OutputOptions(clean_share=0),
        is_steady=False,
    )
    run(job, FakePredictor)
    photo = read_image(tmp_path / "cutout" / "shot3.png")
    frame, mask = (read_image(folder / kind / "shot3.png").pixels for kind in ("frames", "masks"))
    assert photo.alpha is not None
    assert np.array_equal(photo.alpha, mask[..., 0])
    assert np.array_equal(photo.pixels, frame)


@pytest.mark.parametrize("is_damaged", [True, False])
def test_a_damaged_end_gives_the_frames_there_are_and_a_killed_ffmpeg_none(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_damaged: bool
) -> None:
    job = make_job(folder, tmp_path)
    whole = job.clip.frames

    def frames(start: int = 0) -> Iterator[Photo]:
        yield from list(whole())[start:6]
        raise (DamagedClipError if is_damaged else VideoError)("clip: no more")

    monkeypatch.setattr(job.clip, "frames", frames)
    if not is_damaged:
        with pytest.raises(VideoError, match="no more"):
            run(job, FakePredictor)
        monkeypatch.setattr(job.clip, "frames", whole)
        report = run(job, FakePredictor)
        assert report.num_resumed + report.num_matted == NUM_FRAMES
        assert report.notes == ()
        return
    report = run(job, FakePredictor)
    assert report.num_matted == 6
    assert report.notes == ("clip: no more", "only 6 of 11 frames can be read; the clip may be cut off or damaged")
    assert len(read_all(tmp_path / "alpha")) == 6


def test_mattes_that_were_made_before_are_rendered_alike_without_a_predictor(folder: Path, tmp_path: Path) -> None:
    run(make_job(folder, tmp_path, options=OutputOptions(bits=16)), FakePredictor)
    wanted = make_job(folder, tmp_path, targets={("", "cutout"): tmp_path / "wanted"})
    run(wanted, FakePredictor)

    def fail() -> FakePredictor:
        raise AssertionError("nothing is matted")

    clip = open_clip(folder / "frames")
    alphas = tuple(tmp_path / "alpha" / f"{name}.png" for name in clip.names)
    again = {("", "cutout"): tmp_path / "again"}
    report = run(make_job(folder, tmp_path, targets=again, objects={"": Masks()}, alphas=alphas), fail)
    assert report.num_matted == NUM_FRAMES
    for path in (tmp_path / "wanted").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()
