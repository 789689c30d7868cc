"""What the front process asks of a worker, as JSON: one job is one picture read, and what is to be made of it.

Coordinates are pixels of the upright photograph at its full size, (0, 0) its upper left corner.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from mask2alpha.imaging.encode import FORMATS
from mask2alpha.ops.masks import Fit
from mask2alpha.serving.settings import MAX_MARKS, MAX_OBJECTS, MAX_STEPS, MAX_STROKE_POINTS, MAX_STROKES

Output: TypeAlias = Literal[
    "alpha",
    "cutout",
    "cutout_premultiplied",
    "foreground",
    "composite",
    "comparison",
    "passes",
    "mask",
    "error",
    "active",
    "steps",
]
_NAMES = {"tif": "tiff", "jpg": "jpeg"}
"""Of formats that the service calls otherwise than the command line."""
SUFFIXES = {_NAMES.get(name, name): kind.suffixes[0] for name, kind in FORMATS.items()}
MEDIA_TYPES = {_NAMES.get(name, name): kind.media_type for name, kind in FORMATS.items()}


def read_format(value: Any) -> str:
    """The name of a format in any spelling: `jpg`, `JPEG` and `jpeg` are one.

    Raises:
        ValueError: We write no such files.
    """
    for name, kind in FORMATS.items():
        if f".{value}".lower() in kind.suffixes:
            return _NAMES.get(name, name)
    raise ValueError(f"accepted: {', '.join(SUFFIXES)}")


Format: TypeAlias = Annotated[
    str, BeforeValidator(read_format), WithJsonSchema({"type": "string", "enum": list(SUFFIXES)})
]

Coordinate: TypeAlias = Annotated[float, Field(ge=-100_000, le=100_000, allow_inf_nan=False)]
Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, right, bottom."""
BoxField: TypeAlias = tuple[Coordinate, Coordinate, Coordinate, Coordinate]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Stroke(_Strict):
    """One stroke of a round brush."""

    points: list[tuple[Coordinate, Coordinate]] = Field(min_length=1, max_length=MAX_STROKE_POINTS)
    """(x, y); a single one is a dot."""
    radius: float = Field(gt=0, le=10_000, allow_inf_nan=False)
    erase: bool = False


class Target(_Strict):
    """One object of the photograph, as its rough mask is given."""

    name: str = Field(default="", pattern=r"^[\w-]{0,40}$")
    """Letters and digits of any script, hyphens and underscores."""
    mask: int | None = Field(default=None, ge=0)
    """Index among the uploaded masks."""
    box: BoxField | None = None
    strokes: list[Stroke] = Field(default=[], max_length=MAX_STROKES)

    @model_validator(mode="after")
    def _is_given_once(self) -> "Target":
        if self.mask is None and self.box is None and not self.strokes:
            raise ValueError("an object needs a mask, a box or strokes")
        if self.mask is not None and self.box is not None:
            raise ValueError("an object has either a mask or a box, not both")
        if self.box is not None and (self.box[0] >= self.box[2] or self.box[1] >= self.box[3]):
            raise ValueError("a box is left,top,right,bottom with left < right and top < bottom")
        if sum(len(stroke.points) for stroke in self.strokes) > MAX_STROKE_POINTS:
            raise ValueError(f"the strokes have more than {MAX_STROKE_POINTS} points")
        return self


class _PhotoJob(_Strict):
    photo: Path
    """The upload."""
    key: str | None = None
    """Under which the worker keeps what it makes of the photograph; None: it keeps nothing."""
    max_side: int | None = None
    """The photograph is shrunk to this longest side first; None: it is used at its full size."""


class EncodeJob(_PhotoJob):
    """Encode a photograph, to keep."""

    kind: Literal["encode"] = "encode"


class ShowJob(_PhotoJob):
    """Write the photograph itself, upright, in a format that browsers show."""

    kind: Literal["show"] = "show"
    format: Format
    folder: Path


class Selection(_Strict):
    """What a user points at, in pixels of the photograph; with nothing given, what stands out is meant."""

    points: list[tuple[Coordinate, Coordinate]] = Field(default=[], max_length=MAX_MARKS)
    """(x, y) on the target."""
    not_points: list[tuple[Coordinate, Coordinate]] = Field(default=[], max_length=MAX_MARKS)
    """(x, y) that are not on the target."""
    boxes: list[BoxField] = Field(default=[], max_length=MAX_OBJECTS)
    """left, top, right, bottom around the target, or around each of its parts."""
    scale: Literal["part", "object", "group"] = "object"
    """How much a point means."""


class SelectJob(_PhotoJob):
    """Select a target by what a user points at, and write its rough mask."""

    kind: Literal["select"] = "select"
    selection: Selection
    folder: Path


class MatteJob(_PhotoJob):
    """Matte some objects of a photograph."""

    kind: Literal["matte"] = "matte"
    targets: list[Target] = Field(min_length=1, max_length=MAX_OBJECTS)
    masks: list[Path] = []
    label: str | None = Field(default=None, max_length=40)
    """The target in masks that are maps of labels."""
    channel: str | None = Field(default=None, max_length=255)
    """The masks' channel that counts."""
    invert: bool = False
    """The masks mark what is not the target."""
    fit: Fit = "aspect"
    """Whether masks of another aspect are refused or stretched."""
    outputs: list[Output] = Field(default=["alpha"], min_length=1)
    format: Format = "png"
    bits: Literal[8, 16, 32] | None = None
    """Per sample; None: what keeps the photograph's values."""
    background: str = "white"
    """Of composites: a colour."""
    background_photo: Path | None = None
    """Instead of the colour: the upload of a picture."""
    region: BoxField | None = None
    steps: int | None = Field(default=None, ge=1, le=MAX_STEPS)
    error_threshold: float | None = Field(default=None, ge=0, le=1)
    active_budget: int | None = Field(default=None, ge=0)
    answer: Literal["form", "zip"] = "zip"
    """How several pictures are packed."""
    folder: Path
    """Where the answer is written."""


Job: TypeAlias = Annotated[EncodeJob | ShowJob | SelectJob | MatteJob, Field(discriminator="kind")]


class JobResult(_Strict):
    """What a worker made."""

    width: int
    """Of the photograph at its full size."""
    height: int
    is_16_bit: bool
    file_name: str = Field(default="", pattern=r"^[a-z0-9.-]*$")
    """The answer, in the job's folder."""
    media_type: str = ""
    warnings: list[str] = []
    active_shares: list[float] = []
    """Per object, where asked for."""


class JobProblem(_Strict):
    """Why a worker refused; `kind` is one of `problems.TITLES`."""

    kind: str
    detail: str
    traceback: str = ""
    """Of what nobody expected, for the log."""


class Answer(_Strict):
    """One line of a worker: one of these."""

    ready: dict[str, str | int | float] | None = None
    """What it says of its model, once."""
    stage: str | None = None
    done: float = Field(default=0.0, ge=0, le=1)
    result: JobResult | None = None
    problem: JobProblem | None = None
