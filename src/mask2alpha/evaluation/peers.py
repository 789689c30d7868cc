"""Methods that a model is compared with, and how `compare` names them.

A method is named by a text: `NAME`, `NAME:OPTION=VALUE,…`, `predictions:FOLDER` or `onnx:FILE,OPTION=VALUE,…`; a name
that is not in `PEERS` is a model of ours. Heavy packages are imported where a method is loaded, so that a process that
runs one method holds no other method's libraries.

Legend: `image` is (H, W, 3) uint8 or uint16, `mask` (H, W) bool, `alpha` (H, W) floating in [0, 1].
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
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
from mask2alpha.imaging.made import digest

Matting: TypeAlias = Callable[[npt.NDArray[Any], npt.NDArray[np.bool_]], npt.NDArray[Any]]
"""`matting(image, mask)` returns an alpha; see the module's legend."""

MODEL = "model"
"""The name of a method that is a model of ours."""
PREDICTIONS = "predictions"
"""The name of mattes that were made elsewhere: FOLDER/KIND/NAME.png."""

_FloatArray: TypeAlias = npt.NDArray[np.float64]
_BoolArray: TypeAlias = npt.NDArray[np.bool_]
_PAD_MULTIPLE = 32
_RECIPE = 1
"""Increase it whenever a method of this file gives other mattes; results of another recipe are made again."""


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
    """Every option of the method with its value."""
    label: str
    """What tables call it."""


def parse_method(text: str) -> Method:
    """Read a method's name and options.

    Raises:
        InputError: An option is unknown or its value cannot be used; the message says what is accepted.
    """
    name, source, parts = _split(text)
    accepted = _PEERS[name].options
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


def _split(text: str) -> tuple[str, str | None, list[str]]:
    """The name, the source and the options of a method's text."""
    name, colon, tail = text.partition(":")
    parts = tail.split(",") if colon else []
    if name in PEERS:
        if not _PEERS[name].source:
            return name, None, parts
        if not tail or not parts[0]:
            what = _PEERS[name].source
            raise InputError(f"method: {text!r} names no {what}; write {name}:{what}")
        return name, parts[0], parts[1:]
    source, colon, tail = text.rpartition(":")
    if not colon or not ("=" in tail or tail == "no-detail"):  # a path may have a colon
        source, tail = text, ""
    if not source:
        raise InputError(f"method: {text!r} names no method; accepted: {', '.join(PEERS)}, or a model")
    return MODEL, source, tail.split(",") if tail else []


def _short(text: str, source: str | None) -> str:
    """The text, with only the last part of a path (the folder's name if the file has the usual name)."""
    if source is None or "/" not in source:
        return text
    path = Path(source)
    return text.replace(source, path.parent.name if path.name == "model.safetensors" else path.name)


def find_source(method: Method) -> Path | None:
    """The file or folder that a method reads; None if it reads nothing.

    Raises:
        InputError: It does not exist.
        CheckpointError: The model's weights cannot be found.
    """
    if method.source is None:
        return None
    if method.name == MODEL:
        from mask2alpha.checkpoints import find_checkpoint

        return find_checkpoint(method.source)
    path = Path(method.source)
    if not (path.is_dir() if method.name == PREDICTIONS else path.is_file()):
        what = "folder" if method.name == PREDICTIONS else "file"
        raise InputError(f"method: {method.text!r}: there is no {what} {method.source}")
    return path


def identify_method(method: Method) -> str:
    """Name, settings and versions of what makes the mattes, in words: the same words mean the same mattes.

    Raises:
        InputError: The method needs a package, folder or file that is missing; the message says how to get it.
        CheckpointError: The model's weights cannot be found.
    """
    package = _PEERS[method.name].package
    if package is not None and find_spec(package) is None:
        raise InputError(f"method: {method.text!r} needs {package}: pip install 'mask2alpha[peers]'")
    settings = ", ".join(
        f"{name} {value}" for name, value in sorted(method.options.items()) if value is not None and value is not False
    )
    about = [method.name, settings, f"mask2alpha {__version__}" if method.name == MODEL else f"recipe {_RECIPE}"]
    if package is not None:
        about.append(f"{package} {version(package)}")
    source = find_source(method)
    if source is not None and method.name != PREDICTIONS:
        start = digest(source)[:12]
        about += [f"weights {start}", f"torch {version('torch')}"] if method.name == MODEL else [f"file {start}"]
    return "; ".join(part for part in about if part)


def load_method(method: Method) -> Matting:
    """Make a method ready to run; it imports what it needs. Not for `predictions`, which are files for each pair."""
    loaded: Matting = _PEERS[method.name].load(method.source or "", **method.options)
    return loaded


def feather(mask: _BoolArray, *, sigma: float) -> _FloatArray:
    """The mask blurred by a Gaussian of `sigma` pixels; beyond the photo the mask continues as at its edge."""
    radius = max(1, int(np.ceil(4 * sigma)))
    blurred = _ndimage().gaussian_filter(mask.astype(np.float64), sigma, mode="nearest", radius=radius)
    return np.asarray(np.clip(blurred, 0, 1))


def filter_guided(image: npt.NDArray[Any], mask: _BoolArray, *, radius: int, eps: float) -> _FloatArray:
    """The mask filtered with the photo's colours as guide.

    Source: He, Sun, Tang: Guided Image Filtering (ECCV 2010), the colour guide of equations 14 to 16 of its journal
    version (PAMI 2013), whose settings for feathering are radius 60 and eps 1e-6. Windows end at the photo's edge.
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

    Beyond the photo the mask continues as at the edge, so nothing is eroded from the edge.
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

    Its inputs are float32 in the order (1, channels, height, width): three channels are the photo, RGB, as
    (value - `mean`) / `std` of values in [0, 1]; one channel is the guide; four are the photo and the guide.
    Its first output is the alpha, (height, width) with any axes of length 1.

    Args:
        path: The file.
        size: Height and width of the input, if the file leaves them open; None: the photo's own, padded at the lower
            and right edge to multiples of 32. If the input has another size, the photo is resized to it without keeping
            its proportions, and the alpha is resized back.
        mean: One number, or one per channel.
        std: As `mean`.
        guide: `mask`, 0 or 1, or `trimap`, 0, 0.5 or 1, made from the mask.
        width: Width in pixels of that trimap's unknown band on each side of the border.
        activation: `sigmoid` if the file gives logits.
        within: For networks that see no mask: their alpha counts within so many pixels of the mask's border, and
            further away the mask is the matte. None: the network's alpha everywhere.

    Raises:
        InputError: The file's inputs are other ones, or, when it is run, its output is.
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


def _load_model(source: str, **options: Any) -> Matting:
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


def _load_pymatting(function: str, source: str, width: int) -> Matting:
    estimate = getattr(import_extra("pymatting", extra="peers", purpose="this method"), function)

    def matting(image: npt.NDArray[Any], mask: _BoolArray) -> npt.NDArray[Any]:
        trimap = make_trimap(mask, width=width)
        for value, side in ((1, "inside"), (0, "outside")):
            if not (trimap == value).any():
                raise InputError(f"mask: no pixel {side} it is more than {width} pixels away from its border")
        return np.asarray(np.clip(estimate(_unit_range(image), trimap), 0, 1))

    return matting


def _unit_range(image: npt.NDArray[Any]) -> _FloatArray:
    return image / float(np.iinfo(image.dtype).max)


def _box_mean(values: _FloatArray, *, radius: int) -> _FloatArray:
    """The mean over a square window of 2 `radius` + 1 pixels, of those in the photo."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Peer:
    """One method."""

    load: Callable[..., Matting]
    """`load(source, **options)` makes it ready to run."""
    options: Mapping[str, tuple[Callable[[str], Any], Any]] = field(default_factory=dict)
    """Each option with its reader and its default value. Every method also takes `label`."""
    package: str | None = None
    """What must be installed."""
    source: str = ""
    """What must be named, FILE or FOLDER."""


def _pymatting(function: str) -> _Peer:
    """A method of pymatting; `width` in pixels of the unknown band on each side of the mask's border."""
    return _Peer(load=partial(_load_pymatting, function), options={"width": (_whole, 15)}, package="pymatting")


def _load_nothing(source: str) -> Matting:
    raise AssertionError("mattes made elsewhere are read pair by pair")


_PEERS: Mapping[str, _Peer] = {
    "mask": _Peer(load=lambda source: lambda image, mask: mask.astype(np.float32)),
    "feather": _Peer(
        load=lambda source, sigma: lambda image, mask: feather(mask, sigma=sigma),
        options={"sigma": (_above_zero, 3.0)},  # pixels
    ),
    "guided-filter": _Peer(
        load=lambda source, **options: partial(filter_guided, **options),
        options={"radius": (_whole, 60), "eps": (_above_zero, 1e-6)},  # He et al.'s, for colours in [0, 1]
    ),
    "closed-form": _pymatting("estimate_alpha_cf"),
    "knn": _pymatting("estimate_alpha_knn"),
    "lbdm": _pymatting("estimate_alpha_lbdm"),
    "random-walk": _pymatting("estimate_alpha_rw"),
    PREDICTIONS: _Peer(load=_load_nothing, source="FOLDER"),
    "onnx": _Peer(
        load=lambda source, **options: load_onnx(Path(source), **options),
        options={
            "size": (_whole, None),
            "mean": (_numbers, (0.0,)),
            "std": (_numbers, (1.0,)),
            "guide": (_choice("mask", "trimap"), "mask"),
            "width": (_whole, 15),
            "activation": (_choice("none", "sigmoid"), "none"),
            "within": (_whole, None),
        },
        package="onnxruntime",
        source="FILE",
    ),
    MODEL: _Peer(
        load=_load_model,
        options={
            "steps": (_whole, None),
            "error_threshold": (float, None),
            "active_budget": (int, None),
            "no-detail": (_switch, False),  # leaves out the full-resolution stage
            "dtype": (_choice("float32", "bfloat16", "float16"), "float32"),
            "device": (str, None),
        },
    ),
}
PEERS = tuple(name for name in _PEERS if name != MODEL)
"""The names of methods that are not models of ours."""
