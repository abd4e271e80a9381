"""How well a run found the events of annotated recordings, from the scores of its test parts: figures and a page."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from hubbub.classifier.calibration import Confidence
from hubbub.classifier.postprocess import FrameFilters
from hubbub.classifier.prediction import Event
from hubbub.config.recipe import Recipe
from hubbub.data.clips import Clips
from hubbub.data.open import open_clips
from hubbub.errors import count
from hubbub.experiment.event_figures import FoundEvents, event_summary, worst_recordings
from hubbub.experiment.prepare import Prepared
from hubbub.experiment.recordings import recordings_without_times, scored_recordings
from hubbub.inference.events import EventDetector, sort_events
from hubbub.metrics.scored import ScoredRecording
from hubbub.report import event_page, run_folder
from hubbub.report.event_results import EventSummary
from hubbub.report.reading import read_json
from hubbub.report.verify import differences
from hubbub.runtime import files

__all__ = ["verify_events", "write_events"]


def write_events(prepared: Prepared, folder: Path) -> EventSummary | None:
    """Writes how well a finished run found the events of its recordings, and returns the figures; None where its clips
    are not parts of annotated recordings with times.

    The recordings of all test parts count, each scored by the model of its fold with the run's first seed, at the
    thresholds, and through the filters, that this model's validation part chose (`evaluate.events`; else .5 and none).
    """
    clips, notes = prepared.clips, prepared.why_not_comparable
    untimed = recordings_without_times(clips) if clips.timed is not None else set()
    if clips.timed is None or untimed.issuperset(clips.table["path"]):
        return None
    if untimed:
        notes.append(f"NOT SCORED: {count(len(untimed), 'recording')} with labels without times")
    found, facts = _found_events(clips, prepared.recipe, folder)
    summary = event_summary(found, clips.labels, facts, notes)
    with files.whole_folder(run_folder.events_folder(folder), event_page.SCORES) as place:
        event_page.write_event_page(place, summary, worst_recordings(found, clips.labels))
    return summary


def verify_events(folder: Path) -> list[str]:
    """The figures of a run's events that differ from those that its predictions and its annotations give, a line each;
    empty if all agree, and for a run without events. Raises `HubbubError` where the annotations cannot be read."""
    file = run_folder.events_folder(folder) / event_page.SCORES
    if not file.is_file():
        return []
    written, recipe = read_json(file, EventSummary), run_folder.read_recipe(folder)
    clips = open_clips(recipe)
    found, facts = _found_events(clips, recipe, folder)
    again = event_summary(found, clips.labels, facts, written.notes).as_json()
    again["hubbub"] = written.hubbub
    return list(differences(run_folder.events_folder(folder).name, written.as_json(), again))


def _found_events(clips: Clips, recipe: Recipe, folder: Path) -> tuple[FoundEvents, dict[str, object]]:
    """The true and found events of all test parts, and what was scored."""
    seed, names, every = recipe.train.seeds[0], list[str](), list[tuple[ScoredRecording, list[Event]]]()
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
    facts: dict[str, object] = {
        "title": f"{recipe.title}: events",
        "predictions": predictions,
        "predictions_sha256": digest.hexdigest(),
        "truth": clips.name,
        "threshold": None,
    }
    return found, facts


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
