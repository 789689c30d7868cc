"""The addresses of the service: they read forms, hand jobs to workers and answer with the outputs."""

import asyncio
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from secrets import token_hex
from typing import Annotated, Any, Literal, get_args

from fastapi import APIRouter, Depends, FastAPI, File, Header, Query, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.staticfiles import StaticFiles

from mask2alpha._version import __version__
from mask2alpha.imaging.decode import SUFFIXES as INPUT_SUFFIXES
from mask2alpha.serving import clip_routes
from mask2alpha.serving import counters as counters_module
from mask2alpha.serving.clips import COMMAND as CLIP_COMMAND
from mask2alpha.serving.clips import ClipStore
from mask2alpha.serving.counters import ServiceCounters
from mask2alpha.serving.forms import Background, MaskFiles, MatteForm, MaxSide, invalid_fields, save
from mask2alpha.serving.jobs import (
    MEDIA_TYPES,
    SUFFIXES,
    EncodeJob,
    HintsJob,
    Job,
    JobResult,
    MatteJob,
    Output,
    Selection,
    SelectJob,
    ShowJob,
)
from mask2alpha.serving.limits import RequestLimits
from mask2alpha.serving.pool import COMMAND, Ticket, WorkerPool
from mask2alpha.serving.problems import WORK_PROBLEMS, ProblemError, describe
from mask2alpha.serving.settings import MAX_OBJECTS, MAX_SIDE, MAX_STEPS, ServiceSettings
from mask2alpha.serving.uploads import StoredPhoto, UploadStore, new_key
from mask2alpha.serving.worker import WorkerSettings

SWEEP_SECONDS = 5.0
PACKAGE = Path(str(resources.files("mask2alpha")))
EXAMPLES = {"photo": ("photo.jpg", "image/jpeg"), "mask": ("mask.png", "image/png")}
Token = Annotated[str, Header(alias="X-Encoding-Token", max_length=200, description="From `POST /v1/encodings`.")]
_Side = Annotated[int | None, Query(ge=16, le=MAX_SIDE)]


class EncodingAnswer(BaseModel):
    """A photo that the service keeps."""

    id: str
    token: str | None = None
    """The owner's token; only the answer to the upload has it."""
    width: int
    height: int
    is_16_bit: bool
    expires_in: float
    """Seconds from the last use until the photo is removed."""
    warnings: list[str] = []


class ProgressAnswer(BaseModel):
    """The progress of a request."""

    state: Literal["waiting", "working"]
    ahead: int = 0
    """Number of requests that are served before this one."""
    stage: str = ""
    done: float = 0.0


class Service:
    """State and functions that the addresses share."""

    def __init__(
        self,
        settings: ServiceSettings,
        *,
        pool: WorkerPool,
        metrics: ServiceCounters,
        spool: Path,
        clip_command: tuple[str, ...],
    ) -> None:
        self.settings = settings
        self.pool = pool
        self.metrics = metrics
        self.spool = spool
        self.photos = UploadStore(
            spool,
            max_count=settings.encodings,
            max_bytes=settings.encodings_bytes,
            expiry=settings.encoding_expiry,
            on_removed=pool.forget,
        )
        self.clips = ClipStore(
            spool,
            settings=settings,
            worker=_worker_settings(settings),
            command=clip_command,
            on_job=metrics.count_job,
        )
        self.tickets: dict[str, Ticket] = {}
        """Jobs in the pool, by the id of their request."""
        metrics.gauge("queue", "Jobs that wait for a worker", lambda: pool.num_waiting)
        metrics.gauge("workers_ready", "Workers that have loaded their model", lambda: pool.num_ready)
        metrics.gauge("workers_resident_bytes", "Resident memory of the workers", pool.resident_bytes)
        metrics.gauge("encodings", "Number of photos kept", lambda: len(self.photos))
        metrics.gauge("clips", "Number of clips kept", lambda: len(self.clips))
        metrics.gauge("encodings_bytes", "Bytes of the uploads kept", lambda: self.photos.num_bytes)

    def folder(self, request: Request) -> Path:
        """Make a folder for the request; it is removed when the request has been answered."""
        folder = self.spool / f"request-{token_hex(8)}"
        folder.mkdir()
        request.state.folder = folder
        return folder

    def borrow(self, request: Request, encoding_id: str, token: str) -> tuple[StoredPhoto, Path, Path]:
        """A kept photo; a folder for the request; and in it a link to the upload, which outlives the kept photo.

        Raises:
            ProblemError: There is no such photo, or the token is wrong.
        """
        kept, folder = self.photos.get(encoding_id, token), self.folder(request)
        path = folder / "photo"
        path.hardlink_to(kept.path)
        return kept, folder, path

    async def answer(self, request: Request, job: ShowJob | SelectJob | HintsJob | MatteJob) -> FileResponse:
        """Run a job and answer with its outputs; raises as `run`."""
        result, ticket = await self.run(request, job)
        waited = (ticket.started or ticket.submitted) - ticket.submitted
        worked = (ticket.finished or ticket.submitted) - ticket.submitted - waited
        headers = {"Server-Timing": f"wait;dur={1000 * waited:.0f}, work;dur={1000 * worked:.0f}"}
        if result.warnings:
            headers["X-Warnings"] = json.dumps(result.warnings[:20])
        if result.active_shares:
            headers["X-Active-Share"] = ",".join(f"{share:.4f}" for share in result.active_shares)
        return FileResponse(job.folder / result.file_name, media_type=result.media_type, headers=headers)

    async def run(self, request: Request, job: Job) -> tuple[JobResult, Ticket]:
        """Run a job; it is cancelled if the client disconnects.

        Raises:
            ProblemError: The queue is full, or the job failed.
            ClientDisconnect: The client has disconnected.
        """
        request_id = request.state.request_id
        ticket = self.pool.submit(job)
        self.tickets[request_id] = ticket
        waiting = asyncio.ensure_future(self.pool.wait(ticket))
        leaving = asyncio.ensure_future(_until_left(request))
        try:
            await asyncio.wait((waiting, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                self.pool.cancel(ticket)
                raise ClientDisconnect
            return waiting.result(), ticket
        finally:
            waiting.cancel()
            leaving.cancel()
            if self.tickets.get(request_id) is ticket:
                del self.tickets[request_id]

    async def sweep(self) -> None:
        """Remove expired photos and clips every few seconds, until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.photos.remove_expired()
            await self.clips.remove_expired()


async def _service(request: Request) -> Service:
    service = request.app.state.service
    assert isinstance(service, Service)
    return service


TheService = Annotated[Service, Depends(_service)]
status = APIRouter(tags=["status"])
encodings = APIRouter(prefix="/v1/encodings", tags=["encodings"])
mattes = APIRouter(prefix="/v1", tags=["mattes"], default_response_class=FileResponse)


@status.get("/health")
async def health() -> dict[str, str]:
    """Tell whether the front process answers."""
    return {"status": "ok"}


@status.get("/ready", responses=describe("starting"))
async def ready(service: TheService) -> dict[str, int]:
    """Tell whether at least one worker has loaded its model."""
    if service.pool.num_ready == 0:
        raise ProblemError("starting", "No worker is ready.", retry_after=2)
    return {"workers": service.pool.num_ready}


@status.get("/metrics", response_class=Response, responses=describe())
async def show_metrics(service: TheService) -> Response:
    """Return the counters in Prometheus' text format."""
    return Response(service.metrics.render(), media_type=counters_module.CONTENT_TYPE)


@status.get("/v1/info")
async def info(service: TheService) -> dict[str, Any]:
    """Return version, model, limits, formats and outputs."""
    settings, about = service.settings, service.pool.about
    return {
        "version": __version__,
        "model": Path(settings.model).name,
        "device": about["device"],
        "defaults": {name: about[name] for name in ("trust", "steps", "error_threshold")},
        "selects": bool(about["selects"]),
        "needs_key": bool(settings.api_key_hashes),
        "limits": {
            "body_bytes": settings.max_body,
            "pixels": settings.max_pixels,
            "side": MAX_SIDE,
            "objects": MAX_OBJECTS,
            "steps": MAX_STEPS,
            "deadline_seconds": settings.deadline,
        },
        "clips": clip_routes.about_clips(settings),
        "input_formats": [suffix.removeprefix(".") for suffix in INPUT_SUFFIXES],
        "formats": list(SUFFIXES),
        "outputs": get_args(Output),
    }


@status.get("/v1/progress/{request_id}", responses=describe("not-found", "invalid-field"))
async def progress(service: TheService, request_id: str) -> ProgressAnswer:
    """Return the progress of the request with this `X-Request-Id`."""
    ticket = service.tickets.get(request_id)
    if ticket is None:
        raise ProblemError("not-found", "No request with this id is waiting or running.")
    if ticket.started is None:
        return ProgressAnswer(state="waiting", ahead=service.pool.num_ahead(ticket))
    return ProgressAnswer(state="working", stage=ticket.stage, done=ticket.done)


@status.get("/v1/example/{what}", response_class=FileResponse, responses=describe("invalid-field"))
async def example(what: Literal["photo", "mask"]) -> FileResponse:
    """Return the example photo or a rough mask of it."""
    name, media_type = EXAMPLES[what]
    return FileResponse(PACKAGE / "serving" / "example" / name, media_type=media_type)


@encodings.post("", status_code=201, response_model_exclude_none=True, responses=describe(*WORK_PROBLEMS))
async def encode(
    request: Request,
    service: TheService,
    photo: Annotated[UploadFile, File(description="The photo, in any accepted format.")],
    max_side: MaxSide = None,
) -> EncodingAnswer:
    """Keep a photo for any number of masks. It is encoded once."""
    folder, key = service.folder(request), new_key()
    path = await save(photo, folder / "photo")
    result, _ = await service.run(request, EncodeJob(photo=path, key=key, max_side=max_side))
    kept, token = service.photos.add(key, path, width=result.width, height=result.height, is_16_bit=result.is_16_bit)
    return _about(service, kept).model_copy(update={"token": token, "warnings": result.warnings})


_FOUND = describe("encoding-not-found", "invalid-field")
_WORKING = describe("encoding-not-found", *WORK_PROBLEMS)


@encodings.get("/{encoding_id}", response_model_exclude_none=True, responses=_FOUND)
async def look_up(service: TheService, encoding_id: str, token: Token = "") -> EncodingAnswer:
    """Look up a kept photo, and restart its expiry."""
    return _about(service, service.photos.get(encoding_id, token))


@encodings.delete("/{encoding_id}", status_code=204, responses=_FOUND)
async def forget(service: TheService, encoding_id: str, token: Token = "") -> None:
    """Remove a kept photo."""
    service.photos.remove(encoding_id, token)


@encodings.get("/{encoding_id}/photo", response_class=FileResponse, responses=_WORKING)
async def show(
    request: Request,
    service: TheService,
    encoding_id: str,
    token: Token = "",
    max_side: _Side = None,
    format: Literal["jpeg", "png", "webp"] = "jpeg",
) -> Response:
    """Return the photo upright, in 8 bits, in a format that browsers show."""
    _, folder, path = service.borrow(request, encoding_id, token)
    return await service.answer(request, ShowJob(photo=path, folder=folder, max_side=max_side, format=format))


@encodings.post(
    "/{encoding_id}/selections",
    response_class=FileResponse,
    responses={200: {"description": "The rough mask, 0 and 255.", "content": {"image/png": {}}}, **_WORKING},
)
async def select(
    request: Request,
    service: TheService,
    encoding_id: str,
    selection: Selection,
    token: Token = "",
    max_side: _Side = None,
) -> Response:
    """The rough mask of what is pointed at in a kept photo; the model needs a backbone."""
    kept, folder, path = service.borrow(request, encoding_id, token)
    job = SelectJob(
        photo=path,
        key=kept.id,
        max_side=max_side,
        selection=selection.model_copy(update={"mask": None}),
        mask=folder / "given" if selection.mask is not None else None,
        folder=folder,
    )
    if job.mask is not None:
        await asyncio.to_thread(job.mask.write_bytes, selection.mask or b"")
    return await service.answer(request, job)


@encodings.get(
    "/{encoding_id}/hints",
    response_class=FileResponse,
    responses={
        200: {"description": "As `mask2alpha.serving.hints` writes it.", "content": {"application/json": {}}},
        **_WORKING,
    },
)
async def hint(
    request: Request, service: TheService, encoding_id: str, token: Token = "", max_side: _Side = None
) -> Response:
    """What a page needs to show at once what a click would take; the model needs a backbone."""
    kept, folder, path = service.borrow(request, encoding_id, token)
    return await service.answer(request, HintsJob(photo=path, key=kept.id, max_side=max_side, folder=folder))


_PICTURES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "One output, or several as a ZIP archive, or as a form if the request accepts one.",
        "content": {
            media_type: {"schema": {"type": "string", "format": "binary"}}
            for media_type in (*MEDIA_TYPES.values(), "application/zip", "multipart/form-data")
        },
    }
}


@mattes.post("/mattes", responses={**_PICTURES, **describe(*WORK_PROBLEMS)})
async def matte(
    request: Request,
    service: TheService,
    photo: Annotated[UploadFile, File(description="The photo, in any accepted format.")],
    form: Annotated[MatteForm, Depends()],
    mask: MaskFiles = None,
    background: Background = "white",
) -> Response:
    """Matte a photo. Nothing of it is kept."""
    folder = service.folder(request)
    path = await save(photo, folder / "photo")
    accept = request.headers.get("accept", "")
    job = await form.job(path, None, folder, masks=mask, background=background, accept=accept)
    return await service.answer(request, job)


@mattes.post("/encodings/{encoding_id}/mattes", responses={**_PICTURES, **_WORKING})
async def matte_again(
    request: Request,
    service: TheService,
    encoding_id: str,
    form: Annotated[MatteForm, Depends()],
    token: Token = "",
    mask: MaskFiles = None,
    background: Background = "white",
) -> Response:
    """Matte a kept photo."""
    kept, folder, path = service.borrow(request, encoding_id, token)
    accept = request.headers.get("accept", "")
    job = await form.job(path, kept.id, folder, masks=mask, background=background, accept=accept)
    return await service.answer(request, job)


def create_app(
    settings: ServiceSettings, *, command: tuple[str, ...] = COMMAND, clip_command: tuple[str, ...] = CLIP_COMMAND
) -> FastAPI:
    """Build the service; its workers start when it starts.

    Args:
        settings: Limits and choices.
        command: Command line of a worker.
        clip_command: Command line of the process of a clip.
    """
    metrics = ServiceCounters()
    pool = WorkerPool(
        _worker_settings(settings),
        workers=settings.workers,
        queue=settings.queue,
        deadline=settings.deadline,
        time_limit=settings.time_limit,
        command=command,
        on_job=metrics.count_job,
        on_death=metrics.count_death,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        spool = Path(tempfile.mkdtemp(prefix="mask2alpha-", dir=settings.spool))
        service = sweeper = None
        try:
            await pool.start()
            service = app.state.service = Service(
                settings, pool=pool, metrics=metrics, spool=spool, clip_command=clip_command
            )
            sweeper = asyncio.ensure_future(service.sweep())
            yield
        finally:
            if sweeper is not None:
                sweeper.cancel()
            if service is not None:
                await service.clips.close()
            await pool.stop()
            shutil.rmtree(spool, ignore_errors=True)

    app = FastAPI(
        title="mask2alpha",
        version=__version__,
        description="Makes a full-resolution alpha matte from a photo and a rough mask.",
        lifespan=lifespan,
        docs_url=None,  # these pages load scripts from other sites
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,
    )
    app.add_exception_handler(ProblemError, _answer_problem)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(HTTPException, _answer_http)
    for router in (status, encodings, mattes, clip_routes.router):
        app.include_router(router)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "X-Clip-Token", "X-Encoding-Token", "X-Request-Id"],
            expose_headers=["X-Request-Id", "X-Warnings", "X-Active-Share", "Retry-After", "Server-Timing"],
        )
    app.add_middleware(RequestLimits, settings=settings, metrics=metrics, check_room=pool.check_room)
    if (PACKAGE / "web").is_dir():
        app.mount("/", StaticFiles(directory=PACKAGE / "web", html=True), name="page")
    return app


def _about(service: Service, kept: StoredPhoto) -> EncodingAnswer:
    return EncodingAnswer(
        id=kept.id,
        width=kept.width,
        height=kept.height,
        is_16_bit=kept.is_16_bit,
        expires_in=service.photos.expiry,
    )


async def _until_left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _worker_settings(settings: ServiceSettings) -> WorkerSettings:
    threads = settings.threads or max(1, usable_cores() // settings.workers)
    return WorkerSettings.model_validate({**asdict(settings), "threads": threads})


async def _answer_problem(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, ProblemError)
    return problem.response(request.state.request_id)


async def _answer_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return invalid_fields(error.errors()).response(request.state.request_id)


async def _answer_http(request: Request, error: Exception) -> Response:
    """Answer what the framework refuses by itself."""
    assert isinstance(error, HTTPException)
    kind = {404: "not-found", 405: "wrong-method"}.get(error.status_code, "bad-request")
    detail = {
        "not-found": "There is nothing at this address.",
        "wrong-method": "This address does not answer such requests.",
    }.get(kind, str(error.detail))
    response = ProblemError(kind, detail).response(request.state.request_id)
    if error.headers:
        response.headers.update(error.headers)
    return response


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
