"""Classification metrics of probabilities against targets: pure functions over arrays.

Conventions: `scores` is `[N, K]`, rows sum to one; `targets` is `[N]`, class numbers. All metrics are fractions. F1,
precision and recall are over the classes that occur in targets or decisions, as scikit-learn does by default; AUC is
one class against the rest, averaged over the classes with examples on both sides. Equal scores rank in class order,
as in the decision.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hubbub.errors import HubbubError

__all__ = [
    "METRICS",
    "Calibration",
    "MetricsError",
    "aggregate",
    "auc",
    "averages",
    "calibration",
    "confusion",
    "detection",
    "evaluate",
    "in_top",
    "macro_f1",
    "mean_roc_curve",
    "per_class",
    "rates",
    "roc_auc",
    "roc_curve",
]

Array = npt.NDArray[np.float64]
Targets = npt.NDArray[np.int64]
METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "top3", "roc_auc", "log_loss")
TOP = 3
#: The share of known clips that must pass the open-set threshold.
KNOWN_SHARE = 0.95
SMALLEST = float(np.finfo(np.float64).eps)


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


def rates(hits: Array, support: Array, decided: Array) -> dict[str, Array]:
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
    table = rates(np.diagonal(matrix), support, matrix.sum(axis=0)) | {"support": support}
    areas = [auc(targets == k, scores[:, k]) for k in range(scores.shape[1])]
    return table | {"roc_auc": np.array(areas)}


def averages(targets: Targets, scores: npt.NDArray[Any]) -> dict[str, dict[str, float]]:
    """The last rows of scikit-learn's `classification_report`: `accuracy`, `macro avg` and `weighted avg` of the
    columns of `per_class`, with the number of examples as support. `accuracy` has a value in the column `f1` alone.

    The macro average is over the classes that occur in targets or decisions, the weighted one by the classes' targets;
    an AUC that is undefined is left out of both.
    """
    table = per_class(targets, scores)
    support = table["support"]
    occurs = support + confusion(targets, scores).sum(axis=0) > 0
    nothing, examples = float("nan"), {"support": float(len(targets))}
    accuracy = dict.fromkeys(("precision", "recall", "roc_auc"), nothing)
    accuracy["f1"] = float((scores.argmax(axis=1) == targets).mean())
    found = {"accuracy": accuracy | examples}
    for name, weights in (("macro avg", occurs.astype(float)), ("weighted avg", support.astype(float))):
        row = {}
        for column in ("precision", "recall", "f1", "roc_auc"):
            known = np.isfinite(table[column]) & (weights > 0)
            row[column] = float(np.average(table[column][known], weights=weights[known])) if known.any() else nothing
        found[name] = row | examples
    return found


def roc_curve(hits: npt.NDArray[np.bool_], scores: npt.NDArray[Any]) -> tuple[Array, Array]:
    """False and true positive rates as the threshold falls through `scores`; both start at 0 and end at 1."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    true, false = np.cumsum(hits[order])[last], np.cumsum(~hits[order])[last]
    return np.append(0, false / max(false[-1], 1)), np.append(0, true / max(true[-1], 1))


def mean_roc_curve(curves: Sequence[tuple[Array, Array]], points: int = 1001) -> tuple[Array, Array]:
    """The mean of ROC curves at `points` false positive rates; NaN throughout where there are none."""
    false = np.linspace(0, 1, points)
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
    return {"auroc": auc(hits, scores), "fpr95": float(false[np.argmax(true >= KNOWN_SHARE)])}


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


def auc(hits: npt.NDArray[np.bool_], scores: npt.NDArray[Any]) -> float:
    """Area under the ROC curve; NaN where one side is empty.

    The share of (positive, negative) pairs in the right order, ties counted half (Mann-Whitney).
    """
    positive, negative = np.sort(scores[hits]), scores[~hits]
    if not len(positive) or not len(negative):
        return float("nan")
    not_above = np.searchsorted(positive, negative, "left") + np.searchsorted(positive, negative, "right")
    return float(1 - not_above.sum() / 2 / (len(positive) * len(negative)))


def roc_auc(targets: Targets, scores: npt.NDArray[Any]) -> float:
    """Macro one-against-rest AUC; NaN where no class has examples on both sides."""
    areas = [area for k in np.unique(targets) if np.isfinite(area := auc(targets == k, scores[:, k]))]
    return float(np.mean(areas)) if areas else float("nan")


def in_top(targets: Targets, scores: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Whether each row's target is among its `TOP` highest scores `[N]`."""
    own = scores[np.arange(len(targets)), targets].astype(float)[:, None]
    equal_and_before = (scores == own) & (np.arange(scores.shape[1]) < targets[:, None])
    return np.asarray(((scores > own) | equal_and_before).sum(axis=1) < TOP)


def macro_f1(matrix: npt.NDArray[np.int64]) -> float:
    """Macro-F1 of a confusion matrix `[K, K]`, over the classes that occur in targets or decisions."""
    either = matrix.sum(axis=1) + matrix.sum(axis=0)
    return float((2 * np.diagonal(matrix)[either > 0] / either[either > 0]).mean())


def evaluate(targets: Targets, scores: npt.NDArray[Any]) -> dict[str, float | None]:
    """All of `METRICS`; None where a metric is undefined (AUC with one class)."""
    validate(targets, scores)
    matrix = confusion(targets, scores)
    support = matrix.sum(axis=1)
    recalls = np.diagonal(matrix)[support > 0] / support[support > 0]
    own = scores[np.arange(len(targets)), targets].astype(float)
    area = roc_auc(targets, scores)
    return {
        "accuracy": float(np.diagonal(matrix).sum() / len(targets)),
        "balanced_accuracy": float(recalls.mean()),
        "macro_f1": macro_f1(matrix),
        "top3": float(in_top(targets, scores).mean()),
        "roc_auc": area if np.isfinite(area) else None,
        "log_loss": float(-np.log(np.clip(own, SMALLEST, 1)).mean()),
    }


def aggregate(
    folds: Sequence[Mapping[str, Any]],
    pooled: Iterable[Mapping[str, Any]],
    intervals: Mapping[str, Any],
    *,
    alike: bool = False,
) -> dict[str, dict[str, Any]]:
    """Metrics of each fold and seed (keys `fold`, `seed`) -> mean, sd, sd_seeds, pooled and ci95 of each metric.

    `sd` is over folds, after averaging the seeds of each fold; `sd_seeds` is over seeds, after averaging the folds of
    each seed. Both divide by n - 1 and are None for n = 1; `sd_seeds` is None also where all seeds predicted `alike`.
    `pooled` holds, for each seed, the metrics of all test predictions together. The metrics are those of `intervals`.
    """
    pooled = list(pooled)
    result = {}
    for name in intervals:
        values = _means(folds, name, "fold")
        result[name] = {
            "mean": _mean(values),
            "sd": _sd(values),
            "sd_seeds": None if alike else _sd(_means(folds, name, "seed")),
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
