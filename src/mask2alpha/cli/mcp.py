"""`mask2alpha mcp`: tools for agents."""

from pathlib import Path
from typing import Any

import click

from mask2alpha.cli.network_options import network_options


@click.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@network_options()
def command(folders: tuple[Path, ...], source: str, **settings: Any) -> None:
    """Serve agents over the Model Context Protocol, on standard input and output.

    The tools read and write files only below FOLDERS; relative paths begin at the first.
    """
    from mask2alpha.cli.matte import build_predictor
    from mask2alpha.serving.agents import Toolbox, Workspace, make_server

    make_server(Toolbox(lambda: build_predictor(source, **settings), Workspace(roots=folders))).run()
