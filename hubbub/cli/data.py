"""hubbub data: one function a command; parse, call, print."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from hubbub.cli.options import AllowMissing, Debug, Settings, finite, out, recipe_of

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True, help="Data sets: list, check, get, synth, leaks, split, images, augment, features, hub."
)

_VARIANTS = "A set (d, b, emodb), names such as orig,noisy,stretch0.9, or both."


@app.command("list")
def data_list() -> None:
    """Known data sets, and which of them are here."""
    from hubbub.data.datasets import DATASETS
    from hubbub.runtime.homes import find

    table = Table("name", "clips", "classes", "folds", "licence", "where")
    for name, known in DATASETS.items():
        where = (
            "synthesised on demand"
            if known.synthetic
            else str(find("data", known.folder) or "not here: hubbub data get")
        )
        table.add_row(name, f"{known.clips:,}", str(known.classes), str(len(known.folds)), known.licence, where)
    out.print(table)


@app.command("check")
def data_check(
    name: Annotated[str, typer.Argument(help="A known data set, a CSV file or a folder.")],
    allow_missing: AllowMissing = False,
    debug: Debug = False,
) -> None:
    """Verify counts, durations, decodability, duplicates by content, and that files, folds and labels agree.

    Example: hubbub data check esc50
    """
    from hubbub.data import check

    clips, findings = check.check_data(name, allow_missing)
    out.print(
        f"{clips.name}: {len(clips):,} clips, {len(clips.labels)} classes, folds {', '.join(clips.folds) or 'none'}"
    )
    for line in clips.notes:
        out.print(f"note: {line}", soft_wrap=True)
    for line in clips.left_out:
        out.print(f"left out: {line}", soft_wrap=True)
    for line in findings:
        out.print(f"wrong: {line}", soft_wrap=True)
    if findings:
        raise typer.Exit(1)
    out.print("everything agrees")


@app.command("get")
def data_get(
    name: Annotated[str, typer.Argument(help="What to fetch: a data set or weights.")],
    debug: Debug = False,
) -> None:
    """Download a data set or weights into the first writable home, verified; goes on where it broke off.

    Example: hubbub data get esc50
    """
    from hubbub.runtime import download

    out.print(str(download.get(name)))


@app.command("synth")
def data_synth(
    folder: Annotated[Path, typer.Argument(help="Where to write audio/ and street.csv.")],
    clips: Annotated[int, typer.Option("--clips", help="How many.")] = 400,
    seed: Annotated[int, typer.Option("--seed", help="Another seed, another city.")] = 0,
    debug: Debug = False,
) -> None:
    """Synthesise `street`: ten classes of city sounds, with sources, folds and background noise.

    Example: hubbub data synth city --clips 400
    """
    from hubbub.data import synthetic

    out.print(str(synthetic.write(folder, clips, seed=seed)))


@app.command("leaks")
def data_leaks(
    recipe: Annotated[str, typer.Argument(help="A recipe: its data and protocol are audited.")],
    allow_missing: AllowMissing = False,
    settings: Settings = None,
    debug: Debug = False,
) -> None:
    """Audit a recipe's splits for shared recordings, identical sounds and augmented copies.

    Example: hubbub data leaks us8k-yamnet-logreg --allow-missing
    """
    from hubbub.data import check

    audit = check.check_leaks(recipe_of(recipe, settings, allow_missing))
    for line in audit.warnings:
        out.print(f"warning: {line}")
    for line in audit.leaks:
        out.print(f"leak: {line}")
    if audit.leaks:
        raise typer.Exit(1)
    out.print("no leaks")


@app.command("split")
def data_split(
    name: Annotated[str, typer.Argument(help="A known data set, a CSV file or a folder.")],
    folder: Annotated[Path, typer.Argument(help="Where to write train.csv and val.csv.")],
    val_ratio: Annotated[
        float, typer.Option("--val-ratio", callback=finite, min=0.01, max=0.99, help="Share of clips in val.csv.")
    ] = 0.2,
    seed: Annotated[int, typer.Option("--seed", help="Another seed, another split.")] = 0,
    allow_missing: AllowMissing = False,
    debug: Debug = False,
) -> None:
    """Write grouped, stratified train and validation lists: no source recording stands in both.

    Example: hubbub data split esc50 lists --val-ratio 0.2
    """
    from hubbub.data import splits
    from hubbub.data.open import open_data

    lists, root = splits.write_lists(open_data(name, allow_missing=allow_missing), folder, val_ratio, seed)
    for path in lists:
        out.print(str(path), soft_wrap=True)
    out.print(f'their paths start from data.root = "{root}"', soft_wrap=True)


@app.command("images")
def data_images(
    recipe: Annotated[str, typer.Argument(help="A recipe: its data, audio, windows and frontend make the pictures.")],
    folder: Annotated[Path, typer.Argument(help="Where to write spectrograms/ and spectrograms.csv.")],
    variants: Annotated[str, typer.Option("--variants", help=_VARIANTS)] = "orig",
    seed: Annotated[int, typer.Option("--seed", help="Another seed, other noise, masks and rooms.")] = 0,
    allow_missing: AllowMissing = False,
    settings: Settings = None,
    debug: Debug = False,
) -> None:
    """Write spectrogram pictures of a data set and its variants, and their list; goes on where it broke off.

    Example: hubbub data images us8k-resnet18 pictures --variants b
    """
    from hubbub.data import write_images

    chosen = recipe_of(recipe, settings, allow_missing)
    out.print(str(write_images.write(chosen, folder, variants, seed)), soft_wrap=True)


@app.command("augment")
def data_augment(
    name: Annotated[str, typer.Argument(help="A known data set, a CSV file or a folder.")],
    folder: Annotated[Path, typer.Argument(help="Where to write audio/ and augmented.csv.")],
    variants: Annotated[str, typer.Option("--variants", help=_VARIANTS)] = "d",
    seed: Annotated[int, typer.Option("--seed", help="Another seed, other noise and rooms.")] = 0,
    allow_missing: AllowMissing = False,
    debug: Debug = False,
) -> None:
    """Write augmented WAVs at each recording's own sample rate, and their list; goes on where it broke off.

    Example: hubbub data augment esc50 esc50-augmented --variants orig,noisy,pitchUp2
    """
    from hubbub.data import write_augmented

    out.print(str(write_augmented.write(name, folder, variants, seed, allow_missing=allow_missing)), soft_wrap=True)


@app.command("features")
def data_features(
    recipe: Annotated[str, typer.Argument(help="A recipe: its data, audio, windows and front end make them.")],
    folder: Annotated[Path, typer.Argument(help="Where to write features.npz and what goes with it.")],
    allow_missing: AllowMissing = False,
    settings: Settings = None,
    debug: Debug = False,
) -> None:
    """Write the log-mel spectrogram of every segment into one NPZ file, to train from instead of sound.

    Example: hubbub data features esc50-resnet18-final features
    """
    from hubbub.data.features import ARRAYS, write_features
    from hubbub.data.open import open_clips

    resolved = recipe_of(recipe, settings, allow_missing)
    write_features(open_clips(resolved), resolved, folder)
    given = "".join(f" --set {setting}" for setting in settings or [])
    out.print(f"{folder / ARRAYS}", soft_wrap=True)
    out.print(f"train from it: hubbub bench {recipe}{given} --set data.name={folder / ARRAYS}", soft_wrap=True)
