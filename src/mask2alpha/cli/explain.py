"""`mask2alpha explain`: what the network does with one photo and mask, as figures and numbers."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mask2alpha.cli.mask_options import mask_options
from mask2alpha.cli.network_options import device_option, model_option, steps_option, threshold_option
from mask2alpha.cli.standard_streams import out_option

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mask2alpha.ops.masks import MaskChoice

FILES = ("steps.png", "steps.webp", "detail.png", "guidance.png", "numbers.json")
FRAME_MS, LAST_FRAME_MS = 900, 2500
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("photo_path", type=_FILE, metavar="PHOTO")
@click.argument("mask_path", type=_FILE, metavar="MASK")
@out_option("Folder for the files.", file_okay=False)
@model_option(what="Model to run")
@steps_option
@threshold_option
@click.option(
    "--panel",
    type=click.IntRange(80, 2000),
    help="Longest side of each panel of a figure, in pixels.  [default: 300]",
)
@mask_options
@device_option()
def command(
    photo_path: Path,
    mask_path: Path,
    target: Path,
    mask_choice: "MaskChoice",
    source: str,
    panel: int | None,
    **settings: Any,
) -> None:
    """Draw what the network does with PHOTO and MASK.

    \b
    steps.png       the matte, the states and the alpha of each decoding step (the paper's Figure 2)
    steps.webp      the same as an animation
    detail.png      the pixels recomputed by SGSDR, beside SHM's (Figure 5)
    guidance.png    the regions of MGFSM, and the attention that each token receives with it off and on
    numbers.json    the numbers behind them
    """  # noqa: D301
    import json

    from mask2alpha.checkpoints import find_checkpoint, load_model
    from mask2alpha.evaluation.figures import PANEL_SIDE, animate_steps, draw_detail, draw_guidance, draw_steps
    from mask2alpha.evaluation.inspection import inspect, summarise
    from mask2alpha.imaging.decode import read_image
    from mask2alpha.imaging.encode import write_animation, write_file, write_image
    from mask2alpha.imaging.fitted_masks import read_fitted_mask
    from mask2alpha.imaging.targets import check_inputs_stay, names_a_file, prepare_folder
    from mask2alpha.pipeline.predictor import Predictor

    names_a_file(target, ())
    model = find_checkpoint(source)
    check_inputs_stay([target / name for name in FILES], [photo_path, mask_path, model])
    prepare_folder(target)
    predictor = Predictor(load_model(model), **settings)
    photo = read_image(photo_path)
    image = photo.in_srgb().pixels
    fitted = read_fitted_mask(mask_path, image.shape[:2], orientation=photo.orientation, choice=mask_choice)
    inspection = inspect(predictor, image, fitted)
    side, shown, mask = panel or PANEL_SIDE, _to_8_bits(image), fitted.as_bytes() > 127
    write_image(target / "steps.png", draw_steps(shown, mask, inspection, side=side))
    frames = animate_steps(shown, mask, inspection, side=side)
    write_animation(target / "steps.webp", frames, frame_ms=[FRAME_MS] * (len(frames) - 1) + [LAST_FRAME_MS])
    write_image(target / "detail.png", draw_detail(shown, inspection, side=side))
    write_image(target / "guidance.png", draw_guidance(shown, mask, inspection, side=side))
    summary = summarise(inspection)
    write_file(target / "numbers.json", f"{json.dumps(summary, indent=2)}\n".encode())
    click.echo(format_numbers(summary))


def format_numbers(summary: dict[str, Any]) -> str:
    """The numbers in words, for the terminal."""
    from mask2alpha.evaluation.tables import Table

    active, spread, guidance = summary["active_share"], summary["token_spread"], summary["guidance"]
    names = ("foreground", "edge", "background")
    shares = {"share of the tokens": "token_share", "attention, off": "attention_off", "attention, on": "attention_on"}
    rows = [[title, *(f"{summary[key][name]:.2%}" for name in names)] for title, key in shares.items()]
    if guidance is None:
        factors = "this model has no guidance (MGFSM), so on and off are equal"
    else:
        rows.append(["factor on the keys", *(f"{guidance['key_factor'][name]:.3f}" for name in names)])
        factors = f"beta {guidance['relevance_gain']:.4f}, r {guidance['relevance_bias']:.4f}"
    return "\n".join(
        [
            f"steps: {summary['num_steps']}",
            f"active pixels: SGSDR {active['sgsdr']:.2%} (predicted error above {summary['error_threshold']:g}), "
            f"SHM {active['shm']:.2%}",
            Table(header=("", *names), rows=rows).render("text"),
            f"tokens before the guided block: deviation {spread['all']:.3g}, over places {spread['over_places']:.3g}",
            factors,
        ]
    )


def _to_8_bits(image: "NDArray[Any]") -> "NDArray[Any]":
    import numpy as np

    return image if image.dtype == np.uint8 else np.rint(image / 257).astype(np.uint8)
