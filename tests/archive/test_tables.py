"""The tables of an archive's labels and scores, and the searches that are kept in it."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubbub.archive import kept_searches, tables
from hubbub.archive.archive import Archive
from hubbub.archive.session import Session
from hubbub.data.archive_file import ArchiveError
from tests.helpers.archives import copy_of, label
from tests.helpers.waiting import until


def rows(lines: Iterator[str]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO("".join(lines))))


@pytest.fixture
def session(made: tuple[Path, Path], tmp_path: Path) -> Session:
    return Session(copy_of(made[0], tmp_path))


def test_the_latest_words_are_the_table_of_labels(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "ROWS", 1)  # handed on row by row
    archive = Archive(session.folder)
    label(archive, [(0, "low", "yes"), (1, None, "unsure"), (2, "low", "yes")])
    label(archive, [(0, "low", "no"), (2, "low", "")], who="bob")
    found = rows(tables.labels_csv(session))
    assert [(row["label"], row["value"], row["who"]) for row in found] == [("low", "no", "bob"), ("", "unsure", "ann")]
    place = archive.place(0)
    assert (found[0]["file"], float(found[0]["start"]), float(found[0]["end"])) == (place.path, 0.0, place.end)


def test_scores_are_listed_from_a_threshold_on(session: Session) -> None:
    label(Archive(session.folder), [(0, "low", "yes"), (5, "low", "no")])
    with session:
        until(lambda: session.state.up_to_date and session.state.scores is not None)
        state = session.state
    scores = state.scores_of("low")
    assert scores is not None
    every = [float(row["score"]) for row in rows(tables.scores_csv(state, 0.0))]
    assert every == pytest.approx(scores.tolist(), abs=1e-6)
    above = rows(tables.scores_csv(state, 0.5))
    assert len(above) == (scores >= 0.5).sum()
    assert list(above[0]) == ["file", "start", "end", "label", "score", "clock", "site"]


def test_searches_are_kept_and_forgotten(session: Session) -> None:
    first = session.write(kept_searches.keep, "owls", {"by": "like", "like": [3]}, "ann")
    session.write(kept_searches.keep, "rain", {"by": "place"}, "bob")
    found = session.read(kept_searches.kept)
    assert [(one["name"], one["query"], one["who"]) for one in found] == [
        ("rain", {"by": "place"}, "bob"), ("owls", {"by": "like", "like": [3]}, "ann"),
    ]  # fmt: skip
    session.write(kept_searches.forget, first)
    assert [one["name"] for one in session.read(kept_searches.kept)] == ["rain"]
    with pytest.raises(ArchiveError, match=f"no kept search {first}"):
        session.write(kept_searches.forget, first)
