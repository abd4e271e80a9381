"""The base class of heads: small classifiers on frozen embeddings, in scikit-learn's conventions.

A fitted head is stored as arrays, or as LightGBM's text dump: loading it never runs code. Targets are class numbers
0 .. K-1, and each of them occurs. A row is the embedding of a segment or of a whole clip.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.class_weight import compute_sample_weight
from torch import nn

__all__ = ["Array", "Head", "Targets", "row_weights"]

Array = npt.NDArray[np.float32]
Targets = npt.NDArray[np.int64]


class Head(ClassifierMixin, BaseEstimator, ABC):
    """A classifier of embeddings `[N, D]`: `fit(X, y [N])`, `decision_function(X)` -> logits `[N, K]`, `predict_proba`,
    `predict`. What was fitted is in `arrays` and `texts`, from which `restore` rebuilds the head.
    """

    classes_: Targets

    @abstractmethod
    def fit(self, x: Array, y: Targets) -> Self:
        """Fits the head to embeddings `[N, D]` and their targets `[N]`."""

    @classmethod
    def fit_each(cls, heads: Sequence[Self], x: Array, y: Targets, start: Self | None = None) -> None:
        """Fits heads that differ in the setting of `candidates` to the same rows, as `fit` does.

        A kind of head may share work among them, and begin at `start`, a head fitted to similar rows.
        """
        for head in heads:
            head.fit(x, y)

    @abstractmethod
    def decision_function(self, x: Array) -> Array:
        """Embeddings `[N, D]` -> logits `[N, K]`."""

    def module(self) -> nn.Module | None:
        """The fitted head as a torch module, embeddings `[N, D]` -> logits `[N, K]`; None where it has no gradient."""
        return None

    def arrays(self) -> dict[str, Array]:
        """The arrays of the fitted head."""
        return {}

    def texts(self) -> dict[str, str]:
        """The texts of the fitted head."""
        return {}

    @abstractmethod
    def restore(self, arrays: dict[str, Array], texts: dict[str, str], classes: int) -> Self:
        """Restore the fitted head from its `arrays` and `texts`."""

    def predict_proba(self, x: Array) -> Array:
        return softmax(self.decision_function(x), axis=1)

    def predict(self, x: Array) -> Targets:
        return self.classes_[self.decision_function(x).argmax(axis=1)]


def row_weights(y: Targets, balanced: bool) -> Array:
    """A weight for each row, mean 1: all equal or, if `balanced`, with the same sum for each class."""
    return compute_sample_weight("balanced" if balanced else None, y).astype(np.float32)
