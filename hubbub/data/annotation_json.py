"""Read annotations in JSON: soundevent's AOEF (https://github.com/mbsantiago/soundevent), and the lines that
`hubbub classify --json` writes.

AOEF lists recordings, sound events (a geometry in time and frequency), tags, and annotations that join them. Of the
geometry only the time is read, and of a clip's own tags only those of clips without sound events.
"""

import json
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from hubbub.data.values import ClipsError, clean
from hubbub.errors import count, examples

__all__ = ["ENDINGS", "Annotations", "read", "table_of", "unusable"]

ENDINGS = (".json", ".jsonl", ".aoef")
_COLUMNS = ("recording", "start", "end", "label", "group")
#: The keys of a line about a recording that could not be read.
_FAILED = {"file", "error"}
Json = dict[str, Any]
Row = tuple[str, float, float, str, str]


@dataclass(frozen=True)
class Annotations:
    """A file's annotations.

    `table` has `recording` (as the file names it, "" where only the file's own name tells), `start`, `end` [s], `label`
    and `group` ("" for none); its index `row` counts rows as messages do. `without` names recordings in which nothing
    was found. `regions` are the parts of recordings that were searched: recording, start, end; None for all of them.
    `is_machine`: a program's detections, not a person's labels. `columns`: the table's own. `problem`: why its times or
    labels cannot be used; then `table` is about the recordings only.
    """

    file: Path
    program: str
    table: pd.DataFrame
    without: tuple[str, ...] = ()
    regions: tuple[tuple[str, float, float], ...] | None = None
    is_machine: bool = False
    notes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    problem: ClipsError | None = None


def table_of(rows: Sequence[Row], numbers: Sequence[int]) -> pd.DataFrame:
    """Rows of recording, start, end, label, group, and their numbers -> the table of `Annotations`."""
    table = pd.DataFrame(list(rows), columns=list(_COLUMNS), index=pd.Index(numbers, name="row", dtype=int))
    return table.astype({"start": float, "end": float})


def unusable(file: Path, recordings: Sequence[str], problem: ClipsError) -> Annotations:
    """Annotations of these recordings, of which no more can be read."""
    rows = [(recording, 0.0, 0.0, "", "") for recording in recordings]
    return Annotations(file, "", table_of(rows, range(len(rows))), problem=problem)


def read(file: Path, columns: Mapping[str, str] | None = None) -> Annotations | None:
    """The annotations of a JSON file; None where it holds none that are known.

    `columns` may give `label` the key of the tags that are the labels. Raises `ClipsError` where parts of the file do
    not fit each other.
    """
    columns = dict(columns or {})
    try:
        content = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return None
    try:
        whole = json.loads(content)
    except (ValueError, RecursionError):
        whole = None
    try:
        if isinstance(whole, dict) and isinstance(whole.get("data"), dict) and "collection_type" in whole["data"]:
            collection = _Aoef(file, whole["data"], columns)
            try:
                return collection.annotations()
            except ClipsError as problem:
                return unusable(file, [str(one["path"]) for one in collection.recordings.values()], problem)
        return _lines(file, content, columns)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ClipsError(f"{file}: a part of it is missing or does not fit ({error!r}). Export it again.") from error


def _lines(file: Path, content: str, columns: Mapping[str, str]) -> Annotations | None:
    """The lines of `hubbub classify --json`: events if they were asked for, else segments."""
    rows: list[Row] = []
    numbers, without, failed = [], [], []
    for number, line in enumerate(content.splitlines(), 1):
        if not clean(line):
            continue
        try:
            result = json.loads(line)
        except (ValueError, RecursionError):
            return None
        if not isinstance(result, dict) or not ({"file", "segments", "model"} <= set(result) or set(result) == _FAILED):
            return None
        if "error" in result:
            failed.append(str(result["file"]))
            continue
        events: list[Json] = result["events" if "events" in result else "segments"]
        if not events:
            without.append(str(result["file"]))
        for event in events:
            rows.append((str(result["file"]), float(event["start"]), float(event["end"]), clean(event["label"]), ""))
            numbers.append(number)
    if not rows and not without:
        return None
    if columns:
        raise ClipsError(f"{file} has no columns: hubbub wrote it. Leave [data.columns] out.")
    notes = [f"LEFT OUT: {count(len(failed), 'recording')} that {file.name} could not read: {examples(failed)}"]
    table = table_of(rows, numbers)
    return Annotations(file, "hubbub", table, tuple(without), is_machine=True, notes=tuple(notes if failed else ()))


class _Aoef:
    """The parts of an AOEF collection, by their ids."""

    def __init__(self, file: Path, data: Json, columns: dict[str, str]) -> None:
        self.file, self.data = file, data
        if set(columns) - {"label"}:
            raise ClipsError(f"{file} has no columns; only label can be named, by the key of its tags.")
        self.key = columns.get("label", "")
        self.recordings = {one["uuid"]: one for one in self._all("recordings")}
        self.clips = {one["uuid"]: one for one in self._all("clips")}
        self.events = {one["uuid"]: one for one in self._all("sound_events")}
        self.tags = {one["id"]: (str(one["key"]), clean(str(one["value"]))) for one in self._all("tags")}

    def _all(self, name: str) -> list[Json]:
        listed: list[Json] | None = self.data.get(name)
        return listed or []

    def annotations(self) -> Annotations | None:
        predicted = self._all("sound_event_predictions")
        marked = self._all("sound_event_annotations") or predicted
        of_clips = self._all("clip_annotations") or self._all("clip_predictions")
        if not marked and not of_clips:
            return None
        found = [*self._of_events(marked), *self._of_clips(of_clips)]
        labels = self._labels([tags for *_, tags in found])
        rows = [(path, start, end, label, "") for (path, start, end, _), label in zip(found, labels, strict=True)]
        regions = tuple(self._span(one) for one in of_clips)
        named = {row[0] for row in rows}
        without = tuple(dict.fromkeys(path for path, _, _ in regions if path not in named))
        table = table_of(rows, range(1, len(rows) + 1))
        is_machine = bool(predicted) or bool(self._all("clip_predictions"))
        return Annotations(self.file, "soundevent", table, without, regions or None, is_machine)

    def _path(self, recording: str) -> str:
        facts = self.recordings[recording]
        if (expansion := facts.get("time_expansion") or 1) != 1:
            raise ClipsError(
                f"{self.file}: {facts['path']} is expanded in time by {expansion:g}, and such recordings are not read. "
                "Give recordings at their own speed."
            )
        return str(facts["path"])

    def _span(self, of_clip: Json) -> tuple[str, float, float]:
        """The recording of an annotated clip, and its start and end there [s]."""
        clip = self.clips[of_clip["clip"]]
        start, end = float(clip["start_time"]), float(clip["end_time"])
        if not (math.isfinite(start) and math.isfinite(end)):
            raise ValueError(f"a clip lasts from {start} to {end} s")
        return self._path(clip["recording"]), start, end

    def _of_events(self, marked: list[Json]) -> Iterator[tuple[str, float, float, list[int]]]:
        for one in marked:
            event = self.events[one["sound_event"]]
            times = list(_times(event["geometry"]))
            yield self._path(event["recording"]), min(times), max(times), self._tags(one)

    def _of_clips(self, of_clips: list[Json]) -> Iterator[tuple[str, float, float, list[int]]]:
        """Whole clips with tags and without sound events."""
        for one in of_clips:
            if one.get("tags") and not one.get("sound_events"):
                yield *self._span(one), self._tags(one)

    def _tags(self, one: Json) -> list[int]:
        """A tag's id, or the best of several predicted ones: id and score."""
        tags = one.get("tags") or []
        if tags and isinstance(tags[0], list):
            return [max(tags, key=lambda tag: tag[1])[0]]
        return list(tags)

    def _labels(self, tags: list[list[int]]) -> list[str]:
        keys = list(dict.fromkeys(self.tags[tag][0] for of_one in tags for tag in of_one))
        key = self.key or (keys[0] if len(keys) == 1 else "")
        if (tags and not key) or (self.key and self.key not in keys):
            raise ClipsError(
                f"{self.file}: the label may be any of its tags ({', '.join(keys) or 'there are none'}). Name the key "
                "of the right one, e.g. --set " + shlex.quote(f"data.columns.label={keys[0] if keys else 'species'}")
            )
        labels = [[self.tags[tag][1] for tag in of_one if self.tags[tag][0] == key] for of_one in tags]
        if odd := [number for number, of_one in enumerate(labels, 1) if len(set(of_one)) != 1 or not of_one[0]]:
            raise ClipsError(
                f"{self.file}: {count(len(odd), 'annotation')} without exactly one tag '{key}' (number "
                f"{examples(odd)}). Label or remove them."
            )
        return [of_one[0] for of_one in labels]


def _times(geometry: Json) -> Iterator[float]:
    """The times of a geometry's points [s]."""
    kind, at = geometry["type"], geometry["coordinates"]
    if kind in ("TimeStamp", "TimeInterval", "BoundingBox"):
        yield from [float(at)] if kind == "TimeStamp" else [float(at[0]), float(at[len(at) // 2])]
        return
    waiting = [at]
    while waiting:
        one = waiting.pop()
        if isinstance(one[0], list):
            waiting += one
        elif math.isfinite(one[0]):
            yield float(one[0])
