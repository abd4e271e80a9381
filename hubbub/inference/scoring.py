"""Segment by segment from a network's outputs to scores, events and the decision on the whole recording.

Files, live sound and the server's streams all use `Scorer`. It does not run the network, so that segments of several
recordings can share a batch.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hubbub.audio import waves
from hubbub.classifier.calibration import RunningFamiliarity
from hubbub.classifier.pooling import RunningPool
from hubbub.classifier.postprocess import FrameFilters
from hubbub.classifier.prediction import Array, Classes, Event, Prediction, Spans, best_classes
from hubbub.inference.events import EventDetector, EventSettings, sort_events

if TYPE_CHECKING:
    from hubbub.classifier.base import Classifier

__all__ = ["AT_ONCE", "Scorer"]

#: How many classes of a segment are kept at least where it may hold several.
AT_ONCE = 5


class Scorer:
    """Scores one recording whose segments come a few at a time, as `model.predict_proba` does for all at once.

    Without `events` there are no events. They are found in scores that are 0 where a segment is digital silence, or is
    not known (`model.is_known`).
    `prediction` holds the `top` best classes of each segment (`AT_ONCE` at least where it may hold several), and all
    events; with `top` 0 neither, so that sound without an end needs no more memory over time.
    """

    def __init__(self, model: "Classifier", events: EventSettings | None = None, top: int = 0) -> None:
        at_least = AT_ONCE if model.multilabel and top else 0
        self._model, self._top = model, min(max(top, at_least), len(model.labels))
        self._pool = RunningPool(model.row_pooling)
        self._detector = EventDetector(model.labels, events, model.confidence.events) if events else None
        self._filters = FrameFilters(filters) if (filters := model.confidence.filters) else None
        self._familiarity = RunningFamiliarity(model.recipe.evaluate.unknown)
        self._events: list[Event] = []
        self._spans: list[Spans] = []
        self._classes: list[Classes] = []
        self._class_scores: list[Array] = []

    def add(self, outputs: Array, segments: npt.NDArray[Any], spans: Spans) -> tuple[Array, list[Event]]:
        """What `model.outputs` gives for the next segments `[S, ...]`, these segments, and start and end [s] of each
        `[S, 2]` -> their probabilities `[S, K]` and the events that are over. Of a frame-wise network, S counts the
        frames in the recording."""
        scores, rows = self._model.segment_proba(outputs)
        times, inside = self._model.frame_spans(spans)
        scores, rows, spans = scores[inside], rows[inside], times[inside]
        self._pool.add(rows)
        familiarity = self._model.familiarity(scores, outputs, segments)
        if familiarity is not None:
            self._familiarity.add(familiarity)
        known = self._model.is_known(familiarity)
        events = []
        if self._detector:
            eligible = ~waves.is_silent(segments) if known is None else known
            active = np.repeat(eligible, self._model.frames)[inside]
            heard = spans, np.where(active[:, None], scores, 0)
            events = self._detector.feed(*(self._filters.feed(*heard) if self._filters else heard))
        if self._top:
            classes, class_scores = best_classes(scores, self._top)
            self._spans.append(spans)
            self._classes.append(classes)
            self._class_scores.append(class_scores)
            self._events += events
        return scores, events

    def segment_predictions(self, spans: Spans, scores: Array) -> Iterator[Prediction]:
        """A prediction for each single segment, or frame, from start and end of segments [s] `[S, 2]` and what `add`
        gave for them."""
        labels, (times, inside) = self._model.labels, self._model.frame_spans(spans)
        for (start, end), row in zip(times[inside].tolist(), scores, strict=True):
            classes, best = best_classes(row[None])
            held, present = self._model.held(classes, best), None
            if held is not None:
                present = {labels[k]: float(row[k]) for k in classes[0][held[0]]}
            named = dict(zip(labels, map(float, row), strict=True))
            yield Prediction(named, end - start, np.array([[start, end]]), classes, best, present=present, held=held)

    def end(self) -> list[Event]:
        """The events that end with the recording, or with a gap in it."""
        events: list[Event] = []
        if self._detector:
            events = self._detector.feed(*self._filters.end()) if self._filters else []
            events = sort_events(events + self._detector.end())
        if self._top:
            self._events += events
        return events

    def prediction(self, seconds: float, warnings: tuple[str, ...] = ()) -> Prediction:
        """The prediction for what was added so far, at least one segment: `seconds` of sound with these warnings."""
        clip = self._model.clip_proba(self._pool.pooled())[0]
        known = self._model.is_known([self._familiarity.pooled()])
        classes = np.concatenate([np.zeros((0, self._top), np.intp), *self._classes])
        class_scores = np.concatenate([np.zeros((0, self._top), np.float32), *self._class_scores])
        return Prediction(
            dict(zip(self._model.labels, map(float, clip), strict=True)),
            seconds,
            np.concatenate([np.zeros((0, 2)), *self._spans]),
            classes,
            class_scores,
            tuple(sort_events(self._events)) if self._detector and self._top else None,
            waves.known_unless_silent(None if known is None else bool(known[0]), warnings),
            warnings,
            self._model.present(clip),
            self._model.held(classes, class_scores),
        )
