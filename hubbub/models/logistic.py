"""Multinomial logistic regression: scikit-learn's objective, minimised for several penalties on the same rows.

Newton's method: each step is found by conjugate gradients (Lin, Weng & Keerthi 2008, "Trust region Newton method for
large-scale logistic regression"; here with a line search). The rows are rotated once to the axes of their covariance,
where the diagonal of the curvature is a good preconditioner, and axes without variance are left out. Loss and gradient
are in single precision. The curvature only directs the steps: it is in bfloat16 where the processor has that, and
diagonal along axes of little variance, where the penalty bends the loss more than the rows do.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

__all__ = ["Solution", "axes_of", "logistic_path"]

#: Weights `[D, K]` and biases `[K]`; of two classes one column, of class 1 against class 0.
Solution = tuple[Tensor, Tensor]

_MOST_STEPS = 50
# The search ends at a step that lowers the loss by less.
_LEAST_GAIN = 3e-5
# From zero, larger penalties come first: multiples of the first one, and the gain at which each search ends.
_FROM_ZERO = ((100, 1e-2), (10, 1e-3))
# Conjugate gradients end when a product adds less than this share of the mean gain, but not before, or after, so many.
_FORCING, _LEAST_PRODUCTS, _MOST_PRODUCTS = 0.3, 10, 60
# A step must gain this share of what the slope promises; shorter steps than the least are not tried.
_ARMIJO, _LEAST_LENGTH = 1e-4, 1e-3
# A step is poor that gains less than this share (of a parabola: half). The next one takes the curvature at scores that
# are moved by so much towards the truth: rows that are wrong with confidence bend the loss only later along the step.
_POOR, _TOWARDS_TRUTH = 0.35, 0.3
# Axes are left out whose share of the total variance is below what single precision resolves.
_LEAST_SHARE = 1e-8
# The curvature is diagonal along axes where, if all classes score alike, the rows bend the loss less than this share of
# the penalty.
_LITTLE_BEND = 0.1


@torch.no_grad()
def logistic_path(
    rows: Tensor, truth: Tensor, shares: Tensor, penalties: Sequence[float], start: Solution | None = None
) -> Iterator[Solution]:
    """The minimum for each of `penalties`, in their order.

    `rows` `[N, D]` are standardised, `truth` `[N]` are class numbers 0 .. K - 1, `shares` `[N]` weigh the rows and sum
    to 1. The objective is the mean cross-entropy plus half a penalty times the sum of squared weights. Each search
    begins at the minimum before; the first one at `start`, or at zero.
    """
    axes = axes_of(rows)
    problem = _Problem(rows @ axes, truth, shares)
    if start is None:
        columns = problem.classes if problem.classes > 2 else 1
        here = (torch.zeros(axes.shape[1], columns), torch.zeros(columns))
        for factor, gain in _FROM_ZERO:
            here = _minimise(problem, factor * penalties[0], here, gain)
    else:
        here = (axes.mT @ start[0], start[1])
    for penalty in penalties:
        here = _minimise(problem, penalty, here, _LEAST_GAIN)
        yield axes @ here[0], here[1]


def axes_of(rows: Tensor) -> Tensor:
    """The axes of the rows' covariance along which they vary, `[D, R]`, that of the least variance first.

    In double precision, and for fewer rows than columns from the products of rows with rows, which have the same
    variances: the covariance has hundreds of zeros then, for which LAPACK's search does not always end.
    """
    exact, few = rows.double(), len(rows) < rows.shape[1]
    variances, axes = torch.linalg.eigh((exact @ exact.mT if few else (rows.mT @ rows).double()) / len(rows))
    varies = variances > _LEAST_SHARE * variances.sum()
    axes = axes[:, varies]
    if few:
        axes = exact.mT @ axes / (len(rows) * variances[varies]).sqrt()
    return axes.to(rows.dtype)


@dataclass(frozen=True)
class _State:
    """A solution, its loss, and the probabilities of all classes there, `[N, K]`."""

    weights: Tensor
    bias: Tensor
    loss: float
    scores: Tensor

    def moved(self, problem: "_Problem", step: Solution, length: float, penalty: float) -> "_State":
        return problem.at(self.weights + length * step[0], self.bias + length * step[1], penalty)


class _Problem:
    """The rows, classes and shares of one fit. A solution with one column is of class 1 against class 0."""

    def __init__(self, rows: Tensor, truth: Tensor, shares: Tensor) -> None:
        self.rows, self.truth, self.shares = rows, truth, shares[:, None]
        self.classes = int(truth.max()) + 1
        self.numbers = torch.arange(len(rows))
        self.variances = rows.square().mean(dim=0)
        fast = torch.cpu._is_avx512_bf16_supported()
        self.rough = rows.bfloat16() if fast else rows  # for products with the curvature

    def at(self, weights: Tensor, bias: Tensor, penalty: float) -> _State:
        logits = self.padded(torch.addmm(bias, self.rows, weights))
        sums = logits.logsumexp(dim=1, keepdim=True)
        losses = sums - logits[self.numbers, self.truth][:, None]
        loss = float((losses * self.shares).sum() + penalty / 2 * weights.square().sum())
        return _State(weights, bias, loss, logits.sub_(sums).exp_())

    def gradient(self, state: _State, penalty: float) -> Solution:
        slopes = state.scores.clone()
        slopes[self.numbers, self.truth] -= 1
        slopes = slopes.mul_(self.shares)[:, -len(state.bias) :]
        return torch.addmm(state.weights.mT, slopes.mT, self.rows, beta=penalty).mT, slopes.sum(dim=0)

    def nearer(self, state: _State) -> _State:
        """The state with scores nearer to the truth."""
        scores = state.scores * (1 - _TOWARDS_TRUTH)
        scores[self.numbers, self.truth] += _TOWARDS_TRUTH
        return replace(state, scores=scores)

    def padded(self, logits: Tensor) -> Tensor:
        return nn.functional.pad(logits, (1, 0)) if logits.shape[1] == 1 else logits


class _Curvature:
    """The curvature of a problem under a penalty: whole along the leading axes, diagonal along the `minor` others."""

    def __init__(self, problem: _Problem, penalty: float) -> None:
        self.problem, self.penalty = problem, penalty
        evenly = (1 - 1 / problem.classes) / problem.classes
        self.minor = int((problem.variances * evenly < _LITTLE_BEND * penalty).sum())
        self.rows = problem.rough[:, self.minor :].contiguous()

    def diagonal(self, state: _State) -> Solution:
        """Its diagonal along all axes; along the minor ones as if a row's size had nothing to do with its scores."""
        spread = (state.scores * (1 - state.scores) * self.problem.shares)[:, -len(state.bias) :]
        squares = (spread.mT.to(self.rows.dtype) @ self.rows.square()).mT.float()
        sums = spread.sum(dim=0)
        minor = torch.outer(self.problem.variances[: self.minor], sums)
        return torch.cat([minor, squares]) + self.penalty, sums.clamp_min(1e-6)

    def times(self, state: _State, step: Solution) -> Solution:
        """The product with a step along the leading axes."""
        problem, scores = self.problem, state.scores
        moved = problem.padded((self.rows @ step[0].to(self.rows.dtype)).float() + step[1]).mul_(scores)
        moved = torch.addcmul(moved, scores, moved.sum(dim=1, keepdim=True), value=-1).mul_(problem.shares)
        moved = moved[:, -len(state.bias) :]
        product = (moved.mT.to(self.rows.dtype) @ self.rows).mT.float()
        return product.add_(step[0], alpha=self.penalty), moved.sum(dim=0)


def _minimise(problem: _Problem, penalty: float, start: Solution, least_gain: float) -> Solution:
    """The minimum along the axes, searched from `start` until a step gains less than `least_gain`."""
    state, curvature, poor = problem.at(*start, penalty), _Curvature(problem, penalty), False
    for _ in range(_MOST_STEPS):
        bent = problem.nearer(state) if poor else state
        step, promised = _newton_step(curvature, bent, problem.gradient(state, penalty))
        length = 1.0
        while (moved := state.moved(problem, step, length, penalty)).loss > state.loss - _ARMIJO * length * promised:
            length /= 2
            if length < _LEAST_LENGTH:
                return state.weights, state.bias
        gained, state = state.loss - moved.loss, moved
        if gained < least_gain:
            break
        poor = gained < _POOR * promised
    return state.weights, state.bias


def _newton_step(curvature: _Curvature, state: _State, slope: Solution) -> tuple[Solution, float]:
    """Newton's step by conjugate gradients, and twice what it gains where the loss is a parabola."""
    diagonal, minor = curvature.diagonal(state), curvature.minor
    along_minor = -slope[0][:minor] / diagonal[0][:minor]
    promised = -float((along_minor * slope[0][:minor]).sum())
    slope, diagonal = (slope[0][minor:], slope[1]), (diagonal[0][minor:], diagonal[1])
    step = (torch.zeros_like(slope[0]), torch.zeros_like(slope[1]))
    rest = (-slope[0], -slope[1])
    direction = scaled = (rest[0] / diagonal[0], rest[1] / diagonal[1])
    size, total = _dot(rest, scaled), 0.0
    for count in range(1, _MOST_PRODUCTS + 1):
        product = curvature.times(state, direction)
        bend = _dot(direction, product)
        if bend <= 0:  # the direction is rounding noise
            break
        along = size / bend
        step, rest = _add(step, direction, along), _add(rest, product, -along)
        total += along * size
        if count >= _LEAST_PRODUCTS and count * along * size < _FORCING * total:
            break
        scaled = (rest[0] / diagonal[0], rest[1] / diagonal[1])
        before, size = size, _dot(rest, scaled)
        direction = _add(scaled, direction, size / before)
    return (torch.cat([along_minor, step[0]]), step[1]), total + promised


def _add(one: Solution, other: Solution, factor: float) -> Solution:
    return torch.add(one[0], other[0], alpha=factor), torch.add(one[1], other[1], alpha=factor)


def _dot(one: Solution, other: Solution) -> float:
    return float((one[0] * other[0]).sum() + (one[1] * other[1]).sum())
