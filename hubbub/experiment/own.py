"""From one's own recordings to a recipe: what `hubbub train` and `hubbub.train` do with what they are given."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hubbub.config.recipe import Recipe, RecipeError, as_setting, data_title, shipped
from hubbub.data.clips import ClipsError
from hubbub.data.datasets import DATASETS
from hubbub.data.hub.dataset import is_hub_name
from hubbub.data.open import clip_settings
from hubbub.errors import did_you_mean
from hubbub.experiment.bench import common_settings, print_line
from hubbub.experiment.engine import Engine
from hubbub.experiment.local import local_engine
from hubbub.experiment.prepare import Log
from hubbub.experiment.run import Ended, run_all
from hubbub.experiment.steps import ExperimentError, OtherRunError, RunPlan
from hubbub.report.run import Run
from hubbub.report.run_folder import run_name
from hubbub.runtime import distributed, download
from hubbub.runtime.homes import StoreError
from hubbub.runtime.names import name_problem, safe_name

__all__ = ["Plan", "plan", "run_in_free_folder", "train"]

#: The recipes that are fitted to any recordings: a frozen backbone with a linear head, and a network from scratch.
FROZEN, SCRATCH = "esc50-yamnet", "esc50-compact"
#: What a small run of one's own data is reduced to: clips of each class and fold.
_QUICK_CLIPS = 8


def train(
    what: str | Path,
    *,
    recipe: str | None = None,
    backbone: str | None = None,
    head: str | None = None,
    from_scratch: bool = False,
    folds: int | None = None,
    group: str | None = None,
    test: str | Path | None = None,
    background: bool = False,
    settings: Mapping[str, Any] | None = None,
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
    """Trains and evaluates a classifier on one's own recordings, as `hubbub train` does; returns the finished `Run`.

    `what` is a folder with one folder a class, a table of files and labels, annotations, a known data set's name, or a
    recipe. `group` says which clips are of one recording: a column, a regular expression for their paths, or "file";
    by default it is guessed from the file names. `folds` is the number of folds that are made where the data have
    none, `test` another folder or table that is the test part. `settings` overrides fields of the recipe, e.g.
    `{"head.c": [0.01]}`. Progress goes to standard error unless `quiet`. Raises `HubbubError`.
    """
    changes = common_settings(settings, None, seeds, device, allow_missing, allow_leaky)
    planned = plan(
        str(what), changes, recipe=recipe, backbone=backbone, head=head, from_scratch=from_scratch, folds=folds,
        group=group, test=None if test is None else str(test), background=background, quick=quick,
    )  # fmt: skip
    log: Log = (lambda line: None) if quiet else print_line
    for line in planned.lines:
        log(line)
    own = planned.name + "-quick" * quick
    run = RunPlan(planned.recipe, Path(out) / run_name(str(what), given=own if name is None else name), quick, refit)
    distributed.check_world_size(run.recipe.train.nodes, run.recipe.train.devices)
    ended = run_in_free_folder(run, name is None, lambda one: local_engine([one], jobs, log), log)
    if ended.failed:
        raise ended.failed[0].error or ExperimentError(f"{ended.run.folder} could not be run.")
    return Run(ended.run.folder)


def run_in_free_folder(run: RunPlan, renamed: bool, engine: Callable[[RunPlan], Engine], log: Log) -> Ended:
    """Runs what is left of `run`; if `renamed`, in NAME-2, NAME-3 ... where NAME holds the run of other clips or
    settings."""
    first, number = run.folder, 1
    while True:
        (ended,) = run_all([run], engine(run), log)
        if not (renamed and ended.failed and isinstance(ended.failed[0].error, OtherRunError)):
            return ended
        number += 1
        log(f"{run.folder} holds the run of other clips or settings, so this one goes to {first.name}-{number}")
        run = replace(run, folder=first.with_name(f"{first.name}-{number}"))


@dataclass(frozen=True)
class Plan:
    """A recipe, the name of its run folder, and in a line each what was understood and chosen."""

    recipe: Recipe
    name: str
    lines: tuple[str, ...]


def plan(
    what: str,
    settings: Sequence[str] = (),
    *,
    recipe: str | None = None,
    backbone: str | None = None,
    head: str | None = None,
    from_scratch: bool = False,
    folds: int | None = None,
    group: str | None = None,
    test: str | None = None,
    background: bool = False,
    quick: bool = False,
) -> Plan:
    """The recipe for a folder, a table, annotations, a known data set, a shipped recipe or a TOML file.

    Data are evaluated by the protocol that they allow (`protocol.kind = "auto"`), with YAMNet's frozen embeddings and
    a linear head where its weights are at hand or can be downloaded, else with a small network from scratch. Raises
    `RecipeError` for options that contradict each other and for what is none of these.
    """
    chosen = [name for name, given in (("--recipe", recipe), ("--backbone", backbone), ("--from-scratch", from_scratch))
              if given]  # fmt: skip
    if len(chosen) > 1:
        raise RecipeError(f"{' and '.join(chosen)} each name what is trained. Give one of them.")
    if from_scratch and head:
        raise RecipeError(
            f"--head {head} is for a frozen backbone, and --from-scratch trains a network. Leave one out."
        )
    options = clip_settings(group, test, background)
    if folds is not None:
        options.append(as_setting("protocol.k", folds))
    if what in shipped() or Path(what).suffix == ".toml":
        if chosen:
            raise RecipeError(f"'{what}' is a recipe already, so {chosen[0]} cannot name another. Give data instead.")
        if head:
            options.append(as_setting("head.name", head))
        found, name = Recipe.load(what, [*options, *settings], quick=quick), Path(what).stem
        if found.data.name != Recipe.load(what, quick=quick).data.name:
            name = f"{safe_name(data_title(found.data.name))}-{name}"
        return Plan(found, name, ())
    _refuse_unknown(what)
    if recipe:
        base, why = recipe, f"recipe: {recipe}, as asked"
    elif from_scratch:
        base, why = SCRATCH, f"network: a small one, trained from scratch ({SCRATCH}), as asked"
    elif backbone:
        base, why = _recipe_of(backbone), f"network: {backbone}, frozen, as asked"
    else:
        base, why = _default()
    content = Recipe.load(base, quick=quick).model_dump(
        mode="json", exclude_none=True, exclude={"data", "protocol", "tune", "quick"}
    )
    name = data_title(what)
    content |= {"data": {"name": what}, "protocol": {"kind": "auto"}}
    content["title"] = f"{name}: {content['title'].partition(': ')[2] or content['title']}"
    content["train"]["seeds"] = content["train"]["seeds"][:1]
    if head or backbone:
        _freeze(content, head)
        content["title"] = f"{name}: frozen {content['network']['name']}, head {content['head']['name']}"
    if quick:
        options += [as_setting("data.limit", _QUICK_CLIPS), as_setting("protocol.k", 2)]
    made = Recipe.of(content).with_settings([*options, *settings])
    return Plan(made, name if not name_problem(name) else safe_name(name), (_understood(what), why))


def _understood(what: str) -> str:
    if what in DATASETS:
        return f"data: {what}, a known data set"
    if os.path.isdir(what):
        return f"data: the folder {what}"
    return f"data: the table {what}" if os.path.isfile(what) else f"data: {what} of the Hugging Face hub"


def _refuse_unknown(what: str) -> None:
    """Raises `ClipsError` for a name that is neither data nor a recipe, with the nearest match of any kind."""
    if what in DATASETS or os.path.exists(what) or is_hub_name(what):
        return
    here = [name + "/" * os.path.isdir(name) for name in os.listdir() if not name.startswith(".")]
    close = get_close_matches(what, [*here, *DATASETS, *shipped()])
    near = " Did you mean " + " or ".join(f"'{name}'" for name in close) + "?" if close else ""
    raise ClipsError(
        f"'{what}' is not a folder or a table here, a known data set (hubbub data list) or a recipe (hubbub recipes)."
        f"{near}"
    )


def _default() -> tuple[str, str]:
    try:
        place = download.get("yamnet")
    except StoreError as error:
        return SCRATCH, (
            f"network: a small one, trained from scratch ({SCRATCH}), as YAMNet's weights are not here and could not "
            f"be downloaded ({error})"
        )
    return FROZEN, f"network: YAMNet, frozen, with a linear head ({FROZEN}); its weights are {place}"


def _recipe_of(backbone: str) -> str:
    """A shipped recipe with this network, one of ESC-50 first."""
    names = sorted(shipped(), key=lambda name: not name.startswith("esc50"))
    networks = {name: Recipe.load(name).network.name for name in names}
    found = next((name for name, network in networks.items() if network == backbone), None)
    if found is None:
        raise RecipeError(
            f"no shipped recipe has the network '{backbone}'. {did_you_mean(backbone, set(networks.values()))} Any "
            "other network goes into a recipe file of your own: --recipe mine.toml."
        )
    return found


def _freeze(content: dict[str, Any], head: str | None) -> None:
    """Puts a head on a recipe's network, which is then frozen; what only a trained network uses is left out."""
    if content["head"]["name"] == "none":
        content.pop("augment")
        content["evaluate"]["shifts"] = []
        content["network"] |= {"attention": "none"}
        if content["frontend"]["standardise"] == "training":
            content["frontend"]["standardise"] = "imagenet"
        content["head"] = {"name": head or "logreg"}
    elif head:
        content["head"]["name"] = head
