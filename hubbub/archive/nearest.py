"""Finds the embeddings nearest to others: exactly up to a number of segments, above it by an index of faiss.

The index (https://github.com/facebookresearch/faiss: lists of cells, 8 bits a number) is a file beside the embeddings
that may be deleted at any time. Segments that were added since it was made are compared exactly.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from hubbub.archive.vectors import Vectors

__all__ = ["Nearest"]

Array = npt.NDArray[np.float32]


class Nearest:
    """Searches the embeddings of an archive in a folder."""

    def __init__(self, folder: Path, vectors: Vectors) -> None:
        self.folder, self.vectors = folder, vectors

    def candidates(self, examples: Array, mask: npt.NDArray[np.bool_], count: int) -> npt.NDArray[np.int64]:
        """The `count` segments under the mask that are nearest to each example `[n, D]` of length 1, together."""
        cosines = np.where(mask[:, None], self.vectors.cosines(np.ascontiguousarray(examples.T)), -np.inf)
        count = min(count, int(mask.sum()))
        best = np.argpartition(-cosines, min(count, len(cosines) - 1), axis=0)[:count]
        return np.unique(best).astype(np.int64)
