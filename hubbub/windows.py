"""Cut a clip into segments; pool the segments' logits into one decision about the clip.

The last part of a clip is kept and a short clip is padded: no clip is ever dropped. Plain numpy, so that an exported
classifier pools exactly as the one it came from.
"""

import math
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from hubbub.errors import HubbubError

__all__ = [
    "Heard",
    "Pad",
    "Pooling",
    "RunningPool",
    "WindowError",
    "at_level",
    "count",
    "cut",
    "logits",
    "pool",
    "pool_embeddings",
    "probabilities",
    "settled",
    "spans",
    "temper",
]

Array = npt.NDArray[np.float32]
Float = TypeVar("Float", bound=np.floating[Any])
Pad = Literal["zeros", "repeat"]
Pooling = Literal["mean_prob", "mean_logit", "max"]
Activation = Literal["softmax", "sigmoid"]
EmbeddingPooling = Literal["mean", "max", "mean+max"]
Level = Literal["recorded", "rms"]
LEVEL_RMS = np.float32(0.1)
LARGEST_GAIN = np.float32(100.0)
#: What stands for a probability of 0, whose logarithm there is none of.
SMALLEST = float(np.finfo(np.float32).tiny)


class WindowError(HubbubError):
    """Windows that cannot be cut."""


@dataclass(frozen=True)
class Heard:
    """What a classifier heard in one recording.

    `scores` holds one probability a class for the whole clip, `segments` a table with `start`, `end` [s] and one
    column a class; `label` is the class with the highest score. `known` is False where the recording is probably none
    of the classes, None where the classifier cannot tell. `warnings` are sentences to put beside the answer.
    """

    label: str
    score: float
    scores: dict[str, float]
    segments: pd.DataFrame = field(repr=False)
    seconds: float
    known: bool | None = None
    warnings: tuple[str, ...] = ()

    def top(self, most: int = 3) -> list[tuple[str, float]]:
        """The `most` classes with the highest scores, best first."""
        return sorted(self.scores.items(), key=lambda item: -item[1])[:most]


def count(samples: int, length: int, hop: int) -> int:
    """How many windows of `length` every `hop` cover `samples`, the last one padded where it overhangs."""
    if length < 1 or not 1 <= hop <= length:
        raise WindowError(f"windows of {length} samples every {hop}: the hop must lie between 1 and the length.")
    return 1 + max(math.ceil((samples - length) / hop), 0)


def cut(wave: Array, length: int, hop: int, pad: Pad = "zeros") -> Array:
    """Wave `[T]`, T >= 1 -> segments `[S, length]`; a view without copies where nothing had to be padded."""
    segments = count(len(wave), length, hop)
    total = length + (segments - 1) * hop
    if len(wave) < total:
        wave = np.pad(wave, (0, total - len(wave))) if pad == "zeros" else np.resize(wave, total)
    return np.lib.stride_tricks.sliding_window_view(wave, length)[::hop]


def spans(samples: int, rate_hz: int, length: int, hop: int) -> npt.NDArray[np.float64]:
    """Start and end of each segment `[S, 2]` in seconds, the end held to the end of the recording."""
    starts = np.arange(count(samples, length, hop)) * hop
    return np.stack([starts, np.minimum(starts + length, samples)], axis=1) / rate_hz


def probabilities(logits: npt.NDArray[Float], activation: Activation = "softmax") -> npt.NDArray[Float]:
    """Logits `[..., K]` -> probabilities `[..., K]`."""
    if activation == "sigmoid":
        return 0.5 * (1.0 + np.tanh(logits / 2.0))  # the logistic function, without overflow
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def temper(scores: Array, temperature: float, activation: Activation = "softmax") -> Array:
    """Probabilities `[..., K]` -> those of the logits behind them divided by `temperature`: above 1 less sure, below 1
    surer, the order of a row's classes as it was (Guo et al. 2017, https://arxiv.org/abs/1706.04599)."""
    if temperature == 1.0:
        return scores
    return probabilities(logits(scores, activation) / temperature, activation).astype(np.float32)


def logits(scores: Array, activation: Activation = "softmax") -> npt.NDArray[np.float64]:
    """Probabilities `[..., K]` -> logits that give them: under softmax one choice of many, their logarithms."""
    exact = np.clip(scores.astype(np.float64), SMALLEST, 1.0)
    found = np.log(exact)
    return found - np.log(np.maximum(1.0 - exact, SMALLEST)) if activation == "sigmoid" else found


def at_level(segments: Array, level: Level) -> Array:
    """Segments `[S, N]` as `recorded`, or each brought to one loudness: `rms` scales to a root mean square of .1, by a
    factor of 100 at most, so that silence stays silence."""
    if level == "recorded":
        return segments
    rms = np.sqrt(np.square(segments).mean(axis=1, keepdims=True))
    return segments * (LEVEL_RMS / np.maximum(rms, LEVEL_RMS / LARGEST_GAIN))


def pool(logits: Array, offsets: npt.ArrayLike, how: Pooling, activation: Activation = "softmax") -> Array:
    """Segment logits `[S, K]` of clips that start at `offsets` `[C]` -> clip probabilities `[C, K]`.

    `mean_prob` averages probabilities, `mean_logit` averages logits before the activation, `max` takes the largest
    probability of each class over the segments (scaled to sum to one again under softmax).
    """
    rows = logits if how == "mean_logit" else probabilities(logits, activation)
    return settled(pool_embeddings(rows, offsets, "max" if how == "max" else "mean"), how, activation)


def settled(pooled: Array, how: Pooling, activation: Activation = "softmax") -> Array:
    """The last step of `pool`: means of logits under `mean_logit`, else means or the largest of probabilities `[C, K]`
    -> probabilities `[C, K]`."""
    if how == "mean_logit":
        return probabilities(pooled, activation)
    if how == "max" and activation == "softmax":
        return pooled / pooled.sum(axis=1, keepdims=True)
    return pooled


def pool_embeddings(embeddings: Array, offsets: npt.ArrayLike, how: EmbeddingPooling) -> Array:
    """Segment embeddings `[S, D]` of clips that start at `offsets` `[C]` -> clip embeddings `[C, D]`, or `[C, 2 D]`
    for `mean+max`: first the means, then the largest values."""
    starts = np.asarray(offsets, dtype=np.intp)
    parts: list[Array] = []
    if "mean" in how:
        parts.append(_means(embeddings, starts))
    if "max" in how:
        parts.append(np.maximum.reduceat(embeddings, starts))
    return np.concatenate(parts, axis=1)


class RunningPool:
    """`pool_embeddings` of one clip whose rows come a few at a time and need not be kept."""

    def __init__(self, how: EmbeddingPooling) -> None:
        self._how, self._count = how, 0
        self._sum: npt.NDArray[np.float64] | float = 0.0
        self._largest: npt.NDArray[Any] = np.array(-np.inf)
        self._dtype = np.dtype(np.float32)

    def add(self, rows: Array) -> None:
        """The next rows `[S, D]`."""
        if len(rows):
            self._sum = self._sum + rows.sum(axis=0, dtype=np.float64)
            self._largest = np.maximum(self._largest, rows.max(axis=0))
            self._count += len(rows)

    def pooled(self) -> Array:
        """`[1, D]`, or `[1, 2 D]` for `mean+max`, of what was added: one row at least."""
        parts = [self._sum / self._count] * ("mean" in self._how) + [self._largest] * ("max" in self._how)
        return np.concatenate(parts).astype(np.float32)[None]


def _means(rows: Array, starts: npt.NDArray[np.intp]) -> Array:
    """The mean row of each clip, summed in double precision: a day holds 180,000 rows."""
    sizes = np.diff(np.append(starts, len(rows)))[:, None]
    return np.asarray(np.add.reduceat(rows, starts, dtype=np.float64) / sizes, dtype=rows.dtype)
