"""Put the averaged weights of a finished run into the package, with what they are and how good they are.

    python tools/release_weights.py base RUN/model.safetensors EVALUATION.json [EVALUATION.json ...] --hardware "..."

Each EVALUATION.json is what `mask2alpha eval ROOT --model RUN/model.safetensors --format json` printed; its file's name
says which set it is of. The first is the one that model cards show.
"""

import argparse
import json
import subprocess
from pathlib import Path
from typing import Any

import torch

from mask2alpha.checkpoints import build_model, load_model, read_metadata, save_model
from mask2alpha.model.config import PRESETS

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "src/mask2alpha/weights"
NAMES = ("base", "small")
KEPT = ("recipe", "step", "training_seconds")


def summarise(evaluation: dict[str, Any]) -> dict[str, Any]:
    """The protocol, the mean scores, overall and per kind of mask, and how often a matte is worse than its mask."""
    kinds = {kind: scores["scores"] for kind, scores in evaluation["kinds"].items()}
    kept = {key: evaluation[key] for key in ("protocol", "worse_than_mask", "exact_pairs")}
    mean = evaluation["mean"]["scores"] | {"sad_per_megapixel": evaluation["mean"]["sad_per_megapixel"]}
    return {**kept, "mean": mean, "kinds": kinds}


def _origin(initial: Any) -> dict[str, Any] | str:
    """Name, commit and step of the weights that a run began with; those before them are in the training log."""
    return {key: initial.get(key) for key in ("name", "commit", "step")} if initial else "random"


def main() -> None:
    """Read the arguments and write the shipped file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=NAMES, help="The preset, by whose name the weights ship.")
    parser.add_argument("weights", type=Path)
    parser.add_argument("evaluations", type=Path, nargs="+")
    parser.add_argument("--hardware", required=True, help="What the run was trained on.")
    arguments = parser.parse_args()
    trained = read_metadata(arguments.weights)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    scores = {path.stem: summarise(json.loads(path.read_text(encoding="utf-8"))) for path in arguments.evaluations}
    (_, first), *rest = scores.items()
    others = dict(rest)
    metadata = {key: trained[key] for key in KEPT} | {
        "recipe": json.loads(trained["recipe"]) if isinstance(trained["recipe"], str) else trained["recipe"],
        "commit": commit.strip(),
        "hardware": arguments.hardware,
        "initial_weights": _origin(trained["initial_weights"]),
        "licence": "Apache-2.0",
        "training_data": json.loads((ROOT / "docs/training_data.json").read_text(encoding="utf-8")),
        "metrics": {**first, "also": others},
    }
    model = build_model(PRESETS[arguments.name])  # with the preset's run-time defaults, whatever the run had
    model.load_state_dict(load_model(arguments.weights).state_dict())
    # half the bytes of float32; its rounding is below bfloat16's
    path = save_model(model, SHIPPED / f"{arguments.name}.safetensors", metadata, dtype=torch.float16)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1e6:.1f} MB, step {metadata['step']}")


if __name__ == "__main__":
    main()
