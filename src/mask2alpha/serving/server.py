"""Runs the service with uvicorn; on a signal it finishes the accepted requests, then stops."""

import asyncio
import contextlib
import logging
import platform
import signal
import socket
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from mask2alpha.errors import InputError
from mask2alpha.serving.app import create_app
from mask2alpha.serving.logs import log_as_json
from mask2alpha.serving.settings import ServiceSettings

HEAD_SECONDS = 10.0
"""Time limit for a new connection to send the head of its first request."""
MAX_CONNECTIONS = 1000
KEEP_ALIVE_SECONDS = 15
logger = logging.getLogger(__name__)


def make_protocol(**options: Any) -> H11Protocol:
    """HTTP/1.1 for one new connection, which is closed unless it sends the head of a request in time."""
    protocol = H11Protocol(**options)

    def close_if_silent() -> None:
        cycle = cast("RequestResponseCycle | None", protocol.cycle)
        if cycle is None and not protocol.transport.is_closing():
            protocol.transport.close()

    protocol.loop.call_later(HEAD_SECONDS, close_if_silent)
    return protocol


def serve(settings: ServiceSettings, *, host: str, port: int) -> None:
    """Serve until a signal arrives; finish the accepted requests, then return.

    Args:
        settings: Limits and choices.
        host: Name or address to listen on.
        port: Port to listen on; 0 takes a free port, which is logged.

    Raises:
        InputError: The address cannot be used.
        WorkerStartError: The model cannot be loaded.
    """
    log_as_json()
    if platform.system() != "Linux":
        logger.warning("the memory of the workers is limited on Linux only")
    app = create_app(settings)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http=make_protocol,  # type: ignore[arg-type]  # uvicorn only calls it
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,  # `RequestLimits` logs requests, without addresses
            server_header=False,
            proxy_headers=False,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=round(settings.upload_timeout + settings.deadline + 10),
        )
    )

    def stop(number: int, frame: Any) -> None:
        if not server.should_exit:  # else uvicorn has stopped and only repeats the signal
            raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)

    async def run() -> None:
        async with contextlib.AsyncExitStack() as stack:
            listener = stack.enter_context(_listen(host, port))
            await stack.enter_async_context(app.router.lifespan_context(app))
            address, own_port = listener.getsockname()[:2]
            logger.info("serving", extra={"address": address, "port": own_port})
            await server.serve(sockets=[listener])

    with contextlib.suppress(KeyboardInterrupt):  # a signal while the workers start
        asyncio.run(run())


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        raise InputError(f"cannot listen at {host}, port {port}: {error.strerror or error}") from error
