"""`hubbub.bench`: one recipe over all its folds and seeds, from Python."""

import pickle
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubbub.config.recipe import Recipe, RecipeError
from hubbub.config.run_options import common_settings
from hubbub.data.open import data_settings
from hubbub.experiment import suite
from hubbub.experiment.run import run_plan
from hubbub.experiment.steps import ExperimentError, RunPlan
from hubbub.report.run import Run
from hubbub.report.run_folder import run_name
from hubbub.runtime import distributed
from hubbub.runtime.escape import escape_control
from hubbub.runtime.names import safe_name

if TYPE_CHECKING:
    from hubbub.models.custom import NetworkFactory

__all__ = ["bench", "print_line"]

#: The settings of the network that count for one of the caller's own, too.
KEPT = ("network.mode", "network.channels", "network.trained_blocks", "network.lora_rank")


def bench(
    recipe: str | Path | Recipe,
    *,
    data: str | Path | None = None,
    network: "NetworkFactory | None" = None,
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

    `recipe` is a shipped recipe's name, a TOML file or a `Recipe`, which needs a `name`. `data` are other data for it:
    a known data set, a folder, a table or a hub data set. `settings` overrides fields, e.g. `{"train.epochs": 3}`.
    `quick` takes the recipe's small form (a `Recipe` is taken as it is). The run's folder is `out`/`name`, by default
    the recipe's name. With `jobs` above 1, that many processes train at once: a script then needs
    `if __name__ == "__main__":`. Progress goes to standard error unless `quiet`. Without `refit` the run has no final
    classifier.

    `network` is a class or function that makes an `nn.Module` from the front end's output, or from waves, to logits: it
    is trained in place of the recipe's own network, with all else as it is. It gets `num_classes` if it takes an
    argument. Raises `HubbubError`.
    """
    given = common_settings(settings, folds, seeds, device, allow_missing, allow_leaky)
    plan = replace(_planned(recipe, data, given, Path(out), name, quick), refit=refit)
    if network is not None:
        if idle := [field for field in settings or {} if field.startswith("network.") and field not in KEPT]:
            raise RecipeError(f"{idle[0]} is for the recipe's own network, which network= replaces. Leave it out.")
        base = plan.recipe.title if isinstance(recipe, Recipe) else Path(recipe).stem
        plan = _with_network(plan, network, base, name, jobs)
    distributed.check_world_size(plan.recipe.train.nodes, plan.recipe.train.devices)
    run_plan(plan, jobs, (lambda line: None) if quiet else print_line)
    return Run(plan.folder, network)


def _planned(
    recipe: str | Path | Recipe,
    data: str | Path | None,
    settings: list[str],
    out: Path,
    name: str | None,
    quick: bool,
) -> RunPlan:
    if not isinstance(recipe, Recipe):
        if suite.is_suite(str(recipe)):
            raise RecipeError(f"'{recipe}' is a suite, and this runs one recipe. Give one of its recipes.")
        (plan,) = suite.runs_of([str(recipe)], out, name=name, settings=settings, quick=quick, data=data)
        return plan
    if name is None:
        raise RecipeError("a Recipe has no file name to call its run's folder by. Give name=, e.g. name='mine'.")
    other = [] if data is None else data_settings(recipe, data)
    return RunPlan(recipe.with_settings([*other, *settings]), out / run_name("", quick, name), quick)


def _with_network(plan: RunPlan, network: "NetworkFactory", base: str, name: str | None, jobs: int) -> RunPlan:
    """The plan with the caller's network, which its title and folder name. Raises `ExperimentError` where the run
    needs it in other processes, and they cannot import it."""
    from hubbub.models.custom import name_of, with_custom

    own = name_of(network).rpartition(".")[2]
    if plan.recipe.train.nodes * plan.recipe.train.devices > 1:
        raise ExperimentError(f"network={own} is trained on one device. Set train.devices and train.nodes to 1.")
    if jobs > 1:
        try:
            pickle.dumps(network)
        except Exception as error:  # pickle raises many kinds
            raise ExperimentError(
                f"network={own} cannot be sent to other processes ({error}). Leave jobs at 1, or define it in a module "
                "of its own."
            ) from error
    folder = plan.folder if name else plan.folder.with_name(safe_name(f"{plan.folder.name}-{own}"))
    recipe = with_custom(plan.recipe, network).model_copy(update={"title": f"{own}, otherwise {base}"})
    return replace(plan, recipe=recipe, folder=folder, network=network)


def print_line(line: str) -> None:
    """Prints a line of progress on standard error."""
    print(escape_control(line), file=sys.stderr, flush=True)
