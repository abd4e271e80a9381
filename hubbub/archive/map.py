"""A map of an archive: a place in the plane for each segment, near those that sound alike.

It is computed once, by a process of its own, in steps that are shown as they come: the two main directions (PCA) of all
embeddings, then t-SNE (van der Maaten and Hinton 2008, by scikit-learn) of a small and of a large sample. All other
segments, also those that are added later, lie beside the one of the sample that is nearest to them. The map is a file
in the archive's folder, which may be deleted at any time.
"""

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from hubbub.archive.archive import Archive
from hubbub.archive.vectors import normalised
from hubbub.runtime.files import whole_file
from hubbub.runtime.processes import exit_with_parent

__all__ = ["SAMPLES", "Map", "compute", "read", "start"]

Array = npt.NDArray[np.float32]
FILE = "map.npz"
#: How many segments t-SNE places, step by step; and in how many directions of the embeddings it looks for neighbours.
SAMPLES = (1_000, 5_000)
DIRECTIONS = 50
#: How far from its neighbour a segment lies at most, of the map's width.
BESIDE = 0.004
BLOCK = 2_000


@dataclass(frozen=True)
class Map:
    """Places of the first n segments `[n, 2]`, in 0 to 1; `sample` `[m]` are those that t-SNE placed: none yet where
    the map shows the main directions; `final` where no better map will come."""

    points: Array
    sample: npt.NDArray[np.int64]
    final: bool


def read(folder: Path) -> Map | None:
    """The map in an archive's folder; None where there is none yet, or a damaged one."""
    try:
        with np.load(folder / FILE, allow_pickle=False) as stored:
            found = Map(stored["points"], stored["sample"], bool(stored["final"]))
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None
    whole = found.points.ndim == 2 and found.points.shape[1] == 2 and np.isfinite(found.points).all()
    return found if whole and (found.sample < len(found.points)).all() else None


def start(folder: Path) -> multiprocessing.process.BaseProcess:
    """A process that computes the map; it ends with this one."""
    process = multiprocessing.get_context("spawn").Process(target=_in_background, args=(folder,), daemon=True)
    process.start()
    return process


def _in_background(folder: Path) -> None:
    Thread(target=exit_with_parent, daemon=True).start()
    with suppress(OSError, AttributeError):  # not on every system
        os.nice(10)
    compute(folder)


def compute(folder: Path) -> None:
    """Write the map of all segments, better and better; a finished one only gets the segments that are new."""
    archive, known = Archive(folder), read(folder)
    if known and known.final:
        if len(known.points) < archive.segments:
            directions = _directions(archive, known.sample)
            _write(folder, Map(_beside(directions, known.sample, known.points[known.sample]), known.sample, True))
        return
    for found in _steps(archive):
        _write(folder, found)


def _steps(archive: Archive) -> Iterator[Map]:
    from sklearn.manifold import TSNE

    order = np.random.default_rng(0).permutation(archive.segments)[: SAMPLES[-1]]
    if len(order) < 4:  # too few for a map: side by side
        points = np.stack([np.linspace(0.2, 0.8, len(order)), np.full(len(order), 0.5)], axis=1)
        yield Map(points.astype(np.float32), np.arange(len(order)), final=True)
        return
    directions = _directions(archive, order)
    yield Map(_scaled(directions[:, :2]), order[:0], final=False)
    for count in SAMPLES:
        sample = order[:count]
        perplexity = min(30.0, (len(sample) - 1) / 3)
        placed = TSNE(perplexity=perplexity, init="pca", random_state=0, n_jobs=1).fit_transform(directions[sample])
        final = len(sample) == len(order)
        yield Map(_beside(directions, sample, _scaled(placed)), sample, final)
        if final:
            return


def _directions(archive: Archive, sample: npt.NDArray[np.int64]) -> Array:
    """All embeddings along the main directions of those of a sample, `[S, k]` with k at least 2."""
    rows = normalised(archive.vectors.take(np.sort(sample)))
    middle = rows.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(rows - middle, rowvar=False))
    main = vectors[:, np.argsort(-values)[:DIRECTIONS]].astype(np.float32)
    found = np.concatenate([(normalised(block) - middle) @ main for _, block in archive.vectors.blocks()])
    return np.pad(found, ((0, 0), (0, max(2 - found.shape[1], 0))))


def _beside(directions: Array, sample: npt.NDArray[np.int64], placed: Array) -> Array:
    """Places of all segments: of the sample as given, of the others beside the nearest of these."""
    base, found = directions[sample], np.empty((len(directions), 2), np.float32)
    lengths = (base**2).sum(axis=1)
    for first in range(0, len(directions), BLOCK):
        rows = directions[first : first + BLOCK]
        found[first : first + BLOCK] = placed[np.argmin(lengths - 2 * rows @ base.T, axis=1)]
    found += np.random.default_rng(0).uniform(-BESIDE, BESIDE, found.shape).astype(np.float32)
    found[sample] = placed
    return np.clip(found, 0, 1)


def _scaled(points: Array) -> Array:
    """Points moved into 0 to 1, with room at the borders."""
    low, high = points.min(axis=0), points.max(axis=0)
    return np.asarray(0.02 + 0.96 * (points - low) / np.maximum(high - low, 1e-9), dtype=np.float32)


def _write(folder: Path, found: Map) -> None:
    with whole_file(folder / FILE) as temporary:
        np.savez(temporary, points=found.points, sample=found.sample, final=found.final)
