"""`mask2alpha push`: weights and their model card to the Hugging Face hub."""

import click


@click.command()
@click.argument("source", metavar="MODEL")
@click.argument("repo_id", metavar="ORG/NAME")
@click.option("--private/--public", default=None, help="Of a new repository.  [default: what the account says]")
@click.option("--revision", metavar="BRANCH", help="[default: main]")
@click.option("--message", default="Upload weights of mask2alpha", show_default=True, help="Of the commit.")
def command(source: str, repo_id: str, private: bool | None, revision: str | None, message: str) -> None:
    """Upload MODEL (a shipped name, a .safetensors file or its folder) to ORG/NAME, with a model card.

    The card is made of what the file says about itself (`mask2alpha info --model MODEL`); one that is there is kept.
    Needs a token: `hf auth login`, or the variable HF_TOKEN.
    """
    from mask2alpha.hub import push_to_hub

    click.echo(push_to_hub(source, repo_id, private=private, revision=revision, message=message))
