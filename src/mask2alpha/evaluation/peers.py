"""Ways from a photograph and a mask to a matte that a model is compared with, and how `compare` names them.

A method is named by a text: `NAME`, `NAME:OPTION=VALUE,…`, `predictions:FOLDER` or `onnx:FILE,OPTION=VALUE,…`; a name
that is not in `PEERS` is a model of ours. `OPTIONS` lists what each accepts. Heavy packages are imported where a
method is loaded, so that a process that runs one method holds no other's libraries.

Legend: `image` is (H, W, 3) uint8 or uint16, `mask` (H, W) bool, `alpha` (H, W) floating in [0, 1].
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from mask2alpha._version import __version__
from mask2alpha.errors import InputError
from mask2alpha.evaluation.masks import dilate
from mask2alpha.extras import import_extra

Matting: TypeAlias = Callable[[npt.NDArray[Any], npt.NDArray[np.bool_]], npt.NDArray[Any]]
"""`matting(image, mask)` returns an alpha; see the module's legend."""

MODEL = "model"
"""The name of a method that is a model of ours."""
PREDICTIONS = "predictions"
"""The name of mattes that were made elsewhere: FOLDER/KIND/NAME.png."""

_FloatArray: TypeAlias = npt.NDArray[np.float64]
_BoolArray: TypeAlias = npt.NDArray[np.bool_]
_PACKAGE_OF = {
    "closed-form": "pymatting",
    "knn": "pymatting",
    "lbdm": "pymatting",
    "random-walk": "pymatting",
    "onnx": "onnxruntime",
}
_PAD_MULTIPLE = 32
_RECIPE = 1
"""Raised whenever a method of this file gives other mattes; results of another recipe are made again."""


def _switch(text: str) -> bool:
    raise ValueError(f"it takes no value, got {text!r}")


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split("/"))


def _choice(*accepted: str) -> Callable[[str], str]:
    def choose(text: str) -> str:
        if text not in accepted:
            raise ValueError(f"expected one of {', '.join(accepted)}, got {text!r}")
        return text

    return choose


def _above_zero(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise ValueError(f"expected a number above 0, got {text!r}")
    return number


def _whole(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(f"expected a whole number of at least 1, got {text!r}")
    return number


_TRIMAP_OPTIONS: dict[str, tuple[Callable[[str], Any], Any]] = {"width": (_whole, 15)}
OPTIONS: Mapping[str, Mapping[str, tuple[Callable[[str], Any], Any]]] = {
    "mask": {},
    "feather": {"sigma": (_above_zero, 3.0)},
    "guided-filter": {"radius": (_whole, 60), "eps": (_above_zero, 1e-6)},
    "closed-form": _TRIMAP_OPTIONS,
    "knn": _TRIMAP_OPTIONS,
    "lbdm": _TRIMAP_OPTIONS,
    "random-walk": _TRIMAP_OPTIONS,
    PREDICTIONS: {},
    "onnx": {
        "size": (_whole, None),
        "mean": (_numbers, (0.0,)),
        "std": (_numbers, (1.0,)),
        "guide": (_choice("mask", "trimap"), "mask"),
        "width": (_whole, 15),
        "activation": (_choice("none", "sigmoid"), "none"),
        "within": (_whole, None),
    },
    MODEL: {
        "steps": (_whole, None),
        "error_threshold": (float, None),
        "active_budget": (int, None),
        "no-detail": (_switch, False),
        "dtype": (_choice("float32", "bfloat16", "float16"), "float32"),
        "device": (str, None),
    },
}
"""Per method its options, each with its reader and its value where nothing is said. Every method also takes `label`.

- `feather`: `sigma` of the Gaussian, in pixels.
- `guided-filter`: `radius` of the square window and `eps`, for colours in [0, 1]; the defaults are those of He et al.
- `closed-form`, `knn`, `lbdm`, `random-walk`: `width` in pixels of the unknown band on each side of the mask's border.
- `onnx`: see `load_onnx`.
- model: as in `mask2alpha eval`; `no-detail` leaves out the full-resolution stage.
"""
PEERS = tuple(name for name in OPTIONS if name != MODEL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One way to make mattes, as the user named it."""

    text: str
    """What the user wrote."""
    name: str
    """One of `PEERS`, or `MODEL`."""
    source: str | None
    """A model's weights, the folder of `predictions`, the file of `onnx`."""
    options: dict[str, Any]
    """Every option of `OPTIONS[name]` with its value."""
    label: str
    """What tables call it."""


def parse_method(text: str) -> Method:
    """Read a method's name and options.

    Raises:
        InputError: An option is unknown or its value cannot be used; the message says what is accepted.
    """
    head, colon, tail = text.partition(":")
    if head in PEERS:
        name, source, parts = head, None, tail.split(",") if colon else []
        if name in (PREDICTIONS, "onnx"):
            source, parts = (parts[0], parts[1:]) if parts else ("", [])
            if not source:
                what = "FOLDER" if name == PREDICTIONS else "FILE"
                raise InputError(f"method: {text!r} names no {what}; write {name}:{what}")
    else:
        name = MODEL
        source, colon, tail = text.rpartition(":")
        if not colon or not ("=" in tail or tail == "no-detail"):
            source, tail = text, ""
        parts = tail.split(",") if tail else []
        if not source:
            raise InputError(f"method: {text!r} names no method; accepted: {', '.join(PEERS)}, or a model")
    accepted = OPTIONS[name]
    options = {option: default for option, (_, default) in accepted.items()}
    label = None
    for part in parts:
        option, equals, value = part.partition("=")
        if option == "label" and value:
            label = value
        elif option not in accepted or not (equals or accepted[option][0] is _switch):
            known = ", ".join([*accepted, "label"])
            raise InputError(f"method: {text!r}: {part!r} is not an option of {name}; accepted: {known}")
        else:
            try:
                options[option] = accepted[option][0](value) if equals else True
            except ValueError as error:
                raise InputError(f"method: {text!r}: {option}: {error}") from error
    return Method(text=text, name=name, source=source, options=options, label=label or _short(text, source))


def _short(text: str, source: str | None) -> str:
    """The text, of a path its last part only (its folder's, where the file has the usual name)."""
    if source is None or "/" not in source:
        return text
    path = Path(source)
    return text.replace(source, path.parent.name if path.name == "model.safetensors" else path.name)


def identify_method(method: Method) -> str:
    """Name, settings and versions of what makes the mattes, in words: the same words mean the same mattes.

    Raises:
        InputError: A package, folder or file that the method needs is not there; the message says how to get it.
        CheckpointError: The model's weights cannot be found.
    """
    package = _PACKAGE_OF.get(method.name)
    if package is not None and find_spec(package) is None:
        raise InputError(f"method: {method.text!r} needs {package}: pip install 'mask2alpha[peers]'")
    settings = ", ".join(
        f"{name} {value}" for name, value in sorted(method.options.items()) if value is not None and value is not False
    )
    about = [method.name, settings, f"mask2alpha {__version__}" if method.name == MODEL else f"recipe {_RECIPE}"]
    if package is not None:
        about.append(f"{package} {version(package)}")
    if method.name == PREDICTIONS and not Path(method.source or "").is_dir():
        raise InputError(f"method: {method.text!r}: there is not a folder {method.source}")
    if method.name == "onnx":
        path = Path(method.source or "")
        if not path.is_file():
            raise InputError(f"method: {method.text!r}: there is no file {method.source}")
        about.append(f"file {_digest(path)}")
    if method.name == MODEL:
        from mask2alpha.checkpoints import find_checkpoint

        about += [f"weights {_digest(find_checkpoint(method.source or ''))}", f"torch {version('torch')}"]
    return "; ".join(part for part in about if part)


def load_method(method: Method) -> Matting:
    """Make a method ready to run; imports what it needs. Not for `predictions`, whose mattes are read by the pair."""
    options = method.options
    if method.name == "mask":
        return lambda image, mask: mask.astype(np.float32)
    if method.name == "feather":
        return lambda image, mask: feather(mask, sigma=options["sigma"])
    if method.name == "guided-filter":
        return lambda image, mask: filter_guided(image, mask, radius=options["radius"], eps=options["eps"])
    if method.name == "onnx":
        return load_onnx(Path(method.source or ""), **options)
    if method.name == MODEL:
        return _load_model(method.source or "", options)
    assert _PACKAGE_OF.get(method.name) == "pymatting", method.name
    return _load_pymatting(method.name, options["width"])


def feather(mask: _BoolArray, *, sigma: float) -> _FloatArray:
    """The mask blurred by a Gaussian of `sigma` pixels; beyond the picture the mask goes on as at its edge."""
    radius = max(1, int(np.ceil(4 * sigma)))
    blurred = _ndimage().gaussian_filter(mask.astype(np.float64), sigma, mode="nearest", radius=radius)
    return np.asarray(np.clip(blurred, 0, 1))


def filter_guided(image: npt.NDArray[Any], mask: _BoolArray, *, radius: int, eps: float) -> _FloatArray:
    """The mask filtered with the photograph's colours as guide.

    Source: He, Sun, Tang: Guided Image Filtering (ECCV 2010), the colour guide of equations 14 to 16 of its journal
    version (PAMI 2013), whose settings for feathering are radius 60 and eps 1e-6. Windows end at the picture's edge.
    """
    guide = _unit_range(image)
    target = mask.astype(np.float64)
    mean_of = partial(_box_mean, radius=radius)
    mean_guide = np.stack([mean_of(guide[..., channel]) for channel in range(3)])
    mean_target = mean_of(target)
    covariance = np.empty((3, 3, *mask.shape))
    cross = np.empty((3, *mask.shape))
    for i in range(3):
        cross[i] = mean_of(guide[..., i] * target) - mean_guide[i] * mean_target
        for j in range(i, 3):
            covariance[i, j] = covariance[j, i] = (
                mean_of(guide[..., i] * guide[..., j]) - mean_guide[i] * mean_guide[j] + (eps if i == j else 0)
            )
    slope = _solve_symmetric(covariance, cross)
    offset = mean_target - (slope * mean_guide).sum(axis=0)
    alpha = mean_of(offset)
    for channel in range(3):
        alpha += mean_of(slope[channel]) * guide[..., channel]
    return np.clip(alpha, 0, 1)


def make_trimap(mask: _BoolArray, *, width: int) -> _FloatArray:
    """1 in the mask eroded by a disc of `width` pixels, 0 outside the mask dilated by it, 0.5 between.

    The mask goes on beyond the picture's edge: where it touches the edge, nothing is eroded from there.
    """
    trimap = np.full(mask.shape, 0.5)
    trimap[~dilate(mask, width)] = 0
    trimap[~dilate(~mask, width)] = 1
    return trimap


def load_onnx(
    path: Path,
    *,
    size: int | None = None,
    mean: tuple[float, ...] = (0.0,),
    std: tuple[float, ...] = (1.0,),
    guide: str = "mask",
    width: int = 15,
    activation: str = "none",
    within: int | None = None,
) -> Matting:
    """A matting or segmentation network in an ONNX file, run by ONNX Runtime on the CPU.

    Its inputs are float32 in the order (1, channels, height, width): three channels are the photograph, RGB, as
    (value - `mean`) / `std` of values in [0, 1]; one channel is the guide; four are the photograph and the guide.
    Its first output is the alpha, (height, width) with any axes of length 1.

    Args:
        path: The file.
        size: Height and width of the input, where the file leaves them open; None: the photograph's own, padded at the
            lower and right edge to multiples of 32. Where inputs have another size than the photograph, it is resized
            to theirs without keeping its proportions, and the alpha is resized back.
        mean: One number, or one per channel.
        std: As `mean`.
        guide: `mask`, 0 or 1, or `trimap`, 0, 0.5 or 1, made from the mask.
        width: Width in pixels of that trimap's unknown band on each side of the border.
        activation: `sigmoid` where the file gives logits.
        within: For networks that see no mask: their alpha is kept within so many pixels of the mask's border, further
            away the mask itself is the matte. None: the network's alpha everywhere.

    Raises:
        InputError: The file's inputs or its output are not as said; the latter when it is run.
    """
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no common class
        raise InputError(f"{path}: ONNX Runtime cannot load it: {error}") from error
    inputs = session.get_inputs()
    for given in inputs:
        if given.type != "tensor(float)" or len(given.shape) != 4 or given.shape[1] not in (1, 3, 4):
            raise InputError(
                f"{path}: its input {given.name!r} is {given.type} of shape {given.shape}; "
                "accepted: float32 (1, channels, height, width) with 1, 3 or 4 channels"
            )

    def matting(image: npt.NDArray[Any], mask: _BoolArray) -> npt.NDArray[Any]:
        colours = ((_unit_range(image) - np.array(mean)) / np.array(std)).transpose(2, 0, 1).astype(np.float32)
        hint = (make_trimap(mask, width=width) if guide == "trimap" else mask)[None].astype(np.float32)
        planes = {3: colours, 1: hint, 4: np.concatenate([colours, hint])}
        feeds = {given.name: _fit(planes[given.shape[1]], given.shape[2:], size)[None] for given in inputs}
        output: npt.NDArray[Any] = np.squeeze(np.asarray(session.run(None, feeds)[0], dtype=np.float32))
        if output.ndim != 2:
            raise InputError(f"{path}: its first output has shape {output.shape}, expected (height, width)")
        if activation == "sigmoid":
            output = 1 / (1 + np.exp(-output))
        if not (output.min() >= -1e-3 and output.max() <= 1 + 1e-3):
            raise InputError(
                f"{path}: its output lies in [{output.min():g}, {output.max():g}], expected [0, 1]; "
                "for logits say activation=sigmoid"
            )
        alpha = np.clip(_unfit(output, mask.shape, is_padded=_is_open(inputs[0].shape[2:], size)), 0, 1)
        if within is not None:
            alpha = np.where(make_trimap(mask, width=within) == 0.5, alpha, mask)
        return alpha

    return matting


def _load_model(source: str, options: Mapping[str, Any]) -> Matting:
    import torch

    from mask2alpha.checkpoints import load_model
    from mask2alpha.pipeline.predictor import Predictor

    predictor = Predictor(
        load_model(source),
        device=options["device"],
        dtype=getattr(torch, options["dtype"]),
        num_steps=options["steps"],
        error_threshold=1.0 if options["no-detail"] else options["error_threshold"],
        active_budget=options["active_budget"],
    )
    return lambda image, mask: predictor.predict(image, mask).alpha


def _load_pymatting(name: str, width: int) -> Matting:
    import pymatting

    estimate = {
        "closed-form": pymatting.estimate_alpha_cf,
        "knn": pymatting.estimate_alpha_knn,
        "lbdm": pymatting.estimate_alpha_lbdm,
        "random-walk": pymatting.estimate_alpha_rw,
    }[name]

    def matting(image: npt.NDArray[Any], mask: _BoolArray) -> npt.NDArray[Any]:
        trimap = make_trimap(mask, width=width)
        for value, side in ((1, "inside"), (0, "outside")):
            if not (trimap == value).any():
                raise InputError(f"mask: nothing {side} it is further than {width} pixels from its border")
        alpha: npt.NDArray[Any] = np.clip(estimate(_unit_range(image), trimap), 0, 1)
        return alpha

    return matting


def _unit_range(image: npt.NDArray[Any]) -> _FloatArray:
    return image / float(np.iinfo(image.dtype).max)


def _box_mean(values: _FloatArray, *, radius: int) -> _FloatArray:
    """The mean over a square window of 2 `radius` + 1 pixels, of those that lie in the picture."""
    mean = partial(_ndimage().uniform_filter, size=2 * radius + 1, mode="constant")
    return np.asarray(mean(values) / mean(np.ones_like(values)))


def _ndimage() -> Any:
    return import_extra("scipy.ndimage", extra="eval", purpose="comparing methods")


def _solve_symmetric(matrix: _FloatArray, right: _FloatArray) -> _FloatArray:
    """X of matrix x = right, for symmetric matrices (3, 3, H, W) and vectors (3, H, W), by cofactors."""
    (a, b, c), (_, d, e), (_, _, f) = matrix
    cofactors = [
        [d * f - e * e, c * e - b * f, b * e - c * d],
        [c * e - b * f, a * f - c * c, b * c - a * e],
        [b * e - c * d, b * c - a * e, a * d - b * b],
    ]
    determinant = a * cofactors[0][0] + b * cofactors[0][1] + c * cofactors[0][2]
    return np.stack([sum(row[j] * right[j] for j in range(3)) / determinant for row in cofactors])


def _is_open(sides: list[Any], size: int | None) -> bool:
    return size is None and not all(isinstance(side, int) for side in sides)


def _fit(planes: npt.NDArray[np.float32], sides: list[Any], size: int | None) -> npt.NDArray[np.float32]:
    """Planes (channels, H, W) at the size that the network takes."""
    height, width = planes.shape[1:]
    if _is_open(sides, size):
        pads = [-height % _PAD_MULTIPLE, -width % _PAD_MULTIPLE]
        return np.pad(planes, [(0, 0), (0, pads[0]), (0, pads[1])], mode="edge")
    wanted_height, wanted_width = (side if isinstance(side, int) else size for side in sides)
    return np.stack([_resize(plane, (int(wanted_height or 1), int(wanted_width or 1))) for plane in planes])


def _unfit(alpha: npt.NDArray[np.float32], size: tuple[int, ...], *, is_padded: bool) -> npt.NDArray[np.float32]:
    height, width = size
    return alpha[:height, :width] if is_padded else _resize(alpha, (height, width))


def _resize(plane: npt.NDArray[np.float32], size: tuple[int, int]) -> npt.NDArray[np.float32]:
    if plane.shape == size:
        return plane
    resized = Image.fromarray(plane).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(resized, dtype=np.float32)


def _digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()[:12]
