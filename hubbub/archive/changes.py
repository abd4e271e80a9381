"""Compares the recordings of a folder with those that an archive knows: new, changed, moved, copied, gone.

A recording is known by its place and the file's stamp (size, times, inode), else by the sha256 of its bytes.
"""

import json
import os
import re
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from hubbub.audio.find_files import Found
from hubbub.audio.recorded import Recorded
from hubbub.data import origins
from hubbub.data.archive_file import ArchiveError, transaction
from hubbub.data.origins import Identity
from hubbub.runtime.processes import cores

__all__ = ["Changes", "Task", "find_changes", "insert", "now", "site_pattern"]

#: Recordings whose bytes are compared between two looks at the disk.
_CURRENT = ("here", "unreadable", "copy")


@dataclass(frozen=True)
class Task:
    """A recording to embed: its path below the folder, its site, and its bytes' sha256 and the file's stamp."""

    folder: str
    path: str
    site: str
    identity: Identity

    @property
    def file(self) -> str:
        return os.path.join(self.folder, self.path)


@dataclass
class Changes:
    """What is new in a folder, and numbers of the other recordings in it; `copies` are of other tasks."""

    tasks: list[Task] = field(default_factory=list)
    copies: list[Task] = field(default_factory=list)
    known: int = 0
    moved: int = 0
    copied: int = 0
    changed: int = 0
    gone: int = 0
    #: Recordings that could not be read before, and why.
    unreadable: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Known:
    """A recording in the database."""

    id: int
    file: str
    state: str
    why: str
    identity: Identity


def site_pattern(site: str | None) -> Callable[[str], str]:
    """Gives the site of a path by a regular expression, whose group `site`, or first group, is the site; without one,
    by the first folder of the path. Raises `ArchiveError` for what is no such expression."""
    if site is None:
        return lambda path: path.partition("/")[0] if "/" in path else ""
    try:
        pattern = re.compile(site)
    except re.error as error:
        raise ArchiveError(f"--site '{site}' is no regular expression ({error}). Mend it.") from error
    if not pattern.groups:
        raise ArchiveError(f"--site '{site}' has no group. Put what names the site in parentheses.")
    group = "site" if "site" in pattern.groupindex else 1

    def site_of(path: str) -> str:
        match = pattern.search(path)
        return (match[group] or "") if match else ""

    return site_of


def find_changes(database: sqlite3.Connection, folder: Path, found: Found, site_of: Callable[[str], str]) -> Changes:
    """Compare the files below a folder with the database; note what moved, was copied or is gone; return the rest."""
    rows = database.execute("SELECT id, folder, path, state, why, content, stamp FROM files").fetchall()
    known = [
        _Known(number, os.path.join(root, path), state, why, (content, json.loads(stamp)))
        for number, root, path, state, why, content, stamp in rows
    ]
    current = {one.file: one for one in known if one.state in _CURRENT}
    contents = {one.identity[0]: one for one in known if one.state in ("gone", "changed", "here")}
    result, new = Changes(), []
    for file in found.files:
        before, stamp = current.get(file), origins.stamp(file)
        if before and len(before.identity[1]) > 1 and list(before.identity[1]) == stamp:
            _count_known(result, before)
        else:
            new.append(file)
    identities = _identities(new)  # before the transaction: reading takes long, and people may want to label meanwhile
    with transaction(database):
        for file, identity in zip(new, identities, strict=True):
            path = Path(file).relative_to(folder).as_posix()
            if identity is None:
                result.unreadable[file] = "it cannot be opened, or it changes while it is read"
                continue
            _sort_in(database, result, Task(str(folder), path, site_of(path), identity), current.get(file), contents)
        there = set(found.files)
        for one in current.values():
            if one.file not in there and Path(one.file).is_relative_to(folder):
                _retire(database, result, one)
    return result


def _count_known(result: Changes, one: _Known) -> None:
    if one.state == "unreadable":
        result.unreadable[one.file] = one.why
    else:
        result.known += 1


def _sort_in(
    database: sqlite3.Connection, result: Changes, task: Task, before: _Known | None, contents: dict[str, _Known]
) -> None:
    """One file that is new, or whose stamp changed."""
    content = task.identity[0]
    if before and before.identity[0] == content:
        database.execute("UPDATE files SET stamp = ? WHERE id = ?", (json.dumps(task.identity[1]), before.id))
        _count_known(result, before)
        return
    if before:
        database.execute("UPDATE files SET state = 'changed' WHERE id = ?", (before.id,))
        result.changed += 1
    same = contents.get(content)
    if same and same.state == "here" and same.file != task.file and os.path.lexists(same.file):
        insert(database, task, "copy", copy_of=same.id)
        result.copied += 1
    elif same and same.state == "new":  # of a task of this call
        result.copies.append(task)
        result.copied += 1
    elif same:
        database.execute(
            "UPDATE files SET folder = ?, path = ?, site = ?, stamp = ?, state = 'here' WHERE id = ?",
            (task.folder, task.path, task.site, json.dumps(task.identity[1]), same.id),
        )
        result.moved += 1
        contents[content] = _Known(same.id, task.file, "here", "", task.identity)
    else:
        result.tasks.append(task)
        contents[content] = _Known(0, task.file, "new", "", task.identity)


def _retire(database: sqlite3.Connection, result: Changes, one: _Known) -> None:
    """A recording that is no longer where it was, unless it moved."""
    changed = database.execute(
        "UPDATE files SET state = 'gone' WHERE id = ? AND folder || '/' || path = ?", (one.id, one.file)
    ).rowcount
    result.gone += changed


def insert(
    database: sqlite3.Connection,
    task: Task,
    state: str,
    *,
    why: str = "",
    copy_of: int | None = None,
    seconds: float = 0.0,
    rows: tuple[int, int] = (0, 0),
    recorded: Recorded | None = None,
) -> None:
    """Add a recording to the database, within a transaction; `rows` are its first segment and their number."""
    content, stamp = task.identity
    offset = recorded.offset if recorded else None
    began = recorded.at.isoformat() if recorded else None, None if offset is None else int(offset.total_seconds())
    database.execute(
        "INSERT INTO files (folder, path, content, stamp, state, why, copy_of, seconds, first, count, site, began, "
        "utc_offset, indexed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            task.folder, task.path, content, json.dumps(stamp), state, why, copy_of, seconds, *rows, task.site, *began,
            now(),
        ),
    )  # fmt: skip


def now() -> str:
    """The time, in UTC, to the microsecond (ISO 8601)."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _identities(paths: Sequence[str]) -> list[Identity | None]:
    with ThreadPoolExecutor(cores()) as pool:
        return list(pool.map(lambda path: origins.identity(path, origins.stamp(path)), paths))
