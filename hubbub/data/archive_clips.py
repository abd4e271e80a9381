"""The labelled segments of an archive as clips, to train on by the ordinary protocol."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hubbub.data import grouping
from hubbub.data.archive_check import refuse_damaged
from hubbub.data.archive_file import ArchiveError, connect, span_of
from hubbub.data.archive_labels import LabelState, label_state
from hubbub.data.clips import COLUMNS, Clips, build
from hubbub.errors import count, listed

__all__ = ["from_archive"]


def from_archive(folder: Path, *, labels: tuple[str, ...] = (), group: str = "", multilabel: bool = False) -> Clips:
    """The segments of an archive that a person heard whole, with the classes that they hold.

    Where each holds exactly one class they are clips of one label; else, or with `multilabel`, clips with label sets,
    in which a class that was added after a segment was heard is unknown. Clips of one recording are one group, or those
    of recordings of one session, as `group` asks (`grouping.assign`). Raises `ClipsError`, and `ArchiveError` where
    nothing is labelled.
    """
    with closing(connect(folder)) as database:
        refuse_damaged(database, folder)
        known = label_state(database)
        segment_s = _segment_s(database, folder)
        rows = list(_rows(known, _Places(database, segment_s)))
    table = pd.DataFrame(rows, columns=[*COLUMNS, "labels", "unknown", "drawn", "state"])
    there = table[table["state"] == "here"].reset_index(drop=True)
    if there.empty:
        raise ArchiveError(
            f"{folder} has no labelled segment whose recording is there. Label some: hubbub explore {folder}"
        )
    single = not multilabel and all(len(own) == 1 for own in there["labels"])
    notes = tuple(_notes(known, len(table) - len(there), there, single))
    there = there.drop(columns=["drawn", "state", *(("labels", "unknown") if single else ())])
    classes = labels or tuple(name for k, name in enumerate(known.classes) if (known.y[known.whole, k] == 1).any())
    clips = build(
        folder.absolute().name or "archive", there, labels=classes, notes=notes, group_source="file", where=str(folder)
    )
    return grouping.regroup(clips, group)


def _segment_s(database: sqlite3.Connection, folder: Path) -> float:
    """The length of a segment [s]. Raises `ArchiveError` where there is none."""
    found = database.execute("SELECT value FROM about WHERE key = 'segment_s'").fetchone()
    try:
        if found and 0 < (length := float(found[0])) < float("inf"):
            return length
    except (TypeError, ValueError):
        pass
    raise ArchiveError(f"{folder} is damaged: it does not say how long a segment is. Put a copy of it back.")


@dataclass(frozen=True)
class _Places:
    """Where segments are."""

    database: sqlite3.Connection
    segment_s: float

    def of(self, segment: int) -> tuple[str, str, str, float, float]:
        """The recording's folder and path, its state, start and end [s]."""
        first, number, root, path, state, seconds = self.database.execute(
            "SELECT first, count, folder, path, state, seconds FROM files WHERE count > 0 AND first <= ? "
            "ORDER BY first DESC LIMIT 1",
            (segment,),
        ).fetchone()
        return root, path, state, *span_of(segment, first, number, seconds, self.segment_s)


def _rows(known: LabelState, places: _Places) -> Iterator[tuple[Any, ...]]:
    """A row of the clip table for each segment that was heard whole."""
    for index in np.flatnonzero(known.whole):
        y = known.y[index]
        root, path, state, start, end = places.of(int(known.segments[index]))
        held, unknown = (tuple(known.classes[k] for k in np.flatnonzero(y == value)) for value in (1, -1))
        clip, file = f"{path}:{start:.3f}", os.path.join(root, path)
        yield clip, file, start, end, "; ".join(sorted(held)), "", path, "", held, unknown, known.drawn[index], state


def _notes(known: LabelState, lost: int, table: pd.DataFrame, single: bool) -> Iterator[str]:
    """Caveats for every result."""
    if chosen := int(table["drawn"].isna().sum()):
        yield (
            f"CHOSEN SEGMENTS: {chosen:,} of {len(table):,} labelled segments were chosen by a person or by a score, "
            "not at random, so the figures describe these and not the archive (hubbub explore estimates those)"
        )
    if late := sorted({name for own in table["unknown"] for name in own}):
        many = count(int(table["unknown"].map(len).gt(0).sum()), "segment was", "segments were")
        reading = "count as without it" if single else "count as unknown there"
        yield f"ADDED LATER: {many} heard before {listed(late)} existed, and {reading}"
    if lost:
        yield f"RECORDINGS GONE: {count(lost, 'labelled segment')} left out, as the recording is not there any more"
    if partly := int((~known.whole & ~known.unsure).sum()):
        yield f"PARTLY HEARD: {count(partly, 'segment')} left out that were heard for one class alone"
    if unsure := int(known.unsure.sum()):
        yield f"UNSURE: {count(unsure, 'segment')} left out that somebody was unsure about"
