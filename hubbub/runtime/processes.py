"""Processes of this machine: the processor, how many cores they may use, their environment, and their end."""

import math
import multiprocessing
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import connection
from pathlib import Path

from hubbub.errors import HubbubError

__all__ = ["EngineError", "cores", "describe_exit", "processor_name", "set_environment", "exit_with_parent"]

#: A control group's share of the processors (Linux, cgroup v2): a quota and a period in microseconds, or `max`.
CPU_MAX = Path("/sys/fs/cgroup/cpu.max")
#: What Linux says of each core, a line a fact.
CPU_INFO = Path("/proc/cpuinfo")


class EngineError(HubbubError):
    """A step was lost because its worker ended, or an engine is not available."""


def cores() -> int:
    """The number of cores this process may use: those it is bound to, or fewer where a control group limits it."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = map(int, CPU_MAX.read_text().split())
        return max(min(bound, math.ceil(quota / period)), 1)
    except (OSError, ValueError, ZeroDivisionError):  # no control group, or no limit
        return bound


def processor_name(facts: Path = CPU_INFO) -> str:
    """The processor's model name as Linux has it; elsewhere, and where it has none, what Python knows of it."""
    try:
        lines = (line.partition(":") for line in facts.read_text(encoding="utf-8", errors="replace").splitlines())
        names = (value.strip() for name, _, value in lines if name.strip() == "model name")
        found = next(filter(None, names), "")
    except OSError:  # no Linux
        found = ""
    return found or platform.processor() or platform.machine()


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
