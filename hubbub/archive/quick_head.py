"""Learns classes from the few labelled segments of an archive, in well under a second, and scores all segments.

A class's probability is the mean of two: logistic regression, and a vote of the labelled segments, in which near ones
weigh more. Regression sees what the segments of a class have in common, the vote how far a label reaches.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import torch

from hubbub.archive.vectors import Vectors, normalised
from hubbub.models.one_vs_rest import one_vs_rest_path, pair_weights, two_sided

__all__ = ["QuickHead", "Space", "scores", "votes_against"]

Array = npt.NDArray[np.float32]
Sets = npt.NDArray[np.integer]
#: Segments by whose mean the others are centred: all of an archive, up to so many.
MOST = 2_048
#: How fast a vote fades: by a factor of e for each tenth by which the cosine is smaller.
STEEP = 10.0
#: What is added to all votes, so that far ones alone decide nothing: a segment that is like no labelled one votes 0.
DOUBT = 1e-3
#: The inverse L2 penalty of the regression, on embeddings whose length is the root of their width.
C = 0.3


@dataclass(frozen=True)
class Space:
    """Where segments are compared: signed roots of embeddings, at length 1, less the archive's mean, at length 1."""

    mean: Array

    @classmethod
    def of(cls, vectors: Vectors) -> Self:
        """The space of an archive, by at most `MOST` of its segments at equal distances."""
        rows = np.unique(np.linspace(0, len(vectors) - 1, min(len(vectors), MOST)).astype(np.intp))
        return cls(_roots(vectors.take(rows)).sum(axis=0) / max(len(rows), 1))

    def place(self, embeddings: Array) -> Array:
        """Embeddings `[n, D]` in this space, `[n, D]`."""
        return normalised(_roots(embeddings) - self.mean)


@dataclass(frozen=True)
class QuickHead:
    """A head that learned from labels `y` `[n, K]`: 1 (in it), 0 (not in it) or -1 (unknown).

    A class needs one yes: without it, it scores NaN. Without a no, it scores by the likeness to its segments alone.
    """

    space: Space
    labelled: Array
    y: Sets
    weights: Array
    biases: Array
    learnt: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, vectors: Vectors, segments: npt.ArrayLike, y: Sets, space: Space) -> Self:
        """The head of some labelled `segments` `[n]` of an archive."""
        labelled = space.place(vectors.take(segments))
        return cls(space, labelled, y, *_regression(labelled, y))

    def scores(self, embeddings: Array) -> Array:
        """The probability of each class `[n, K]` by embeddings `[n, D]`."""
        here = self.space.place(embeddings)
        votes = _shares(_nearness(here, self.labelled), self.y, 1)
        chances = torch.from_numpy(here @ self.weights + self.biases).sigmoid().numpy()
        found = np.where(self.learnt, (votes + chances) / 2, votes).astype(np.float32)
        found[:, ~(self.y > 0).any(axis=0)] = np.nan
        return found


def scores(vectors: Vectors, segments: npt.ArrayLike, y: Sets, space: Space | None = None) -> Array:
    """The probability of each class in each segment of the archive, `[S, K]`, by a head of some labelled ones."""
    head = QuickHead.of(vectors, segments, y, space or Space.of(vectors))
    parts = [head.scores(block) for _, block in vectors.blocks()]
    return np.concatenate(parts) if parts else np.zeros((0, y.shape[1]), np.float32)


def votes_against(vectors: Vectors, segments: npt.ArrayLike, y: Sets, space: Space | None = None) -> Array:
    """How far the other labelled segments contradict each label, `[n, K]`: the share of the votes against it, 0 where
    it is unknown. Where no other segment is near, nothing is contradicted."""
    labelled = (space or Space.of(vectors)).place(vectors.take(segments))
    nearness = _nearness(labelled, labelled)
    np.fill_diagonal(nearness, 0)
    return np.where(y > 0, _shares(nearness, y, 0), np.where(y == 0, _shares(nearness, y, 1), 0)).astype(np.float32)


def _roots(embeddings: Array) -> Array:
    """Signed roots at length 1: a few large numbers of an embedding weigh less."""
    return normalised(np.copysign(np.sqrt(np.abs(embeddings)), embeddings))


def _nearness(rows: Array, labelled: Array) -> Array:
    """The weight of each labelled segment's vote on each row, `[n, L]`."""
    return np.asarray(np.exp(STEEP * (rows @ labelled.T - 1)), dtype=np.float32)


def _shares(nearness: Array, y: Sets, value: int) -> Array:
    """The share of the votes of those that know a class which are for a value, 1 (in it) or 0, `[n, K]`."""
    votes, known = nearness @ (y == value).astype(np.float32), nearness @ (y >= 0).astype(np.float32)
    return np.asarray(votes / (known + DOUBT), dtype=np.float32)


def _regression(rows: Array, y: Sets) -> tuple[Array, Array, npt.NDArray[np.bool_]]:
    """Weights `[D, K]` and biases `[K]` of each class that has a yes and a no, and which those are `[K]`."""
    learnt = two_sided(y)
    weights, biases = np.zeros((rows.shape[1], y.shape[1]), np.float32), np.zeros(y.shape[1], np.float32)
    if learnt.any():
        length = rows.shape[1] ** 0.5
        known = y[:, learnt]
        counts = torch.from_numpy((known >= 0).sum(axis=0)).float()
        shares = torch.from_numpy(pair_weights(known, balanced=False)) / counts
        present = torch.from_numpy((known > 0).astype(np.float32))
        found = next(one_vs_rest_path(torch.from_numpy(rows * length), present, shares, [1 / (C * counts)]))
        weights[:, learnt], biases[learnt] = found[0].numpy() * length, found[1].numpy()
    return weights, biases, learnt
