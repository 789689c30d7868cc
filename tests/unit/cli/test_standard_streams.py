"""`-` as a photo, a mask or an output of `matte` and `mask`."""

import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from fakes import FakePredictor
from mask2alpha.cli import matte as matte_module
from mask2alpha.cli import standard_streams
from mask2alpha.cli.main import main

TARGET = np.zeros((20, 30), np.uint8)
TARGET[4:14, 5:20] = 255


def png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


PHOTO = png(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(matte_module, "build_predictor", lambda source, **settings: FakePredictor())
    (tmp_path / "photo.png").write_bytes(PHOTO)
    (tmp_path / "mask.png").write_bytes(png(TARGET))
    return tmp_path


def run(*arguments: str, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(main, arguments, input=stdin)


def shown(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize(("photo", "mask", "stdin"), [("-", "mask.png", PHOTO), ("photo.png", "-", png(TARGET))])
@pytest.mark.parametrize("name", ["png", "webp", "tif"])
def test_a_picture_from_standard_input_gives_one_on_standard_output(
    photo: str, mask: str, stdin: bytes, name: str
) -> None:
    result = run("matte", photo, mask, "-o", "-", "--format", name, stdin=stdin)
    assert result.exit_code == 0, result.stderr
    assert np.array_equal(np.asarray(shown(result.stdout_bytes).convert("L")), TARGET)
    assert "1 matted" in result.stderr


def test_what_was_read_from_standard_input_can_go_to_a_file_and_leaves_nothing(folder: Path) -> None:
    result = run("matte", "-", "mask.png", "-o", "cut.png", "--output", "cutout", stdin=PHOTO)
    assert result.exit_code == 0, result.stderr
    assert np.array_equal(np.asarray(Image.open("cut.png"))[..., 3], TARGET)
    again = run("matte", "-", "mask.png", "-o", "cut.png", "--output", "cutout", stdin=PHOTO)
    assert "1 skipped" in again.stderr
    assert sorted(path.name for path in folder.iterdir()) == [".mask2alpha.jsonl", "cut.png", "mask.png", "photo.png"]


@pytest.mark.parametrize("name", ["png", "jpg"])
def test_a_mask_is_made_of_standard_input_and_written_to_standard_output(name: str) -> None:
    pytest.importorskip("cv2")
    picture = np.full((40, 60, 3), 90, np.uint8)
    picture[10:30, 15:45] = (200, 20, 20)
    result = run("mask", "-", "-o", "-", "--format", name, "--box", "10,6,50,34", stdin=png(picture))
    assert result.exit_code == 0, result.stderr
    mask = np.asarray(shown(result.stdout_bytes)) > 127
    assert mask[12:28, 18:42].all()
    assert mask.mean() < 0.4


@pytest.mark.parametrize(
    ("arguments", "stdin", "complaint"),
    [
        (("matte", "-", "-", "-o", "a.png"), PHOTO, "holds one picture"),
        (("matte", ".", "-", "-o", "a.png"), PHOTO, "not a folder"),
        (("matte", "-", "mask.png", "-o", "a.png"), b"", "standard input) is empty"),
        (("matte", "-", "mask.png", "-o", "a.png"), b"no picture", "not a picture"),
        (("mask", "-", "-o", "a.png", "--box", "1,1,9,9"), b"", "standard input) is empty"),
        (("matte", "photo.png", "mask.png", "-o", "-", "--output", "alpha,cutout"), b"", "2 outputs"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    folder: Path, arguments: tuple[str, ...], stdin: bytes, complaint: str
) -> None:
    result = run(*arguments, stdin=stdin)
    assert result.exit_code != 0
    assert complaint in result.stderr
    assert not (folder / "a.png").exists()
    assert not result.stdout_bytes


@pytest.mark.parametrize("command", ["matte", "mask"])
@pytest.mark.parametrize("stream", ["stdin", "stdout"])
def test_a_terminal_is_refused(command: str, stream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    module = SimpleNamespace(**{"stdin": io.StringIO(), "stdout": io.StringIO(), stream: Terminal()})
    monkeypatch.setattr(standard_streams, "sys", module)
    photo, out = ("-", "a.png") if stream == "stdin" else ("photo.png", "-")
    others = ["mask.png"] if command == "matte" else ["--box", "1,1,9,9"]
    result = run(command, photo, *others, "-o", out)
    assert result.exit_code == 2
    assert "which is a terminal" in result.stderr
