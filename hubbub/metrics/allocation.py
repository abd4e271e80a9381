"""How many more random labels an estimate needs, and in which strata: pure functions over arrays.

Labels are added in small batches, each in the stratum where it narrows the interval most. For a prevalence this comes
to Neyman's allocation, sizes times standard deviations (Cochran 1977, Sampling Techniques, 5.5). But a stratum where
nothing was found gets labels too: its standard deviation would be 0, while its interval is wide.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hubbub.metrics.classification import MetricsError
from hubbub.metrics.strata import Estimate, Strata

__all__ = ["Plan", "half_width", "more_labels"]

HALF_WIDTH = 0.05
#: A batch of labels, as a share of those that there are: so the plan is at most 10 % too long.
_BATCH = 0.1


@dataclass(frozen=True)
class Plan:
    """Random labels to add in each stratum, `more` `[H]`, and the half width that the interval then has."""

    more: npt.NDArray[np.int64]
    half_width: float

    @property
    def total(self) -> int:
        """The number of labels to add."""
        return int(self.more.sum())


def half_width(estimate: Estimate) -> npt.NDArray[np.float64]:
    """Half of the distance between the ends of each interval."""
    return (estimate.high - estimate.low) / 2


def more_labels(strata: Strata, figure: Callable[[Strata], Estimate], wanted: float = HALF_WIDTH) -> Plan | None:
    """The labels to add until the interval of `figure` has the half width `wanted`; a plan of 0 labels if it has it.

    `figure` is `prevalence`, or `lambda s: recall(s, first)`. It is a forecast: each stratum keeps the share of
    positives that was seen so far, so plan again as labels come in. A stratum without a label first gets one, which is
    forecast to be no positive. None where even labels of everything do not give an interval, as a recall without a
    positive. Raises `MetricsError`.
    """
    if strata.sizes.ndim != 1 or not wanted > 0:
        raise MetricsError(f"sizes of shape {strata.sizes.shape} and half width {wanted}: give one archive, above 0.")
    share = np.divide(strata.positives, strata.labelled, out=np.zeros_like(strata.sizes), where=strata.labelled > 0)
    more = np.zeros_like(strata.sizes)
    width = float(half_width(figure(strata)))
    if not width <= wanted:
        more = np.where(strata.labelled > 0, 0, np.minimum(strata.sizes, 1))
        width = float(half_width(figure(_after(strata, share, more))))
    while not width <= wanted:
        added = _candidates(strata, more)
        if not added.any():
            return None
        widths = half_width(figure(_after(strata, share, more + added)))
        best = int(np.argmin(np.where(added.any(axis=1), widths, np.inf)))
        more, width = more + added[best], float(widths[best])
    return Plan(np.ceil(more - 1e-9).astype(np.int64), width)


def _candidates(strata: Strata, more: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A batch of labels `[H, H]` in each stratum alone, or as many as it has left."""
    left = np.maximum(strata.sizes - strata.labelled - more, 0)
    batch = max(1.0, np.floor(_BATCH * (strata.labelled.sum() + more.sum())))
    return np.diag(np.minimum(left, batch))


def _after(strata: Strata, share: npt.NDArray[np.float64], more: npt.NDArray[np.float64]) -> Strata:
    """The strata with `more` labels `[..., H]`, of which the share seen so far is positive."""
    whole = np.broadcast_to(strata.sizes, more.shape)
    return Strata(whole, strata.labelled + more, strata.positives + share * more)
