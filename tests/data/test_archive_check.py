"""archive_check: a database whose values cannot be is refused when the archive is opened, in Python and by commands."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from hubbub.archive.archive import Archive
from hubbub.archive.index import index
from hubbub.data.archive_clips import from_archive
from hubbub.data.archive_file import FILE, ArchiveError
from tests.helpers.archives import copy_of, label, tone_archive


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    archive, recordings = tone_archive(tmp_path_factory.mktemp("archive"), 1)
    with closing(Archive(archive)) as opened:
        label(opened, [(0, "low", "yes"), (1, None, "nothing")])
        opened.database.execute("INSERT INTO rounds VALUES (1, 'low', 'now', 'ann', '[0.5]', '[2, 1]')")
        opened.database.execute("INSERT INTO draws VALUES (1, 0, 1)")
        opened.database.execute("INSERT INTO searches VALUES (1, 'now', 'ann', '{}')")
    return archive, recordings


CHANGES = [
    "UPDATE files SET first = 'x' WHERE id = 1",
    "UPDATE files SET first = 7 WHERE id = 2",
    "UPDATE files SET count = -1 WHERE id = 1",
    "UPDATE files SET path = x'ff00' WHERE id = 1",
    "UPDATE files SET seconds = 'long' WHERE id = 1",
    "UPDATE files SET stamp = '[[[' WHERE id = 1",
    "UPDATE files SET began = '2024-13-45T00:00:00' WHERE id = 1",
    "UPDATE files SET began = '2024-02-30T00:00:00' WHERE id = 1",
    "UPDATE files SET began = 'now' WHERE id = 1",
    "UPDATE files SET utc_offset = 'x' WHERE id = 1",
    "UPDATE files SET state = 'new' WHERE id = 1",
    "UPDATE labels SET segment = 99 WHERE id = 1",
    "UPDATE labels SET segment = 'x' WHERE id = 1",
    "UPDATE labels SET weight = -1 WHERE id = 1",
    "UPDATE labels SET at = x'00' WHERE id = 1",
    "UPDATE labels SET who = CAST(x'ff' AS TEXT) WHERE id = 1",
    "DELETE FROM classes",
    "UPDATE classes SET added = x'00'",
    "UPDATE rounds SET edges = 'x'",
    "UPDATE draws SET segment = 'x'",
    "UPDATE searches SET query = '[]'",
    "ALTER TABLE files RENAME COLUMN seconds TO other",
    "DROP TABLE labels",
    "DELETE FROM about WHERE key = 'probe'",
    "UPDATE about SET value = 'x' WHERE key = 'width'",
    "UPDATE about SET value = '-1' WHERE key = 'windows'",
    "UPDATE about SET value = '3' WHERE key = 'probe'",
    "UPDATE about SET value = 'nan' WHERE key = 'segment_s'",
]


@pytest.mark.parametrize("change", CHANGES)
def test_values_that_cannot_be_are_refused(change: str, whole: tuple[Path, Path], tmp_path: Path) -> None:
    archive = copy_of(whole[0], tmp_path)
    with closing(sqlite3.connect(archive / FILE, isolation_level=None)) as database:
        database.execute("PRAGMA ignore_check_constraints = ON")
        database.execute("DROP VIEW labelled")  # else it keeps names from being changed
        database.execute(change)
    with pytest.raises(ArchiveError, match="damaged"):
        Archive(archive)
    with pytest.raises(ArchiveError, match="damaged"):
        index(whole[1], archive)
    if "about" not in change or "segment_s" in change:
        with pytest.raises(ArchiveError, match="damaged"):
            from_archive(archive)


def test_a_whole_archive_is_opened(whole: tuple[Path, Path]) -> None:
    with closing(Archive(whole[0])) as opened:
        assert opened.segments == 3
    assert len(from_archive(whole[0]).table) == 2
