"""The base class of heads: small classifiers on frozen embeddings, in scikit-learn's conventions.

A fitted head is stored as arrays, or as LightGBM's text dump: loading it never runs code. Targets are class numbers
0 .. K-1, and each of them occurs; or label sets `[N, K]`, of which a head decides each class on its own (one-vs-rest):
1 present, 0 absent, -1 not annotated, which leaves the row out for that class. A class that is present in no annotated
row, or absent in none, has a constant logit. A row is the embedding of a segment or of a whole clip.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.class_weight import compute_sample_weight
from torch import nn

from hubbub.errors import HubbubError

__all__ = ["Array", "Head", "HeadError", "Targets", "row_weights"]

Array = npt.NDArray[np.float32]
Targets = npt.NDArray[np.integer]


class HeadError(HubbubError):
    """A head that cannot learn the targets."""


class Head(ClassifierMixin, BaseEstimator, ABC):
    """A classifier of embeddings `[N, D]`: `fit(X, y [N] or [N, K])`, `decision_function(X)` -> logits `[N, K]`,
    `predict_proba`, `predict`. What was fitted is in `arrays` and `texts`, from which `restore` rebuilds the head.
    `multilabel` says whether it was fitted to label sets.
    """

    classes_: Targets
    multilabel = False

    @abstractmethod
    def fit(self, x: Array, y: Targets) -> Self:
        """Fits the head to embeddings `[N, D]` and their targets, `[N]` or `[N, K]`."""

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
    def restore(self, arrays: dict[str, Array], texts: dict[str, str], classes: int, multilabel: bool = False) -> Self:
        """Restore the fitted head from its `arrays` and `texts`; `multilabel` where it was fitted to label sets."""

    def predict_proba(self, x: Array) -> Array:
        """Embeddings `[N, D]` -> probabilities `[N, K]`, which sum to 1 or, of label sets, are each on their own."""
        logits = self.decision_function(x)
        return expit(logits) if self.multilabel else softmax(logits, axis=1)

    def predict(self, x: Array) -> Targets:
        """The likeliest class of each row `[N]`; of label sets, whether each class is likelier than not, `[N, K]`."""
        logits = self.decision_function(x)
        return (logits >= 0).astype(np.int8) if self.multilabel else self.classes_[logits.argmax(axis=1)]


def row_weights(y: Targets, balanced: bool) -> Array:
    """A weight for each row, mean 1: all equal or, if `balanced`, with the same sum for each class."""
    return compute_sample_weight("balanced" if balanced else None, y).astype(np.float32)
