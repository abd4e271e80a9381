"""Finds damage in the database of an archive when it is opened, so that nothing that reads it meets values of another
kind: SQLite stores text where a number belongs, and reads a damaged page without a word."""

import sqlite3
from pathlib import Path

from hubbub.data.archive_file import FILE, ArchiveError

__all__ = ["refuse_damaged"]

_LIST = "CASE WHEN json_valid({0}) THEN json_type({0}) ELSE '' END != 'array'"
#: What is wrong where any row fulfils a condition: the table and the condition.
_RULES = {
    "a recording without a place, a length or a state": (
        "files",
        "typeof(folder) != 'text' OR typeof(path) != 'text' OR typeof(content) != 'text' OR typeof(site) != 'text' OR "
        f"typeof(why) != 'text' OR typeof(stamp) != 'text' OR {_LIST.format('stamp')} OR "
        "typeof(seconds) NOT IN ('real', 'integer') OR NOT seconds BETWEEN 0 AND 1e10",
    ),
    "a recording whose segments are no numbers": (
        "files",
        "typeof(first) != 'integer' OR typeof(count) != 'integer' OR first NOT BETWEEN 0 AND 1e15 OR "
        "count NOT BETWEEN 0 AND 1e10",
    ),
    "recordings whose segments do not follow each other": (
        "(SELECT first, lag(first + count, 1, 0) OVER (ORDER BY first) AS before FROM files WHERE count > 0)",
        "first != before",
    ),
    "a recording with an impossible time": (
        "files",
        "(began IS NOT NULL AND (typeof(began) != 'text' OR began NOT GLOB '????-??-??T??:??:??*' OR "
        "began GLOB '*[^0-9T:.-]*' OR time(began) IS NULL OR "
        "ifnull(date(began, '+0 days'), '') != substr(began, 1, 10))) OR "  # with 0 days: else February has 31
        "(utc_offset IS NOT NULL AND (typeof(utc_offset) != 'integer' OR abs(utc_offset) >= 86400))",
    ),
    "a fact without a name": ("about", "typeof(key) != 'text'"),
    "a class without a name": ("classes", "typeof(name) != 'text' OR typeof(added) != 'text'"),
    "a label of no segment, no class or no one": (
        "labels",
        "typeof(segment) != 'integer' OR segment < 0 OR "
        "segment >= (SELECT ifnull(max(first + count), 0) FROM files) OR "
        "(class IS NOT NULL AND class NOT IN (SELECT name FROM classes)) OR typeof(who) != 'text' OR "
        "typeof(at) != 'text' OR typeof(how) != 'text' OR typeof(request) != 'text' OR "
        "(weight IS NOT NULL AND NOT (weight > 0 AND weight < 1e300))",
    ),
    "a round of draws without its strata": ("rounds", f"{_LIST.format('edges')} OR {_LIST.format('sizes')}"),
    "a draw of no segment": ("draws", "typeof(segment) != 'integer' OR typeof(stratum) != 'integer'"),
    "a search that is none": (
        "searches",
        "typeof(query) != 'text' OR CASE WHEN json_valid(query) THEN json_type(query) ELSE '' END != 'object'",
    ),
}


def refuse_damaged(database: sqlite3.Connection, folder: Path) -> None:
    """Raises `ArchiveError` where the database of the archive in a folder is damaged, or holds what hubbub does not
    write."""
    try:
        why = _damage(database)
    except (sqlite3.Error, UnicodeDecodeError) as error:  # a table or column that is not there
        why = str(error)
    if why:
        raise ArchiveError(
            f"{folder / FILE} is damaged ({why}). Put a copy of it back, or move it away and index the recordings "
            "again."
        )


def _damage(database: sqlite3.Connection) -> str:
    """What is wrong; empty where nothing is."""
    (said,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if said != "ok":
        return str(said).splitlines()[-1]
    for what, (table, condition) in _RULES.items():
        if database.execute(f"SELECT EXISTS (SELECT 1 FROM {table} WHERE {condition})").fetchone()[0]:
            return what
    for table in ("labels", "classes"):
        for _ in database.execute(f"SELECT * FROM {table}"):  # text that is none is found as it is read
            pass
    return ""
