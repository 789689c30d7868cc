"""The messages between the front process and a worker: jobs, results and problems, as JSON.

Coordinates are pixels of the upright photo at its full size; (0, 0) is its upper left corner.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    Base64Bytes,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from mask2alpha.imaging.encode import FORMATS
from mask2alpha.ops.edges import EdgeOptions
from mask2alpha.ops.masks import Fit, MaskChoice
from mask2alpha.rendering import OutputOptions
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
"""Formats whose names differ between the command line and the service."""
SUFFIXES = {_NAMES.get(name, name): kind.suffixes[0] for name, kind in FORMATS.items()}
MEDIA_TYPES = {_NAMES.get(name, name): kind.media_type for name, kind in FORMATS.items()}


def read_format(value: Any) -> str:
    """The name of a format in any spelling: `jpg`, `JPEG` and `jpeg` are the same.

    Raises:
        ValueError: The format is not one of `SUFFIXES`.
    """
    for name, kind in FORMATS.items():
        if f".{value}".lower() in kind.suffixes:
            return _NAMES.get(name, name)
    raise ValueError(f"accepted: {', '.join(SUFFIXES)}")


Format: TypeAlias = Annotated[
    str, BeforeValidator(read_format), WithJsonSchema({"type": "string", "enum": list(SUFFIXES)})
]

Edges: TypeAlias = Annotated[str, AfterValidator(lambda text: EdgeOptions.parse(text).text)]
"""What `EdgeOptions.parse` reads."""


def _read_colours(colours: str) -> str:
    OutputOptions().with_colours(colours)
    return colours


def _read_despill(despill: str) -> str:
    OutputOptions().with_colours(despill=despill)
    return despill


Colours: TypeAlias = Annotated[str, AfterValidator(_read_colours)]
Despill: TypeAlias = Annotated[str, AfterValidator(_read_despill)]
"""These as `OutputOptions.with_colours` takes them."""
Coordinate: TypeAlias = Annotated[float, Field(ge=-100_000, le=100_000, allow_inf_nan=False)]
Box: TypeAlias = tuple[Coordinate, Coordinate, Coordinate, Coordinate]
"""Left, top, right, bottom."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Stroke(_Strict):
    """One stroke of a round brush."""

    points: list[tuple[Coordinate, Coordinate]] = Field(min_length=1, max_length=MAX_STROKE_POINTS)
    """(x, y); a single point is a dot."""
    radius: float = Field(gt=0, le=10_000, allow_inf_nan=False)
    erase: bool = False


class Target(_Strict):
    """One object of the photo, with its rough mask as an upload, a box or strokes."""

    name: str = Field(default="", pattern=r"^[\w-]{0,40}$")
    """Letters and digits of any script, hyphens and underscores."""
    mask: int | None = Field(default=None, ge=0)
    """Index among the uploaded masks."""
    box: Box | None = None
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
    """File of the upload."""
    key: str | None = None
    """Key under which the worker caches the encoding and the mattes; None: nothing is cached."""
    max_side: int | None = None
    """Longest side to which the photo is shrunk; None: full size."""


class EncodeJob(_PhotoJob):
    """Encode a photo and cache the encoding."""

    kind: Literal["encode"] = "encode"


class ShowJob(_PhotoJob):
    """Write the photo upright in a format that browsers show."""

    kind: Literal["show"] = "show"
    format: Format
    folder: Path


Line: TypeAlias = Annotated[list[tuple[Coordinate, Coordinate]], Field(min_length=1, max_length=MAX_STROKE_POINTS)]
"""The corners (x, y) of a line."""


class Selection(_Strict):
    """What a user points at, in pixels of the photo; with nothing given, what stands out is meant."""

    points: list[tuple[Coordinate, Coordinate]] = Field(default=[], max_length=MAX_MARKS)
    """(x, y) on the target."""
    not_points: list[tuple[Coordinate, Coordinate]] = Field(default=[], max_length=MAX_MARKS)
    """(x, y) that are not on the target."""
    strokes: list[Line] = Field(default=[], max_length=MAX_MARKS)
    """Lines over the target."""
    not_strokes: list[Line] = Field(default=[], max_length=MAX_MARKS)
    """Lines over what is not the target."""
    boxes: list[Box] = Field(default=[], max_length=MAX_OBJECTS)
    """left, top, right, bottom around the target, or around each of its parts."""
    scale: Literal["part", "object", "group"] = "object"
    """How much a point means; without effect where boxes or a mask are given."""
    mask: Base64Bytes | None = None
    """The selection to begin from, a file in base64: a mask of the photo's aspect. Points and strokes on the target add
    to it, the others take away; what they do not reach stays as it is."""

    @model_validator(mode="after")
    def _is_bounded(self) -> "Selection":
        if sum(map(len, (*self.strokes, *self.not_strokes))) > MAX_STROKE_POINTS:
            raise ValueError(f"the strokes have more than {MAX_STROKE_POINTS} points")
        return self


class SelectJob(_PhotoJob):
    """Select a target by what a user points at, and write its rough mask."""

    kind: Literal["select"] = "select"
    selection: Selection
    """Its mask is not set."""
    mask: Path | None = None
    """File of the selection's mask."""
    folder: Path


class HintsJob(_PhotoJob):
    """Write what a page needs to show what a click would take."""

    kind: Literal["hints"] = "hints"
    folder: Path


class MattingChoices(_Strict):
    """How masks are read and what the network does with them, for photos and for clips."""

    label: str | None = Field(default=None, max_length=40)
    """The target in masks that are maps of labels."""
    channel: str | None = Field(default=None, max_length=255)
    """The channel of the masks to use."""
    invert: bool = False
    """Whether the masks mark what is not the target."""
    fit: Fit = "aspect"
    """Whether masks of another aspect are refused or stretched."""
    trust: float | None = Field(default=None, ge=0, le=1)
    steps: int | None = Field(default=None, ge=1, le=MAX_STEPS)
    error_threshold: float | None = Field(default=None, ge=0, le=1)
    active_budget: int | None = Field(default=None, ge=0)

    @property
    def mask_choice(self) -> MaskChoice:
        """How the masks are read."""
        return MaskChoice(label=self.label, channel=self.channel, is_inverted=self.invert, fit=self.fit)


class LookChoices(_Strict):
    """How mattes are rendered, for photos and for clips."""

    edges: Edges = ""
    """How the edges of the mattes are changed; lengths are pixels of the photo at its full size."""
    colours: Colours = "clean"
    despill: Despill = ""


class MatteJob(_PhotoJob, MattingChoices, LookChoices):
    """Matte some objects of a photo."""

    kind: Literal["matte"] = "matte"
    targets: list[Target] = Field(min_length=1, max_length=MAX_OBJECTS)
    masks: list[Path] = []
    outputs: list[Output] = Field(default=["alpha"], min_length=1)
    format: Format = "png"
    bits: Literal[8, 16, 32] | None = None
    """Bits per sample; None: as in the photo."""
    background: str = "white"
    """Background of composites: a colour."""
    background_photo: Path | None = None
    """File of an uploaded background, in place of the colour."""
    exclusive: bool = False
    """Whether the mattes share the photo; see `share_alpha`."""
    region: Box | None = None
    answer: Literal["form", "zip"] = "zip"
    """How several outputs are packed."""
    folder: Path
    """Folder to write the outputs to."""


Job: TypeAlias = Annotated[EncodeJob | ShowJob | SelectJob | HintsJob | MatteJob, Field(discriminator="kind")]


ClipOutput: TypeAlias = Literal["cutout", "alpha", "foreground", "composite"]
ClipFormat: TypeAlias = Literal["png", "webm", "mov"]


class _ClipJob(_Strict):
    clip: Path
    """File of the upload."""
    folder: Path
    """Folder to write to."""
    max_bytes: int
    """Size limit of what is written there."""


class ReadClipJob(_ClipJob):
    """Find out what a clip is, and write a small picture of each frame: `000001.jpg`."""

    kind: Literal["read"] = "read"
    max_frames: int


class MatteClipJob(_ClipJob, MattingChoices):
    """Matte every frame of a clip, and write the mattes: `alpha/000001.png`, of 16 bits."""

    kind: Literal["matte"] = "matte"
    masks: Path
    """Folder of the masks, named by the numbers of their frames."""


class ExportClipJob(_ClipJob, LookChoices):
    """Write a matted clip as a file, `result.zip`, `result.webm` or `result.mov`; nothing is matted."""

    kind: Literal["export"] = "export"
    alphas: Path
    """Folder of the mattes."""
    output: ClipOutput = "cutout"
    format: ClipFormat = "png"
    background: str = "white"
    """Background of composites: a colour."""


ClipJob: TypeAlias = Annotated[ReadClipJob | MatteClipJob | ExportClipJob, Field(discriminator="kind")]


class ClipInfo(_Strict):
    """What a clip says about itself."""

    frames: int
    width: int
    height: int
    """Of an upright frame."""
    rate: float
    """Frames per second."""


class ClipReport(_Strict):
    """One line that the process of a clip writes; the last one has no `done`."""

    done: int | None = None
    """Number of frames that are done."""
    info: ClipInfo | None = None
    """Of a clip that was read."""
    warnings: list[str] = []
    problem: "JobProblem | None" = None


class JobResult(_Strict):
    """The result of a job."""

    width: int
    """Of the upright photo at its full size."""
    height: int
    is_16_bit: bool
    file_name: str = Field(default="", pattern=r"^[a-z0-9.-]*$")
    """File of the answer in the job's folder."""
    media_type: str = ""
    warnings: list[str] = []
    active_shares: list[float] = []
    """Share of recomputed pixels of each object, if `active` or `steps` were asked for."""


class JobProblem(_Strict):
    """Why a job failed; `kind` is one of `problems.TITLES`."""

    kind: str
    detail: str
    traceback: str = ""
    """Traceback of an unexpected error, for the log."""


class Answer(_Strict):
    """One line that a worker writes; one of the fields is set."""

    ready: dict[str, str | int | float] | None = None
    """Device, dtype and defaults of the model."""
    stage: str | None = None
    done: float = Field(default=0.0, ge=0, le=1)
    result: JobResult | None = None
    problem: JobProblem | None = None
