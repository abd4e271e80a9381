"""How sure a classifier may be: temperatures, fitted on validation.

A temperature divides the logits until scores are as high as decisions are often right (Guo et al. 2017, On calibration
of modern neural networks, https://arxiv.org/abs/1706.04599). Segments and clips have one each: a network is mostly too
sure of its segments, and a mean of segments' scores is not sure enough of the clip.
This room does not know what made the scores.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import geometric_mean

import numpy as np
import numpy.typing as npt

from hubbub import metrics, windows

__all__ = ["Confidence", "fit", "temperature", "typical"]

Scores = npt.NDArray[np.float32]
Targets = npt.NDArray[np.int64]
#: Temperatures are sought between its inverse and it.
FARTHEST = 100.0
_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Confidence:
    """What validation said of a classifier's scores: the temperatures of its segments and of its clips."""

    segment: float = 1.0
    clip: float = 1.0


def fit(segment_targets: Targets, by_segment: Scores, clip_targets: Targets, by_clip: Scores) -> Confidence:
    """What validation segments and clips, as a classifier judged them that had not heard them, say of it."""
    return Confidence(temperature(segment_targets, by_segment), temperature(clip_targets, by_clip))


def temperature(targets: Targets, scores: Scores) -> float:
    """The temperature at which probabilities `[N, K]` are nearest to the truth `[N]`, by log loss.

    Log loss is convex in the inverse of the temperature, so there is one best. As Platt (1999) does for two classes,
    one more row is thought of, whose truth is every class alike: else a part without a mistake would make all scores 1.
    """
    from scipy import optimize

    metrics.validate(targets, scores)
    logs, rows = np.log(np.maximum(scores.astype(np.float64), windows.SMALLEST)), np.arange(len(targets))

    def loss(log_temperature: float) -> float:
        logits = logs / math.exp(log_temperature)
        logits -= logits.max(axis=1, keepdims=True)
        surprise = np.log(np.exp(logits).sum(axis=1, keepdims=True)) - logits
        return float(surprise[rows, targets].sum() + surprise.mean())

    far = math.log(FARTHEST)
    found = optimize.minimize_scalar(loss, bounds=(-far, far), method="bounded", options={"xatol": _TOLERANCE})
    return math.exp(found.x)


def typical(found: Sequence[Confidence]) -> Confidence:
    """What several fits of one recipe say together: the geometric means of their temperatures."""
    return Confidence(geometric_mean(c.segment for c in found), geometric_mean(c.clip for c in found))
