"""How good a classifier is on an archive without labels, from a few random ones: pure functions over arrays.

The segments of an archive are divided by their score into strata. A person labels segments that are drawn at random
within each stratum. From their counts follow the precision of each stratum and above a threshold, the prevalence (the
share of positives in the archive) and the recall above a threshold, each with a 95 % interval. Only random draws count:
labels of segments that were chosen because they are uncertain, or typical, say nothing about the rest.

The number of positives is estimated by the stratified estimator (Cochran 1977, Sampling Techniques, ch. 5), the sum of
size times share of each stratum. A stratum's share has Jeffreys' interval, which is good for shares near 0 too (Brown,
Cai & DasGupta 2001, https://doi.org/10.1214/ss/1009213286); with no positive, or with nothing else, its outer end is
the mid-p one. A stratum that is labelled in part counts as more labels, since it is finite; one that is labelled
completely is known. The distances of the ends from the estimate are joined as standard errors are, by their squares
(Zou, Huang & Zhang 2009, A note on confidence interval estimation for a linear function of binomial proportions,
Computational Statistics & Data Analysis 53). Ends of numbers are rounded outward to whole positives. The normal
approximation has no width in a large stratum without a positive; here its upper end is about 3 / labels. Recall is a
ratio: its interval has the values r at which the interval of (1 - r) positives above - r positives below holds 0, after
Fieller. Nothing is assumed about how precision depends on the score, nor about how segments of a recording agree.
`benchmarks/coverage.py` measures the coverage: 91 % or more, the least with fewer than ten labels a stratum or where
a positive is seldom found.

All arrays `[..., H]` have the stratum of the lowest scores first; leading axes are archives of their own.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from hubbub.metrics.classification import MetricsError

__all__ = ["Estimate", "Strata", "precision", "precision_above", "prevalence", "recall"]

Array = npt.NDArray[np.float64]
_TAIL = 0.025
_ROUNDING = 1e-9


class Estimate(NamedTuple):
    """A figure and the ends of its 95 % interval; `value` is nan where there is none, as with an unlabelled stratum."""

    value: Array
    low: Array
    high: Array


@dataclass(frozen=True)
class Strata:
    """Segments `sizes`, labelled ones `labelled` and positives among these `positives` of each stratum, `[..., H]`.

    Only labels of segments count that were drawn evenly within the stratum. Labels of other draws have weights:
    `hubbub.metrics.draws.tally` turns them into such counts, which need not be whole. Raises `MetricsError`.
    """

    sizes: Array
    labelled: Array
    positives: Array

    def __post_init__(self) -> None:
        arrays = [np.asarray(a, float) for a in (self.sizes, self.labelled, self.positives)]
        if arrays[0].ndim == 0 or len({a.shape for a in arrays}) > 1 or not arrays[0].size:
            shapes = ", ".join(str(a.shape) for a in arrays)
            raise MetricsError(f"sizes, labelled, positives of shapes {shapes}: give one number of each a stratum.")
        sizes, labelled, positives = arrays
        ordered = (positives >= 0) & (positives <= labelled + _ROUNDING) & (labelled <= sizes + _ROUNDING)
        if not (ordered & np.isfinite(sizes)).all():
            raise MetricsError("counts of strata must be 0 <= positives <= labelled <= size: count each segment once.")
        for name, value in zip(("sizes", "labelled", "positives"), arrays, strict=True):
            object.__setattr__(self, name, value)


def precision(strata: Strata) -> Estimate:
    """The share of positives in each stratum, `[..., H]`."""
    alone = Strata(*(a[..., None] for a in (strata.sizes, strata.labelled, strata.positives)))
    return prevalence(alone)


def precision_above(strata: Strata, first: int) -> Estimate:
    """The share of positives in the strata `first` and above together, `[...]`. Raises `MetricsError`."""
    return prevalence(_part(strata, slice(_checked(strata, first, 0), None)))


def prevalence(strata: Strata) -> Estimate:
    """The share of positives in the archive, `[...]`; times its number of segments it is the number of positives."""
    sizes = strata.sizes.sum(axis=-1)
    return Estimate(*(_ratio(count, sizes) for count in _count(strata)))


def recall(strata: Strata, first: int) -> Estimate:
    """The share of the archive's positives that is in the strata `first` and above, `[...]`.

    It is nan, and its interval 0 to 1, while no positive is known. Raises `MetricsError`.
    """
    split = _checked(strata, first, 1)
    above, below = _count(_part(strata, slice(split, None))), _count(_part(strata, slice(split)))
    least, most = _least_ratio(above, below), _least_ratio(below, above)
    with np.errstate(divide="ignore"):
        low, high = 1 / (1 + 1 / least), 1 / (1 + most)
    return Estimate(_ratio(above.value, above.value + below.value), low, high)


def _count(strata: Strata) -> Estimate:
    """The number of positives in all strata together. Its ends are whole, as the number is."""
    share, low, high = _shares(strata)
    seen, sizes = strata.labelled > 0, strata.sizes
    known = (sizes * share).sum(axis=-1)
    unseen = (sizes * ~seen).sum(axis=-1)
    down = np.sqrt((np.where(seen, sizes * (share - low), 0) ** 2).sum(axis=-1))
    up = np.sqrt((np.where(seen, sizes * (high - share), 0) ** 2).sum(axis=-1))
    return Estimate(
        np.where(unseen > 0, np.nan, known),
        np.maximum(np.floor(known - down + _ROUNDING), 0),
        np.ceil(known + up + unseen - _ROUNDING),
    )


def _shares(strata: Strata) -> tuple[Array, Array, Array]:
    """The share of positives in each stratum and the ends of its interval; 0, and 0 to 1, where nothing is labelled."""
    sizes, labelled, positives = strata.sizes, strata.labelled, strata.positives
    share = np.divide(positives, labelled, out=np.zeros_like(sizes), where=labelled > 0)
    number = _effective(sizes, labelled)
    hits, others = number * share, number * (1 - share)
    low = np.where(others > 0, special.betaincinv(hits + 0.5, others + 0.5, _TAIL), (2 * _TAIL) ** (1 / number))
    high = np.where(hits > 0, special.betaincinv(hits + 0.5, others + 0.5, 1 - _TAIL), 1 - (2 * _TAIL) ** (1 / number))
    low = np.maximum(np.where(hits > 0, low, 0), _ratio(positives, sizes, 0))
    high = np.minimum(np.where(others > 0, high, 1), 1 - _ratio(labelled - positives, sizes, 0))
    return share, np.minimum(low, share), np.where(labelled > 0, np.maximum(high, share), 1)


def _effective(sizes: Array, labelled: Array) -> Array:
    """The labels that would say as much of an endless stratum: the finite one's variance is (N - n) / (N - 1) of it."""
    left = sizes - labelled
    return np.maximum(np.divide(labelled * (sizes - 1), left, out=labelled.copy(), where=left > 0), _ROUNDING)


def _least_ratio(top: Estimate, bottom: Estimate) -> Array:
    """The lower end of the ratio of two numbers of positives; 0 where it may be 0, inf where `bottom` is surely 0.

    It is the ratio q at which top - q bottom, minus the joined distance of its ends, is 0: a quadratic equation.
    """
    a = np.where(np.isnan(top.value), top.low, top.value)
    b = np.where(np.isnan(bottom.value), bottom.low, bottom.value)
    part = top.low * (2 * a - top.low)
    root = np.sqrt(np.maximum((a * b) ** 2 - (b**2 - (bottom.high - b) ** 2) * part, 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(part > 0, part / (a * b + root), 0.0)


def _ratio(part: Array, whole: Array, empty: float = np.nan) -> Array:
    return np.divide(part, whole, out=np.full(np.shape(whole), float(empty)), where=np.asarray(whole) > 0)


def _part(strata: Strata, which: slice) -> Strata:
    return Strata(strata.sizes[..., which], strata.labelled[..., which], strata.positives[..., which])


def _checked(strata: Strata, first: int, least: int) -> int:
    number = strata.sizes.shape[-1]
    if not least <= first < number:
        raise MetricsError(f"stratum {first} of {number}: the first stratum above the threshold is {least} or higher.")
    return first
