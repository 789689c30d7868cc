"""The fields of the forms, parsed from text; problems name the field."""

import asyncio
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from fastapi import File, Form, UploadFile
from pydantic import BeforeValidator, TypeAdapter, ValidationError
from starlette.datastructures import UploadFile as ReceivedFile

from mask2alpha.ops.edges import RANGES
from mask2alpha.ops.masks import Fit
from mask2alpha.serving.jobs import Box, Colours, Despill, Edges, Format, MatteJob, Output, Stroke, Target
from mask2alpha.serving.problems import ProblemError
from mask2alpha.serving.settings import MAX_OBJECTS, MAX_SIDE, MAX_STEPS

_NUMBER = r"\s*-?\d{1,6}(\.\d{1,6})?\s*"
_BOX_PATTERN = rf"^{_NUMBER}(,{_NUMBER}){{3}}$"
_OUTPUT_PATTERN = "({})".format("|".join(get_args(Output)))

MaxSide = Annotated[
    int | None,
    Form(ge=16, le=MAX_SIDE, description="Shrink larger photos to this longest side first."),
]


MaskFiles = Annotated[list[UploadFile] | None, File(description="White marks the object; repeatable.")]
Background = Annotated[
    UploadFile | str, Form(description="Background of composites: a colour such as white or #20a040, or an image file.")
]


@dataclass(frozen=True, kw_only=True)
class MattingForm:
    """How masks are read and what the network does with them, for photos and for clips."""

    label: Annotated[
        str | None,
        Form(
            max_length=40, description="The target in masks that are maps of labels: a value, palette index, #rrggbb."
        ),
    ] = None
    channel: Annotated[
        str | None,
        Form(
            max_length=255,
            description="The channel of the masks to use: grey, alpha, red, green, blue, or one of an EXR file.",
        ),
    ] = None
    invert: Annotated[bool, Form(description="The masks mark what is not the object.")] = False
    fit: Annotated[
        Fit, Form(description="aspect: refuse masks of another aspect than the photo's; stretch: stretch them.")
    ] = "aspect"
    trust: Annotated[
        float | None,
        Form(ge=0, le=1, description="How far masks are believed: 0 for rough ones, 1 for exact ones; default: 0.5."),
    ] = None
    steps: Annotated[int | None, Form(ge=1, le=MAX_STEPS, description="Decoding steps; default: the model's.")] = None
    error_threshold: Annotated[
        float | None,
        Form(ge=0, le=1, description="Recompute pixels whose predicted error is higher; default: the model's."),
    ] = None
    active_budget: Annotated[int | None, Form(ge=0, le=10**9, description="Most pixels recomputed.")] = None


@dataclass(frozen=True, kw_only=True)
class LookForm:
    """How mattes are rendered, for photos and for clips."""

    edges: Annotated[
        Edges,
        Form(
            max_length=400,
            description="Changes the edge of the matte: name=value, separated by commas. Names, applied in this order: "
            f"{', '.join(RANGES)}.",
            examples=["shift=-1.5,feather=2"],
        ),
    ] = ""
    colours: Annotated[
        Colours,
        Form(
            max_length=40,
            description="clean: estimate the target's own colours in soft edges; original: keep the photo's; or a "
            "share from 0 to 1: go this far from the photo's to the target's own.",
        ),
    ] = "clean"
    despill: Annotated[
        Despill,
        Form(
            max_length=80,
            description="Remove the light of a screen of this colour: a colour, with a share from 0 to 1 behind it.",
            examples=["green", "#10c040:0.5"],
        ),
    ] = ""


@dataclass(frozen=True, kw_only=True)
class MatteForm(MattingForm, LookForm):
    """What to matte and which outputs to make; the fields that are not files."""

    box: Annotated[
        str | None,
        Form(
            pattern=_BOX_PATTERN,
            description="left,top,right,bottom in pixels of the photo; GrabCut makes the rough mask from it.",
            examples=["120,40,480,500"],
        ),
    ] = None
    strokes: Annotated[
        str | None,
        Form(
            description="JSON: a list of strokes, painted over the mask or box in their order.",
            examples=['[{"points": [[200, 100], [220, 300]], "radius": 40, "erase": false}]'],
        ),
    ] = None
    objects: Annotated[
        str | None,
        Form(
            description="JSON, for several objects, in place of box and strokes: a list of "
            "{name, mask: index of the mask file, box, strokes}.",
            examples=['[{"name": "person", "box": [120, 40, 480, 500]}]'],
        ),
    ] = None
    outputs: Annotated[
        str,
        Form(
            pattern=rf"^{_OUTPUT_PATTERN}(,{_OUTPUT_PATTERN}){{0,20}}$",
            description=f"Separated by commas: {', '.join(get_args(Output))}.",
            examples=["alpha", "alpha,cutout"],
        ),
    ] = "alpha"
    format: Annotated[Format, Form(description="Format of the outputs. JPEG cannot hold cut-outs.")] = "png"
    bits: Annotated[
        Literal[8, 16, 32] | None,
        BeforeValidator(lambda text: int(text) if text in ("8", "16", "32") else text),
        Form(description="Bits per sample: 16 in PNG, TIFF and EXR, 32 in TIFF and EXR; default: as in the photo."),
    ] = None
    exclusive: Annotated[
        bool, Form(description="The mattes of several objects add up to at most 1, and to 1 where two touch.")
    ] = False
    max_side: MaxSide = None
    region: Annotated[
        str | None,
        Form(
            pattern=_BOX_PATTERN,
            description="left,top,right,bottom: cut the outputs to it, recompute detail only there. Not with max_side.",
        ),
    ] = None

    async def job(
        self,
        photo: Path,
        key: str | None,
        folder: Path,
        *,
        masks: Sequence[ReceivedFile] | None,
        background: ReceivedFile | str,
        accept: str,
    ) -> MatteJob:
        """Check the fields and save the files.

        Args:
            photo: File of the photo.
            key: Key under which the worker may cache the photo.
            folder: Receives the files, and later the outputs.
            masks: The uploaded masks.
            background: A colour, or an uploaded background.
            accept: The request's header; decides whether several outputs are packed as a form.

        Raises:
            ProblemError: Fields contradict each other or cannot be read.
        """
        if self.region is not None and self.max_side is not None:
            raise invalid("region", "give region or max_side, not both")
        uploads = masks or []
        targets = read_targets(self.box, self.strokes, self.objects, len(uploads))
        paths = [await save(upload, folder / f"mask-{index}") for index, upload in enumerate(uploads)]
        choices = {name: value for name, value in asdict(self).items() if name not in ("box", "strokes", "objects")}
        choices |= {
            "photo": photo,
            "key": key,
            "folder": folder,
            "targets": targets,
            "masks": paths,
            "outputs": list(dict.fromkeys(self.outputs.split(","))),
            "region": read_box("region", self.region),
            "answer": "form" if "multipart/form-data" in accept else "zip",
        }
        if isinstance(background, str):
            return MatteJob(background=background, **choices)
        return MatteJob(background_photo=await save(background, folder / "background"), **choices)


_TARGETS, _STROKES = TypeAdapter(list[Target]), TypeAdapter(list[Stroke])
_ACCEPTED = {
    "box": "accepted: four numbers left,top,right,bottom",
    "region": "accepted: four numbers left,top,right,bottom",
    "outputs": f"accepted, separated by commas: {', '.join(get_args(Output))}",
    "name": "accepted: up to 40 letters and digits of any script, hyphens and underscores",
}
"""Messages in place of the patterns that these fields have to match."""


def read_targets(box: str | None, strokes: str | None, objects: str | None, num_masks: int) -> list[Target]:
    """The objects of a form: those in `objects`, or one from box or strokes, or one for each mask.

    Raises:
        ProblemError: The fields contradict each other, or there is no object.
    """
    if objects is not None:
        if box is not None or strokes is not None:
            raise invalid("objects", "give box and strokes in objects, not beside it")
        targets: list[Target] = _parse("objects", _TARGETS, objects)
    elif box is not None or (strokes is not None and num_masks == 0):
        targets = _parse_target("box", box=read_box("box", box), strokes=_read_strokes(strokes))
    else:
        painted = _read_strokes(strokes)
        if painted and num_masks > 1:
            raise invalid("strokes", "with several masks, use objects to say which mask the strokes are for")
        targets = [Target(mask=index, strokes=painted) for index in range(num_masks)]
    if not 1 <= len(targets) <= MAX_OBJECTS:
        given = "no object: send a mask, a box or strokes" if not targets else f"{len(targets)} objects"
        raise invalid("objects", f"{given}; accepted: 1 to {MAX_OBJECTS}")
    names = [target.name or f"object-{number}" for number, target in enumerate(targets, start=1)]
    if len(set(names)) != len(names):
        raise invalid("objects", "two objects have the same name")
    for target in targets:
        if target.mask is not None and target.mask >= num_masks:
            raise invalid("objects", f"mask {target.mask} does not exist; {num_masks} mask files came, counted from 0")
    if objects is None and box is not None and num_masks:
        raise invalid("box", "an object has either a mask or a box, not both")
    return targets


def read_box(name: str, text: str | None) -> Box | None:
    """Parse four numbers separated by commas; None stays None."""
    if text is None:
        return None
    left, top, right, bottom = (float(number) for number in text.split(","))
    if left >= right or top >= bottom:
        raise invalid(name, f"{text} is not left,top,right,bottom with left < right and top < bottom")
    return left, top, right, bottom


async def save(upload: ReceivedFile, path: Path) -> Path:
    """Write an upload to a file; the client's file name is not used."""

    def copy() -> None:
        with path.open("wb") as file:
            shutil.copyfileobj(upload.file, file, 2**20)

    await asyncio.to_thread(copy)
    return path


def invalid(field: str, message: str) -> ProblemError:
    """The problem of one field."""
    return ProblemError("invalid-field", f"{field}: {message}.", errors=[{"field": field, "message": message}])


def invalid_fields(errors: Sequence[Any]) -> ProblemError:
    """The problem that a list of pydantic's errors describes; it does not repeat what was sent."""
    told = []
    for error in errors:
        parts = [str(part) for part in error["loc"] if part not in ("body", "query", "path", "header")]
        message = str(error["msg"]).removeprefix("Value error, ")
        if error["type"] == "string_pattern_mismatch":
            message = _ACCEPTED.get(parts[-1], message)
        told.append({"field": ".".join(parts), "message": message})
    detail = "; ".join(
        f"{error['field']}: {error['message']}" if error["field"] else error["message"] for error in told
    )
    return ProblemError("invalid-field", detail[:1000], errors=told[:20])


def _read_strokes(text: str | None) -> list[Stroke]:
    strokes: list[Stroke] = [] if text is None else _parse("strokes", _STROKES, text)
    return strokes


def _parse_target(field: str, **values: Any) -> list[Target]:
    try:
        return [Target(**values)]
    except ValidationError as error:
        raise _renamed(field, error) from error


def _parse(field: str, adapter: Any, text: str) -> Any:
    """What pydantic's `adapter` makes of JSON."""
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        raise _renamed(field, error) from error


def _renamed(field: str, error: ValidationError) -> ProblemError:
    return invalid_fields(
        [{"loc": (field, *item["loc"]), "msg": item["msg"], "type": item["type"]} for item in error.errors()]
    )
