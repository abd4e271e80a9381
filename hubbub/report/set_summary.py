"""The figures of clips with label sets that are computed otherwise than those of one label: intervals, classes."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from hubbub.metrics import multilabel
from hubbub.metrics.multilabel_calibration import log_loss, presence_calibration
from hubbub.metrics.multilabel_intervals import Weighted, intervals
from hubbub.report.level_results import SetClassScores
from hubbub.report.predicted import Thresholds, as_arrays, row_thresholds

__all__ = ["classes_left_out", "presence_error", "set_class_scores", "set_intervals", "weighted"]

Interval = tuple[float, float]


def set_intervals(rows: pd.DataFrame, thresholds: Thresholds) -> dict[str, Interval | None]:
    """The 95 % interval of the mean over folds and seeds of each metric: all cells share the draws of recordings.

    Cells are not pooled: their models score differently high, so one ranking of all clips is worse than that of any.
    """
    names, codes = np.unique(rows["group"].to_numpy(), return_inverse=True)
    folds, cells = rows.index.get_level_values("fold").to_numpy(), list[Weighted]()
    for fold in dict.fromkeys(folds):
        cells += weighted(rows[folds == fold], thresholds, codes[folds == fold])
    found: dict[str, Interval | None] = dict.fromkeys(multilabel.METRICS)
    return found | intervals(cells, len(names))


def weighted(rows: pd.DataFrame, thresholds: Thresholds, groups: npt.NDArray[np.int64]) -> list[Weighted]:
    """The predictions of each seed, for draws of recordings; `groups` `[N]` are the numbers of the rows' recordings."""
    seeds = rows.index.get_level_values("seed").to_numpy()
    found = []
    for seed in dict.fromkeys(seeds):
        own = rows[seeds == seed]
        targets, scores, _ = as_arrays(own)
        decided = scores >= row_thresholds(own, thresholds)
        found.append(Weighted(targets > 0, scores, decided, groups[seeds == seed], targets >= 0))
    return found


def set_class_scores(clips: pd.DataFrame, thresholds: Thresholds) -> list[SetClassScores]:
    """Each class's figures over the clip predictions of all cells, in the order of the classes.

    The predictions of several seeds count together.
    """
    targets, scores, labels = as_arrays(clips)
    present, known, at = targets > 0, targets >= 0, row_thresholds(clips, thresholds)
    rates = multilabel.rates_at(present, scores, at, known)
    names, groups = clips["clip"].to_numpy(), clips["group"].to_numpy()
    areas = {
        "average_precision": multilabel.average_precision(present, scores, known),
        "roc_auc": multilabel.roc_auc(present, scores, known),
    }
    cells = clips.index.to_frame()[["fold", "seed"]]
    threshold = at[~cells.duplicated().to_numpy()].mean(axis=0)
    table = areas | {name: getattr(rates, name) for name in ("precision", "recall", "f1")} | {"threshold": threshold}
    return [
        SetClassScores(
            label=label,
            clips=len(set(names[present[:, k]])),
            without=len(set(names[targets[:, k] == 0])),
            unknown=len(set(names[~known[:, k]])),
            recordings=len(set(groups[present[:, k]])),
            **{name: float(column[k]) if np.isfinite(column[k]) else None for name, column in table.items()},
        )
        for k, label in enumerate(labels)
    ]


def classes_left_out(clips: pd.DataFrame) -> dict[str, list[str]]:
    """The classes that the macro means of a test fold leave out, since no clip or every clip of it holds them."""
    found: dict[str, list[str]] = {}
    for fold, rows in clips.groupby(level="fold", sort=False):
        targets, _, labels = as_arrays(rows)
        two_sided = multilabel.presence(targets > 0, targets >= 0).two_sided
        for k in np.flatnonzero(~two_sided):
            found.setdefault(labels[k], []).append(str(fold))
    return found


def presence_error(rows: pd.DataFrame) -> tuple[float, float]:
    """The calibration error of presence, averaged over classes, and the binary log loss."""
    targets, scores, _ = as_arrays(rows)
    present, known = targets > 0, targets >= 0
    return presence_calibration(present, scores, known).error, log_loss(present, scores, known)
