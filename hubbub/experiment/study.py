"""The Optuna study of a search: opening it, drawing trials, and trials of processes that were killed.

The study is `study.db` in the search's folder (Akiba et al. 2019, https://optuna.org). Settings are drawn with the
Tree-structured Parzen Estimator (Bergstra et al. 2011) from the seed, the earlier trials and their results, so a killed
search resumes with the trials it would have had. Several processes share a study under a file lock.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hubbub.config.recipe import Recipe, RecipeError
from hubbub.config.tune import Range, Tune
from hubbub.errors import HubbubError, examples
from hubbub.experiment import tune_report
from hubbub.runtime import files, homes

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

__all__ = ["DATABASE", "LEFTOVERS", "TuneError", "ask", "locked", "open_study", "trial_folder", "worker_folder"]

DATABASE = "study.db"
#: The format of what hubbub notes in a study. Studies that name none are of format 1.
FORMAT = 1
_LOCK, _WORKERS = ".study.lock", "workers"
#: What an interrupted start may leave in a folder that is no search yet.
LEFTOVERS = (_LOCK, _WORKERS)


class TuneError(HubbubError):
    """A search that cannot be begun or resumed as asked."""


def open_study(recipe: Recipe, data_manifest: str, folder: Path) -> "Study":
    """The study of a recipe in a folder, created where there is none. Raises `TuneError` for one of another search."""
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    about = _about(recipe, data_manifest)
    try:
        with locked(folder):
            study = optuna.create_study(
                study_name="hubbub",
                storage=optuna.storages.RDBStorage(
                    f"sqlite:///{folder / DATABASE}", engine_kwargs={"connect_args": {"timeout": 60}}
                ),
                direction="minimize" if tune_report.objective(recipe) == "val_loss" else "maximize",
                pruner=optuna.pruners.MedianPruner(),
                load_if_exists=True,
            )
            before = study.user_attrs.get("about")
            if before is None:
                study.set_user_attr("about", about)
                study.set_user_attr("format", FORMAT)
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise TuneError(f"{folder / DATABASE} is not a readable study. Remove it, or give another --name.") from error
    except RuntimeError as error:  # Optuna's, for tables of another version of it
        raise TuneError(
            f"{folder / DATABASE} is of another version of Optuna: {' '.join(str(error).split())} Or give another "
            "--name."
        ) from error
    if (written := study.user_attrs.get("format", FORMAT)) != FORMAT:
        raise TuneError(
            f"{folder} is a search of format {written}, and this version of hubbub continues format {FORMAT}. Update "
            "hubbub (pip install --upgrade hubbub), or give another --name."
        )
    if before and (changed := _changed(_with_new_settings(before), about)):
        raise TuneError(
            f"{folder} holds another search: {examples(changed, 5)}. Its trials cannot be compared with new ones. Give "
            "another --name, or undo the change."
        )
    return study


def _about(recipe: Recipe, data_manifest: str) -> dict[str, Any]:
    """What all trials of a study must share."""
    content = recipe.model_dump(
        mode="json", exclude_none=True, exclude={"title": True, "quick": True, "tune": {"trials"}}
    )
    return {**content, "clips": data_manifest}


def _with_new_settings(before: dict[str, Any]) -> dict[str, Any]:
    """What a study notes, with the settings that came after the version that noted it, at their defaults."""
    settings = dict(before)
    clips = settings.pop("clips", "")
    try:
        return _about(Recipe.of(settings), clips)
    except RecipeError:  # it has settings that are unknown here: they are named as differences
        return before


def _changed(before: Any, now: Any, name: str = "") -> list[str]:
    """The differences between two recipes, by field."""
    if before == now:
        return []
    if not isinstance(before, dict) or not isinstance(now, dict):
        values = ("nothing" if value is None else repr(value) for value in (before, now))
        return ["the clips" if name == "clips" else f"{name} was {next(values)}, is {next(values)}"]
    keys = dict.fromkeys([*before, *now])
    return [line for key in keys for line in _changed(before.get(key), now.get(key), f"{name}.{key}" if name else key)]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the study for one process; the lock of a killed process is free."""
    from filelock import FileLock

    with FileLock(folder / _LOCK):
        yield


def worker_folder(folder: Path, worker: str) -> Path:
    """The folder whose lock shows that a worker is alive."""
    return folder / _WORKERS / worker


def trial_folder(folder: Path, trial: "Trial | FrozenTrial") -> Path:
    """The folder of a trial's checkpoints, removed when it ends."""
    return folder / "trials" / f"{trial.number:04d}"


def ask(study: "Study", settings: Tune, folder: Path, worker: str) -> tuple["Trial", dict[str, Any]] | None:
    """The next trial and the recipe fields it sets; None when enough have been tried or are running."""
    import optuna

    with locked(folder):
        _fail_lost_trials(study, folder)
        tried = sum(not tune_report.is_lost(t) for t in study.get_trials(deepcopy=False) if t.state.name != "WAITING")
        if tried >= settings.trials:
            return None
        seed = int(np.random.SeedSequence([settings.seed, tried]).generate_state(1)[0])
        study.sampler = optuna.samplers.TPESampler(seed=seed)
        trial = study.ask()
        fields: dict[str, Any] = {}
        for name, values in settings.space.items():
            fields |= values.fields(name, _draw(trial, name, values))
        trial.set_user_attr("fields", fields)
        trial.set_user_attr("worker", worker)  # last: without it the trial never began
    return trial, fields


def _draw(trial: "Trial", name: str, values: Range) -> Any:
    if values.choices:
        # Optuna cannot store lists and tables as choices, but it can store their text.
        texts = [c if isinstance(c, bool | int | float | str) else repr(c) for c in values.choices]
        drawn: Any = trial.suggest_categorical(name, texts)
        return values.choices[texts.index(drawn)]
    if isinstance(values.low, int) and isinstance(values.high, int):
        return trial.suggest_int(name, values.low, values.high, log=values.log)
    assert values.low is not None and values.high is not None
    return trial.suggest_float(name, values.low, values.high, log=values.log)


def _fail_lost_trials(study: "Study", folder: Path) -> None:
    """Fails the trials of processes that have ended, and enqueues their settings again, once."""
    from optuna.trial import TrialState

    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        worker = trial.user_attrs.get("worker")
        if worker and _is_alive(worker_folder(folder, worker)):
            continue
        study.tell(trial.number, state=TrialState.FAIL)
        files.remove_folder(trial_folder(folder, trial), folder, DATABASE)
        if worker and "again" not in trial.user_attrs:
            study.enqueue_trial(trial.params, user_attrs={"again": trial.number})


def _is_alive(place: Path) -> bool:
    """Whether a process holds the lock of a worker; the system frees it when the process ends, however it ends."""
    try:
        with files.lock_folder(place):
            pass
    except homes.StoreError:
        return True
    files.remove_folder(place, place.parents[1], DATABASE)
    return False
