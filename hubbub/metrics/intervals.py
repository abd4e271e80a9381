"""95 % intervals of figures over clips of which several come from one source recording: pure functions over arrays.

Shares (accuracy, balanced accuracy, macro-F1, top-3 accuracy) have an exact binomial interval in its mid-p form
(Lancaster 1961, https://doi.org/10.1080/01621459.1961.10482105) on the effective number of clips: the number of
independent clips that would give the same variance (Kish 1965, Survey sampling). The correlation of right and wrong
within a recording determines it. As that is an estimate, Student's t for the number of recordings widens its part
(after Korn & Graubard 1998, Confidence intervals for proportions with small expected number of positive counts, Survey
Methodology 24). If few recordings hold mistakes, the correlation is hardly known: the estimate is drawn towards 1. If
all clips are right, it is 1.

Macro-F1 is a weighted share too (`f1_weights`), but the weights are drawn with the clips: with few recordings a class
it is too low on average (`f1_bias`). So the upper end is that of the figure without this bias.

AUC and log loss are no shares of independent decisions and have no interval: a bootstrap of recordings is too narrow
for few of them, and for an AUC near 1. `benchmarks/intervals.py` measures the coverage.
"""

import numpy as np
import numpy.typing as npt
from scipy import special

from hubbub.metrics.classification import METRICS, TOP, MetricsError, in_top, validate

__all__ = ["METHOD", "effective_number", "exact_interval", "f1_bias", "f1_weights", "intervals", "share_interval"]

Array = npt.NDArray[np.float64]
Classes = npt.NDArray[np.int64]
Groups = npt.NDArray[np.intp]
#: The name of this method in stored results. Those of earlier versions are called "mid-p", with another interval of
#: macro-F1, or are percentile bootstraps, without a name.
METHOD = "mid-p 2"
#: Weight of the assumption that a recording's clips are right or wrong together, in recordings with the rarer outcome.
CAUTION = 1.0
#: The normal quantile of a 95 % interval.
_NORMAL = 1.959963984540054
_TAIL = 0.025
_ROUNDING = 1e-12


def intervals(
    targets: npt.NDArray[np.int64], scores: npt.NDArray[np.floating], groups: npt.ArrayLike
) -> dict[str, tuple[float, float] | None]:
    """The 95 % interval of each of `METRICS`; None where there is none, as for a single recording.

    `groups` `[N]` names each row's source recording. Rows of several seeds are clips of the same recording. Raises
    `MetricsError`.
    """
    validate(targets, scores)
    _, codes = np.unique(np.asarray(groups), return_inverse=True)
    if codes.shape != targets.shape:
        raise MetricsError(f"{codes.size} groups for {len(targets)} predictions: give each its source recording.")
    decided = scores.argmax(axis=1)
    right, by_class = decided == targets, 1 / np.bincount(targets)[targets] / len(np.unique(targets))
    found: dict[str, tuple[float, float] | None] = dict.fromkeys(METRICS)
    found["accuracy"] = share_interval(right, codes)
    found["balanced_accuracy"] = share_interval(right, codes, by_class)
    found["macro_f1"] = share_interval(
        right, codes, f1_weights(targets, decided), bias=f1_bias(targets, decided, codes)
    )
    if scores.shape[1] > TOP:
        found["top3"] = share_interval(in_top(targets, scores), codes)
    return found


def share_interval(
    outcome: npt.NDArray[np.bool_], groups: npt.ArrayLike, weights: Array | None = None, bias: float = 0.0
) -> tuple[float, float] | None:
    """The 95 % interval of the weighted share of `outcome` `[N]` in recordings `groups`; None for one recording.

    `weights` sum to one and are equal by default. `bias` is the bias of the share: where it is negative, the upper end
    is that of the share without it.
    """
    codes = np.unique(np.asarray(groups), return_inverse=True)[1]
    if codes.max() == 0:
        return None
    if weights is None:
        weights = np.full(len(outcome), 1 / len(outcome))
    share, number = float(weights @ outcome), effective_number(outcome, weights, codes)
    without_bias = min(share + max(0.0, -bias), 1.0)
    return exact_interval(share, number)[0], exact_interval(without_bias, number)[1]


def f1_weights(targets: Classes, decided: Classes) -> Array:
    """The weights `[N]`, of sum one, with which the share of right decisions is the macro-F1.

    F1 of class k is 2 hits / size, where its size is the number of clips of it and of decisions for it. So a clip has
    the mean of 1 / size of its class and of the class decided for, times 2 / number of classes.
    """
    sizes = np.bincount(targets, minlength=decided.max() + 1) + np.bincount(decided, minlength=targets.max() + 1)
    return (1 / sizes[targets] + 1 / sizes[decided]) / np.count_nonzero(sizes)


def f1_bias(targets: Classes, decided: Classes, groups: Groups) -> float:
    """The expected macro-F1 of such clips minus that of endlessly many, to second order; mostly negative.

    F1 is a ratio of two sums over recordings, x / y, whose bias is -cov(x - F1 y, y) / y^2 (Cochran 1977, Sampling
    techniques, 6.8). The covariance is that within each class, as the number of recordings of a class is given. A
    recording with several classes counts as one for each; a class with one recording adds nothing.
    """
    classes = max(targets.max(), decided.max()) + 1
    units, unit = np.unique(np.stack([targets, groups]), axis=1, return_inverse=True)
    pairs, place = np.unique(np.concatenate([unit * classes + targets, unit * classes + decided]), return_inverse=True)
    own, other = units[0][pairs // classes], pairs % classes
    y, x = np.bincount(place), np.bincount(place, np.tile(targets == decided, 2))
    sizes = np.bincount(other, y, classes)
    rest = x - (np.bincount(other, x, classes) / np.maximum(sizes, 1))[other] * y
    cells, cell = np.unique(own * classes + other, return_inverse=True)
    count = np.bincount(units[0])[cells // classes]
    within = np.bincount(cell, rest * y) - np.bincount(cell, rest) * np.bincount(cell, y) / count
    covariance = np.where(count > 1, count / np.maximum(count - 1, 1), 0) * within
    return -float((covariance / sizes[cells % classes] ** 2).sum() / np.count_nonzero(sizes))


def effective_number(outcome: npt.NDArray[np.bool_], weights: Array, groups: Groups) -> float:
    """The number of independent clips whose weighted share of `outcome` varies as much as that of these clips `[N]`.

    `weights` sum to one; `groups` are recordings as numbers 0 .. G - 1, at least two. Two clips of a recording
    correlate by `rho`: the variance is that of single clips where it is 0, that of whole recordings where it is 1.
    """
    sizes, hits = np.bincount(groups), np.bincount(groups, outcome)
    share, pairs = outcome.mean(), (sizes * (sizes - 1)).sum()
    rho = 1.0
    if pairs and 0 < share < 1:
        products = (hits - share * sizes) ** 2 - hits * (1 - share) ** 2 - (sizes - hits) * share**2
        rho = float(np.clip(products.sum() / pairs / (share * (1 - share)), 0, 1))
    rarer = min((hits > 0).sum(), (hits < sizes).sum())
    rho = float((rarer * rho + CAUTION) / (rarer + CAUTION))
    alone, together = (weights**2).sum(), (np.bincount(groups, weights) ** 2).sum()
    student = special.stdtrit(len(sizes) - 1, 1 - _TAIL)
    return float(1 / (alone + rho * (student / _NORMAL) ** 2 * (together - alone)))


def exact_interval(share: float, number: float) -> tuple[float, float]:
    """The mid-p binomial interval of a share of `number` independent clips, which need not be a whole number."""
    return _lowest(share, number), 1 - _lowest(1 - share, number)


def _lowest(share: float, number: float) -> float:
    """The true share with which as many hits or more have a mid-p probability of 2.5 %."""
    from scipy import optimize  # slow to import

    hits, others = share * number, (1 - share) * number
    if share <= _ROUNDING:
        return 0.0

    def excess(true: float) -> float:
        more = special.betainc(hits + 1, others, true) if others > _ROUNDING else 0.0
        return float((special.betainc(hits, others + 1, true) + more) / 2 - _TAIL)

    return float(optimize.brentq(excess, 0, 1))
