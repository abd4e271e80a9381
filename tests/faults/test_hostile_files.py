"""Hostile files: whatever one holds, reading it ends in an answer or an error of hubbub's own, through every door.

A case is a damaged copy of a real file. It must not end or stop the process that reads it, take more than 5 s of the
processor or more than 300 MB and 20 times the file, start a program, run code, connect anywhere or write outside of
its folders (`guard`). `tests.faults.hostile_child` reads the cases.
"""

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.guard import Forbidden, guarded
from tests.faults.watched import Watched
from tests.helpers.amount import amount

#: Kinds and doors, with the number of cases of the long form: 20,500 in all. The short form has one in 400 of them, at
#: least one.
CASES = {
    ("sounds", "python"): 4_000, ("sounds", "predict"): 2_500, ("sounds", "cli"): 1_000, ("sounds", "server"): 1_500,
    ("tables", "python"): 1_000, ("tables", "cli"): 500, ("predicted", "python"): 500, ("predicted", "cli"): 150,
    ("recipes", "python"): 500, ("recipes", "cli"): 100, ("features", "python"): 500, ("features", "cli"): 200,
    ("pictures", "python"): 1_500, ("pictures", "cli"): 300, ("packed", "python"): 1_000, ("packed", "cli"): 250,
    ("classifiers", "python"): 700, ("classifiers", "torch"): 500, ("classifiers", "cli"): 200,
    ("exported", "python"): 700, ("exported", "cli"): 200, ("theirs", "python"): 600, ("litert", "python"): 50,
    ("weights", "python"): 500, ("keras", "python"): 500, ("archives", "python"): 500, ("archives", "index"): 250,
    ("archives", "cli"): 150, ("archives", "server"): 150,
}  # fmt: skip
#: Doors at which whole files may be refused: `bench` of recipes whose data are not there, checks that find something.
REFUSING = ("cli",)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with Watched(tmp_path_factory.mktemp("hostile")) as process:
        yield process


@pytest.mark.slow
@pytest.mark.parametrize("kind, door", CASES)
def test_a_hostile_file_is_answered_or_refused(
    kind: str, door: str, watched: Watched, request: pytest.FixtureRequest
) -> None:
    cases = amount(max(CASES[kind, door] // 400, 1), CASES[kind, door])
    server = request.getfixturevalue("served").url if (kind, door) == ("sounds", "server") else ""
    tally = watched.run(kind, door, cases, whole=amount(2, 999), server=server)
    assert not tally.failed, "\n".join(tally.failed)
    assert tally.counts.total() == cases
    assert tally.answered or door in REFUSING, f"whole files must be answered: {tally.refused}"


HARMS = {
    "a program": lambda: os.system("true"),
    "another program": lambda: subprocess.run([sys.executable, "-c", ""], check=False),
    "code": lambda: exec("found = 1"),
    "a pickle": lambda: pickle.loads(b"cos\nsystem\n."),
    "a file elsewhere": lambda: Path("/tmp/hubbub-elsewhere").write_text("x"),
    "removal": lambda: Path("/tmp/hubbub-elsewhere").unlink(),
}


@pytest.mark.parametrize("harm", HARMS)
def test_the_guard_sees_harm(harm: str, tmp_path: Path) -> None:
    with guarded(str(tmp_path)) as seen, pytest.raises(Forbidden):
        HARMS[harm]()
    assert len(seen) == 1
    with guarded(str(tmp_path)):
        (tmp_path / "x").write_text("allowed")


@pytest.mark.slow
@pytest.mark.parametrize("what", ["memory", "error", "harm", "crash", "hang"])
def test_the_watch_sees_what_fails(what: str, watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.faults.watched.PATIENCE_S", 2.0)
    tally = watched.run("failing", what, 1)
    assert tally.counts == {"failed": 1} and len(tally.failed) == 1, tally
