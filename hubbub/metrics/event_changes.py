"""Counts of events at every threshold, from frame scores: segment-, collar- and intersection-based; pure functions.

The definitions are those of `events.py`: at any threshold the counts are those of the events that are found with it.
Every event of every threshold (`scored.py`) is looked at once, so that the time needed grows hardly faster than the
number of frames, where sed_scores_eval looks at all events of a recording at each of its scores.

Differences from sed_scores_eval 0.0.4: it refuses true events of a class that overlap or touch; here they are treated
as in `events.py`. Its segments beyond the last frame score 0 and are found by thresholds below that; here they are
never found. Its edges of segments are rounded to the microsecond, but not those of true events; here both are. Where
durations are given, it ignores true segments after them; here they count. Its curves hold some scores more, at which
nothing changes, so that of equally good thresholds it may name another one.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from hubbub.metrics.classification import MetricsError
from hubbub.metrics.event_curves import Changes, ClassChanges
from hubbub.metrics.events import (
    COLLAR_S,
    LENGTH_SHARE,
    RESOLUTION_S,
    ROUNDING_S,
    Array,
    Criteria,
    Int,
    Times,
    active_segments,
    joined,
    meets,
    most_pairs,
    within_collars,
)
from hubbub.metrics.scored import AllEvents, Joined, ScoredRecording, all_events, join

__all__ = ["collar_changes", "intersection_changes", "segment_changes"]

#: Scores at which counts change, places among the joined recordings, changes `[..., columns]`.
Rows = tuple[Array, Int, Int]


def segment_changes(
    recordings: Sequence[ScoredRecording], labels: Sequence[str], resolution_s: float = RESOLUTION_S
) -> Changes:
    """Changes of segment-based counts. A segment's score is the highest of the frames that it overlaps.

    Raises `MetricsError`.
    """
    if not resolution_s > 0:
        raise MetricsError(f"segments of {resolution_s} s: give a length above 0.")
    together = join(recordings, labels)
    true = np.zeros((len(recordings), len(labels)), np.int64)
    rows: list[list[Rows]] = [[] for _ in labels]
    for n, recording in enumerate(recordings):
        active = [active_segments([e for e in recording.true if e.label == k], resolution_s) for k in labels]
        scores = _segment_scores(recording, resolution_s)
        for k, segments in enumerate(active):
            true[n, k] = len(segments)
            is_true = np.isin(np.arange(len(scores)), list(segments)).astype(np.int64)
            scored = scores[:, k] > -np.inf
            places = np.full(scored.sum(), together.firsts[n])
            rows[k].append((scores[scored, k], places, np.stack([is_true, 1 - is_true], axis=1)[scored]))
    return _changes(together, rows, true)


def collar_changes(
    recordings: Sequence[ScoredRecording],
    labels: Sequence[str],
    collar_s: float = COLLAR_S,
    length_share: float = LENGTH_SHARE,
) -> Changes:
    """Changes of collar-based counts (`events.event_based`). Raises `MetricsError`."""
    together = join(recordings, labels)
    rows = []
    for k in range(len(labels)):
        found = all_events(together.scores[:, k])
        ones = np.ones(len(found.first), np.int64)
        number, event, true = _near(together, found, k, collar_s, length_share)
        places, scores, hits = _most_hits(number, event, found)
        rows.append(
            [
                *_while_found(found, np.stack([0 * ones, ones], axis=1)),
                (scores, together.firsts[true[places]], np.stack([hits, -hits], axis=1)),
            ]
        )
    counted = [[len(starts) for starts, _ in events] for events in together.true]
    return _changes(together, rows, np.array(counted, np.int64))


def intersection_changes(
    recordings: Sequence[ScoredRecording], labels: Sequence[str], criteria: Criteria | None = None
) -> Changes:
    """Changes of intersection-based counts (`events.intersection_based`). Raises `MetricsError`."""
    criteria = criteria or Criteria()
    together = join(recordings, labels)
    truth = [[joined(*events) for events in row] for row in together.true]
    covered = np.stack([_covered(together, [row[k] for row in truth]) for k in range(len(labels))], axis=1)
    rows = []
    for k in range(len(labels)):
        found = all_events(together.scores[:, k])
        length = together.edges[found.last] - together.edges[found.first]
        relevant = meets(covered[found.last, k] - covered[found.first, k], criteria.dtc, length)
        whole, partial = _met(together, found, [row[k] for row in truth], relevant, criteria.gtc)
        columns = [whole, ~relevant]
        if criteria.cttc is not None:
            shared = covered[found.last] - covered[found.first]
            cross = meets(shared, criteria.cttc, length[:, None]) & ~relevant[:, None]
            cross[:, k] = False
            columns.append(cross)
        width = 2 + (criteria.cttc is not None) * len(labels)
        hits = np.zeros((len(partial[2]), width), np.int64)
        hits[:, 0] = partial[2]
        changed = np.column_stack(columns).astype(np.int64)
        rows.append([*_while_found(found, changed), (partial[0], partial[1], hits)])
    counted = [[len(starts) for starts, _ in events] for events in truth]
    lengths = [[(ends - starts).sum() for starts, ends in events] for events in truth]
    return _changes(together, rows, np.array(counted, np.int64), np.array(lengths, float))


def _while_found(found: AllEvents, counts: Int) -> list[Rows]:
    """`counts` `[E, C]` of events, added where they appear and taken away where they vanish."""
    some = counts.any(axis=1)
    return [
        (found.appears[some], found.first[some], counts[some]),
        (found.vanishes[some], found.first[some], -counts[some]),
    ]


def _changes(together: Joined, rows: Sequence[Sequence[Rows]], true: Int, lengths: Array | None = None) -> Changes:
    """Rows of each class, summed by score and recording, without those that change nothing."""
    by_class = []
    for parts in rows:
        scores, places, counts = (np.concatenate(column) for column in zip(*parts, strict=True))
        here = scores > -np.inf
        scores, recording, counts = scores[here], together.recording[places[here]], counts[here]
        order = np.lexsort((recording, -scores))
        scores, recording, counts = scores[order], recording[order], counts[order]
        new = (scores[1:] != scores[:-1]) | (recording[1:] != recording[:-1])
        starts = np.flatnonzero(np.append(True, new)[: len(scores)])
        if len(starts):
            counts = np.add.reduceat(counts, starts, axis=0)
        changed = counts.any(axis=1)
        starts, counts = starts[changed], counts[changed]
        cross = counts[:, 2:] if counts.shape[1] > 2 else None
        by_class.append(ClassChanges(scores[starts], recording[starts], counts[:, :2], cross))
    if lengths is None:
        lengths = np.array([[(ends - starts).sum() for starts, ends in events] for events in together.true])
    return Changes(together.labels, by_class, true, lengths, together.seconds)


def _segment_scores(recording: ScoredRecording, resolution_s: float) -> Array:
    """The highest score of the frames that each segment overlaps, `[S, K]`; -inf where there is none."""
    scores = np.asarray(recording.scores, float)
    edges = np.asarray(recording.edges, float)
    count = int(np.ceil((edges[-1] - ROUNDING_S) / resolution_s)) if len(scores) else 0
    starts = np.arange(count) * resolution_s
    first = np.searchsorted(edges[1:], starts + ROUNDING_S, "right")
    last = np.searchsorted(edges[:-1], starts + resolution_s - ROUNDING_S, "left")
    found = np.full((count, scores.shape[1]), -np.inf)
    some = last > first
    if some.any():
        bounds = np.stack([first[some], last[some]], axis=1).ravel()
        padded = np.concatenate([scores, np.full((1, scores.shape[1]), -np.inf)])
        found[some] = np.maximum.reduceat(padded, bounds, axis=0)[::2]
    return found


def _near(together: Joined, found: AllEvents, k: int, collar_s: float, length_share: float) -> tuple[Int, Int, Int]:
    """Pairs of true and found events of a class within the collars: numbers of true ones and of found ones `[Q]`.

    The third array holds the recording of each true event.
    """
    order = np.argsort(found.first, kind="stable")
    firsts = found.first[order]
    numbers, events = [], []
    owner = np.repeat(np.arange(len(together.true)), [len(row[k][0]) for row in together.true])
    before = np.searchsorted(owner, np.arange(len(together.true)))
    for n, row in enumerate(together.true):
        starts, ends = row[k]
        if not len(starts):
            continue
        begin, end = together.firsts[n], together.firsts[n + 1]
        edges = together.edges[begin:end]
        low = np.searchsorted(firsts, begin + np.searchsorted(edges, starts - collar_s - 2 * ROUNDING_S))
        high = np.searchsorted(firsts, begin + np.searchsorted(edges, starts + collar_s + 2 * ROUNDING_S))
        here, offsets = _expanded(low, np.maximum(high - low, 0))
        event = order[offsets]
        near = within_collars(
            (starts[here], ends[here]),
            (together.edges[found.first[event]], together.edges[found.last[event]]),
            collar_s,
            length_share,
        )
        numbers.append(before[n] + here[near])
        events.append(event[near])
    empty = np.empty(0, np.int64)
    return np.concatenate([empty, *numbers]), np.concatenate([empty, *events]), owner


def _expanded(starts: Int, sizes: Int) -> tuple[Int, Int]:
    """Ranges of numbers one after the other: to which range each number belongs, and the numbers."""
    which = np.repeat(np.arange(len(sizes)), sizes)
    return which, np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes) + starts[which]


def _most_hits(number: Int, event: Int, found: AllEvents) -> tuple[Int, Array, Int]:
    """Pairs of true and found events -> where the largest number of pairs at a time changes.

    Returns a true event of the group that changes, the score, and the change. A group is what pairs connect: its hits
    do not depend on other groups. Nearly every group has one true event, which is hit while any of its found ones is.
    """
    if not len(number):
        return np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64)
    trues, true = np.unique(number, return_inverse=True)
    events, place = np.unique(event, return_inverse=True)
    size = len(trues) + len(events)
    links = csr_array((np.ones(len(true)), (true, len(trues) + place)), shape=(size, size))
    group = connected_components(links, directed=False)[1][true]
    single = (np.bincount(group[np.unique(true, return_index=True)[1]]) == 1)[group]
    appears, vanishes = found.appears[event], found.vanishes[event]
    ones = np.ones(single.sum())
    parts = [_flips(number[single], appears[single], vanishes[single], ones, lambda total, _: total > 0.5)]
    for several in np.unique(group[~single]):
        pairs = np.flatnonzero(group == several)
        scores = np.unique(np.concatenate([appears[pairs], vanishes[pairs]]))[::-1]
        scores = scores[scores > -np.inf]
        most = [_pairs_at(score, true[pairs], place[pairs], appears[pairs], vanishes[pairs]) for score in scores]
        hits = np.diff(most, prepend=0)
        parts.append((np.full(len(scores), number[pairs[0]]), scores, hits))
    whose, scores, hits = (np.concatenate(column) for column in zip(*parts, strict=True))
    return whose, scores, hits


def _pairs_at(score: float, true: Int, place: Int, appears: Array, vanishes: Array) -> int:
    """The largest number of pairs at the threshold `score`."""
    here = (appears >= score) & (vanishes < score)
    rows, columns = (np.unique(side[here], return_inverse=True)[1] for side in (true, place))
    near = np.zeros((rows.max(initial=-1) + 1, columns.max(initial=-1) + 1), bool)
    near[rows, columns] = True
    return most_pairs(near) if near.size else 0


def _covered(together: Joined, truth: Sequence[Times]) -> Array:
    """How long true events cover each recording up to each edge [s], `[P]`."""
    covered = np.zeros(len(together.edges))
    for n, (starts, ends) in enumerate(truth):
        if len(starts):
            here = slice(together.firsts[n], together.firsts[n + 1])
            edges = together.edges[here]
            whole = np.concatenate([[0], np.cumsum(ends - starts)])
            begun = np.searchsorted(starts, edges)
            last = np.maximum(begun - 1, 0)
            rest = np.maximum(ends[last] - edges, 0) * (begun > 0)
            covered[here] = whole[begun] - rest
    return covered


def _met(
    together: Joined, found: AllEvents, truth: Sequence[Times], relevant: npt.NDArray[np.bool_], gtc: float
) -> tuple[Int, Rows]:
    """How found events meet true ones of their class.

    Returns the number of true events `[E]` that lie wholly in each relevant event, and rows of hits and losses of the
    others: a found event lies partly over two of them at most, one at each of its ends, because they do not overlap.
    """
    begun, over = np.zeros(len(together.edges), np.int64), np.zeros(len(together.edges), np.int64)
    starts, ends = (np.concatenate(side) for side in zip(*truth, strict=True))
    before = 0
    for n, (first, last) in enumerate(truth):
        here = slice(together.firsts[n], together.firsts[n + 1])
        begun[here] = before + np.searchsorted(first, together.edges[here])
        over[here] = before + np.searchsorted(last, together.edges[here], "right")
        before += len(first)
    whole = np.where(relevant, np.maximum(over[found.last] - begun[found.first], 0), 0)
    # At an edge inside a true event, more have begun than are over.
    at_start = np.flatnonzero(relevant & (begun[found.first] > over[found.first]))
    at_end = np.flatnonzero(relevant & (begun[found.last] > over[found.last]))
    left, right = begun[found.first[at_start]] - 1, begun[found.last[at_end]] - 1
    twice = begun[found.first[at_end]] - 1 == right  # inside one true event: counted at its start
    twice &= begun[found.first[at_end]] > over[found.first[at_end]]
    at_end, right = at_end[~twice], right[~twice]
    number, event = np.concatenate([left, right]), np.concatenate([at_start, at_end])
    common = np.minimum(ends[number], together.edges[found.last[event]]) - np.maximum(
        starts[number], together.edges[found.first[event]]
    )
    lengths = ends - starts
    whose, scores, hits = _flips(
        number,
        found.appears[event],
        found.vanishes[event],
        common,
        lambda total, these: meets(total, gtc, lengths[these]),
    )
    owner = np.repeat(together.firsts[:-1], [len(first) for first, _ in truth])
    return whole, (scores, owner[whose], hits)


def _flips(
    group: Int, appears: Array, vanishes: Array, amounts: Array, reached: Callable[[Array, Int], npt.NDArray[np.bool_]]
) -> tuple[Int, Array, Int]:
    """Where groups of amounts, each there from `appears` down to above `vanishes`, reach what they need or lose it.

    `reached` takes sums of amounts and their groups. Returns the group, the score, and 1 or -1.
    """
    groups, scores = np.tile(group, 2), np.concatenate([appears, vanishes])
    order = np.lexsort((-scores, groups))
    groups, scores = groups[order], scores[order]
    totals = np.cumsum(np.concatenate([amounts, -amounts])[order])
    last = np.append((groups[1:] != groups[:-1]) | (scores[1:] != scores[:-1]), True)[: len(groups)]
    groups, scores, totals = groups[last], scores[last], totals[last]
    state = reached(totals, groups) & (scores > -np.inf)
    before = np.append(False, state[:-1] & (groups[1:] == groups[:-1]))[: len(groups)]
    flips = (state != before) & (scores > -np.inf)
    return groups[flips], scores[flips], np.where(state[flips], 1, -1)
