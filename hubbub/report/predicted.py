"""A run's table of predictions as arrays: targets, scores, thresholds; and the scores before calibration.

Targets are class numbers `[N]`, or of label sets `[N, K]` as `data.clips` gives them: 1 present, 0 absent, -1 not
annotated.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hubbub.classifier import pooling
from hubbub.data.clips import label_set_targets
from hubbub.metrics import classification, multilabel
from hubbub.metrics.multilabel_calibration import presence_calibration
from hubbub.metrics.thresholds import FALLBACK
from hubbub.report import run_folder
from hubbub.report.level_results import LEVELS, LevelName

__all__ = [
    "Flags",
    "Predicted",
    "Scores",
    "Targets",
    "Thresholds",
    "against_rest",
    "as_arrays",
    "calibration_of",
    "cell_thresholds",
    "figures_of",
    "has_label_sets",
    "row_thresholds",
    "uncalibrated",
]

Scores = npt.NDArray[np.float32]
#: `[N]` numbers of classes, or `[N, K]` of label sets.
Targets = npt.NDArray[Any]
Flags = npt.NDArray[np.bool_]
Predicted = tuple[Targets, Scores, tuple[str, ...]]
#: The thresholds of a cell's classifier at one level, by fold and seed; 0.5 for the cells that it lacks.
Thresholds = Mapping[tuple[str, int], tuple[float, ...]]


def has_label_sets(predicted: pd.DataFrame) -> bool:
    """Whether a predictions table is of clips with label sets. A class may have the name of a column, after `end`."""
    return "labels" in _facts(predicted)


def as_arrays(predicted: pd.DataFrame) -> Predicted:
    """Targets, scores and labels of a predictions table: the classes are the columns after `end`."""
    facts = _facts(predicted)
    labels = tuple(predicted.columns[len(facts) :])
    scores = predicted[list(labels)].to_numpy()
    if "labels" in facts:
        return label_set_targets(predicted["labels"], predicted["unknown"], labels), scores, labels
    return pd.Categorical(predicted["label"], categories=list(labels)).codes.astype(np.int64), scores, labels


def _facts(predicted: pd.DataFrame) -> list[str]:
    return list(predicted.columns[: list(predicted.columns).index("end") + 1])


def figures_of(
    targets: Targets, scores: npt.NDArray[Any], thresholds: float | npt.ArrayLike = FALLBACK
) -> dict[str, float | None]:
    """All metrics of predictions: of one label each, or of label sets, whose F1, precision and recall are at
    `thresholds` (`multilabel.rates_at`)."""
    if targets.ndim == 1:
        return classification.evaluate(targets, scores)
    return dict(multilabel.evaluate(targets > 0, scores, np.asarray(thresholds), targets >= 0).figures)


def calibration_of(targets: Targets, scores: npt.NDArray[Any]) -> classification.Calibration:
    """The calibration of the decisions or, of label sets, of the presence of classes."""
    if targets.ndim == 1:
        return classification.calibration(targets, scores)
    return presence_calibration(targets > 0, scores, targets >= 0)


def against_rest(targets: Targets, scores: Scores) -> list[tuple[Flags, Scores]]:
    """Of each class: which examples are of it, and their scores; those in which it was not annotated are left out."""
    if targets.ndim == 1:
        return [(targets == k, scores[:, k]) for k in range(scores.shape[1])]
    return [(column[column >= 0] > 0, scores[column >= 0, k]) for k, column in enumerate(targets.T)]


def cell_thresholds(folder: Path, level: LevelName) -> Thresholds:
    """The thresholds at which each cell's classifier of label sets decides about clips or segments."""
    found = {}
    for fold, seed, place in run_folder.cells(folder):
        calibration = run_folder.calibration_of(place)
        chosen = calibration.clips if level == "clip" else calibration.events
        if chosen is not None:
            found[fold, seed] = chosen
    return found


def row_thresholds(rows: pd.DataFrame, thresholds: Thresholds) -> npt.NDArray[np.float64]:
    """The threshold of each row and class `[N, K]`; `rows` have the index levels `fold` and `seed`, unless there are no
    `thresholds`."""
    classes = len(rows.columns) - len(_facts(rows))
    found = np.full((len(rows), classes), FALLBACK)
    for (fold, seed), values in thresholds.items():
        folds, seeds = (rows.index.get_level_values(key) for key in ("fold", "seed"))
        found[(folds == fold) & (seeds == seed)] = values
    return found


def uncalibrated(folder: Path, predicted: pd.DataFrame) -> pd.DataFrame:
    """The predictions of a run before calibration."""
    _, scores, labels = as_arrays(predicted)
    scores = scores.copy()
    folds, seeds = (predicted.index.get_level_values(key) for key in ("fold", "seed"))
    activation: pooling.Activation = "sigmoid" if has_label_sets(predicted) else "softmax"
    for fold, seed, place in run_folder.cells(folder):
        calibration = run_folder.calibration_of(place)
        for level in LEVELS:
            rows = (folds == fold) & (seeds == seed) & (predicted["level"] == level).to_numpy()
            scores[rows] = pooling.apply_temperature(scores[rows], _inverse(getattr(calibration, level)), activation)
    facts = predicted.drop(columns=list(labels))
    return facts.join(pd.DataFrame(scores, columns=list(labels), index=predicted.index))


def _inverse(scaling: pooling.Scaling) -> pooling.Scaling:
    """The scaling that undoes a scaling of logits."""
    if not isinstance(scaling, tuple):
        return 1 / scaling
    return tuple((1 / temperature, -offset * temperature) for temperature, offset in scaling)
