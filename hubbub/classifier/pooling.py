"""Logits to probabilities, and segments to clips: activations, temperature scaling, pooling. Functions over arrays."""

from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from hubbub.audio.windows import Array

__all__ = [
    "Activation",
    "EmbeddingPooling",
    "Pooling",
    "RunningPool",
    "Scaling",
    "apply_temperature",
    "logits",
    "normalise",
    "pool",
    "pool_embeddings",
    "probabilities",
    "rows_to_pool",
]

Float = TypeVar("Float", bound=np.floating[Any])
Pooling = Literal["mean_prob", "mean_logit", "max", "linear_softmax"]
Activation = Literal["softmax", "sigmoid"]
#: A temperature of all classes, or a temperature and an offset of each class.
Scaling = float | tuple[tuple[float, float], ...]
EmbeddingPooling = Literal["mean", "max", "mean+max"]
#: Replaces a probability of 0, which has no logarithm.
SMALLEST = float(np.finfo(np.float32).tiny)


def probabilities(logits: npt.NDArray[Float], activation: Activation = "softmax") -> npt.NDArray[Float]:
    """Logits `[..., K]` -> probabilities `[..., K]`."""
    if activation == "sigmoid":
        return 0.5 * (1.0 + np.tanh(logits / 2.0))  # the logistic function; `special.expit` rounds otherwise
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))  # scipy's softmax; its import takes .2 s
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def apply_temperature(scores: Array, temperature: Scaling, activation: Activation = "softmax") -> Array:
    """Probabilities `[..., K]` -> those of their logits divided by `temperature`: above 1 less confident, below 1 more;
    the order of a row's classes stays (Guo et al. 2017, https://arxiv.org/abs/1706.04599). For one temperature and one
    offset a class, logits are divided by the one, and the other is added (`platt`)."""
    if temperature == 1.0:
        return scores
    found = logits(scores, activation)
    if isinstance(temperature, tuple):
        temperatures, offsets = np.array(temperature).T
        return probabilities(found / temperatures + offsets, activation).astype(np.float32)
    return probabilities(found / temperature, activation).astype(np.float32)


def logits(scores: Array, activation: Activation = "softmax") -> npt.NDArray[np.float64]:
    """Probabilities `[..., K]` -> logits that give them; for softmax, of which there are many, their logarithms."""
    exact = np.clip(scores.astype(np.float64), SMALLEST, 1.0)
    found = np.log(exact)
    return found - np.log(np.maximum(1.0 - exact, SMALLEST)) if activation == "sigmoid" else found


def pool(logits: Array, offsets: npt.ArrayLike, how: Pooling, activation: Activation = "softmax") -> Array:
    """Segment logits `[S, K]` of clips that start at `offsets` `[C]` -> clip probabilities `[C, K]`.

    `mean_prob` averages probabilities, `mean_logit` averages logits before the activation, `max` takes the largest
    probability of each class over the segments (scaled to sum to one again under softmax). `linear_softmax` averages
    probabilities weighted by themselves (Wang, Li & Metze 2019, https://arxiv.org/abs/1810.09050; scaled likewise):
    between the mean and the largest.
    """
    rows = logits if how == "mean_logit" else rows_to_pool(probabilities(logits, activation), how)
    return normalise(pool_embeddings(rows, offsets, "max" if how == "max" else "mean"), how, activation)


def rows_to_pool(scores: Array, how: Pooling) -> Array:
    """Probabilities of segments `[S, K]` -> the rows whose means, or largest values, `normalise` takes: the same, with
    their squares behind them for `linear_softmax`."""
    return np.concatenate([scores, np.square(scores)], axis=1) if how == "linear_softmax" else scores


def normalise(pooled: Array, how: Pooling, activation: Activation = "softmax") -> Array:
    """The last step of `pool`: means of logits under `mean_logit`, else means or the largest of `rows_to_pool` `[C, M]`
    -> probabilities `[C, K]`."""
    if how == "mean_logit":
        return probabilities(pooled, activation)
    if how == "linear_softmax":
        means, squares = np.split(pooled, 2, axis=1)
        pooled = np.divide(squares, np.maximum(means, SMALLEST), dtype=pooled.dtype)
    if how in ("max", "linear_softmax") and activation == "softmax":
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
    """`pool_embeddings` for one clip whose rows come a few at a time and are not stored."""

    def __init__(self, how: EmbeddingPooling) -> None:
        self._how, self._count = how, 0
        self._sum: npt.NDArray[np.float64] | float = 0.0
        self._largest: npt.NDArray[Any] = np.array(-np.inf)
        self._dtype = np.dtype(np.float32)

    def add(self, rows: Array) -> None:
        """Add the next rows `[S, D]`."""
        if len(rows):
            self._sum = self._sum + rows.sum(axis=0, dtype=np.float64)
            self._largest = np.maximum(self._largest, rows.max(axis=0))
            self._count += len(rows)

    def pooled(self) -> Array:
        """The pooled rows `[1, D]`, or `[1, 2 D]` for `mean+max`, of at least one row."""
        parts = [self._sum / self._count] * ("mean" in self._how) + [self._largest] * ("max" in self._how)
        return np.concatenate(parts).astype(np.float32)[None]


def _means(rows: Array, starts: npt.NDArray[np.intp]) -> Array:
    """The mean row of each clip, summed in double precision: a day holds 180,000 rows."""
    sizes = np.diff(np.append(starts, len(rows)))[:, None]
    return np.asarray(np.add.reduceat(rows, starts, dtype=np.float64) / sizes, dtype=rows.dtype)
