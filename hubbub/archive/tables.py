"""The labels and the scores of an archive as CSV tables, in the columns of `hubbub classify --csv`."""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from hubbub.archive.session import Session, State
from hubbub.runtime.escape import escape_cell

__all__ = ["labels_csv", "scores_csv"]

#: Rows that are handed on at a time.
ROWS = 1_000


def labels_csv(session: Session) -> Iterator[str]:
    """What was said last of each segment and class, as far as it was not taken back; `label` is empty for a statement
    about the whole segment."""
    rows = session.query(
        "SELECT segment, class, value, who, at, how, weight FROM labels WHERE id IN "
        "(SELECT max(id) FROM labels GROUP BY segment, class) AND value != '' ORDER BY segment, id"
    )
    archive = session.state.archive
    head = ("file", "start", "end", "label", "value", "who", "at", "how", "weight", "site", "clock")

    def table() -> Iterator[tuple[Any, ...]]:
        for segment, name, value, who, at, how, weight in rows:
            place = archive.place(segment)
            ends = (escape_cell(place.path), place.start, place.end, escape_cell(name or ""), value, escape_cell(who))
            yield *ends, at, how, "" if weight is None else weight, escape_cell(place.site), place.clock

    return _lines(head, table())


def scores_csv(state: State, threshold: float) -> Iterator[str]:
    """The scores of all classes from a threshold on, of the recordings that are there."""
    head = ("file", "start", "end", "label", "score", "clock", "site")
    scores = [
        (escape_cell(name), found) for name in state.labels.classes if (found := state.scores_of(name)) is not None
    ]

    def table() -> Iterator[tuple[Any, ...]]:
        for segment in np.flatnonzero(state.archive.here).tolist():
            place = None
            for name, found in scores:
                if found[segment] >= threshold:
                    place = place or state.archive.place(segment)
                    score = round(float(found[segment]), 6)
                    site = escape_cell(place.site)
                    yield escape_cell(place.path), place.start, place.end, name, score, place.clock, site

    return _lines(head, table())


def _lines(head: Iterable[str], rows: Iterator[tuple[Any, ...]]) -> Iterator[str]:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    for number, row in enumerate(rows, 1):
        writer.writerow(row)
        if number % ROWS == 0:
            yield text.getvalue()
            text.seek(0)
            text.truncate()
    yield text.getvalue()
