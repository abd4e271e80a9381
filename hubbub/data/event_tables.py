"""Events of recordings and scores of frames, as tables hold them.

Events, true ones and found ones, are read from all that `annotations` reads: a file, or a folder of files. Scores of
frames are tables with a row a frame: its start, its end, and one column a class, as `hubbub.classify(segments=True)`
and sed_scores_eval write them. A recording is known by its name and as much of its folders as tells it from others.
"""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from hubbub.audio.find_files import search
from hubbub.data import annotations, values
from hubbub.data.annotation_sources import Sounds, Source, locate, stems
from hubbub.data.clip_lists import seconds as read_seconds
from hubbub.data.predictions import read_predictions
from hubbub.data.recordings import sound_seconds, within_files, without_ending
from hubbub.data.values import ClipsError, clean
from hubbub.errors import count, examples
from hubbub.metrics.events import joined, times

__all__ = ["EventTables", "Frames", "TimedEvent", "match", "read_events", "read_frames"]

Array = npt.NDArray[np.float64]
#: Names of columns in lower case.
_STARTS, _ENDS = ("start", "onset", "start_s", "begin"), ("end", "offset", "end_s", "stop")
_RECORDINGS = ("file", "filename", "path", "recording", "clip", "audio", "audio_file")
#: Columns of `hubbub.classify` that hold no scores of a class.
_FACTS = {"seconds", "label", "score", "known", "warnings", "error", "recorded", "clock", "row"}
_CLASS = " (class)"
#: Endings of tables of scores.
_TABLES = (".csv", ".tsv", ".txt", ".parquet", ".jsonl", ".ndjson")
#: How far the end of a frame may lie before the start of the next one [s].
_ROUNDING_S = 1e-3


class TimedEvent(NamedTuple):
    """A class that sounds from `start` to `end` [s]."""

    label: str
    start: float
    end: float


@dataclass(frozen=True)
class EventTables:
    """The events of each recording, those without any included, by the recording's name in the tables.

    `seconds` is the length of each recording whose sound is here. `notes` say what was left out or joined.
    """

    events: Mapping[str, Sequence[TimedEvent]]
    seconds: Mapping[str, float]
    notes: tuple[str, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes that occur, in order."""
        return values.in_order({event.label for events in self.events.values() for event in events})


@dataclass(frozen=True)
class Frames:
    """The scores `[T, K]` of a recording's frames between `edges` `[T + 1]` [s]."""

    edges: Array
    scores: Array


def read_events(path: Path, *, with_sounds: bool = True) -> EventTables:
    """The events in an annotation table, or in all annotation tables below a folder.

    `with_sounds` looks for the recordings beside the tables, for their lengths; those that are not there have none.
    Overlapping events of a class in a recording become one. Raises `ClipsError` where a file is no annotation table, a
    recording is annotated twice or in parts alone, and for times that are not within it.
    """
    if not path.exists():
        raise ClipsError(f"{path} is not there. Name a table of events, or a folder of them.")
    base = path if path.is_dir() else path.parent
    sounds = Sounds(base) if with_sounds else None
    names = search(path, annotations.ENDINGS).files if path.is_dir() else [str(path)]
    events: dict[str, list[TimedEvent]] = {}
    table_of: dict[str, Path] = {}
    seconds: dict[str, float] = {}
    notes: list[str] = []
    for file in map(Path, names):
        given = annotations.read(file)
        if given is None:
            if path.is_dir():
                continue
            raise ClipsError(f"{path} is no table of events. Give one with the columns file, start, end and label.")
        if given.problem:
            raise given.problem
        source = locate(given, sounds) if sounds else Source(given, [""] * len(given.table), [], {})
        _refuse_parts(source)
        notes += given.notes
        for name, rows in _by_recording(source, base, notes):
            if name in table_of and table_of[name] != file:
                raise ClipsError(
                    f"{base}: {name} is annotated by {table_of[name].name} and by {file.name}. Name one of the two "
                    "tables, or move the other away."
                )
            table_of[name] = file
            events.setdefault(name, []).extend(rows)
        for place in source.found:
            if (length := sound_seconds(place)) is not None:
                seconds[_relative(place, base)] = length
    if not events:
        raise ClipsError(f"{path} holds no table of events. Give tables with the columns file, start, end and label.")
    cut = {
        name: [event._replace(end=min(event.end, seconds.get(name, np.inf))) for event in rows]
        for name, rows in events.items()
    }
    whole = {name: _joined(rows) for name, rows in cut.items()}
    if fewer := sum(map(len, events.values())) - sum(map(len, whole.values())):
        notes.append(
            f"OVERLAPS JOINED: {count(fewer, 'event overlaps', 'events overlap')} another of its class in the same "
            "recording; together they are one"
        )
    return EventTables(whole, seconds, tuple(notes))


def read_frames(path: Path, labels: Sequence[str]) -> tuple[dict[str, Frames], tuple[str, ...]] | None:
    """The scores of each recording's frames, in the order of `labels`, and notes; None where `path` holds no scores.

    Where frames overlap, each covers its half of the overlap. Raises `ClipsError` for frames that do not follow each
    other, for scores that are no numbers, and where a class has no column.
    """
    names = [Path(name) for name in search(path, _TABLES).files] if path.is_dir() else [path]
    frames: dict[str, Frames] = {}
    others: dict[str, None] = {}
    for file in names:
        table = read_predictions(file)
        columns = _columns(file, table, labels)
        if columns is None:
            if path.is_dir() and frames:
                raise ClipsError(f"{file} holds no scores of frames, and others in {path} do. Move it away.")
            return None
        others |= dict.fromkeys(columns.others)
        named = [clean(cell) for cell in values.text(table[columns.recording])] if columns.recording else []
        keys = pd.Series(named or [list(stems(file))[-1]] * len(table), index=table.index, dtype=object)
        for name, rows in table.groupby(keys, sort=False):
            if str(name) in frames:
                raise ClipsError(f"{path}: {name} has scores in two tables. Give each recording one.")
            frames[str(name)] = _frames(file, str(name), rows, columns)
    notes: tuple[str, ...] = ()
    if others:
        notes = (f"NOT SCORED: {count(len(others), 'column')} that no annotation names: {examples(others)}",)
    return frames, notes


def match(names: Sequence[str], recordings: Sequence[str]) -> dict[str, str]:
    """The recording that each name means, for those that mean one: the same file name without ending, and of several
    the one with most of its folders. Raises `ClipsError` where several recordings or names are left."""
    index: dict[str, list[str]] = {}
    for recording in recordings:
        index.setdefault(_parts(recording)[0], []).append(recording)
    found: dict[str, str] = {}
    taken: dict[str, str] = {}
    for name in dict.fromkeys(names):
        there = index.get(_parts(name)[0], [])
        common = [_common(_parts(name), _parts(recording)) for recording in there]
        best = [recording for recording, n in zip(there, common, strict=True) if n == max(common)]
        if len(best) > 1:
            raise ClipsError(f"{name} may be {' or '.join(best[:3])}. Write more of its path.")
        if best:
            if other := taken.get(best[0]):
                raise ClipsError(f"{other} and {name} both mean {best[0]}. Call each recording by one name.")
            found[name], taken[best[0]] = best[0], name
    return found


@dataclass(frozen=True)
class _Columns:
    """The columns of a table of scores: those of the classes `[K]`, and numbers of no class."""

    recording: str
    start: str
    end: str
    classes: tuple[str, ...]
    others: tuple[str, ...]


def _columns(file: Path, table: pd.DataFrame, labels: Sequence[str]) -> _Columns | None:
    """The columns of a table of scores; None where it has no column of a class or of times."""
    plain = {str(name).strip().casefold(): str(name) for name in reversed(table.columns)}
    start, end, recording = (
        next((plain[name] for name in names if name in plain), "") for names in (_STARTS, _ENDS, _RECORDINGS)
    )
    classes = {label: name for label in labels for name in (label + _CLASS, label) if name in table.columns}
    if not (start and end and classes):
        return None
    classes = {label: label + _CLASS if label + _CLASS in table.columns else label for label in classes}
    if missing := [label for label in labels if label not in classes]:
        raise ClipsError(
            f"{file} has no column for {count(len(missing), 'class', 'classes')} of the annotations "
            f"({examples(missing)}). Add one with its scores, 0 where it is never found."
        )
    used = {start, end, recording, *classes.values()}
    others = [str(name) for name in table.columns if name not in used and str(name).casefold() not in _FACTS]
    return _Columns(recording, start, end, tuple(classes[label] for label in labels), tuple(others))


def _frames(file: Path, name: str, rows: pd.DataFrame, columns: _Columns) -> Frames:
    """A recording's frames in order of time."""
    start, end = (read_seconds(file, rows[column]).to_numpy(float) for column in (columns.start, columns.end))
    scores = np.stack([_numbers(file, rows, column) for column in columns.classes], axis=1)
    order = np.argsort(start, kind="stable")
    start, end, scores = start[order], end[order], scores[order]
    if (wrong := np.flatnonzero(~(end > start) | (start < 0))).size:
        at = rows.index[order[wrong[0]]]
        raise ClipsError(f"{file}: row {at} is a frame from {start[wrong[0]]:g} to {end[wrong[0]]:g} s. Correct it.")
    gap, again = start[1:] > end[:-1] + _ROUNDING_S, start[1:] <= start[:-1]
    if (wrong := np.flatnonzero(gap | again)).size:
        at = rows.index[order[wrong[0] + 1]]
        why = "is given twice" if again[wrong[0]] else "does not follow the one before"
        raise ClipsError(
            f"{file}: the frame of {name} at {start[wrong[0] + 1]:g} s (row {at}) {why}. Give the scores of all frames "
            "of a recording, each once."
        )
    edges = np.concatenate([start[:1], (end[:-1] + start[1:]) / 2, end[-1:]])
    return Frames(edges, scores)


def _numbers(file: Path, rows: pd.DataFrame, column: str) -> Array:
    found = pd.to_numeric(pd.Series(values.text(rows[column]), index=rows.index), errors="coerce").to_numpy(float)
    if (wrong := np.flatnonzero(~np.isfinite(found))).size:
        at = rows.index[wrong[0]]
        raise ClipsError(
            f"{file}: '{rows[column].iloc[wrong[0]]}' in row {at}, column '{column}', is no number. Write it with a "
            "point."
        )
    return found


def _by_recording(source: Source, base: Path, notes: list[str]) -> Iterator[tuple[str, list[TimedEvent]]]:
    """The events of a table by recording; those at a point in time are left out, with a note."""
    given = source.given
    table = given.table.assign(path=source.paths)
    last = list(stems(given.file))[-1]
    table["clip"] = [
        _relative(path, base) if path else text or last
        for path, text in zip(source.paths, table["recording"], strict=True)
    ]
    point = table["start"] == table["end"]
    if point.any():
        notes.append(f"LEFT OUT: {count(int(point.sum()), 'label')} of {given.file.name} at a point in time")
    table = table[~point]
    there = table["path"] != ""
    notes += within_files(str(given.file), table[there])
    if (wrong := table[~there & ((table["start"] < 0) | ~(table["end"] > table["start"]))]).size:
        raise ClipsError(f"{given.file}: row {wrong.index[0]} ends before it starts, or starts before 0. Correct it.")
    for name, rows in table.groupby("clip", sort=False):
        spans = zip(rows["label"], rows["start"], rows["end"], strict=True)
        yield str(name), [TimedEvent(str(label), float(start), float(end)) for label, start, end in spans]
    without = [_relative(place, base) for place in source.without] or list(given.without)
    if given.table.empty and not without:
        without = [last]
    for name in without:
        yield name, []


def _refuse_parts(source: Source) -> None:
    if source.given.regions:
        raise ClipsError(
            f"{source.given.file} annotates parts of recordings alone, so events elsewhere cannot be judged. Give "
            "annotations of whole recordings."
        )


def _joined(events: Sequence[TimedEvent]) -> list[TimedEvent]:
    """The same events by onset, those of one class that overlap as one."""
    found = []
    for label in dict.fromkeys(event.label for event in events):
        starts, ends = joined(*times([event for event in events if event.label == label]))
        found += [TimedEvent(label, *span) for span in zip(starts.tolist(), ends.tolist(), strict=True)]
    return sorted(found, key=lambda one: (one.start, one.label))


def _relative(path: str, base: Path) -> str:
    place = Path(path)
    return place.relative_to(base).as_posix() if place.is_relative_to(base) else place.as_posix()


def _parts(name: str) -> list[str]:
    """The file name without ending, and the folders before it from the nearest, as they are compared."""
    *folders, file = PurePosixPath(clean(name).replace("\\", "/")).parts or ("",)
    return [unicodedata.normalize("NFC", part).casefold() for part in (without_ending(file), *reversed(folders))]


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """How many parts are alike from the first on."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
