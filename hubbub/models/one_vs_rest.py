"""What one-vs-rest heads fit: for each class, whether it is present, on the rows in which it was annotated.

Logistic regression is scikit-learn's objective for each class, minimised for all classes and several penalties on the
same rows: Newton's method as in `logistic.py`, with a search for each class, which share the products with the rows.
The perceptron is trained as scikit-learn's `MLPClassifier` trains one on label sets, which knows no rows where a class
is not annotated.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import softplus

from hubbub.models.logistic import Solution, axes_of

__all__ = ["constant_logits", "one_vs_rest_path", "pair_weights", "perceptrons", "two_sided"]

Array = npt.NDArray[np.float32]
Sets = npt.NDArray[np.integer]
Flags = npt.NDArray[np.bool_]

_MOST_STEPS = 50
# The search of a class ends at a step that lowers its loss by less.
_LEAST_GAIN = 3e-6
# Conjugate gradients end when a product adds less than this share of the mean gain, but not before, or after, so many.
_FORCING, _LEAST_PRODUCTS, _MOST_PRODUCTS = 0.3, 5, 60
# A step must gain this share of what the slope promises; after so many halvings it is not tried.
_ARMIJO, _MOST_HALVINGS = 1e-4, 10
_SMALLEST = 1e-30
#: Rows a step of the perceptron, as in scikit-learn.
_BATCH = 200


def two_sided(y: Sets) -> Flags:
    """Whether a class is present in a row and absent in a row, `[K]`: others cannot be learnt. `y` `[N, K]` is 1, 0 or,
    where nobody annotated the class, -1."""
    return np.asarray((y > 0).any(axis=0) & (y == 0).any(axis=0))


def constant_logits(y: Sets) -> Array:
    """The logit of each class by its number n of annotated rows N alone, `[K]`: that of the share (n + .5) / (N + 1).
    A class that is annotated nowhere counts as absent from all rows."""
    known = (y >= 0).sum(axis=0)
    share = ((y > 0).sum(axis=0) + 0.5) / (np.where(known > 0, known, len(y)) + 1)
    return np.log(share / (1 - share)).astype(np.float32)


def pair_weights(y: Sets, balanced: bool) -> Array:
    """A weight for each row and class, `[N, K]`: mean 1 over the rows in which the class was annotated, 0 in the rest;
    if `balanced`, present and absent have the same sum."""
    present, known = y > 0, y >= 0
    if not balanced:
        return known.astype(np.float32)
    half = known.sum(axis=0) / 2
    counts = [np.maximum(rows.sum(axis=0), 1) for rows in (present, known & ~present)]
    return (known * np.where(present, half / counts[0], half / counts[1])).astype(np.float32)


@torch.no_grad()
def one_vs_rest_path(
    rows: Tensor, present: Tensor, shares: Tensor, penalties: Sequence[Tensor], start: Solution | None = None
) -> Iterator[Solution]:
    """The minima of all classes for each of `penalties`, `[K]` each, in their order: weights `[D, K]`, biases `[K]`.

    `rows` `[N, D]` are standardised, `present` `[N, K]` is 1 or 0, `shares` `[N, K]` weigh the rows and sum to 1 for
    each class. The objective of a class is its mean binary cross-entropy plus half a penalty times the sum of its
    squared weights. Each search begins at the minimum before; the first one at `start`, or at the share of each class.
    """
    axes = axes_of(rows)
    problem = _Problem(rows @ axes, present, shares)
    if start is None:
        here = (torch.zeros(axes.shape[1], present.shape[1]), (present * shares).sum(0).logit(1e-6))
    else:
        here = (axes.mT @ start[0], start[1])
    for penalty in penalties:
        here = _minimise(problem, penalty, here)
        yield axes @ here[0], here[1]


@dataclass(frozen=True)
class _Problem:
    """The rows `[N, R]`, and for some classes whether each is present and how much it weighs."""

    rows: Tensor
    present: Tensor
    shares: Tensor

    def of(self, classes: Tensor) -> "_Problem":
        return _Problem(self.rows, self.present[:, classes], self.shares[:, classes])

    def losses(self, logits: Tensor) -> Tensor:
        """The mean loss of each class without its penalty."""
        return (softplus(logits).addcmul_(self.present, logits, value=-1).mul_(self.shares)).sum(0)


def _minimise(problem: _Problem, penalties: Tensor, start: Solution) -> Solution:
    """The minima of all classes; a class whose step gains too little is done."""
    weights, bias = start[0].clone(), start[1].clone()
    logits = torch.addmm(bias, problem.rows, weights)
    variances = problem.rows.square().mean(dim=0)[:, None]
    left = torch.arange(len(bias))
    for _ in range(_MOST_STEPS):
        part, penalty = problem.of(left), penalties[left]
        here, scores = weights[:, left], logits[:, left]
        step, promised = _newton_steps(part, here, scores, penalty, variances)
        moved = torch.addmm(step[1], problem.rows, step[0])
        lengths, gains = _lengths(part, here, scores, penalty, step, moved, promised)
        weights[:, left] += lengths * step[0]
        bias[left] += lengths * step[1]
        logits[:, left] += lengths * moved
        left = left[gains >= _LEAST_GAIN]
        if not len(left):
            break
    return weights, bias


def _newton_steps(
    problem: _Problem, weights: Tensor, logits: Tensor, penalty: Tensor, variances: Tensor
) -> tuple[Solution, Tensor]:
    """Newton's step of each class by conjugate gradients, and twice what it gains where the loss is a parabola."""
    rows, scores = problem.rows, logits.sigmoid()
    slopes = (scores - problem.present).mul_(problem.shares)
    bends = scores.mul_(1 - scores).mul_(problem.shares)
    sums = bends.sum(0).clamp_min(1e-6)
    diagonal = torch.cat([variances * sums + penalty, sums[None]])
    rest = -torch.cat([torch.addcmul((slopes.mT @ rows).mT, weights, penalty), slopes.sum(0, keepdim=True)])
    step, total, busy = torch.zeros_like(rest), torch.zeros_like(sums), torch.ones_like(sums)
    direction = scaled = rest / diagonal
    size = (rest * scaled).sum(0)
    for count in range(1, _MOST_PRODUCTS + 1):
        moved = torch.addmm(direction[-1], rows, direction[:-1]).mul_(bends)
        product = torch.cat([torch.addcmul((moved.mT @ rows).mT, direction[:-1], penalty), moved.sum(0, keepdim=True)])
        along = busy * size / (direction * product).sum(0).clamp_min(_SMALLEST)
        step.addcmul_(direction, along)
        rest.addcmul_(product, along, value=-1)
        total += along * size
        if count >= _LEAST_PRODUCTS:
            busy = busy * (count * along * size >= _FORCING * total)
            if not busy.any():
                break
        scaled = rest / diagonal
        before, size = size, (rest * scaled).sum(0)
        direction = torch.addcmul(scaled, direction, size / before.clamp_min(_SMALLEST))
    return (step[:-1], step[-1]), total


def _lengths(
    problem: _Problem,
    weights: Tensor,
    logits: Tensor,
    penalty: Tensor,
    step: Solution,
    moved: Tensor,
    promised: Tensor,
) -> tuple[Tensor, Tensor]:
    """How far each class goes along its step, 1 or a half of a half of it, and what it gains; 0 where nothing is."""
    before = problem.losses(logits)
    along, square = (weights * step[0]).sum(0), step[0].square().sum(0)
    lengths, gains = torch.ones_like(before), torch.zeros_like(before)
    for _ in range(_MOST_HALVINGS):
        after = problem.losses(torch.addcmul(logits, moved, lengths))
        gains = before - after - penalty * lengths * (along + lengths * square / 2)
        enough = gains >= _ARMIJO * lengths * promised
        if enough.all():
            return lengths, gains
        lengths = torch.where(enough, lengths, lengths / 2)
    return lengths * enough, gains * enough


def perceptrons(
    x: Array, y: Sets, weights: Array, hidden: int, epochs: int, learning_rate: float, alpha: float, seed: int
) -> Iterator[tuple[list[Array], list[Array]]]:
    """The weights `[D, H]`, `[H, K]` and biases of a perceptron after each epoch of its training.

    `weights` `[N, K]` weigh each row and class. Batches, initial weights, penalty and Adam are scikit-learn's.
    """
    random = torch.Generator().manual_seed(seed)
    sizes = ((x.shape[1], hidden), (hidden, y.shape[1]))
    layers = [
        torch.empty(shape)
        .uniform_(-((6 / sum(size)) ** 0.5), (6 / sum(size)) ** 0.5, generator=random)
        .requires_grad_()
        for size in sizes
        for shape in (size, size[1:])
    ]
    optimizer = torch.optim.Adam(layers, learning_rate)
    rows, present, shares = torch.from_numpy(x), torch.from_numpy((y > 0).astype(np.float32)), torch.from_numpy(weights)
    for _ in range(epochs):
        for some in torch.randperm(len(rows), generator=random).split(_BATCH):
            logits = (rows[some] @ layers[0] + layers[1]).relu() @ layers[2] + layers[3]
            losses = (softplus(logits) - present[some] * logits) * shares[some]
            squares = layers[0].square().sum() + layers[2].square().sum()
            optimizer.zero_grad()
            ((losses.sum() + alpha / 2 * squares) / len(some)).backward()
            optimizer.step()
        found = [layer.detach().numpy().copy() for layer in layers]
        yield found[::2], found[1::2]
