"""Searches that people keep in an archive, to repeat them."""

import json
import sqlite3
from typing import Any

from hubbub.archive.changes import now
from hubbub.data.archive_file import ArchiveError, transaction

__all__ = ["forget", "keep", "kept"]


def keep(database: sqlite3.Connection, name: str, query: dict[str, Any], who: str) -> int:
    """Keep a search under a name; its number."""
    with transaction(database):
        text = json.dumps({"name": name, **query}, allow_nan=False)
        done = database.execute("INSERT INTO searches (at, who, query) VALUES (?, ?, ?)", (now(), who, text))
    return int(done.lastrowid or 0)


def kept(database: sqlite3.Connection) -> list[dict[str, Any]]:
    """The searches that are kept, the newest first: number, time, who kept it, name and query."""
    rows = database.execute("SELECT id, at, who, query FROM searches ORDER BY id DESC").fetchall()
    return [{"id": number, "at": at, "who": who, **_parts(query)} for number, at, who, query in rows]


def forget(database: sqlite3.Connection, number: int) -> None:
    """Delete a kept search. Raises `ArchiveError` where there is none of the number."""
    with transaction(database):
        if not database.execute("DELETE FROM searches WHERE id = ?", (number,)).rowcount:
            raise ArchiveError(f"there is no kept search {number}. Look at the list again.")


def _parts(text: str) -> dict[str, Any]:
    query = json.loads(text)
    return {"name": query.pop("name", ""), "query": query}
