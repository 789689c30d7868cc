"""The limits on every request: host, origin, key, size and time of the body; also headers, log and counters.

Starlette's `TrustedHostMiddleware` is not used: it answers in plain text, without the security headers and the request
id, and its older versions misread IPv6 addresses.
"""

import asyncio
import hashlib
import hmac
import logging
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mask2alpha.serving.counters import ServiceCounters
from mask2alpha.serving.problems import ProblemError
from mask2alpha.serving.settings import ServiceSettings

CLIENT_LEFT = 499
DRAIN_SECONDS = 5.0
_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}")
_OPEN_PATHS = frozenset(("/v1/info", "/health", "/ready", "/openapi.json"))
_READING_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "font-src 'self'; connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
logger = logging.getLogger(__name__)


@dataclass(eq=False, kw_only=True)
class _Exchange:
    """One request and its answer, while they are transferred."""

    method: str
    path: str
    headers: Headers
    request_id: str
    start: float
    max_body: int
    upload_timeout: float
    """Seconds for the body to arrive."""
    is_work: bool
    is_clip: bool
    """Whether it uploads a clip, which may be larger and take longer."""
    bytes_in: int = 0
    bytes_out: int = 0
    status: int = 0
    is_body_complete: bool = False


class RequestLimits:
    """The outermost middleware of the service."""

    def __init__(
        self, app: ASGIApp, *, settings: ServiceSettings, metrics: ServiceCounters, check_room: Callable[[], None]
    ) -> None:
        """Wrap an application.

        Args:
            app: Answers the requests that pass the checks.
            settings: The limits.
            metrics: Counts every request.
            check_room: Raises a problem if the queue is full.
        """
        self._app = app
        self._settings = settings
        self._metrics = metrics
        self._check_room = check_room
        self._num_uploads = 0
        self._num_clips = 0
        self._key_hashes = [bytes.fromhex(digest) for digest in settings.api_key_hashes]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with a problem."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _begin(scope, self._settings)
        state = scope.setdefault("state", {})
        state["request_id"] = exchange.request_id
        guarded_receive, guarded_send = (
            self._guard_receive(exchange, receive),
            self._guard_send(exchange, receive, send),
        )
        try:
            self._check(exchange)
            self._num_uploads += exchange.is_work
            self._num_clips += exchange.is_clip
            try:
                await self._app(scope, guarded_receive, guarded_send)
            finally:
                self._num_uploads -= exchange.is_work
                self._num_clips -= exchange.is_clip
        except ProblemError as problem:
            await problem.response(exchange.request_id)(scope, receive, guarded_send)
        except (TimeoutError, ClientDisconnect):
            exchange.status = CLIENT_LEFT
        except Exception:
            logger.exception("failed", extra={"request_id": exchange.request_id})
            if exchange.status == 0:
                internal = ProblemError("internal", "An unexpected error; the log of the service has the details.")
                await internal.response(exchange.request_id)(scope, receive, guarded_send)
        finally:
            if "folder" in state:
                shutil.rmtree(Path(state["folder"]), ignore_errors=True)
            self._log(exchange, scope)

    def _check(self, exchange: _Exchange) -> None:
        """Check what is known before the body is read."""
        host = exchange.headers.get("host", "")
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if "*" not in self._settings.allowed_hosts and name not in self._settings.allowed_hosts:
            raise ProblemError("bad-request", f"This service does not accept the host name {name[:80]!r}.")
        origin = exchange.headers.get("origin")
        is_foreign = (
            origin is not None and urlsplit(origin).netloc != host and origin not in self._settings.cors_origins
        )
        if is_foreign and exchange.method not in _READING_METHODS:
            raise ProblemError("cross-site", f"Pages of {origin} may not use this service.")
        needs_key = exchange.path.startswith("/v1/") or exchange.path == "/metrics"
        if self._key_hashes and needs_key and exchange.path not in _OPEN_PATHS and exchange.method != "OPTIONS":
            self._check_key(exchange.headers.get("authorization", ""))
        if exchange.is_work:
            self._check_room()
            has_room = self._num_uploads < self._settings.uploads
            if not has_room or (exchange.is_clip and self._num_clips >= self._settings.clips):
                raise ProblemError("queue-full", "Too many uploads at once; try again in a moment.", retry_after=5)
            length = exchange.headers.get("content-length", "")
            if length.isdecimal() and int(length) > exchange.max_body:  # the body is counted, too
                raise _too_large(exchange)

    def _check_key(self, authorization: str) -> None:
        scheme, _, key = authorization.partition(" ")
        digest = hashlib.sha256(key.strip().encode()).digest()
        # every hash is compared, so that the time reveals nothing
        is_known = sum(hmac.compare_digest(digest, known) for known in self._key_hashes) > 0
        if scheme.lower() != "bearer" or not is_known:
            raise ProblemError("key-needed", "Send an API key of this service as Authorization: Bearer KEY.")

    def _guard_receive(self, exchange: _Exchange, receive: Receive) -> Receive:
        """Limit the size of the body and the time that it may take."""

        async def guarded() -> Message:
            if exchange.is_body_complete:
                return await receive()
            remaining = exchange.start + exchange.upload_timeout - time.monotonic()
            try:
                message = await asyncio.wait_for(receive(), max(0.0, remaining))
            except TimeoutError:
                exchange.is_body_complete = True  # the rest is not read
                told = f"The upload took more than {exchange.upload_timeout:g} seconds."
                raise ProblemError("upload-too-slow", told) from None
            exchange.is_body_complete = not message.get("more_body", False)
            exchange.bytes_in += len(message.get("body", b""))
            if exchange.bytes_in > exchange.max_body:
                raise _too_large(exchange)
            return message

        return guarded

    def _guard_send(self, exchange: _Exchange, receive: Receive, send: Send) -> Send:
        """Add the headers, and give up on clients that do not take their answer."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                await self._drain(exchange, receive)
                exchange.status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                if not self._settings.cors_origins:
                    headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
                headers["X-Request-Id"] = exchange.request_id
                headers["Cache-Control"] = _cache_control(exchange.path, exchange.status)
            exchange.bytes_out += len(message.get("body", b""))
            await asyncio.wait_for(send(message), self._settings.upload_timeout)

        return guarded

    async def _drain(self, exchange: _Exchange, receive: Receive) -> None:
        """Read the rest of a refused body, because a client that is still sending would not read the answer."""
        if exchange.is_body_complete or exchange.headers.get("expect") or exchange.method in _READING_METHODS:
            return
        end = time.monotonic() + DRAIN_SECONDS
        num_bytes = 0
        while num_bytes < exchange.max_body:
            try:
                message = await asyncio.wait_for(receive(), max(0.0, end - time.monotonic()))
            except TimeoutError:
                return
            num_bytes += len(message.get("body", b""))
            if not message.get("more_body", False):
                exchange.is_body_complete = True
                return

    def _log(self, exchange: _Exchange, scope: Scope) -> None:
        route = getattr(scope.get("route"), "path", "") or "page"
        seconds = time.monotonic() - exchange.start
        self._metrics.count_request(exchange.method, route, exchange.status, seconds)
        logger.info(
            "request",
            extra={
                "request_id": exchange.request_id,
                "method": exchange.method,
                "route": route,
                "status": exchange.status,
                "seconds": round(seconds, 4),
                "bytes_in": exchange.bytes_in,
                "bytes_out": exchange.bytes_out,
            },
        )


def _too_large(exchange: _Exchange) -> ProblemError:
    return ProblemError("body-too-large", f"More than {exchange.max_body / 2**20:g} MiB were sent.")


def _begin(scope: Scope, settings: ServiceSettings) -> _Exchange:
    headers = Headers(scope=scope)
    given = headers.get("x-request-id", "")
    method = scope["method"] if scope["method"] in ("GET", "HEAD", "OPTIONS", "POST", "DELETE") else "other"
    is_work = method == "POST" and scope["path"].startswith("/v1/")
    is_clip = is_work and scope["path"] == "/v1/clips"
    max_body = settings.max_clip if is_clip else settings.max_body
    return _Exchange(
        method=method,
        path=scope["path"],
        max_body=max_body,
        upload_timeout=settings.upload_timeout * max(1.0, max_body / settings.max_body),
        is_work=is_work,
        is_clip=is_clip,
        headers=headers,
        request_id=given if _REQUEST_ID.fullmatch(given) else token_hex(8),
        start=time.monotonic(),
    )


def _cache_control(path: str, status: int) -> str:
    if path.startswith("/v1/"):
        return "no-store"
    return "public, max-age=31536000, immutable" if path.startswith("/assets/") and status == 200 else "no-cache"
