"""`mask2alpha serve`: the HTTP service and its page."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import click

from mask2alpha.cli.network_options import device_option, dtype_option, model_option
from mask2alpha.errors import InputError
from mask2alpha.serving.settings import ServiceSettings

Command = TypeVar("Command", bound=Callable[..., Any])
_LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")


def limit_options(command: Command) -> Command:
    """Give a command an option for each limit of `ServiceSettings`, whose value is in the unit of the setting."""
    for each in reversed([each for each in fields(ServiceSettings) if each.metadata]):
        default, least, unit = (each.metadata[name] for name in ("default", "least", "unit"))
        is_whole = unit == 1 and not isinstance(default, float)
        command = click.option(
            f"--{each.name.replace('_', '-')}",
            type=click.IntRange(min=least) if is_whole else click.FloatRange(min=least),
            default=default,
            callback=lambda ctx, param, value, unit=unit: value if unit == 1 else round(value * unit),
            help=each.metadata["help"],
        )(command)
    return command


@click.command(context_settings={"auto_envvar_prefix": "MASK2ALPHA_SERVE"})
@click.option("--host", default="127.0.0.1", help="Address to listen on; 0.0.0.0 is every address.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, help="Port to listen on; 0 takes a free one.")
@model_option("model", places="a shipped name, a .safetensors file or folder, or a hub id that was downloaded before")
@device_option()
@dtype_option()
@limit_options
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
