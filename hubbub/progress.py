"""Progress bars on standard error with the time left, quiet when that is not a terminal."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

__all__ = ["bar", "track"]

T = TypeVar("T")


def track(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Pass `items` on, showing how many of `total` are done and the time left."""
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import track as rich_track

    yield from rich_track(items, description=what, total=total, console=Console(stderr=True), transient=True)


@contextmanager
def bar(what: str, total: float) -> Iterator[Callable[[float], None]]:
    """A bar that is told how much of `total` is done so far; what is printed meanwhile goes where it would."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    # Where standard output is a file, rich would print on the terminal what belongs there.
    console, piped = Console(stderr=True), not sys.stdout.isatty()
    with Progress(*columns, console=console, transient=True, redirect_stdout=not piped) as shown:
        task = shown.add_task(what, total=total)
        yield lambda done: shown.update(task, completed=done)
