"""Counts of sound event detection, from true and found events, by segments, collars and intersections: pure functions.

Counts are summed over recordings, then precision, recall and F1 are computed. Segments and collars are those of
Mesaros, Heittola and Virtanen (2016, https://doi.org/10.3390/app6060162), as in their toolbox sed_eval. Intersections
are those of Bilen et al. (2020, https://arxiv.org/abs/1910.08440), as in their psds_eval. Times are compared to the
microsecond, as in sed_scores_eval (Ebbers, Serizel and Haeb-Umbach 2022, https://arxiv.org/abs/2201.13148), where
sed_eval and psds_eval compare floats as they are. `event_curves.py` has the counts at every threshold.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from hubbub.metrics.classification import MetricsError

__all__ = [
    "COLLAR_S",
    "LENGTH_SHARE",
    "RESOLUTION_S",
    "Counts",
    "Criteria",
    "Event",
    "event_based",
    "intersection_based",
    "macro_f1",
    "micro_f1",
    "segment_based",
]

Array = npt.NDArray[np.float64]
Int = npt.NDArray[np.int64]
Times = tuple[Array, Array]


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
#: Times and lengths are compared with this many decimals of a second.
DECIMALS = 6
ROUNDING_S = 0.5 * 10.0**-DECIMALS
SECONDS_AN_HOUR = 3600.0


@dataclass(frozen=True)
class Criteria:
    """How much of an event must be met (Bilen et al. 2020), as shares in (0, 1].

    `dtc` (detection tolerance): the share of a found event that true events of its class cover, or it is a false alarm.
    `gtc` (ground truth intersection): the share of a true event that found events which are no false alarms cover, or
    it is missed. `cttc` (cross-trigger tolerance): the share of a false alarm that true events of another class cover,
    if it is a cross trigger of that class; None if cross triggers are not counted. The default is that of DCASE's
    intersection-based F1. Raises `MetricsError`.
    """

    dtc: float = 0.5
    gtc: float = 0.5
    cttc: float | None = None

    def __post_init__(self) -> None:
        for name, share in (("dtc", self.dtc), ("gtc", self.gtc), ("cttc", self.cttc)):
            if share is not None and not 0 < share <= 1:
                raise MetricsError(f"{name} is {share}: give a share above 0 and up to 1.")


@dataclass(frozen=True)
class Counts:
    """Hits, false alarms and misses, `each` `[N, K, 3]`, of `K` classes in `N` recordings.

    `cross` `[N, K, K]` counts cross triggers, by the found event's class and by the true one's, if they are counted;
    they are false alarms too. Intersections count hits and misses in true events, and false alarms in found ones.
    """

    labels: tuple[str, ...]
    each: Int
    cross: Int | None = None

    @property
    def totals(self) -> Int:
        """Hits, false alarms and misses of each class in all recordings together, `[K, 3]`."""
        return self.each.sum(axis=0)

    @property
    def hits(self) -> Int:
        """Hits of each class, `[K]`."""
        return self.totals[:, 0]

    @property
    def false(self) -> Int:
        """False alarms of each class, `[K]`."""
        return self.totals[:, 1]

    @property
    def missed(self) -> Int:
        """Misses of each class, `[K]`."""
        return self.totals[:, 2]

    @property
    def precision(self) -> float:
        """The share of found events that are true; 0 if none was found."""
        return float(share(self.hits.sum(), (self.hits + self.false).sum()))

    @property
    def recall(self) -> float:
        """The share of true events that were found; 0 if there is none."""
        return float(share(self.hits.sum(), (self.hits + self.missed).sum()))

    @property
    def f1(self) -> float:
        """F1 of the counts of all classes together (micro-average)."""
        return float(micro_f1(self.totals))

    @property
    def by_class(self) -> dict[str, float]:
        """F1 of each class that occurs among true or found events."""
        values = _f1(self.totals)
        return {
            label: float(f1) for label, f1, counts in zip(self.labels, values, self.totals, strict=True) if counts.any()
        }

    @property
    def macro_f1(self) -> float:
        """The mean of `by_class`; 0 if it is empty."""
        return float(macro_f1(self.totals))

    def false_an_hour(self, seconds: float) -> Array:
        """False alarms of each class an hour, `[K]`, in recordings of `seconds` together.

        Raises `MetricsError` if there is no time.
        """
        return an_hour(self.false, seconds)


def micro_f1(totals: Int) -> Array:
    """F1 of all classes' counts together: `[..., K, 3]` -> `[...]`; 0 if there are none."""
    return _f1(totals.sum(axis=-2))


def macro_f1(totals: Int) -> Array:
    """The mean F1 of the classes that have counts: `[..., K, 3]` -> `[...]`; 0 if there are none."""
    return share(_f1(totals).sum(axis=-1), totals.any(axis=-1).sum(axis=-1))


def segment_based(
    true: Sequence[Events], found: Sequence[Events], labels: Sequence[str], resolution_s: float = RESOLUTION_S
) -> Counts:
    """True and found events of each recording -> counts of segments of `resolution_s`.

    A class is active in each segment that one of its events overlaps, however little: onsets are rounded down to whole
    segments and offsets up, as in sed_eval. A recording has as many segments as its events need, as in sed_eval, and as
    in sed_scores_eval where no durations are given.
    """

    def count(here: Events, there: Events) -> tuple[int, int, int]:
        a, b = active_segments(here, resolution_s), active_segments(there, resolution_s)
        return len(a & b), len(b - a), len(a - b)

    each = [
        [count(_of(here, label), _of(there, label)) for label in labels]
        for here, there in zip(true, found, strict=True)
    ]
    return _counts(labels, each)


def event_based(
    true: Sequence[Events],
    found: Sequence[Events],
    labels: Sequence[str],
    collar_s: float = COLLAR_S,
    length_share: float = LENGTH_SHARE,
) -> Counts:
    """True and found events of each recording -> counts of events, collar-based.

    A hit is a pair of the same class whose onsets differ by at most `collar_s`, and whose offsets by at most that or
    `length_share` of the true event's length, whichever is more (infinity: ends may be anywhere). Each event is in at
    most one pair; the number of pairs is the largest possible, as in sed_scores_eval and by default in sed_eval (its
    "greedy" matching may find fewer). Every event counts, also one that overlaps another of its class.
    """

    def count(here: Events, there: Events) -> tuple[int, int, int]:
        if not here or not there:
            return 0, len(there), len(here)
        (starts, ends), (onsets, offsets) = times(here), times(there)
        near = within_collars((starts[:, None], ends[:, None]), (onsets, offsets), collar_s, length_share)
        hits = most_pairs(near)
        return hits, len(there) - hits, len(here) - hits

    each = [
        [count(_of(here, label), _of(there, label)) for label in labels]
        for here, there in zip(true, found, strict=True)
    ]
    return _counts(labels, each)


def intersection_based(
    true: Sequence[Events], found: Sequence[Events], labels: Sequence[str], criteria: Criteria | None = None
) -> Counts:
    """True and found events of each recording -> counts by `criteria`, and cross triggers if these ask for them.

    Hits are true events that meet `gtc`, misses the others; false alarms are found events that do not meet `dtc`. So
    one found event may be the hit of several true ones. Events of a class that overlap are joined first, among true
    and among found ones, and events without length are left out: psds_eval refuses the former and drops the latter
    too. Events that only touch stay two, as in psds_eval (sed_scores_eval refuses them).
    """
    criteria = criteria or Criteria()
    classes = range(len(labels))
    each = np.zeros((len(true), len(labels), 3), np.int64)
    cross = np.zeros((len(true), len(labels), len(labels)), np.int64)
    for n, (here, there) in enumerate(zip(true, found, strict=True)):
        truth, answers = ([joined(*times(_of(events, label))) for label in labels] for events in (here, there))
        for k, answer in enumerate(answers):
            lengths = answer[1] - answer[0]
            common = [_overlaps(answer, truth[other]) for other in classes]
            relevant = meets(common[k].sum(axis=1), criteria.dtc, lengths)
            covered = common[k][relevant].sum(axis=0)
            hits = int(meets(covered, criteria.gtc, truth[k][1] - truth[k][0]).sum())
            each[n, k] = hits, (~relevant).sum(), len(covered) - hits
            if criteria.cttc is not None:
                rest = [meets(part[~relevant].sum(axis=1), criteria.cttc, lengths[~relevant]) for part in common]
                cross[n, k] = [row.sum() * (other != k) for other, row in enumerate(rest)]
    return Counts(tuple(labels), each, None if criteria.cttc is None else cross)


def times(events: Events) -> Times:
    """Onsets and offsets of events [s]."""
    return np.array([e.start for e in events], float), np.array([e.end for e in events], float)


def joined(starts: Array, ends: Array) -> Times:
    """The same events by onset, those that overlap as one, without those of no length."""
    order = np.argsort(starts, kind="stable")
    order = order[ends[order] > starts[order]]
    if not len(order):
        return np.empty(0), np.empty(0)
    starts, ends = starts[order], ends[order]
    firsts = np.flatnonzero(np.append(True, starts[1:] >= np.maximum.accumulate(ends)[:-1]))
    return starts[firsts], np.maximum.reduceat(ends, firsts)


def meets(covered: Array, least: float, lengths: Array) -> npt.NDArray[np.bool_]:
    """Is at least the share `least` of `lengths` [s] covered?"""
    return np.round(covered, DECIMALS) >= np.round(least * lengths, DECIMALS)


def within_collars(true: Times, found: Times, collar_s: float, length_share: float) -> npt.NDArray[np.bool_]:
    """Are onsets and offsets of true and found events within the collars? Arrays of any shape, broadcast."""
    anywhere = np.full(np.shape(true[0]), np.inf)
    collars = anywhere if np.isinf(length_share) else np.maximum(collar_s, length_share * (true[1] - true[0]))
    onsets, offsets = np.abs(true[0] - found[0]) - collar_s, np.abs(true[1] - found[1]) - collars
    return (np.round(onsets, DECIMALS) <= 0) & (np.round(offsets, DECIMALS) <= 0)


def most_pairs(near: npt.NDArray[np.bool_]) -> int:
    """The largest number of pairs, each row and each column in one at most; `near` `[G, F]` says which may pair."""
    return int((maximum_bipartite_matching(csr_array(near), perm_type="column") >= 0).sum())


def active_segments(events: Events, resolution_s: float) -> set[int]:
    """The numbers of the segments of `resolution_s` that events overlap."""
    return {
        segment
        for event in events
        for segment in range(
            int(np.floor((event.start + ROUNDING_S) / resolution_s)),
            int(np.ceil((event.end - ROUNDING_S) / resolution_s)),
        )
    }


def share(part: npt.ArrayLike, whole: npt.ArrayLike) -> Array:
    """`part` / `whole`, and 0 where `whole` is 0; arrays of the same shape."""
    wholes = np.asarray(whole, float)
    return np.divide(part, wholes, out=np.zeros_like(wholes), where=wholes != 0)


def an_hour(number: npt.ArrayLike, seconds: float) -> Array:
    """`number` in `seconds` as a number an hour; raises `MetricsError` if there is no time."""
    if not seconds > 0:
        raise MetricsError(f"the recordings last {seconds} s together: a rate an hour needs time.")
    return np.asarray(number) * (SECONDS_AN_HOUR / seconds)


def _f1(counts: Int) -> Array:
    hits, false, missed = np.moveaxis(counts, -1, 0)
    return share(2 * hits, 2 * hits + false + missed)


def _of(events: Events, label: str) -> Events:
    return [event for event in events if event.label == label]


def _counts(labels: Sequence[str], each: list[list[tuple[int, int, int]]]) -> Counts:
    return Counts(tuple(labels), np.array(each, np.int64).reshape(-1, len(labels), 3))


def _overlaps(first: Times, second: Times) -> Array:
    """How long each of the first events and each of the second have in common [s], `[F, S]`."""
    ends = np.minimum.outer(first[1], second[1])
    return np.maximum(ends - np.maximum.outer(first[0], second[0]), 0)
