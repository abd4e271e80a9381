"""Labels: what follows from statements, undo, two people at once, kills."""

import signal
import subprocess
import sys
import uuid
from pathlib import Path

import numpy as np
import pytest

from hubbub.archive import labels
from hubbub.archive.archive import Archive
from hubbub.archive.labels import Statement
from hubbub.data.archive_file import ArchiveError
from hubbub.data.archive_labels import label_state
from tests.helpers.archives import copy_of, label


@pytest.fixture
def archive(made: tuple[Path, Path], tmp_path: Path) -> Archive:
    return Archive(copy_of(made[0], tmp_path))


def known(archive: Archive) -> dict[int, dict[str, int]]:
    """What is known of each labelled segment, by class."""
    found = label_state(archive.database)
    return {
        int(segment): dict(zip(found.classes, y.tolist(), strict=True))
        for segment, y in zip(found.segments, found.y, strict=True)
    }


def test_a_class_that_is_not_named_is_not_in_a_segment_that_was_heard_whole(archive: Archive) -> None:
    label(archive, [(0, "low", "yes"), (1, "high", "yes"), (2, None, "nothing")])
    assert known(archive) == {0: {"low": 1, "high": 0}, 1: {"low": 0, "high": 1}, 2: {"low": 0, "high": 0}}
    assert label_state(archive.database).whole.all()


def test_a_class_that_was_added_later_is_unknown_before(archive: Archive) -> None:
    label(archive, [(0, "low", "yes"), (2, None, "nothing")])
    label(archive, [(1, "high", "yes")])
    assert known(archive) == {0: {"low": 1, "high": -1}, 1: {"low": 0, "high": 1}, 2: {"low": 0, "high": -1}}


def test_a_no_says_nothing_of_other_classes(archive: Archive) -> None:
    label(archive, [(0, "low", "yes"), (0, "high", "yes")])
    label(archive, [(3, "low", "no")])
    found = label_state(archive.database)
    assert known(archive)[3] == {"low": 0, "high": -1}
    assert found.whole.tolist() == [True, False]


def test_the_latest_word_counts(archive: Archive) -> None:
    label(archive, [(0, "low", "yes")])
    label(archive, [(0, None, "unsure")], who="bob")
    assert label_state(archive.database).unsure.tolist() == [True]
    assert known(archive) == {0: {"low": -1}}
    label(archive, [(0, "low", "yes")], who="cat")
    assert label_state(archive.database).unsure.tolist() == [False]
    label(archive, [(0, "low", "")], who="ann")
    label(archive, [(0, None, "")], who="ann")
    assert known(archive) == {}


def test_two_people_who_name_different_classes_of_a_segment_are_both_kept(archive: Archive) -> None:
    label(archive, [(5, "low", "yes")], who="ann")
    label(archive, [(5, "high", "yes")], who="bob")
    assert known(archive) == {5: {"low": 1, "high": 1}}


def test_the_same_request_is_stored_once(archive: Archive) -> None:
    labels.add_class(archive.database, "low", "ann")
    one = [Statement(0, "low", "yes", "search")]
    assert labels.state(archive.database, one, "ann", "r1", archive.segments) == 1
    assert labels.state(archive.database, one, "ann", "r1", archive.segments) == 0
    assert archive.database.execute("SELECT count(*) FROM labels").fetchone() == (1,)


def test_undo_goes_back_step_by_step_and_leaves_others_words(archive: Archive) -> None:
    label(archive, [(0, "low", "yes"), (1, "low", "yes")])
    label(archive, [(0, "low", "no")])
    label(archive, [(0, "high", "yes")], who="bob")
    database = archive.database
    assert labels.undo(database, "ann", "u1") == [0]
    assert known(archive)[0] == {"low": 1, "high": 1}
    label(archive, [(1, "low", "no")], who="bob")
    assert labels.undo(database, "ann", "u2") == [0, 1]
    assert known(archive) == {0: {"low": 0, "high": 1}, 1: {"low": 0, "high": -1}}  # what bob said stays
    assert labels.undo(database, "ann", "u3") == []
    assert labels.undo(database, "ann", "u2") == []  # sent again


def test_random_draws_are_known_with_their_weight(archive: Archive) -> None:
    labels.add_class(archive.database, "low", "ann")
    drawn = [Statement(4, "low", "yes", "random", 3.0), Statement(5, "low", "yes", "uncertain")]
    labels.state(archive.database, drawn, "ann", "r", archive.segments)
    assert np.array_equal(label_state(archive.database).drawn, [3.0, np.nan], equal_nan=True)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (Statement(99, "low", "yes", "list"), "no segment 99"),
        (Statement(-1, "low", "yes", "list"), "no segment -1"),
        (Statement(0, "lou", "yes", "list"), "no class 'lou'. Did you mean 'low'"),
        (Statement(0, "low", "nothing", "list"), "is not said of a class"),
        (Statement(0, None, "yes", "list"), "is not said of a segment"),
        (Statement(0, "low", "yes", "guess"), "found by 'guess'"),
        (Statement(0, "low", "yes", "random", float("nan")), "above 0, not nan"),
    ],
)
def test_what_cannot_be_said_is_refused_and_nothing_stored(
    archive: Archive, statement: Statement, message: str
) -> None:
    labels.add_class(archive.database, "low", "ann")
    with pytest.raises(ArchiveError, match=message):
        labels.state(archive.database, [Statement(1, "low", "yes", "list"), statement], "ann", "r", archive.segments)
    assert known(archive) == {}


@pytest.mark.parametrize("name", ["", "  ", "a\x00b", "x" * 101])
def test_a_class_needs_a_name(archive: Archive, name: str) -> None:
    with pytest.raises(ArchiveError, match="a class has a name"):
        labels.add_class(archive.database, name, "ann")


WRITER = """
import sys
from hubbub.archive import labels
from hubbub.archive.archive import Archive
from hubbub.archive.labels import Statement
archive = Archive(sys.argv[1])
for number in range(10_000):
    said = [Statement(number % 12, "low", "yes", "list")]
    labels.state(archive.database, said, sys.argv[2], f"{sys.argv[2]}-{number}", 12)
    print(number, flush=True)
"""


def test_no_label_is_lost_whose_writer_was_told_so(archive: Archive) -> None:
    """Two writers at once, both killed: every request that was answered is there."""
    labels.add_class(archive.database, "low", "ann")
    writers = {
        who: subprocess.Popen(
            [sys.executable, "-c", WRITER, archive.folder, who], stdout=subprocess.PIPE, text=True, bufsize=1
        )
        for who in (uuid.uuid4().hex, uuid.uuid4().hex)
    }
    answered = {}
    for who, process in writers.items():
        assert process.stdout
        answered[who] = [process.stdout.readline() for _ in range(30)]
    for who, process in writers.items():
        process.send_signal(signal.SIGKILL)
        answered[who] += process.communicate()[0].splitlines()
    rows = {row for (row,) in archive.database.execute("SELECT request FROM labels")}
    for who, lines in answered.items():
        assert {f"{who}-{int(line)}" for line in lines if line.strip().isdigit()} <= rows
