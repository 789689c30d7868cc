"""Clips of several objects: a folder of masks for each, or maps of labels."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

pytest.importorskip("cv2")

from clips import make_clip
from fakes import FakePredictor
from mask2alpha.cli.video import plan_targets
from mask2alpha.errors import InputError, VideoError
from mask2alpha.imaging.decode import read_image
from mask2alpha.imaging.encode import write_image
from mask2alpha.video import job as job_module
from mask2alpha.video.clips import open_part
from mask2alpha.video.job import VideoJob, run

NUM_FRAMES = 10
SIZE = (96, 128)
CLIP = list(make_clip(SIZE, NUM_FRAMES))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(job_module, "SEGMENT", 4)
    for index, frame in enumerate(CLIP):
        write_image(tmp_path / "frames" / f"{index}.png", frame.image)
    return tmp_path


def halves(index: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The left and the right half of the target."""
    inside, columns = CLIP[index].alpha > 0.5, np.arange(SIZE[1])
    return inside & (columns < 64), inside & (columns >= 64)


def write_mask(path: Path, mask: NDArray[np.bool_]) -> None:
    write_image(path, mask * np.uint8(255))


def write_labels(path: Path, labels: NDArray[np.uint8]) -> None:
    """As annotation tools of clips do: indices of a palette."""
    path.parent.mkdir(exist_ok=True)
    picture = Image.fromarray(labels, "P")
    picture.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0])
    picture.save(path)


def job_of(folder: Path, out: str = "out", kinds: tuple[str, ...] = ("alpha",), **options: object) -> VideoJob:
    chosen = {"first": None, "last": None, "objects": options.pop("objects", None)}
    clip, objects = open_part(folder / "frames", folder / "masks", **chosen)  # type: ignore[arg-type]
    values = {"is_steady": True, "settings": {}, "targets": plan_targets(folder / out, kinds, "png", list(objects))}
    return VideoJob(clip=clip, objects=objects, **(values | options))  # type: ignore[arg-type]


def mattes(folder: Path, name: str, out: str = "out") -> list[NDArray[np.uint8]]:
    return [read_image(folder / out / name / "alpha" / f"{index}.png").pixels[..., 0] for index in range(NUM_FRAMES)]


def test_each_object_is_followed_from_its_own_masks_as_if_it_were_alone(folder: Path) -> None:
    for number, (name, keys) in enumerate({"left": (3, 8), "right": (0,)}.items()):
        for key in keys:
            write_mask(folder / "masks" / name / f"{key}.png", halves(key)[number])
    predictor = FakePredictor()
    report = run(job_of(folder), lambda: predictor)
    assert (report.num_matted, report.warnings) == (NUM_FRAMES, ())
    assert predictor.num_encoded == NUM_FRAMES + 4 + 2  # once per frame, and per frame followed backwards with its key
    for name in ("left", "right"):
        shutil.copytree(folder / "masks" / name, folder / f"alone-{name}" / "masks")
        shutil.copytree(folder / "frames", folder / f"alone-{name}" / "frames")
        run(job_of(folder / f"alone-{name}"), FakePredictor)
        alone = mattes(folder / f"alone-{name}", "")
        assert all(np.array_equal(*pair) for pair in zip(mattes(folder, name), alone, strict=True))


@pytest.mark.parametrize("objects", ["all", "left=1,right=3"])
def test_indexed_masks_give_an_object_per_label(folder: Path, objects: str) -> None:
    for index in range(NUM_FRAMES):
        left, right = halves(index)
        write_labels(folder / "masks" / f"{index}.png", (left + 3 * right * (index > 4)).astype(np.uint8))
    run(job_of(folder, objects=objects, is_steady=False), FakePredictor)
    names = ("1", "3") if objects == "all" else ("left", "right")
    assert sorted(path.name for path in (folder / "out").iterdir()) == sorted(names)
    for index in range(NUM_FRAMES):
        left, right = halves(index)
        assert np.array_equal(mattes(folder, names[0])[index], 255 * left)
        assert np.array_equal(mattes(folder, names[1])[index], 255 * (right & (index > 4)))


def test_an_object_that_no_mask_shows_yet_is_not_lost(folder: Path) -> None:
    write_labels(folder / "masks" / "0.png", halves(0)[0].astype(np.uint8))
    write_labels(folder / "masks" / "8.png", (halves(8)[0] + 2 * halves(8)[1]).astype(np.uint8))
    report = run(job_of(folder, objects="all"), FakePredictor)
    assert report.warnings == ()
    there = [bool(made.any()) for made in mattes(folder, "2")]
    assert there == [False] * 5 + [True] * 5  # from the middle on, it is followed back


def test_mattes_that_share_the_frame_add_up_to_at_most_one(folder: Path) -> None:
    for index in range(NUM_FRAMES):
        left, right = halves(index)
        grown = [np.roll(left, 6, axis=1) | left, np.roll(right, -6, axis=1) | right]
        for name, mask in zip(("left", "right"), grown, strict=True):
            write_mask(folder / "masks" / name / f"{index}.png", mask)
    for out, is_exclusive in (("out", True), ("free", False)):
        run(job_of(folder, out, is_exclusive=is_exclusive), FakePredictor)
    sums = [sum(mattes(folder, name, out)[5].astype(int) for name in ("left", "right")) for out in ("out", "free")]
    assert sums[0].max() <= 256  # each is rounded to 8 bits
    assert sums[1].max() > 400


class StoppedError(BaseException):
    pass


@pytest.mark.parametrize("number", [2, 9, 17, 27])
def test_a_stopped_run_of_several_objects_goes_on(folder: Path, number: int) -> None:
    for side, (name, key) in enumerate({"left": 4, "right": 7}.items()):
        write_mask(folder / "masks" / name / f"{key}.png", halves(key)[side])
    run(job_of(folder, "whole"), FakePredictor)

    class Stopping(FakePredictor):
        def predict(self, image, mask):  # type: ignore[no-untyped-def]
            if self.num_predicted == number:
                raise StoppedError
            return super().predict(image, mask)

    with pytest.raises(StoppedError):
        run(job_of(folder), Stopping)
    run(job_of(folder), FakePredictor)
    for name in ("left", "right"):
        assert all(
            np.array_equal(*pair) for pair in zip(mattes(folder, name), mattes(folder, name, "whole"), strict=True)
        )
    assert not list(folder.glob("**/.*.unfinished"))


def test_one_file_of_passes_has_a_layer_per_object(folder: Path) -> None:
    OpenEXR = pytest.importorskip("OpenEXR")  # noqa: N806
    for name, mask in zip(("left", "right"), halves(0), strict=True):
        write_mask(folder / "masks" / name / "0.png", mask)
    run(job_of(folder, kinds=("passes", "alpha")), FakePredictor)
    with OpenEXR.File(str(folder / "out" / "passes" / "0.exr"), separate_channels=True) as file:
        planes = {name: channel.pixels for name, channel in file.channels().items()}
    colours = [f"{layer}.{each}" for layer in ("photo", "foreground.left", "foreground.right") for each in "RGB"]
    singles = ["alpha.left.A", "alpha.right.A", "error.left.Y", "error.right.Y"]
    assert sorted(planes) == sorted([*"RGBA", *colours, *singles])
    for name in ("left", "right"):
        made = np.rint(255 * planes[f"alpha.{name}.A"].astype(np.float32))
        assert np.abs(made - mattes(folder, name)[0]).max() <= 1
    whole = planes["alpha.left.A"].astype(np.float32) + planes["alpha.right.A"]
    assert np.abs(planes["A"] - whole.clip(0, 1)).max() < 1e-3
    photo = np.stack([planes[f"photo.{each}"] for each in "RGB"], axis=2)
    solid = whole == 1
    assert np.array_equal(np.stack([planes[each] for each in "RGB"], axis=2)[solid], photo[solid])


@pytest.mark.parametrize(
    ("objects", "complaint"),
    [
        ("4", "no mask has the label '4'; they have 1, 2"),
        ("a=1,a=2", "two objects have the name 'a'"),
        ("a.b=1", "'a.b' is not a name of an object"),
    ],
)
def test_objects_that_are_not_there_or_have_no_name_are_refused(folder: Path, objects: str, complaint: str) -> None:
    left, right = halves(0)
    write_labels(folder / "masks" / "0.png", (left + 2 * right).astype(np.uint8))
    with pytest.raises(InputError, match=complaint):
        job_of(folder, objects=objects)


def test_masks_without_a_label_and_files_for_several_objects_are_refused(folder: Path) -> None:
    write_labels(folder / "masks" / "0.png", np.zeros(SIZE, np.uint8))
    with pytest.raises(InputError, match="no mask has a label other than 0"):
        job_of(folder, objects="all")
    with pytest.raises(InputError, match="single file, but there are 2 objects"):
        plan_targets(Path("out.mov"), ("alpha",), "png", ["a", "b"])


def test_a_cut_names_the_object_that_needs_a_mask(folder: Path, rng: np.random.Generator) -> None:
    for index in range(5, NUM_FRAMES):
        write_image(folder / "frames" / f"{index}.png", rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8))
    for name, mask in zip(("left", "right"), halves(0), strict=True):
        write_mask(folder / "masks" / name / "0.png", mask)
    with pytest.raises(VideoError, match="frame 6 has no mask of left, and the scene changes there"):
        run(job_of(folder), FakePredictor)
