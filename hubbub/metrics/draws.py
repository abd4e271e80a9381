"""Strata of scores, and the counts of random draws in them: pure functions over arrays.

A random draw is valid for an estimate where it was drawn evenly within the stratum in which it is counted. After a
retraining the scores change, and with them the strata: a draw from the whole archive stays valid in any strata, without
a weight; a draw from an earlier stratum needs a weight, the inverse of the probability with which it was drawn. The
weighted share of positives is Hajek's; it counts as (sum of weights)^2 / sum of squared weights labels (Kish 1965,
Survey sampling).

The classifier must not have learnt from the draws: its scores of them would be better than those of other segments.
Keep random draws out of training, or score each by a classifier that was trained without it.
"""

import numpy as np
import numpy.typing as npt

from hubbub.metrics.classification import MetricsError
from hubbub.metrics.strata import Strata

__all__ = ["edges", "inclusion_weights", "stratum_of", "tally"]

Array = npt.NDArray[np.float64]
Int = npt.NDArray[np.intp]
STRATA = 6
#: A stratum has a quarter of the segments of the one below it: positives are at the top, and rare.
RATIO = 4
#: The least number of segments of a stratum.
SMALLEST = 50


def edges(scores: npt.ArrayLike, strata: int = STRATA, at: tuple[float, ...] = ()) -> Array:
    """The inner edges of strata of an archive's `scores` `[N]`, ascending; a score at an edge is above it.

    Each stratum has a quarter of the segments of the one below it, and at least 50. Thresholds `at` are edges too, so
    that precision and recall above them can be estimated. Equal scores are never parted, so there may be fewer strata.
    Raises `MetricsError`.
    """
    ordered = np.sort(np.asarray(scores, float).ravel())
    if strata < 1 or not len(ordered) or not np.isfinite(ordered).all():
        raise MetricsError(f"{strata} strata of {len(ordered)} scores: give one stratum or more, and finite scores.")
    shares = RATIO ** -np.arange(strata, dtype=float)
    above = (shares / shares.sum())[::-1].cumsum()[:-1] * len(ordered)
    above = above[above >= SMALLEST].round().astype(int)
    found = np.union1d(ordered[len(ordered) - above], np.asarray(at, float))
    return found[(found > ordered[0]) & (found <= ordered[-1])]


def stratum_of(scores: npt.ArrayLike, edges: Array) -> Int:
    """The stratum of each score, 0 for the lowest; there is one stratum more than `edges`."""
    return np.searchsorted(edges, np.asarray(scores, float), side="right")


def inclusion_weights(rates: npt.ArrayLike) -> Array:
    """The weights `[D]` of draws of several rounds, from the `rates` `[D, R]` of the rounds.

    A round's rate is its number of draws in a stratum of its own, divided by the segments there that had no label
    then. It is that of the stratum in which the segment was in this round, also where another round drew it: the weight
    is the inverse of the probability that any round draws it. Raises `MetricsError` where that is 0.
    """
    rates = np.asarray(rates, float)
    if rates.ndim != 2 or not ((rates >= 0) & (rates <= 1)).all():
        raise MetricsError(f"rates of shape {rates.shape}: give [draws, rounds], each between 0 and 1.")
    chance = 1 - (1 - rates).prod(axis=1)
    if (chance <= 0).any():
        raise MetricsError(f"{(chance <= 0).sum()} draws have rate 0 in every round: leave out what was not drawn.")
    return 1 / chance


def tally(sizes: npt.ArrayLike, stratum: npt.ArrayLike, positive: npt.ArrayLike, weights: npt.ArrayLike = 1) -> Strata:
    """The counts of random draws `[D]` in strata of `sizes` `[H]`; with unequal weights, effective counts.

    `stratum` is the stratum of each draw by its score now, `positive` whether it is the class. Raises `MetricsError`.
    """
    sizes, stratum = np.asarray(sizes, float), np.asarray(stratum, np.intp)
    hits = np.asarray(positive, bool)
    weight = np.broadcast_to(np.asarray(weights, float), stratum.shape)
    if hits.shape != stratum.shape or stratum.ndim != 1 or not (weight > 0).all():
        raise MetricsError(f"{stratum.shape} strata and {hits.shape} labels: give one of each a draw, weights above 0.")
    if len(stratum) and not 0 <= stratum.min() <= stratum.max() < len(sizes):
        raise MetricsError(f"a draw is in stratum {stratum.max()}, but there are {len(sizes)}: count them from 0.")
    total, squares, positives = (
        np.bincount(stratum, values, len(sizes)).astype(float) for values in (weight, weight**2, weight * hits)
    )
    seen = total > 0
    labelled = np.divide(total**2, squares, out=np.zeros_like(total), where=seen)
    share = np.divide(positives, total, out=np.zeros_like(total), where=seen)
    return Strata(sizes, labelled, share * labelled)
