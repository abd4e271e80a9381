"""No label is lost after its answer was given, however the server ends."""

import random
import signal
import threading
import uuid
from pathlib import Path

import httpx
import pytest

from hubbub.archive.archive import Archive
from hubbub.archive.labels import add_class
from tests.helpers.archives import copy_of
from tests.helpers.serving import Server, exploring


def label_until_killed(server: Server, after: float) -> list[str]:
    """Send one label after the other, and kill the server some time [s] after the first; the answered requests."""
    timer, answered = threading.Timer(after, server.process.send_signal, [signal.SIGKILL]), []
    with httpx.Client(base_url=server.url) as client:
        try:
            while True:
                request = uuid.uuid4().hex
                said = [{"segment": len(answered) % 12, "class": "low", "value": "yes"}]
                client.post("/v1/labels", json={"who": "ann", "request": request, "statements": said})
                answered.append(request)
                if len(answered) == 1:
                    timer.start()
        except httpx.TransportError:
            timer.join()
            server.process.wait()
    return answered


def kills(archive: Path, folder: Path, count: int) -> None:
    opened, chance, answered = Archive(archive), random.Random(0), []
    add_class(opened.database, "low", "ann")
    for number in range(count):
        with exploring(folder / str(number), archive) as server:
            answered += label_until_killed(server, chance.uniform(0, 0.3))
        stored = {row[0] for row in opened.database.execute("SELECT request FROM labels")}
        assert set(answered) <= stored
        assert len(stored) - len(answered) <= number + 1  # those that the kill left without an answer
    assert answered
    assert opened.database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_answered_labels_survive_a_kill(tones: Path, tmp_path: Path) -> None:
    kills(copy_of(tones, tmp_path), tmp_path / "log", 2)


@pytest.mark.slow
def test_no_label_is_lost_in_twenty_kills(tones: Path, tmp_path: Path) -> None:
    kills(copy_of(tones, tmp_path), tmp_path / "log", 20)
