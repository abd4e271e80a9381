"""Search: which settings of a recipe do best on its validation part.

Optuna (Akiba et al. 2019, https://optuna.org) draws them with the Tree-structured Parzen Estimator (Bergstra et al.
2011), stops what falls behind the median of earlier trials, and keeps all of it in `study.db`. What is drawn is a
function of seed, trials before it and their results, so a search that was killed goes on as if it had not been.
The test part is no matter of discipline: its clips are out of the table before any sound is opened, so no trial could
hear one. This room does not know how a network is fitted.
"""

import multiprocessing
import secrets
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hubbub.config.recipe import Recipe
from hubbub.config.tune import Range
from hubbub.data.splits import Split
from hubbub.errors import HubbubError, examples
from hubbub.experiment import tune_report
from hubbub.experiment.prepare import Log, Material, fresh, prepare
from hubbub.experiment.provenance import manifest
from hubbub.metrics import classification
from hubbub.runtime import distributed, files, homes, processes

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

    from hubbub.classifier.torch_classifier import TorchClassifier

__all__ = ["TuneError", "run"]

#: What a trial may hear. The parts that are not named are closed.
PARTS = ("train", "validation")


class TuneError(HubbubError):
    """A search that cannot be made or gone on with as asked."""


@dataclass(frozen=True)
class _Search:
    """What one process needs to try settings: the clips it may hear, the study, and the name others know it by."""

    recipe: Recipe
    material: Material
    study: "Study"
    folder: Path
    worker: str
    log: Log


def run(
    recipe: Recipe, folder: Path, *, jobs: int = 1, quick: bool = False, log: Log = lambda line: None
) -> dict[str, Any]:
    """Try settings until `tune.trials` have been tried in `folder`, by all processes together; write what came out.

    `jobs` processes share the work. Returns what `tune.json` holds. Raises `TuneError` where the recipe has nothing to
    search, where `folder` holds the search of another recipe or space, or where no trial came through.
    """
    _refuse(recipe, folder)
    with _search(recipe, folder, quick, log) as search:
        if jobs == 1:
            _work(search)
        else:
            _share(recipe, folder, jobs, quick, log)
        with _alone(folder):
            summary = tune_report.write(recipe, search.study, folder, search.material.splits[0].name)
    if not summary["best"]:
        if running := summary["trials"]["running"]:
            raise TuneError(f"another process tries the last {running} trials, and none came through yet. Wait for it.")
        reasons = filter(None, map(tune_report.why, search.study.get_trials(deepcopy=False)))
        raise TuneError(
            f"none of {summary['trials']['asked']} trials came through. {examples(dict.fromkeys(reasons), 2)}"
        )
    return summary


def _refuse(recipe: Recipe, folder: Path) -> None:
    if recipe.tune is None:
        raise TuneError(
            "the recipe has no [tune] section. Name what to search, for example: "
            "[tune.space] 'train.learning_rate' = {low = 1e-4, high = 1e-2, log = true}"
        )
    if recipe.protocol.validation == "none" and not recipe.tune.folds:
        raise TuneError("protocol.validation is 'none', so nothing can be chosen. Name tune.folds to validate on.")
    if recipe.protocol.kind in ("fixed", "csv") and not recipe.protocol.val:
        raise TuneError("protocol.val is empty, so nothing can be chosen. Name what to validate on.")
    distributed.require_one_process("a search")
    if recipe.train.nodes * recipe.train.devices > 1:
        raise TuneError(
            "a trial runs on one device: set train.nodes = 1, train.devices = 1, and --jobs for several trials at once."
        )
    if (folder / "recipe.toml").is_file():
        raise TuneError(f"{folder} holds a run, not a search. Give another --name.")
    if strange := files.foreign_files(folder, "study.db"):
        raise TuneError(f"{folder} holds {examples(strange)}, and no search. Give another --name, or an empty folder.")


@contextmanager
def _search(recipe: Recipe, folder: Path, quick: bool, log: Log) -> Iterator[_Search]:
    material = prepare(recipe, log, quick=quick, parts=PARTS)
    if recipe.protocol.allow_leaky:
        log("warning: the recipe allows leaks, so clips of its test part may be among those that choose")
    worker = secrets.token_hex(8)
    place = folder / "workers" / worker
    try:
        with files.lock_folder(place):
            yield _Search(recipe, material, _open(recipe, material, folder), folder, worker, log)
    finally:
        with suppress(homes.StoreError):
            files.remove_folder(place, folder)


def _open(recipe: Recipe, material: Material, folder: Path) -> "Study":
    """The study of this recipe in this folder, begun where there is none."""
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    assert recipe.tune is not None
    about = recipe.model_dump(
        mode="json", exclude_none=True, exclude={"title": True, "quick": True, "tune": {"trials"}}
    )
    about["clips"] = manifest(material)
    try:
        with _alone(folder):
            study = optuna.create_study(
                study_name="hubbub",
                storage=optuna.storages.RDBStorage(
                    f"sqlite:///{folder / 'study.db'}", engine_kwargs={"connect_args": {"timeout": 60}}
                ),
                direction="minimize" if tune_report.objective(recipe) == "val_loss" else "maximize",
                pruner=optuna.pruners.MedianPruner(),
                load_if_exists=True,
            )
            before = study.user_attrs.get("about")
            if before is None:
                study.set_user_attr("about", about)
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise TuneError(
            f"{folder / 'study.db'} is no study that can be read. Remove it, or give another --name."
        ) from error
    if before and before != about:
        raise TuneError(
            f"{folder} holds a search of something else: {examples(_changed(before, about), 5)}. Its trials cannot "
            "stand beside new ones. Give another --name, or take back what changed."
        )
    return study


def _changed(before: Any, now: Any, name: str = "") -> list[str]:
    """What differs between two recipes, by field."""
    if before == now:
        return []
    if not isinstance(before, dict) or not isinstance(now, dict):
        said = ("nothing" if value is None else repr(value) for value in (before, now))
        return ["the clips" if name == "clips" else f"{name} was {next(said)}, is {next(said)}"]
    keys = dict.fromkeys([*before, *now])
    return [line for key in keys for line in _changed(before.get(key), now.get(key), f"{name}.{key}" if name else key)]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time; a killed one lets go."""
    from filelock import FileLock

    with FileLock(folder / ".study.lock"):
        yield


def _share(recipe: Recipe, folder: Path, jobs: int, quick: bool, log: Log) -> None:
    log(f"{jobs} processes")
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(jobs, mp_context=context) as pool:
            for done in [pool.submit(_process, recipe, folder, jobs, quick) for _ in range(jobs)]:
                done.result()
    except BrokenProcessPool as error:
        raise TuneError(
            "a process of the search was killed, perhaps for want of memory. The same command goes on where it was; "
            "with fewer --jobs each has more memory."
        ) from error


def _process(recipe: Recipe, folder: Path, jobs: int, quick: bool) -> None:
    """One of several: it shares the cores, and prints finished trials alone, since bars would overwrite each other."""
    import os

    import torch

    torch.set_num_threads(max(min(torch.get_num_threads(), processes.cores() // jobs), 1))
    terminal = sys.stderr
    with open(os.devnull, "w") as nowhere:
        sys.stderr = nowhere
        with _search(recipe, folder, quick, lambda line: None) as search:
            _work(replace(search, log=lambda line: print(line, file=terminal, flush=True)))


def _work(search: _Search) -> None:
    parent = multiprocessing.parent_process()
    while (parent is None or parent.is_alive()) and (asked := _ask(search)):
        _try(search, *asked)


def _ask(search: _Search) -> tuple["Trial", dict[str, Any]] | None:
    """The next trial and the fields it sets; None when enough have been tried, or are being tried."""
    import optuna

    settings, study = search.recipe.tune, search.study
    assert settings is not None
    with _alone(search.folder):
        _bury(search)
        tried = sum(not tune_report.lost(t) for t in study.get_trials(deepcopy=False) if t.state.name != "WAITING")
        if tried >= settings.trials:
            return None
        seed = int(np.random.SeedSequence([settings.seed, tried]).generate_state(1)[0])
        study.sampler = optuna.samplers.TPESampler(seed=seed)
        trial = study.ask()
        fields: dict[str, Any] = {}
        for name, values in settings.space.items():
            fields |= values.fields(name, _draw(trial, name, values))
        trial.set_user_attr("fields", fields)
        trial.set_user_attr("worker", search.worker)  # last: without it the trial never began
    return trial, fields


def _draw(trial: "Trial", name: str, values: Range) -> Any:
    if values.choices:
        # Lists and tables cannot be stored as choices; what they are written as can.
        written = [c if isinstance(c, bool | int | float | str) else repr(c) for c in values.choices]
        drawn: Any = trial.suggest_categorical(name, written)
        return values.choices[written.index(drawn)]
    if isinstance(values.low, int) and isinstance(values.high, int):
        return trial.suggest_int(name, values.low, values.high, log=values.log)
    assert values.low is not None and values.high is not None
    return trial.suggest_float(name, values.low, values.high, log=values.log)


def _bury(search: _Search) -> None:
    """Trials of processes that are no more are failed, and their settings come up again, once."""
    from optuna.trial import TrialState

    for trial in search.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        worker = trial.user_attrs.get("worker")
        if worker and _lives(search.folder / "workers" / worker):
            continue
        search.study.tell(trial.number, state=TrialState.FAIL)
        files.remove_folder(_place(search.folder, trial), search.folder)
        if worker and "again" not in trial.user_attrs:
            search.study.enqueue_trial(trial.params, user_attrs={"again": trial.number})


def _lives(place: Path) -> bool:
    """Whether a process holds the lock of a worker; the system takes it from one that ends, however it ends."""
    try:
        with files.lock_folder(place):
            pass
    except homes.StoreError:
        return True
    files.remove_folder(place, place.parents[1])
    return False


def _place(folder: Path, trial: "Trial | FrozenTrial") -> Path:
    return folder / "trials" / f"{trial.number:04d}"


def _try(search: _Search, trial: "Trial", fields: dict[str, Any]) -> None:
    """One trial, from its settings to its value in the study. Nothing of it stays on disk."""
    import optuna
    from optuna.trial import TrialState

    place = _place(search.folder, trial)
    try:
        value = _value(search, trial, fields, place)
    except optuna.TrialPruned:
        search.study.tell(trial, state=TrialState.PRUNED)
        ended = "stopped: behind the median"
    except HubbubError as error:  # a rate that diverges, a batch that does not fit: the search goes on without it
        trial.set_user_attr("why", str(error))
        search.study.tell(trial, state=TrialState.FAIL)
        ended = f"failed: {error}"
    else:
        search.study.tell(trial, value)
        ended = f"{tune_report.objective(search.recipe)} {value:.4f}"
    finally:
        with suppress(homes.StoreError):
            files.remove_folder(place, search.folder)
    search.log(f"trial {trial.number}: {ended}  ({tune_report.in_words(trial.params)})")


def _value(search: _Search, trial: "Trial", fields: dict[str, Any], place: Path) -> float:
    """The objective: the mean over the validation parts. Reports it epoch by epoch."""
    assert search.recipe.tune is not None
    epochs = search.recipe.tune.epochs
    length: dict[str, Any] = {"train.epochs": epochs} if epochs else {}
    material = replace(search.material, recipe=search.material.recipe.altered(length | fields))
    done: list[float] = []
    for turn in range(len(material.splits)):
        done.append(_fit_split(trial, material, turn, done, place / str(turn)))
    return float(np.mean(done))


def _fit_split(trial: "Trial", material: Material, turn: int, done: list[float], place: Path) -> float:
    """The figure of one split, fitted after those with the figures `done`: at the kept epoch of a network, the clip
    accuracy of a head. Raises `TrialPruned` where the trial is behind the median."""
    import optuna

    from hubbub.train.fit import fit

    recipe, split = material.recipe, material.splits[turn]
    seed, monitor = recipe.train.seeds[0], recipe.train.monitor

    def report(value: float, epoch: int) -> None:
        trial.report(float(np.mean([*done, value])), turn * recipe.train.epochs + epoch)
        if trial.should_prune():
            raise optuna.TrialPruned

    fitted = fit(
        fresh(material, seed), material.inputs, material.targets, split.train, split.validation, place,
        seed=seed, each_epoch=lambda row: report(row[monitor], int(row["epoch"])),
    )  # fmt: skip
    if fitted.history is not None:
        return float(fitted.history.set_index("epoch")[monitor][fitted.choice["epoch"]])
    value = _clip_accuracy(material, fitted.chosen, split)
    if turn < len(material.splits) - 1:  # after the last split nothing is left to save
        report(value, 1)
    return value


def _clip_accuracy(material: Material, model: "TorchClassifier", split: Split) -> float:
    """The clip accuracy of a head on frozen embeddings, on the validation part."""
    assert material.embedded is not None
    part = material.embedded.of(split.validation)
    scores = model.predict_proba(part.values, part.offsets[:-1])[1]
    return classification.evaluate(material.targets[split.validation], scores)["accuracy"] or 0.0
