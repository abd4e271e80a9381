"""Calibration of the presence of classes in clips with label sets: pure functions over arrays.

Arrays are those of `multilabel`; scores are probabilities. A class's score says how likely a clip holds it. Unlike the
calibration of decisions (`classification.calibration`) this counts low scores too: of the clips that score 0.1, one
in ten should hold the class.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from hubbub.metrics.classification import SMALLEST, Calibration, MetricsError
from hubbub.metrics.multilabel import Flags, checked

__all__ = ["log_loss", "presence_calibration"]


def presence_calibration(
    targets: Flags, scores: npt.NDArray[Any], known: Flags | None = None, bins: int = 15
) -> Calibration:
    """The calibration of presence; bin b holds scores in (b / bins, (b + 1) / bins], 0 is in the first.

    In each bin, `confidence` is the mean score and `accuracy` the share of present classes, over all annotated pairs of
    clip and class. `error` is the expected calibration error of each class, averaged over the classes that were
    annotated: errors of classes in opposite directions do not cancel.
    """
    targets, scores, known = checked(targets, scores, known)
    if not known.any():
        raise MetricsError("there is nothing to score: no class is annotated in any clip.")
    classes = scores.shape[1]
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, scores, side="left") - 1, 0, bins - 1) + bins * np.arange(classes)
    count, score, present = (
        np.bincount(place[known], weights, bins * classes).reshape(classes, bins)
        for weights in (None, scores[known], targets[known])
    )
    annotated = known.sum(axis=0)
    errors = np.abs(present - score).sum(axis=1)[annotated > 0] / annotated[annotated > 0]
    with np.errstate(invalid="ignore"):
        confidence, accuracy = (sums.sum(axis=0) / count.sum(axis=0) for sums in (score, present))
    return Calibration(confidence, accuracy, count.sum(axis=0).astype(np.int64), float(errors.mean()))


def log_loss(targets: Flags, scores: npt.NDArray[Any], known: Flags | None = None) -> float:
    """The mean binary log loss over all annotated pairs of clip and class; NaN where there are none."""
    targets, scores, known = checked(targets, scores, known)
    right = np.where(targets, scores, 1 - scores)[known]
    return float(-np.log(np.clip(right, SMALLEST, 1)).mean()) if len(right) else float("nan")
