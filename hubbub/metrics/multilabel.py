"""Metrics of clips that hold several classes or none: pure functions over arrays.

Conventions: `scores` is `[N, K]`, higher where a class is likelier; `targets` is `[N, K]`, whether the class is
present; `known` is `[N, K]`, whether the class was annotated for the clip (default: everywhere). A class that was not
annotated counts neither as present nor as absent. All metrics are fractions. A class is decided where its score reaches
its threshold. Figures of a class that is present nowhere, or absent nowhere, are NaN, and macro means leave it out;
micro means pool all annotated pairs of clip and class.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hubbub.metrics.classification import MetricsError, auc, rates

__all__ = [
    "METRICS",
    "Curve",
    "Evaluation",
    "Presence",
    "Rates",
    "average_precision",
    "checked",
    "cooccurrence",
    "decided_with",
    "evaluate",
    "lwlrap",
    "micro_average_precision",
    "precision_recall_curves",
    "presence",
    "rates_at",
    "roc_auc",
    "wrong_pairs",
]

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]
METRICS = (
    *("macro_map", "micro_map", "lwlrap", "roc_auc"),
    *("macro_f1", "macro_precision", "macro_recall", "micro_f1", "micro_precision", "micro_recall"),
)


def checked(targets: npt.NDArray[Any], scores: npt.NDArray[Any], known: Flags | None) -> tuple[Flags, Array, Flags]:
    """Targets (absent where not annotated), scores in double precision, and the mask.

    Raises `MetricsError` for empty, misshapen or non-finite input, and for targets or a mask of other types than bool.
    """
    known = np.ones(targets.shape, dtype=bool) if known is None else known
    if targets.ndim != 2 or not targets.shape == scores.shape == known.shape:
        raise MetricsError(
            f"targets of shape {targets.shape}, scores of shape {scores.shape} and a mask of shape {known.shape}: "
            "give [N, classes] for each."
        )
    if not targets.size:
        raise MetricsError("there is nothing to score: no predictions were given.")
    if targets.dtype != bool or known.dtype != bool:
        raise MetricsError(f"targets of type {targets.dtype} and a mask of type {known.dtype}: give bool for both.")
    if not np.isfinite(scores).all():
        raise MetricsError(f"{int((~np.isfinite(scores)).any(axis=1).sum())} predictions are not finite numbers.")
    return targets & known, scores.astype(np.float64), known


@dataclass(frozen=True)
class Presence:
    """In how many clips each class is present, absent and not annotated, `[K]` each."""

    present: Counts
    absent: Counts
    unknown: Counts

    @property
    def without_positive(self) -> tuple[int, ...]:
        """The numbers of the classes that are present nowhere."""
        return tuple(np.flatnonzero(self.present == 0).tolist())

    @property
    def without_negative(self) -> tuple[int, ...]:
        """The numbers of the classes that are absent nowhere."""
        return tuple(np.flatnonzero(self.absent == 0).tolist())

    @property
    def two_sided(self) -> Flags:
        """Whether a class is present somewhere and absent somewhere, `[K]`: others have no figures."""
        return (self.present > 0) & (self.absent > 0)


def presence(targets: Flags, known: Flags | None = None) -> Presence:
    """How often each class is present, absent and not annotated."""
    known = np.ones(targets.shape, dtype=bool) if known is None else known
    return Presence((targets & known).sum(axis=0), (~targets & known).sum(axis=0), (~known).sum(axis=0))


def cooccurrence(targets: Flags, known: Flags | None = None) -> Counts:
    """In how many clips two classes are both present, `[K, K]`; the diagonal counts the clips of each class."""
    present = (targets if known is None else targets & known).astype(np.float64)  # so that BLAS multiplies; exact
    return (present.T @ present).astype(np.int64)


def decided_with(targets: Flags, decided: Flags, known: Flags | None = None) -> Counts:
    """In how many clips that hold the class of the row the class of the column is decided, `[K, K]`; the diagonal
    counts hits."""
    known = np.ones(targets.shape, dtype=bool) if known is None else known
    present, found = ((flags & known).astype(np.float64) for flags in (targets, decided))
    return (present.T @ found).astype(np.int64)


def wrong_pairs(targets: Flags, decided: Flags, known: Flags | None = None) -> Counts:
    """In how many clips the class of the row is missed and that of the column decided though absent, `[K, K]`."""
    known = np.ones(targets.shape, dtype=bool) if known is None else known
    missed, false = (flags.astype(np.float64) for flags in (targets & known & ~decided, decided & known & ~targets))
    return (missed.T @ false).astype(np.int64)


def average_precision(targets: Flags, scores: npt.NDArray[Any], known: Flags | None = None) -> Array:
    """The average precision of each class `[K]`; their mean over classes is the macro mAP.

    It is the sum of precision over the steps of recall, without interpolation, as in scikit-learn; equal scores are one
    step.
    """
    targets, scores, known = checked(targets, scores, known)
    return np.array([_area(targets[own, k], scores[own, k]) for k, own in enumerate(known.T)])


def micro_average_precision(targets: Flags, scores: npt.NDArray[Any], known: Flags | None = None) -> float:
    """The average precision of all annotated pairs of clip and class together, in which scores of several classes
    compete; NaN where none is present or none absent."""
    targets, scores, known = checked(targets, scores, known)
    return _area(targets[known], scores[known])


def roc_auc(targets: Flags, scores: npt.NDArray[Any], known: Flags | None = None) -> Array:
    """The area under the ROC curve of each class `[K]`: the share of pairs of a clip with the class and one without
    that are in the right order, ties counted half."""
    targets, scores, known = checked(targets, scores, known)
    return np.array([auc(targets[own, k], scores[own, k]) for k, own in enumerate(known.T)])


def lwlrap(targets: Flags, scores: npt.NDArray[Any], known: Flags | None = None) -> tuple[Array, float]:
    """The label-weighted label-ranking average precision of each class `[K]`, and of all labels.

    For each label of a clip: the share of the clip's labels among the classes that score at least as high. The figure
    is the mean over labels, so a clip counts once for each label. Classes that were not annotated for a clip are not in
    its ranking. NaN where there is no label; a class that is absent nowhere has a figure here. Source: Howard and
    Fonseca, in Fonseca et al. (2019, https://arxiv.org/abs/1906.02975). Their code ranks equal scores by class number;
    here each counts as ranked behind the others, as in scikit-learn's `label_ranking_average_precision_score`.
    """
    targets, scores, known = checked(targets, scores, known)
    classes = targets.shape[1]
    shown = np.where(known, scores, -np.inf)
    order = np.argsort(-shown, axis=1, kind="stable")
    ranked, hits = np.take_along_axis(shown, order, axis=1), np.take_along_axis(targets, order, axis=1)
    ends = np.full(ranked.shape, classes - 1)
    ends[:, :-1] = np.where(ranked[:, :-1] != ranked[:, 1:], np.arange(classes - 1), classes - 1)
    last = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]  # the last place of equal scores
    precision = (np.take_along_axis(np.cumsum(hits, axis=1), last, axis=1) / (last + 1))[hits]
    if not len(precision):
        return np.full(classes, np.nan), float("nan")
    labels = np.bincount(order[hits], minlength=classes)
    with np.errstate(invalid="ignore"):
        by_class = np.bincount(order[hits], precision, minlength=classes) / labels
    return by_class, float(precision.mean())


@dataclass(frozen=True)
class Rates:
    """Decisions at a threshold of each class: counts of hits, false alarms and misses, precision, recall and F1, `[K]`.

    Precision is 0 where a class is never decided. Precision, recall and F1 are NaN, the counts are not, for a class
    that is present or absent nowhere. `macro` is the mean over the other classes (NaN without any), `micro` is of the
    counts of all classes.
    """

    thresholds: Array
    hits: Counts
    false: Counts
    missed: Counts
    precision: Array
    recall: Array
    f1: Array

    @property
    def macro(self) -> dict[str, float]:
        """The macro means of precision, recall and F1."""
        return {"precision": _mean(self.precision), "recall": _mean(self.recall), "f1": _mean(self.f1)}

    @property
    def micro(self) -> dict[str, float]:
        """Precision, recall and F1 of the counts of all classes together; 0 where undefined."""
        hits, false, missed = (np.array(counts.sum()) for counts in (self.hits, self.false, self.missed))
        return {name: float(rate) for name, rate in rates(hits, hits + missed, hits + false).items()}


def rates_at(targets: Flags, scores: npt.NDArray[Any], thresholds: float | Array, known: Flags | None = None) -> Rates:
    """The decisions at one threshold, at one for each class `[K]`, or at one for each clip and class `[N, K]` where
    several classifiers scored the clips; a score that equals its threshold reaches it."""
    targets, scores, known = checked(targets, scores, known)
    given = np.asarray(thresholds, dtype=np.float64)
    if given.shape not in ((), targets.shape[1:], targets.shape) or np.isnan(given).any():
        raise MetricsError(
            f"thresholds of shape {given.shape} for {targets.shape[1]} classes: give one number, or one for each class."
        )
    decided = (scores >= given) & known
    hits, false = (decided & targets).sum(axis=0), (decided & ~targets).sum(axis=0)
    found, support = presence(targets, known), targets.sum(axis=0)
    shares = {
        name: np.where(found.two_sided, rate, np.nan) for name, rate in rates(hits, support, hits + false).items()
    }
    by_class = given if given.ndim == 2 else np.broadcast_to(given, targets.shape[1:]).copy()
    return Rates(by_class, hits, false, support - hits, **shares)


@dataclass(frozen=True)
class Curve:
    """Precision and recall of one class at falling thresholds, `[P]` each; recall rises to 1.

    Empty for a class that is present or absent nowhere.
    """

    precision: Array
    recall: Array
    thresholds: Array


def precision_recall_curves(
    targets: Flags, scores: npt.NDArray[Any], known: Flags | None = None, points: int = 200
) -> tuple[Curve, ...]:
    """The curve of each class, with at most `points` of its points (two at least).

    The first and the last point are kept, and between them those that are spread evenly along the line that a plot
    shows. Every point is one of the full curve: nothing is interpolated.
    """
    targets, scores, known = checked(targets, scores, known)
    if points < 2:
        raise MetricsError(f"{points} points are no curve. Ask for two at least.")
    found, empty = [], np.zeros(0)
    for k, both in enumerate(presence(targets, known).two_sided):
        if not both:
            found.append(Curve(empty, empty, empty))
            continue
        precision, recall, thresholds = _curve(targets[known[:, k], k], scores[known[:, k], k])
        keep = _spread(precision, recall, points)
        found.append(Curve(precision[keep], recall[keep], thresholds[keep]))
    return tuple(found)


@dataclass(frozen=True)
class Evaluation:
    """All figures of one set of predictions.

    `figures` has each of `METRICS`, None where it is undefined. `per_class` has arrays `[K]`: `average_precision`,
    `roc_auc`, `lwlrap`, `precision`, `recall` and `f1`. `presence` names the classes that macro means leave out.
    """

    figures: Mapping[str, float | None]
    per_class: Mapping[str, Array]
    presence: Presence

    @property
    def left_out(self) -> tuple[int, ...]:
        """The numbers of the classes that macro means leave out, as they are present or absent nowhere."""
        return tuple(np.flatnonzero(~self.presence.two_sided).tolist())


def evaluate(
    targets: Flags, scores: npt.NDArray[Any], thresholds: float | Array = 0.5, known: Flags | None = None
) -> Evaluation:
    """All figures; F1, precision and recall are at `thresholds`, as `rates_at` takes them."""
    targets, scores, known = checked(targets, scores, known)
    decisions = rates_at(targets, scores, thresholds, known)
    precisions, areas = average_precision(targets, scores, known), roc_auc(targets, scores, known)
    by_class, over_labels = lwlrap(targets, scores, known)
    figures = {
        "macro_map": _mean(precisions), "micro_map": micro_average_precision(targets, scores, known),
        "lwlrap": over_labels, "roc_auc": _mean(areas),
        **{f"macro_{name}": value for name, value in decisions.macro.items()},
        **{f"micro_{name}": value for name, value in decisions.micro.items()},
    }  # fmt: skip
    per_class = {
        "average_precision": precisions, "roc_auc": areas, "lwlrap": by_class,
        "precision": decisions.precision, "recall": decisions.recall, "f1": decisions.f1,
    }  # fmt: skip
    ordered = {name: figures[name] if np.isfinite(figures[name]) else None for name in METRICS}
    return Evaluation(ordered, per_class, presence(targets, known))


def _curve(hits: Flags, scores: Array) -> tuple[Array, Array, Array]:
    """Precision, recall and threshold at each distinct score, from the highest down; `hits` holds one at least."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    true = np.cumsum(hits[order])[last]
    return true / (last + 1), true / true[-1], scores[order][last]


def _area(hits: Flags, scores: Array) -> float:
    if not hits.any() or hits.all():
        return float("nan")
    precision, recall, _ = _curve(hits, scores)
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def _spread(precision: Array, recall: Array, points: int) -> npt.NDArray[np.intp]:
    """The numbers of at most `points` points, evenly along the line through all of them."""
    if len(recall) <= points:
        return np.arange(len(recall))
    along = np.append(0.0, np.cumsum(np.hypot(np.diff(recall), np.diff(precision))))
    places = np.searchsorted(along, np.linspace(0, along[-1], points)[:-1])
    return np.unique(np.append(places, len(recall) - 1))


def _mean(values: Array) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
