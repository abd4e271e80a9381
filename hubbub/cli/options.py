"""What the commands share: their common options, and where they print."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.text import Text

from hubbub.errors import HubbubError
from hubbub.runtime.escape import escape_control

if TYPE_CHECKING:
    from hubbub.config.recipe import Recipe

__all__ = [
    *("Address", "AllowLeaky", "AllowMissing", "Cpus", "Debug", "Device", "Engine", "Folds", "Gap", "Gpus"),
    *("MinDuration", "Model", "Name", "Out", "Quick", "Release", "Seeds", "Settings"),
    *("as_settings", "err", "finite", "out", "recipe_of", "say", "log_warnings"),
]


class _Terminal(Console):
    """What data have named is never taken for markup, nor for codes that a terminal obeys."""

    def __init__(self, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False)

    def render_str(self, text: str, **given: Any) -> Text:
        return super().render_str(escape_control(text), **given)


out, err = _Terminal(), _Terminal(stderr=True)


def finite(param: typer.CallbackParam, value: float | None) -> float | None:
    """The callback of options that are numbers: nan lies in no range, and click takes it in every one."""
    if value is not None and not math.isfinite(value):
        raise HubbubError(f"{param.opts[0]} {value}: give a finite number.")
    return value


Settings = Annotated[
    list[str] | None, typer.Option("--set", help="Override a recipe field, e.g. --set train.epochs=3. May be repeated.")
]
Out = Annotated[Path, typer.Option("--out", help="Folder that holds run folders.")]
Quick = Annotated[
    bool, typer.Option("--quick", help="The recipe's reduced form: to see that it works, not for figures.")
]
Device = Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda or mps.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Engine = Annotated[
    Literal["local", "ray"], typer.Option("--engine", help="Where work is done: this machine, or a Ray cluster.")
]
Address = Annotated[
    str | None, typer.Option("--address", help="ray: the cluster, HOST:PORT. Default: one on this machine.")
]
Cpus = Annotated[float, typer.Option("--cpus", min=0.01, callback=finite, help="ray: processor cores a task.")]
Gpus = Annotated[
    float | None,
    typer.Option(
        "--gpus", min=0.0, callback=finite, help="ray: accelerators a task; .5 shares one. Default: 1 if any."
    ),
]
AllowMissing = Annotated[
    bool, typer.Option("--allow-missing", help="Go on without missing files; every result says so.")
]
AllowLeaky = Annotated[
    bool, typer.Option("--allow-leaky", help="Run a leaking split; every result says NOT COMPARABLE.")
]
Folds = Annotated[str | None, typer.Option("--folds", help="Test folds to run, e.g. 1,2. Default: all.")]
Seeds = Annotated[str | None, typer.Option("--seeds", help="Seeds to run, e.g. 42,43. Default: the recipe's.")]
Model = Annotated[
    str | None, typer.Option("--model", help="A run folder, a saved or exported classifier, or 'yamnet'.")
]
Release = Annotated[
    float | None,
    typer.Option(
        "--release", callback=finite, help="An event lasts while its class scores this. Default: --threshold."
    ),
]
MinDuration = Annotated[float, typer.Option("--min-duration", callback=finite, help="Leave out shorter events [s].")]
Gap = Annotated[float, typer.Option("--gap", callback=finite, help="Join events of a class at most so far apart [s].")]
Name = Annotated[str | None, typer.Option("--name", help="The run folder's name. Default: the recipe's.")]


def as_settings(
    given: list[str] | None,
    device: str | None,
    folds: str | None = None,
    seeds: str | None = None,
    allow_missing: bool = False,
    allow_leaky: bool = False,
) -> list[str]:
    """The common options as --set settings, so that the resolved recipe holds them all."""
    from hubbub.config.recipe import as_setting

    settings = list(given or [])
    if device:
        settings.append(as_setting("train.device", device))
    if folds:
        settings.append(as_setting("protocol.folds", [fold.strip() for fold in folds.split(",")]))
    if seeds:
        settings.append(f"train.seeds=[{seeds}]")
    if allow_missing:
        settings.append("data.allow_missing=true")
    if allow_leaky:
        settings.append("protocol.allow_leaky=true")
    return settings


def recipe_of(name: str, settings: list[str] | None, allow_missing: bool) -> "Recipe":
    """A recipe for commands that make or audit data: no device, folds or seeds."""
    from hubbub.config.recipe import Recipe

    return Recipe.load(name, as_settings(settings, None, allow_missing=allow_missing))


def log(line: str) -> None:
    """A line of progress, for people: on standard error."""
    err.print(line, soft_wrap=True)


def log_warnings(name: object, warnings: Iterable[str]) -> None:
    """What is odd about a recording, a line each: on standard error."""
    from hubbub.inference.formats import name_of

    for warning in warnings:
        err.print(f"warning: {name_of(str(name))}: {warning}", style="yellow", soft_wrap=True)
