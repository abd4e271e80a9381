"""Waits for what another thread or process does."""

import time
from collections.abc import Callable

__all__ = ["until"]


def until(truth: Callable[[], bool], seconds: float = 60.0) -> None:
    """Returns once something is true; fails where it is not after some seconds."""
    end = time.monotonic() + seconds
    while not truth():
        assert time.monotonic() < end, "it has not come true"
        time.sleep(0.02)
