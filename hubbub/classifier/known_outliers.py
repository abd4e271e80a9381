"""Outliers that are known: sounds of none of the classes that a classifier has heard, for open-set rejection.

A logistic regression on embeddings tells a group of such sounds from sounds that are none of them. A network that is
trained on outliers besides its clips (Hendrycks, Mazeika & Dietterich 2019, https://arxiv.org/abs/1812.04606) is less
sure of them, but one that resembles a class, as noise does rain, passes; a decision of its own finds it. Inference
needs numpy only.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from hubbub.classifier.typicality import TypicalityError

__all__ = ["KnownOutliers"]

Array = npt.NDArray[np.float32]
#: The inverse of the regression's L2 penalty, on standardised embeddings.
C = 0.1
#: Added to deviations, which may be 0.
_LEAST_DEVIATION = 1e-6


@dataclass(frozen=True, eq=False)
class KnownOutliers:
    """Scores embeddings `[S, D]`: `embeddings @ weights + biases` `[S, G]` are the logits of being no outlier of each
    of the G groups."""

    weights: Array
    biases: Array

    @classmethod
    def fit(cls, embeddings: Array, groups: list[tuple[Array, Array]]) -> Self:
        """From embeddings of the training clips `[N, D]`, and of each group's outliers `[O, D]` and other sounds that
        are none of them `[P, D]`, which may be no rows. Both sides of a regression count alike."""
        from sklearn.linear_model import LogisticRegression

        mean, deviation = embeddings.mean(axis=0), embeddings.std(axis=0) + _LEAST_DEVIATION
        weights, biases = [], []
        for outliers, others in groups:
            x = (np.concatenate([embeddings, others, outliers]) - mean) / deviation
            inside = np.arange(len(x)) < len(x) - len(outliers)
            found = LogisticRegression(C=C, class_weight="balanced", max_iter=2000).fit(x, inside)
            weights.append(found.coef_[0] / deviation)
            biases.append(found.intercept_[0] - mean @ weights[-1])
        return cls(np.stack(weights, axis=1).astype(np.float32), np.array(biases, np.float32))

    def score(self, embeddings: Array) -> npt.NDArray[np.float64]:
        """Embeddings `[S, D]` -> the logarithm of the probability that a sound is an outlier of no group, `[S]`."""
        logits = (embeddings @ self.weights + self.biases).astype(np.float64)
        return np.asarray(-np.logaddexp(0, -logits).sum(axis=1))

    def to_bytes(self) -> bytes:
        """The content of its file."""
        from safetensors.numpy import save

        return save({"weights": np.ascontiguousarray(self.weights), "biases": self.biases})

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """What `to_bytes` gave. Raises `TypicalityError` for anything else."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            found = cls(**load(content))
        except (SafetensorError, TypeError, ValueError) as error:
            raise TypicalityError(f"no known outliers ({' '.join(str(error).split())})") from error
        arrays = (found.weights, found.biases)
        shapes = found.weights.ndim == 2 and found.biases.shape == found.weights.shape[1:]
        if not shapes or any(one.dtype != np.float32 or not np.isfinite(one).all() for one in arrays):
            raise TypicalityError("no known outliers (weights and biases are not finite numbers of one size)")
        return found
