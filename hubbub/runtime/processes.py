"""Worker processes: how many cores they may use, their environment, and how they end."""

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import connection

from hubbub.errors import HubbubError

__all__ = ["EngineError", "cores", "describe_exit", "exit_with_parent", "set_environment"]


class EngineError(HubbubError):
    """A step was lost because its worker ended, or an engine is not available."""


def cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def set_environment(values: dict[str, str]) -> Iterator[None]:
    """Sets environment variables for the time of a block."""
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


def describe_exit(status: int | None) -> str:
    """How a process ended: its signal or exit status."""
    return f"signal {-status}" if status and status < 0 else f"exit status {status}"


def exit_with_parent() -> None:
    """Waits until the parent process ends, then ends this process: the parent's folder is unlocked when it is killed,
    and no worker may still write there."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)
