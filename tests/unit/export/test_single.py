"""One file: photo and mask in, alpha out."""

import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from exporting import picture
from mask2alpha.checkpoints import load_model
from mask2alpha.errors import InputError
from mask2alpha.export.engines import ENGINES
from mask2alpha.export.graphs import Graph
from mask2alpha.export.metadata import read_metadata
from mask2alpha.export.onnx_files import OPSET, _export_dynamo, export_model
from mask2alpha.export.single import PatchesGraph, halve
from mask2alpha.model.config import PRESETS
from mask2alpha.model.fast.optimise import optimise
from mask2alpha.model.fast.resampling import FastAvgPool2d
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.model.stage1_encoder.backbone import BackboneEncoder, fit_patches
from mask2alpha.ops.padding import pad_to_multiple
from mask2alpha.pipeline.predictor import Predictor

onnxruntime = pytest.importorskip("onnxruntime")
EXAMPLES = Path(__file__).parents[3] / "examples"
MODULES = Path(__file__).parents[3] / "web/node_modules"


def export_single(source: str, folder: Path, *options: str) -> Path:
    command = [sys.executable, "-m", "mask2alpha", "export", source, str(folder), "--single", *options]
    subprocess.run(command, check=True, capture_output=True)
    assert [path.name for path in folder.iterdir()] == ["model.onnx"]
    return folder / "model.onnx"


@pytest.mark.parametrize("exporter", ["torchscript", pytest.param("dynamo", marks=pytest.mark.slow)])
def test_the_file_gives_the_predictors_alpha_and_error_at_any_size(
    exporter: str, exported: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    if exporter == "dynamo":
        pytest.importorskip("onnxscript")
    path = export_single(str(exported / "model.safetensors"), tmp_path / "single", "--exporter", exporter)
    assert read_metadata(path)["graph"] == "model"
    session = onnxruntime.InferenceSession(str(path))
    predictor = Predictor(load_model(exported), device="cpu", dtype=torch.float32)
    for size in ((128, 192), (150, 251)):
        photo, mask = picture(rng, *size)
        masks = np.stack([mask, mask[::-1]])
        image = np.float32(photo.transpose(2, 0, 1)[None]) / np.float32(255)
        alpha, error = session.run(None, {"image": image, "mask": np.float32(masks[:, None])})
        for index, one in enumerate(masks):
            expected = predictor.predict(photo, one)
            difference = np.abs(alpha[index, 0] - expected.alpha)
            assert (difference > 1e-3).mean() <= 0.01
            assert difference.mean() < 1e-4
            assert np.abs(error[index, 0] - expected.coarse_error).mean() < 1e-4
            assert np.ptp(expected.alpha) > 0.05


def test_the_dynamo_exporter_writes_one_file_only(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--single"):
        export_model(exported, tmp_path / "six", exporter="dynamo")
    assert not (tmp_path / "six").exists()


@pytest.mark.slow
def test_files_of_the_dynamo_exporter_name_no_path_of_this_machine(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    axes = {2: "height", 3: "width"}
    graph = Graph("conv", inputs={"image": axes}, outputs={"made": axes})
    _export_dynamo(graph, torch.nn.Conv2d(3, 2, 1), (torch.rand(1, 3, 8, 16),), tmp_path / "conv.onnx")
    assert b".py" not in (tmp_path / "conv.onnx").read_bytes()
    made = onnxruntime.InferenceSession(str(tmp_path / "conv.onnx")).run(None, {"image": np.zeros((1, 3, 5, 7), "f4")})
    assert made[0].shape == (1, 2, 5, 7)


def test_snippet_for_javascript_runs_in_node(exported: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    if shutil.which("node") is None or not (MODULES / "onnxruntime-web").is_dir():
        pytest.skip("Node or web/node_modules is missing (npm ci)")
    path = export_single(str(exported / "model.safetensors"), tmp_path / "exported")
    photo, mask = picture(rng, 150, 251)
    feeds = {"image": np.float32(photo.transpose(2, 0, 1)[None]) / 255, "mask": np.float32(mask[None, None])}
    for name, array in feeds.items():
        array.tofile(tmp_path / f"{name}.f32")
    (tmp_path / "node_modules").symlink_to(MODULES)
    code = re.search(r"```js\n(.*?)```", (MODULES.parents[1] / "docs/export.md").read_text(), re.DOTALL)
    assert code
    (tmp_path / "call.mjs").write_text(f"""
        import {{ readFileSync, writeFileSync }} from "node:fs";
        const read = (name) => new Float32Array(new Uint8Array(readFileSync(name)).buffer);
        const [pixels, marks, height, width] = [read("image.f32"), read("mask.f32"), 150, 251];
        {code.group(1).replace("onnxruntime-node", "onnxruntime-web").replace("exported/", "./exported/")}
        writeFileSync("alpha.f32", alpha.data);
    """)
    done = subprocess.run(["node", "call.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    expected = onnxruntime.InferenceSession(str(path)).run(["alpha"], feeds)[0]
    difference = np.abs(np.fromfile(tmp_path / "alpha.f32", np.float32) - expected.ravel())
    assert (difference > 1e-3).mean() <= 0.01


@pytest.mark.parametrize("size", [(128, 192), (1024, 512), (64, 640)])
def test_patches_are_those_of_the_encoder(size: tuple[int, int]) -> None:
    encoder = Mask2Alpha(PRESETS["tiny_backbone"]).encoder
    assert isinstance(encoder, BackboneEncoder)
    image = torch.rand(1, 3, *size)
    patches, grid = PatchesGraph(encoder)(image)
    assert grid == encoder.token_grid(size)
    expected = fit_patches(image, encoder.input(image)[0], encoder.input, encoder.token_grid(size), patch_size=14)
    torch.testing.assert_close(patches, expected, rtol=0, atol=2e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_means_of_bytes_are_the_predictors_to_the_last_bit_in_onnx_runtime(tmp_path: Path) -> None:
    class Thumbnail(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return halve(halve(image))

    image = torch.randint(256, (1, 3, 512, 512), generator=torch.Generator().manual_seed(0)) / 255
    torch.onnx.export(Thumbnail(), (image,), str(tmp_path / "thumbnail.onnx"), opset_version=OPSET, dynamo=False)
    session = onnxruntime.InferenceSession(str(tmp_path / "thumbnail.onnx"))
    made = session.run(None, {session.get_inputs()[0].name: image.numpy()})[0]
    pool, image = FastAvgPool2d(2), image.contiguous(memory_format=torch.channels_last)
    assert np.array_equal(made, pool(pool(image)).numpy())


@pytest.mark.slow
@pytest.mark.parametrize("exporter", ["torchscript", "dynamo"])
@pytest.mark.parametrize("name", ["small", "base"])
def test_the_file_of_a_shipped_model_is_near_pytorch_in_every_pixel(name: str, exporter: str, tmp_path: Path) -> None:
    engines = [engine for engine in ENGINES if find_spec(engine)]
    if exporter == "dynamo":
        pytest.importorskip("onnxscript")
    files = {"model": export_single(name, tmp_path / "single", "--exporter", exporter)}
    running = [ENGINES[engine](files, num_threads=1, is_bfloat16=False) for engine in engines]
    model = optimise(load_model(name), device=torch.device("cpu"), dtype=torch.float32)
    for width, height in ((512, 512), (1024, 1024), (1500, 1001)):
        photo = Image.open(EXAMPLES / "photos/astronaut.png").convert("RGB").resize((width, height))
        mask = Image.open(EXAMPLES / "masks/astronaut.png").resize((width, height), Image.Resampling.NEAREST)
        image = torch.from_numpy(np.float32(photo).transpose(2, 0, 1)[None] / np.float32(255))
        target = torch.from_numpy(np.float32(np.asarray(mask.convert("L")) > 127)[None, None])
        with torch.no_grad():
            padded = pad_to_multiple(image, 64).contiguous(memory_format=torch.channels_last)
            raw = model(image, target, encoding=model.encode(padded), encoded_mask=pad_to_multiple(target, 64)).alpha
        expected = (raw * (255 / 253) - 1 / 253).clamp(0, 1).numpy()
        for engine in running:
            alpha = engine.run("model", {"image": image.numpy(), "mask": target.numpy()})["alpha"]
            assert np.abs(alpha - expected).max() < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["base", "small"])
def test_the_file_of_a_shipped_model_gives_its_alpha(name: str, tmp_path: Path) -> None:
    session = onnxruntime.InferenceSession(str(export_single(name, tmp_path / "single")))
    predictor = Predictor(load_model(name), device="cpu", dtype=torch.float32)
    for width, height in ((1024, 1024), (1001, 1500)):  # sizes that the predictor mattes as they are
        photo = np.asarray(Image.open(EXAMPLES / "photos/astronaut.png").convert("RGB").resize((width, height)))
        with Image.open(EXAMPLES / "masks/astronaut.png") as file:
            mask = np.asarray(file.convert("L").resize((width, height), Image.Resampling.NEAREST)) > 127
        image = np.float32(photo.transpose(2, 0, 1)[None]) / np.float32(255)
        alpha = session.run(["alpha"], {"image": image, "mask": np.float32(mask[None, None])})[0][0, 0]
        difference = np.abs(alpha - predictor.predict(photo, mask).alpha)
        assert (difference > 1e-3).mean() <= 1e-5
        assert difference.mean() < 1e-6
