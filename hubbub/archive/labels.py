"""Stores what people say about the segments of an archive.

Statements are only ever added, so that two people at once lose nothing. What follows from them for each class is in
`data/archive_labels.py`.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hubbub.archive.changes import now
from hubbub.data.archive_file import ArchiveError, transaction
from hubbub.data.archive_labels import class_names
from hubbub.errors import did_you_mean

__all__ = ["HOW", "Said", "Statement", "add_class", "said", "state", "undo"]

Value = Literal["yes", "no", "nothing", "unsure", ""]
#: Values of a class, and those of a whole segment; "" takes back what was said before.
OF_CLASS, OF_SEGMENT = ("yes", "no", ""), ("nothing", "unsure", "")
#: How a segment came to be heard.
HOW = ("random", "stratum", "uncertain", "diverse", "likely-wrong", "search", "list", "map")
LONGEST_NAME = 100


@dataclass(frozen=True)
class Statement:
    """One person's word on a segment: of a class `yes`, `no` or "" (taken back); without a class, of the whole segment
    `nothing` (none of the classes is in it), `unsure` or "". `weight`: how many segments a random draw stands for."""

    segment: int
    name: str | None
    value: Value
    how: str
    weight: float | None = None


@dataclass(frozen=True)
class Said:
    """The latest word on a class of a segment, or without a name on the whole segment."""

    name: str | None
    value: Value
    who: str
    at: str


def add_class(database: sqlite3.Connection, name: str, who: str) -> str:
    """Add a class, if there is none of this name; its name without outer spaces. Raises `ArchiveError` for a name that
    is empty, too long, or holds control characters."""
    clean = " ".join(name.split())
    if not clean or len(clean) > LONGEST_NAME or not clean.isprintable():
        raise ArchiveError(f"a class has a name of 1 to {LONGEST_NAME} printable characters, not {name[:120]!r}.")
    with transaction(database):
        database.execute("INSERT OR IGNORE INTO classes VALUES (?, ?, ?)", (clean, now(), who))
    return clean


def state(database: sqlite3.Connection, statements: Sequence[Statement], who: str, request: str, segments: int) -> int:
    """Store what a person said, all or nothing; on the disk when it returns. A `request` that was stored before is not
    stored again. Returns the number of statements stored.

    Raises `ArchiveError` for a segment, a class, a value or a way of finding that does not exist.
    """
    names = class_names(database)
    for one in statements:
        _refuse(one, names, segments)
    rows = [(request, one.segment, one.name, one.value, who, now(), one.how, one.weight) for one in statements]
    with transaction(database):
        if database.execute("SELECT 1 FROM labels WHERE request = ? LIMIT 1", (request,)).fetchone():
            return 0
        database.executemany(
            "INSERT INTO labels (request, segment, class, value, who, at, how, weight) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
    return len(rows)


def _refuse(one: Statement, names: Sequence[str], segments: int) -> None:
    if not 0 <= one.segment < segments:
        raise ArchiveError(f"there is no segment {one.segment}: the archive has 0 to {segments - 1}.")
    if one.name is not None and one.name not in names:
        raise ArchiveError(f"there is no class '{one.name}'. {did_you_mean(one.name, names)} Add it first.")
    allowed = OF_SEGMENT if one.name is None else OF_CLASS
    if one.value not in allowed:
        raise ArchiveError(f"'{one.value}' is not said of a {'segment' if one.name is None else 'class'}: {allowed}.")
    if one.how not in HOW:
        raise ArchiveError(f"no segment is found by '{one.how}'. {did_you_mean(one.how, HOW)}")
    if one.weight is not None and not 0 < one.weight < np.inf:
        raise ArchiveError(f"a random draw stands for a number of segments above 0, not {one.weight}.")


def undo(database: sqlite3.Connection, who: str, request: str) -> list[int]:
    """Take back the last request of a person: what was said before counts again, but where someone has said something
    since. Returns its segments; none where there is nothing to take back. It is itself stored, as `request`."""
    with transaction(database):
        if database.execute("SELECT 1 FROM labels WHERE request = ? LIMIT 1", (request,)).fetchone():
            return []
        last = _last_request(database, who)
        if last is None:
            return []
        rows = database.execute(
            "SELECT min(id), segment, class, how FROM labels WHERE request = ? GROUP BY segment, class", (last,)
        ).fetchall()
        for first, segment, name, how in rows:
            said = database.execute(
                "SELECT id, value, who FROM labels WHERE segment = ? AND class IS ? ORDER BY id", (segment, name)
            ).fetchall()
            before = next((value for number, value, _ in reversed(said) if number < first), "")
            value = before if said[-1][2] == who else said[-1][1]
            database.execute(
                "INSERT INTO labels (request, segment, class, value, who, at, how, undoes) VALUES (?,?,?,?,?,?,?,?)",
                (request, segment, name, value, who, now(), how, last),
            )
    return sorted({row[1] for row in rows})


def _last_request(database: sqlite3.Connection, who: str) -> str | None:
    """The latest request of a person that neither takes one back nor was taken back."""
    found = database.execute(
        "SELECT request FROM labels WHERE who = ? AND undoes IS NULL AND request NOT IN "
        "(SELECT undoes FROM labels WHERE undoes IS NOT NULL) ORDER BY id DESC LIMIT 1",
        (who,),
    ).fetchone()
    return found[0] if found else None


def said(database: sqlite3.Connection, segments: Sequence[int]) -> dict[int, list[Said]]:
    """The latest words on each of some segments, the newest last; those that were taken back are left out."""
    found: dict[int, list[Said]] = {segment: [] for segment in segments}
    rows = database.execute(
        "SELECT segment, class, value, who, at FROM labels WHERE id IN (SELECT max(id) FROM labels "
        f"WHERE segment IN ({', '.join('?' * len(found))}) GROUP BY segment, class) AND value != '' ORDER BY id",
        list(found),
    )
    for segment, *rest in rows:
        found[segment].append(Said(*rest))
    return found
