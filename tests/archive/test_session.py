"""An archive that is held open: what it knows after every change, whoever made it."""

import threading
import time
import uuid
from pathlib import Path

import numpy as np
import pytest

from hubbub.archive import quick_head
from hubbub.archive.archive import Archive
from hubbub.archive.index import index
from hubbub.archive.labels import Statement, add_class
from hubbub.archive.session import Session
from hubbub.data.archive_file import ArchiveError
from hubbub.data.archive_labels import label_state
from tests.helpers.archives import copy_of, label, recordings_of_tones, tone_archive
from tests.helpers.waiting import until


def say(session: Session, *said: tuple[int, str, str], who: str = "ann") -> None:
    for name in {one[1] for one in said}:
        session.write(add_class, name, who)
    statements = [Statement(segment, name, value, "list") for segment, name, value in said]  # type: ignore[arg-type]
    session.label(statements, who, uuid.uuid4().hex)


def test_the_state_holds_what_was_written_before_it_returns(made: tuple[Path, Path], tmp_path: Path) -> None:
    session = Session(copy_of(made[0], tmp_path))
    version = session.state.version
    say(session, (3, "low", "yes"))
    assert session.state.version > version
    assert session.state.labels.segments.tolist() == [3]
    assert session.undo("ann", "undo-1") == [3]
    assert session.undo("ann", "undo-1") == [3]  # the same request again
    assert session.state.labels.segments.tolist() == []
    assert session.latest(0)[1] == [3]


def test_a_head_learns_as_a_fit_of_its_own_would(made: tuple[Path, Path], tmp_path: Path) -> None:
    archive = Archive(copy_of(made[0], tmp_path))
    with Session(archive.folder) as session:
        assert session.state.scores is None
        say(session, (0, "low", "yes"), (5, "low", "no"))
        until(lambda: session.state.up_to_date)
        known = label_state(archive.database)
        expected = quick_head.scores(archive.vectors, known.segments, known.y)[:, 0]
        found = session.state.scores_of("low")
        assert found is not None
        assert found == pytest.approx(expected, abs=1e-5)
        say(session, (1, "rain", "no"))
        assert session.state.scores_of("rain") is None  # nothing is known to hold it
        with pytest.raises(ArchiveError, match="there is no class 'nobody'"):
            session.state.scores_of("nobody")
        until(lambda: session.state.up_to_date)
        fits = session.state.fits
        time.sleep(1)
        assert session.state.fits == fits  # no training without new labels


def test_the_words_of_another_process_and_its_recordings_are_taken_in(tmp_path: Path) -> None:
    archive, recordings = tone_archive(tmp_path)
    seen = threading.Event()
    with Session(archive, changed=seen.set) as session:
        label(Archive(archive), [(0, "low", "yes"), (5, "low", "no")], who="bob")
        until(lambda: session.state.up_to_date and session.state.scores is not None)
        assert seen.is_set()
        before = session.state
        recordings_of_tones(recordings, each=5)
        index(recordings, archive)
        until(lambda: session.state.archive.segments == 15 and session.state.up_to_date)
        scores = session.state.scores_of("low")
        assert scores is not None and len(scores) == 15 and np.isfinite(scores).all()
        assert before.archive.segments == 12  # an older state stays as it was
        assert len(before.archive.here) == 12


def test_many_threads_label_at_once_and_lose_nothing(made: tuple[Path, Path], tmp_path: Path) -> None:
    with Session(copy_of(made[0], tmp_path)) as session:
        say(session, (0, "low", "yes"))

        def work(who: str) -> None:
            for segment in range(12):
                session.label([Statement(segment, "low", "yes", "list")], who, f"{who}-{segment:08d}")
                session.said([segment])

        threads = [threading.Thread(target=work, args=(f"p{number}",)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert session.query("SELECT count(*) FROM labels") == [(1 + 6 * 12,)]
        assert session.state.labels.segments.tolist() == list(range(12))


def test_what_the_head_lacks_is_no_reason_to_stop(
    made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ArchiveError("no head today.")

    monkeypatch.setattr(quick_head, "scores", fail)
    with Session(copy_of(made[0], tmp_path)) as session:
        say(session, (0, "low", "yes"))
        until(lambda: session.state.trouble == "no head today.")
        version = session.state.version
        time.sleep(1.2)
        assert session.state.version == version  # it is said once
        monkeypatch.undo()
        until(lambda: session.state.up_to_date and not session.state.trouble)
