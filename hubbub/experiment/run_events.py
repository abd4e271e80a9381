"""How well a run found the events of annotated recordings, from the scores of its test parts: figures and a page."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from hubbub.classifier.calibration import Confidence
from hubbub.classifier.prediction import Event
from hubbub.data.clips import Clips
from hubbub.data.event_tables import TimedEvent
from hubbub.experiment.event_figures import FoundEvents, event_summary, worst_recordings
from hubbub.experiment.prepare import Prepared
from hubbub.inference.events import EventDetector, sort_events
from hubbub.metrics.scored import ScoredRecording
from hubbub.report import event_page, run_folder
from hubbub.report.event_results import EventSummary
from hubbub.runtime import files

__all__ = ["write_events"]

Array = npt.NDArray[np.float64]


def write_events(prepared: Prepared, folder: Path) -> EventSummary | None:
    """Writes how well a finished run found the events of its recordings, and returns the figures; None where its clips
    are not parts of annotated recordings.

    The recordings of all test parts count, each scored by the model of its fold with the run's first seed, at the
    thresholds that this model's validation part chose (`evaluate.events`, or .5).
    """
    clips = prepared.clips
    if clips.timed is None:
        return None
    seed, names, every = prepared.recipe.train.seeds[0], list[str](), list[tuple[ScoredRecording, list[Event]]]()
    for _, own_seed, place in run_folder.cells(folder):
        if own_seed != seed:
            continue
        rows = run_folder.read_predictions(place)
        segments = rows[rows["level"] == "segment"]
        for name, recording in _recordings(clips, segments):
            names.append(name)
            every.append((recording, _found(recording, clips.labels, run_folder.calibration_of(place))))
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
        "predictions_sha256": "",
        "truth": clips.name,
        "threshold": None,
    }
    summary = event_summary(found, clips.labels, facts, prepared.why_not_comparable)
    with files.whole_folder(run_folder.events_folder(folder), event_page.SCORES) as place:
        event_page.write_event_page(place, summary, worst_recordings(found, clips.labels))
    return summary


def _recordings(clips: Clips, segments: pd.DataFrame) -> list[tuple[str, ScoredRecording]]:
    """The recordings whose clips have these segments, each with the scores of all and its true events, by name."""
    places = clips.table.set_index("clip")[["path", "start", "end"]]
    own = segments.join(places.rename(columns={"start": "from", "end": "to"}), on="clip")
    found = []
    for path, rows in own.groupby("path", sort=False):
        starts, ends = (rows[edge].to_numpy(float) + rows["from"].to_numpy(float) for edge in ("start", "end"))
        edges, scores = _joined(starts, ends, rows[list(clips.labels)].to_numpy(np.float64))
        events = [
            TimedEvent(label, start, end)
            for label, (starts_of, ends_of) in clips.events.get(path, {}).items()
            for start, end in zip(starts_of.tolist(), ends_of.tolist(), strict=True)
        ]
        name = str(rows["clip"].iloc[0]).rpartition("@")[0]
        found.append((name, ScoredRecording(scores, edges, events, float(rows["to"].max()))))
    return found


def _joined(starts: Array, ends: Array, scores: Array) -> tuple[Array, Array]:
    """Edges `[T + 1]` and scores `[T, K]` of one row after another from 0 on: where segments overlap, each covers its
    half; where there are none, scores are 0."""
    order = np.argsort(starts, kind="stable")
    edges, rows = [0.0], []
    for at, number in enumerate(order):
        start, end = starts[number], ends[number]
        if start > edges[-1] + _ROUNDING_S:
            edges.append(start)
            rows.append(np.zeros(scores.shape[1]))
        following = starts[order[at + 1]] if at + 1 < len(order) else end
        edges.append((following + end) / 2 if following < end else end)
        rows.append(scores[number])
    return np.array(edges), np.stack(rows)


_ROUNDING_S = 1e-6


def _found(recording: ScoredRecording, labels: Sequence[str], confidence: Confidence) -> list[Event]:
    """The events of a recording at the thresholds of its fold's model."""
    detector = EventDetector(labels, thresholds=confidence.events)
    spans = np.stack([recording.edges[:-1], recording.edges[1:]], axis=1)
    return sort_events(detector.feed(spans, recording.scores) + detector.end())
