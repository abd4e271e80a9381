"""Metrics of sound event detection, segment-based and event-based: pure functions.

The definitions are those of Mesaros, Heittola and Virtanen (2016, https://doi.org/10.3390/app6060162), as in their
toolbox sed_eval: counts are summed over recordings, then precision, recall and F1 are computed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

__all__ = ["COLLAR_S", "LENGTH_SHARE", "RESOLUTION_S", "Counts", "Event", "event_based", "segment_based"]


class Event(Protocol):
    """A class that is active from `start` to `end` [s]."""

    @property
    def label(self) -> str: ...

    @property
    def start(self) -> float: ...

    @property
    def end(self) -> float: ...


Events = Sequence[Event]
#: Tolerance of onsets [s]; that of offsets is the same, or this share of the true event's length if that is longer.
COLLAR_S, LENGTH_SHARE = 0.2, 0.2
#: Segment length of the segment-based metrics.
RESOLUTION_S = 1.0
_ROUNDING_S = 1e-9


@dataclass(frozen=True)
class Counts:
    """Hits, false alarms and misses of each class, `[K]`."""

    labels: tuple[str, ...]
    hits: npt.NDArray[np.int64]
    false: npt.NDArray[np.int64]
    missed: npt.NDArray[np.int64]

    @property
    def precision(self) -> float:
        """The share of found events that are true; 0 if none was found."""
        return _share(self.hits.sum(), (self.hits + self.false).sum())

    @property
    def recall(self) -> float:
        """The share of true events that were found; 0 if there is none."""
        return _share(self.hits.sum(), (self.hits + self.missed).sum())

    @property
    def f1(self) -> float:
        """F1 of the counts of all classes together (micro-average)."""
        return _share(2 * self.hits.sum(), (2 * self.hits + self.false + self.missed).sum())

    @property
    def by_class(self) -> dict[str, float]:
        """F1 of each class that occurs among true or found events."""
        rows = zip(self.labels, self.hits, 2 * self.hits + self.false + self.missed, strict=True)
        return {label: _share(2 * hits, total) for label, hits, total in rows if total}

    @property
    def macro_f1(self) -> float:
        """The mean of `by_class`; 0 if it is empty."""
        return float(np.mean(list(self.by_class.values()) or [0.0]))


def segment_based(
    true: Sequence[Events], found: Sequence[Events], labels: Sequence[str], resolution_s: float = RESOLUTION_S
) -> Counts:
    """True and found events of each recording -> counts of segments of `resolution_s`.

    A class is active in each segment that one of its events overlaps.
    """

    def count(here: Events, there: Events) -> tuple[int, int, int]:
        a, b = _segments(here, resolution_s), _segments(there, resolution_s)
        return len(a & b), len(b - a), len(a - b)

    return _count(true, found, labels, count)


def event_based(
    true: Sequence[Events],
    found: Sequence[Events],
    labels: Sequence[str],
    collar_s: float = COLLAR_S,
    length_share: float = LENGTH_SHARE,
) -> Counts:
    """True and found events of each recording -> counts of events.

    A hit is a pair of the same class whose onsets differ by at most `collar_s`, and whose offsets by at most that or
    `length_share` of the true event's length, whichever is more. Each event is in at most one pair; the number of pairs
    is the largest possible.
    """

    def count(here: Events, there: Events) -> tuple[int, int, int]:
        if not here or not there:
            return 0, len(there), len(here)
        onsets, offsets = (
            np.abs(np.subtract.outer([getattr(e, name) for e in here], [getattr(e, name) for e in there]))
            for name in ("start", "end")
        )
        lengths = np.array([event.end - event.start for event in here])[:, None]
        near = (onsets <= collar_s + _ROUNDING_S) & (
            offsets <= np.maximum(collar_s, length_share * lengths) + _ROUNDING_S
        )
        hits = int((maximum_bipartite_matching(csr_array(near), perm_type="column") >= 0).sum())
        return hits, len(there) - hits, len(here) - hits

    return _count(true, found, labels, count)


def _count(
    true: Sequence[Events],
    found: Sequence[Events],
    labels: Sequence[str],
    count: Callable[[Events, Events], tuple[int, int, int]],
) -> Counts:
    totals = np.zeros((len(labels), 3), np.int64)
    for here, there in zip(true, found, strict=True):
        for k, label in enumerate(labels):
            totals[k] += count([e for e in here if e.label == label], [e for e in there if e.label == label])
    return Counts(tuple(labels), *totals.T)


def _segments(events: Events, resolution_s: float) -> set[int]:
    """The numbers of the segments that events overlap."""
    return {
        cell
        for event in events
        for cell in range(
            int(np.floor(event.start / resolution_s + _ROUNDING_S)),
            int(np.ceil(event.end / resolution_s - _ROUNDING_S)),
        )
    }


def _share(part: int, whole: int) -> float:
    return float(part / whole) if whole else 0.0
