"""The settings of a service; the options of `mask2alpha serve` have these names."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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


def _limit(default: float | int | None, told: str, *, least: float | int, unit: int = 1) -> Any:
    """A field with an option of `mask2alpha serve`.

    Args:
        default: In the option's unit.
        told: What the option's help says.
        least: The least that the option takes, in its unit.
        unit: What 1 of the option means in the field.
    """
    own = default if default is None or unit == 1 else round(default * unit)
    return field(default=own, metadata={"default": default, "help": told, "least": least, "unit": unit})


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """Limits and choices of one service."""

    model: str = DEFAULT_MODEL
    """Shipped name, .safetensors file or folder, or a hub id that is already on this machine."""
    device: str | None = None
    """Device of the network; None: CUDA if available, else the CPU."""
    dtype: str | None = None
    """Number format of the network; None: bfloat16 if the hardware has it, else float32."""
    workers: int = _limit(1, "Number of worker processes.", least=1)
    """Each holds the model and runs one request at a time."""
    threads: int | None = _limit(
        None, "Number of threads of each worker.  [default: the cores divided by the workers]", least=1
    )
    queue: int = _limit(32, "Number of requests that may wait; further ones are answered with status 429.", least=0)
    uploads: int = 128
    """Number of requests with an upload at the same time, from their head to the end of their answer; else 429."""
    deadline: float = _limit(120.0, "Seconds from a complete upload to the answer; then the status is 503.", least=0.1)
    time_limit: float = _limit(
        120.0, "Seconds that one request may keep a worker busy; then the worker is replaced.", least=0.1
    )
    upload_timeout: float = _limit(60.0, "Seconds for an upload to arrive.", least=0.1)
    """Also for each piece of an answer to be taken."""
    max_body: int = _limit(64.0, "Size limit of an upload in MiB.", least=0.001, unit=MEBIBYTE)
    """In bytes, counted as they arrive."""
    max_pixels: int = _limit(
        40.0, "Size limit of a photo, mask or background in megapixels.", least=0.001, unit=1_000_000
    )
    """In pixels, read from the file's header before anything is decoded."""
    worker_memory: int = _limit(
        5.0, "Memory in GiB that each worker may take beyond its model.", least=0.1, unit=1024 * MEBIBYTE
    )
    """In bytes; the kernel enforces it."""
    worker_cache: int = _limit(
        512, "Size in MiB of each worker's cache of encodings and mattes.", least=0, unit=MEBIBYTE
    )
    """In bytes."""
    encodings: int = _limit(64, "Number of uploaded photos kept for further masks.", least=1)
    """The least recently used goes first."""
    encodings_bytes: int = 512 * MEBIBYTE
    """Size limit of all kept uploads in bytes."""
    encoding_expiry: float = _limit(900.0, "Seconds after its last use until an uploaded photo is deleted.", least=1)
    clips: int = _limit(4, "Number of uploaded clips kept.", least=1)
    """The least recently used that is not being worked on goes first. Also of uploads at once."""
    max_clip: int = _limit(512.0, "Size limit of a clip in MiB.", least=0.001, unit=MEBIBYTE)
    """In bytes; a clip may take as much longer than `upload_timeout` as it is larger than `max_body`."""
    clip_frames: int = _limit(1800, "Size limit of a clip in frames.", least=1)
    clip_space: int = _limit(
        8.0, "GiB that the mattes of a clip may take, and its export.", least=0.001, unit=1024 * MEBIBYTE
    )
    """In bytes."""
    clip_time_limit: float = _limit(7200.0, "Seconds until the work on a clip is stopped.", least=0.1)
    """Of its mattes, or of their export."""
    clip_expiry: float = _limit(3600.0, "Seconds after its last use until a clip is deleted.", least=1)
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
        for name in (*at_least_one, "clips", "max_clip", "clip_frames", "clip_space"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1; got {getattr(self, name)}")
        for name in ("deadline", "time_limit", "upload_timeout", "encoding_expiry", "clip_time_limit", "clip_expiry"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} must be more than 0 seconds; got {getattr(self, name)}")
        if self.queue < 0 or self.worker_cache < 0:
            raise InputError(f"queue and worker_cache must not be negative; got {self.queue} and {self.worker_cache}")
        if self.threads is not None and self.threads < 1:
            raise InputError(f"threads must be at least 1; got {self.threads}")
