"""Which classes are in a part of a recording, by annotations with times.

A segment is judged by what of it lies in its clip: what is padded beyond the clip's end does not count. Events of one
class that overlap count as one.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hubbub.data.clips import Clips
from hubbub.data.event_index import Times

__all__ = ["clip_targets", "nearest_parts", "segment_targets", "unplaced"]

Flags = npt.NDArray[np.bool_]
Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
#: Times are compared with this tolerance [s].
_ROUNDING_S = 1e-9


def segment_targets(clips: Clips, row: int, spans: npt.ArrayLike, overlap: float) -> npt.NDArray[np.int8]:
    """The targets `[S, K]` of segments of a clip with label sets: 1 present, 0 absent, -1 not annotated.

    `spans` `[S, 2]` are seconds from the clip's start. A class is in a segment if its events fill the share `overlap`
    of it, or if one of its events that is shorter than the segment lies in it with that share of its own length. What
    its clip holds without times (`unplaced`) is in every segment.
    """
    found, spans = _of_clip(clips, row), np.asarray(spans, dtype=np.float64).reshape(-1, 2)
    targets = np.repeat(found[None], len(spans), axis=0)
    if clips.timed is None:
        return targets
    path, start, stop = (_cell(clips, row, column) for column in ("path", "start", "end"))
    begin, end = float(np.nan_to_num(start)), float(np.inf if np.isnan(stop) else stop)
    heard = np.clip(spans + begin, begin, end)
    sizes, size_of = np.unique(np.round(heard[:, 1] - heard[:, 0], 6), return_inverse=True)
    by_size = [(size, np.flatnonzero(size_of == number)) for number, size in enumerate(sizes)]
    events = clips.events.get(path, {})
    for k, label in enumerate(clips.labels):
        if found[k] >= 0 and label in events:
            targets[:, k] = _holds(events[label], heard, by_size, overlap)
    return targets


def unplaced(clips: Clips, row: int) -> Flags:
    """Which classes a clip with label sets holds without times, `[K]`: it is not known where in the clip."""
    found, events = _of_clip(clips, row), clips.events.get(_cell(clips, row, "path"), {})
    return np.array([held > 0 and label not in events for held, label in zip(found, clips.labels, strict=True)])


def nearest_parts(spans: npt.ArrayLike) -> Array:
    """Start and end of segments `[S, 2]` [s], in order -> the part that each answers for: of an overlap its half, so
    that every instant belongs to the segment whose centre is nearest. Events are found in these parts, and so are they
    learnt: a segment of a second every .24 s says what is in its middle."""
    parts = np.array(spans, dtype=np.float64).reshape(-1, 2)
    overlap = parts[1:, 0] < parts[:-1, 1]
    middles = (parts[1:, 0] + parts[:-1, 1]) / 2
    parts[1:, 0] = np.where(overlap, middles, parts[1:, 0])
    parts[:-1, 1] = np.where(overlap, middles, parts[:-1, 1])
    return parts


def clip_targets(events: Times, clips: npt.ArrayLike, window_s: float, overlap: float) -> Flags:
    """Whether each of the clips `[N, 2]` of a recording [s] holds a class with these events, `[N]`.

    It does if of one event so much lies in the clip: the share `overlap` of the event, of a window or of the clip,
    whichever is shortest.
    """
    starts, ends = events
    spans = np.asarray(clips, dtype=np.float64).reshape(-1, 2)
    found = np.zeros(len(spans), dtype=bool)
    for at, (begin, end) in enumerate(spans):
        first, last = np.searchsorted(ends, begin, "right"), np.searchsorted(starts, end, "left")
        inside = np.minimum(ends[first:last], end) - np.maximum(starts[first:last], begin)
        least = np.minimum(ends[first:last] - starts[first:last], min(window_s, end - begin))
        found[at] = (inside >= overlap * least - _ROUNDING_S).any()
    return found


def _of_clip(clips: Clips, row: int) -> npt.NDArray[np.int8]:
    """The targets of one clip `[K]`."""
    held, unknown = (set(_cell(clips, row, column)) for column in ("labels", "unknown"))
    states = [1 if label in held else -1 if label in unknown else 0 for label in clips.labels]
    return np.array(states, dtype=np.int8)


def _cell(clips: Clips, row: int, column: str) -> Any:
    return clips.table[column].iat[row]


def _holds(events: Times, spans: Array, by_size: Sequence[tuple[float, Rows]], overlap: float) -> Flags:
    """Whether each of the spans `[S, 2]` holds a class with these events, which are in order and do not overlap;
    `by_size` are the rows of the spans of each length."""
    starts, ends = events
    lengths = ends - starts
    span_s = spans[:, 1] - spans[:, 0]
    found: Flags = _filled(events, spans) >= overlap * span_s - _ROUNDING_S
    # An event lies in a span with its share if the span begins before `latest` and ends after `earliest`. Both rise
    # from event to event, so of the events that the span does not begin too late for, the first decides.
    latest, earliest = ends - overlap * lengths + _ROUNDING_S, starts + overlap * lengths - _ROUNDING_S
    for size, rows in by_size:
        short = lengths < size
        if short.any():
            at = np.searchsorted(latest[short], spans[rows, 0], "left")
            near = np.minimum(at, short.sum() - 1)
            found[rows] |= (at < short.sum()) & (earliest[short][near] <= spans[rows, 1])
    return found & (span_s > 0)


def _filled(events: Times, spans: Array) -> Array:
    """How many seconds of each span the events fill."""
    edges = np.stack(events, axis=1).ravel()
    level = np.concatenate([[0.0], np.cumsum(events[1] - events[0])])
    levels = np.stack([level[:-1], level[1:]], axis=1).ravel()
    until, since = (np.interp(spans[:, side], edges, levels) for side in (1, 0))
    return np.asarray(until - since)
