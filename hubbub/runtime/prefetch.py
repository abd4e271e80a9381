"""Runs iterators in threads and yields their items in order, so that the next items are computed while others are used.

Each iterator has a queue of a few items, which bounds the memory, however long it is and however slow its consumer.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["prefetch"]

T = TypeVar("T")
_POLL_S = 0.1  # how long to wait for a full queue before checking whether the consumer has stopped


@dataclass(frozen=True)
class _End(Generic[T]):
    """The end of an iterator, with the error that ended it, if any."""

    error: BaseException | None = None


class _Queue(Generic[T]):
    """The items of one iterator that its consumer has not taken yet."""

    def __init__(self, depth: int, stopped: threading.Event) -> None:
        self._items: queue.Queue[T | _End[T]] = queue.Queue(depth)
        self._stopped = stopped

    def run(self, make: Callable[[], Iterator[T]]) -> None:
        try:
            with closing(make()) as items:  # type: ignore[type-var]  # generators have it
                for item in items:
                    if not self._put(item):
                        return
        except BaseException as error:  # raised again where the items are taken
            self._put(_End(error))
        else:
            self._put(_End())

    def _put(self, item: T | _End[T]) -> bool:
        """Adds an item; False if the consumer has stopped."""
        while not self._stopped.is_set():
            try:
                self._items.put(item, timeout=_POLL_S)
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


def prefetch(jobs: Iterable[Callable[[], Iterator[T]]], threads: int, depth: int, ahead: int) -> Iterator[Iterator[T]]:
    """Yields one iterator for each job, in order, over the items that the job generates.

    `threads` jobs run at a time, each at most `depth` items ahead; at most `ahead` jobs are begun whose items are not
    all taken. An error of a job is raised where its items are taken. Take all items of an iterator before the next one.
    """
    stopped, queues, rest = threading.Event(), deque[_Queue[T]](), iter(jobs)
    with ThreadPoolExecutor(threads, thread_name_prefix="prefetch") as pool:

        def start() -> None:
            if (job := next(rest, None)) is not None:
                queues.append(_Queue(depth, stopped))
                pool.submit(queues[-1].run, job)

        try:
            for _ in range(ahead):
                start()
            while queues:
                yield queues[0].take()
                queues.popleft()
                start()
        finally:
            stopped.set()
