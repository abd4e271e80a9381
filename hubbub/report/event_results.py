"""Typed content of `event_scores.json`: how well events were found."""

from typing import Literal

from hubbub.report.level_results import Content

__all__ = ["DEFINITIONS", "ClassEvents", "Definition", "EventFigure", "EventScores", "EventSummary", "PsdsFigure"]

Definition = Literal["segment", "onset", "collar", "intersection"]
DEFINITIONS: tuple[Definition, ...] = ("segment", "onset", "collar", "intersection")


class EventFigure(Content):
    """A figure of all recordings together; its 95 % interval is by a bootstrap of recordings, None for one of them."""

    value: float
    ci95: tuple[float, float] | None = None


class ClassEvents(Content):
    """The counts of a class and its F1. `best_f1` is that over all thresholds, at `best_threshold`."""

    label: str
    hits: int
    false: int
    missed: int
    f1: float
    best_f1: float | None = None
    best_threshold: float | None = None


class EventScores(Content):
    """The figures of one definition of a hit. `false_an_hour` is None where a recording's length is not known."""

    f1: EventFigure
    macro_f1: EventFigure
    precision: EventFigure
    recall: EventFigure
    false_an_hour: EventFigure | None
    classes: list[ClassEvents]


class PsdsFigure(EventFigure):
    """A PSDS, that of each class alone, and the points of its curve: false alarms an hour, share of hits."""

    by_class: dict[str, float]
    rates: list[float]
    hits: list[float]


class EventSummary(Content):
    """How well the events of recordings were found.

    `threshold` is that of the scores of frames, None for events that were decided already. `seconds` is the length of
    all recordings, None where one is not known.
    """

    title: str
    hubbub: str
    predictions: str
    predictions_sha256: str
    truth: str
    recordings: int
    seconds: float | None
    events: int
    labels: list[str]
    threshold: float | None
    notes: list[str]
    segment: EventScores
    onset: EventScores
    collar: EventScores
    intersection: EventScores
    psds1: PsdsFigure | None = None
    psds2: PsdsFigure | None = None

    def by(self, definition: Definition) -> EventScores:
        """The figures of a definition."""
        scores: EventScores = getattr(self, definition)
        return scores
