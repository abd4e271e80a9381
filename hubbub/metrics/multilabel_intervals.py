"""95 % intervals of figures of clips with label sets, by a bootstrap of recordings: pure functions over arrays.

Arrays are those of `multilabel`. Whole source recordings are drawn with replacement, because clips of one recording are
not independent (Efron & Tibshirani 1993, An introduction to the bootstrap), and the ends are percentiles. A draw only
weighs the clips: each class is sorted once. A class that a draw leaves without a clip that holds it, or without one
that does not, is left out of the draw's mean, as in the figures themselves. With few recordings, or with classes that
few of them hold, such an interval is too narrow.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hubbub.metrics.classification import MetricsError
from hubbub.metrics.event_intervals import RESAMPLES, bootstrap
from hubbub.metrics.multilabel import Flags, checked

__all__ = ["METHOD", "BOOTSTRAPPED", "Weighted", "intervals"]

Array = npt.NDArray[np.float64]
Int = npt.NDArray[np.int64]
#: The name of this method in stored results.
METHOD = "bootstrap over recordings"
#: The metrics that have an interval.
BOOTSTRAPPED = ("macro_map", "micro_map", "roc_auc", "macro_f1")
#: Weights that are summed up at once: as many as a processor's cache holds.
_CHUNK = 1 << 17


@dataclass(frozen=True)
class _Sorted:
    """One class's clips by falling score: the recording of each, `[N]`, and those that hold it.

    Of each distinct score that such a clip has: `begins`, the place of its first clip, `ends`, that after its last, and
    `first`, the number of its first clip among those that hold the class.
    """

    recording: Int
    hits: Int
    begins: Int
    ends: Int
    first: Int


class Weighted:
    """The predictions of clips `[N, K]` whose recordings `groups` `[N]` are weighed by draws.

    `decided` `[N, K]` says which classes are decided. Groups are numbers from 0.
    """

    def __init__(
        self,
        targets: Flags,
        scores: npt.NDArray[Any],
        decided: Flags,
        groups: Int,
        known: Flags | None = None,
    ) -> None:
        targets, scores, known = checked(targets, scores, known)
        if groups.shape != targets.shape[:1] or decided.shape != targets.shape:
            raise MetricsError(
                f"{groups.size} groups and decisions of shape {decided.shape} for predictions of shape "
                f"{targets.shape}: give each clip its source recording, and its decisions."
            )
        self._classes = [_sort(targets[own, k], scores[own, k], groups[own]) for k, own in enumerate(known.T)]
        self._pairs = _sort(targets[known], scores[known], np.broadcast_to(groups[:, None], known.shape)[known])
        number, self._counts = int(groups.max()) + 1, []
        for counted in (decided & targets, decided & known, targets, known):
            self._counts.append(np.stack([np.bincount(groups, one, number) for one in counted.T], axis=1))

    def figures(self, weights: Int, metrics: Sequence[str] = BOOTSTRAPPED) -> Mapping[str, Array]:
        """The value of each of these metrics in each draw; `weights` `[R, G]` are how often it drew each recording."""
        found: dict[str, Array] = {}
        if "macro_map" in metrics or "roc_auc" in metrics:
            both = np.stack([np.stack(_areas(one, weights)) for one in self._classes])
            found |= {"macro_map": _mean(both[:, 0]), "roc_auc": _mean(both[:, 1])}
        if "micro_map" in metrics:
            found["micro_map"] = _areas(self._pairs, weights)[0]
        if "macro_f1" in metrics:
            hits, decided, support, known = (weights[:, : len(counts)] @ counts for counts in self._counts)
            with np.errstate(invalid="ignore", divide="ignore"):
                f1 = 2 * hits / (support + decided)
            found["macro_f1"] = _mean(np.where((support > 0) & (support < known), f1, np.nan).T)
        return {name: found[name] for name in metrics}


def intervals(predictions: Sequence[Weighted], recordings: int, resamples: int = RESAMPLES) -> dict[str, Any]:
    """The 95 % interval of each of `BOOTSTRAPPED`, of the mean over `predictions` (several folds and seeds) of these
    recordings; None for one recording."""
    if recordings == 1:
        return dict.fromkeys(BOOTSTRAPPED)

    def figures(weights: Int) -> Array:
        each = [np.stack(list(one.figures(weights).values()), axis=1) for one in predictions]
        return np.mean(each, axis=0)

    return dict(zip(BOOTSTRAPPED, bootstrap(figures, recordings, resamples), strict=True))


def _sort(hits: Flags, scores: Array, groups: Int) -> _Sorted:
    order = np.argsort(-scores, kind="stable")
    sorted_scores, place = scores[order], np.flatnonzero(hits[order])
    levels, first = np.unique(-sorted_scores[place], return_index=True)
    begins, ends = (np.searchsorted(-sorted_scores, levels, side) for side in ("left", "right"))
    return _Sorted(groups[order], place, begins, ends, first)


def _areas(one: _Sorted, weights: Int) -> tuple[Array, Array]:
    """Average precision and area under the ROC curve in each draw `[R]`; NaN where a side is empty."""
    precision, area = np.full(len(weights), np.nan), np.full(len(weights), np.nan)
    if not len(one.hits):
        return precision, area
    for rows, counts in _running(one, weights):
        total, before, after = (counts[place].astype(np.float64) for place in (-1, one.begins, one.ends))
        each = np.add.reduceat(counts[one.hits + 1] - counts[one.hits], one.first, axis=0).astype(np.float64)
        true = np.cumsum(each, axis=0)
        present = true[-1]
        absent = total - present
        with np.errstate(invalid="ignore", divide="ignore"):
            shares = np.where(after > 0, each * true / after, 0).sum(axis=0) / present
            false = (before - true + each) + (after - true)  # twice the mean number of false ones above a hit
            right = (each * (2 * absent - false)).sum(axis=0) / (2 * present * absent)
        both = (present > 0) & (absent > 0)
        precision[rows], area[rows] = np.where(both, shares, np.nan), np.where(both, right, np.nan)
    return precision, area


def _running(one: _Sorted, weights: Int) -> Iterator[tuple[slice, npt.NDArray[np.int32]]]:
    """Draws by the chunk, and how much weight lies before each place `[N + 1, draws]`."""
    step = max(1, _CHUNK // (len(one.recording) + 1))
    for start in range(0, len(weights), step):
        rows = slice(start, start + step)
        chosen = np.ascontiguousarray(weights[rows].T, dtype=np.int32)
        counts = np.zeros((len(one.recording) + 1, chosen.shape[1]), dtype=np.int32)
        np.cumsum(chosen[one.recording], axis=0, out=counts[1:])
        yield rows, counts


def _mean(values: Array) -> Array:
    """The mean over classes `[K, R]` of those that are defined; NaN where none is."""
    defined = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(defined, values, 0).sum(axis=0) / defined.sum(axis=0)
