"""Further members of the kinds of faults that users met: jumps, names of files, stale results, places that fail."""

import errno
import io
import json
import os
import shutil
import types
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from fastapi.testclient import TestClient
from PIL import Image

pytest.importorskip("cv2")
pytest.importorskip("pyarrow")

import doors
from fake_worker import make_tiny
from fakes import FakePredictor
from mask2alpha.checkpoints import save_model
from mask2alpha.cli.main import main
from mask2alpha.errors import ImageFileError
from mask2alpha.imaging.encode import encode_image, write_image
from mask2alpha.model.config import PRESETS
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.ops.masks import MaskChoice
from mask2alpha.pipeline.predictor import Predictor
from mask2alpha.serving import forms
from service_parts import InProcess, fake_service, left_half, photo, to_file


def call(*arguments: object) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture(scope="module")
def tiny() -> Predictor:
    return make_tiny()


@pytest.fixture(scope="module")
def tiny_front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with fake_service(tmp_path_factory.mktemp("spool"), model="tiny") as client:
        yield client


# A full mask with a gap, an empty one with specks: alpha moves in proportion to what was left out or marked.


def gap(name: str) -> np.ndarray:
    missing = np.zeros((128, 192), bool)
    if name == "row":
        missing[60] = True
    elif name == "three rows":
        missing[60:63] = True
    elif name == "column at the side":
        missing[:, 191] = True
    elif name == "diagonal":
        missing[np.arange(128), np.arange(128) + 30] = True
    elif name == "two diagonals":
        for shift in (0, 1):
            missing[np.arange(128), 150 - np.arange(128) + shift] = True
    elif name == "dots":
        missing[7::40, 11::50] = True
    else:
        missing[0, 0] = True
    return missing


@pytest.mark.filterwarnings("ignore:.*mask")
@pytest.mark.parametrize(
    "name", ["row", "three rows", "column at the side", "diagonal", "two diagonals", "dots", "corner"]
)
def test_alpha_hardly_moves_beside_the_full_mask(
    any_door: Callable[..., bytes],
    tiny: Predictor,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    if any_door is doors.by_plugin:
        front = request.getfixturevalue("tiny_front")
        monkeypatch.setattr(doors.service_client.urllib.request, "urlopen", InProcess(front))
    rng = np.random.default_rng(3)
    Image.fromarray(rng.integers(0, 256, (128, 192, 3), dtype=np.uint8)).save(tmp_path / "photo.png")
    missing = gap(name)
    (tmp_path / "out").mkdir()
    Image.fromarray(np.where(missing, np.uint8(0), np.uint8(255))).save(tmp_path / "mask.png")
    data = any_door(tmp_path / "photo.png", tmp_path / "mask.png", MaskChoice(), tmp_path / "out", predictor=tiny)
    alpha = np.asarray(Image.open(io.BytesIO(data))) / 255
    assert alpha.mean() > 1 - (50 if name in ("dots", "corner") else 11) * missing.mean()
    assert alpha.min() < 1  # the network was asked


# A mask belongs to its photo by name, in every command that takes folders.

NAMES = [
    (unicodedata.normalize("NFC", "Gr\u00f6\u00dfe.png"), unicodedata.normalize("NFD", "Gr\u00f6\u00dfe.png")),
    (unicodedata.normalize("NFD", "\u00e9t\u00e9.png"), unicodedata.normalize("NFC", "\u00e9t\u00e9.png")),
    ("a.png", "a_mask.png"),
    ("a.b.png", "a.b-matte.webp"),
    ("a.jpg", "a.jpeg.png"),
    ("a.tiff", "a.tif.png"),
]


def write_pair(folder: Path, photo_name: str, *mask_names: str) -> None:
    for kind, names, picture in (("photos", [photo_name], photo()), ("masks", mask_names, left_half())):
        (folder / kind).mkdir(exist_ok=True)
        for name in names:
            Image.fromarray(picture).save(folder / kind / name)


def run_on_folders(command: str, folder: Path) -> Result:
    if command == "batch":
        return call("batch", folder, folder / "out")
    options = ["--output", "alpha"] if command == "video" else []
    return call(command, folder / "photos", folder / "masks", "-o", folder / "out", *options)


@pytest.mark.parametrize("command", ["matte", "batch", "video"])
@pytest.mark.parametrize(("photo_name", "mask_name"), NAMES)
def test_files_are_paired_by_name(
    tmp_path: Path, fake: FakePredictor, command: str, photo_name: str, mask_name: str
) -> None:
    write_pair(tmp_path, photo_name, mask_name)
    result = run_on_folders(command, tmp_path)
    assert result.exit_code == 0, result.stderr
    assert len(list((tmp_path / "out" / "alpha").glob("*.png"))) == 1


@pytest.mark.parametrize("command", ["matte", "batch"])
@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("stem", ["caf\u00e9", "\u30ac", "e\u0323\u0302"])
def test_every_label_of_a_photo_has_an_output_of_its_own(
    tmp_path: Path, fake: FakePredictor, command: str, form: Any, stem: str
) -> None:
    other = "NFD" if form == "NFC" else "NFC"
    masks = [f"{unicodedata.normalize(other, stem)}__{label}.png" for label in ("left", "right")]
    write_pair(tmp_path, f"{unicodedata.normalize(form, stem)}.png", *masks)
    assert run_on_folders(command, tmp_path).exit_code == 0
    assert sorted(path.name for path in (tmp_path / "out" / "alpha").iterdir()) == sorted(masks)


@pytest.mark.parametrize("command", ["matte", "batch", "video"])
def test_what_has_no_partner_is_named_with_the_nearest(tmp_path: Path, fake: FakePredictor, command: str) -> None:
    write_pair(tmp_path, "shot_01.png", "shot_01.png", "shot_O2.png")
    write_pair(tmp_path, "shot_02.png")
    told = run_on_folders(command, tmp_path).stderr
    assert "shot_O2" in told
    assert "nearest name is" in told


# A folder's name with a file's suffix is refused, before any work.


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Any]:
    """What the commands take, by name."""
    write_pair(tmp_path, "one.png", "one.png")
    for name, source in (("image", "photos"), ("alpha", "masks"), ("mask/exact", "masks")):
        (tmp_path / "root" / name).mkdir(parents=True)
        shutil.copy(tmp_path / source / "one.png", tmp_path / "root" / name / "one.png")
    return {
        "folder": tmp_path,
        "photo": tmp_path / "photos" / "one.png",
        "mask": tmp_path / "masks" / "one.png",
        "root": tmp_path / "root",
        "weights": save_model(Mask2Alpha(PRESETS["tiny"]), tmp_path / "tiny.safetensors"),
    }


INTO_A_FOLDER = {
    "batch": ("batch", "{folder}", "{out}"),
    "explain": ("explain", "{photo}", "{mask}", "--model", "{weights}", "-o", "{out}"),
    "compare": ("compare", "{root}", "-m", "mask", "-o", "{out}"),
    "ablate": ("ablate", "{root}", "--table", "5", "--model", "{weights}", "--device", "cpu", "--output", "{out}"),
    "export": ("export", "{weights}", "{out}"),
}
INTO_A_FILE = {
    "mask": ("mask", "{photo}", "--by", "grabcut", "--box", "1,1,20,15", "-o", "{out}"),
    "eval": ("eval", "{root}", "--model", "mask", "--output", "{out}"),
}


def filled(arguments: tuple[str, ...], inputs: dict[str, Any], out: Path) -> list[str]:
    return [argument.format(**inputs, out=out) for argument in arguments]


@pytest.mark.parametrize("name", ["out.png", "OUT.TIFF", "all.zip", "report.html", "shot.mov"])
@pytest.mark.parametrize("command", INTO_A_FOLDER)
def test_a_folder_called_like_a_file_is_refused(
    inputs: dict[str, Any], fake: FakePredictor, command: str, name: str
) -> None:
    out = inputs["folder"] / name
    result = call(*filled(INTO_A_FOLDER[command], inputs, out))
    assert result.exit_code == 2
    assert "accepted: a folder" in result.stderr
    assert not out.exists()


@pytest.mark.parametrize("name", ["out.gif", "scores.JSON", "a.b.pdf", "x.mp4"])
@pytest.mark.parametrize("command", INTO_A_FILE)
def test_a_file_of_a_kind_that_is_not_written_is_refused(inputs: dict[str, Any], command: str, name: str) -> None:
    out = inputs["folder"] / name
    result = call(*filled(INTO_A_FILE[command], inputs, out))
    assert result.exit_code == 2
    assert "." in result.stderr.partition("accepted")[2] or "is written as" in result.stderr
    assert not out.exists()


@pytest.mark.parametrize("name", ["a.gif", "a.JP2", "a.heic", "a", "a.png.bak"])
def test_python_refuses_a_suffix_with_those_that_are_written(tmp_path: Path, name: str) -> None:
    for write in (lambda: write_image(tmp_path / name, photo()), lambda: encode_image(photo(), name)):
        with pytest.raises(ImageFileError, match=r"\.png"):
            write()
    assert not list(tmp_path.iterdir())


# What the system refuses is one line and an exit status, in every command.


@pytest.mark.parametrize("place", ["long", "a file above", "a file itself"])
@pytest.mark.parametrize("command", [*INTO_A_FOLDER, *INTO_A_FILE])
def test_a_place_that_cannot_be_written_is_one_plain_line(
    inputs: dict[str, Any], fake: FakePredictor, command: str, place: str
) -> None:
    (inputs["folder"] / "file").touch()
    suffix = {"mask": "/m.png", "eval": "/s.csv"}.get(command, "")
    names = {"long": "x" * 300, "a file above": "file/out", "a file itself": "file"}
    arguments = {**INTO_A_FOLDER, **INTO_A_FILE}[command]
    result = call(*filled(arguments, inputs, inputs["folder"] / f"{names[place]}{suffix}"))
    assert result.exit_code in (1, 2)
    assert "Traceback" not in result.output
    assert any(reason in result.stderr for reason in ("too long", "ot a directory", "is a file", "File exists")), (
        result.stderr
    )
    assert len([line for line in result.stderr.splitlines() if "rror" in line]) == 1


@pytest.mark.parametrize("name", ["\u017b\u00f3\u0142w", "\u732b", "\udcff"])
def test_names_that_the_terminal_lacks_stop_no_upload(fake_front: TestClient, name: str) -> None:
    files = {
        "photo": (ascii(name), to_file(photo())),
        "mask": (f"{name}.png".encode("utf-8", "replace").decode(), to_file(left_half())),
    }
    assert fake_front.post("/v1/mattes", files=files).status_code == 200


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EIO])
def test_what_the_system_refuses_the_service_is_a_plain_problem(
    fake_front: TestClient, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(number, os.strerror(number), "/a/secret/place")

    monkeypatch.setattr(forms, "shutil", types.SimpleNamespace(copyfileobj=fail))
    answer = fake_front.post("/v1/mattes", files={"photo": to_file(photo()), "mask": to_file(left_half())})
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    monkeypatch.undo()
    answer = fake_front.post("/v1/mattes", files={"photo": to_file(photo()), "mask": to_file(left_half())})
    assert answer.status_code == 200


# A result of other inputs or options is never an up-to-date one.


def test_a_kept_photo_answers_each_mask_and_option_anew(fake_front: TestClient) -> None:
    about = fake_front.post("/v1/encodings", files={"photo": to_file(photo())}).json()
    labels = np.where(left_half() > 0, np.uint8(1), np.uint8(2))
    answers = []
    for mask, fields in (
        (labels, {"label": "1"}),
        (labels, {"label": "2"}),
        (labels, {"label": "1", "invert": "true", "outputs": "mask"}),
        (left_half(), {"bits": "16"}),
        (left_half()[:, ::-1], {}),
        (left_half()[:10], {"fit": "stretch"}),
    ):
        answer = fake_front.post(
            f"/v1/encodings/{about['id']}/mattes",
            files={"mask": to_file(np.ascontiguousarray(mask))},
            data=fields,
            headers={"X-Encoding-Token": about["token"]},
        )
        assert answer.status_code == 200, answer.text
        answers.append(np.asarray(Image.open(io.BytesIO(answer.content))))
    left, right = left_half(), 255 - left_half()
    for answer, expected in zip(answers, (left, right, right, left * np.uint16(257), right, left), strict=True):
        assert np.array_equal(answer, expected)


@pytest.mark.parametrize("kind", ["alpha", "cutout", "composite"])
def test_a_batch_that_begins_replaces_no_file_of_the_users(tmp_path: Path, fake: FakePredictor, kind: str) -> None:
    write_pair(tmp_path, "one.png", "one.png")
    own = tmp_path / "out" / kind / "one.png"
    write_image(own, photo(4, 4))
    before = own.read_bytes()
    result = call("batch", tmp_path, tmp_path / "out", "--output", f"{kind},error" if kind == "alpha" else kind)
    assert (result.exit_code, own.read_bytes()) == (2, before)
    assert "--overwrite" in result.stderr
    assert not (tmp_path / "out" / "_batch").exists()
    assert call("batch", tmp_path, tmp_path / "out", "--output", kind, "--overwrite").exit_code == 0
    assert own.read_bytes() != before


# What was guessed is said.


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (np.zeros((20, 30), np.uint8), "is empty"),
        (np.full((20, 30), 255, np.uint8), "is full"),
        (left_half() // 255 * np.uint8(254), "254 was taken for the target"),
        (left_half(60, 40), "was resized"),
    ],
    ids=["empty", "full", "nearly white", "another size"],
)
@pytest.mark.parametrize("command", ["matte", "batch", "video", "service"])
def test_what_was_guessed_is_said(
    tmp_path: Path,
    fake: FakePredictor,
    tiny: Predictor,
    tiny_front: TestClient,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    mask: np.ndarray,
    said: str,
) -> None:
    for method in ("encode", "predict", "predict_instances"):  # only the real one says what it sees
        monkeypatch.setattr(fake, method, getattr(tiny, method))
    write_pair(tmp_path, "one.png", "one.png")
    Image.fromarray(mask).save(tmp_path / "masks" / "one.png")
    if command == "service":
        answer = tiny_front.post("/v1/mattes", files={"photo": to_file(photo()), "mask": to_file(mask)})
        told = " ".join(json.loads(answer.headers["x-warnings"]))
    else:
        told = run_on_folders(command, tmp_path).stderr
    assert said in told
