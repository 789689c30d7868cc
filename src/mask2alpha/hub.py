"""Sharing weights on the Hugging Face hub; `checkpoints.load_model` loads them again.

A repository holds `model.safetensors` (the checkpoint as it is; plain safetensors opens it), `config.json` (the
network's configuration, also in the checkpoint, for readers) and `README.md` (the model card).
"""

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeGuard

from mask2alpha.backbones import BACKBONES
from mask2alpha.checkpoints import FILE_NAME, find_checkpoint, first_line, read_metadata
from mask2alpha.errors import CheckpointError

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

CARD_NAME = "README.md"
_METRICS = ("sad", "mse", "grad", "conn")


def push_to_hub(
    source: str | Path,
    repo_id: str,
    *,
    private: bool | None = None,
    revision: str | None = None,
    token: str | None = None,
    message: str = "Upload weights of mask2alpha",
) -> str:
    """Upload a checkpoint with its model card, in one commit, and create the repository if needed.

    An existing card is kept, because people edit them.

    Args:
        source: A shipped name, or a .safetensors file or a folder with one.
        repo_id: `org/name`.
        private: Whether a new repository is private; default: the account's setting.
        revision: Branch to upload to; default: main.
        token: Access token; default: the one that `hf auth login` stored, or the variable `HF_TOKEN`.
        message: Message of the commit.

    Returns:
        The commit's address.

    Raises:
        CheckpointError: The checkpoint cannot be read, or the hub refuses.
    """
    from huggingface_hub import HfApi  # slow to import, and seldom needed
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    path = find_checkpoint(source)
    metadata = read_metadata(path)
    api = HfApi(token=token)
    try:
        api.create_repo(repo_id, private=private, exist_ok=True)
        if revision is not None:
            api.create_branch(repo_id, branch=revision, exist_ok=True)
        with TemporaryDirectory() as folder:
            shutil.copyfile(path, Path(folder, FILE_NAME))
            Path(folder, "config.json").write_text(json.dumps(_config(metadata), indent=2) + "\n", encoding="utf-8")
            if not api.file_exists(repo_id, CARD_NAME, revision=revision):
                Path(folder, CARD_NAME).write_text(model_card(metadata, repo_id), encoding="utf-8")
            commit = api.upload_folder(repo_id=repo_id, folder_path=folder, revision=revision, commit_message=message)
    except (HfHubHTTPError, HFValidationError, OSError, RuntimeError) as error:  # RuntimeError: an upload broke off
        raise CheckpointError(f"{source} cannot be pushed to {repo_id}: {first_line(error)}") from error
    return str(commit.commit_url)


def model_card(metadata: Mapping[str, Any], repo_id: str) -> str:
    """A model card in Markdown, made from the checkpoint's metadata alone.

    Args:
        metadata: As `read_metadata` returns it.
        repo_id: `org/name`, for the lines that load the model.
    """
    sections = [
        _front_matter(metadata, repo_id),
        _introduction(metadata, repo_id),
        _training(metadata),
        _metrics(metadata),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _config(metadata: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: metadata.get(key) for key in ("mask2alpha_version", "format_version", "model_config")}
    return {"library_name": "mask2alpha", **kept}


def _front_matter(metadata: Mapping[str, Any], repo_id: str) -> str:
    """What the hub searches: YAML with a `model-index` of the mean scores."""
    from huggingface_hub import ModelCardData

    encoder = (metadata.get("model_config") or {}).get("encoder") or {}
    backbone = BACKBONES.get(str(encoder.get("backbone")))
    data = _training_data(metadata)
    card = ModelCardData(
        library_name="mask2alpha",
        pipeline_tag="image-segmentation",
        tags=["image-matting", "mask2alpha"],
        license=str(metadata["licence"]).lower() if metadata.get("licence") else None,
        base_model=None if backbone is None else backbone.hub_id,
        datasets=[re.sub(r"[^\w./-]+", "-", str(item.get("name", ""))) for item in data] if _is_table(data) else None,
        model_name=repo_id.rpartition("/")[2],
        eval_results=list(_mean_scores(metadata)) or None,
    )
    return f"---\n{card.to_yaml()}\n---"


def _mean_scores(metadata: Mapping[str, Any]) -> "Iterator[EvalResult]":
    from huggingface_hub import EvalResult

    metrics = metadata.get("metrics")
    if not isinstance(metrics, Mapping):
        return
    for name, scores in {"validation": metrics, **(metrics.get("also") or {})}.items():
        for metric in _METRICS:
            if metric in scores.get("mean", {}):
                yield EvalResult(
                    task_type="image-segmentation",
                    task_name="Image matting",
                    dataset_type=name,
                    dataset_name=name,
                    metric_type=metric,
                    metric_name=f"{metric.upper()}{'' if metric == 'mse' else ' / 1000'}",
                    metric_value=round(scores["mean"][metric], 6),
                )


def _training_data(metadata: Mapping[str, Any]) -> Any:
    """The table of data sets, also as a training run writes it."""
    data = metadata.get("training_data")
    return data["card"] if isinstance(data, Mapping) and _is_table(data.get("card")) else data


def _introduction(metadata: Mapping[str, Any], repo_id: str) -> str:
    version = f" {metadata['mask2alpha_version']}" if metadata.get("mask2alpha_version") else ""
    return f"""# {repo_id.rpartition("/")[2]}

Weights for mask2alpha{version}, which turns a photo and a rough mask into an alpha matte at full resolution
(preset: {metadata.get("preset") or "none of the package's"}). Licence: {metadata.get("licence") or "not stated"}.

```python
from mask2alpha import Mask2Alpha, Predictor

predictor = Predictor(Mask2Alpha.from_pretrained("{repo_id}"))
matte = predictor.predict(image, mask)  # (H, W, 3) and (H, W) arrays; matte.alpha is (H, W) in [0, 1]
```

The file is plain safetensors: `safetensors.torch.load_file("{FILE_NAME}")` opens it without mask2alpha."""


def _training(metadata: Mapping[str, Any]) -> str:
    initial = metadata.get("initial_weights")
    facts = {
        "Initial weights": initial.get("name") if isinstance(initial, Mapping) else initial,
        "Steps": metadata.get("step"),
        "Seconds": metadata.get("training_seconds"),
        "Hardware": metadata.get("hardware"),
        "Commit of the code": metadata.get("commit"),
    }
    lines = [f"- {name}: {_text(value)}" for name, value in facts.items() if value]
    data = _training_data(metadata)
    if _is_table(data):
        columns = ("name", "items", "origin", "licence")
        lines += ["", *_table(["data", *columns[1:]], [[_text(item.get(key, "")) for key in columns] for item in data])]
    elif data:
        lines += ["", "Data:", "", *_json_block(data)]
    return "\n".join(["## Training", "", *lines]) if lines else ""


def _metrics(metadata: Mapping[str, Any]) -> str:
    metrics = metadata.get("metrics")
    if not metrics:
        return ""
    if not isinstance(metrics, Mapping) or not isinstance(metrics.get("kinds"), Mapping):
        return "\n".join(["## Evaluation", "", *_json_block(metrics)])
    per_kind = {**metrics["kinds"], **({"mean": metrics["mean"]} if "mean" in metrics else {})}
    rows = [
        [kind, *(f"{values[name]:.4g}" if name in values else "" for name in _METRICS)]
        for kind, values in per_kind.items()
    ]
    protocol = [f"- {key}: {_text(value)}" for key, value in (metrics.get("protocol") or {}).items()]
    return "\n".join(["## Evaluation", "", *_table(["mask", *_METRICS], rows), "", *protocol]).rstrip()


def _is_table(value: Any) -> TypeGuard[list[Mapping[str, Any]]]:
    return isinstance(value, list) and bool(value) and all(isinstance(item, Mapping) for item in value)


def _json_block(value: Any) -> list[str]:
    return ["```json", json.dumps(value, indent=2), "```"]


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def _text(value: Any) -> str:
    """On one line, without what would end a cell."""
    text = value if isinstance(value, str) else json.dumps(value)
    return " ".join(text.split()).replace("|", "\\|")
