"""`mask2alpha push`: weights and their model card to the Hugging Face hub."""

import click


@click.command()
@click.argument("source", metavar="MODEL")
@click.argument("repo_id", metavar="ORG/NAME")
@click.option("--private/--public", default=None, help="Visibility of a new repository.  [default: the account's]")
@click.option("--revision", metavar="BRANCH", help="Branch to push to.  [default: main]")
@click.option("--message", default="Upload weights of mask2alpha", help="Message of the commit.")
def command(source: str, repo_id: str, private: bool | None, revision: str | None, message: str) -> None:
    """Upload MODEL (a shipped name, a .safetensors file or its folder) to ORG/NAME, with a model card.

    The card shows the metadata of the file (see `mask2alpha info --model MODEL`); an existing card is kept. The command
    needs a token from `hf auth login` or the variable HF_TOKEN.
    """
    from mask2alpha.hub import push_to_hub

    click.echo(push_to_hub(source, repo_id, private=private, revision=revision, message=message))
