"""Search for the settings of a recipe that do best on its validation part.

Trials are drawn by `study`; one that falls behind the median of earlier trials is stopped. The clips of the test part
are removed from the table before any sound is opened, so no trial can use them.
"""

import multiprocessing
import os
import secrets
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hubbub.config.recipe import Recipe
from hubbub.config.tune import Tune
from hubbub.data.splits import Split
from hubbub.errors import HubbubError, examples
from hubbub.experiment import study, tune_report
from hubbub.experiment.fit import fit
from hubbub.experiment.prepare import Log, Prepared, prepare
from hubbub.experiment.provenance import data_manifest
from hubbub.experiment.study import TuneError
from hubbub.metrics import classification, multilabel
from hubbub.report import run_folder
from hubbub.runtime import distributed, files, homes, processes

if TYPE_CHECKING:
    from optuna import Study, Trial

__all__ = ["TuneError", "search_settings"]

#: The parts that a trial may use. The others are sealed.
PARTS = ("train", "validation")


@dataclass(frozen=True)
class _Search:
    """What one process needs for its trials: the prepared data, the study, and its name as a worker."""

    recipe: Recipe
    settings: Tune
    prepared: Prepared
    study: "Study"
    folder: Path
    worker: str
    log: Log


def search_settings(
    recipe: Recipe, folder: Path, *, jobs: int = 1, quick: bool = False, log: Log = lambda line: None
) -> dict[str, Any]:
    """Tries settings until `tune.trials` have been tried in `folder` by all processes together; writes the results.

    `jobs` processes share the work. Returns the content of `tune.json`. Raises `TuneError` where the recipe has nothing
    to search, where `folder` holds the search of another recipe or space, or where no trial succeeded.
    """
    settings = _checked(recipe, folder)
    with _search(recipe, settings, folder, quick, log) as search:
        if jobs == 1:
            _work(search)
        else:
            _share(recipe, folder, jobs, quick, log)
        with study.locked(folder):
            summary = tune_report.write_report(recipe, search.study, folder, search.prepared.splits[0].name)
    if not summary["best"]:
        if running := summary["trials"]["running"]:
            raise TuneError(f"another process runs the last {running} trials, and none has succeeded yet. Wait for it.")
        reasons = filter(None, map(tune_report.failure, search.study.get_trials(deepcopy=False)))
        raise TuneError(f"none of {summary['trials']['asked']} trials succeeded. {examples(dict.fromkeys(reasons), 2)}")
    return summary


def _checked(recipe: Recipe, folder: Path) -> Tune:
    """The recipe's search settings. Raises `TuneError` where it cannot be searched in `folder`."""
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
    if run_folder.is_begun(folder):
        raise TuneError(f"{folder} holds a run, not a search. Give another --name.")
    if others := files.foreign_files(folder, study.DATABASE, leftovers=study.LEFTOVERS):
        raise TuneError(f"{folder} holds {examples(others)}, and no search. Give another --name, or an empty folder.")
    return recipe.tune


@contextmanager
def _search(recipe: Recipe, settings: Tune, folder: Path, quick: bool, log: Log) -> Iterator[_Search]:
    prepared = prepare(recipe, log, quick=quick, parts=PARTS)
    if recipe.protocol.allow_leaky:
        log("warning: the recipe allows leaks, so validation may use clips of its test part")
    worker = secrets.token_hex(8)
    place = study.worker_folder(folder, worker)
    try:
        with files.lock_folder(place):
            opened = study.open_study(recipe, data_manifest(prepared), folder)
            yield _Search(recipe, settings, prepared, opened, folder, worker, log)
    finally:
        with suppress(homes.StoreError):
            files.remove_folder(place, folder, study.DATABASE)


def _share(recipe: Recipe, folder: Path, jobs: int, quick: bool, log: Log) -> None:
    log(f"{jobs} processes")
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(jobs, mp_context=context, initializer=_leave_with_parent) as pool:
            for done in [pool.submit(_process, recipe, folder, jobs, quick) for _ in range(jobs)]:
                done.result()
    except BrokenProcessPool as error:
        raise TuneError(
            "a process of the search was killed, perhaps for lack of memory. The same command resumes the search; "
            "with fewer --jobs each process has more memory."
        ) from error


def _leave_with_parent() -> None:
    """A pool's processes would wait for work for ever where the command is killed."""
    threading.Thread(target=processes.exit_with_parent, daemon=True).start()


def _process(recipe: Recipe, folder: Path, jobs: int, quick: bool) -> None:
    """The work of one of several processes, with its share of the cores.

    It prints finished trials only, since the progress bars of several processes would overwrite each other.
    """
    import torch

    torch.set_num_threads(max(min(torch.get_num_threads(), processes.cores() // jobs), 1))
    terminal = sys.stderr
    assert recipe.tune is not None
    with open(os.devnull, "w") as nowhere:
        sys.stderr = nowhere
        with _search(recipe, recipe.tune, folder, quick, lambda line: None) as search:
            _work(replace(search, log=lambda line: print(line, file=terminal, flush=True)))


def _work(search: _Search) -> None:
    while asked := study.ask(search.study, search.settings, search.folder, search.worker):
        _try(search, *asked)


def _try(search: _Search, trial: "Trial", fields: dict[str, Any]) -> None:
    """Runs one trial and records its value in the study. Nothing else of it stays on disk."""
    import optuna
    from optuna.trial import TrialState

    place = study.trial_folder(search.folder, trial)
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
            files.remove_folder(place, search.folder, study.DATABASE)
    search.log(f"trial {trial.number}: {ended}  ({tune_report.describe_settings(trial.params)})")


def _value(search: _Search, trial: "Trial", fields: dict[str, Any], place: Path) -> float:
    """The objective: the mean over the validation parts, reported epoch by epoch."""
    import optuna

    epochs = search.settings.epochs
    length: dict[str, Any] = {"train.epochs": epochs} if epochs else {}
    recipe = search.prepared.recipe.altered(length | fields)
    prepared = search.prepared.with_recipe(recipe)
    done: list[float] = []
    for turn, split in enumerate(prepared.splits):

        def report(value: float, epoch: int, turn: int = turn) -> None:
            trial.report(float(np.mean([*done, value])), turn * recipe.train.epochs + epoch)
            if trial.should_prune():
                raise optuna.TrialPruned

        value = _figure(prepared, split, place / str(turn), report)
        if recipe.head.name != "none" and split is not prepared.splits[-1]:  # after the last there is nothing to save
            report(value, 1)
        done.append(value)
    return float(np.mean(done))


def _figure(prepared: Prepared, split: Split, place: Path, report: Any) -> float:
    """A network's monitored figure at its best epoch, or the clip accuracy of a head (for label sets, the mAP)."""
    monitor, seed = prepared.recipe.train.monitor, prepared.recipe.train.seeds[0]

    def each_epoch(row: Any) -> None:
        report(row[monitor], int(row["epoch"]))

    fitted = fit(prepared, split.train, split.validation, seed, place, each_epoch=each_epoch)
    if fitted.history is not None:
        return float(fitted.history.set_index("epoch")[monitor][fitted.choice["epoch"]])
    assert prepared.embedded is not None
    part = prepared.embedded.of(split.validation)
    scores = fitted.chosen.predict_proba(part.values, part.offsets[:-1])[1]
    targets = prepared.targets[split.validation]
    if targets.ndim == 2:
        return multilabel.evaluate(targets > 0, scores, known=targets >= 0).figures["macro_map"] or 0.0
    return classification.evaluate(targets, scores)["accuracy"] or 0.0
