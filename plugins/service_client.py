"""Asks a mask2alpha service (`mask2alpha serve`) for a matte; the standard library is all it needs.

Plug-ins whose host has no place for PyTorch use it. `build.py` puts a copy beside each of them.
"""

import http.client
import json
import struct
import time
import urllib.error
import urllib.request
import uuid
import zlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from urllib.parse import urlsplit

DEFAULT_URL = "http://127.0.0.1:8000"
LONGEST_WAIT = 60.0
"""Seconds to wait in all while the service says that it is busy."""


class ServiceError(Exception):
    """The service cannot be reached, or refuses; the message can be shown to the user."""


def matte(
    photo: bytes,
    mask: bytes,
    output: str,
    *,
    choice: Mapping[str, str] = MappingProxyType({}),
    url: str = DEFAULT_URL,
    key: str = "",
    timeout: float = 300.0,
    on_warning: Callable[[str], object] = lambda text: None,
) -> bytes:
    """Matte one photograph.

    Args:
        photo: The bytes of a picture file, such as PNG, JPEG or TIFF.
        mask: The same for the rough mask. The service reads it as every door does, and refuses what is ambiguous.
        output: "alpha", "cutout", "foreground" or "composite".
        choice: Further fields of the service: "label", "channel", "invert" and "fit", for what the mask's values do not
            say, and "edges", which changes the matte's edge.
        url: Where the service is.
        key: Its API key, if it wants one.
        timeout: Seconds until the answer must be there.
        on_warning: Called with each thing that the service says of the pictures, such as that the mask is empty.

    Returns:
        The bytes of a PNG file of the photograph's size.

    Raises:
        ServiceError: The service cannot be reached, is busy for too long, or refuses the pictures.
    """
    boundary = uuid.uuid4().hex
    fields = {"outputs": output, "format": "png", **choice}
    body = _form(boundary, files={"photo": photo, "mask": mask}, fields=fields)
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}", "Accept": "image/png"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(f"{_checked(url)}/v1/mattes", data=body, headers=headers, method="POST")
    waited = 0.0
    while True:
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                answer: bytes = response.read()
                told = json.loads(response.headers.get("X-Warnings", "[]"))
                break
        except urllib.error.HTTPError as error:
            pause = _pause(error)
            if pause is None or waited + pause > LONGEST_WAIT:
                raise ServiceError(_reason(error)) from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise ServiceError(
                f"no mask2alpha service answers at {url} ({reason}). Start one with: mask2alpha serve"
            ) from error
        time.sleep(pause)
        waited += pause
    if not answer.startswith(b"\x89PNG\r\n\x1a\n"):
        raise ServiceError(f"what answers at {url} is not a mask2alpha service. Start one with: mask2alpha serve")
    for text in told:
        on_warning(text)
    return answer


def grey_png(values: bytes, width: int, height: int) -> bytes:
    """A PNG file of 8-bit grey values, row by row."""
    rows = b"".join(b"\0" + values[start : start + width] for start in range(0, width * height, width))
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows, 1)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def is_on_this_machine(url: str) -> bool:
    """Whether an address leads to no other machine.

    Raises:
        ServiceError: It is not an address.
    """
    return urlsplit(_checked(url)).hostname in ("127.0.0.1", "localhost", "::1")


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:  # such as a bracket without its partner
        is_address = False
    if not is_address:
        raise ServiceError(f"{url!r} is not the address of a service; an address looks like {DEFAULT_URL}")
    return url.rstrip("/")


def _form(boundary: str, *, files: Mapping[str, bytes], fields: Mapping[str, str]) -> bytes:
    """A multipart/form-data body (RFC 7578)."""
    parts = [
        (f'name="{name}"; filename="{name}"\r\nContent-Type: application/octet-stream', content)
        for name, content in files.items()
    ] + [(f'name="{name}"', value.encode()) for name, value in fields.items()]
    head = f"--{boundary}\r\nContent-Disposition: form-data; "
    return b"".join(
        [
            *(f"{head}{about}\r\n\r\n".encode() + content + b"\r\n" for about, content in parts),
            f"--{boundary}--\r\n".encode(),
        ]
    )


def _pause(error: urllib.error.HTTPError) -> "float | None":
    """Seconds after which a busy service wants to be asked again; None where asking again is of no use."""
    wait = error.headers.get("Retry-After", "")
    return max(1.0, float(wait)) if error.code in (429, 503) and wait.isdigit() else None


def _reason(error: urllib.error.HTTPError) -> str:
    """What the service says in words (RFC 9457), else its status."""
    try:
        problem = json.loads(error.read())
        return str(problem.get("detail") or problem["title"])
    except (OSError, ValueError, KeyError, AttributeError):
        return f"the mask2alpha service answers {error.code} {error.reason}"
