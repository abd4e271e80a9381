"""How well found events agree with true ones, segment by segment and event by event.

The definitions are those of Mesaros, Heittola and Virtanen (2016, https://doi.org/10.3390/app6060162), as their toolbox
sed_eval computes them: counts are summed over recordings before precision, recall and F1 are taken of them. Pure
functions; this room does not know how events are found.
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
#: How far an onset may be off; an offset may be as much, or this share of the true event's length.
COLLAR_S, LENGTH_SHARE = 0.2, 0.2
#: The grid of the segment-based figures.
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
        """Of what was found, the share that is true; 0 where nothing was found."""
        return _share(self.hits.sum(), (self.hits + self.false).sum())

    @property
    def recall(self) -> float:
        """Of what is true, the share that was found; 0 where nothing is."""
        return _share(self.hits.sum(), (self.hits + self.missed).sum())

    @property
    def f1(self) -> float:
        """F1 of all classes' counts together."""
        return _share(2 * self.hits.sum(), (2 * self.hits + self.false + self.missed).sum())

    @property
    def by_class(self) -> dict[str, float]:
        """F1 of each class that occurs in the truth or was found."""
        rows = zip(self.labels, self.hits, 2 * self.hits + self.false + self.missed, strict=True)
        return {label: _share(2 * hits, total) for label, hits, total in rows if total}

    @property
    def macro_f1(self) -> float:
        """The mean of `by_class`; 0 where there is none."""
        return float(np.mean(list(self.by_class.values()) or [0.0]))


def segment_based(
    true: Sequence[Events], found: Sequence[Events], labels: Sequence[str], resolution_s: float = RESOLUTION_S
) -> Counts:
    """The events of each recording, true and found -> counts of cells of `resolution_s`.

    A class is active in each cell that one of its events touches.
    """

    def count(here: Events, there: Events) -> tuple[int, int, int]:
        a, b = _cells(here, resolution_s), _cells(there, resolution_s)
        return len(a & b), len(b - a), len(a - b)

    return _counted(true, found, labels, count)


def event_based(
    true: Sequence[Events],
    found: Sequence[Events],
    labels: Sequence[str],
    collar_s: float = COLLAR_S,
    length_share: float = LENGTH_SHARE,
) -> Counts:
    """The events of each recording, true and found -> counts of events.

    A hit is a pair of one class whose onsets are at most `collar_s` apart, and whose offsets at most that or
    `length_share` of the true event's length, whichever is more. Each event is in one pair at most; as many pairs are
    made as can be.
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

    return _counted(true, found, labels, count)


def _counted(
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


def _cells(events: Events, resolution_s: float) -> set[int]:
    """The numbers of the cells that events touch."""
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
