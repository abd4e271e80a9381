"""`hubbub data hub`: data sets on the Hugging Face hub; one function a command."""

from pathlib import Path
from typing import Annotated

import typer

from hubbub.cli.options import AllowMissing, Data, Debug, Settings, out, recipe_of

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Data sets on the Hugging Face hub: get, build, publish.")


@app.command("get")
def hub_get(
    name: Annotated[str, typer.Argument(help="OWNER/NAME on the hub.")],
    debug: Debug = False,
) -> None:
    """Download a data set from the hub into the first writable data home, at its latest commit.

    Example: hubbub data hub get danavery/urbansound8K
    """
    from hubbub.data.hub import transfer

    out.print(str(transfer.download(name)), soft_wrap=True)


@app.command("build")
def hub_build(
    recipe: Annotated[str, typer.Argument(help="A recipe, whose data, rate and front end are used.")],
    folder: Annotated[Path, typer.Argument(help="A new folder.")],
    data: Data = None,
    allow_missing: AllowMissing = False,
    settings: Settings = None,
    debug: Debug = False,
) -> None:
    """Build a data set of log-mel spectrograms, without the sound, in a folder that can be published.

    Example: hubbub data hub build us8k-cnn1d urbansound8k-mel
    """
    from hubbub.data.hub.build import build_dataset

    clips = build_dataset(recipe_of(recipe, data, settings, allow_missing), folder)
    for line in clips.notes:
        out.print(f"note: {line}", soft_wrap=True)
    out.print(f"{folder}: {len(clips):,} spectrograms, {len(clips.labels)} classes, of {clips.name}", soft_wrap=True)


@app.command("publish")
def hub_publish(
    folder: Annotated[Path, typer.Argument(help="A folder built by hubbub data hub build.")],
    name: Annotated[str, typer.Argument(help="OWNER/NAME on the hub.")],
    private: Annotated[bool, typer.Option("--private/--public", help="Who may see it.")] = True,
    debug: Debug = False,
) -> None:
    """Publish a data set in one commit. The token is HF_TOKEN, from the environment or from a file .env.

    Example: hubbub data hub publish urbansound8k-mel me/urbansound8k-mel --private
    """
    from hubbub.data.hub import dataset, transfer
    from hubbub.data.hub.build import non_commercial

    licence = dataset.read_facts(folder).licence
    terms = "; not for commercial use" if non_commercial(licence) else ""
    out.print(f"licence of the recordings: {licence}{terms}", soft_wrap=True)
    address, commit = transfer.publish(folder, name, private=private)
    out.print(f"{address} at commit {commit}", soft_wrap=True)
