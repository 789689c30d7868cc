"""`mask2alpha page`: the page without a service, as a folder of files."""

from pathlib import Path

import click


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder to write.")
@click.option("--model", default="small", help="A model like `small`, with a light encoder.")
def command(output: Path, model: str) -> None:
    """Write the page as a folder for any web server; the browser runs the network, and pictures stay there."""
    from mask2alpha.export.page import write_page
    from mask2alpha.imaging.targets import names_a_file

    names_a_file(output, ())
    total = sum(path.stat().st_size for path in write_page(output, model))
    click.echo(f"{output}: {total / 1e6:.1f} MB; for a look: python -m http.server --directory {output}")
