"""Heads of dense layers: logistic regression, linear discriminant analysis, a perceptron with one hidden layer.

All three are stored as weights and biases after a standardisation, and export as a torch module.
"""

from collections.abc import Iterator, Sequence
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from hubbub.models.head import Array, Head, HeadError, Targets, row_weights
from hubbub.models.logistic import Solution, logistic_path
from hubbub.models.one_vs_rest import constant_logits, one_vs_rest_path, pair_weights, perceptrons, two_sided
from hubbub.runtime.progress import track

__all__ = ["DiscriminantHead", "LogisticHead", "MLPHead"]


class _DenseHead(Head):
    """Standardisation, then dense layers with ReLU between them: one layer for the linear heads, two for the MLP.

    `compress` first applies the signed logarithm to the embeddings, so that a few large units weigh less.
    """

    compress: bool
    mean_: Array
    scale_: Array
    weights_: list[Array]
    biases_: list[Array]

    def _scaled(self, x: Array) -> Array:
        x = np.asarray(x, dtype=np.float32)
        if not self.compress:
            return x
        sizes = np.abs(x)
        return np.copysign(np.log1p(sizes, out=sizes), x, out=sizes)

    def _standardise(self, x: Array) -> Array:
        x = self._scaled(x)
        self.mean_, self.scale_ = x.mean(axis=0), x.std(axis=0)
        self.scale_[self.scale_ < 1e-8] = 1.0
        x = x - self.mean_
        x /= self.scale_
        return x

    def _set_layers(self, weights: list[Array], biases: list[Array], y: Targets) -> Self:
        self.multilabel = y.ndim == 2
        if self.multilabel:
            learnt = two_sided(y)
            weights[-1], biases[-1] = weights[-1] * learnt, np.where(learnt, biases[-1], constant_logits(y))
        elif weights[-1].shape[1] == 1:  # two classes: the score is of class 1 against class 0
            weights[-1] = np.concatenate([np.zeros_like(weights[-1]), weights[-1]], axis=1)
            biases[-1] = np.concatenate([np.zeros_like(biases[-1]), biases[-1]])
        # Same memory layout as in a file, so that a restored head gives identical results.
        self.weights_ = [np.ascontiguousarray(w, dtype=np.float32) for w in weights]
        self.biases_ = [b.astype(np.float32) for b in biases]
        self.classes_ = np.arange(y.shape[1]) if self.multilabel else np.unique(y)
        return self

    def decision_function(self, x: Array) -> Array:
        x = self._scaled(x) - self.mean_
        x /= self.scale_
        for weight, bias in zip(self.weights_[:-1], self.biases_[:-1], strict=True):
            x = np.maximum(x @ weight + bias, 0)
        return x @ self.weights_[-1] + self.biases_[-1]

    def module(self) -> nn.Module:
        layers: list[nn.Module] = [_Standardise(self.mean_, self.scale_, self.compress)]
        for weight, bias in zip(self.weights_, self.biases_, strict=True):
            dense = nn.utils.skip_init(nn.Linear, *weight.shape)
            dense.weight, dense.bias = (nn.Parameter(torch.tensor(array)) for array in (weight.T, bias))
            layers += [dense, nn.ReLU()]
        return nn.Sequential(*layers[:-1]).eval()

    def arrays(self) -> dict[str, Array]:
        layers = {f"weight{i}": w for i, w in enumerate(self.weights_)} | {
            f"bias{i}": b for i, b in enumerate(self.biases_)
        }
        return {"mean": self.mean_, "scale": self.scale_, **layers}

    def restore(self, arrays: dict[str, Array], texts: dict[str, str], classes: int, multilabel: bool = False) -> Self:
        self.mean_, self.scale_ = arrays["mean"], arrays["scale"]
        layers = sum(name.startswith("weight") for name in arrays)
        self.weights_ = [arrays[f"weight{i}"] for i in range(layers)]
        self.biases_ = [arrays[f"bias{i}"] for i in range(layers)]
        self.classes_, self.multilabel = np.arange(classes), multilabel
        return self


class _Standardise(nn.Module):
    """The compression and standardisation of `_DenseHead`."""

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Array, scale: Array, compress: bool) -> None:
        super().__init__()
        self.compress = compress
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("scale", torch.tensor(scale))

    def forward(self, x: Tensor) -> Tensor:
        if self.compress:
            x = x.sign() * x.abs().log1p()
        return (x - self.mean) / self.scale


class LogisticHead(_DenseHead):
    """Multinomial logistic regression on standardised embeddings; `c` is the inverse L2 penalty, as in scikit-learn.

    The objective is scikit-learn's; `logistic.py` minimises it, and of label sets `one_vs_rest.py`.
    """

    def __init__(self, c: float = 0.01, balanced: bool = False, compress: bool = False) -> None:
        self.c, self.balanced, self.compress = c, balanced, compress

    def fit(self, x: Array, y: Targets) -> Self:
        self.fit_each([self], x, y)
        return self

    @classmethod
    def fit_each(cls, heads: Sequence[Self], x: Array, y: Targets, start: Self | None = None) -> None:
        """Fits heads that differ in `c` only: each search begins at the minimum of the next stronger penalty."""
        ordered = sorted(heads, key=lambda head: head.c)
        rows = torch.from_numpy(ordered[0]._standardise(x))
        near = start._in_units_of(ordered[0]) if start else None
        if y.ndim == 2:
            path = _binary_path(rows, y, ordered[0].balanced, [head.c for head in ordered], near)
        else:
            path = _multinomial_path(rows, y, ordered[0].balanced, [head.c for head in ordered], near)
        for head, (weights, bias) in zip(ordered, path, strict=True):
            head.mean_, head.scale_ = ordered[0].mean_, ordered[0].scale_
            head._set_layers([weights.numpy()], [bias.numpy()], y)

    def _in_units_of(self, other: Self) -> Solution:
        """The weights and biases that give the same scores behind the standardisation of `other`."""
        weights, bias = self.weights_[0], self.biases_[0]
        if len(bias) == 2 and not self.multilabel:  # two classes share one column, see _set_layers
            weights, bias = weights[:, 1:], bias[1:]
        slopes = weights / self.scale_[:, None]
        bias = bias + (other.mean_ - self.mean_) @ slopes
        return torch.from_numpy(slopes * other.scale_[:, None]), torch.from_numpy(bias)


def _multinomial_path(
    rows: Tensor, y: Targets, balanced: bool, cs: Sequence[float], start: Solution | None
) -> Iterator[Solution]:
    shares = torch.from_numpy(row_weights(y, balanced)) / len(rows)
    truth = torch.from_numpy(np.searchsorted(np.unique(y), y))
    return logistic_path(rows, truth, shares, [1 / (c * len(rows)) for c in cs], start)


def _binary_path(
    rows: Tensor, y: Targets, balanced: bool, cs: Sequence[float], start: Solution | None
) -> Iterator[Solution]:
    """The minima of all classes; those of classes that cannot be learnt are zero."""
    learnt = np.flatnonzero(two_sided(y))
    if start is not None:
        start = start[0][:, learnt], start[1][learnt]
    counts = torch.from_numpy((y[:, learnt] >= 0).sum(axis=0)).float()
    shares = torch.from_numpy(pair_weights(y[:, learnt], balanced)) / counts
    present = torch.from_numpy((y[:, learnt] > 0).astype(np.float32))
    for found in one_vs_rest_path(rows, present, shares, [1 / (c * counts) for c in cs], start):
        weights, bias = torch.zeros(rows.shape[1], y.shape[1]), torch.zeros(y.shape[1])
        weights[:, learnt], bias[learnt] = found
        yield weights, bias


class DiscriminantHead(_DenseHead):
    """Linear discriminant analysis (Fisher 1936; scikit-learn's): one covariance for all classes, shrunk by `shrinkage`
    towards a multiple of the identity. Embeddings are not standardised, since the identity is in their units.

    Scores are without the part that all classes share. It changes no probability, but is so much larger than the rest
    that single precision would lose digits.
    """

    def __init__(self, shrinkage: float = 0.1, balanced: bool = False, compress: bool = False) -> None:
        self.shrinkage, self.balanced, self.compress = shrinkage, balanced, compress

    def fit(self, x: Array, y: Targets) -> Self:
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

        if y.ndim == 2:
            raise HeadError(
                "head.name 'lda' is for clips of one label each, and these may hold several. Use 'logreg', 'mlp', "
                "'lightgbm' or 'ensemble'."
            )
        classes = len(np.unique(y))
        priors = np.full(classes, 1 / classes) if self.balanced else None
        model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=self.shrinkage, priors=priors)
        rows = self._scaled(x).astype(np.float64)
        model.fit(rows, y)
        self.mean_, self.scale_ = rows.mean(axis=0).astype(np.float32), np.ones(x.shape[1], np.float32)
        weights, bias = model.coef_.T, model.intercept_ + model.coef_ @ self.mean_
        if len(bias) > 1:
            weights, bias = weights - weights.mean(axis=1, keepdims=True), bias - bias.mean()
        return self._set_layers([weights], [bias], y)


class MLPHead(_DenseHead):
    """One hidden layer, Adam, a fixed number of epochs: an internal validation split could leak groups."""

    def __init__(
        self,
        hidden: int = 256,
        epochs: int = 20,
        learning_rate: float = 1e-3,
        alpha: float = 1e-3,
        balanced: bool = False,
        compress: bool = False,
        seed: int = 0,
    ) -> None:
        self.compress = compress
        self.hidden, self.epochs, self.learning_rate = hidden, epochs, learning_rate
        self.alpha, self.balanced, self.seed = alpha, balanced, seed

    def fit(self, x: Array, y: Targets) -> Self:
        self.fit_each([self], x, y)
        return self

    @classmethod
    def fit_each(cls, heads: Sequence[Self], x: Array, y: Targets, start: Self | None = None) -> None:
        """Fits heads that differ in `epochs` only: each is the state of one training after its number of epochs."""
        from sklearn.neural_network import MLPClassifier

        head, epochs = heads[0], max(head.epochs for head in heads)
        if y.ndim == 2:
            rows, weights = head._standardise(x), pair_weights(y, head.balanced) * two_sided(y)
            path = perceptrons(rows, y, weights, head.hidden, epochs, head.learning_rate, head.alpha, head.seed)
            for epoch, layers in enumerate(track(path, "training the MLP", epochs), 1):
                for one in (one for one in heads if one.epochs == epoch):
                    one.mean_, one.scale_ = head.mean_, head.scale_
                    one._set_layers(*layers, y)
            return
        model = MLPClassifier(
            (head.hidden,), alpha=head.alpha, learning_rate_init=head.learning_rate, random_state=head.seed
        )
        x = head._standardise(x)
        weights = row_weights(y, head.balanced)
        for epoch in track(range(1, epochs + 1), "training the MLP", epochs):
            model.partial_fit(x, y, classes=np.unique(y), sample_weight=weights)
            for one in (one for one in heads if one.epochs == epoch):
                one.mean_, one.scale_ = head.mean_, head.scale_
                one._set_layers([layer.copy() for layer in model.coefs_], list(model.intercepts_), y)
