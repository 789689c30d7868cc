"""`mask2alpha train RECIPE`."""

from pathlib import Path

import click


@click.command()
@click.argument("recipe")
@click.option(
    "--data",
    "data_root",
    required=True,
    type=click.Path(exists=True, path_type=Path),
    help="Folder with foregrounds/ and backgrounds/, each holding any number of folders of pictures; "
    "or the file that pack_sources made of one.",
)
@click.option(
    "--run",
    "run_folder",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for checkpoints and log; a stopped run in it goes on.",
)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting, e.g. optim.lr=3e-4.")
@click.option("--init", "initial", default=None, help="Start a new run from this model instead of random weights.")
@click.option("--budget-minutes", type=float, default=None, help="Stop after this much training time.")
@click.option("--checkpoint-minutes", type=float, default=5.0, show_default=True, help="Time between checkpoints.")
@click.option("--device", default="cpu", show_default=True, help="Where the network runs.")
@click.option("--threads", type=int, default=None, help="CPU threads of the network.")
def command(
    recipe: str,
    data_root: Path,
    run_folder: Path,
    overrides: tuple[str, ...],
    initial: str | None,
    budget_minutes: float | None,
    checkpoint_minutes: float,
    device: str,
    threads: int | None,
) -> None:
    """Train RECIPE (`small`, `debug`); averaged weights are left in the run folder as model.safetensors.

    Ctrl-C or a termination signal ends the run after the step at hand, with a checkpoint; the same command goes on.
    """
    import signal

    import torch

    from mask2alpha.checkpoints import load_model
    from mask2alpha.data.sources import Sources, load_packed
    from mask2alpha.errors import InputError
    from mask2alpha.training.config import override
    from mask2alpha.training.loop import train
    from mask2alpha.training.recipes import RECIPES

    if recipe not in RECIPES:
        raise InputError(f"there is no recipe {recipe!r}; there are {', '.join(RECIPES)}")
    chosen = RECIPES[recipe]()
    for assignment in overrides:
        chosen = override(chosen, assignment)
    if threads is not None:
        torch.set_num_threads(threads)
    if data_root.is_file():
        sources = load_packed(data_root, num_procedural=0)
    else:
        sources = Sources.from_shared_layout(data_root, num_procedural=0)
    received: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: received.append(number))
    weights = train(
        chosen,
        sources,
        run_folder,
        initial_weights=None if initial is None else load_model(initial),
        budget_minutes=budget_minutes,
        checkpoint_minutes=checkpoint_minutes,
        device=device,
        should_stop=lambda: bool(received),
    )
    click.echo(f"Averaged weights: {weights}")
