"""The database of an archive: which recordings it holds, which segments, and who labelled them how.

It is one SQLite file in write-ahead mode, so that other programs can read it while hubbub writes. Embeddings lie beside
it (`archive/vectors.py`): segment n is row n there. A commit is on the disk before it returns.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hubbub.errors import HubbubError

__all__ = ["FILE", "FORMAT", "ArchiveError", "connect", "is_archive", "span_of", "transaction"]

#: The name of the database in an archive's folder.
FILE = "archive.sqlite"
#: The version of the tables. Format 1 gets what it lacks when it is opened, and others are refused.
FORMAT = 2
#: How long a writer waits for another one [s].
PATIENCE_S = 30.0
#: What SQLite says of a file that is none of its own, or no longer.
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
#: Kept in the file's header (SQLite's `application_id`): "hubb".
MARK = 0x68756262

#: What format 2 added. Some archives of format 1 have it already.
ROUNDS = """
-- A round of draws for a class: the inner edges of the strata of its scores, and their numbers of segments (JSON).
-- Its draws are random within their stratum, and kept whether they were labelled or not.
CREATE TABLE IF NOT EXISTS rounds (
    id INTEGER PRIMARY KEY,
    class TEXT NOT NULL REFERENCES classes (name),
    at TEXT NOT NULL,
    who TEXT NOT NULL,
    edges TEXT NOT NULL,
    sizes TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS draws (
    round INTEGER NOT NULL REFERENCES rounds (id),
    segment INTEGER NOT NULL,
    stratum INTEGER NOT NULL,
    PRIMARY KEY (round, segment)
) WITHOUT ROWID;
"""

TABLES = """
-- What the archive is: the network that embeds, the length of a segment [s], ...
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- A recording: `folder`/`path` on this machine; the sha256 of its bytes, and size, times and inode of the file (JSON).
-- `state` is here; unreadable (`why` says it); a copy (of `copy_of`); changed or gone (its labels are kept).
-- Its segments are the rows first .. first + count - 1. `began` is the local time of its beginning (ISO 8601),
-- `utc_offset` that time's distance from UTC [s], where they are known.
CREATE TABLE files (
    id INTEGER PRIMARY KEY,
    folder TEXT NOT NULL,
    path TEXT NOT NULL,
    content TEXT NOT NULL,
    stamp TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('here', 'unreadable', 'copy', 'changed', 'gone')),
    why TEXT NOT NULL DEFAULT '',
    copy_of INTEGER REFERENCES files (id),
    seconds REAL NOT NULL DEFAULT 0,
    first INTEGER NOT NULL DEFAULT 0,
    count INTEGER NOT NULL DEFAULT 0,
    site TEXT NOT NULL DEFAULT '',
    began TEXT,
    utc_offset INTEGER,
    indexed TEXT NOT NULL
);
CREATE UNIQUE INDEX files_place ON files (folder, path) WHERE state IN ('here', 'unreadable', 'copy');
CREATE INDEX files_content ON files (content);
CREATE INDEX files_first ON files (first) WHERE count > 0;

CREATE TABLE classes (name TEXT PRIMARY KEY, added TEXT NOT NULL, who TEXT NOT NULL) WITHOUT ROWID;

-- Everything that anyone said about segments, in order; the latest counts. Of a class: yes, no, or empty (taken back).
-- Without a class, of the whole segment: nothing (none of the classes is in it), unsure, or empty.
-- `how` it came to be heard: random (from the whole archive), stratum (at random from a stratum of scores), uncertain,
-- diverse, likely-wrong, search, list or map. `weight`: of a random draw, how many segments it stands for.
-- `request` is the sender's own number, so that nothing is written twice;
-- `undoes` is the request that a row takes back.
CREATE TABLE labels (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    request TEXT NOT NULL,
    segment INTEGER NOT NULL,
    class TEXT REFERENCES classes (name),
    value TEXT NOT NULL CHECK (value IN ('yes', 'no', 'nothing', 'unsure', '')),
    who TEXT NOT NULL,
    at TEXT NOT NULL,
    how TEXT NOT NULL,
    weight REAL,
    undoes TEXT
);
CREATE INDEX labels_segment ON labels (segment);
CREATE INDEX labels_request ON labels (request);

CREATE TABLE searches (id INTEGER PRIMARY KEY, at TEXT NOT NULL, who TEXT NOT NULL, query TEXT NOT NULL);

-- The labels with their recordings and times, for other programs.
CREATE VIEW labelled AS
    SELECT l.id, f.folder, f.path, f.site,
        (l.segment - f.first) * a.value AS start_s,
        CASE WHEN l.segment = f.first + f.count - 1 THEN f.seconds
            ELSE (l.segment - f.first + 1) * a.value END AS end_s,
        l.class, l.value, l.who, l.at, l.how
    FROM labels l JOIN files f ON l.segment >= f.first AND l.segment < f.first + f.count
    JOIN about a ON a.key = 'segment_s';
"""


class ArchiveError(HubbubError):
    """No archive, a damaged one, or a request that it cannot answer."""


def is_archive(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder holds an archive."""
    return os.path.isfile(Path(folder) / FILE)


def connect(folder: str | os.PathLike[str], *, create: bool = False) -> sqlite3.Connection:
    """A connection to the database of the archive in a folder, which `create` makes where there is none.

    Raises `ArchiveError` for a folder without an archive, for a damaged database and for one of another format.
    """
    file = Path(folder) / FILE
    new = not file.is_file()
    if new and not create:
        raise ArchiveError(f"{folder} is no archive: it has no {FILE}. Make one: hubbub index RECORDINGS --to {folder}")
    try:
        found = sqlite3.connect(file, timeout=PATIENCE_S, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise ArchiveError(f"{file} cannot be opened ({error}). Give a folder that can be read and written.") from error
    try:
        found.execute("PRAGMA foreign_keys = ON")
        found.execute("PRAGMA synchronous = FULL")
        if new or not found.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            _create(found)
        marks = _marks(found)
        if marks == [MARK, 1]:
            found.executescript(f"BEGIN IMMEDIATE; {ROUNDS} PRAGMA user_version = {FORMAT}; COMMIT;")
            marks = _marks(found)
    except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter from SQLite's message about a damaged name
        found.close()
        if isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF not in _DAMAGED:
            raise ArchiveError(
                f"{file} cannot be used: {_reason(error)}. Make room, or name a folder that can be written."
            ) from error
        raise ArchiveError(
            f"{file} is damaged ({error}). Put a copy of it back, or move it away and index the recordings again."
        ) from error
    if marks != [MARK, FORMAT]:
        found.close()
        raise ArchiveError(
            f"{file} is an archive of format {marks[1]}, and this version of hubbub reads formats up to {FORMAT}. Use "
            "the version that wrote it, or index the recordings into a new folder."
            if marks[0] == MARK
            else f"{file} is a database of another program. Name another folder."
        )
    return found


def _marks(database: sqlite3.Connection) -> list[int]:
    """Whose database it is, and its format."""
    return [database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]


def _reason(error: sqlite3.Error) -> str:
    """What SQLite says; of a full disk as all messages say it."""
    full = getattr(error, "sqlite_errorcode", 0) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)
    return f"the disk is full ({error})" if full else str(error)


def _create(database: sqlite3.Connection) -> None:
    """The tables, all or none of them."""
    database.execute("PRAGMA journal_mode = WAL")
    database.executescript(
        f"BEGIN EXCLUSIVE; {TABLES} {ROUNDS} PRAGMA application_id = {MARK}; PRAGMA user_version = {FORMAT}; COMMIT;"
    )


def span_of(segment: int, first: int, count: int, seconds: float, segment_s: float) -> tuple[float, float]:
    """Start and end [s] of a segment of a recording of `seconds`, whose segments are `first` .. `first + count - 1`.

    The last one ends with the recording. The view `labelled` says the same."""
    start = (segment - first) * segment_s
    return start, seconds if segment == first + count - 1 else start + segment_s


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """All changes of the block or none; they are on the disk when it ends. Raises `ArchiveError` where another program
    holds the database for too long, or the disk is full."""
    try:
        database.execute("BEGIN IMMEDIATE")
    except sqlite3.Error as error:
        raise ArchiveError(
            f"the archive cannot be written: {_reason(error)}. Nothing was changed. Try again."
        ) from error
    try:
        yield
        database.execute("COMMIT")
    except BaseException as error:
        if database.in_transaction:
            database.execute("ROLLBACK")
        if isinstance(error, sqlite3.Error):
            raise ArchiveError(f"the archive cannot be written: {_reason(error)}. Nothing was changed.") from error
        raise
