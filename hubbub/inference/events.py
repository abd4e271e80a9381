"""Segment scores to events: which class is active from when to when.

Double thresholds, as in sound event detection (Dinkel et al. 2021, https://arxiv.org/abs/2006.10985): an event is where
a class's score stays at `release` or above and reaches `threshold` somewhere. Close events of a class are joined, then
short ones dropped. Segments may come one at a time, as they do from a microphone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hubbub.classifier.event_thresholds import DEFAULT
from hubbub.classifier.prediction import Event
from hubbub.errors import HubbubError

__all__ = ["EventDetector", "EventError", "EventSettings", "detect_events", "sort_events"]

Array = npt.NDArray[np.float64]
_ROUNDING_S = 1e-9


class EventError(HubbubError):
    """Event settings out of range, or scores of the wrong shape or order."""


@dataclass(frozen=True)
class EventSettings:
    """What counts as an event: it reaches `threshold` (None: the classifier's own of each class, or .5) and lasts while
    at `release` or above (None: `threshold`). Events at most `gap` seconds apart are joined, and those under `shortest`
    seconds dropped."""

    threshold: float | None = None
    release: float | None = None
    shortest: float = 0.0
    gap: float = 0.0

    def __post_init__(self) -> None:
        threshold = 1.0 if self.threshold is None else self.threshold
        release = threshold if self.release is None else self.release
        if not 0 < release <= threshold <= 1:
            raise _not_in_order(threshold, release)
        if not (0 <= self.shortest < float("inf") and 0 <= self.gap < float("inf")):
            raise EventError(
                f"a minimum duration of {self.shortest:g} s and a gap of {self.gap:g} s: both are 0 or more."
            )

    def limits(self, own: Sequence[float] | None, classes: int) -> tuple[Array, Array]:
        """The score that an event of each class reaches, and that at which it ends, `[K]` each; `own` are the
        classifier's. A release above a class's own threshold counts as that threshold. Raises `EventError` for one that
        is above all."""
        given = own if own is not None else [DEFAULT] * classes
        reach = np.full(classes, self.threshold) if self.threshold is not None else np.array(given, float)
        if self.release is None:
            return reach, reach
        if self.release > reach.max():
            raise _not_in_order(float(reach.max()), self.release)
        return reach, np.minimum(reach, self.release)


class EventDetector:
    """Segments in, in order; events out as soon as no later segment can change them.

    Where segments overlap, each covers its half of the overlap, so that every instant has one score: that of the
    segment whose centre is nearest. The last segment is held back until the next one or `end`. `thresholds` `[K]` are
    the classifier's own.
    """

    def __init__(
        self,
        labels: Sequence[str],
        settings: EventSettings = EventSettings(),
        thresholds: Sequence[float] | None = None,
    ) -> None:
        self.labels, self._settings = tuple(labels), settings
        size = len(self.labels)
        self._reach, self._leave = settings.limits(thresholds, size)
        self._last: tuple[float, float, Array] | None = None  # the segment held back: from, to, scores
        self._begun = 0.0  # its start, which may lie before what it covers
        self._now = 0.0
        # Of each class: a stretch at the release or above that goes on, and an event before it that may be joined.
        self._start, self._peak = np.zeros(size), np.zeros(size)
        self._on, self._held = np.zeros(size, bool), np.zeros(size, bool)
        self._held_start, self._held_end, self._held_peak = np.zeros(size), np.zeros(size), np.zeros(size)

    def feed(self, spans: npt.ArrayLike, scores: npt.ArrayLike) -> list[Event]:
        """The next segments: start and end of each `[S, 2]` in seconds, scores `[S, K]` -> events that are over."""
        times, values = np.asarray(spans, np.float64).reshape(-1, 2), np.asarray(scores, np.float64)
        if values.shape != (len(times), len(self.labels)):
            raise EventError(
                f"scores of shape {list(values.shape)} for {len(times)} segments and {len(self.labels)} classes: give "
                "one row a segment, one column a class."
            )
        found: list[Event] = []
        for (start, end), row in zip(times.tolist(), values, strict=True):
            begin = start
            if self._last is not None:
                since, until, before = self._last
                if start < self._begun:
                    raise EventError(f"a segment at {start:g} s after one at {self._begun:g} s: give them in order.")
                begin = max((start + until) / 2, since) if start < until else start
                found += self._step(since, min(until, begin), before)
            self._last, self._begun = (begin, max(end, begin), row), start
        return found

    def end(self) -> list[Event]:
        """The events that end with the recording."""
        found: list[Event] = []
        if self._last is not None:
            found = self._step(*self._last)
            self._last = None
        found += self._close(self._on.copy())
        found += self._release(self._held.copy())
        return sort_events(found)

    @property
    def active(self) -> list[Event]:
        """The events that go on now, up to the last segment but one; short ones too, since they may grow."""
        return [
            Event(self.labels[k], self._start_of(k), self._now, float(self._peak[k]))
            for k in np.flatnonzero(self._on & (self._peak >= self._reach)).tolist()
        ]

    def _start_of(self, k: int) -> float:
        joins = self._held[k] and self._start[k] - self._held_end[k] <= self._settings.gap + _ROUNDING_S
        return float(self._held_start[k] if joins else self._start[k])

    def _step(self, start: float, end: float, row: Array) -> list[Event]:
        """One stretch of time with one score a class."""
        found: list[Event] = []
        if start > self._now + _ROUNDING_S:  # a gap without segments
            found += self._close(self._on.copy())
        above = row >= self._leave
        begun = above & ~self._on
        found += self._close(self._on & ~above)
        self._start[begun], self._peak[begun] = start, 0.0
        self._peak[above] = np.maximum(self._peak, row)[above]
        self._on = above
        self._now = end
        reach = np.where(self._on, self._start, end)
        return sort_events(
            found + self._release(self._held & (reach - self._held_end > self._settings.gap + _ROUNDING_S))
        )

    def _close(self, over: npt.NDArray[np.bool_]) -> list[Event]:
        """End these classes' stretches now; those that reached the threshold are held, or joined to the held event."""
        self._on &= ~over
        over = over & (self._peak >= self._reach)
        joined = over & self._held & (self._start - self._held_end <= self._settings.gap + _ROUNDING_S)
        found = self._release(over & self._held & ~joined)
        new = over & ~joined
        self._held_start[new], self._held_peak[new] = self._start[new], self._peak[new]
        self._held_end[over] = self._now
        self._held_peak[joined] = np.maximum(self._held_peak, self._peak)[joined]
        self._held |= over
        return found

    def _release(self, done: npt.NDArray[np.bool_]) -> list[Event]:
        """Release held events that nothing can join any more, without the short ones."""
        self._held &= ~done
        long = self._held_end - self._held_start >= self._settings.shortest - _ROUNDING_S
        return [
            Event(self.labels[k], float(self._held_start[k]), float(self._held_end[k]), float(self._held_peak[k]))
            for k in np.flatnonzero(done & long)
        ]


def detect_events(
    spans: npt.ArrayLike,
    scores: npt.ArrayLike,
    labels: Sequence[str],
    settings: EventSettings = EventSettings(),
) -> list[Event]:
    """The spans `[S, 2]` [s] and scores `[S, K]` of all segments of a recording -> its events, by start."""
    detector = EventDetector(labels, settings)
    return sort_events(detector.feed(spans, scores) + detector.end())


def _not_in_order(threshold: float, release: float) -> EventError:
    return EventError(
        f"a threshold of {threshold:g} and a release of {release:g}: both must be above 0 and at most 1, and the "
        "release not above the threshold."
    )


def sort_events(found: list[Event]) -> list[Event]:
    """Events by start, then end, then label."""
    return sorted(found, key=lambda event: (event.start, event.end, event.label))
