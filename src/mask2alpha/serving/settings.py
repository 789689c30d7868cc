"""What the operator of a service decides; the command line's options have these names."""

from dataclasses import dataclass, field
from pathlib import Path

from mask2alpha.errors import InputError

MEBIBYTE = 2**20
MAX_STEPS = 32
MAX_OBJECTS = 16
MAX_STROKES = 1000
MAX_STROKE_POINTS = 20_000
MAX_SIDE = 20_000
"""Longest side of a photograph, in pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """Limits and choices of one service."""

    model: str = "small"
    """Shipped name, .safetensors file or folder, or a hub id that is already on this machine."""
    device: str | None = None
    """None: CUDA where there is one, else the CPU."""
    dtype: str | None = None
    """None: bfloat16 where the hardware has it, else float32."""
    workers: int = 1
    """Processes that each hold the model and do one request at a time."""
    threads: int | None = None
    """Of each worker; None: the processor's cores shared out among the workers."""
    queue: int = 32
    """Requests that may wait for a worker; one more is answered 429."""
    uploads: int = 128
    """Requests with an upload in hand at the same time, from their head to the end of their answer; else 429."""
    deadline: float = 120.0
    """Seconds from a complete upload to the answer; then 503."""
    time_limit: float = 120.0
    """Seconds that one request may keep a worker busy; then the worker is killed and replaced."""
    upload_timeout: float = 60.0
    """Seconds for a request's body to arrive, and for each piece of an answer to be taken."""
    max_body: int = 64 * MEBIBYTE
    """Bytes of a request's body, counted as they arrive."""
    max_pixels: int = 40_000_000
    """Of a photograph, a mask or a background, known from the file's header before anything is decoded."""
    worker_memory: int = 5 * 1024 * MEBIBYTE
    """Bytes that a worker may take beyond what it has when its model is loaded; enforced by the kernel."""
    worker_cache: int = 512 * MEBIBYTE
    """Bytes of encodings and mattes that each worker keeps ready."""
    encodings: int = 64
    """Photographs kept for further masks; the one not used for longest goes first."""
    encodings_bytes: int = 512 * MEBIBYTE
    """Bytes of the uploads of all kept photographs."""
    encoding_expiry: float = 900.0
    """Seconds after its last use when a kept photograph is removed."""
    api_key_hashes: tuple[str, ...] = field(default=(), repr=False)
    """SHA-256 of the accepted API keys, hexadecimal; empty: no key is asked for."""
    cors_origins: tuple[str, ...] = ()
    """Other sites whose pages may use the service."""
    allowed_hosts: tuple[str, ...] = ("*",)
    """Accepted `Host` headers."""
    spool: Path | None = None
    """Folder for uploads and answers in passing; None: a new one in the system's temporary folder."""

    def __post_init__(self) -> None:
        at_least_one = ("workers", "max_body", "max_pixels", "worker_memory", "uploads", "encodings", "encodings_bytes")
        for name in at_least_one:
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1; got {getattr(self, name)}")
        for name in ("deadline", "time_limit", "upload_timeout", "encoding_expiry"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} must be more than 0 seconds; got {getattr(self, name)}")
        if self.queue < 0 or self.worker_cache < 0:
            raise InputError(f"queue and worker_cache must not be negative; got {self.queue} and {self.worker_cache}")
        if self.threads is not None and self.threads < 1:
            raise InputError(f"threads must be at least 1; got {self.threads}")
