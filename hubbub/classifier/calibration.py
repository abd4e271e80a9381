"""Calibration and open-set rejection: temperatures and a threshold, fitted on validation clips.

A temperature divides the logits so that scores match how often decisions are right (Guo et al. 2017, On calibration of
modern neural networks, https://arxiv.org/abs/1706.04599). Segments and clips have one each: networks are mostly
overconfident about segments, and a mean of segments' scores is underconfident about the clip.
Open-set rejection: a recording is unknown where every segment scores below the threshold. The score is the largest
probability (Hendrycks & Gimpel 2017, https://arxiv.org/abs/1610.02136), the largest logit (Hendrycks et al. 2022,
https://arxiv.org/abs/1911.11132) or the energy, the logarithm of the sum of the exponentials of the logits (Liu et al.
2020, https://arxiv.org/abs/2010.03759).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import geometric_mean, median
from typing import Literal

import numpy as np
import numpy.typing as npt

from hubbub.classifier import pooling
from hubbub.metrics import classification

__all__ = ["UNKNOWN", "Confidence", "Unknown", "average", "familiarity", "fit", "temperature"]

Scores = npt.NDArray[np.float32]
Targets = npt.NDArray[np.int64]
Array = npt.NDArray[np.float64]
Unknown = Literal["max_logit", "energy", "max_prob"]
UNKNOWN: tuple[Unknown, ...] = ("max_logit", "energy", "max_prob")
#: Temperatures are searched between its inverse and it.
FARTHEST = 100.0
_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Confidence:
    """The temperatures of segments and of clips, and the threshold of `familiarity` that a segment of a known clip
    reaches, all fitted on validation clips; None where there were none."""

    segment: float = 1.0
    clip: float = 1.0
    threshold: float | None = None


def fit(targets: Targets, by_segment: Scores, by_clip: Scores, offsets: npt.ArrayLike, how: Unknown) -> Confidence:
    """Temperatures and threshold from clips `[C]` that the classifier was not trained on.

    `by_clip` `[C, K]` are their probabilities, `by_segment` `[S, K]` those of their segments, which start at `offsets`
    `[C]`; none is calibrated yet.
    """
    starts = np.asarray(offsets, dtype=np.intp)
    of_segments = np.repeat(targets, np.diff(np.append(starts, len(by_segment))))
    segment, clip = temperature(of_segments, by_segment), temperature(targets, by_clip)
    each = familiarity(pooling.apply_temperature(by_segment, segment), how)
    of_clips = np.sort(np.maximum.reduceat(each, starts))
    # The highest threshold that this share of clips reaches.
    return Confidence(segment, clip, float(of_clips[int(len(of_clips) * (1 - classification.KNOWN_SHARE))]))


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


def familiarity(scores: Scores, how: Unknown, activation: pooling.Activation = "softmax") -> Array:
    """Probabilities `[S, K]` -> the open-set score of each row `[S]`: the higher, the more like the classes.

    Softmax determines logits up to a constant a row; it is chosen so that their mean is 0. So the score is the same for
    all heads, also for those that give only probabilities.
    """
    if how == "max_prob":
        return np.asarray(scores.max(axis=1), dtype=np.float64)
    logits = pooling.logits(scores, activation)
    if activation == "softmax":
        logits -= logits.mean(axis=1, keepdims=True)
    largest = logits.max(axis=1, keepdims=True)
    if how == "max_logit":
        return np.asarray(largest[:, 0])
    return np.asarray(largest[:, 0] + np.log(np.exp(logits - largest).sum(axis=1)))


def average(found: Sequence[Confidence]) -> Confidence:
    """The average of several fits of one recipe: the temperatures' geometric means and the median threshold."""
    thresholds = [c.threshold for c in found if c.threshold is not None]
    return Confidence(
        geometric_mean(c.segment for c in found),
        geometric_mean(c.clip for c in found),
        median(thresholds) if thresholds else None,
    )
