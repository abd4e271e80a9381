"""The events that frame scores give at any threshold: pure functions over arrays.

A class's events at a threshold are the longest stretches of frames whose scores are at or above it. Over all
thresholds these stretches form a tree: an event appears when the threshold falls to its lowest score, and vanishes
when the threshold falls to the higher of the scores beside it, where it becomes part of a longer one. So all events of
all thresholds are at most as many as there are frames, and what one of them is worth need be computed only once.
Ebbers, Serizel and Haeb-Umbach (2022, https://arxiv.org/abs/2201.13148) compute the same counts from the changes at
each score; the tree is that of nearest smaller values (Berkman, Schieber and Vishkin 1993,
https://doi.org/10.1006/jagm.1993.1018).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from hubbub.metrics.classification import MetricsError
from hubbub.metrics.events import Array, Events, Int, Times, times

__all__ = ["AllEvents", "Joined", "ScoredRecording", "all_events", "join"]


@dataclass(frozen=True)
class ScoredRecording:
    """A recording's `scores` `[T, K]` of frames between `edges` `[T + 1]` [s], its `true` events and its `length` [s].

    The length is that of the sound, and `edges[-1]` by default. Scores may be probabilities or logits, after any
    post-processing; a recording without frames has edges `[1]`. True events of classes that are not scored are ignored.
    """

    scores: npt.NDArray[np.floating]
    edges: npt.NDArray[np.floating]
    true: Events
    length: float | None = None

    @property
    def seconds(self) -> float:
        """The length [s]."""
        return float(self.edges[-1] if self.length is None else self.length)


@dataclass(frozen=True)
class AllEvents:
    """The events `[E]` of one class at all thresholds.

    Each lasts from edge `first` to edge `last` (numbers among the joined recordings' edges) at thresholds of at most
    `appears` and above `vanishes`.
    """

    first: Int
    last: Int
    appears: Array
    vanishes: Array


@dataclass(frozen=True)
class Joined:
    """Recordings one after the other: `scores` `[P, K]`, `edges` `[P]` [s], each recording's first place `[N + 1]`.

    A frame is at the place of its first edge. A recording's last edge begins no frame: its scores are -inf, so that no
    event reaches from one recording into the next. `true` holds the onsets and offsets of each recording and class.
    """

    labels: tuple[str, ...]
    scores: Array
    edges: Array
    firsts: Int
    true: Sequence[Sequence[Times]]
    seconds: Array
    recording: Int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "recording", np.repeat(np.arange(len(self.true)), np.diff(self.firsts)))


def join(recordings: Sequence[ScoredRecording], labels: Sequence[str]) -> Joined:
    """Recordings one after the other; raises `MetricsError` for shapes and values that cannot be scored."""
    if not recordings:
        raise MetricsError("there is nothing to score: no recordings were given.")
    for number, recording in enumerate(recordings):
        _validate(number, recording, len(labels))
    separator = np.full((1, len(labels)), -np.inf)
    sizes = [len(recording.edges) for recording in recordings]
    return Joined(
        tuple(labels),
        np.concatenate([part for recording in recordings for part in (recording.scores, separator)], dtype=float),
        np.concatenate([recording.edges for recording in recordings], dtype=float),
        np.concatenate([[0], np.cumsum(sizes)]),
        [[times([e for e in recording.true if e.label == label]) for label in labels] for recording in recordings],
        np.array([recording.seconds for recording in recordings]),
    )


def all_events(scores: Array) -> AllEvents:
    """One class's scores `[P]` of joined recordings -> its events at all thresholds."""
    firsts = np.flatnonzero(np.append(True, scores[1:] != scores[:-1]))
    values = scores[firsts]
    left, right = _nearest_smaller(values.tolist())
    lower = values[right]
    # Of several stretches with one score in an event, the last one stands for it: no equal score follows.
    kept = (values > -np.inf) & (lower < values)
    left, right, values, lower = left[kept], right[kept], values[kept], lower[kept]
    before = np.where(left >= 0, scores[firsts[left]], -np.inf)
    return AllEvents(firsts[left + 1], firsts[right], values, np.maximum(before, lower))


def _nearest_smaller(values: list[float]) -> tuple[Int, Int]:
    """Places of the last smaller value before each value (-1: none), and of the first that is not greater after it.

    The last place has none after it and stands for itself.
    """
    left, right = [-1] * len(values), list(range(len(values)))
    open_places: list[int] = []
    for place, value in enumerate(values):
        while open_places and values[open_places[-1]] >= value:
            right[open_places.pop()] = place
        if open_places:
            left[place] = open_places[-1]
        open_places.append(place)
    return np.array(left, np.int64), np.array(right, np.int64)


def _validate(number: int, recording: ScoredRecording, classes: int) -> None:
    scores, edges = recording.scores, recording.edges
    if scores.ndim != 2 or scores.shape[1] != classes or edges.shape != (len(scores) + 1,):
        raise MetricsError(
            f"recording {number} has scores of shape {scores.shape} and edges of shape {edges.shape}: give "
            f"[frames, {classes}] and [frames + 1]."
        )
    if not np.isfinite(scores).all():
        raise MetricsError(f"recording {number} has scores that are not finite numbers.")
    if not np.isfinite(edges).all() or (np.diff(edges) <= 0).any():
        raise MetricsError(f"the frames of recording {number} do not follow each other: give rising edges [s].")
    for event in recording.true:
        if not -np.inf < event.start <= event.end < np.inf:
            raise MetricsError(
                f"recording {number} has a true event from {event.start} to {event.end} s: its end must not be before "
                "its start."
            )
    if not 0 <= recording.seconds < np.inf:
        raise MetricsError(f"recording {number} lasts {recording.seconds} s: give its length [s].")
