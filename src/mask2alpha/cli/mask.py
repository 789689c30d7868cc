"""`mask2alpha mask`: a guidance mask from points, strokes or a box."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from mask2alpha.cli.network_options import device_option, model_option
from mask2alpha.cli.prompt_options import PromptChoice, make_prompt_mask, parse_strokes, prompt_options
from mask2alpha.cli.standard_streams import (
    check_standard_output,
    is_stream,
    out_option,
    read_standard_input,
    write_standard_output,
)
from mask2alpha.imaging.encode import FORMATS, check_format, encode_image, write_file

OLD_NAMES = {"target": "point", "rest": "not", "label": "text"}
"""Options of 0.1 to what they are called now."""


@click.command()
@click.argument("photo", type=click.Path(exists=True, dir_okay=False, path_type=Path, allow_dash=True))
@out_option("Mask file to write; - for standard output.", allow_dash=True)
@click.option(
    "--format",
    "file_format",
    type=click.Choice([name for name, kind in FORMATS.items() if "uint8" in kind.dtypes]),
    default="png",
    help="File format on standard output.",
)
@prompt_options
@click.option(
    "--by",
    "maker_name",
    default="backbone",
    metavar="SEGMENTER",
    help="Segmenter: backbone, grabcut, sam:SOURCE, rembg:SESSION or segments:SOURCE; SOURCE is a hub id or a folder.",
)
@model_option("model", what="Model of the segmenter backbone")
@device_option(what="a segmenting network")
@click.option("--overwrite", "has_overwrite", is_flag=True, help="Overwrite an existing file.")
@click.option("--target", "old_target", callback=parse_strokes, multiple=True, help="Deprecated: --point.")
@click.option("--rest", "old_rest", callback=parse_strokes, multiple=True, help="Deprecated: --not.")
@click.option("--label", "old_label", help="Deprecated: --text.")
def command(
    photo: Path,
    target: Path,
    file_format: str,
    prompt_choice: PromptChoice,
    has_overwrite: bool,
    maker_name: str,
    **options: Any,
) -> None:
    """Make a guidance mask of an object in PHOTO, for `mask2alpha matte`. PHOTO may be - for standard input.

    Coordinates are pixels of the upright photo, from its upper left corner, or per cent of its width and height.
    Without any, the mask covers what stands out.

    \b
    mask2alpha mask photo.jpg -o mask.png --point 50%,40%
    mask2alpha mask photo.jpg -o mask.png --point "90,40 120,200" --not 10,10
    mask2alpha mask photo.jpg -o mask.png --box 30,10,400,300
    """  # noqa: D301
    from mask2alpha.errors import InputError
    from mask2alpha.imaging.targets import check_inputs_stay, prepare_folder

    old = {name: options.pop(f"old_{name}") for name in OLD_NAMES}
    for name in (name for name, value in old.items() if value):
        click.echo(
            f"Warning: mask2alpha: `mask --{name}` is deprecated since 0.2 and goes in 0.4; use `--{OLD_NAMES[name]}`",
            err=True,
        )
    prompt_choice = replace(
        prompt_choice,
        on_target=prompt_choice.on_target + old["target"],
        on_rest=prompt_choice.on_rest + old["rest"],
        label=prompt_choice.label or old["label"],
    )
    is_stdout = is_stream(target)
    check_standard_output(target)
    [photo] = read_standard_input(photo)
    if not is_stdout:
        if target.exists() and not has_overwrite:
            raise InputError(f"{target} exists; --overwrite replaces it")
        check_inputs_stay([target], [photo, *prompt_choice.stroke_files])
        check_format(target, has_alpha=False)
        prepare_folder(target.parent)
    mask = make_prompt_mask(photo, prompt_choice, maker_name=maker_name, **options)
    data = encode_image(mask, f"mask.{file_format}" if is_stdout else target)
    if is_stdout:
        write_standard_output(data)
    else:
        write_file(target, data)
    click.echo(f"{target}: {(mask > 127).mean():.0%} of the photo", err=True)
