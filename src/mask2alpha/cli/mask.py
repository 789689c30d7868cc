"""`mask2alpha mask`: a guidance mask from a box, points or strokes."""

from pathlib import Path

import click

from mask2alpha.cli.standard_streams import (
    check_standard_output,
    is_stream,
    read_standard_input,
    write_standard_output,
)
from mask2alpha.imaging.encode import FORMATS, check_format, encode_image, write_file


def parse_box(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[float, float, float, float] | None:
    """The four numbers in "12,30,400,300"."""
    if value is None:
        return None
    left, top, right, bottom = _numbers(value, 4)
    return left, top, right, bottom


def parse_strokes(
    ctx: click.Context, param: click.Parameter, value: tuple[str, ...]
) -> tuple[tuple[tuple[float, float], ...], ...]:
    """The points in each "12,30 40,35"."""
    strokes = [[_numbers(point, 2) for point in stroke.split()] for stroke in value]
    if not all(strokes):
        raise click.BadParameter("a stroke has no point")
    return tuple(tuple((x, y) for x, y in stroke) for stroke in strokes)


def _numbers(text: str, count: int) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count:
        raise click.BadParameter(f"{text!r}: expected {count} numbers with commas between")
    return numbers


@click.command()
@click.argument("photo", type=click.Path(exists=True, dir_okay=False, path_type=Path, allow_dash=True))
@click.option(
    "-o",
    "--out",
    "target",
    type=click.Path(path_type=Path, allow_dash=True),
    required=True,
    help="Mask file to write; - for standard output.",
)
@click.option(
    "--format",
    "file_format",
    type=click.Choice([name for name, kind in FORMATS.items() if "uint8" in kind.dtypes]),
    default="png",
    show_default=True,
    help="File format on standard output.",
)
@click.option("--box", callback=parse_box, metavar="L,T,R,B", help="Box around the target: left, top, right, bottom.")
@click.option(
    "--target",
    "on_target",
    callback=parse_strokes,
    multiple=True,
    metavar='"X,Y …"',
    help="Point on the target, or corners of a stroke over it; repeatable.",
)
@click.option(
    "--rest",
    "on_rest",
    callback=parse_strokes,
    multiple=True,
    metavar='"X,Y …"',
    help="Point or stroke that is not on the target; repeatable.",
)
@click.option(
    "--brush",
    type=click.FloatRange(min=0, min_open=True),
    help="Width of strokes in pixels.  [default: 1 % of the longer side]",
)
@click.option("--label", help="Name of the target, for segmenters that label what they find.")
@click.option(
    "--by",
    "maker_name",
    default="grabcut",
    show_default=True,
    metavar="SEGMENTER",
    help="Segmenter: grabcut, sam:SOURCE, rembg:SESSION or segments:SOURCE; SOURCE is a hub id or a folder.",
)
@click.option("--device", help="Device of a segmenting network: cpu, cuda, cuda:1, mps.  [default: cuda if available]")
@click.option("--overwrite", "has_overwrite", is_flag=True, help="Overwrite an existing file.")
def command(
    photo: Path,
    target: Path,
    file_format: str,
    box: tuple[float, float, float, float] | None,
    on_target: tuple[tuple[tuple[float, float], ...], ...],
    on_rest: tuple[tuple[tuple[float, float], ...], ...],
    brush: float | None,
    label: str | None,
    maker_name: str,
    device: str | None,
    has_overwrite: bool,
) -> None:
    """Make a guidance mask of an object in PHOTO, for `mask2alpha matte`; - is standard input.

    Coordinates are pixels of the upright photo, from its upper left corner.

    \b
    mask2alpha mask photo.jpg -o mask.png --box 30,10,400,300
    mask2alpha mask photo.jpg -o mask.png --target "90,40 120,200" --rest 10,10
    """  # noqa: D301
    from mask2alpha.errors import InputError
    from mask2alpha.imaging.decode import read_image
    from mask2alpha.imaging.targets import check_inputs_stay, prepare_folder
    from mask2alpha.prompts.makers import make_mask_maker
    from mask2alpha.prompts.prompt import Prompt

    is_stdout = is_stream(target)
    check_standard_output(target)
    [photo] = read_standard_input(photo)
    if not is_stdout:
        if target.exists() and not has_overwrite:
            raise InputError(f"{target} exists; --overwrite replaces it")
        check_inputs_stay([target], [photo])
        check_format(target, has_alpha=False, is_16_bit=False)
        prepare_folder(target.parent)
    prompt = Prompt(box_xyxy=box, target=on_target, rest=on_rest, brush=brush, label=label)
    pixels = read_image(photo).pixels
    mask = make_mask_maker(maker_name, device=device).make_mask(pixels, prompt)
    data = encode_image(mask, f"mask.{file_format}" if is_stdout else target)
    if is_stdout:
        write_standard_output(data)
    else:
        write_file(target, data)
    click.echo(f"{target}: {(mask > 127).mean():.0%} of the photo", err=True)
