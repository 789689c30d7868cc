"""Every block of code in README and the how-to pages runs, or says above it why it cannot be run here."""

import csv
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from documents import Block, read_blocks, run_block, run_in_shell

ROOT = Path(__file__).parents[2]
NOT_HOW_TO = {
    "model_card.md": "no code",
    "training_log.md": "no code",
    "results.md": "tables, by commands that take the validation photographs",
}
PAGES = [ROOT / "README.md", *(path for path in sorted((ROOT / "docs").glob("*.md")) if path.name not in NOT_HOW_TO)]
CODE = {page: read_blocks(page) for page in PAGES}
SIZE_WH = (96, 72)


def is_fast(blocks: list[Block]) -> bool:
    return any(block.is_run and not block.is_slow for block in blocks)


def is_slow(blocks: list[Block]) -> bool:
    return any(block.is_run and block.is_slow for block in blocks)


def name_of(page: Path) -> str:
    return page.name


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A folder with whatever the pages take for granted, and no names of Python yet."""
    monkeypatch.chdir(tmp_path)
    Path("examples").symlink_to(ROOT / "examples")
    Image.open("examples/photos/chelsea.png").convert("RGB").save("photo.jpg")
    shutil.copy("examples/masks/chelsea.png", "mask.png")
    make_folders()
    return {"__name__": "page"}


def make_folders() -> None:
    """Photographs with masks, a manifest of them, data to train on, pairs to validate on."""
    photo = Image.open("examples/photos/astronaut.png").convert("RGB").resize(SIZE_WH)
    mask = Image.open("examples/masks/astronaut.png").resize(SIZE_WH)
    for folder in ("photos", "masks"):
        Path(folder).mkdir()
    for name in ("street", "yard"):
        photo.save(f"photos/{name}.jpg")
    for name in ("street__dog", "street__woman", "yard"):
        mask.save(f"masks/{name}.png")
    for folder in ("photos", "masks"):
        shutil.copytree(folder, f"folder/{folder}")
    with open("manifest.csv", "w", encoding="utf-8", newline="") as file:
        rows = [["photo", "mask"], *([f"photos/{name}.jpg", f"masks/{name}.png"] for name in ("yard",))]
        csv.writer(file).writerows(rows)
    hair = Image.open(ROOT / "tests" / "assets" / "hair.webp").convert("RGBA")
    for folder in ("data/foregrounds/mine", "data/backgrounds/mine"):
        Path(folder).mkdir(parents=True)
    for index in range(2):
        hair.resize((128, 128)).rotate(20 * index).save(f"data/foregrounds/mine/{index}.png")
        photo.rotate(180 * index).resize((256, 192)).save(f"data/backgrounds/mine/{index}.jpg")
    for folder in ("image", "alpha", "mask/eroded", "mask/lowres"):
        Path("validation", folder).mkdir(parents=True)
    target = hair.resize(SIZE_WH)
    picture = photo.copy()
    picture.paste(target, mask=target)
    picture.save("validation/image/0.png")
    alpha = target.getchannel("A")
    alpha.save("validation/alpha/0.png")
    for kind in ("eroded", "lowres"):
        alpha.point(lambda value: 255 * (value > 200)).save(f"validation/mask/{kind}/0.png")


def make_clips() -> None:
    """clip.mp4, its frames, masks as files and as a clip in place of the photographs', and maps of two labels."""
    from clips import make_clip

    shutil.rmtree("masks")
    for folder in ("frames", "masks", "labels"):
        Path(folder).mkdir()
    for index, frame in enumerate(make_clip((72, 96), 3), start=1):
        Image.fromarray(frame.image).save(f"frames/{index:03d}.png")
        Image.fromarray(frame.mask).save(f"masks/{index:03d}.png")
        halves = np.where(np.arange(96) < 48, np.uint8(1), np.uint8(2))
        Image.fromarray(frame.mask // 255 * halves).save(f"labels/{index:03d}.png")
    shutil.copy("masks/001.png", "first.png")
    for folder, clip in (("frames", "clip.mp4"), ("masks", "masks.mp4")):
        command = [
            "ffmpeg",
            "-loglevel",
            "error",
            "-framerate",
            "25",
            "-i",
            f"{folder}/%03d.png",
            "-pix_fmt",
            "yuv444p",
        ]
        subprocess.run([*command, clip], check=True)


def given_clips(names: dict[str, Any]) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs ffmpeg")
    make_clips()


def given_heic(names: dict[str, Any]) -> None:
    from mask2alpha.imaging.decode import read_image

    shutil.copy(ROOT / "tests" / "data" / "pictures" / "plain.heic", "photo.heic")
    size = read_image("photo.heic").pixels.shape[:2]
    Image.fromarray(left_half(size) // 255 * np.uint8(7)).save("labels.png")
    names |= {"predictor": make_predictor()}


def given_no_mask(names: dict[str, Any]) -> None:
    Path("mask.png").unlink()


GIVEN: dict[str, Callable[[dict[str, Any]], None]] = {
    "files.md": given_heic,
    "masks.md": given_no_mask,
    "video.md": given_clips,
}
"""What a page takes for granted beyond the folder."""
APART = {"export.md"}
"""Tracing gives tensors where the types that the tests check say numbers."""


def make_predictor() -> Any:
    from mask2alpha import Mask2Alpha, Predictor

    return Predictor(Mask2Alpha.from_pretrained("small"))


def left_half(size: tuple[int, int]) -> NDArray[np.uint8]:
    mask = np.zeros(size, np.uint8)
    mask[:, : size[1] // 2] = 255
    return mask


@pytest.fixture
def service(tmp_path: Path) -> Iterator[str]:
    """The address of a running service."""
    from service_parts import RunningService

    pytest.importorskip("httpx2")
    folder = tmp_path / "spool"
    folder.mkdir()
    running = RunningService(folder, "small")
    try:
        address = f"http://127.0.0.1:{running.port}"
        wait_until_ready(address)
        yield address
    finally:
        running.stop()


def wait_until_ready(address: str) -> None:
    for _ in range(600):
        try:
            with urllib.request.urlopen(f"{address}/ready") as answer:
                if answer.status == 200:
                    return
        except urllib.error.HTTPError as error:
            error.close()
        time.sleep(0.1)
    raise RuntimeError("the service is not ready")


def run_page(page: Path, names: dict[str, Any], blocks: list[Block]) -> None:
    if page.name in GIVEN:
        GIVEN[page.name](names)
    for block in blocks:
        run_block(block, names, str(page.relative_to(ROOT)), is_apart=page.name in APART)


@pytest.mark.parametrize("page", [page for page in PAGES if is_fast(CODE[page])], ids=name_of)
def test_the_code_of_a_page_runs(page: Path, names: dict[str, Any]) -> None:
    run_page(page, names, [block for block in CODE[page] if block.is_run and not block.is_slow])


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if is_slow(CODE[page]) and page.name != "service.md"], ids=name_of
)
def test_the_slow_code_of_a_page_runs(page: Path, names: dict[str, Any]) -> None:
    run_page(page, names, [block for block in CODE[page] if block.is_slow])


@pytest.mark.slow
def test_the_calls_of_the_service_get_their_files(names: dict[str, Any], service: str) -> None:
    page = ROOT / "docs" / "service.md"
    written = "http://127.0.0.1:8000"
    for block in CODE[page]:
        if block.is_run:
            assert written in block.code
            run_block(replace(block, code=block.code.replace(written, service)), names, page.name)
    for made in ("alpha.png", "cutout.webp", "cutout.png"):
        with Image.open(made) as picture:
            picture.load()


@pytest.mark.slow
def test_the_tutorial_runs_as_it_is_typed(names: dict[str, Any]) -> None:
    page = ROOT / "docs" / "tutorial.md"
    for block in CODE[page]:
        if block.is_run and block.language == "bash":
            run_in_shell(block.code)
        elif block.is_run:
            run_block(block, names, page.name)


def test_every_exempt_page_exists() -> None:
    assert not [name for name in NOT_HOW_TO if not (ROOT / "docs" / name).exists()]


def test_a_remark_that_is_not_understood_is_no_excuse(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- not run -->\n```bash\nfalse\n```\n\n<!-- not run: for a reason -->\n```python\n1 / 0\n```\n")
    first, second = read_blocks(page)
    assert first.is_run
    assert not second.is_run
    with pytest.raises(AssertionError, match="exit code 1"):
        run_block(first, {}, "page")


def test_a_block_of_commands_without_a_language_is_code(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```\nfolder/\n  file.png\n```\n\n```\n# first\nmask2alpha info\n```\n")
    assert [block.code for block in read_blocks(page)] == ["# first\nmask2alpha info\n"]
