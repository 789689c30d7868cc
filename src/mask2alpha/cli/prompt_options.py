"""The options by which `mask` and `matte` learn the target: points, boxes and strokes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mask2alpha.cli.standard_streams import read_standard_input
from mask2alpha.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mask2alpha.ops.prompt import Prompt, Stroke
    from mask2alpha.shapes import Size

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Coordinate:
    """A number of pixels, or of per cent of the photo's width or height."""

    number: float
    is_percent: bool

    def pixels(self, length: int) -> float:
        """In pixels of a photo that is so wide or high; 100 % is inside of its last pixel."""
        if not self.is_percent:
            return self.number
        share = self.number * length / 100
        return min(share, length - 0.5) if self.number <= 100 else share


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptChoice:
    """What the options say, before the photo's size is known."""

    box: tuple[Coordinate, ...] | None
    on_target: tuple[tuple[tuple[Coordinate, ...], ...], ...]
    on_rest: tuple[tuple[tuple[Coordinate, ...], ...], ...]
    stroke_files: tuple[Path, ...]
    brush: float | None
    label: str | None
    scale: str

    @property
    def is_given(self) -> bool:
        """Whether anything says what the target is."""
        return bool(self.box or self.on_target or self.on_rest or self.stroke_files or self.label)

    def on_photo(self, size: "Size") -> "Prompt":
        """The prompt over a photo of (height, width).

        Raises:
            InputError: A file of a stroke cannot be used or is empty.
        """
        from mask2alpha.ops.prompt import Prompt

        drawn = [stroke for path in self.stroke_files for stroke in read_strokes(path, size, self.brush)]
        box = None
        if self.box is not None:
            box = box_in_pixels(self.box, size)
        target, rest = (
            tuple(tuple((x.pixels(size[1]), y.pixels(size[0])) for x, y in stroke) for stroke in strokes)
            for strokes in (self.on_target, self.on_rest)
        )
        return Prompt(box_xyxy=box, target=(*target, *drawn), rest=rest, brush=self.brush, label=self.label)


def parse_box(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[Coordinate, ...] | None:
    """The four numbers in "12,30,400,300" or "10%,10%,50%,90%"."""
    return None if value is None else _coordinates(value, 4)


def box_in_pixels(box: tuple[Coordinate, ...], size: "Size") -> tuple[float, float, float, float]:
    """Left, top, right and bottom over a photo of (height, width)."""
    left, top, right, bottom = (
        corner.number * length / 100 if corner.is_percent else corner.number
        for corner, length in zip(box, (size[1], size[0]) * 2, strict=True)
    )
    return left, top, right, bottom


def parse_strokes(
    ctx: click.Context, param: click.Parameter, value: tuple[str, ...]
) -> tuple[tuple[tuple[Coordinate, ...], ...], ...]:
    """The points in each "12,30 40,35" or "50%,40%"."""
    strokes = tuple(tuple(_coordinates(point, 2) for point in stroke.split()) for stroke in value)
    if not all(strokes):
        raise click.BadParameter("a stroke has no point")
    return strokes


def _coordinates(text: str, count: int) -> tuple[Coordinate, ...]:
    try:
        numbers = tuple(Coordinate(float(part.strip().removesuffix("%")), "%" in part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != count:
        raise click.BadParameter(f"{text!r}: expected {count} numbers, in pixels or per cent, with commas between")
    return numbers


def prompt_options(command: Command) -> Command:
    """Give a command the options of a prompt, together as `prompt_choice`, a `PromptChoice`; those of old warn."""
    several: dict[str, Any] = {"callback": parse_strokes, "multiple": True, "metavar": '"X,Y …"'}

    @click.option("--point", **several, help="Point on the target, or corners of a stroke over it; repeatable.")
    @click.option("--not", "not_", **several, help="Point or stroke that is not on the target; repeatable.")
    @click.option(
        "--box", callback=parse_box, metavar="L,T,R,B", help="Box around the target: left, top, right, bottom."
    )
    @click.option(
        "--stroke",
        "stroke_files",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        multiple=True,
        help="Picture of the photo's size in which a stroke over the target is white; repeatable.",
    )
    @click.option("--text", help="Name of the target, for segmenters that label what they find.")
    @click.option(
        "--brush",
        type=click.FloatRange(min=0, min_open=True),
        help="Width of points and strokes in pixels.  [default: 1 % of the longer side]",
    )
    @click.option(
        "--scale",
        type=click.Choice(["part", "object", "group"]),
        default="object",
        help="How much a point means to the built-in segmenter.",
    )
    @wraps(command)
    def with_choice(*args: Any, point: Any, not_: Any, text: str | None, **options: Any) -> Any:
        same = {name: options.pop(name) for name in ("box", "stroke_files", "brush", "scale")}
        choice = PromptChoice(on_target=point, on_rest=not_, label=text, **same)
        return command(*args, prompt_choice=choice, **options)

    return with_choice  # type: ignore[return-value]  # with other options


def mask_from_prompt(command: Command) -> Command:
    """Let `matte` make its mask of a prompt, with its own model, where no MASK is given."""

    @prompt_options
    @wraps(command)
    def with_mask(*args: Any, photos: Path, masks: Path | None, prompt_choice: PromptChoice, **options: Any) -> Any:
        if (masks is None) != prompt_choice.is_given:
            raise click.UsageError(
                "give either MASK, or --point, --box or --stroke over the photo; --point 50%,50% means the middle"
            )
        if masks is not None:
            return command(*args, photos=photos, masks=masks, **options)
        if prompt_choice.label is not None:
            raise click.UsageError("the model of `matte` knows no names; make the mask with `mask2alpha mask --text`")
        from mask2alpha.imaging.encode import write_image

        if photos.is_dir():
            raise InputError(f"{photos} is a folder; points, boxes and strokes mean one photo")
        [photos] = read_standard_input(photos)
        with TemporaryDirectory() as folder:
            made = Path(folder) / f"{photos.stem}.png"
            mask = make_prompt_mask(
                photos,
                prompt_choice,
                model=options["source"],
                device=options["device"],
                maker_name="backbone",
                colour_space=options["colour_space"],
            )
            write_image(made, mask)
            return command(*args, photos=photos, masks=made, **options)

    return with_mask  # type: ignore[return-value]  # with other options


def make_prompt_mask(
    photo: Path,
    choice: PromptChoice,
    *,
    model: str,
    device: str | None,
    maker_name: str,
    colour_space: str | None = None,
) -> "NDArray[np.uint8]":
    """Make the rough mask of a prompt.

    Returns:
        (H, W) of the photo, 0 and 255.

    Raises:
        InputError: The prompt cannot be used, or the segmenter finds nothing.
        ImageFileError: The photo cannot be read.
    """
    from mask2alpha.checkpoints import load_model
    from mask2alpha.imaging.decode import read_image
    from mask2alpha.pipeline.predictor import Predictor
    from mask2alpha.prompts.makers import make_mask_maker

    pixels = read_image(photo).taken_as(colour_space).in_srgb().pixels
    prompt = choice.on_photo(pixels.shape[:2])
    prompt.check(pixels.shape[:2])  # before a network is loaded
    maker = make_mask_maker(
        maker_name,
        device=device,
        open_predictor=lambda: Predictor(load_model(model), device=device),
        scale=choice.scale,
    )
    return maker.make_mask(pixels, prompt)


def read_strokes(path: Path, size: "Size", brush: float | None) -> "tuple[Stroke, ...]":
    """The white of a picture as dots, one in each square as wide as the brush.

    Raises:
        InputError: It has another size than the photo, or nothing in it is white.
    """
    import numpy as np

    from mask2alpha.imaging.decode import read_image

    pixels = read_image(path).pixels
    grey = pixels.mean(axis=2) if pixels.ndim == 3 else pixels
    if grey.shape != size:
        raise InputError(f"{path} is {grey.shape[1]} x {grey.shape[0]}, the photo {size[1]} x {size[0]}")
    y, x = np.nonzero(grey > np.iinfo(pixels.dtype).max / 2)
    if len(y) == 0:
        raise InputError(f"{path}: nothing is white, so it holds no stroke")
    width = max(1, round(brush or max(size) / 100))
    _, first = np.unique(y // width * size[1] + x // width, return_index=True)
    return tuple(((float(x[index]) + 0.5, float(y[index]) + 0.5),) for index in first)
