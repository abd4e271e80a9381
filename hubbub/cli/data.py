"""`hubbub data`: list, check, split, augment and convert data sets; one function a command."""

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from hubbub.cli.options import (
    AllowMissing,
    Background,
    Data,
    DataSettings,
    Debug,
    Empty,
    Group,
    Multilabel,
    Settings,
    TestData,
    finite,
    out,
    recipe_of,
)

if TYPE_CHECKING:
    from hubbub.runtime.catalogue import Asset

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Data sets: list, get, check, split, augment, convert, publish.")

_VARIANTS = "A set of variants (d, b or emodb), names such as orig,noisy,stretch0.9, or both."


@app.command("list")
def data_list() -> None:
    """List the known data sets and weights, their sizes, licences and checksums, and where they are installed.

    A checksum is published, or it is that of the list of clips in an archive, or that of the first download, which
    every later one must have.

    Example: hubbub data list
    """
    from rich.filesize import decimal

    from hubbub.data.datasets import DATASETS
    from hubbub.runtime.catalogue import ASSETS
    from hubbub.runtime.first_download import first_download
    from hubbub.runtime.homes import find, homes

    def facts(asset: "Asset") -> tuple[str, str, str]:
        checksum = "published" if asset.hash else "of its list" if asset.check else "none yet"
        if first_download(asset, homes()):
            checksum = "first download"
        return decimal(asset.size or 0), asset.licence, checksum

    table = Table("name", "clips", "classes", "folds", "size", "licence", "checksum", "where")
    for name, known in DATASETS.items():
        asset = ASSETS.get(known.folder)
        where = (
            "generated on demand" if known.synthetic else str(find("data", known.folder) or "not here: hubbub data get")
        )
        of_file = facts(asset) if asset else ("-", known.licence, "-")
        table.add_row(name, f"{known.clips:,}", str(known.classes), str(len(known.folds)), *of_file, where)
    out.print(table)
    weights = Table("weights", "size", "licence", "checksum", "where")
    for asset in ASSETS.values():
        if asset.kind == "weights":
            weights.add_row(asset.name, *facts(asset), str(find("weights", asset.file) or "not here: hubbub data get"))
    out.print(weights)


@app.command("check")
def data_check(
    name: Annotated[str, typer.Argument(help="A known data set, a CSV list or a folder.")],
    every: Annotated[bool, typer.Option("--all", help="List all classes, not only the smallest.")] = False,
    group: Group = None,
    test: TestData = None,
    background: Background = False,
    multilabel: Multilabel = False,
    empty: Empty = None,
    allow_missing: AllowMissing = False,
    settings: DataSettings = None,
    debug: Debug = False,
) -> None:
    """Check a data set: classes, unreadable or silent files, copies, and classes that their files give away.

    The data are read as by hubbub train with the same options. Exit status 1 where something is wrong. Warnings may
    spoil a result, notes are good to know.

    Example: hubbub data check esc50
    """
    from hubbub.cli import data_check as shown
    from hubbub.data import check
    from hubbub.data.open import clip_settings

    options = clip_settings(group, test, background, allow_missing, multilabel, empty)
    found = check.check_data(name, [*options, *(settings or [])])
    shown.show(found, every)
    if found.of("wrong"):
        raise typer.Exit(1)


@app.command("get")
def data_get(
    name: Annotated[str, typer.Argument(help="A data set or weights.")],
    debug: Debug = False,
) -> None:
    """Download and verify a data set or weights, into the first writable data home; an interrupted download continues.

    Example: hubbub data get esc50
    """
    from hubbub.runtime import download

    out.print(str(download.get(name)), soft_wrap=True)


@app.command("synth")
def data_synth(
    folder: Annotated[Path, typer.Argument(help="Folder for audio/ and street.csv.")],
    clips: Annotated[int, typer.Option("--clips", help="Number of clips.")] = 400,
    seed: Annotated[int, typer.Option("--seed", help="Seed of all random numbers.")] = 0,
    debug: Debug = False,
) -> None:
    """Generate the data set street: ten classes of city sounds, with sources, folds and background noise.

    Example: hubbub data synth city --clips 400
    """
    from hubbub.data import synthetic

    out.print(str(synthetic.write(folder, clips, seed=seed)), soft_wrap=True)


@app.command("leaks")
def data_leaks(
    recipe: Annotated[str, typer.Argument(help="A recipe, whose data and protocol are checked.")],
    data: Data = None,
    allow_missing: AllowMissing = False,
    settings: Settings = None,
    debug: Debug = False,
) -> None:
    """Check a recipe's splits for leaks: shared recordings, identical sounds and augmented copies.

    Example: hubbub data leaks us8k-yamnet-logreg --allow-missing
    """
    from hubbub.data import check

    audit = check.check_leaks(recipe_of(recipe, data, settings, allow_missing))
    for line in audit.warnings:
        out.print(f"warning: {line}", soft_wrap=True)
    for line in audit.leaks:
        out.print(f"leak: {line}", soft_wrap=True)
    if audit.leaks:
        raise typer.Exit(1)
    out.print("no leaks")


@app.command("split")
def data_split(
    name: Annotated[str, typer.Argument(help="A known data set, a CSV list or a folder.")],
    folder: Annotated[Path, typer.Argument(help="Folder for train.csv, val.csv and test.csv.")],
    val_ratio: Annotated[
        float, typer.Option("--val-ratio", callback=finite, min=0.01, max=0.99, help="Share of clips in val.csv.")
    ] = 0.2,
    test_ratio: Annotated[
        float | None,
        typer.Option("--test-ratio", callback=finite, min=0.01, max=0.99, help="Share of clips in test.csv."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the split.")] = 0,
    allow_missing: AllowMissing = False,
    debug: Debug = False,
) -> None:
    """Split a data set into lists that have no recording in common: train.csv, val.csv, and test.csv if asked.

    Example: hubbub data split esc50 lists --val-ratio 0.2

    Example: hubbub data split esc50 lists --test-ratio 0.2
    """
    from hubbub.data.open import open_data
    from hubbub.data.write_lists import write_lists

    clips = open_data(name, allow_missing=allow_missing)
    lists, root = write_lists(clips, folder, val_ratio, seed, test_ratio or 0.0)
    for path in lists:
        out.print(str(path), soft_wrap=True)
    out.print(f'their paths are relative to data.root = "{root}"', soft_wrap=True)
    parts = ", ".join(f"{path.stem}={json.dumps([str(path)])}" for path in lists)
    protocol = f'protocol={{kind="csv", validation="next", {parts}, {"" if test_ratio else "test=[], "}folds=[]}}'
    line = f"hubbub bench RECIPE --set {shlex.quote(protocol)} --set {shlex.quote(f'data.root={root}')}"
    out.print(f"train from them: {line}", soft_wrap=True)
    if test_ratio:
        said = "val.csv chooses and test.csv is reported. With test=[], val.csv is reported too: a validation figure"
    else:
        said = "val.csv chooses and is reported: a validation figure. --test-ratio 0.2 writes a test.csv as well"
    out.print(said, soft_wrap=True)


@app.command("images")
def data_images(
    recipe: Annotated[str, typer.Argument(help="A recipe, whose data, audio, windows and frontend sections are used.")],
    folder: Annotated[Path, typer.Argument(help="Folder for spectrograms/ and spectrograms.csv.")],
    variants: Annotated[str, typer.Option("--variants", help=_VARIANTS)] = "orig",
    seed: Annotated[int, typer.Option("--seed", help="Seed of noise, masks and room reverberation.")] = 0,
    rgba: Annotated[bool, typer.Option("--rgba", help="Write RGBA images, opaque.")] = False,
    data: Data = None,
    allow_missing: AllowMissing = False,
    settings: Settings = None,
    debug: Debug = False,
) -> None:
    """Write spectrogram images of a data set and its variants, with a list of them; an interrupted run continues.

    frontend.size is the height and the width.

    Example: hubbub data images us8k-resnet18 images --variants b

    Example: hubbub data images us8k-resnet18 images --rgba --set frontend.size=[400,1000]
    """
    from hubbub.data import write_images

    chosen = recipe_of(recipe, data, settings, allow_missing)
    out.print(str(write_images.write(chosen, folder, variants, seed, rgba=rgba)), soft_wrap=True)


@app.command("augment")
def data_augment(
    name: Annotated[str, typer.Argument(help="A known data set, a CSV list or a folder.")],
    folder: Annotated[Path, typer.Argument(help="Folder for audio/ and augmented.csv.")],
    variants: Annotated[str, typer.Option("--variants", help=_VARIANTS)] = "d",
    seed: Annotated[int, typer.Option("--seed", help="Seed of noise and room reverberation.")] = 0,
    allow_missing: AllowMissing = False,
    debug: Debug = False,
) -> None:
    """Write augmented WAV files at each recording's sample rate, with a list of them; an interrupted run continues.

    Example: hubbub data augment esc50 esc50-augmented --variants orig,noisy,pitchUp2
    """
    from hubbub.data import write_augmented

    out.print(str(write_augmented.write(name, folder, variants, seed, allow_missing=allow_missing)), soft_wrap=True)


@app.command("scenes")
def data_scenes(
    name: Annotated[str, typer.Argument(help="A known data set, a CSV list, a folder or annotations.")],
    folder: Annotated[Path, typer.Argument(help="Folder for audio/ and the tables.")],
    hours: Annotated[float, typer.Option("--hours", help="Length of all scenes together.")] = 1.0,
    length: Annotated[float, typer.Option("--length", help="Length of a scene in seconds.")] = 60.0,
    classes: Annotated[
        str | None, typer.Option("--classes", help="Classes of events, e.g. dog,siren. Default: all.")
    ] = None,
    background: Annotated[
        str | None,
        typer.Option("--background", help="Classes that lie under the events, e.g. rain,wind. Default: noise."),
    ] = None,
    overlap: Annotated[int, typer.Option("--overlap", help="Events at once, at most.")] = 3,
    snr: Annotated[
        tuple[float, float], typer.Option("--snr", help="Level of events over the background in dB: from, to.")
    ] = (-3.0, 20.0),
    reverb: Annotated[float, typer.Option("--reverb", help="Share of the scenes that are in a room.")] = 0.5,
    seed: Annotated[int, typer.Option("--seed", help="Seed of all random numbers.")] = 0,
    rate: Annotated[
        int | None, typer.Option("--rate", help="Sample rate of the scenes in Hz. Default: that of most clips.")
    ] = None,
    allow_missing: AllowMissing = False,
    debug: Debug = False,
) -> None:
    """Mix scenes from a data set's clips: several events at once, at known times; an interrupted run continues.

    The scenes keep the folds: all recordings in a scene are of its fold. hubbub train FOLDER trains on them.

    Example: hubbub data scenes esc50 scenes --hours 2 --classes dog,siren,car_horn --background rain,wind
    """
    from hubbub.data import write_scenes
    from hubbub.data.scenes import SceneSettings

    asked = SceneSettings(hours, length, overlap, snr, reverb, seed)
    events, under = (
        [one.strip() for one in (names or "").split(",") if one.strip()] for names in (classes, background)
    )
    table = write_scenes.write(name, folder, asked, events, under, rate, allow_missing=allow_missing)
    out.print(str(table), soft_wrap=True)


@app.command("features")
def data_features(
    recipe: Annotated[str, typer.Argument(help="A recipe, whose data, audio, windows and frontend sections are used.")],
    folder: Annotated[Path, typer.Argument(help="Folder for features.npz and its description.")],
    data: Data = None,
    allow_missing: AllowMissing = False,
    settings: Settings = None,
    debug: Debug = False,
) -> None:
    """Write the log-mel spectrograms of all segments into one NPZ file, to train from instead of sound.

    Example: hubbub data features esc50-resnet18-final features
    """
    from hubbub.data.features import ARRAYS, write_features
    from hubbub.data.open import open_clips

    resolved = recipe_of(recipe, data, settings, allow_missing)
    write_features(open_clips(resolved), resolved, folder)
    options = "".join(f" --set {setting}" for setting in settings or [])
    out.print(f"{folder / ARRAYS}", soft_wrap=True)
    out.print(f"train from it: hubbub bench {recipe}{options} --set data.name={folder / ARRAYS}", soft_wrap=True)
