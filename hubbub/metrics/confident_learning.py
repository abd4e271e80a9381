"""Confident learning: which labels are likely wrong, from out-of-fold probabilities. Pure functions over arrays.

After Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels" (JAIR 70, 2021): what
is a low probability differs from class to class, so each class has a threshold of its own, the mean probability of the
class over the clips that are labelled so. A label is likely wrong where its probability is a small share of its
threshold and another class is more probable. Clips with several labels are judged class by class, as present or absent.

Conventions: `targets` `[N]` are class numbers and `scores` `[N, K]` probabilities of models that were not fitted on the
clip. For label sets `targets` is `[N, K]`: 1 present, 0 absent, -1 not annotated.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hubbub.metrics.classification import MetricsError, auc, validate

__all__ = ["Judged", "Pair", "inseparable", "judge", "judge_sets", "thresholds"]

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Targets = npt.NDArray[Any]
#: A label is likely wrong below this share of its class's threshold.
SHARE = 0.15
#: Two classes may be one where the share of either that is taken for the other is at least `CONFUSED`, and the area
#: under the ROC curve of one against the other, .5 for guessing, is at most `SEPARATED`; both have `LEAST` clips.
CONFUSED, SEPARATED, LEAST = 0.2, 0.75, 5


@dataclass(frozen=True)
class Judged:
    """Of each label whether it is likely `wrong`, its `quality` from 0 to 1, and the class `suggested` instead.

    The quality is the label's probability as a share of its class's threshold, 1 from there on. Of label sets all three
    are `[N, K]`, `suggested` is whether the class is present, and a class that was not annotated has the quality NaN.
    """

    wrong: Flags
    quality: Array
    suggested: Targets


def thresholds(targets: Targets, scores: npt.NDArray[Any]) -> Array:
    """The mean probability of each class over the clips that are labelled so, `[K]`; NaN where there is none."""
    validate(targets, scores)
    own = scores[np.arange(len(targets)), targets].astype(np.float64)
    counts = np.bincount(targets, minlength=scores.shape[1])
    sums = np.bincount(targets, own, scores.shape[1])
    return np.divide(sums, counts, out=np.full(len(counts), np.nan), where=counts > 0)


def judge(targets: Targets, scores: npt.NDArray[Any]) -> Judged:
    """Judges clips of one label each. The class that is suggested is the most probable one other than the label.

    Raises `MetricsError` for fewer than two classes, and as `classification.validate` does.
    """
    validate(targets, scores)
    if scores.shape[1] < 2:
        raise MetricsError("labels of one class cannot be judged: a model of one class is always certain.")
    rows, others = np.arange(len(targets)), scores.astype(np.float64)
    own = others[rows, targets]
    others[rows, targets] = -np.inf
    quality = np.minimum(own / np.maximum(thresholds(targets, scores)[targets], 1e-12), 1.0)
    return Judged((quality < SHARE) & (others.max(axis=1) > own), quality, others.argmax(axis=1))


def judge_sets(targets: Targets, scores: npt.NDArray[Any]) -> Judged:
    """Judges label sets: each class on its own, as present against absent. A class that is present, or absent, in all
    annotated clips cannot be judged: its quality is NaN."""
    if targets.ndim != 2 or targets.shape != scores.shape:
        raise MetricsError(
            f"targets of shape {targets.shape} and scores of shape {scores.shape}: give [N, classes] for both."
        )
    wrong, quality = np.zeros(targets.shape, dtype=bool), np.full(targets.shape, np.nan)
    suggested = targets > 0
    for k in range(targets.shape[1]):
        rows = np.flatnonzero(targets[:, k] >= 0)
        if len(np.unique(targets[rows, k])) == 2:
            present = scores[rows, k].astype(np.float64)
            one = judge(targets[rows, k].astype(np.intp), np.stack([1 - present, present], axis=1))
            wrong[rows, k], quality[rows, k] = one.wrong, one.quality
            suggested[rows[one.wrong], k] ^= True
    return Judged(wrong, quality, suggested)


@dataclass(frozen=True)
class Pair:
    """Two classes that may be one: the shares of the clips of either that are taken for the other, and the area under
    the ROC curve of one against the other."""

    first: int
    second: int
    first_as_second: float
    second_as_first: float
    area: float


def inseparable(targets: Targets, scores: npt.NDArray[Any]) -> list[Pair]:
    """The pairs of classes that no model tells apart (`CONFUSED`, `SEPARATED`, `LEAST`), the closest first.

    A clip of one of two classes is taken for the other where that is more probable, whatever the others are.
    """
    validate(targets, scores)
    rows = [np.flatnonzero(targets == k) for k in range(scores.shape[1])]
    found = []
    for one, first in enumerate(rows):
        for other in range(one + 1, len(rows)):
            second = rows[other]
            if min(len(first), len(second)) < LEAST:
                continue
            both = np.concatenate([first, second])
            lead = scores[both, other].astype(np.float64) - scores[both, one]
            a, b = float((lead[: len(first)] > 0).mean()), float((lead[len(first) :] <= 0).mean())
            if min(a, b) >= CONFUSED:
                area = float(auc(np.arange(len(both)) >= len(first), lead))
                if area <= SEPARATED:
                    found.append(Pair(one, other, a, b, area))
    return sorted(found, key=lambda pair: pair.area)
