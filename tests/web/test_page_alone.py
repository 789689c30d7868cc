"""What only the page without a service has to do: a small first visit, no network after it, mattes as the command's.

MASK2ALPHA_VALIDATION=folder compares the mattes of pairs in it, too: photos in `image`, masks of the same names in the
folders of `mask`.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from walking import MASK, PHOTO, AloneWalker, Server, grey

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("walker", ["alone"], indirect=True)]

LARGEST_VISIT = 25e6
"""Bytes of a first visit."""
PAIRS = 20


def test_the_first_visit_is_small_and_all_the_rest_works_offline(
    walker: AloneWalker, server: Server, tmp_path: Path, record_property: Any
) -> None:
    assert server.sent < LARGEST_VISIT
    record_property("bytes_of_the_first_visit", server.sent)
    server.stop()
    walker.page.reload()
    walker.page.wait_for_function("() => crossOriginIsolated")
    for tool in ("select", "box"):
        assert walker.page.is_hidden(f"[data-tool={tool}]")
    assert "stay in this browser" in walker.page.inner_text("#limits")
    walker.check_alpha(walker.matte(PHOTO, MASK), PHOTO, MASK, tmp_path)


def test_the_cutout_is_the_commands(walker: AloneWalker, tmp_path: Path) -> None:
    walker.matte(PHOTO, MASK)
    made = np.asarray(Image.open(walker.download("cutout"))).astype(int)
    difference = np.abs(made - walker.command(PHOTO, MASK, tmp_path, "--output", "cutout"))
    assert difference[..., 3].max() <= 1
    assert difference[..., :3].max() <= 2


def test_the_mattes_of_validation_pairs_are_the_commands(
    walker: AloneWalker, server: Server, tmp_path: Path, record_property: Any
) -> None:
    given = os.environ.get("MASK2ALPHA_VALIDATION")
    if not given:
        pytest.skip("MASK2ALPHA_VALIDATION names no folder")
    photos = sorted(Path(given, "image").iterdir())
    kinds = sorted(path for path in Path(given, "mask").iterdir() if path.is_dir())
    for folder in ("photos", "masks"):
        (tmp_path / folder).mkdir()
    for number in range(PAIRS):
        photo = photos[number % len(photos)]
        mask = next(kinds[number % len(kinds)].glob(f"{photo.stem}.*"))
        for folder, file in (("photos", photo), ("masks", mask)):
            (tmp_path / folder / f"{number:02}{file.suffix}").symlink_to(file)
    matte = [sys.executable, "-m", "mask2alpha", "matte", tmp_path / "photos", tmp_path / "masks"]
    subprocess.run([*matte, "-o", tmp_path / "out", *walker.options], check=True, timeout=3600)

    server.stop()
    walker.open()
    largest = []
    for photo in sorted((tmp_path / "photos").iterdir()):
        walker.drop(photo, as_="photo")
        walker.page.locator("#photo-name", has_text=photo.name).wait_for()
        walker.drop(next((tmp_path / "masks").glob(f"{photo.stem}.*")), as_="mask")
        walker.page.wait_for_selector("#hint", state="hidden")
        walker.settle()
        made = grey(walker.download("alpha")).astype(int)
        largest.append(int(np.abs(made - grey(tmp_path / "out" / "alpha" / f"{photo.stem}.png")).max()))
    record_property("largest_differences", str(largest))
    assert max(largest) <= 1, largest
