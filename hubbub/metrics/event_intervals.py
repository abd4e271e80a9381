"""95 % intervals of figures of sound event detection, by a bootstrap of recordings: pure functions over arrays.

Whole recordings are drawn with replacement, because events of one recording are not independent (Efron & Tibshirani
1993, An introduction to the bootstrap). Counts of each recording are computed once; a draw only weighs them. The ends
are percentiles. With few recordings such an interval is too narrow, and that of a best F1 lies too high, since each
draw chooses its own thresholds: choose thresholds on other recordings, and give `Changes.at` to `f1_intervals`. A
figure that is not defined for a draw (no true event in it) is left out of the percentiles.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from hubbub.metrics import significance
from hubbub.metrics.classification import MetricsError
from hubbub.metrics.event_curves import Changes, best_f1
from hubbub.metrics.events import SECONDS_AN_HOUR, Array, Counts, Int, macro_f1, micro_f1, share
from hubbub.metrics.psds import Setting, psds_of

__all__ = ["RESAMPLES", "best_f1_intervals", "bootstrap", "f1_intervals", "psds_interval"]

RESAMPLES = 1000
Interval = tuple[float, float]


def bootstrap(
    figure: Callable[[Int], Array], recordings: int, resamples: int = RESAMPLES, seed: int = 0
) -> list[Interval | None]:
    """The 95 % interval of each of the figures that `figure` returns; None where there is none.

    `figure` takes how many times each recording counts, `[R, N]`, and returns figures `[R, F]`. There is no interval of
    one recording, and none of a figure that less than half of the draws define. Raises `MetricsError` for no recording.
    """
    if recordings < 1:
        raise MetricsError("there is nothing to draw: no recordings were given.")
    even = np.full(recordings, 1 / recordings)
    drawn = figure(np.random.default_rng(seed).multinomial(recordings, even, size=resamples))
    return [_interval(column) if recordings > 1 else None for column in drawn.T]


def f1_intervals(
    counts: Counts, seconds: npt.ArrayLike, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Interval | None]:
    """The intervals of `f1`, `macro_f1`, `precision`, `recall` and `false_an_hour` of counts, all classes together.

    `seconds` `[N]` is the length of each recording.
    """
    lengths = np.asarray(seconds, float)

    def figures(weights: Int) -> Array:
        totals = np.tensordot(weights, counts.each, axes=1)
        hits, false, missed = np.moveaxis(totals.sum(axis=1), -1, 0)
        rate = share(false * SECONDS_AN_HOUR, weights @ lengths)
        ratios = share(hits, hits + false), share(hits, hits + missed)
        return np.stack([micro_f1(totals), macro_f1(totals), *ratios, rate], axis=1)

    found = bootstrap(figures, len(counts.each), resamples, seed)
    return dict(zip(("f1", "macro_f1", "precision", "recall", "false_an_hour"), found, strict=True))


def best_f1_intervals(changes: Changes, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Interval | None]:
    """The interval of each class's best F1 over all thresholds."""
    found = bootstrap(
        lambda weights: np.stack([best_f1(changes, row) for row in weights]), len(changes.true), resamples, seed
    )
    return dict(zip(changes.labels, found, strict=True))


def psds_interval(changes: Changes, setting: Setting, resamples: int = RESAMPLES, seed: int = 0) -> Interval | None:
    """The interval of PSDS, from changes that were counted by the setting's criteria."""
    (found,) = bootstrap(
        lambda weights: np.array([[psds_of(changes, setting, row).value] for row in weights]),
        len(changes.true),
        resamples,
        seed,
    )
    return found


def _interval(drawn: Array) -> Interval | None:
    defined = drawn[np.isfinite(drawn)]
    if 2 * len(defined) < len(drawn):
        return None
    low, high = significance.interval(defined)
    return low, high
