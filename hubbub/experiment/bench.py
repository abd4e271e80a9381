"""`hubbub.bench`: one recipe over all its folds and seeds, from Python."""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hubbub.config.recipe import Recipe, RecipeError, as_setting
from hubbub.experiment.prepare import Log
from hubbub.experiment.run import run_recipe
from hubbub.report.run import Run
from hubbub.report.run_folder import run_name
from hubbub.runtime import distributed
from hubbub.runtime.escape import escape_control

__all__ = ["bench", "print_line"]


def bench(
    recipe: str | Path | Recipe,
    *,
    settings: Mapping[str, Any] | None = None,
    folds: Iterable[str | int] | None = None,
    seeds: Iterable[int] | None = None,
    quick: bool = False,
    refit: bool = True,
    out: str | Path = "runs",
    name: str | None = None,
    jobs: int = 1,
    device: str | None = None,
    allow_missing: bool = False,
    allow_leaky: bool = False,
    quiet: bool = False,
) -> Run:
    """Trains and tests a recipe on all its folds and seeds, and returns the finished `Run`; an interrupted run
    continues.

    `recipe` is a shipped recipe's name, a TOML file or a `Recipe`, which needs a `name`. `settings` overrides fields,
    e.g. `{"train.epochs": 3}`. The run's folder is `out`/`name`, by default the recipe's name. With `jobs` above 1,
    that many processes train at once: a script then needs `if __name__ == "__main__":`. Progress goes to standard
    error unless `quiet`. Without `refit` the run has no final classifier. Raises `HubbubError`.
    """
    changes = dict(settings or {})
    if device:
        changes["train.device"] = device
    if folds is not None:
        changes["protocol.folds"] = [str(fold) for fold in folds]
    if seeds is not None:
        changes["train.seeds"] = list(seeds)
    if allow_missing:
        changes["data.allow_missing"] = True
    if allow_leaky:
        changes["protocol.allow_leaky"] = True
    if isinstance(recipe, Recipe):
        if name is None:
            raise RecipeError("a Recipe has no file name to call its run's folder by. Give name=, e.g. name='mine'.")
        chosen = recipe.altered({**(recipe.quick if quick else {}), **changes})
    else:
        chosen = Recipe.load(recipe, [as_setting(*change) for change in changes.items()], quick=quick)
    distributed.check_world_size(chosen.train.nodes, chosen.train.devices)
    folder = Path(out) / run_name("" if name else str(recipe), quick, name)
    log: Log = (lambda line: None) if quiet else print_line
    run_recipe(chosen, folder, quick=quick, refit=refit, log=log, jobs=jobs)
    return Run(folder)


def print_line(line: str) -> None:
    """Prints a line of progress on standard error."""
    print(escape_control(line), file=sys.stderr, flush=True)
