"""How well a run found the events of annotated recordings, from the scores of its test parts: figures and a page."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from hubbub.classifier.calibration import Confidence
from hubbub.classifier.postprocess import FrameFilters
from hubbub.classifier.prediction import Event
from hubbub.errors import count
from hubbub.experiment.event_figures import FoundEvents, event_summary, worst_recordings
from hubbub.experiment.prepare import Prepared
from hubbub.experiment.recordings import recordings_without_times, scored_recordings
from hubbub.inference.events import EventDetector, sort_events
from hubbub.metrics.scored import ScoredRecording
from hubbub.report import event_page, run_folder
from hubbub.report.event_results import EventSummary
from hubbub.runtime import files

__all__ = ["write_events"]


def write_events(prepared: Prepared, folder: Path) -> EventSummary | None:
    """Writes how well a finished run found the events of its recordings, and returns the figures; None where its clips
    are not parts of annotated recordings with times.

    The recordings of all test parts count, each scored by the model of its fold with the run's first seed, at the
    thresholds, and through the filters, that this model's validation part chose (`evaluate.events`; else .5 and none).
    """
    clips = prepared.clips
    untimed = recordings_without_times(clips) if clips.timed is not None else set()
    if clips.timed is None or untimed.issuperset(clips.table["path"]):
        return None
    seed, names, every = prepared.recipe.train.seeds[0], list[str](), list[tuple[ScoredRecording, list[Event]]]()
    digest = hashlib.sha256()
    for _, own_seed, place in run_folder.cells(folder):
        if own_seed != seed:
            continue
        rows = run_folder.read_predictions(place)
        digest.update(files.sha256(place / run_folder.PREDICTIONS).encode())
        segments = rows[rows["level"] == "segment"]
        for name, recording in scored_recordings(clips, segments).items():
            names.append(name)
            every.append(_found(recording, clips.labels, run_folder.calibration_of(place)))
    scored = [recording for recording, _ in every]
    found = FoundEvents(
        names,
        [list(one.true) for one in scored],
        [events for _, events in every],
        [one.length for one in scored],
        scored,
    )
    predictions = f"test-*/seed-{seed}/{run_folder.PREDICTIONS}"
    facts = {
        "title": f"{prepared.recipe.title}: events",
        "predictions": predictions,
        "predictions_sha256": digest.hexdigest(),
        "truth": clips.name,
        "threshold": None,
    }
    notes = prepared.why_not_comparable
    if untimed:
        notes.append(f"NOT SCORED: {count(len(untimed), 'recording')} with labels without times")
    summary = event_summary(found, clips.labels, facts, notes)
    with files.whole_folder(run_folder.events_folder(folder), event_page.SCORES) as place:
        event_page.write_event_page(place, summary, worst_recordings(found, clips.labels))
    return summary


def _found(
    recording: ScoredRecording, labels: Sequence[str], confidence: Confidence
) -> tuple[ScoredRecording, list[Event]]:
    """A recording with its scores as the model of its fold filters them, and its events at this model's thresholds."""
    spans, scores = np.stack([recording.edges[:-1], recording.edges[1:]], axis=1), recording.scores
    if confidence.filters:
        filters = FrameFilters(confidence.filters)
        scores = np.concatenate([filters.feed(spans, scores)[1], filters.end()[1]])
    detector = EventDetector(labels, thresholds=confidence.events)
    return replace(recording, scores=scores), sort_events(detector.feed(spans, scores) + detector.end())
