"""Classification metrics of probabilities against targets: pure functions over arrays.

Conventions: `scores` is `[N, K]`, rows sum to one; `targets` is `[N]`, class numbers. All metrics are fractions. F1,
precision and recall are over the classes that occur in targets or decisions, as scikit-learn does by default; AUC is
one class against the rest, averaged over the classes with examples on both sides. Equal scores rank in class order,
as in the decision. The bootstrap weights each row by how often its group is drawn, so that all replicates are computed
in one pass.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from hubbub.errors import HubbubError

__all__ = [
    "METRICS",
    "Calibration",
    "MetricsError",
    "aggregate",
    "bootstrap",
    "calibration",
    "confusion",
    "detection",
    "evaluate",
    "macro_roc_curve",
    "per_class",
    "roc_auc",
    "roc_curve",
]

Array = npt.NDArray[np.float64]
Targets = npt.NDArray[np.int64]
Groups = npt.NDArray[np.intp]
METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "top3", "roc_auc", "log_loss")
TOP = 3
#: The share of known clips that must pass the open-set threshold.
KNOWN_SHARE = 0.95
SMALLEST = float(np.finfo(np.float64).eps)
_CHUNK = 10_000_000


class MetricsError(HubbubError):
    """Scores that cannot be evaluated."""


def validate(targets: Targets, scores: npt.NDArray[Any]) -> None:
    """Raise `MetricsError` for empty, misshapen or non-finite input."""
    if targets.ndim != 1 or scores.ndim != 2 or len(targets) != len(scores):
        raise MetricsError(
            f"targets of shape {targets.shape} and scores of shape {scores.shape}: give [N] and [N, classes]."
        )
    if not len(targets):
        raise MetricsError("there is nothing to score: no predictions were given.")
    if not np.isfinite(scores).all():
        raise MetricsError(f"{int((~np.isfinite(scores)).any(axis=1).sum())} predictions are not finite numbers.")
    if targets.min() < 0 or targets.max() >= scores.shape[1]:
        raise MetricsError(
            f"targets reach from {targets.min()} to {targets.max()}; there are {scores.shape[1]} classes."
        )


def confusion(targets: Targets, scores: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """The confusion matrix `[K, K]`: rows are targets, columns decisions."""
    classes = scores.shape[1]
    cells = np.bincount(targets * classes + scores.argmax(axis=1), minlength=classes**2)
    return cells.reshape(classes, classes)


def _rates(hits: Array, support: Array, decided: Array) -> dict[str, Array]:
    """Precision, recall and F1 from counts of the same shape; 0 where undefined."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "precision": np.where(decided > 0, hits / decided, 0.0),
            "recall": np.where(support > 0, hits / support, 0.0),
            "f1": np.where(support + decided > 0, 2 * hits / (support + decided), 0.0),
        }


def per_class(targets: Targets, scores: npt.NDArray[Any]) -> dict[str, Array]:
    """Precision, recall, F1, support and AUC (NaN where undefined) of each class, `[K]`."""
    validate(targets, scores)
    matrix = confusion(targets, scores)
    support = matrix.sum(axis=1)
    table = _rates(np.diagonal(matrix), support, matrix.sum(axis=0)) | {"support": support}
    areas = [_auc(targets == k, scores[:, k], *_point_estimate(targets))[0] for k in range(scores.shape[1])]
    return table | {"roc_auc": np.array(areas)}


def roc_curve(hits: npt.NDArray[np.bool_], scores: npt.NDArray[Any]) -> tuple[Array, Array]:
    """False and true positive rates as the threshold falls through `scores`; both start at 0 and end at 1."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    true, false = np.cumsum(hits[order])[last], np.cumsum(~hits[order])[last]
    return np.append(0, false / max(false[-1], 1)), np.append(0, true / max(true[-1], 1))


def macro_roc_curve(targets: Targets, scores: npt.NDArray[Any], points: int = 1001) -> tuple[Array, Array]:
    """The mean of the classes' ROC curves at `points` false positive rates; classes without an AUC are left out.

    NaN throughout where no class has examples on both sides.
    """
    false = np.linspace(0, 1, points)
    curves = [roc_curve(targets == k, scores[:, k]) for k in np.unique(targets) if (targets != k).any()]
    if not curves:
        return false, np.full(points, np.nan)
    mean = np.mean([np.interp(false, *curve) for curve in curves], axis=0)
    return np.append(0, false), np.append(0, mean)


def detection(known: npt.NDArray[Any], unknown: npt.NDArray[Any]) -> dict[str, float]:
    """How well a score, higher for known clips, separates `known` `[N]` from `unknown` `[M]`.

    `auroc` is the share of pairs in the right order, ties counted half; `fpr95` the share of the unknown that reaches
    the highest threshold that 95 % of the known reach (Hendrycks & Gimpel 2017, https://arxiv.org/abs/1610.02136).
    """
    if not len(known) or not len(unknown):
        raise MetricsError(f"{len(known)} known and {len(unknown)} unknown: there must be some of both.")
    hits, scores = np.arange(len(known) + len(unknown)) < len(known), np.append(known, unknown)
    false, true = roc_curve(hits, scores)
    rows = _point_estimate(np.zeros(len(scores), dtype=np.int64))
    return {"auroc": float(_auc(hits, scores, *rows)[0]), "fpr95": float(false[np.argmax(true >= KNOWN_SHARE)])}


@dataclass(frozen=True)
class Calibration:
    """Confidence and accuracy of the decisions, in equal bins of confidence.

    `confidence` and `accuracy` are means in each bin `[B]`, NaN where `count` is 0; `error` is the expected calibration
    error, the mean distance of the two over all decisions (Guo et al. 2017, https://arxiv.org/abs/1706.04599).
    """

    confidence: Array
    accuracy: Array
    count: npt.NDArray[np.int64]
    error: float


def calibration(targets: Targets, scores: npt.NDArray[Any], bins: int = 15) -> Calibration:
    """The calibration of the decisions; bin b holds confidences in (b / bins, (b + 1) / bins]."""
    validate(targets, scores)
    confidences = scores.max(axis=1).astype(float)
    right = scores.argmax(axis=1) == targets
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, confidences, side="left") - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        confidence = np.bincount(place, confidences, minlength=bins) / count
        accuracy = np.bincount(place, right, minlength=bins) / count
    error = np.nansum(count * np.abs(accuracy - confidence)) / len(targets)
    return Calibration(confidence, accuracy, count, float(error))


def _point_estimate(targets: Targets) -> tuple[Groups, Array]:
    """Groups and counts of the point estimate: each row is its own group, weighted once."""
    return np.arange(len(targets)), np.ones((len(targets), 1))


def _weighted_counts(kinds: npt.NDArray[np.intp], groups: Groups, counts: Array, height: int) -> Array:
    """Weighted counts `[height, R]` of the kinds 0 .. `height` - 1; row i is of `kinds[i]`, in group `groups[i]`."""
    cells = sparse.csr_array((np.ones(len(kinds)), (kinds, groups)), shape=(height, len(counts)))
    return np.asarray(cells @ counts)


def _auc(hits: npt.NDArray[np.bool_], scores: npt.NDArray[Any], groups: Groups, counts: Array) -> Array:
    """Area under the ROC curve of each replicate `[R]`; NaN where one side is empty.

    The share of (positive, negative) pairs in the right order, ties counted half (Mann-Whitney).
    """
    levels, level = np.unique(scores[hits], return_inverse=True)
    others, theirs = scores[~hits], groups[~hits]
    # The first level at or above each negative, and the first above it: each wins half a pair.
    at_or_below = np.append(np.searchsorted(levels, others, "left"), np.searchsorted(levels, others, "right"))
    downs = np.cumsum(_weighted_counts(at_or_below, np.append(theirs, theirs), counts, len(levels) + 1) / 2, axis=0)
    ups = _weighted_counts(level, groups[hits], counts, len(levels))
    with np.errstate(invalid="ignore"):
        return np.asarray(np.einsum("lr,lr->r", ups, downs[:-1]) / (ups.sum(axis=0) * downs[-1]))


def roc_auc(targets: Targets, scores: npt.NDArray[Any]) -> float:
    """Macro one-against-rest AUC; NaN where no class has examples on both sides."""
    return float(_macro_auc(targets, scores, *_point_estimate(targets))[0])


def _macro_auc(targets: Targets, scores: npt.NDArray[Any], groups: Groups, counts: Array) -> Array:
    total, valid = np.zeros(counts.shape[1]), np.zeros(counts.shape[1])
    for k in np.unique(targets):
        area = _auc(targets == k, scores[:, k], groups, counts)
        total += np.nan_to_num(area)
        valid += np.isfinite(area)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / valid)


def _replicates(targets: Targets, scores: npt.NDArray[Any], groups: Groups, counts: Array) -> dict[str, Array]:
    """Every metric of each of R replicates, `[R]`; row i has the weight `counts[groups[i], r]` in replicate r."""
    classes = scores.shape[1]
    decided, own = scores.argmax(axis=1), scores[np.arange(len(targets)), targets].astype(float)
    right = decided == targets
    hits = _weighted_counts(targets[right], groups[right], counts, classes)
    support, decisions = (
        _weighted_counts(targets, groups, counts, classes),
        _weighted_counts(decided, groups, counts, classes),
    )
    table = _rates(hits, support, decisions)
    rows = support.sum(axis=0)
    equal_and_before = (scores == own[:, None]) & (np.arange(classes) < targets[:, None])
    within_top = ((scores > own[:, None]) | equal_and_before).sum(axis=1) < TOP
    loss = -np.log(np.clip(own, SMALLEST, 1))
    return {
        "accuracy": hits.sum(axis=0) / rows,
        "balanced_accuracy": table["recall"].sum(axis=0) / (support > 0).sum(axis=0),
        "macro_f1": table["f1"].sum(axis=0) / (support + decisions > 0).sum(axis=0),
        "top3": np.bincount(groups, within_top, len(counts)) @ counts / rows,
        "roc_auc": _macro_auc(targets, scores, groups, counts),
        "log_loss": np.bincount(groups, loss, len(counts)) @ counts / rows,
    }


def evaluate(targets: Targets, scores: npt.NDArray[Any]) -> dict[str, float | None]:
    """All of `METRICS`; None where a metric is undefined (AUC with one class)."""
    validate(targets, scores)
    values = _replicates(targets, scores, *_point_estimate(targets))
    return {name: _plain(values[name][0]) for name in METRICS}


def bootstrap(
    targets: Targets, scores: npt.NDArray[Any], groups: npt.ArrayLike, resamples: int = 1000, seed: int = 0
) -> dict[str, list[float] | None]:
    """95 % percentile bootstrap intervals of all of `METRICS`; whole groups (source recordings) are drawn.

    Clips of one recording are not independent: drawing single clips would make the intervals too narrow. None if there
    is only one group.
    """
    validate(targets, scores)
    names, codes = np.unique(np.asarray(groups), return_inverse=True)
    if codes.shape != targets.shape:
        raise MetricsError(f"{codes.size} groups for {len(targets)} predictions: give each its source recording.")
    if len(names) == 1:
        return dict.fromkeys(METRICS)
    rng = np.random.default_rng(seed)
    replicates: dict[str, list[Array]] = {name: [] for name in METRICS}
    step = max(1, _CHUNK // len(targets))
    for start in range(0, resamples, step):
        draws = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=min(step, resamples - start))
        for name, values in _replicates(targets, scores, codes, draws.T.astype(float)).items():
            replicates[name].append(values)
    intervals: dict[str, list[float] | None] = {}
    for name, parts in replicates.items():
        values = np.concatenate(parts)
        values = values[np.isfinite(values)]
        intervals[name] = [float(v) for v in np.percentile(values, [2.5, 97.5])] if len(values) else None
    return intervals


def aggregate(
    folds: Sequence[Mapping[str, Any]], pooled: Iterable[Mapping[str, Any]], intervals: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Metrics of each fold and seed (keys `fold`, `seed`) -> mean, sd, sd_seeds, pooled and ci95 of each metric.

    `sd` is over folds, after averaging the seeds of each fold; `sd_seeds` is over seeds, after averaging the folds of
    each seed. Both divide by n - 1 and are None for n = 1. `pooled` holds, for each seed, the metrics of all test
    predictions together.
    """
    pooled = list(pooled)
    result = {}
    for name in METRICS:
        values = _means(folds, name, "fold")
        result[name] = {
            "mean": _mean(values),
            "sd": _sd(values),
            "sd_seeds": _sd(_means(folds, name, "seed")),
            "pooled": _mean([p[name] for p in pooled]),
            "ci95": intervals[name],
        }
    return result


def _means(entries: Sequence[Mapping[str, Any]], name: str, key: str) -> list[float | None]:
    """The mean of a metric in each fold or seed, as `key` says."""
    return [_mean([e[name] for e in entries if e[key] == at]) for at in dict.fromkeys(e[key] for e in entries)]


def _sd(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.std(known, ddof=1)) if len(known) > 1 else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
