"""Chooses which segments of an archive to label next: uncertain, diverse, likely wrong and random ones, in a mix.

Uncertain and diverse ones are those that tell most about others: many segments lie near them that no labelled one is
near. For diverse picks all those count alike, for uncertain ones by how uncertain the head is of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from hubbub.archive.quick_head import Space, votes_against
from hubbub.archive.vectors import Vectors
from hubbub.data.archive_labels import LabelState

__all__ = ["MIX", "Pick", "next_segments"]

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Reason = Literal["random", "uncertain", "diverse", "likely-wrong"]
#: The share of each kind. Where none is likely wrong, or no head has learned yet, others take their place.
MIX: dict[Reason, float] = {"random": 0.2, "likely-wrong": 0.05, "diverse": 0.15, "uncertain": 0.6}
#: Segments that may be picked, and segments for which they stand: random ones, up to so many of each.
CANDIDATES, OTHERS = 1_000, 2_000
#: How fast nearness fades: by a factor of e for each sixth by which the cosine is smaller. Slower than the head's
#: votes, as those for which a segment stands are a sample.
STEEP = 6.0
#: So many segments must be labelled before the head is asked what is uncertain or wrong.
LEAST = 20
#: A label is likely wrong where so large a share of the others' votes is against it.
WRONG = 0.9


@dataclass(frozen=True)
class Pick:
    """A segment to label, and why. Of a random one: how many segments the draw stands for, and whether it is `known`
    already, so that nothing needs to be asked: note it as drawn."""

    segment: int
    reason: Reason
    weight: float | None = None
    known: bool = False


def next_segments(
    vectors: Vectors,
    scores: Array | None,
    labels: LabelState,
    mask: Mask,
    count: int,
    random: np.random.Generator,
    again: npt.ArrayLike = (),
    mix: Mapping[Reason, float] = MIX,
) -> list[Pick]:
    """The next `count` segments to label, fewer where fewer are left; and those that were drawn, but are known.

    `scores` `[S, K]` are the head's, NaN where it knows nothing. Only segments under the `mask` `[S]` are picked;
    `again` are segments whose label was asked for twice, which are not doubted any more. `mix` has the share of each
    kind; kinds that it lacks are not picked.

    Random ones are drawn uniformly, without replacement, from all segments under the mask, whether they were labelled
    by choice or not: so all draws of an archive together are a random sample of it, and what is chosen between them
    does not matter. A draw that is labelled for all classes is `known`.
    """
    shares = {reason: int(mix.get(reason, 0) * count + random.random()) for reason in MIX}
    space = Space.of(vectors)
    drawn = labels.segments[~np.isnan(labels.drawn)]
    picks = _draw(_without(mask, drawn), labels, shares["random"], random)
    doubted = _without(_without(mask, again), [pick.segment for pick in picks])
    picks += _doubted(vectors, space, labels, doubted, shares["likely-wrong"])
    if not mix.get("diverse") and not mix.get("uncertain"):
        return picks
    told = np.union1d(labels.segments, [pick.segment for pick in picks]).astype(np.intp)
    candidates = _some(np.flatnonzero(_without(mask, told)), CANDIDATES, random)
    others = _some(np.flatnonzero(mask), OTHERS, random)
    cover = _Cover(*(space.place(vectors.take(rows)) for rows in (candidates, others, told)))
    alike = np.ones(len(others), np.float32)
    uncertain = None if scores is None or len(labels.segments) < LEAST else _uncertainty(scores[others])
    wanted = min(count - sum(not pick.known for pick in picks), len(candidates))
    for number in range(wanted):
        if uncertain is None or number < shares["diverse"]:
            picks.append(Pick(int(candidates[cover.take(alike)]), "diverse"))
        else:
            picks.append(Pick(int(candidates[cover.take(uncertain)]), "uncertain"))
    return picks


def _without(mask: Mask, segments: npt.ArrayLike) -> Mask:
    left = mask.copy()
    left[np.asarray(segments, dtype=np.intp)] = False
    return left


def _some(segments: npt.NDArray[np.intp], most: int, random: np.random.Generator) -> npt.NDArray[np.intp]:
    return segments if len(segments) <= most else np.sort(random.choice(segments, most, replace=False))


def _draw(mask: Mask, labels: LabelState, count: int, random: np.random.Generator) -> list[Pick]:
    """Draw segments under a mask; each stands for as many as there are to a draw."""
    rows = np.flatnonzero(mask)
    drawn = random.choice(rows, min(count, len(rows)), replace=False)
    whole = (labels.y >= 0).all(axis=1) & labels.whole | labels.unsure
    known = set(labels.segments[whole].tolist())
    return [Pick(int(segment), "random", len(rows) / len(drawn), int(segment) in known) for segment in drawn]


def _doubted(vectors: Vectors, space: Space, labels: LabelState, mask: Mask, count: int) -> list[Pick]:
    """The labelled segments under a mask whose labels the other ones contradict most."""
    if len(labels.segments) < LEAST:
        return []
    against = votes_against(vectors, labels.segments, labels.y, space).max(axis=1, initial=0)
    against[~mask[labels.segments]] = 0
    worst = np.argsort(-against, kind="stable")[:count]
    return [Pick(int(labels.segments[row]), "likely-wrong") for row in worst[against[worst] >= WRONG]]


def _uncertainty(scores: Array) -> Array:
    """How uncertain the head is of each segment, `[n]`: the sum over classes, each of which weighs less the more
    uncertain it is on the whole, so that a rare class is not outweighed."""
    spread = np.nan_to_num(scores * (1 - scores))
    return np.asarray(spread @ (1 / np.sqrt(np.maximum(spread.sum(axis=0), 1e-9))), dtype=np.float32)


class _Cover:
    """How near the nearest labelled or picked segment is to each of the others."""

    def __init__(self, candidates: Array, others: Array, told: Array) -> None:
        self._near = np.exp(STEEP * (others @ candidates.T - 1))
        self._covered = np.exp(STEEP * (others @ told.T - 1)).max(axis=1, initial=0)
        self._left = np.ones(len(candidates), bool)

    def take(self, weights: Array) -> int:
        """The number of the candidate that adds most nearness to the others, by their weights `[n]`."""
        covered = weights @ np.maximum(self._near, self._covered[:, None])
        best = int(np.where(self._left, covered, -np.inf).argmax())
        self._covered = np.maximum(self._covered, self._near[:, best])
        self._left[best] = False
        return best
