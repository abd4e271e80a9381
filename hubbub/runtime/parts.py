"""Computes batches in parts, one on each core."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import numpy.typing as npt

from hubbub.runtime.processes import cores

__all__ = ["PART", "run_parts"]

Array = npt.NDArray[np.float32]
#: Segments that a core computes at a time: larger batches fall out of its cache.
PART = 16


def run_parts(run: Callable[[Array], list[Array]], batch: Array, most: int = PART) -> list[Array]:
    """The outputs of `run` for a batch `[B, ...]`. Each core computes parts of up to `most` rows on its own: threads
    that share an operation wait for each other at each of them, and longer where another program holds a core."""
    if len(batch) == 1:
        return run(batch)
    rounds = -(-len(batch) // (most * cores()))  # each core computes as many parts as the others
    parts = np.array_split(batch, min(rounds * cores(), len(batch)))
    found = list(_threads().map(run, parts))
    return [np.concatenate(values) for values in zip(*found, strict=True)]


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cores(), "parts")
