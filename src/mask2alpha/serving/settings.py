"""The settings of a service; the options of `mask2alpha serve` have these names."""

from dataclasses import dataclass, field
from pathlib import Path

from mask2alpha.errors import InputError
from mask2alpha.model.config import DEFAULT_MODEL

MEBIBYTE = 2**20
MAX_STEPS = 32
MAX_OBJECTS = 16
MAX_MARKS = 200
"""Most points of a selection on the target, most that are not on it, and most strokes of either kind."""
MAX_STROKES = 1000
MAX_STROKE_POINTS = 20_000
MAX_SIDE = 20_000
"""Largest side of a photo in pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """Limits and choices of one service."""

    model: str = DEFAULT_MODEL
    """Shipped name, .safetensors file or folder, or a hub id that is already on this machine."""
    device: str | None = None
    """Device of the network; None: CUDA if available, else the CPU."""
    dtype: str | None = None
    """Number format of the network; None: bfloat16 if the hardware has it, else float32."""
    workers: int = 1
    """Number of worker processes; each holds the model and runs one request at a time."""
    threads: int | None = None
    """Number of threads of each worker; None: the cores divided by the workers."""
    queue: int = 32
    """Number of requests that may wait for a worker; further ones are answered with status 429."""
    uploads: int = 128
    """Number of requests with an upload at the same time, from their head to the end of their answer; else 429."""
    deadline: float = 120.0
    """Seconds from a complete upload to the answer; then the status is 503."""
    time_limit: float = 120.0
    """Seconds that one request may keep a worker busy; then the worker is killed and replaced."""
    upload_timeout: float = 60.0
    """Seconds for a request's body to arrive, and for each piece of an answer to be taken."""
    max_body: int = 64 * MEBIBYTE
    """Size limit of a request's body in bytes, counted as they arrive."""
    max_pixels: int = 40_000_000
    """Size limit of a photo, mask or background in pixels, read from the file's header before anything is decoded."""
    worker_memory: int = 5 * 1024 * MEBIBYTE
    """Bytes that a worker may take beyond its loaded model; the kernel enforces it."""
    worker_cache: int = 512 * MEBIBYTE
    """Size of each worker's cache of encodings and mattes in bytes."""
    encodings: int = 64
    """Number of uploaded photos kept for further masks; the least recently used goes first."""
    encodings_bytes: int = 512 * MEBIBYTE
    """Size limit of all kept uploads in bytes."""
    encoding_expiry: float = 900.0
    """Seconds after its last use until a kept photo is removed."""
    clips: int = 4
    """Number of clips kept; the least recently used that is not being worked on goes first. Also of uploads at once."""
    max_clip: int = 512 * MEBIBYTE
    """Size limit of an uploaded clip in bytes; it may take as much longer than `upload_timeout` as it is larger than
    `max_body`."""
    clip_frames: int = 1800
    """Size limit of a clip in frames."""
    clip_bytes: int = 8 * 1024 * MEBIBYTE
    """Size limit of the mattes of a clip, and of what is exported of them, in bytes."""
    clip_time_limit: float = 7200.0
    """Seconds that the mattes of one clip may take, or their export; then the work is stopped."""
    clip_expiry: float = 3600.0
    """Seconds after its last use until a clip is removed with its mattes."""
    api_key_hashes: tuple[str, ...] = field(default=(), repr=False)
    """SHA-256 of the accepted API keys in hexadecimal; empty: no key is needed."""
    cors_origins: tuple[str, ...] = ()
    """Other sites whose pages may use the service."""
    allowed_hosts: tuple[str, ...] = ("*",)
    """Accepted `Host` headers."""
    spool: Path | None = None
    """Folder for temporary files; None: a new one in the system's temporary folder."""

    def __post_init__(self) -> None:
        at_least_one = ("workers", "max_body", "max_pixels", "worker_memory", "uploads", "encodings", "encodings_bytes")
        for name in (*at_least_one, "clips", "max_clip", "clip_frames", "clip_bytes"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1; got {getattr(self, name)}")
        for name in ("deadline", "time_limit", "upload_timeout", "encoding_expiry", "clip_time_limit", "clip_expiry"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} must be more than 0 seconds; got {getattr(self, name)}")
        if self.queue < 0 or self.worker_cache < 0:
            raise InputError(f"queue and worker_cache must not be negative; got {self.queue} and {self.worker_cache}")
        if self.threads is not None and self.threads < 1:
            raise InputError(f"threads must be at least 1; got {self.threads}")
