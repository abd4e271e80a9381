"""hubbub data hub: data sets of the Hugging Face hub; one function a command."""

from pathlib import Path
from typing import Annotated

import typer

from hubbub.cli.options import AllowMissing, Debug, Settings, out, recipe_of

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Data sets of the Hugging Face hub: get, build, publish.")


@app.command("get")
def hub_get(
    name: Annotated[str, typer.Argument(help="OWNER/NAME on the hub.")],
    debug: Debug = False,
) -> None:
    """Download a data set of the hub into the first writable home, at the commit of today.

    Example: hubbub data hub get danavery/urbansound8K
    """
    from hubbub.data.hub import transfer

    out.print(str(transfer.download(name)), soft_wrap=True)


@app.command("build")
def hub_build(
    recipe: Annotated[str, typer.Argument(help="A recipe: its data, rate and front end decide.")],
    folder: Annotated[Path, typer.Argument(help="A new folder.")],
    allow_missing: AllowMissing = False,
    settings: Settings = None,
    debug: Debug = False,
) -> None:
    """Make a data set of log-mel spectrograms, without the sound, in a folder ready to publish.

    Example: hubbub data hub build us8k-cnn1d urbansound8k-mel
    """
    from hubbub.data.hub import build as hub_build

    clips = hub_build.build_dataset(recipe_of(recipe, settings, allow_missing), folder)
    for line in clips.notes:
        out.print(f"note: {line}", soft_wrap=True)
    out.print(f"{folder}: {len(clips):,} spectrograms, {len(clips.labels)} classes, of {clips.name}", soft_wrap=True)


@app.command("publish")
def hub_publish(
    folder: Annotated[Path, typer.Argument(help="A folder that hubbub data hub build made.")],
    name: Annotated[str, typer.Argument(help="OWNER/NAME on the hub.")],
    private: Annotated[bool, typer.Option("--private/--public", help="Who may see it.")] = True,
    debug: Debug = False,
) -> None:
    """Publish a data set in one commit. The token is HF_TOKEN, from the environment or a file .env.

    Example: hubbub data hub publish urbansound8k-mel me/urbansound8k-mel --private
    """
    from hubbub.data.hub import build as hub_build
    from hubbub.data.hub import dataset, transfer

    licence = dataset.read_facts(folder).licence
    terms = "; not for commercial use" if hub_build.non_commercial(licence) else ""
    out.print(f"licence of the recordings: {licence}{terms}", soft_wrap=True)
    address, commit = transfer.publish(folder, name, private=private)
    out.print(f"{address} at commit {commit}", soft_wrap=True)
