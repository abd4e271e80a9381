"""Real `hubbub` commands that are killed at random moments of their work.

A server process has imported everything already and forks one process a command, so that kills hit the work and not the
seconds of imports before it. Each command has a session of its own: what it starts is found by that.
"""

import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tests.helpers.waiting import until

__all__ = ["Lives", "alive", "command", "session", "start"]

Setup = Callable[[], None]
#: What the server imports once.
PRELOADED = (
    "pytest", "torch", "pandas", "lightning", "optuna", "scipy.signal", "scipy.stats", "sklearn.linear_model",
    "soundfile", "matplotlib.pyplot", "hubbub.cli.main", "hubbub.experiment.suite", "hubbub.experiment.tune",
    "hubbub.archive.index", "hubbub.archive.session", "hubbub.classifier.load", "hubbub.data.write_images",
    "hubbub.data.write_scenes", "hubbub.inference.predict", "hubbub.inference.resume", "hubbub.serve.server",
    "hubbub.serve.app", "hubbub.serve.explore.app", "hubbub.runtime.download", "tests.helpers.killing",
)  # fmt: skip


@cache
def _context() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    first = context.Process(target=int)  # so that no command waits for the imports
    first.start()
    first.join()
    return context


def command(words: list[str], log: Path, folder: Path, environment: dict[str, str], setup: Setup | None) -> None:
    """Runs a command line in this process, in a folder; all that it prints goes to a file."""
    os.setsid()
    os.chdir(folder)
    os.environ.update(environment)
    with log.open("ab", 0) as sink:
        for stream in (1, 2):
            os.dup2(sink.fileno(), stream)
    sys.argv[0] = "hubbub"
    from hubbub.cli.main import main

    if setup:
        setup()
    sys.argv[1:] = words
    main()


def start(
    *words: object, log: Path, folder: Path, environment: dict[str, str] | None = None, setup: Setup | None = None
) -> BaseProcess:
    """Starts a command. `setup` is called in its process before, for what has no option."""
    own = {name: value for name, value in os.environ.items() if name.startswith(("HUBBUB_", "OMP_", "NO_PROXY"))}
    arguments = ([str(word) for word in words], log, folder, own | (environment or {}), setup)
    process: BaseProcess = _context().Process(target=command, args=arguments)
    process.start()
    return process


def alive(pid: int) -> bool:
    """Whether a process runs: one that has ended waits as a zombie for whoever inherits it."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def session(pid: int) -> list[int]:
    """The running processes of the session that a process began."""
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                facts = (place / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(facts[3]) == pid and facts[0] != "Z":
                found.append(int(place.name))
    return found


@dataclass
class Lives:
    """Kills one command at random moments and lets it end, again and again, until there were `kills`.

    `begin(folder, log)` starts the command in a new folder, or again in the same one. `look(folder)` is called after
    each kill, `ended(folder)` when the command came to its end after at least one. `most` is the number of kills before
    the command may end. `sign` is what it prints when its work begins: kills come between that and the end.
    """

    begin: Callable[[Path, Path], BaseProcess]
    ended: Callable[[Path], None]
    look: Callable[[Path], None] = lambda folder: None
    most: int = 4
    sign: bytes = b""
    seed: int = 0
    killed: int = 0
    lives: int = 0
    _chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    def _at_work(self, folder: Path) -> tuple[BaseProcess, Path]:
        """A command whose work has begun, or that has ended; what it prints."""
        folder.mkdir(parents=True, exist_ok=True)
        log = folder.with_name(f"{folder.name}.log")
        before = log.stat().st_size if log.is_file() else 0
        process = self.begin(folder, log)
        until(lambda: process.exitcode is not None or (log.is_file() and self.sign in log.read_bytes()[before:]), 300)
        return process, log

    def undisturbed(self, folder: Path) -> float:
        """Lets the command run to its end in a folder; how long its work takes [s]."""
        process, log = self._at_work(folder)
        began = time.monotonic()
        process.join(500)
        assert process.exitcode == 0, (process.exitcode, log.read_text())
        return time.monotonic() - began

    def go(self, folder: Path, kills: int) -> None:
        """As many kills as asked for, in folders below `folder`."""
        _context()
        whole_s = self.undisturbed(folder / "whole")
        print(f"undisturbed: {whole_s:.1f} s")
        while self.killed < kills:
            self._live(
                folder / f"life-{self.lives}", min(self._chance.randint(1, self.most), kills - self.killed), whole_s
            )
            self.lives += 1

    def _live(self, place: Path, kills: int, whole_s: float) -> None:
        before = self.killed
        for _ in range(kills):
            process, log = self._at_work(place)
            process.join(self._chance.uniform(0, whole_s))
            assert process.pid
            process.kill()
            process.join()
            if process.exitcode != -signal.SIGKILL:  # it came to its end first
                assert process.exitcode == 0, log.read_text()
                break
            self.killed += 1
            pid = process.pid
            until(lambda pid=pid: not session(pid), 60)  # type: ignore[misc]
            self.look(place)
        if self.killed > before:
            self.undisturbed(place)
            self.ended(place)
