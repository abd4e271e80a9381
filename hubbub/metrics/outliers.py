"""Outliers: clips far from their class and from all classes, by their nearest neighbours: pure functions on arrays."""

import numpy as np
import numpy.typing as npt

__all__ = ["neighbour_distances", "outlying"]

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
#: Neighbours whose mean distance counts, and how many deviations above the median is far. The deviation is 1.4826 times
#: the median absolute one, which for normal values is the standard deviation.
NEIGHBOURS, FAR, _SCALE = 5, 3.0, 1.4826
_ROWS_AT_ONCE = 512


def neighbour_distances(
    embeddings: npt.NDArray[np.float32], present: Flags, groups: npt.NDArray[np.intp], among: npt.NDArray[np.intp]
) -> tuple[Array, Array]:
    """The mean cosine distance of each clip to its nearest `NEIGHBOURS` that share a class with it, and to those of all
    clips, `[N]` each; NaN where there is none.

    `embeddings` `[N, D]` are standardised here; `present` `[N, K]` says which classes a clip holds. Only clips of other
    `groups` `[N]` count, as clips of one recording lie together whatever they hold, and only the rows `among`.
    """
    rows = embeddings - embeddings.mean(axis=0)
    rows /= np.maximum(rows.std(axis=0), 1e-6)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
    holds, found = present.astype(np.float32), []
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        distances = 1 - rows[part] @ rows[among].T
        distances[groups[part, None] == groups[among]] = np.inf
        shared = holds[part] @ holds[among].T > 0
        found.append((_nearest(np.where(shared, distances, np.inf)), _nearest(distances)))
    own, every = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return own, every


def outlying(own: Array, every: Array, kinds: npt.NDArray[np.intp]) -> tuple[Array, Flags]:
    """How far each clip is, in deviations above the median, and whether it is an outlier, `[N]` each.

    The smaller counts of two: the distance to its own class against that of the clips of its kind in `kinds` `[N]`, and
    the distance to all classes against that of all clips. A clip without neighbours of its class counts by the second.
    """
    of_class = np.full(len(own), np.inf)
    for kind in np.unique(kinds):
        rows = np.flatnonzero((kinds == kind) & np.isfinite(own))
        of_class[rows] = _deviations(own[rows])
    of_all = np.full(len(every), -np.inf)
    rows = np.flatnonzero(np.isfinite(every))
    of_all[rows] = _deviations(every[rows])
    far = np.minimum(of_class, of_all)
    return far, far >= FAR


def _nearest(distances: npt.NDArray[np.float32]) -> Array:
    """The mean of the smallest finite distances of each row; NaN where there is none."""
    most = min(NEIGHBOURS, distances.shape[1])
    near = np.partition(distances, most - 1, axis=1)[:, :most].astype(np.float64)
    near[~np.isfinite(near)] = np.nan
    counts = np.isfinite(near).sum(axis=1)
    return np.divide(np.nansum(near, axis=1), counts, out=np.full(len(near), np.nan), where=counts > 0)


def _deviations(values: Array) -> Array:
    """How many deviations each value is above the median."""
    if not len(values):
        return values
    above = values - np.median(values)
    return above / max(_SCALE * float(np.median(np.abs(above))), 1e-6)
