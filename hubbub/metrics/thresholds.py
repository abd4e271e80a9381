"""A threshold for each class, chosen on held-out scores for a stated aim: pure functions over arrays.

Arrays are those of `multilabel`: `targets`, `scores` and `known` `[N, K]`; scores are probabilities in [0, 1]. A class
is decided where its score, in double precision, reaches its threshold. The candidates are all thresholds that decide
differently, so a choice is exact: halfway between two neighbouring distinct scores, above the highest, below the
lowest.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from hubbub.metrics.classification import MetricsError
from hubbub.metrics.multilabel import Rates, checked, rates_at

__all__ = ["FALLBACK", "Doubt", "Thresholds", "best_f1", "keep_precision", "limit_false_alarms"]

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
#: The threshold of a class about which the held-out clips say nothing.
FALLBACK = 0.5


class Doubt(StrEnum):
    """Why a class's threshold does not do, or is not known to do, what was aimed at."""

    NO_POSITIVE = "no held-out clip has the class"
    NO_NEGATIVE = "no held-out clip is without the class"
    UNREACHED = "no threshold reaches the aim"
    NEVER_FOUND = "the aim leaves no clip in which the class is found"


@dataclass(frozen=True)
class Thresholds:
    """A threshold for each class, `values` `[K]`, the `aim` in words, and the rates `reached` on the held-out clips.

    `doubts` has the classes, by number, whose aim was not reached or cannot be judged, and why:

    | doubt | threshold |
    |---|---|
    | `NO_POSITIVE` | `FALLBACK`; under a limit of false alarms the one that keeps it, as this takes no positive |
    | `NO_NEGATIVE` | `FALLBACK` |
    | `UNREACHED` | the lowest with the highest precision |
    | `NEVER_FOUND` | the one that keeps the limit of false alarms: it is above all held-out clips with the class |
    """

    values: Array
    aim: str
    reached: Rates
    doubts: Mapping[int, Doubt]

    def in_words(self, labels: Sequence[str]) -> tuple[str, ...]:
        """A sentence for each doubt, with the class's name."""
        return tuple(
            f"class '{labels[k]}': {doubt}, so {self.aim} is not assured; its threshold is {self.values[k]:.4g}"
            for k, doubt in self.doubts.items()
        )


@dataclass(frozen=True)
class _Candidates:
    """The thresholds of one class from the highest down, and how many clips with and without the class reach each."""

    thresholds: Array
    true: npt.NDArray[np.int64]
    false: npt.NDArray[np.int64]


#: From a class's candidates and its number: the number of the chosen candidate, and a doubt about it.
_Choose = Callable[[_Candidates, int], tuple[int, Doubt | None]]


def best_f1(targets: Flags, scores: npt.NDArray[Any], known: Flags | None = None) -> Thresholds:
    """The threshold of each class with the highest F1; of several, the highest threshold."""

    def choose(found: _Candidates, _: int) -> tuple[int, Doubt | None]:
        f1 = 2 * found.true / (found.true[-1] + found.true + found.false)
        return int(f1.argmax()), None

    return _chosen(targets, scores, known, "the best F1", choose)


def keep_precision(
    targets: Flags, scores: npt.NDArray[Any], precision: float, known: Flags | None = None
) -> Thresholds:
    """The lowest threshold of each class with at least this precision, in (0, 1], so that most clips are found."""
    if not 0 < precision <= 1:
        raise MetricsError(f"a precision of {precision:g} cannot be kept: give a number above 0, up to 1.")

    def choose(found: _Candidates, _: int) -> tuple[int, Doubt | None]:
        reached = found.true / np.maximum(found.true + found.false, 1)
        if len(enough := np.flatnonzero(reached >= precision)):
            return int(enough[-1]), None
        return int(np.flatnonzero(reached == reached.max())[-1]), Doubt.UNREACHED

    return _chosen(targets, scores, known, f"a precision of at least {precision:g}", choose)


def limit_false_alarms(
    targets: Flags, scores: npt.NDArray[Any], per_hour: float, hours: float | Array, known: Flags | None = None
) -> Thresholds:
    """The lowest threshold of each class with at most this many false alarms an hour, so that most clips are found.

    A false alarm is a clip without the class that reaches the threshold. `hours` is the length of the held-out sound in
    which the class was annotated: one number, or one for each class `[K]`.
    """
    lengths = np.asarray(hours, dtype=np.float64)
    fits = lengths.shape in ((), targets.shape[1:]) and (np.isfinite(lengths) & (lengths > 0)).all()
    if not fits or not 0 <= per_hour < np.inf:
        raise MetricsError(
            f"{per_hour:g} false alarms an hour in {hours} hours: give a number of 0 or more, and hours above 0, one "
            "number or one for each class."
        )
    lengths = np.broadcast_to(lengths, targets.shape[1:])

    def choose(found: _Candidates, k: int) -> tuple[int, Doubt | None]:
        chosen = int(np.flatnonzero(found.false / lengths[k] <= per_hour)[-1])
        if not found.true[-1]:
            return chosen, Doubt.NO_POSITIVE
        return chosen, None if found.true[chosen] else Doubt.NEVER_FOUND

    aim = f"at most {per_hour:g} false alarms an hour"
    return _chosen(targets, scores, known, aim, choose, without_positive=True)


def _chosen(
    targets: Flags,
    scores: npt.NDArray[Any],
    known: Flags | None,
    aim: str,
    choose: _Choose,
    *,
    without_positive: bool = False,
) -> Thresholds:
    """The thresholds that `choose` takes; `without_positive` says that it can where no clip has the class."""
    targets, scores, known = checked(targets, scores, known)
    if scores.min() < 0 or scores.max() > 1:
        raise MetricsError(
            f"scores reach from {scores.min():g} to {scores.max():g}: thresholds are chosen on "
            "probabilities, from 0 to 1."
        )
    values, doubts = np.full(targets.shape[1], FALLBACK), {}
    for k, own in enumerate(known.T):
        hits = targets[own, k]
        if not hits.any() and not (without_positive and len(hits)):
            doubts[k] = Doubt.NO_POSITIVE
        elif hits.all():
            doubts[k] = Doubt.NO_NEGATIVE
        else:
            found = _candidates(hits, scores[own, k])
            at, doubt = choose(found, k)
            values[k] = found.thresholds[at]
            if doubt:
                doubts[k] = doubt
    return Thresholds(values, aim, rates_at(targets, scores, values, known), doubts)


def _candidates(hits: Flags, scores: Array) -> _Candidates:
    """All thresholds that decide differently, with the counts of what reaches them."""
    distinct, place = np.unique(-scores, return_inverse=True)
    levels = -distinct  # falling
    # No score lies above 1, so a threshold above 1 is reached by none; one halfway to 0 leaves room below the lowest.
    above = np.append(1.0 if levels[0] < 1 else 2.0, levels)
    below = np.append(levels, 0.0)
    middle = (above + below) / 2
    thresholds = np.where(middle > below, middle, above)  # neighbouring numbers have none between them
    counts = (np.append(0, np.cumsum(np.bincount(place, side, len(levels)))) for side in (hits, ~hits))
    true, false = (one.astype(np.int64) for one in counts)
    return _Candidates(thresholds, true, false)
