"""The npm package, packed, installed from its tarball, and run in Node as its README says."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mask2alpha.checkpoints import load_model
from mask2alpha.pipeline.encoder_input import shrink_image
from mask2alpha.pipeline.predictor import Predictor
from mask2alpha.pipeline.preprocess import image_to_pixels

pytestmark = pytest.mark.slow
pytest.importorskip("onnx", reason="the extra export is not installed")
ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
WEB = ROOT / "web"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the package is installed; its dependencies are copied from `web/`, without a network."""
    if shutil.which("npm") is None or not (WEB / "node_modules").is_dir():
        pytest.skip("Node or web/node_modules is missing (npm ci)")
    folder = tmp_path_factory.mktemp("npm")
    subprocess.run([sys.executable, ROOT / "tools" / "make_npm_package.py", folder], check=True, timeout=900)
    tarball = next(folder.glob("*.tgz"))
    assert tarball.stat().st_size < 15e6
    (folder / "package.json").write_text('{"type": "module"}')
    shutil.copytree(WEB / "node_modules", folder / "node_modules", ignore=shutil.ignore_patterns("mask2alpha"))
    target = folder / "node_modules" / "mask2alpha"
    target.mkdir()
    subprocess.run(["tar", "xzf", tarball, "-C", target, "--strip-components=1"], check=True)
    return folder


def test_the_readme_runs_in_node_and_gives_the_predictors_matte(installed: Path) -> None:
    image = np.asarray(Image.open(EXAMPLES / "photos" / "astronaut.png").convert("RGB"))
    mask = np.asarray(Image.open(EXAMPLES / "masks" / "astronaut.png").convert("L"))
    np.dstack([image, np.full(mask.shape, 255, np.uint8)]).tofile(installed / "photo.rgba")
    mask.tofile(installed / "mask.grey")
    code = re.findall(r"```js\n(.*?)```", (WEB / "npm" / "README.md").read_text(), re.DOTALL)[1]
    (installed / "example.js").write_text(code)
    done = subprocess.run(["node", "example.js"], cwd=installed, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr

    matte = Predictor(load_model("small"), device="cpu", dtype=torch.float32).predict(image, mask)
    alpha = np.asarray(Image.open(installed / "alpha.png")) / 65535
    assert np.abs(alpha - matte.alpha).max() < 1 / 255
    foreground = np.asarray(Image.open(installed / "foreground.png")).astype(int)
    assert np.abs(foreground - matte.foreground()).max() <= 1


def test_a_large_photograph_is_shrunk_as_by_pytorch(installed: Path, rng: np.random.Generator) -> None:
    coarse = Image.fromarray(rng.integers(0, 256, (9, 15, 3), dtype=np.uint8))
    image = np.asarray(coarse.resize((3000, 1800), Image.Resampling.BICUBIC))
    np.dstack([image, np.full(image.shape[:2], 255, np.uint8)]).tofile(installed / "large.rgba")
    (installed / "shrink.js").write_text("""
        import { readFileSync, writeFileSync } from "node:fs";
        import { shrinkPhoto } from "./node_modules/mask2alpha/dist/prepare.js";
        writeFileSync("small.f32", shrinkPhoto({ data: readFileSync("large.rgba"), width: 3000, height: 1800 }).data);
    """)
    subprocess.run(["node", "shrink.js"], cwd=installed, check=True, timeout=600)
    expected = shrink_image(image_to_pixels(image), (1472, 2432))[0].numpy()
    made = np.fromfile(installed / "small.f32", np.float32).reshape(expected.shape)
    assert np.abs(made - expected).max() < 1e-6


def test_the_package_has_types_and_nothing_but_what_it_needs(installed: Path) -> None:
    package = installed / "node_modules" / "mask2alpha"
    assert {path.name for path in package.iterdir()} == {"LICENSE", "README.md", "dist", "model", "package.json"}
    user = """
        import { load, type Matte } from "mask2alpha";
        const session = await load();
        const mask = { data: new Uint8Array(4), width: 2, height: 2 };
        export const made: Matte = await session.predict(new ImageData(2, 2), mask);
    """
    (installed / "user.ts").write_text(user)
    options = ["--noEmit", "--strict", "--module", "esnext", "--moduleResolution", "bundler", "--target", "es2022"]
    compiler = installed / "node_modules" / "typescript" / "bin" / "tsc"
    done = subprocess.run(["node", compiler, *options, "user.ts"], cwd=installed, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
