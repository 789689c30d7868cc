"""`mask2alpha serve`: the HTTP service and its page."""

from pathlib import Path
from typing import Any

import click

from mask2alpha.cli.network_options import device_option, dtype_option, model_option
from mask2alpha.errors import InputError

_LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")
_MEBIBYTE = 2**20


@click.command(context_settings={"auto_envvar_prefix": "MASK2ALPHA_SERVE", "show_default": True})
@click.option("--host", default="127.0.0.1", help="Address to listen on; 0.0.0.0 is every address.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, help="Port to listen on; 0 takes a free one.")
@model_option("model", places="a shipped name, a .safetensors file or folder, or a hub id that was downloaded before")
@device_option()
@dtype_option()
@click.option("--workers", type=click.IntRange(min=1), default=1, help="Number of worker processes.")
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    help="Number of threads of each worker.  [default: the cores divided by the workers]",
)
@click.option(
    "--queue",
    type=click.IntRange(min=0),
    default=32,
    help="Number of requests that may wait; further ones are answered with status 429.",
)
@click.option(
    "--deadline",
    type=click.FloatRange(min=0.1),
    default=120.0,
    help="Seconds from a complete upload to the answer; then the status is 503.",
)
@click.option(
    "--time-limit",
    type=click.FloatRange(min=0.1),
    default=120.0,
    help="Seconds that one request may keep a worker busy; then the worker is replaced.",
)
@click.option("--upload-timeout", type=click.FloatRange(min=0.1), default=60.0, help="Seconds for an upload to arrive.")
@click.option("--max-body", type=click.FloatRange(min=0.001), default=64.0, help="Size limit of an upload in MiB.")
@click.option(
    "--max-pixels",
    type=click.FloatRange(min=0.001),
    default=40.0,
    help="Size limit of a photo, mask or background in megapixels.",
)
@click.option(
    "--worker-memory",
    type=click.FloatRange(min=0.1),
    default=5.0,
    help="Memory in GiB that each worker may take beyond its model.",
)
@click.option(
    "--worker-cache",
    type=click.FloatRange(min=0),
    default=512,
    help="Size in MiB of each worker's cache of encodings and mattes.",
)
@click.option(
    "--encodings", type=click.IntRange(min=1), default=64, help="Number of uploaded photos kept for further masks."
)
@click.option(
    "--encoding-expiry",
    type=click.FloatRange(min=1),
    default=900.0,
    help="Seconds after its last use until an uploaded photo is deleted.",
)
@click.option("--clips", type=click.IntRange(min=1), default=4, help="Number of uploaded clips kept.")
@click.option("--max-clip", type=click.FloatRange(min=0.001), default=512.0, help="Size limit of a clip in MiB.")
@click.option("--clip-frames", type=click.IntRange(min=1), default=1800, help="Size limit of a clip in frames.")
@click.option(
    "--clip-space",
    type=click.FloatRange(min=0.001),
    default=8.0,
    help="GiB that the mattes of a clip may take, and its export.",
)
@click.option(
    "--clip-time-limit",
    type=click.FloatRange(min=0.1),
    default=7200.0,
    help="Seconds until the work on a clip is stopped.",
)
@click.option(
    "--clip-expiry",
    type=click.FloatRange(min=1),
    default=3600.0,
    help="Seconds after its last use until a clip is deleted.",
)
@click.option(
    "--api-keys",
    "api_key_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with one line sha256:HEX per accepted key; --new-key makes one.",
)
@click.option(
    "--cors-origin", "cors_origins", multiple=True, help="Let pages of this other site use the service; repeatable."
)
@click.option(
    "--allowed-host",
    "allowed_hosts",
    multiple=True,
    help="Answer only requests to this host name; repeatable.  [default: local names if --host is local, else any]",
)
@click.option(
    "--spool",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder for temporary files.  [default: the system's temporary folder]",
)
@click.option("--new-key", is_flag=True, help="Print a new API key and its line for --api-keys, then exit.")
def command(
    host: str,
    port: int,
    max_body: float,
    max_clip: float,
    clip_space: float,
    max_pixels: float,
    worker_memory: float,
    worker_cache: float,
    api_key_file: Path | None,
    allowed_hosts: tuple[str, ...],
    new_key: bool,
    **settings: Any,
) -> None:
    """Serve mattes over HTTP, with a web page, until Ctrl-C or SIGTERM.

    Environment variables set options, too: MASK2ALPHA_SERVE_MAX_BODY sets --max-body. Logs go to standard error, one
    JSON object per line.
    """
    if new_key:
        _print_new_key()
        return
    try:
        from mask2alpha.serving.server import serve
        from mask2alpha.serving.settings import ServiceSettings
    except ImportError as error:
        raise InputError(
            f'the service needs more packages ({error.name} is missing): pip install "mask2alpha[serve]"'
        ) from error
    keys = read_key_hashes(api_key_file) if api_key_file else ()
    is_local = host in ("localhost", "::1") or host.startswith("127.")
    if not is_local and not keys:
        click.echo("Warning: anyone who reaches this address can use the service; --api-keys restricts it", err=True)
    serve(
        ServiceSettings(
            max_body=round(max_body * _MEBIBYTE),
            max_clip=round(max_clip * _MEBIBYTE),
            clip_bytes=round(clip_space * 1024 * _MEBIBYTE),
            max_pixels=round(max_pixels * 1e6),
            worker_memory=round(worker_memory * 1024 * _MEBIBYTE),
            worker_cache=round(worker_cache * _MEBIBYTE),
            api_key_hashes=keys,
            allowed_hosts=allowed_hosts or (_LOCAL_HOSTS if is_local else ("*",)),
            **settings,
        ),
        host=host,
        port=port,
    )


def read_key_hashes(path: Path) -> tuple[str, ...]:
    """Read the hashes in a file of keys; empty lines and lines that begin with # are skipped.

    Raises:
        InputError: A line is not `sha256:` with 64 hexadecimal digits, or the file has no key.
    """
    import re

    lines = [line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
    hashes = []
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        match = re.fullmatch(r"sha256:([0-9a-f]{64})", line)
        if match is None:
            raise InputError(f"{path}, line {number}: accepted: sha256: and 64 hexadecimal digits; see --new-key")
        hashes.append(match[1])
    if not hashes:
        raise InputError(f"{path}: has no key; leave --api-keys out to serve without keys")
    return tuple(hashes)


def _print_new_key() -> None:
    import hashlib
    import secrets

    key = secrets.token_urlsafe(32)
    click.echo(f"key, for its user: {key}")
    click.echo(f"line for the --api-keys file: sha256:{hashlib.sha256(key.encode()).hexdigest()}")
