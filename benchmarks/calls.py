"""Sections `masks`, `strokes`, `sizes`, `dtypes` and `backends`: whole calls of `Predictor`, from arrays to arrays.

`whole` is `predict(image, mask)`, encoding included; `further` is `predict(encoded, mask)`, with the encoding at hand.
"""

import tempfile
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from measuring import (
    Settings,
    active_share,
    build_predictor,
    in_child,
    load_example,
    peak_megabytes,
    ratio,
    summarise,
    take_turns,
)
from numpy.typing import NDArray

from mask2alpha.model.config import DEFAULT_MODEL

MODELS = ("base", "small")
SCALES = (1.0, 0.5, 0.25)
"""Side of the part of the picture that holds the object, over the picture's side."""
RESIZED = {"1024²": (1024, 1024), "4K": (2160, 3840), "8K": (4320, 7680)}


def run_masks(settings: Settings) -> dict[str, Any]:
    """What a further mask of the same photograph costs, over the first, by the size of the object."""
    side = 512 if settings.is_quick else 1024
    result: dict[str, Any] = {"size": [side, side]}
    for model in MODELS:
        arguments = {"model": model, "side": side, "repeats": settings.repeats}
        result[model] = in_child("calls.measure_masks", arguments, settings)
    return result


def measure_masks(model: str, side: int, repeats: int) -> dict[str, Any]:
    """One model, all sizes of the object turn by turn."""
    predictor = build_predictor(model)
    scenes = {f"object at {scale:g}": make_scene(side, scale) for scale in SCALES}
    encoded = {name: predictor.encode(image) for name, (image, _) in scenes.items()}
    calls = {}
    for name, (image, mask) in scenes.items():
        calls[f"{name}, whole"] = partial(predictor.predict, image, mask)
        calls[f"{name}, further"] = partial(predictor.predict, encoded[name], mask)
    times = take_turns(calls, repeats)
    return {
        "dtype": str(predictor.dtype).removeprefix("torch."),
        "parameters": sum(parameter.numel() for parameter in predictor.model.parameters()),
        **{
            name: {
                "mask_share": round(float((mask > 127).mean()), 4),
                "active_share": active_share(predictor, predictor.predict(encoded[name], mask).predicted_error),
                **summarise({kind: times[f"{name}, {kind}"] for kind in ("whole", "further")}),
                "further_over_whole": ratio(times, f"{name}, further", f"{name}, whole"),
            }
            for name, (_, mask) in scenes.items()
        },
    }


def make_scene(side: int, scale: float) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The example at `scale` in the upper left corner; mirrored copies, which the mask does not mean, fill the rest."""
    own = round(side * scale)
    image, mask = load_example(own, own)
    rest = ((0, side - own), (0, side - own))
    return np.pad(image, (*rest, (0, 0)), mode="symmetric"), np.pad(mask, rest)


def run_strokes(settings: Settings) -> dict[str, Any]:
    """What follows a brush stroke: the matte with the encoding at hand, over a fresh run with the same mask."""
    height, width = RESIZED["1024²" if settings.is_quick else "4K"]
    return in_child("calls.measure_strokes", {"height": height, "width": width, "repeats": settings.repeats}, settings)


def measure_strokes(height: int, width: int, repeats: int) -> dict[str, Any]:
    """The mask after the stroke, with and without the encoding of the picture."""
    image, after = load_example(height, width)
    predictor = build_predictor(DEFAULT_MODEL)
    encoded = predictor.encode(image)
    calls = {"fresh": partial(predictor.predict, image, after), "matte": partial(predictor.predict, encoded, after)}
    times = take_turns(calls, repeats)
    assert np.array_equal(predictor.predict(encoded, after).alpha, predictor.predict(image, after).alpha)
    return {
        "size": [height, width],
        **summarise(times),
        "matte_over_fresh": ratio(times, "matte", "fresh"),
    }


def run_sizes(settings: Settings) -> dict[str, Any]:
    """The same scene at 4K and 8K over 1024²."""
    names = ["1024²"] if settings.is_quick else list(RESIZED)
    return in_child("calls.measure_sizes", {"names": names, "repeats": max(2, settings.repeats // 2)}, settings)


def measure_sizes(names: list[str], repeats: int) -> dict[str, Any]:
    """The sizes, turn by turn; in the quick run 512² stands for the larger one's base."""
    predictor = build_predictor(DEFAULT_MODEL)
    sizes = {"512²": (512, 512), **RESIZED} if len(names) == 1 else RESIZED
    names = ["512²", *names] if len(names) == 1 else names
    calls = {name: partial(predictor.predict, *load_example(*sizes[name])) for name in names}
    times = take_turns(calls, repeats)
    over = {f"{name} over {names[0]}": ratio(times, name, names[0]) for name in names[1:]}
    return {**summarise(times), "ratios": over}


def run_dtypes(settings: Settings) -> dict[str, Any]:
    """bfloat16 beside float32: time, and how far the mattes are apart."""
    side = 512 if settings.is_quick else 1024
    return in_child("calls.measure_dtypes", {"side": side, "repeats": settings.repeats}, settings)


def measure_dtypes(side: int, repeats: int) -> dict[str, Any]:
    """Both dtypes, turn by turn."""
    image, mask = load_example(side, side)
    predictors = {name: build_predictor(DEFAULT_MODEL, dtype=getattr(torch, name)) for name in ("float32", "bfloat16")}
    times = take_turns({name: partial(p.predict, image, mask) for name, p in predictors.items()}, repeats)
    exact, rounded = (p.predict(image, mask).alpha for p in predictors.values())
    return {
        "size": [side, side],
        **summarise(times),
        "float32_over_bfloat16": ratio(times, "float32", "bfloat16"),
        "mean_difference": float(f"{np.abs(exact - rounded).mean():.3g}"),
        "difference_over_own_sad": float(f"{np.abs(exact - rounded).sum() / np.abs(exact - (mask > 127)).sum():.3g}"),
    }


def run_backends(settings: Settings) -> dict[str, Any]:
    """The exported model in ONNX Runtime and OpenVINO beside PyTorch."""
    side = 512 if settings.is_quick else 1024
    if find_spec("onnx") is None:
        return {"failed": "onnx is not installed"}
    return in_child("calls.measure_backends", {"side": side, "repeats": settings.repeats}, settings)


def measure_backends(side: int, repeats: int) -> dict[str, Any]:
    """All that are installed, turn by turn."""
    from mask2alpha.export.onnx_files import export_model
    from mask2alpha.export.runtime import load_predictor

    image, mask = load_example(side, side)
    predictors = {f"torch {name}": build_predictor(DEFAULT_MODEL, dtype=getattr(torch, name)) for name in _DTYPES}
    with tempfile.TemporaryDirectory() as folder:
        export_model(DEFAULT_MODEL, folder)
        if find_spec("onnxruntime"):
            predictors["onnxruntime float32"] = load_predictor(folder)
        if find_spec("openvino"):
            for name in _DTYPES:
                predictors[f"openvino {name}"] = load_predictor(folder, backend="openvino", dtype=getattr(torch, name))
    encoded = {name: predictor.encode(image) for name, predictor in predictors.items()}
    calls = {}
    for name, predictor in predictors.items():
        calls[f"{name}, whole"] = partial(predictor.predict, image, mask)
        calls[f"{name}, further"] = partial(predictor.predict, encoded[name], mask)
    times = take_turns(calls, repeats)
    exact = predictors["torch float32"].predict(image, mask).alpha
    result: dict[str, Any] = {"size": [side, side], "peak_mb": peak_megabytes()}
    for name, predictor in predictors.items():
        difference = np.abs(predictor.predict(image, mask).alpha - exact)
        result[name] = {
            **summarise({kind: times[f"{name}, {kind}"] for kind in ("whole", "further")}),
            "whole_over_torch": ratio(times, f"{name}, whole", "torch bfloat16, whole"),
            "largest_difference": float(f"{difference.max():.3g}"),
            "mean_difference": float(f"{difference.mean():.3g}"),
        }
    return result


_DTYPES = ("float32", "bfloat16")
