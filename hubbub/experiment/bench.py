"""`hubbub.bench`: one recipe over all its folds and seeds, from Python."""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hubbub.config.recipe import Recipe, RecipeError, as_setting
from hubbub.experiment import suite
from hubbub.experiment.prepare import Log
from hubbub.experiment.run import run_recipe
from hubbub.experiment.steps import RunPlan
from hubbub.report.run import Run
from hubbub.report.run_folder import run_name
from hubbub.runtime import distributed
from hubbub.runtime.escape import escape_control

__all__ = ["bench", "common_settings", "print_line"]


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
    e.g. `{"train.epochs": 3}`. `quick` takes the recipe's small form (a `Recipe` is taken as it is). The run's folder
    is `out`/`name`, by default the recipe's name. With `jobs` above 1, that many processes train at once: a script then
    needs `if __name__ == "__main__":`. Progress goes to standard error unless `quiet`. Without `refit` the run has no
    final classifier. Raises `HubbubError`.
    """
    given = common_settings(settings, folds, seeds, device, allow_missing, allow_leaky)
    plan = _planned(recipe, given, Path(out), name, quick)
    distributed.check_world_size(plan.recipe.train.nodes, plan.recipe.train.devices)
    log: Log = (lambda line: None) if quiet else print_line
    run_recipe(plan.recipe, plan.folder, quick=quick, refit=refit, log=log, jobs=jobs)
    return Run(plan.folder)


def common_settings(
    settings: Mapping[str, Any] | None,
    folds: Iterable[str | int] | None,
    seeds: Iterable[int] | None,
    device: str | None,
    allow_missing: bool,
    allow_leaky: bool,
) -> list[str]:
    """The common options as `--set` settings, so that the resolved recipe holds them."""
    changes = dict(settings or {})
    changes |= {"train.device": device} if device else {}
    changes |= {"protocol.folds": [str(fold) for fold in folds]} if folds is not None else {}
    changes |= {"train.seeds": list(seeds)} if seeds is not None else {}
    changes |= {"data.allow_missing": True} if allow_missing else {}
    changes |= {"protocol.allow_leaky": True} if allow_leaky else {}
    return [as_setting(field, str(value) if isinstance(value, Path) else value) for field, value in changes.items()]


def _planned(recipe: str | Path | Recipe, settings: list[str], out: Path, name: str | None, quick: bool) -> RunPlan:
    if not isinstance(recipe, Recipe):
        if suite.is_suite(str(recipe)):
            raise RecipeError(f"'{recipe}' is a suite, and this runs one recipe. Give one of its recipes.")
        (plan,) = suite.runs_of([str(recipe)], out, name=name, settings=settings, quick=quick)
        return plan
    if name is None:
        raise RecipeError("a Recipe has no file name to call its run's folder by. Give name=, e.g. name='mine'.")
    return RunPlan(recipe.with_settings(settings), out / run_name("", quick, name), quick)


def print_line(line: str) -> None:
    """Prints a line of progress on standard error."""
    print(escape_control(line), file=sys.stderr, flush=True)
