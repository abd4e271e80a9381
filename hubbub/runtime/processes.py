"""TO BE DESCRIBED."""

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import connection

from hubbub.errors import HubbubError

__all__ = ["EngineError", "cores"]


class EngineError(HubbubError):
    """A step that was lost with whatever performed it, or an engine that cannot be had."""


def cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _ending(status: int | None) -> str:
    return f"signal {-status}" if status and status < 0 else f"exit status {status}"


def _leave_with_parent() -> None:
    """A killed parent's folder is free for others at once: none of its processes may go on writing there."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)
