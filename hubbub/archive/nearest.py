"""Finds the embeddings nearest to others: by comparing with all of them, or in large archives by an index of faiss.

The index (https://github.com/facebookresearch/faiss) divides the embeddings into lists, of which a search reads the
nearest ones, with 8 bits a number. It is a file beside the embeddings that may be deleted at any time; segments that
were added since it was made are compared one by one. It needs the extra `archive`: without it, all are.
"""

import importlib
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hubbub.archive.vectors import Vectors, normalised
from hubbub.runtime import files
from hubbub.runtime.processes import cores

__all__ = ["LARGE", "Nearest", "make_index"]

Array = npt.NDArray[np.float32]
FILE = "nearest.faiss"
#: From so many segments on an index is made, and made again when so large a share of the segments is not in it.
LARGE, STALE = 200_000, 0.1
#: Up to so many segments under a mask are all candidates.
FEW = 5_000
#: The most lists, and embeddings a list to find them by.
LISTS, EACH = 4_096, 40
#: A search reads so many lists, and fewer where these have more embeddings together than this.
PROBES, READ = 48, 30_000
#: The share of candidates beyond those that were asked for, which are compared exactly.
MORE = 2


class Nearest:
    """Searches the embeddings of the archive in a folder."""

    def __init__(self, folder: Path, vectors: Vectors) -> None:
        self.vectors = vectors
        self._index: Any = _read(folder) if len(vectors) >= LARGE else None
        self._indexed = min(self._index.ntotal, len(vectors)) if self._index else 0

    def candidates(self, examples: Array, mask: npt.NDArray[np.bool_], count: int) -> npt.NDArray[np.int64]:
        """At least the `count` segments under the mask that are nearest to each example `[n, D]` of length 1, together;
        with an index nearly all of them."""
        if mask.sum() <= FEW:
            return np.flatnonzero(mask)
        found = [self._exactly(examples, mask, count)]
        if self._index:
            found.append(self._by_index(examples, mask, MORE * count))
        return np.unique(np.concatenate(found))

    def _exactly(self, examples: Array, mask: npt.NDArray[np.bool_], count: int) -> npt.NDArray[np.int64]:
        """Among the segments that are not in the index."""
        rest = mask[self._indexed :]
        count = min(count, int(rest.sum()))
        if not count:
            return np.zeros(0, np.int64)
        cosines = self.vectors.cosines(np.ascontiguousarray(examples.T), self._indexed)
        cosines[~rest] = -np.inf
        return (np.argpartition(-cosines, count - 1, axis=0)[:count] + self._indexed).ravel().astype(np.int64)

    def _by_index(self, examples: Array, mask: npt.NDArray[np.bool_], count: int) -> npt.NDArray[np.int64]:
        """Among those in the index: the fewer are under the mask, the more lists are read."""
        faiss = _faiss()
        chosen = mask[: self._indexed]
        only = faiss.IDSelectorBitmap(np.packbits(chosen, bitorder="little"))
        probes = min(PROBES, max(READ * self._index.nlist // self._index.ntotal, 1))
        probes = min(int(probes / max(chosen.mean(), 1e-6)), LISTS)
        parameters = faiss.SearchParametersIVF(nprobe=probes, sel=only)
        rows = self._index.search(examples, count, params=parameters)[1]
        return np.asarray(rows[rows >= 0], dtype=np.int64)


def make_index(folder: Path, vectors: Vectors) -> bool:
    """Make the index of a large archive, if there is none or too much was added since; whether one was made."""
    if len(vectors) < LARGE or not _is_installed():
        return False
    old = _read(folder)
    if old and (1 - STALE) * len(vectors) <= old.ntotal <= len(vectors):
        return False
    faiss = _faiss()
    faiss.omp_set_num_threads(cores())
    lists = min(int(4 * np.sqrt(len(vectors))), len(vectors) // EACH, LISTS)
    made = faiss.index_factory(vectors.width, f"IVF{lists},SQ8", faiss.METRIC_INNER_PRODUCT)
    chosen = np.random.default_rng(0).choice(len(vectors), min(EACH * lists, len(vectors)), replace=False)
    made.train(normalised(vectors.take(np.sort(chosen))))
    for _, block in vectors.blocks():
        made.add(normalised(block))
    with files.whole_file(folder / FILE) as place:
        faiss.write_index(made, str(place))
    return True


def _is_installed() -> bool:
    return importlib.util.find_spec("faiss") is not None


def _faiss() -> Any:
    """The library, whose types do not say what it takes."""
    return importlib.import_module("faiss")


def _read(folder: Path) -> Any:
    """The index of an archive, its lists on the disk; None where there is none, or a damaged one."""
    file = folder / FILE
    if not file.is_file() or not _is_installed():
        return None
    faiss = _faiss()
    try:
        return faiss.read_index(str(file), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
    except RuntimeError:  # faiss's
        file.unlink(missing_ok=True)
        return None
