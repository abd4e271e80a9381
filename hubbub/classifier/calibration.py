"""How sure a classifier may be: temperatures, and the threshold of 'none of these', fitted on validation.

A temperature divides the logits until scores are as high as decisions are often right (Guo et al. 2017, On calibration
of modern neural networks, https://arxiv.org/abs/1706.04599). Segments and clips have one each: a network is mostly too
sure of its segments, and a mean of segments' scores is not sure enough of the clip.
What is none of the classes is told by a low score of every segment: the largest probability (Hendrycks & Gimpel 2017,
https://arxiv.org/abs/1610.02136), the largest logit (Hendrycks et al. 2022, https://arxiv.org/abs/1911.11132) or the
energy, the logarithm of the sum of the exponentials of the logits (Liu et al. 2020, https://arxiv.org/abs/2010.03759).
This room does not know what made the scores.
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

__all__ = ["UNKNOWN", "Confidence", "Unknown", "familiarity", "fit", "temperature", "typical"]

Scores = npt.NDArray[np.float32]
Targets = npt.NDArray[np.int64]
Array = npt.NDArray[np.float64]
Unknown = Literal["max_logit", "energy", "max_prob"]
UNKNOWN: tuple[Unknown, ...] = ("max_logit", "energy", "max_prob")
#: Temperatures are sought between its inverse and it.
FARTHEST = 100.0
_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Confidence:
    """What validation said of a classifier's scores: the temperatures of its segments and of its clips, and the
    familiarity that a segment of a known clip reaches; None where nothing was validated."""

    segment: float = 1.0
    clip: float = 1.0
    threshold: float | None = None


def fit(targets: Targets, by_segment: Scores, by_clip: Scores, offsets: npt.ArrayLike, how: Unknown) -> Confidence:
    """What validation clips say of the classifier that judged them without having heard them.

    `by_clip` `[C, K]` are probabilities of clips whose segments' `[S, K]` start at `offsets` `[C]`.
    """
    starts = np.asarray(offsets, dtype=np.intp)
    of_segments = np.repeat(targets, np.diff(np.append(starts, len(by_segment))))
    segment, clip = temperature(of_segments, by_segment), temperature(targets, by_clip)
    each = familiarity(pooling.apply_temperature(by_segment, segment), how)
    of_clips = np.sort(np.maximum.reduceat(each, starts))
    # The highest threshold that so many clips reach.
    return Confidence(segment, clip, float(of_clips[int(len(of_clips) * (1 - classification.KNOWN_SHARE))]))


def temperature(targets: Targets, scores: Scores) -> float:
    """The temperature at which probabilities `[N, K]` are nearest to the truth `[N]`, by log loss.

    Log loss is convex in the inverse of the temperature, so there is one best. As Platt (1999) does for two classes,
    one more row is thought of, whose truth is every class alike: else a part without a mistake would make all scores 1.
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
    """Probabilities `[S, K]` -> how much each row is like what was learnt, `[S]`.

    Softmax knows logits up to a number a row; that number is chosen here to make their mean 0. So all kinds of heads,
    those that give probabilities alone too, are asked alike.
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


def typical(found: Sequence[Confidence]) -> Confidence:
    """What several fits of one recipe say together: the temperatures' geometric means and the middle threshold."""
    thresholds = [c.threshold for c in found if c.threshold is not None]
    return Confidence(
        geometric_mean(c.segment for c in found),
        geometric_mean(c.clip for c in found),
        median(thresholds) if thresholds else None,
    )
