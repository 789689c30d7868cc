"""Weights and their metadata in one safetensors file; never a pickle.

The weights of a frozen backbone are not in it: the configuration names the backbone, and `backbones` has its file.

The file's metadata holds ``format`` ("mask2alpha"), ``format_version``, ``model_config`` (JSON) and ``metadata``
(JSON): ``mask2alpha_version``, ``preset``, and what the writer knows of ``recipe``, ``commit``, ``step``,
``initial_weights`` (name, origin, licence), ``training_data`` (each with its licence) and ``metrics``.
"""

import json
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from mask2alpha._version import __version__
from mask2alpha.backbones import PREFIX, load_backbone
from mask2alpha.errors import CheckpointError, InputError
from mask2alpha.imaging.atomic import replacing
from mask2alpha.model.config import PRESETS, ModelConfig
from mask2alpha.model.mask2alpha import Mask2Alpha

FORMAT = "mask2alpha"
FORMAT_VERSION = 1
FILE_NAME = "model.safetensors"
_PICKLE_SUFFIXES = {".pth", ".pt", ".bin", ".ckpt", ".pkl", ".pickle"}
_HUB_ID = re.compile(r"(?P<repo>[\w][\w.-]*/[\w][\w.-]*)(@(?P<revision>[\w./-]+))?")


def save_model(
    model: Mask2Alpha,
    path: str | Path,
    metadata: Mapping[str, Any] | None = None,
    *,
    dtype: torch.dtype = torch.float32,
) -> Path:
    """Write weights, configuration and provenance into one safetensors file, whole or not at all.

    Args:
        model: Its state is written; it is not changed.
        path: The file; a folder (existing, or a name without suffix) gets `model.safetensors` in it.
        metadata: JSON-able provenance; the module's docstring names the usual keys.
        dtype: Type in which floating-point tensors are stored.

    Returns:
        The file written.

    Raises:
        CheckpointError: The suffix is not `.safetensors`, the metadata is not JSON, the model's backbone differs from
            the one that its configuration names, or the file cannot be written.
    """
    path = Path(path)
    if path.is_dir() or not path.suffix:
        path = path / FILE_NAME
    if path.suffix != ".safetensors":
        raise CheckpointError(f"{path}: weights are written as .safetensors, not as {path.suffix}")
    tensors = {
        name: tensor.detach().to("cpu", dtype if tensor.is_floating_point() else tensor.dtype, copy=True).contiguous()
        for name, tensor in head_of(model).items()
    }
    about = {"preset": _preset_name(model.config), **(metadata or {}), "mask2alpha_version": __version__}
    try:
        header = {
            "format": FORMAT,
            "format_version": str(FORMAT_VERSION),
            "model_config": json.dumps(model.config.to_dict(), sort_keys=True),
            "metadata": json.dumps(about, sort_keys=True),
        }
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: the metadata cannot be written as JSON: {error}") from error
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            save_file(tensors, temporary, metadata=header)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be written: {error}") from error
    return path


def head_of(model: Mask2Alpha) -> dict[str, torch.Tensor]:
    """The tensors of a model's `state_dict` that its checkpoint holds: all but those of a named backbone.

    Raises:
        CheckpointError: The model's backbone differs from the one that its configuration names.
    """
    tensors = model.state_dict()
    name = model.config.encoder.backbone
    if name is None:
        return tensors
    for own_name, published in load_backbone(name).items():
        own = tensors.pop(PREFIX + own_name)
        if not torch.equal(own.detach().to("cpu", torch.float32), published):
            raise CheckpointError(
                f"the model's {PREFIX}{own_name} is not that of the backbone {name!r}; to save a ViT that was trained, "
                "give the model a configuration with encoder.backbone=None"
            )
    return tensors


def build_model(config: ModelConfig) -> Mask2Alpha:
    """Build a model in training mode with random weights, and with the published ones of a named backbone.

    Raises:
        CheckpointError: The backbone is unknown, or its file is missing or damaged.
    """
    model = Mask2Alpha(config)
    if config.encoder.backbone is not None:
        backbone = load_backbone(config.encoder.backbone)
        model.load_state_dict({PREFIX + name: tensor for name, tensor in backbone.items()}, strict=False)
    return model


def load_model(source: str | Path) -> Mask2Alpha:
    """Build the model that a checkpoint describes, with its weights in float32, in evaluation mode.

    Args:
        source: A shipped name (`"base"`, `"small"`), a .safetensors file or a folder with one, or a hub id `org/name`
            or `org/name@revision` (file `model.safetensors`).

    Raises:
        CheckpointError: It cannot be found or read, is not a mask2alpha checkpoint, or its tensors do not fit.
    """
    path = find_checkpoint(source)
    metadata = read_metadata(path)
    try:
        model = build_model(ModelConfig.from_dict(metadata["model_config"]))
    except InputError as error:
        raise CheckpointError(f"{path}: {error}") from error
    tensors = read_tensors(path)
    is_named = model.config.encoder.backbone is not None
    head = {name: tensor for name, tensor in model.state_dict().items() if not (is_named and name.startswith(PREFIX))}
    check_fit(head, tensors, source=path, target="the model")
    model.load_state_dict(tensors, strict=not is_named)
    return model.eval()


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of a safetensors file, by name.

    Raises:
        CheckpointError: It cannot be read; names the file.
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be read as safetensors: {error}") from error


def read_metadata(source: str | Path) -> dict[str, Any]:
    """Read the metadata of a checkpoint: `format_version`, `model_config` and what the writer added.

    Args:
        source: As for `load_model`. The tensors are not read.

    Raises:
        CheckpointError: It cannot be found or read, or is not a mask2alpha checkpoint.
    """
    path = find_checkpoint(source)
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be read as safetensors: {error}") from error
    if header.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not a mask2alpha checkpoint (its metadata does not say format = {FORMAT!r})")
    try:
        version = int(header["format_version"])
        if version > FORMAT_VERSION:
            raise CheckpointError(
                f"{path}: checkpoint format {version} is newer than this mask2alpha {__version__} knows "
                f"(up to {FORMAT_VERSION}); upgrade mask2alpha"
            )
        return {
            **json.loads(header["metadata"]),
            "model_config": json.loads(header["model_config"]),
            "format_version": version,
        }
    except (KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path}: damaged checkpoint metadata: {error!r}") from error


def shipped_names() -> list[str]:
    """Names of the weights that come with the package."""
    folder = Path(str(resources.files("mask2alpha") / "weights"))
    return sorted(file.stem for file in folder.glob("*.safetensors"))


def find_checkpoint(source: str | Path) -> Path:
    """Find the local file of a shipped name, a path or a hub id (which is downloaded if needed).

    Raises:
        CheckpointError: It cannot be found or downloaded, or it is a pickle.
    """
    path = Path(source)
    if path.suffix.lower() in _PICKLE_SUFFIXES:
        raise CheckpointError(
            f"{source}: pickled weights are not accepted, because opening them can run any code; "
            "if you trust the file, convert it to .safetensors"
        )
    if isinstance(source, str) and source in shipped_names():
        return Path(str(resources.files("mask2alpha") / "weights" / f"{source}.safetensors"))
    if path.is_file():
        return path
    if path.is_dir():
        return _only_checkpoint_in(path)
    match = _HUB_ID.fullmatch(str(source))
    if match and path.suffix != ".safetensors":
        return _download(match["repo"], match["revision"])
    raise CheckpointError(
        f"{source}: expected a file, a folder, a shipped name ({', '.join(shipped_names()) or 'none installed'}), "
        "or a hub id org/name"
    )


def _only_checkpoint_in(folder: Path) -> Path:
    if (folder / FILE_NAME).is_file():
        return folder / FILE_NAME
    found = sorted(folder.glob("*.safetensors"))
    if len(found) != 1:
        names = ", ".join(file.name for file in found) or "none"
        raise CheckpointError(f"{folder}: expected {FILE_NAME} or a single .safetensors file; found {names}")
    return found[0]


def _download(repo: str, revision: str | None) -> Path:
    from huggingface_hub import hf_hub_download  # slow to import, and seldom needed
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(repo, FILE_NAME, revision=revision))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise CheckpointError(f"{repo}: cannot download {FILE_NAME} from the hub: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    """The first line of an error's message; its type if it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def check_fit(
    expected: Mapping[str, torch.Tensor],
    found: Mapping[str, torch.Tensor],
    *,
    source: Path,
    target: str,
    unknown: Sequence[str] = (),
) -> None:
    """Check that tensors are those of a network.

    Args:
        expected: The network's, by name.
        found: The file's, under the same names.
        source: The file, for the message.
        target: What they should fit, for the message.
        unknown: Names in the file that the network does not have.

    Raises:
        CheckpointError: Some are missing, unknown or of another shape; names them.
    """
    problems = {
        "missing": sorted(expected.keys() - found.keys()),
        "unknown": sorted([*unknown, *(found.keys() - expected.keys())]),
        "of another shape": sorted(
            f"{name} {tuple(found[name].shape)} instead of {tuple(expected[name].shape)}"
            for name in expected.keys() & found.keys()
            if found[name].shape != expected[name].shape
        ),
    }
    parts = [f"{len(names)} {kind}: {_some(names)}" for kind, names in problems.items() if names]
    if parts:
        raise CheckpointError(f"{source}: the tensors do not fit {target}; " + "; ".join(parts))


def _some(names: list[str], limit: int = 8) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def _preset_name(config: ModelConfig) -> str | None:
    return next((name for name, preset in PRESETS.items() if preset == config), None)
