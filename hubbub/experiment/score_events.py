"""Scores found events, or scores of frames, against annotations: the field's own figures, and a page."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from hubbub.data.event_tables import EventTables, Frames, match, read_events, read_frames
from hubbub.errors import HubbubError, count, examples
from hubbub.experiment.bench import print_line
from hubbub.experiment.event_figures import FoundEvents, event_summary, worst_recordings
from hubbub.experiment.prepare import Log
from hubbub.inference.events import EventSettings, detect_events
from hubbub.metrics.scored import ScoredRecording
from hubbub.report import event_page, run_folder
from hubbub.report.event_results import EventSummary
from hubbub.runtime import files

__all__ = ["EventScoreError", "Unlisted", "event_folder", "score_events"]

#: What recordings of the predictions are that no annotation table names.
Unlisted = Literal["refuse", "empty", "leave-out"]


class EventScoreError(HubbubError):
    """Predictions and annotations that cannot be scored together."""


def score_events(
    predictions: str | Path,
    truth: str | Path,
    *,
    threshold: float = 0.5,
    unlisted: Unlisted = "refuse",
    out: str | Path = "runs",
    name: str | None = None,
    quiet: bool = False,
) -> EventSummary:
    """Scores what a program found in recordings against annotations, and returns the figures.

    `truth` is an annotation table or a folder of them, with their recordings beside them where lengths are to be known.
    `predictions` are found events in any form that annotations may have, such as `hubbub classify --events --csv`
    writes; or scores of frames, a table with `file`, `start`, `end` [s] and one column a class, in which a class is
    found where its score reaches `threshold`. `unlisted` says what a recording is that no annotation table names: an
    error, one without events, or left out. The folder `out`/`name` (default: the file's name) gets the figures as
    `event_scores.json` and a page. Raises `EventScoreError` and `ClipsError`.
    """
    given, annotated = Path(predictions), Path(truth)
    log: Log = (lambda line: None) if quiet else print_line
    folder = event_folder(given, out, name)
    _refuse_other(folder)
    if not 0 < threshold <= 1:
        raise EventScoreError(f"a threshold of {threshold:g}: give a score above 0 and up to 1.")
    events = read_events(annotated)
    if not events.labels:
        raise EventScoreError(f"{annotated} holds no event, so there is nothing to find. Give annotations with some.")
    frames = read_frames(given, events.labels)
    notes = list(events.notes)
    if frames is None:
        scored = _events_of(given, events, unlisted, notes)
    else:
        scored = _frames_of(frames[0], events, threshold, unlisted, notes)
        notes += frames[1]
    for line in notes:
        log(f"warning: {line}")
    facts = {
        "title": f"{annotated.stem}: events of {given.name}",
        "predictions": given.name,
        "predictions_sha256": _sha256(given),
        "truth": annotated.name,
        "threshold": None if scored.scored is None else threshold,
    }
    summary = event_summary(scored, events.labels, facts, notes)
    with files.whole_folder(folder, event_page.SCORES) as place:
        event_page.write_event_page(place, summary, worst_recordings(scored, events.labels))
    return summary


def event_folder(predictions: str | Path, out: str | Path = "runs", name: str | None = None) -> Path:
    """The folder that `score_events` writes for these arguments."""
    return Path(out) / run_folder.run_name(Path(predictions).name, given=name)


def _refuse_other(folder: Path) -> None:
    if folder.is_dir() and any(folder.iterdir()) and not (folder / event_page.SCORES).is_file():
        raise EventScoreError(f"{folder} holds other things, which are not replaced. Give another --name (name=).")


def _events_of(given: Path, events: EventTables, unlisted: Unlisted, notes: list[str]) -> FoundEvents:
    """True and found events, from tables of found events."""
    found = read_events(given, with_sounds=False)
    names = _recordings(list(found.events), events, unlisted, notes)
    own = {recording: found.events[name] for name, recording in names.items()}
    others = sorted({event.label for rows in own.values() for event in rows} - set(events.labels))
    if others:
        extra = sum(event.label in others for rows in own.values() for event in rows)
        notes.append(
            f"NOT SCORED: {count(extra, 'found event')} of {count(len(others), 'class', 'classes')} that no annotation "
            f"names ({examples(others)}): absent and not annotated look alike"
        )
    if silent := [name for name in events.events if name not in own]:
        notes.append(
            f"NOTHING FOUND: {count(len(silent), 'recording')} without found events ({examples(silent)}); if they were "
            "not searched, leave them out of the annotations"
        )
    everything = list(dict.fromkeys([*events.events, *own]))
    return FoundEvents(
        everything,
        [events.events.get(name, ()) for name in everything],
        [[event for event in own.get(name, ()) if event.label in events.labels] for name in everything],
        [events.seconds.get(name) for name in everything],
        None,
    )


def _frames_of(
    frames: Mapping[str, Frames], events: EventTables, threshold: float, unlisted: Unlisted, notes: list[str]
) -> FoundEvents:
    """True and found events, from scores of frames."""
    names = _recordings(list(frames), events, unlisted, notes)
    own = {recording: frames[name] for name, recording in names.items()}
    if missing := [name for name in events.events if name not in own]:
        raise EventScoreError(
            f"{count(len(missing), 'annotated recording has', 'annotated recordings have')} no scores "
            f"({examples(missing)}). Give the scores of all, or leave these out of the annotations."
        )
    settings = EventSettings(threshold)
    everything = list(own)
    true = [events.events.get(name, ()) for name in everything]
    seconds: list[float | None] = [
        events.seconds.get(name) or float(own[name].edges[-1]) for name in everything
    ]  # the last frame ends with the sound
    found = [
        detect_events(np.stack([one.edges[:-1], one.edges[1:]], axis=1), one.scores, events.labels, settings)
        for one in own.values()
    ]
    scored = [
        ScoredRecording(own[name].scores, own[name].edges, rows, length)
        for name, rows, length in zip(everything, true, seconds, strict=True)
    ]
    return FoundEvents(everything, true, found, seconds, scored)


def _recordings(names: Sequence[str], events: EventTables, unlisted: Unlisted, notes: list[str]) -> dict[str, str]:
    """The recording that each name of the predictions means; names that no annotations know are as `unlisted` says."""
    matched = match(names, list(events.events))
    if not matched and names:
        raise EventScoreError(
            f"no recording of the predictions is annotated: they name {examples(names)}, the annotations "
            f"{examples(events.events)}. Give annotations of the same recordings."
        )
    others = [name for name in names if name not in matched]
    if others and unlisted == "refuse":
        raise EventScoreError(
            f"{count(len(others), 'recording')} of the predictions without annotations ({examples(others)}). Say what "
            "they are: --unlisted empty where nothing happens in them, --unlisted leave-out where nobody listened "
            "(unlisted=)."
        )
    if others:
        said = "taken as without events" if unlisted == "empty" else "left out"
        notes.append(f"WITHOUT ANNOTATIONS: {count(len(others), 'recording')} {said} ({examples(others)})")
    return matched | ({name: name for name in others} if unlisted == "empty" else {})


def _sha256(path: Path) -> str:
    """The SHA-256 of a file, or of the files of a folder by name."""
    if path.is_file():
        return files.sha256(path)
    digest = hashlib.sha256()
    for file in sorted(place for place in path.rglob("*") if place.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()} {files.sha256(file)}\n".encode())
    return digest.hexdigest()
