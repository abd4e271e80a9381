"""The results of a search: trials as tables, plots and `best.toml`, from the study alone.

Importance is fANOVA's (Hutter, Hoos & Leyton-Brown 2014): the share of the objective's variance that a setting explains
in a forest fitted to the trials.
"""

import warnings
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hubbub.config.recipe import Recipe
from hubbub.experiment.carry_over import BEST
from hubbub.report import plots
from hubbub.runtime import files

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

__all__ = ["describe_settings", "failure", "is_lost", "objective", "write_report"]

#: Importance needs this many successful trials.
FEWEST = 8


def objective(recipe: Recipe) -> str:
    """The validation figure to optimise: the one that chooses a network's epoch, or a head's clip accuracy (for label
    sets, its macro mAP)."""
    if recipe.head.name == "none":
        return recipe.train.monitor
    return "val_clip_macro_map" if recipe.data.multilabel else "val_clip_accuracy"


def is_lost(trial: "FrozenTrial") -> bool:
    """Whether a trial's process was killed, so that its settings are tried again. The second time it has failed."""
    return trial.state.name == "FAIL" and "why" not in trial.user_attrs and "again" not in trial.user_attrs


def failure(trial: "FrozenTrial") -> str:
    """The reason why a trial failed; "" where it did not, or is tried again."""
    killed = "its process was killed, twice" if trial.state.name == "FAIL" and "again" in trial.user_attrs else ""
    return trial.user_attrs.get("why", killed)


def describe_settings(values: Mapping[str, Any]) -> str:
    """`batch_size 8, dropout 0.31`: settings by their last name."""
    texts = (f"{value:.3g}" if isinstance(value, float) else str(value) for value in values.values())
    return ", ".join(f"{name.rpartition('.')[2]} {value}" for name, value in zip(values, texts, strict=True))


def write_report(recipe: Recipe, study: "Study", folder: Path, test: str) -> dict[str, Any]:
    """Writes `trials.csv`, `epochs.csv`, `history.png`, `importance.png`, `best.toml` and `tune.json`.

    Returns the content of `tune.json`. `best.toml` is the recipe with the best trial's settings. Where each fold would
    be the test part once, it tests on fold `test` alone: the search used the others.
    """
    assert recipe.tune is not None
    trials = [t for t in study.get_trials(deepcopy=False) if not is_lost(t)]
    done = [t for t in trials if t.state.name == "COMPLETE"]
    name = objective(recipe)
    smaller = study.direction.name == "MINIMIZE"
    files.write_csv(folder / "trials.csv", _table(trials, name))
    steps = [(t.number, step, value) for t in trials for step, value in sorted(t.intermediate_values.items())]
    files.write_csv(folder / "epochs.csv", pd.DataFrame(steps, columns=["trial", "epoch", name]))
    importance, why_not = _importance(study, done)
    if importance:
        plots.importance(importance, folder / "importance.png")
    best = None
    if done:
        values = np.array([np.nan if t.value is None else t.value for t in trials])
        plots.search(
            values, np.array([t.state.name == "COMPLETE" for t in trials]), smaller, name, folder / "history.png"
        )
        found = min(done, key=lambda t: (t.value if smaller else -t.value, t.number))  # type: ignore[operator]
        fields = dict(found.user_attrs["fields"])
        files.write_text(folder / BEST, recipe.altered(_sealed(recipe, test) | fields).to_toml())
        best = {"trial": found.number, "value": found.value, "fields": fields}
    counts = Counter(t.state.name.lower() for t in trials)
    summary = {
        "recipe": recipe.title,
        "objective": name,
        "better": "smaller" if smaller else "larger",
        "closed": test,
        "trials": {"asked": recipe.tune.trials, **{s: counts[s] for s in ("complete", "pruned", "fail", "running")}},
        "best": best,
        "importance": importance,
        "why_no_importance": why_not,
    }
    files.write_json(folder / "tune.json", summary)
    return summary


def _sealed(recipe: Recipe, test: str) -> dict[str, Any]:
    return {"protocol.folds": [test]} if recipe.protocol.kind in ("kfold", "logo") else {}


def _table(trials: list["FrozenTrial"], name: str) -> pd.DataFrame:
    """One row a trial, in order: its state, its value (a stopped trial's last one), and its settings."""
    rows = []
    for trial in trials:
        seconds = trial.duration.total_seconds() if trial.duration else None
        ended = {"trial": trial.number, "state": trial.state.name.lower(), name: trial.value, "seconds": seconds}
        rows.append(ended | trial.params | {"why": failure(trial)})
    return pd.DataFrame(rows)


def _importance(study: "Study", done: list["FrozenTrial"]) -> tuple[dict[str, float] | None, str]:
    """Shares by setting, or the reason why there are none."""
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    if len(done) < FEWEST:
        return None, f"{len(done)} trials succeeded, and importance needs {FEWEST}"
    if len({trial.value for trial in done}) == 1:
        return None, "all trials have the same value"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shares = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
    return {name: float(share) for name, share in shares.items()}, ""
