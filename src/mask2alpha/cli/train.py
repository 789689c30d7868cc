"""`mask2alpha train RECIPE`."""

import sys
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mask2alpha.cli.progress_option import progress_option
from mask2alpha.progress import show_progress, track

if TYPE_CHECKING:
    from mask2alpha.data.sources import Sources
    from mask2alpha.model.mask2alpha import Mask2Alpha
    from mask2alpha.training.config import Recipe


@click.command()
@click.argument("recipe")
@click.option(
    "--data",
    "data_root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Train on this folder. It has foregrounds/ and backgrounds/, each with one folder per set, and is read into "
    "memory; a folder that write_shards made may be larger than memory.",
)
@click.option(
    "--foregrounds",
    multiple=True,
    metavar="KIND=PATH[@SHARE]",
    help="Add a data set of foregrounds, decoded when they are drawn. KIND names its layout, for example cutouts or "
    "am2k; docs/training.md lists them. SHARE says how often the set is drawn. Repeatable.",
)
@click.option(
    "--backgrounds",
    multiple=True,
    metavar="KIND=PATH[@SHARE]",
    help="Add a data set of backgrounds; KIND is for example photos or coco. Repeatable.",
)
@click.option(
    "--data-card",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON file with the origin and the licences of the data, which is kept in the weights file.  "
    "[default: SOURCES.json or README.md in --data]",
)
@click.option(
    "--run",
    "--run-folder",  # torchrun takes --run for an abbreviation of its own options
    "run_folder",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for checkpoints and the log. A stopped run in it continues.",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a setting of the recipe, for example optim.lr=3e-4. Repeatable.",
)
@click.option(
    "--init",
    "initial",
    help="Start a new run from this model: a shipped name, a .safetensors file or folder, or a hub id.",
)
@click.option(
    "--encoder-weights",
    help="Start a new run with this published ViT as encoder: a hub id, or a .safetensors file or folder.",
)
@click.option(
    "--budget-minutes",
    type=float,
    help="Stop after this many minutes of training.  [default: the recipe's number of steps]",
)
@click.option("--checkpoint-minutes", type=float, default=5.0, help="Minutes between checkpoints.")
@click.option(
    "--preview-minutes",
    type=click.FloatRange(min=0),
    default=30.0,
    help="Minutes between sheets of sample mattes (image, mask, alpha, true alpha) in previews/; 0 writes none.",
)
@click.option(
    "--validate",
    "validation_roots",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    multiple=True,
    help="Validate on this folder, laid out as for `mask2alpha eval`; repeatable. Scores go to the log. The weights "
    "with the lowest SAD per megapixel, averaged over the folders, go to best.safetensors.",
)
@click.option(
    "--validate-minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    help="Minutes of training between validations.",
)
@click.option("--validate-kinds", metavar="KIND,...", help="Validate with these kinds of masks.  [default: all]")
@click.option(
    "--tensorboard", "has_tensorboard", is_flag=True, help="Write the log and the previews for TensorBoard, too."
)
@click.option("--device", default="cpu", help="Device of the network: cpu, cuda, cuda:1, mps.")
@click.option("--threads", type=int, help="Number of CPU threads of the network.  [default: PyTorch's]")
@progress_option
def command(
    recipe: str,
    data_root: Path | None,
    foregrounds: tuple[str, ...],
    backgrounds: tuple[str, ...],
    data_card: Path | None,
    run_folder: Path,
    overrides: tuple[str, ...],
    initial: str | None,
    encoder_weights: str | None,
    budget_minutes: float | None,
    checkpoint_minutes: float,
    preview_minutes: float,
    validation_roots: tuple[Path, ...],
    validate_minutes: float,
    validate_kinds: str | None,
    has_tensorboard: bool,
    device: str,
    threads: int | None,
) -> None:
    """Train RECIPE: `base`, `small`, `paper` or `debug`. The run folder gets the averaged weights as model.safetensors.

    Ctrl-C or a termination signal ends the run after the current step and writes a checkpoint; the same command
    continues it. To train with several processes: torchrun --nproc-per-node N -m mask2alpha train RECIPE ...
    """
    import signal

    import torch

    from mask2alpha.errors import InputError
    from mask2alpha.evaluation.benchmarks import GuidedFolder
    from mask2alpha.training.config import override
    from mask2alpha.training.distributed import Processes
    from mask2alpha.training.loop import STATE_FILE, train
    from mask2alpha.training.monitor import MonitorOptions
    from mask2alpha.training.provenance import find_data_card, read_data_card
    from mask2alpha.training.recipes import RECIPES

    if recipe not in RECIPES:
        raise InputError(f"recipe {recipe!r} is unknown; expected one of {', '.join(RECIPES)}")
    if initial is not None and encoder_weights is not None:
        raise click.UsageError("give either --init or --encoder-weights, not both")
    _check_inputs_stay(
        run_folder,
        (data_root, data_card, *validation_roots),
        (*foregrounds, *backgrounds),
        (initial, encoder_weights),
    )
    chosen = RECIPES[recipe]()
    for assignment in overrides:
        chosen = override(chosen, assignment)
    if threads is not None:
        torch.set_num_threads(threads)
    kinds = None if validate_kinds is None else [kind.strip() for kind in validate_kinds.split(",") if kind.strip()]
    monitoring = MonitorOptions(
        preview_minutes=preview_minutes,
        validation=tuple(GuidedFolder(root, kinds) for root in validation_roots),
        validation_minutes=validate_minutes,
        has_tensorboard=has_tensorboard,
    )
    about: dict[str, Any] = {}
    if data_card is not None:
        about["data_card"] = read_data_card(data_card)
    elif data_root is not None:
        about["data_card"] = find_data_card(data_root)
    sources = _open_sources(chosen, data_root, foregrounds, backgrounds)
    model = None
    if not (run_folder / STATE_FILE).exists():
        model, about["initial_weights"] = _initial_model(chosen, initial, encoder_weights)
    processes, device = Processes.start(device)
    received: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):  # not before: who waits for the others to join can stop at once
        signal.signal(number, lambda number, _frame: received.append(number))
    unit, total = ("step", chosen.optim.num_steps) if budget_minutes is None else ("minute", budget_minutes)
    shown = nullcontext() if processes.is_first else show_progress("none")
    with shown, track("train", unit=unit, total=total) as progress:

        def show(line: Mapping[str, Any]) -> None:
            progress.update((line["step"] if unit == "step" else round(line["seconds"] / 60, 2)) - progress.n)
            _show(line)

        weights = train(
            chosen,
            sources,
            run_folder,
            initial_weights=model,
            about=about,
            budget_minutes=budget_minutes,
            checkpoint_minutes=checkpoint_minutes,
            monitoring=replace(monitoring, on_line=show),
            device=device,
            processes=processes,
            should_stop=lambda: bool(received),
        )
    if processes.is_first:
        click.echo(f"Averaged weights: {weights}")


def _check_inputs_stay(
    run_folder: Path, paths: Iterable[Path | None], data_sets: Iterable[str], weights: Iterable[str | None]
) -> None:
    """Check that neither the run folder nor anything that is written in it is an input."""
    from mask2alpha.data.datasets import DataSet
    from mask2alpha.imaging.targets import check_inputs_stay
    from mask2alpha.training.loop import ORIGIN_FILE, STATE_FILE, WEIGHTS_FILE
    from mask2alpha.training.monitor import BEST_FILE, LOG_FILE, PREVIEW_FOLDER, TENSORBOARD_FOLDER

    written = (ORIGIN_FILE, STATE_FILE, WEIGHTS_FILE, BEST_FILE, LOG_FILE, PREVIEW_FOLDER, TENSORBOARD_FOLDER)
    inputs = [path for path in paths if path is not None]
    inputs += [DataSet.parse(text).root for text in data_sets]
    local = [Path(source) for source in weights if source is not None and Path(source).exists()]
    inputs += [*local, *(file for path in local for file in path.glob("*.safetensors"))]
    check_inputs_stay([run_folder, *(run_folder / name for name in written)], inputs)


def _show(line: Mapping[str, Any]) -> None:
    """Print one line of the log in short to standard error."""
    from tqdm import tqdm

    say = partial(tqdm.write, file=sys.stderr)  # above the bar
    about = f"step {line['step']}, {line['seconds'] / 60:.1f} min"
    if "validation" in line:
        validation = line["validation"]
        best = ", the best so far" if line["is_best"] else ""
        say(f"{about}: validation SAD/MP {validation['sad_per_megapixel']:.3f}{best}")
        for folder, scores in validation["folders"].items():
            worse = scores["worse_than_mask"]
            share = "" if worse is None else f", {100 * worse:.1f} % of inexact pairs worse than their mask"
            say(f"  {folder}: SAD {scores['sad']:.2f}, SAD/MP {scores['sad_per_megapixel']:.3f}{share}")
            per_kind = scores["sad_per_megapixel_by_kind"]
            kinds = [f"{kind} {sad:.2f} ({per_kind[kind]:.2f}/MP)" for kind, sad in scores["sad_by_kind"].items()]
            say(f"    {', '.join(kinds)}")
    else:
        say(f"{about}: loss {line['total']:.3f}, {line['wait']:.2f} s a step waiting for samples")


def _open_sources(
    recipe: "Recipe", data_root: Path | None, foregrounds: tuple[str, ...], backgrounds: tuple[str, ...]
) -> "Sources":
    from mask2alpha.data.datasets import DataSet, open_sources
    from mask2alpha.data.shards import is_sharded, open_shards
    from mask2alpha.data.sources import Sources

    if data_root is None and not backgrounds:
        raise click.UsageError("training needs data: give --data, or --backgrounds and usually --foregrounds")
    data = recipe.data
    base = None
    if data_root is not None:
        if is_sharded(data_root):
            base = open_shards(data_root)
        else:
            base = Sources.from_shared_layout(data_root, cutout_side=data.cutout_side, photo_side=data.photo_side)
        base = replace(base, procedural_share=data.procedural_share)
    if not (foregrounds or backgrounds):
        assert base is not None
        return base
    return open_sources(
        [DataSet.parse(text) for text in foregrounds],
        [DataSet.parse(text) for text in backgrounds],
        base=base,
        cutout_side=data.cutout_side,
        photo_side=data.photo_side,
        procedural_share=data.procedural_share,
    )


def _initial_model(
    recipe: "Recipe", initial: str | None, encoder_weights: str | None
) -> tuple["Mask2Alpha | None", dict[str, Any] | None]:
    """The model that a new run starts from, and what its metadata says about it."""
    if initial is not None:
        from mask2alpha.checkpoints import load_model, read_metadata

        metadata = read_metadata(initial)
        kept = ("commit", "recipe", "step", "samples", "training_data", "initial_weights")
        return load_model(initial), {"name": Path(initial).name, **{key: metadata.get(key) for key in kept}}
    if encoder_weights is not None:
        from dataclasses import asdict

        import torch

        from mask2alpha.errors import InputError
        from mask2alpha.model.mask2alpha import Mask2Alpha
        from mask2alpha.model.stage1_encoder.conv_stem import ConvStemEncoder
        from mask2alpha.pretrained import load_encoder_weights

        torch.manual_seed(recipe.seed)
        model = Mask2Alpha(recipe.model)
        if isinstance(model.encoder, ConvStemEncoder) or recipe.model.encoder.backbone is not None:
            raise InputError(f"--encoder-weights: recipe {recipe.name!r} has no ViT that takes published weights")
        return model, asdict(load_encoder_weights(model.encoder, encoder_weights))
    return None, None
