"""Iterators run ahead in threads, their items taken in order: what is next is made while what is there is used.

Each has a queue of its own that holds a few items, so little is held however long they are and however slow the taker.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["ahead"]

T = TypeVar("T")
_PATIENCE_S = 0.1  # how long a full queue is waited for before asking whether anybody still wants its items


@dataclass(frozen=True)
class _End(Generic[T]):
    """The end of an iterator, or what ended it."""

    error: BaseException | None = None


class _Line(Generic[T]):
    """One iterator's items on their way."""

    def __init__(self, depth: int, stopped: threading.Event) -> None:
        self._items: queue.Queue[T | _End[T]] = queue.Queue(depth)
        self._stopped = stopped

    def run(self, make: Callable[[], Iterator[T]]) -> None:
        try:
            with closing(make()) as items:  # type: ignore[type-var]  # generators have it
                for item in items:
                    if not self._put(item):
                        return
        except BaseException as error:  # whoever takes the items shall know
            self._put(_End(error))
        else:
            self._put(_End())

    def _put(self, item: T | _End[T]) -> bool:
        """False where nobody wants it any more."""
        while not self._stopped.is_set():
            try:
                self._items.put(item, timeout=_PATIENCE_S)
                return True
            except queue.Full:
                continue
        return False

    def take(self) -> Iterator[T]:
        while True:
            item = self._items.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item


def ahead(jobs: Iterable[Callable[[], Iterator[T]]], threads: int, depth: int) -> Iterator[Iterator[T]]:
    """Generators of items -> their items, one iterator a job in the jobs' order; `threads` jobs run at a time, each at
    most `depth` items ahead. An error of a job comes out where its items are taken. Take all of an iterator's items
    before the next one.
    """
    stopped, lines, rest = threading.Event(), deque[_Line[T]](), iter(jobs)
    with ThreadPoolExecutor(threads, thread_name_prefix="ahead") as pool:

        def start() -> None:
            if (job := next(rest, None)) is not None:
                lines.append(_Line(depth, stopped))
                pool.submit(lines[-1].run, job)

        try:
            for _ in range(threads):
                start()
            while lines:
                yield lines[0].take()
                lines.popleft()
                start()
        finally:
            stopped.set()
