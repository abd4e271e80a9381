"""No label is lost after its answer was given, however the server ends."""

import signal
import uuid
from pathlib import Path

import httpx
import pytest

from hubbub.archive.archive import Archive
from hubbub.data.archive_labels import label_state
from tests.helpers.archives import copy_of
from tests.helpers.serving import exploring


def answered_then_killed(archive: Path, folder: Path, rounds: int) -> None:
    """Label a segment after the other, each with the server killed as soon as it has answered."""
    for segment in range(rounds):
        with exploring(folder / str(segment), archive) as server:
            httpx.post(f"{server.url}/v1/classes", json={"who": "ann", "name": "low"}).raise_for_status()
            said = [{"segment": segment % 12, "class": "low", "value": "yes" if segment < 12 else "no"}]
            body = {"who": "ann", "request": uuid.uuid4().hex, "statements": said}
            httpx.post(f"{server.url}/v1/labels", json=body).raise_for_status()
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()
        opened = Archive(archive)
        stored = opened.database.execute("SELECT count(*) FROM labels WHERE request = ?", (body["request"],)).fetchone()
        assert stored == (1,)
        state = label_state(opened.database)
        assert len(state.segments) == min(segment + 1, 12)
        opened.database.close()


def test_an_answered_label_survives_a_kill(tones: Path, tmp_path: Path) -> None:
    answered_then_killed(copy_of(tones, tmp_path), tmp_path / "log", 2)


@pytest.mark.slow
def test_no_label_is_lost_in_twenty_kills(tones: Path, tmp_path: Path) -> None:
    answered_then_killed(copy_of(tones, tmp_path), tmp_path / "log", 20)
