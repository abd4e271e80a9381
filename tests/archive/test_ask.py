"""What to label next in an open archive, and that no draw is lost."""

import uuid
from pathlib import Path

import pytest

from hubbub.archive.ask import DRAWN, ask, draw
from hubbub.archive.labels import Statement, add_class
from hubbub.archive.session import Session
from hubbub.data.archive_file import ArchiveError
from tests.helpers.archives import copy_of
from tests.helpers.waiting import until


@pytest.fixture
def session(made: tuple[Path, Path], tmp_path: Path) -> Session:
    opened = Session(copy_of(made[0], tmp_path))
    opened.write(add_class, "low", "ann")
    return opened


def say(session: Session, segment: int, name: str | None, value: str, how: str = "list") -> None:
    session.label([Statement(segment, name, value, how)], "ann", uuid.uuid4().hex)  # type: ignore[arg-type]


def test_a_draw_is_asked_until_it_is_answered_and_then_stands_for_its_share(session: Session) -> None:
    first = ask(session, 4, ["random"])
    assert [one.reason for one in first] == ["random"] * 4
    assert {one.segment for one in ask(session, 4, ["random"])} == {one.segment for one in first}
    say(session, first[0].segment, "low", "yes")  # however it is labelled
    second = ask(session, 4, ["random"])
    assert first[0].segment not in {one.segment for one in second}
    assert len({one.segment for one in second} & {one.segment for one in first}) == 3
    drawn = dict(zip(session.state.labels.segments.tolist(), session.state.labels.drawn.tolist(), strict=True))
    assert drawn == {first[0].segment: 3.0}


def test_draws_that_are_known_are_noted_and_not_asked(session: Session) -> None:
    for segment in range(11):
        say(session, segment, "low", "yes" if segment < 6 else "no")
        say(session, segment, None, "nothing") if segment >= 6 else None
    asked = ask(session, 12, ["random"])
    assert [one.segment for one in asked] == [11]
    labels = session.state.labels
    assert len(labels.segments) == 11 and (labels.drawn == 1).all()
    assert [one.value for one in session.said([0])[0]] == ["yes"]  # as it was said before
    assert session.undo("ann", "undo-of-ann")  # her own last word, not the note of the draw
    assert {row[0] for row in session.query("SELECT who FROM labels WHERE how = 'random'")} == {DRAWN}


def test_draws_of_a_class_need_scores_and_are_kept(session: Session) -> None:
    with pytest.raises(ArchiveError, match="'low' has no scores yet"):
        draw(session, "low", "ann", 6)
    with session:
        say(session, 0, "low", "yes")
        say(session, 5, "low", "no")
        until(lambda: session.state.up_to_date)
        drawn = draw(session, "low", "ann", 8)
        assert drawn and not {0, 5} & set(drawn)
        assert sorted(draw(session, "low", "bob", 8)) == sorted(drawn)
        say(session, drawn[0], None, "nothing", "stratum")
        assert sorted(draw(session, "low", "bob", 8)) == sorted(drawn[1:])
