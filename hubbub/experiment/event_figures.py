"""The figures of true and found events of recordings, by the field's definitions, with intervals by recording."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata

import numpy as np

from hubbub.errors import count
from hubbub.metrics.event_changes import collar_changes, intersection_changes, segment_changes
from hubbub.metrics.event_curves import Changes
from hubbub.metrics.event_intervals import f1_intervals, psds_interval
from hubbub.metrics.events import Counts, Event, event_based, intersection_based, segment_based
from hubbub.metrics.psds import PSDS1, PSDS2, Setting, psds_of
from hubbub.metrics.scored import ScoredRecording
from hubbub.report.event_page import Lane
from hubbub.report.event_results import (
    ClassEvents,
    Definition,
    EventFigure,
    EventScores,
    EventSummary,
    PsdsFigure,
)
from hubbub.runtime.progress import track

__all__ = ["FoundEvents", "event_summary", "worst_recordings"]

#: Draws of recordings for an interval of PSDS, which takes a hundred times as long as one of F1.
PSDS_RESAMPLES = 200
#: Recordings that the page draws.
DRAWN = 4


@dataclass(frozen=True)
class FoundEvents:
    """True and found events of each recording, and what is known beside them. `scored` are the scores of frames."""

    names: list[str]
    true: Sequence[Sequence[Event]]
    found: Sequence[Sequence[Event]]
    seconds: list[float | None]
    scored: list[ScoredRecording] | None


def event_summary(
    found: FoundEvents, labels: Sequence[str], facts: Mapping[str, object], notes: Sequence[str]
) -> EventSummary:
    """The figures of found events. `facts` are the fields of the summary that say what was scored."""
    lengths = [length for length in found.seconds if length is not None]
    known = len(lengths) == len(found.names)
    changes = _changes(found, labels)
    figures: dict[str, object] = {
        name: _scores(counts, lengths if known else None, changes.get(name))
        for name, counts in _counts(found, labels).items()
    }
    if found.scored is not None:
        for name, setting in track((("psds1", PSDS1), ("psds2", PSDS2)), "drawing recordings for PSDS", 2):
            figures[name] = _psds(found.scored, labels, setting)
    said = list(notes)
    if not known:
        said.append(
            f"NO RATES: the length of {count(len(found.names) - len(lengths), 'recording')} is not known, so false "
            "alarms an hour are not given; put the sounds beside the annotations"
        )
    return EventSummary.model_validate(
        {
            "hubbub": metadata.version("hubbub"),
            "recordings": len(found.names),
            "seconds": sum(lengths) if known else None,
            "events": sum(map(len, found.true)),
            "labels": list(labels),
            "notes": said,
            **facts,
            **figures,
        }
    )


def _counts(found: FoundEvents, labels: Sequence[str]) -> dict[Definition, Counts]:
    """The counts by each definition."""
    return {
        "segment": segment_based(found.true, found.found, labels),
        "onset": event_based(found.true, found.found, labels, length_share=np.inf),
        "collar": event_based(found.true, found.found, labels),
        "intersection": intersection_based(found.true, found.found, labels),
    }


def _changes(found: FoundEvents, labels: Sequence[str]) -> dict[Definition, Changes]:
    """The changes of the counts over all thresholds, where there are scores."""
    if found.scored is None:
        return {}
    return {
        "segment": segment_changes(found.scored, labels),
        "onset": collar_changes(found.scored, labels, length_share=np.inf),
        "collar": collar_changes(found.scored, labels),
        "intersection": intersection_changes(found.scored, labels),
    }


def _scores(counts: Counts, lengths: Sequence[float] | None, changes: Changes | None) -> EventScores:
    seconds = [1.0] * len(counts.each) if lengths is None else lengths
    intervals = f1_intervals(counts, seconds)
    values = {name: getattr(counts, name) for name in ("f1", "macro_f1", "precision", "recall")}
    figures = {name: EventFigure(value=value, ci95=intervals[name]) for name, value in values.items()}
    rate = None
    if lengths is not None:
        rate = EventFigure(value=counts.false_an_hour(sum(lengths)).sum(), ci95=intervals["false_an_hour"])
    curves = changes.curves if changes else {}
    classes = []
    for label, (hits, false, missed) in zip(counts.labels, counts.totals.tolist(), strict=True):
        best = {}
        if (curve := curves.get(label)) and curve.true:
            at = curve.best_threshold
            best = {"best_f1": curve.best_f1, "best_threshold": at if np.isfinite(at) else None}
        f1 = counts.by_class.get(label, 0.0)
        classes.append(ClassEvents(label=label, hits=hits, false=false, missed=missed, f1=f1, **best))
    return EventScores(**figures, false_an_hour=rate, classes=classes)


def _psds(recordings: Sequence[ScoredRecording], labels: Sequence[str], setting: Setting) -> PsdsFigure:
    changes = intersection_changes(recordings, labels, setting.criteria)
    score = psds_of(changes, setting)
    return PsdsFigure(
        value=score.value,
        ci95=psds_interval(changes, setting, PSDS_RESAMPLES),
        by_class=score.by_class,
        rates=score.rates.tolist(),
        hits=score.hits.tolist(),
    )


def worst_recordings(found: FoundEvents, labels: Sequence[str]) -> list[Lane]:
    """The recordings with most mistakes, for the page's picture."""
    counts = event_based(found.true, found.found, labels).each
    mistakes = counts[..., 1:].sum(axis=(1, 2))
    order = [int(n) for n in np.argsort(-mistakes, kind="stable")[:DRAWN] if found.true[n] or found.found[n]]
    return [Lane(found.names[n], found.true[n], found.found[n], found.seconds[n]) for n in order]
