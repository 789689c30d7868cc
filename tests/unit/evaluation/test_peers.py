from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import scipy.ndimage
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper

from mask2alpha.checkpoints import save_model
from mask2alpha.errors import InputError
from mask2alpha.evaluation import peers
from mask2alpha.evaluation.peers import (
    MODEL,
    feather,
    filter_guided,
    identify_method,
    load_method,
    load_onnx,
    make_trimap,
    parse_method,
)
from mask2alpha.model.config import PRESETS
from mask2alpha.model.mask2alpha import Mask2Alpha


def disc(size: tuple[int, int], radius: float) -> NDArray[np.bool_]:
    y, x = np.indices(size)
    return np.asarray(np.hypot(y - size[0] / 2, x - size[1] / 2) < radius)


def photograph(mask: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.uint8]:
    colours = np.where(mask[..., None], [200, 120, 40], [40, 60, 160])
    return np.clip(colours + rng.integers(-20, 21, size=colours.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("text", "name", "source", "options"),
    [
        ("mask", "mask", None, {}),
        ("feather", "feather", None, {"sigma": 3.0}),
        ("closed-form:width=30", "closed-form", None, {"width": 30}),
        ("guided-filter:radius=5,eps=1e-3", "guided-filter", None, {"radius": 5, "eps": 1e-3}),
        ("predictions:some/folder", "predictions", "some/folder", {}),
        ("small", MODEL, "small", {"steps": None, "no-detail": False, "dtype": "float32"}),
        ("small:steps=1,no-detail", MODEL, "small", {"steps": 1, "no-detail": True}),
        ("small:no-detail", MODEL, "small", {"no-detail": True}),
        ("C:/w.safetensors:error_threshold=0.2", MODEL, "C:/w.safetensors", {"error_threshold": 0.2}),
        ("onnx:net.onnx,size=320,mean=0.5/0.4/0.3", "onnx", "net.onnx", {"size": 320, "mean": (0.5, 0.4, 0.3)}),
    ],
)
def test_methods_are_read(text: str, name: str, source: str | None, options: dict[str, Any]) -> None:
    method = parse_method(text)
    assert (method.name, method.source) == (name, source)
    assert options.items() <= method.options.items()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no method; accepted: mask, feather"),
        ("feather:width=3", "'width=3' is not an option of feather; accepted: sigma, label"),
        ("feather:sigma", "'sigma' is not an option"),
        ("feather:sigma=-1", "sigma: expected a number above 0"),
        ("knn:width=1.5", "width: invalid literal"),
        ("small:dtype=int8", "dtype: expected one of float32"),
        ("predictions", "names no FOLDER; write predictions:FOLDER"),
        ("onnx:", "names no FILE"),
        ("small:no-detail=1", "it takes no value"),
    ],
)
def test_unusable_methods_are_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_method(text)


def test_labels_are_short_or_chosen() -> None:
    assert parse_method("runs/a/model.safetensors:steps=1").label == "a:steps=1"
    assert parse_method("runs/a/best.safetensors").label == "best.safetensors"
    assert parse_method("closed-form:width=30,label=wide").label == "wide"


def test_what_is_missing_is_said_before_anything_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs pymatting: pip install 'mask2alpha\[peers\]'"):
        identify_method(parse_method("knn"))
    with pytest.raises(InputError, match="there is no folder"):
        identify_method(parse_method(f"predictions:{tmp_path / 'none'}"))


def test_an_identity_changes_with_settings_and_weights(tmp_path: Path) -> None:
    assert identify_method(parse_method("feather")) == identify_method(parse_method("feather:sigma=3,label=other"))
    assert identify_method(parse_method("feather")) != identify_method(parse_method("feather:sigma=4"))
    weights = tmp_path / "tiny.safetensors"
    identities = []
    for _ in range(2):
        save_model(Mask2Alpha(PRESETS["tiny"]), weights)
        identities.append(identify_method(parse_method(str(weights))))
    assert identities[0] != identities[1]


@pytest.mark.parametrize("size", [(1, 1), (7, 40), (30, 21)])
def test_feathering_is_a_gaussian_blur(size: tuple[int, int], rng: np.random.Generator) -> None:
    mask = rng.random(size) < 0.4
    expected = scipy.ndimage.gaussian_filter(mask.astype(float), 2.5, mode="nearest", truncate=4.0)
    np.testing.assert_allclose(feather(mask, sigma=2.5), expected, atol=1e-12)


def slow_guided_filter(image: NDArray[np.uint8], mask: NDArray[np.bool_], radius: int, eps: float) -> NDArray[Any]:
    """He et al., equations 14 to 16, window by window."""
    guide, (height, width) = image / 255, mask.shape
    slopes, offsets = np.zeros((height, width, 3)), np.zeros((height, width))

    def window(y: int, x: int) -> tuple[slice, slice]:
        return slice(max(0, y - radius), y + radius + 1), slice(max(0, x - radius), x + radius + 1)

    for y, x in np.ndindex(height, width):
        colours, values = guide[window(y, x)].reshape(-1, 3), mask[window(y, x)].reshape(-1).astype(float)
        mean = colours.mean(axis=0)
        covariance = (colours - mean).T @ (colours - mean) / len(values)
        cross = (colours - mean).T @ (values - values.mean()) / len(values)
        slopes[y, x] = np.linalg.solve(covariance + eps * np.eye(3), cross)
        offsets[y, x] = values.mean() - slopes[y, x] @ mean
    alpha = np.zeros((height, width))
    for y, x in np.ndindex(height, width):
        alpha[y, x] = slopes[window(y, x)].mean(axis=(0, 1)) @ guide[y, x] + offsets[window(y, x)].mean()
    return np.clip(alpha, 0, 1)


@pytest.mark.parametrize(("size", "radius", "eps"), [((9, 14), 2, 1e-3), ((6, 5), 8, 1e-2), ((1, 1), 3, 1e-2)])
def test_the_guided_filter_is_that_of_its_definition(
    size: tuple[int, int], radius: int, eps: float, rng: np.random.Generator
) -> None:
    image, mask = rng.integers(0, 256, size=(*size, 3), dtype=np.uint8), rng.random(size) < 0.5
    expected = slow_guided_filter(image, mask, radius, eps)
    np.testing.assert_allclose(filter_guided(image, mask, radius=radius, eps=eps), expected, atol=1e-9)


@pytest.mark.parametrize("width", [1, 2, 5, 9, 60])
def test_the_trimap_is_eroded_and_dilated_by_a_disc(width: int, rng: np.random.Generator) -> None:
    mask = scipy.ndimage.gaussian_filter(rng.random((40, 53)), 4) > 0.5
    to_mask = scipy.ndimage.distance_transform_edt(~mask)
    to_outside = scipy.ndimage.distance_transform_edt(mask)
    expected = np.where(to_outside > width, 1.0, np.where(to_mask > width, 0.0, 0.5))
    np.testing.assert_array_equal(make_trimap(mask, width=width), expected)


def test_nothing_is_eroded_from_the_edge_of_the_picture() -> None:
    mask = np.zeros((10, 20), dtype=bool)
    mask[:, :10] = True
    assert make_trimap(mask, width=3)[:, [0, 6, 7, 12, 13]].T.tolist() == [[v] * 10 for v in (1, 1, 0.5, 0.5, 0)]
    assert (make_trimap(np.ones((4, 4), dtype=bool), width=3) == 1).all()


@pytest.mark.parametrize("name", ["closed-form", "knn", "lbdm", "random-walk"])
def test_pymatting_keeps_what_the_trimap_says_and_follows_colours(name: str, rng: np.random.Generator) -> None:
    truth = disc((40, 44), 13)
    image, guess = photograph(truth, rng), disc((40, 44), 11)
    alpha = load_method(parse_method(f"{name}:width=5"))(image, guess)
    trimap = make_trimap(guess, width=5)
    assert alpha.shape == truth.shape
    assert alpha.min() >= 0
    assert alpha.max() <= 1
    np.testing.assert_allclose(alpha[trimap != 0.5], trimap[trimap != 0.5], atol=0.05)
    assert np.abs(alpha - truth).sum() < 0.5 * np.abs(guess.astype(float) - truth).sum()


def test_a_mask_thinner_than_the_band_is_refused(rng: np.random.Generator) -> None:
    mask = disc((40, 44), 4)
    with pytest.raises(InputError, match="no pixel inside it is more than 5 pixels"):
        load_method(parse_method("closed-form:width=5"))(photograph(mask, rng), mask)


def test_the_simple_methods_run(rng: np.random.Generator) -> None:
    mask = disc((30, 44), 11)
    image = photograph(mask, rng)
    assert (load_method(parse_method("mask"))(image, mask) == mask).all()
    assert (load_method(parse_method("feather:sigma=2"))(image, mask) == feather(mask, sigma=2.0)).all()
    guided = load_method(parse_method("guided-filter:radius=4,eps=1e-3"))(image, mask)
    assert (guided == filter_guided(image, mask, radius=4, eps=1e-3)).all()


def test_a_model_runs_with_its_switches(tmp_path: Path, rng: np.random.Generator) -> None:
    model = Mask2Alpha(PRESETS["tiny"])
    for parameter in model.parameters():  # untrained, the detail stage adds nothing
        parameter.data += 0.05 * torch.randn_like(parameter)
    weights = save_model(model, tmp_path / "tiny.safetensors")
    mask = disc((40, 50), 12)
    image = photograph(mask, rng)
    alphas = [
        load_method(parse_method(f"{weights}{switches}"))(image, mask)
        for switches in ("", ":error_threshold=1", ":no-detail", ":error_threshold=0")
    ]
    assert all(alpha.shape == mask.shape for alpha in alphas)
    assert (alphas[1] == alphas[2]).all()
    assert (alphas[2] != alphas[3]).any()


def save_onnx(path: Path, inputs: dict[str, list[Any]], nodes: list[Any], constants: dict[str, Any]) -> Path:
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info("alpha", TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return path


def test_an_onnx_network_gets_photograph_and_mask(tmp_path: Path, rng: np.random.Generator) -> None:
    """Its alpha is the red channel times the mask."""
    nodes = [
        helper.make_node("Gather", ["image", "red"], ["r"], axis=1),
        helper.make_node("Mul", ["r", "m"], ["alpha"]),
    ]
    path = save_onnx(
        tmp_path / "net.onnx",
        {"image": [1, 3, "h", "w"], "m": [1, 1, "h", "w"]},
        nodes,
        {"red": np.array([0], dtype=np.int64)},
    )
    mask = disc((37, 50), 12)
    image = photograph(mask, rng)
    alpha = load_method(parse_method(f"onnx:{path}"))(image, mask)
    np.testing.assert_allclose(alpha, image[..., 0] / 255 * mask, atol=1e-6)
    resized = load_onnx(path, size=32)(image, mask)
    assert resized.shape == mask.shape
    assert np.abs(resized - alpha).mean() < 0.1


def test_an_onnx_network_with_four_channels_and_a_fixed_size(tmp_path: Path, rng: np.random.Generator) -> None:
    """Its alpha is the fourth channel, here the trimap."""
    nodes = [helper.make_node("Gather", ["given", "last"], ["alpha"], axis=1)]
    path = save_onnx(tmp_path / "net.onnx", {"given": [1, 4, 40, 40]}, nodes, {"last": np.array([3], dtype=np.int64)})
    mask = disc((40, 40), 12)
    alpha = load_onnx(path, guide="trimap", width=3)(photograph(mask, rng), mask)
    np.testing.assert_allclose(alpha, make_trimap(mask, width=3))


def test_a_network_that_sees_no_mask_is_kept_near_it(tmp_path: Path, rng: np.random.Generator) -> None:
    """Its logits are twice the normalised blue channel."""
    nodes = [
        helper.make_node("Gather", ["image", "blue"], ["b"], axis=1),
        helper.make_node("Mul", ["b", "two"], ["alpha"]),
    ]
    constants = {"blue": np.array([2], dtype=np.int64), "two": np.array([2], dtype=np.float32)}
    path = save_onnx(tmp_path / "net.onnx", {"image": [1, 3, None, None]}, nodes, constants)
    mask = disc((32, 32), 9)
    image = photograph(mask, rng)
    options = {"mean": (0.0, 0.0, 0.5), "std": (1.0, 1.0, 0.25), "activation": "sigmoid"}
    expected = 1 / (1 + np.exp(-2 * (image[..., 2] / 255 - 0.5) / 0.25))
    np.testing.assert_allclose(load_onnx(path, **options)(image, mask), expected, atol=1e-5)
    near = make_trimap(mask, width=2) == 0.5
    np.testing.assert_allclose(
        load_onnx(path, **options, within=2)(image, mask), np.where(near, expected, mask), atol=1e-5
    )
    with pytest.raises(InputError, match="for logits say activation=sigmoid"):
        load_onnx(path, mean=(0.0, 0.0, 0.5))(image, mask)


def test_other_onnx_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"nothing")
    with pytest.raises(InputError, match="ONNX Runtime cannot load it"):
        load_onnx(tmp_path / "broken.onnx")
    path = save_onnx(tmp_path / "two.onnx", {"given": [1, 2]}, [helper.make_node("Identity", ["given"], ["alpha"])], {})
    with pytest.raises(InputError, match=r"accepted: float32 \(1, channels, height, width\)"):
        load_onnx(path)
