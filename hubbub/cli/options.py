"""The options that commands share, and the consoles that they print to."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.text import Text

from hubbub.errors import HubbubError
from hubbub.runtime.escape import escape_control
from hubbub.runtime.shipped import NOT_FOR, SMALL

if TYPE_CHECKING:
    from hubbub.classifier.base import Classifier
    from hubbub.config.recipe import Recipe

__all__ = [
    *(
        "Address",
        "AllowLeaky",
        "AllowMissing",
        "Background",
        "Corrections",
        "Cpus",
        "Data",
        "DataSettings",
        "Debug",
        "Device",
    ),
    *("Empty", "Fast", "Multilabel"),
    *("Engine", "Folds", "From", "Gap", "Gpus", "Group", "Jobs", "MinDuration", "Model", "Name", "Out", "Quick"),
    *("Release", "Seeds", "Settings", "TestData"),
    *("as_settings", "err", "finite", "log", "load_classifier", "log_warnings", "model_or_default", "out", "recipe_of"),
]


class _Terminal(Console):
    """A console without markup, which escapes control characters: names from data cannot change the terminal."""

    def __init__(self, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(escape_control(text), **options)


out, err = _Terminal(), _Terminal(stderr=True)


def finite(param: typer.CallbackParam, value: float | None) -> float | None:
    """The callback of number options: refuses nan and infinity, which click accepts in any range."""
    if value is not None and not math.isfinite(value):
        raise HubbubError(f"{param.opts[0]} {value}: give a finite number.")
    return value


Data = Annotated[
    str | None,
    typer.Option("--data", help="Other data for the recipe: a known data set, a folder, a table or a hub data set."),
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="Override a recipe field, e.g. --set train.epochs=3. May be repeated.")
]
DataSettings = Annotated[
    list[str] | None,
    typer.Option("--set", help="How the data are read, e.g. --set data.columns.path=file. May be repeated."),
]
Out = Annotated[Path, typer.Option("--out", help="Folder for run folders.")]
Quick = Annotated[
    bool, typer.Option("--quick", help="Use the recipe's small form: to see that it works, not for results.")
]
Device = Annotated[str | None, typer.Option("--device", help="Where torch computes: auto, cpu, cuda or mps.")]
Fast = Annotated[
    bool,
    typer.Option(
        "--fast",
        help="Compute in the shortest numbers that the processor has. It needs the extra 'fast', an accelerator none.",
    ),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Engine = Annotated[
    Literal["local", "ray"], typer.Option("--engine", help="Where to compute: on this machine or on a Ray cluster.")
]
Address = Annotated[
    str | None, typer.Option("--address", help="ray: the cluster as HOST:PORT. Default: start one on this machine.")
]
Cpus = Annotated[float, typer.Option("--cpus", min=0.01, callback=finite, help="ray: processor cores for each task.")]
Gpus = Annotated[
    float | None,
    typer.Option(
        "--gpus",
        min=0.0,
        callback=finite,
        help="ray: accelerators for each task; 0.5 shares one. Default: 1 if there are any.",
    ),
]
AllowMissing = Annotated[
    bool, typer.Option("--allow-missing", help="Continue without missing files; every result says so.")
]
AllowLeaky = Annotated[
    bool, typer.Option("--allow-leaky", help="Run a split that leaks; every result says NOT COMPARABLE.")
]
Folds = Annotated[str | None, typer.Option("--folds", help="Test folds to run, e.g. 1,2. Default: all.")]
Jobs = Annotated[
    int | None,
    typer.Option("--jobs", min=1, help="local: cells at once. Default: as many as keep the machine busy."),
]
Seeds = Annotated[
    str | None, typer.Option("--seeds", "--seed", help="Seeds to run, e.g. 42,43. Default: the recipe's.")
]
Group = Annotated[
    str | None,
    typer.Option(
        "--group",
        help="Which clips are of one recording: a column, a regular expression for the paths, or 'file': each file is "
        "a recording of its own. Default: guessed from the file names.",
    ),
]
TestData = Annotated[
    str | None, typer.Option("--test", help="Another folder or table with the same classes: the test part.")
]
Background = Annotated[bool, typer.Option("--background", help="Annotations: add a class of what is not annotated.")]
Multilabel = Annotated[
    bool,
    typer.Option(
        "--multilabel",
        help="A clip may hold several labels, or none: several in a cell, or several rows a file; annotated recordings "
        "are cut into clips. A table with one column of 0 and 1 a class is always read so.",
    ),
]
Empty = Annotated[
    Literal["refuse", "none", "unlabelled"] | None,
    typer.Option(
        "--empty",
        help="--multilabel: a clip without any label is refused (default), holds none of the classes, or is left out, "
        "as nobody labelled it.",
    ),
]
From = Annotated[
    Path | None,
    typer.Option(
        "--from", help="Take the settings that a search found: its best.toml, or its folder. Data and protocol stay."
    ),
]
Corrections = Annotated[
    Path | None,
    typer.Option(
        "--corrections", help="A table of corrected labels, as the page of hubbub data audit saves it; the data stay."
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="A run folder, a saved or exported classifier, 'yamnet' or hf:ORG/NAME. Default: 'small', which comes "
        "with hubbub.",
    ),
]
Release = Annotated[
    float | None,
    typer.Option(
        "--release", callback=finite, help="An event lasts while its class has this score. Default: --threshold."
    ),
]
MinDuration = Annotated[
    float, typer.Option("--min-duration", callback=finite, help="Leave out events shorter than this, in seconds.")
]
Gap = Annotated[
    float,
    typer.Option("--gap", callback=finite, help="Join events of a class that are at most this far apart, in seconds."),
]
Name = Annotated[str | None, typer.Option("--name", help="The run folder's name. Default: the recipe's.")]


def as_settings(
    settings: list[str] | None,
    device: str | None,
    folds: str | None = None,
    seeds: str | None = None,
    allow_missing: bool = False,
    allow_leaky: bool = False,
) -> list[str]:
    """The common options as `--set` settings, so that the resolved recipe holds them."""
    from hubbub.config.run_options import common_settings

    named = [fold.strip() for fold in folds.split(",")] if folds else None
    options = common_settings(None, named, None, device, allow_missing, allow_leaky)
    return [*(settings or []), *options, *([f"train.seeds=[{seeds}]"] if seeds else [])]


def recipe_of(name: str, data: str | None, settings: list[str] | None, allow_missing: bool) -> "Recipe":
    """A recipe for commands that write or check data: no device, folds or seeds."""
    from hubbub.config.recipe import Recipe
    from hubbub.data.open import with_data

    return Recipe.load(name, with_data(name, data, as_settings(settings, None, allow_missing=allow_missing)))


def log(line: str) -> None:
    """Prints a line of progress on standard error."""
    err.print(line, soft_wrap=True)


def model_or_default(model: str | None) -> str:
    """The model that a command names, one on the hub with its commit, as a line on standard error says; without one
    `small`, and a line about it."""
    if model is not None:
        from hubbub.classifier.load import pinned

        if (name := pinned(model)) != model:
            err.print(f"model: {name}", soft_wrap=True)
        return name
    err.print(f"model: {SMALL}, which comes with hubbub: {NOT_FOR}", soft_wrap=True)
    return SMALL


def load_classifier(
    name: str, device: str | None, fast: bool, labels: list[str] | None = None, template: str | None = None
) -> "Classifier":
    """The classifier that a command names, or that of CLAP or AudioCLIP for `labels`; `fast` says on standard error
    what it computes in."""
    from hubbub.classifier.load import load

    classifier = load(name, device=device or "auto", labels=labels, template=template, fast=fast)
    if fast:
        err.print(f"fast: {classifier.precision}", soft_wrap=True)
    return classifier


def log_warnings(name: object, warnings: Iterable[str]) -> None:
    """Prints the warnings about a recording on standard error, one on each line."""
    from hubbub.inference.formats import name_of

    for warning in warnings:
        err.print(f"warning: {name_of(str(name))}: {warning}", style="yellow", soft_wrap=True)
