"""From one's own recordings to a recipe: what `hubbub train` and `hubbub.train` do with what they are given."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hubbub.config.recipe import Recipe, RecipeError, shipped
from hubbub.config.run_options import common_settings
from hubbub.config.settings import as_setting
from hubbub.config.titles import data_title
from hubbub.data import trained_before
from hubbub.data.archive_file import is_archive
from hubbub.data.clips import ClipsError
from hubbub.data.datasets import DATASETS
from hubbub.data.hub.dataset import is_hub_name
from hubbub.data.open import QUICK, clip_settings, known_data, with_data
from hubbub.errors import did_you_mean
from hubbub.experiment.bench import print_line
from hubbub.experiment.carry_over import NOTHING, carry_over
from hubbub.experiment.prepare import Log
from hubbub.experiment.run import run_plan
from hubbub.experiment.steps import RunPlan
from hubbub.report.run import Run
from hubbub.report.run_folder import run_name
from hubbub.runtime import distributed, download
from hubbub.runtime.homes import StoreError
from hubbub.runtime.names import name_problem, safe_name
from hubbub.runtime.shipped import SMALL

__all__ = ["Plan", "plan", "train"]

#: The recipes that are fitted to any recordings: a frozen backbone with a linear head, the best one and the one that
#: comes with the package, and a network from scratch.
FROZEN, SHIPPED, SCRATCH = "esc50-yamnet", "street-small", "esc50-compact"


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
    multilabel: bool = False,
    empty: str | None = None,
    corrections: str | Path | None = None,
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
    none, `test` another folder or table that is the test part. With `multilabel` a clip may hold several labels, and
    `empty` says what one without any means: "none" of the classes, or "unlabelled". `corrections` is a table of
    corrected labels (`hubbub data audit`). `settings` overrides fields of the recipe, e.g. `{"head.c": [0.01]}`.
    Progress goes to standard error unless `quiet`. Raises `HubbubError`.
    """
    changes = common_settings(settings, None, seeds, device, allow_missing, allow_leaky)
    planned = plan(
        str(what), changes, recipe=recipe, backbone=backbone, head=head, from_scratch=from_scratch, folds=folds,
        group=group, test=None if test is None else str(test), background=background, multilabel=multilabel,
        empty=empty, corrections=corrections, quick=quick,
    )  # fmt: skip
    log: Log = (lambda line: None) if quiet else print_line
    for line in planned.lines:
        log(line)
    run = planned.run(Path(out), name, refit=refit)
    distributed.check_world_size(run.recipe.train.nodes, run.recipe.train.devices)
    return Run(run_plan(run, jobs, log).run.folder)


@dataclass(frozen=True)
class Plan:
    """A recipe, the name of its run folder, and in a line each what was understood and chosen."""

    recipe: Recipe
    name: str
    lines: tuple[str, ...]
    quick: bool = False

    def run(self, out: Path, name: str | None = None, *, refit: bool = True) -> RunPlan:
        """The run in the folder `out`/`name`; by default under the plan's own name, or that with a number where another
        run has it. Raises `RecipeError` for a `name` that cannot name a folder."""
        folder = out / run_name("", given=self.name if name is None else name)
        return RunPlan(self.recipe, folder, self.quick, refit, renamed=name is None)


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
    multilabel: bool = False,
    empty: str | None = None,
    corrections: str | Path | None = None,
    quick: bool = False,
    data: str | None = None,
    source: Path | None = None,
) -> Plan:
    """The recipe for a folder, a table, annotations, a known data set, a shipped recipe or a TOML file.

    Data are evaluated by the protocol that they allow (`protocol.kind = "auto"`), with YAMNet's frozen embeddings and
    a linear head where its weights are at hand or can be downloaded, else with those of the network that comes with
    hubbub or, where that has been trained on the data, with a network from scratch. `data` are other data for a recipe
    (`data.open.data_settings`). `source` is a search's recipe or folder, whose settings are taken over; the run
    folder's name then ends in `-tuned`. Raises `RecipeError` for options that contradict each other and for what is
    none of these.
    """
    chosen = _chosen(recipe, backbone, head, from_scratch, source)
    options = clip_settings(group, test, background, multilabel=multilabel, empty=empty, corrected_by=corrections)
    if folds is not None:
        options.append(as_setting("protocol.k", folds))
    if what in shipped() or Path(what).suffix == ".toml":
        if chosen:
            raise RecipeError(f"'{what}' is a recipe already, so {chosen} cannot name another. Give data instead.")
        if head:
            options.append(as_setting("head.name", head))
        changes = with_data(what, data, [*options, *settings], quick=quick)
        carried = carry_over(source, Recipe.load(what, changes), what) if source else NOTHING
        found = Recipe.load(what, [*carried.settings, *changes], quick=quick, sections=carried.sections)
        shipped_form, name = Recipe.load(what, quick=quick), Path(what).stem + "-tuned" * bool(source)
        if found.data.name != shipped_form.data.name:
            name = f"{safe_name(data_title(found.data.name))}-{name}"
        return Plan(found, name + _ending(found, shipped_form.protocol.folds, quick), carried.lines, quick)
    _refuse_unknown(what)
    if data is not None:
        raise RecipeError(f"'{what}' is data already, so --data {data} cannot name others. Give one of them.")
    known = known_data(what)
    if recipe:
        base, why = recipe, f"recipe: {recipe}, as asked"
    elif from_scratch:
        base, why = SCRATCH, f"network: a small one, trained from scratch ({SCRATCH}), as asked"
    elif backbone:
        base, why = _recipe_of(backbone), f"network: {backbone}, frozen, as asked"
    else:
        base, why = _default(known)
    place = {"name": known[0], "root": str(known[1] or "")} if known else {"name": what}
    carried, name = NOTHING, data_title(place["name"])
    if source:
        whole = Recipe.of(_on_data(Recipe.load(base), place)).with_settings([*options, *settings])
        carried = carry_over(source, whole, base)
    sections = {**carried.sections, "protocol": {"kind": "auto"}}
    found = Recipe.load(base, ["protocol.kind=auto"], quick=quick, sections=sections)
    content = _on_data(found, place)
    content["train"]["seeds"] = content["train"]["seeds"][:1]
    if head or backbone:
        _freeze(content, head)
    if quick:
        options += [as_setting(field, value) for field, value in QUICK.items()]
    made = Recipe.of(content).retitled(found).with_settings([*options, *settings])
    name = (name if not name_problem(name) else safe_name(name)) + "-tuned" * bool(source)
    return Plan(made, name + _ending(made, (), quick), (_understood(what), why, *carried.lines), quick)


def _chosen(recipe: str | None, backbone: str | None, head: str | None, from_scratch: bool, source: Path | None) -> str:
    """The option that names what is trained; "" where none does. Raises `RecipeError` for options that contradict each
    other."""
    given = {"--recipe": recipe, "--backbone": backbone, "--from-scratch": from_scratch}
    chosen = [option for option, value in given.items() if value]
    if len(chosen) > 1:
        raise RecipeError(f"{' and '.join(chosen)} each name what is trained. Give one of them.")
    if from_scratch and head:
        raise RecipeError(
            f"--head {head} is for a frozen backbone, and --from-scratch trains a network. Leave one out."
        )
    if source and (backbone or head):
        raise RecipeError(
            f"--from {source} holds for one network and head. Leave {'--head' if head else '--backbone'} out, or name "
            "its recipe: --recipe NAME."
        )
    return "".join(chosen)


def _on_data(recipe: Recipe, place: dict[str, str]) -> dict[str, Any]:
    """A recipe's content on other data, by the protocol that these allow."""
    content = recipe.model_dump(mode="json", exclude_none=True, exclude={"data", "protocol", "tune", "quick"})
    return content | {"data": place, "protocol": {"kind": "auto"}}


def _ending(recipe: Recipe, folds: tuple[str, ...], quick: bool) -> str:
    """What follows in the name of a quick run, and of a run of other test folds than the usual `folds`."""
    chosen = recipe.protocol.folds
    return "-quick" * quick + (f"-fold{safe_name(','.join(chosen))}" if chosen and chosen != folds else "")


def _understood(what: str) -> str:
    if what in DATASETS:
        return f"data: {what}, a known data set"
    if os.path.isdir(what):
        return f"data: the {'archive' if is_archive(what) else 'folder'} {what}"
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


def _default(known: tuple[str, Path | None] | None) -> tuple[str, str]:
    """The recipe for data, where nothing else is asked for, and why."""
    try:
        place = download.get("yamnet")
    except StoreError as error:
        why = f"as YAMNet's weights are not here and could not be downloaded ({error})"
        if known and known[0] in trained_before.DATA:
            return SCRATCH, (
                f"network: a small one, trained from scratch ({SCRATCH}), {why}, and {SMALL}, which comes with hubbub, "
                "has been trained on these clips"
            )
        return SHIPPED, f"network: {SMALL}, which comes with hubbub, frozen, with a linear head ({SHIPPED}), {why}"
    return FROZEN, f"network: YAMNet, frozen, with a linear head ({FROZEN}); its weights are {place}"


def _recipe_of(backbone: str) -> str:
    """A shipped recipe with this network: the one that is also the default, or one of ESC-50 first."""
    names = sorted(shipped(), key=lambda name: (name != SHIPPED, not name.startswith("esc50")))
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
