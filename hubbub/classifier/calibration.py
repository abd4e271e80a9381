"""Calibration and open-set rejection: temperatures and thresholds, fitted on validation clips.

A temperature divides the logits so that scores match how often decisions are right (Guo et al. 2017, On calibration of
modern neural networks, https://arxiv.org/abs/1706.04599). Segments and clips have one each: networks are mostly
overconfident about segments, and a mean of segments' scores is underconfident about the clip.
Label sets are calibrated class by class (`platt`), and a recording of none of the classes has none of them.
Open-set rejection: a recording is unknown where its familiarity is below the threshold: that of its most familiar
segment, or for `distance` the mean of its segments. Familiarity is the largest probability (Hendrycks & Gimpel 2017,
https://arxiv.org/abs/1610.02136), the largest logit (Hendrycks et al. 2022, https://arxiv.org/abs/1911.11132), the
energy, which is the logarithm of the sum of the exponentials of the logits (Liu et al. 2020,
https://arxiv.org/abs/2010.03759), or the largest probability and what embeddings say: for `distance` the typicality
(see `typicality`), for `outliers` the probability of being no outlier that is known (see `known_outliers`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import geometric_mean, median
from typing import Literal

import numpy as np
import numpy.typing as npt

from hubbub.classifier import event_thresholds, platt, pooling
from hubbub.classifier.postprocess import Filter, most_frequent
from hubbub.config.sections import Evaluate
from hubbub.metrics import classification

__all__ = [
    *("BY_EMBEDDING", "DISTANCE", "OUTLIERS", "UNKNOWN"),
    *("Confidence", "RunningFamiliarity", "Unknown", "average", "familiarity", "fit"),
    *("fit_label_sets", "pool_familiarity", "temperature"),
]

Scores = npt.NDArray[np.float32]
Targets = npt.NDArray[np.int64]
Array = npt.NDArray[np.float64]
Unknown = Literal["max_logit", "energy", "max_prob", "distance", "outliers"]
#: The scores that probabilities suffice for, and those that need embeddings too.
UNKNOWN: tuple[Unknown, ...] = ("max_logit", "energy", "max_prob")
DISTANCE: Unknown = "distance"
OUTLIERS: Unknown = "outliers"
BY_EMBEDDING = (DISTANCE, OUTLIERS)
#: Temperatures are searched between its inverse and it.
FARTHEST = 100.0
_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Confidence:
    """The temperatures of segments and of clips (with an offset, for each class, where clips have label sets), and the
    threshold that the familiarity of a known clip reaches, all fitted on validation clips; None where there were none.
    `typicality_weight` is what typicality counts beside the largest probability, None where it does not. `events` is
    the score that an event of each class reaches, `clips` the score at which a clip with a label set holds each class,
    None where the recipe asks for none (`event_thresholds`). `filters` are those that the scores of each class go
    through before events are found in them (`postprocess`)."""

    segment: pooling.Scaling = 1.0
    clip: pooling.Scaling = 1.0
    threshold: float | None = None
    typicality_weight: float | None = None
    events: tuple[float, ...] | None = None
    clips: tuple[float, ...] | None = None
    filters: tuple[Filter, ...] | None = None

    @property
    def fitted(self) -> bool:
        """Whether there were validation clips."""
        return self.threshold is not None or isinstance(self.clip, tuple)


def fit(
    targets: Targets,
    by_segment: Scores,
    by_clip: Scores,
    offsets: npt.ArrayLike,
    evaluate: Evaluate,
    segment_s: float,
    typicality: Array | None = None,
) -> Confidence:
    """Temperatures and thresholds from clips `[C]` that the classifier was not trained on.

    `by_clip` `[C, K]` are their probabilities, `by_segment` `[S, K]` those of their segments, which start at `offsets`
    `[C]` and follow each other every `segment_s` [s]; none is calibrated yet. `distance` and `outliers` need the
    segments' `typicality` `[S]` too (NaN: digital silence). For `distance` it is weighted so that it spreads as the
    largest probabilities do.
    """
    starts = np.asarray(offsets, dtype=np.intp)
    of_segments = np.repeat(targets, np.diff(np.append(starts, len(by_segment))))
    segment, clip = temperature(of_segments, by_segment), temperature(targets, by_clip)
    scores, weight, how = pooling.apply_temperature(by_segment, segment), None, evaluate.unknown
    events = event_thresholds.choose(of_segments, scores, evaluate, segment_s * len(scores))
    if how == DISTANCE:
        assert typicality is not None
        weight = _typicality_weight(scores, typicality)
    of_clips = pool_familiarity(familiarity(scores, how, typicality, weight), starts, how)
    of_clips = np.sort(of_clips[np.isfinite(of_clips)])
    if not len(of_clips):
        return Confidence(segment, clip, events=events)
    # The highest threshold that this share of clips reaches.
    threshold = float(of_clips[int(len(of_clips) * (1 - classification.KNOWN_SHARE))])
    return Confidence(segment, clip, threshold, weight, events)


def fit_label_sets(
    targets: tuple[npt.NDArray[np.integer], npt.NDArray[np.integer]],
    by_segment: Scores,
    by_clip: Scores,
    evaluate: Evaluate,
    segment_s: float,
) -> Confidence:
    """As `fit`, for label sets: `targets` are those of segments `[S, K]` and of clips `[C, K]` (`platt.fit`)."""
    of_segments, of_clips = targets
    segment, clip = platt.fit(of_segments, by_segment), platt.fit(of_clips, by_clip)
    seconds, scores = segment_s * len(by_segment), pooling.apply_temperature(by_segment, segment, "sigmoid")
    return Confidence(
        segment,
        clip,
        events=event_thresholds.choose(of_segments, scores, evaluate, seconds),
        clips=event_thresholds.choose(of_clips, pooling.apply_temperature(by_clip, clip, "sigmoid"), evaluate, seconds),
    )


def _typicality_weight(scores: Scores, typicality: Array) -> float:
    """What typicality `[S]` is multiplied by to spread as the largest of the probabilities `[S, K]`."""
    counted = ~np.isnan(typicality)
    spread = float(typicality[counted].std()) if counted.any() else 0.0
    return float(scores[counted].max(axis=1).std()) / spread if spread > 0 else 0.0


def temperature(targets: Targets, scores: Scores) -> float:
    """The temperature at which probabilities `[N, K]` have the least log loss against targets `[N]`.

    Log loss is convex in the inverse of the temperature, so there is one optimum. As Platt (1999) does for two classes,
    one row is added whose target is all classes equally: else clips without a mistake would make all scores 1.
    """
    from scipy import optimize
    from scipy.special import log_softmax

    classification.validate(targets, scores)
    logs, rows = pooling.logits(scores), np.arange(len(targets))

    def loss(log_temperature: float) -> float:
        surprise = -log_softmax(logs / math.exp(log_temperature), axis=1)
        return float(surprise[rows, targets].sum() + surprise.mean())

    far = math.log(FARTHEST)
    found = optimize.minimize_scalar(loss, bounds=(-far, far), method="bounded", options={"xatol": _TOLERANCE})
    return math.exp(found.x)


def familiarity(
    scores: Scores,
    how: Unknown,
    typicality: Array | None = None,
    weight: float | None = None,
    activation: pooling.Activation = "softmax",
) -> Array:
    """Probabilities `[S, K]` -> the open-set score of each row `[S]`: the higher, the more like the classes. For
    `distance` the largest probability, and `weight` times the rows' `typicality` `[S]`; for `outliers` it times the
    probability of being no known outlier, whose logarithm `typicality` is.

    Softmax determines logits up to a constant a row; it is chosen so that their mean is 0. So the score is the same for
    all heads, also for those that give only probabilities.
    """
    if how in ("max_prob", *BY_EMBEDDING):
        largest_score = np.asarray(scores.max(axis=1), dtype=np.float64)
        if how == OUTLIERS and typicality is not None:
            return np.asarray(largest_score * np.exp(typicality))
        return largest_score if typicality is None or weight is None else largest_score + weight * typicality
    logits = pooling.logits(scores, activation)
    if activation == "softmax":
        logits -= logits.mean(axis=1, keepdims=True)
    largest = logits.max(axis=1, keepdims=True)
    if how == "max_logit":
        return np.asarray(largest[:, 0])
    return np.asarray(largest[:, 0] + np.log(np.exp(logits - largest).sum(axis=1)))


def pool_familiarity(each: Array, offsets: npt.ArrayLike, how: Unknown) -> Array:
    """The familiarity of segments `[S]` of clips that start at `offsets` `[C]` -> that of the clips `[C]`: the mean for
    `distance`, else the largest. NaN does not count; a clip of nothing else has -inf."""
    starts = np.asarray(offsets, dtype=np.intp)
    counted = ~np.isnan(each)
    if how != DISTANCE:
        return np.asarray(np.maximum.reduceat(np.where(counted, each, -np.inf), starts))
    sums, counts = (np.add.reduceat(values, starts) for values in (np.where(counted, each, 0.0), counted.astype(int)))
    return np.where(counts > 0, sums / np.maximum(counts, 1), -np.inf)


class RunningFamiliarity:
    """`pool_familiarity` for one recording whose segments come a few at a time and are not stored."""

    def __init__(self, how: Unknown) -> None:
        self._how, self._largest, self._sum, self._count = how, -math.inf, 0.0, 0

    def add(self, each: Array) -> None:
        """Adds the familiarity of the next segments `[S]`."""
        counted = each[~np.isnan(each)]
        self._largest = max(self._largest, float(counted.max(initial=-math.inf)))
        self._sum += float(counted.sum())
        self._count += len(counted)

    def pooled(self) -> float:
        """The familiarity of what was added; -inf where nothing of it counts."""
        if self._how == DISTANCE:
            return self._sum / self._count if self._count else -math.inf
        return self._largest


def average(found: Sequence[Confidence]) -> Confidence:
    """The average of several fits of one recipe: the temperatures' geometric means, and the medians of thresholds, of
    typicality's weights and of each class's thresholds; of each class the filter that most have."""
    thresholds = [c.threshold for c in found if c.threshold is not None]
    weights = [c.typicality_weight for c in found if c.typicality_weight is not None]
    return Confidence(
        _average_scaling([c.segment for c in found]),
        _average_scaling([c.clip for c in found]),
        median(thresholds) if thresholds else None,
        median(weights) if weights else None,
        _medians([c.events for c in found if c.events is not None]),
        _medians([c.clips for c in found if c.clips is not None]),
        most_frequent(filters) if (filters := [c.filters for c in found if c.filters is not None]) else None,
    )


def _average_scaling(found: Sequence[pooling.Scaling]) -> pooling.Scaling:
    """Without validation clips there is one temperature, which is 1."""
    by_class = [one for one in found if isinstance(one, tuple)]
    return platt.average(by_class) if by_class else geometric_mean(one for one in found if isinstance(one, float))


def _medians(found: Sequence[tuple[float, ...]]) -> tuple[float, ...] | None:
    return tuple(np.median(found, axis=0).tolist()) if found else None
