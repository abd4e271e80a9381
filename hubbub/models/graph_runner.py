"""What runs a graph of another team: the inputs and outputs it has, and how they are computed."""

from collections import Counter
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["Array", "GraphRunner", "Port", "first_line"]

Array = npt.NDArray[np.float32]


class Port(NamedTuple):
    """An input or output of a graph."""

    name: str
    #: Its sizes; None where a size is open.
    shape: tuple[int | None, ...]
    #: The type of its values, as the format calls it.
    kind: str
    #: Whether this is single precision.
    single: bool

    def __str__(self) -> str:
        return f"'{self.name}' [{', '.join('any' if n is None else str(n) for n in self.shape)}] {self.kind}"


class GraphRunner(Protocol):
    """A graph that was opened, by the library that computes it. Many threads may run it at the same time."""

    #: The format of its file, for messages.
    format: str
    inputs: list[Port]
    outputs: list[Port]
    #: Whether it can take several segments at a time.
    batches: bool
    #: Names of values inside of the graph that may be asked for as an output.
    inner: list[str]
    #: How many operators it has, and how many numbers of each type it stores.
    operators: int
    stored: Counter[str]

    @property
    def rate_hz(self) -> int | None:
        """The sample rate that the file states, if any."""

    def run(self, names: list[str], batch: Array) -> list[Array]:
        """The named outputs for its input; raises the library's own exceptions, which have no common base."""


def first_line(error: Exception) -> str:
    """The first line of an error of a library, without its full stop."""
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
