"""The embeddings of an archive's segments: a file of half-precision numbers, a row a segment.

Rows are only ever added. Whoever adds some writes them behind the rows that the database knows, and then tells the
database; rows of a process that was killed in between are overwritten by the next one.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hubbub.data.archive_file import ArchiveError
from hubbub.runtime.files import why_not_written

__all__ = ["Vectors", "append", "normalised"]

Array = npt.NDArray[np.float32]
FILE = "embeddings.f16"
HALF = np.dtype("<f2")
#: Rows that are turned into single precision at a time: larger blocks fall out of the cache.
BLOCK = 4_096
#: Up to so many numbers are held in memory in single precision (64 MB): reading them is most of a search.
IN_MEMORY = 2**24


class Vectors:
    """The first `rows` embeddings of `width` numbers in an archive's folder.

    Raises `ArchiveError` where the file is shorter than that.
    """

    def __init__(self, folder: Path, rows: int, width: int) -> None:
        self.rows, self.width = rows, width
        file = folder / FILE
        there, needed = file.stat().st_size if file.is_file() else 0, rows * width * HALF.itemsize
        if there < needed:
            raise ArchiveError(
                f"{file} holds {there:,} bytes, and {rows:,} embeddings of {width} numbers take {needed:,}. Put a "
                "whole copy of the archive back, or index the recordings into a new folder."
            )
        self._values: npt.NDArray[np.floating] = np.zeros((0, width), HALF)
        if rows:
            self._values = np.memmap(file, HALF, "r", shape=(rows, width))
        if rows * width <= IN_MEMORY:
            self._values = self._values.astype(np.float32)
            self._values.setflags(write=False)  # callers get views of it

    def __len__(self) -> int:
        return self.rows

    def take(self, rows: npt.ArrayLike) -> Array:
        """The embeddings of some segments `[n, D]`."""
        return self._values[np.asarray(rows, dtype=np.intp)].astype(np.float32, copy=False)

    def blocks(self, start: int = 0) -> Iterator[tuple[int, Array]]:
        """All embeddings from a row on, in blocks `[n, D]`, with the row of the first of each."""
        for first in range(start, self.rows, BLOCK):
            yield first, self._values[first : first + BLOCK].astype(np.float32, copy=False)

    def cosines(self, directions: Array, start: int = 0) -> Array:
        """The cosines of all embeddings from a row on with directions `[D, K]` of length 1 -> `[S, K]`."""
        found = np.empty((self.rows - start, directions.shape[1]), np.float32)
        for first, block in self.blocks(start):
            np.matmul(normalised(block), directions, out=found[first - start : first - start + len(block)])
        return found


def append(folder: Path, rows: int, embeddings: Array) -> None:
    """Write embeddings `[n, D]` behind the first `rows`; they are on the disk when it returns. Raises `ArchiveError`
    where one is not a finite number in half precision, and where the disk is full."""
    with np.errstate(over="ignore"):
        halves = embeddings.astype(HALF)
    if not np.isfinite(halves).all():
        raise ArchiveError(
            f"the network gives embeddings that are not finite or above {np.finfo(np.float16).max:,.0f}. Index with "
            "another one: hubbub index --model."
        )
    start, file = rows * embeddings.shape[1] * HALF.itemsize, folder / FILE
    try:
        with open(file, "r+b" if file.is_file() else "w+b") as stream:
            stream.truncate(start)  # what a killed process left
            stream.seek(start)
            stream.write(halves.tobytes())
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise ArchiveError(
            f"{file} could not be written: {why_not_written(error)}. Make room and index again: what is stored stays."
        ) from error


def normalised(embeddings: Array) -> Array:
    """Embeddings `[n, D]` scaled to length 1; one of length 0 stays."""
    lengths = np.sqrt(np.einsum("nd,nd->n", embeddings, embeddings))[:, None]
    return np.asarray(embeddings / np.maximum(lengths, np.finfo(np.float32).tiny), dtype=np.float32)
