"""The addresses of clips: upload, frames, mattes, export."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, File, Form, Header, Request, UploadFile
from fastapi.responses import FileResponse, Response
from pydantic import BaseModel
from starlette.datastructures import UploadFile as ReceivedFile

from mask2alpha.errors import InputError
from mask2alpha.rendering import plain_colour
from mask2alpha.serving.clips import FRAME_DIGITS, RESULTS, Clip, ClipStore, why_no_clips
from mask2alpha.serving.forms import LookForm, MattingForm, invalid, save
from mask2alpha.serving.jobs import ClipFormat, ClipOutput
from mask2alpha.serving.problems import WORK_PROBLEMS, ProblemError, describe
from mask2alpha.serving.settings import ServiceSettings

ClipToken = Annotated[str, Header(alias="X-Clip-Token", max_length=200, description="From `POST /v1/clips`.")]


class ClipAnswer(BaseModel):
    """A clip that the service keeps, and how far the work on it is."""

    id: str
    token: str | None = None
    """The owner's token; only the answer to the upload has it."""
    frames: int
    width: int
    height: int
    """Of an upright frame."""
    rate: float
    """Frames per second."""
    state: Literal["idle", "waiting", "matting", "exporting"]
    matted: int
    """Frames that have a matte, from the first on."""
    is_matted: bool
    """Whether all frames have one."""
    exported: int
    """Frames that are in the export."""
    is_exported: bool
    """Whether the export can be fetched."""
    problem: str | None = None
    """Why the last work failed."""
    warnings: list[str]
    expires_in: float
    """Seconds from the last use until the clip is removed."""


@dataclass(frozen=True, kw_only=True)
class ExportForm(LookForm):
    """How a matted clip is written."""

    output: Annotated[ClipOutput, Form(description="What is made of every frame.")] = "cutout"
    format: Annotated[
        ClipFormat, Form(description="png: a ZIP archive of a PNG file per frame; webm: VP9; mov: ProRes 4444.")
    ] = "png"
    background: Annotated[
        str, Form(max_length=40, description="Background of composites: a colour such as white or #20a040.")
    ] = "white"


def about_clips(settings: ServiceSettings) -> dict[str, Any]:
    """What `/v1/info` says about clips."""
    return {
        "missing": why_no_clips(),
        "bytes": settings.max_clip,
        "frames": settings.clip_frames,
        "formats": list(RESULTS),
    }


async def _store(request: Request) -> ClipStore:
    store = request.app.state.service.clips
    assert isinstance(store, ClipStore)
    return store


Store = Annotated[ClipStore, Depends(_store)]
router = APIRouter(prefix="/v1/clips", tags=["clips"])
_FOUND = describe("clip-not-found", "invalid-field")
_WORKING = describe("clip-not-found", "clip-refused", *WORK_PROBLEMS)


@router.post(
    "",
    status_code=201,
    response_model_exclude_none=True,
    responses=describe("clip-refused", "no-clips", *WORK_PROBLEMS),
)
async def keep(
    request: Request,
    store: Store,
    clip: Annotated[UploadFile, File(description="The clip: mp4, mov, webm, mkv and others that ffmpeg reads.")],
) -> ClipAnswer:
    """Keep a clip, to be matted from masks of any of its frames."""
    if told := why_no_clips():
        raise ProblemError("no-clips", told)
    folder = request.app.state.service.folder(request)
    kept, token = await store.add(await save(clip, folder / "clip"))
    return _about(store, kept).model_copy(update={"token": token})


@router.get("/{clip_id}", response_model_exclude_none=True, responses=_FOUND)
async def look_up_clip(store: Store, clip_id: str, token: ClipToken = "") -> ClipAnswer:
    """Tell how far the work on a clip is, and restart its expiry."""
    return _about(store, store.get(clip_id, token))


@router.delete("/{clip_id}", status_code=204, responses=_FOUND)
async def remove_clip(store: Store, clip_id: str, token: ClipToken = "") -> None:
    """Stop the work on a clip, and remove it."""
    await store.remove(clip_id, token)


@router.post("/{clip_id}/mattes", status_code=202, response_model_exclude_none=True, responses=_WORKING)
async def matte_clip(
    request: Request,
    store: Store,
    clip_id: str,
    form: Annotated[MattingForm, Depends()],
    mask: Annotated[
        list[UploadFile],
        File(description="All masks; the last number in a file's name is its frame's, from 1 on: 60.png."),
    ],
    token: ClipToken = "",
) -> ClipAnswer:
    """Begin to matte a clip, also anew with further masks: the target is followed from each in both directions."""
    clip = store.get(clip_id, token)
    masks = await _save_masks(mask, clip, request.app.state.service.folder(request))
    await store.matte(clip, masks, **asdict(form))
    return _about(store, clip)


@router.delete("/{clip_id}/mattes", response_model_exclude_none=True, responses=_FOUND)
async def stop_clip(store: Store, clip_id: str, token: ClipToken = "") -> ClipAnswer:
    """Stop the work on a clip; the mattes that were made stay."""
    clip = store.get(clip_id, token)
    await store.stop(clip)
    return _about(store, clip)


@router.post(
    "/{clip_id}/export",
    status_code=202,
    response_model_exclude_none=True,
    responses={**_WORKING, **describe("clip-unfinished")},
)
async def export_clip(
    store: Store, clip_id: str, form: Annotated[ExportForm, Depends()], token: ClipToken = ""
) -> ClipAnswer:
    """Begin to write a matted clip as a file, also anew in another way; nothing is matted again."""
    try:
        plain_colour(form.background, "background")
    except InputError as error:
        raise invalid("background", str(error)) from error
    clip = store.get(clip_id, token)
    await store.export(clip, **asdict(form))
    return _about(store, clip)


def _described(text: str, *media_types: str) -> dict[int | str, dict[str, Any]]:
    missing = describe("clip-not-found", "clip-unfinished", "invalid-field")
    return {200: {"description": text, "content": {name: {} for name in media_types}}, **missing}


@router.get(
    "/{clip_id}/frames/{number}",
    response_class=FileResponse,
    responses=_described("The frame, shrunk to at most 1280 pixels.", "image/jpeg"),
)
async def show_frame(store: Store, clip_id: str, number: int, token: ClipToken = "") -> Response:
    """Return a frame, counted from 1, for a look and for drawing a mask."""
    return FileResponse(store.get(clip_id, token).picture(number), media_type="image/jpeg")


@router.get(
    "/{clip_id}/frames/{number}/matte",
    response_class=FileResponse,
    responses=_described("The alpha, with 16 bits.", "image/png"),
)
async def show_matte(store: Store, clip_id: str, number: int, token: ClipToken = "") -> Response:
    """Return the matte of a frame, counted from 1."""
    return FileResponse(store.get(clip_id, token).matte(number), media_type="image/png")


@router.get(
    "/{clip_id}/export",
    response_class=FileResponse,
    responses=_described("The exported file.", *(media_type for _, media_type in RESULTS.values())),
)
async def get_export(store: Store, clip_id: str, token: ClipToken = "") -> Response:
    """Return the exported clip."""
    path, media_type = store.get(clip_id, token).result()
    return FileResponse(path, media_type=media_type)


async def _save_masks(masks: Sequence[ReceivedFile], clip: Clip, folder: Path) -> Path:
    """Write the masks into a new folder, named by their frames.

    Raises:
        ProblemError: A name says no frame of the clip, or two masks are of the same one.
    """
    numbers = [_frame_of(mask, clip) for mask in masks]
    if len(set(numbers)) < len(numbers):
        raise invalid("mask", "two masks are of the same frame")
    (folder / "masks").mkdir()
    for mask, number in zip(masks, numbers, strict=True):
        await save(mask, folder / "masks" / f"{number:0{FRAME_DIGITS}d}.png")
    return folder / "masks"


def _frame_of(mask: ReceivedFile, clip: Clip) -> int:
    numbers = re.findall(r"[0-9]+", Path(mask.filename or "").stem)
    number = int(numbers[-1][-9:]) if numbers else 0
    if not 1 <= number <= clip.info.frames:
        told = f"{number} is not a frame of the clip" if numbers else "the name of a mask has no number"
        raise invalid("mask", f"{told}; accepted: the frames 1 to {clip.info.frames}, as in 60.png")
    return number


def _about(store: ClipStore, clip: Clip) -> ClipAnswer:
    return ClipAnswer(
        id=clip.id,
        **clip.info.model_dump(),
        state=clip.state,
        matted=clip.num_matted,
        is_matted=clip.is_matted,
        exported=clip.num_exported,
        is_exported=bool(clip.exported),
        problem=clip.problem.detail if clip.problem else None,
        warnings=[*clip.read_warnings, *clip.warnings],
        expires_in=store.expiry,
    )
