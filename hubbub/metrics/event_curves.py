"""Counts of events at every threshold, and the curves of precision, recall, F1 and false alarms: pure functions.

A class is found where its score is at or above the threshold. As the threshold falls, counts change only at scores
that occur; `Changes` holds by how much, in which recording, so that the counts at any threshold, of any recordings, are
sums (Ebbers, Serizel and Haeb-Umbach 2022, https://arxiv.org/abs/2201.13148). `event_changes.py` computes them.

Differences from sed_scores_eval: there a class is found where its score is above the threshold, so its curves name the
same scores and its thresholds lie between two of them, as `best_threshold` here. Classes without true events are
refused there; here they have a curve of false alarms, and no part in means over classes that occur.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hubbub.metrics.classification import MetricsError
from hubbub.metrics.events import Array, Counts, Int, an_hour, share

__all__ = ["Changes", "ClassChanges", "Curve", "best_f1"]


@dataclass(frozen=True)
class ClassChanges:
    """What changes as the threshold falls to each of `scores` `[M]`, from the highest on, for one class.

    `recording` `[M]` says in which recording, `counts` `[M, 2]` by how much hits and false alarms change, `cross`
    `[M, K]` the cross triggers of each class, if they are counted. A score occurs once in a recording at most.
    """

    scores: Array
    recording: Int
    counts: Int
    cross: Int | None = None


@dataclass(frozen=True)
class Curve:
    """One class's counts `[M + 1]` at thresholds that fall from infinity, where nothing is found.

    `true` events (or segments) are in `seconds` of sound. `cross` `[M + 1, K]` is None if cross triggers are not
    counted.
    """

    thresholds: Array
    hits: Int
    false: Int
    true: int
    seconds: float
    cross: Int | None = None

    @property
    def missed(self) -> Int:
        """Misses at each threshold."""
        return self.true - self.hits

    @property
    def precision(self) -> Array:
        """Precision at each threshold; 1 where nothing is found, as in sed_scores_eval."""
        found = self.hits + self.false
        return np.where(found == 0, 1.0, share(self.hits, found))

    @property
    def recall(self) -> Array:
        """Recall at each threshold; 0 if there is nothing true."""
        return self.hits / max(self.true, 1)

    @property
    def f1(self) -> Array:
        """F1 at each threshold; 0 if there is nothing true and nothing found."""
        return share(2 * self.hits, self.hits + self.false + self.true)

    @property
    def false_an_hour(self) -> Array:
        """False alarms an hour at each threshold; raises `MetricsError` if there is no time."""
        return an_hour(self.false, self.seconds)

    @property
    def best(self) -> int:
        """Where F1 is best: at the highest of such thresholds."""
        return int(self.f1.argmax())

    @property
    def best_threshold(self) -> float:
        """A threshold with the best F1: halfway from the highest such score to the next lower one, as sed_scores_eval.

        It is -inf if there is no lower score, infinity if finding nothing is best.
        """
        lower = self.thresholds[self.best + 1] if self.best + 1 < len(self.thresholds) else -np.inf
        return float((self.thresholds[self.best] + lower) / 2)

    @property
    def best_f1(self) -> float:
        """The best F1 over all thresholds."""
        return float(self.f1[self.best])


@dataclass(frozen=True)
class Changes:
    """Changes of the counts of each recording and class as the threshold falls.

    `true` `[N, K]` counts true events (or segments), `lengths` `[N, K]` is their length [s], `seconds` `[N]` the
    recordings' length.
    """

    labels: tuple[str, ...]
    by_class: Sequence[ClassChanges]
    true: Int
    lengths: Array
    seconds: Array

    def curve(self, label: str, weights: Int | None = None) -> Curve:
        """The curve of a class; `weights` `[N]` says how many times each recording counts, once by default.

        Raises `MetricsError` for a class that is not scored.
        """
        number = self._number(label)
        changes = self.by_class[number]
        at, cross = changes.counts, changes.cross
        if weights is not None:
            times = weights[changes.recording][:, None]
            at, cross = at * times, None if cross is None else cross * times
        lasts = np.flatnonzero(np.append(changes.scores[1:] != changes.scores[:-1], True)[: len(changes.scores)])
        counts = _summed(at, lasts)
        weigh = np.ones(len(self.true), np.int64) if weights is None else weights
        return Curve(
            np.concatenate([[np.inf], changes.scores[lasts]]),
            counts[:, 0],
            counts[:, 1],
            int(weigh @ self.true[:, number]),
            float(weigh @ self.seconds),
            None if cross is None else _summed(cross, lasts),
        )

    @property
    def curves(self) -> dict[str, Curve]:
        """The curve of each class."""
        return {label: self.curve(label) for label in self.labels}

    def at(self, thresholds: float | Mapping[str, float]) -> Counts:
        """The counts at one threshold, or at one for each class; raises `MetricsError` for a class without one."""
        if isinstance(thresholds, Mapping):
            lacking = [label for label in self.labels if label not in thresholds]
            if lacking:
                raise MetricsError(f"no threshold for {lacking[0]!r}: give one for each class.")
            limits = [float(thresholds[label]) for label in self.labels]
        else:
            limits = [float(thresholds)] * len(self.labels)
        number = len(self.true)
        each = np.zeros((number, len(self.labels), 3), np.int64)
        cross = np.zeros((number, len(self.labels), len(self.labels)), np.int64)
        for k, (changes, limit) in enumerate(zip(self.by_class, limits, strict=True)):
            until = int(np.searchsorted(-changes.scores, -limit, "right"))
            np.add.at(each[:, k, :2], changes.recording[:until], changes.counts[:until])
            if changes.cross is not None:
                np.add.at(cross[:, k], changes.recording[:until], changes.cross[:until])
        each[..., 2] = self.true - each[..., 0]
        counted = any(changes.cross is not None for changes in self.by_class)
        return Counts(self.labels, each, cross if counted else None)

    @property
    def best_thresholds(self) -> dict[str, float]:
        """Each class's threshold of best F1, for `at`."""
        return {label: curve.best_threshold for label, curve in self.curves.items()}

    def _number(self, label: str) -> int:
        if label not in self.labels:
            raise MetricsError(f"{label!r} is none of the scored classes: {', '.join(self.labels)}.")
        return self.labels.index(label)


def best_f1(changes: Changes, weights: Int | None = None) -> Array:
    """Each class's best F1 over all thresholds, `[K]`; NaN for a class without true events.

    `weights` `[N]` says how many times each recording counts, once by default. The macro-average of sed_scores_eval is
    the mean over the classes.
    """
    curves = [changes.curve(label, weights) for label in changes.labels]
    return np.array([curve.best_f1 if curve.true else np.nan for curve in curves])


def _summed(changes: Int, lasts: Int) -> Int:
    """Sums `[M + 1, C]` of the changes down to each of the places `lasts`, after a row of zeros."""
    sums = np.cumsum(changes, axis=0, dtype=np.int64)[lasts]
    return np.concatenate([np.zeros((1, changes.shape[1]), np.int64), sums])
