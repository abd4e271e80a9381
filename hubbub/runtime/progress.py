"""Progress on standard error: bars for long loops, a tally for the cells of runs. Bars are hidden if it is not a
terminal, and in processes of a rank above 0."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import accumulate
from typing import Any, Self, TypeVar

from hubbub.runtime import distributed

__all__ = ["Tally", "bar", "file_bar", "track"]

T = TypeVar("T")


def track(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Yields `items` and shows how many of `total` are done and the time left."""
    if distributed.this_process().rank or not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import track as rich_track

    yield from rich_track(items, description=what, total=total, console=Console(stderr=True), transient=True)


@contextmanager
def bar(what: str, total: float) -> Iterator[Callable[[float], None]]:
    """Shows a bar and yields a function that sets how much of `total` is done; other output is not redirected."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    # If standard output is a file, rich would print on the terminal what belongs in the file.
    console, piped = Console(stderr=True), not sys.stdout.isatty()
    with Progress(*columns, console=console, transient=True, redirect_stdout=not piped) as shown:
        task = shown.add_task(what, total=total)
        yield lambda done: shown.update(task, completed=done)


@contextmanager
def file_bar(what: str, paths: Sequence[str]) -> Iterator[Callable[[str, float], None]]:
    """Shows a bar over the bytes of all files and yields a function that sets the share of a file that is done."""
    sizes = [os.path.getsize(path) if os.path.isfile(path) else 0 for path in paths]
    before = dict(zip(paths, accumulate(sizes, initial=0), strict=False))
    size = dict(zip(paths, sizes, strict=True))
    with bar(what, sum(sizes)) as update:
        yield lambda path, share: update(before[path] + share * size[path])


@dataclass
class _Counts:
    cells: int
    left: int
    finished: int = 0
    seconds: float = 0.0


class Tally:
    """How many cells of several runs are done, running and left, and how long the rest may take.

    `slots` cells run at once. As a context it shows a line on a terminal, unless only one cell runs at a time, which
    shows its own progress.
    """

    def __init__(self, slots: int) -> None:
        self.slots, self.running, self.waiting = slots, 0, 0
        self._runs: dict[str, _Counts] = {}
        self._failed = 0
        self._bar: Any = None

    def add(self, run: str, cells: int, left: int) -> None:
        self._runs[run] = _Counts(cells, left)

    def count(self, run: str, seconds: float, well: bool) -> None:
        """Counts a cell that has ended; `well` unless it failed."""
        counts = self._runs[run]
        counts.left -= 1
        self._failed += not well
        counts.finished += well
        counts.seconds += seconds if well else 0.0

    def show(self, running: int, waiting: int) -> None:
        """Updates the line with how many steps are running and waiting, including the last steps of runs."""
        self.running, self.waiting = running, waiting
        if self._bar:
            done, cells = self._done()
            self._bar.update(self._line, completed=done, total=cells, description=self.words())

    def cells(self) -> int:
        return sum(counts.cells for counts in self._runs.values())

    def _done(self) -> tuple[int, int]:
        cells = self.cells()
        return cells - sum(counts.left for counts in self._runs.values()), cells

    def left_s(self) -> float | None:
        """Seconds that the remaining cells may take, from the mean time of their run, or of all runs; None at first."""
        finished = sum(counts.finished for counts in self._runs.values())
        if not finished:
            return None
        mean = sum(counts.seconds for counts in self._runs.values()) / finished
        spent = (
            counts.left * (counts.seconds / counts.finished if counts.finished else mean)
            for counts in self._runs.values()
        )
        return sum(spent) / self.slots

    def words(self) -> str:
        done, cells = self._done()
        parts = [f"{done} of {cells} cells", f"{self.running} running", f"{self.waiting} waiting"]
        parts += [f"{self._failed} failed"] if self._failed else []
        return ", ".join(parts) + self.time_left()

    def time_left(self) -> str:
        """`, about 1:20:00 left`; empty if that is not known yet, or nothing is left."""
        seconds = self.left_s()
        return f", about {timedelta(seconds=round(seconds))} left" if seconds else ""

    def __str__(self) -> str:
        done, cells = self._done()
        return f"[{done}/{cells}]"

    def __enter__(self) -> Self:
        if self.slots > 1 and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._line = self._bar.add_task(self.words())
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar:
            self._bar.stop()
