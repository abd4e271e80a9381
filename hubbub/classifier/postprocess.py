"""Frame scores to better events: a median filter, or boxes between change points, for each class; pure functions.

Both turn scores `[T, K]` of a recording's frames into scores `[T, K]`, so that thresholds, curves and the detector of
events work on them as before. Boxes are sound event bounding boxes by change detection (Ebbers, Germain, Wichern and
Le Roux 2024, https://arxiv.org/abs/2406.04212): where a class begins and ends does not depend on the threshold, which
only decides which boxes are events. `postprocess_choice.py` chooses the settings on validation recordings.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from hubbub.errors import HubbubError

__all__ = [
    *("Box", "Filter", "FrameFilters", "PostProcessError", "boxed", "boxes", "filtered", "median", "most_frequent"),
]

Array = npt.NDArray[np.float64]
#: How much is filtered at once, and how much before and after it is seen [s].
BLOCK_S, CONTEXT_S = 10.0, 5.0
#: Steps of scores from 0 to 1 in the search for changes.
STEPS = 2**30


class PostProcessError(HubbubError):
    """Settings of a filter out of range, or scores of the wrong shape."""


@dataclass(frozen=True)
class Filter:
    """What is done to the frame scores of one class.

    `median`: the median of the frames within `length` seconds. `boxes`: see `boxes`; `length` [s] is that of the step
    filter. `none`: nothing. Raises `PostProcessError`.
    """

    kind: Literal["none", "median", "boxes"] = "none"
    length: float = 0.0
    absolute: float = 0.0
    relative: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in ("none", "median", "boxes"):
            raise PostProcessError(f"a filter '{self.kind}': give none, median or boxes.")
        if not 0 <= self.length < np.inf or (self.kind != "none" and not self.length):
            raise PostProcessError(f"a filter of {self.length:g} s: give a length above 0.")
        if not (0 <= self.absolute <= 1 and 0 <= self.relative <= 1):
            raise PostProcessError(
                f"boxes are joined within {self.absolute:g} or from a share of {self.relative:g}: give numbers from 0 "
                "to 1."
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, of what the kind uses."""
        own = {"kind": self.kind}
        used = {"none": (), "median": ("length",), "boxes": ("length", "absolute", "relative")}[self.kind]
        return own | {name: getattr(self, name) for name in used}

    @classmethod
    def of(cls, content: dict[str, Any]) -> Self:
        """A filter from plain values; raises `PostProcessError` for unknown ones."""
        try:
            return cls(**content)
        except TypeError as error:
            raise PostProcessError(f"a filter of {content}: {error}") from error

    def __call__(self, scores: npt.ArrayLike, frame_s: float) -> Array:
        """Scores `[T]` of one class in frames of `frame_s` -> scores `[T]`."""
        values = np.asarray(scores, float)
        if self.kind == "none" or not len(values):
            return values
        if self.kind == "median":
            return median(values, frames_of(self.length, frame_s, odd=True))
        return boxed(values, frames_of(self.length, frame_s, odd=False), self.absolute, self.relative)


class FrameFilters:
    """Frames in, in order; filtered frames out, the same ones however they come: live sound is filtered as files are.

    Frames are filtered in blocks of `BLOCK_S` with `CONTEXT_S` before and after. Boxes that reach beyond are judged by
    what lies within.
    """

    def __init__(self, filters: Sequence[Filter]) -> None:
        self._filters = tuple(filters)
        self._spans, self._scores = np.zeros((0, 2)), np.zeros((0, len(self._filters)))
        self._done = 0  # how many of the kept frames were given back: the context before the next block

    def feed(self, spans: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[Array, Array]:
        """The next frames: start and end `[S, 2]` [s] and scores `[S, K]` -> those of the frames that are done."""
        self._spans = np.concatenate([self._spans, np.asarray(spans, float).reshape(-1, 2)])
        self._scores = np.concatenate([self._scores, np.asarray(scores, float)])
        return self._give(end=False)

    def end(self) -> tuple[Array, Array]:
        """The frames that are left at the end of the recording, or before a gap in it."""
        found = self._give(end=True)
        self.__init__(self._filters)  # type: ignore[misc]
        return found

    def _give(self, *, end: bool) -> tuple[Array, Array]:
        done: list[tuple[Array, Array]] = []
        while len(self._spans) > self._done:
            frame_s = float(np.median(np.diff(self._spans[:, 0]))) if len(self._spans) > 1 else BLOCK_S
            block, context = (max(round(seconds / frame_s), 1) for seconds in (BLOCK_S, CONTEXT_S))
            last = self._done + block
            if len(self._spans) < last + context:
                if not end:
                    break
                last = len(self._spans)
            scores = filtered(self._scores[: last + context], self._filters, frame_s)
            done.append((self._spans[self._done : last], scores[self._done : last]))
            first = max(last - context, 0)
            self._spans, self._scores, self._done = self._spans[first:], self._scores[first:], last - first
        spans = np.concatenate([np.zeros((0, 2)), *(one for one, _ in done)])
        return spans, np.concatenate([np.zeros((0, len(self._filters))), *(one for _, one in done)])


def most_frequent(found: Sequence[Sequence[Filter]]) -> tuple[Filter, ...]:
    """The filter of each class that most of several choices have; of equally many the first."""
    return tuple(Counter(own).most_common(1)[0][0] for own in zip(*found, strict=True))


class Box(NamedTuple):
    """From edge `first` to edge `last` of the frames, with the mean score as `confidence`."""

    first: int
    last: int
    confidence: float


def filtered(scores: npt.ArrayLike, filters: Sequence[Filter], frame_s: float) -> Array:
    """Scores `[T, K]` of a recording's frames, each class through its filter. Raises `PostProcessError`."""
    values = np.asarray(scores, float)
    if values.ndim != 2 or values.shape[1] != len(filters):
        raise PostProcessError(
            f"scores of shape {list(values.shape)} for {len(filters)} filters: give one row a frame, one column a "
            "class."
        )
    if not ((values >= 0) & (values <= 1)).all():
        raise PostProcessError("scores below 0 or above 1, or not numbers: filters take probabilities.")
    columns = [one(values[:, k], frame_s) for k, one in enumerate(filters)]
    return np.stack(columns, axis=1) if columns else values


def frames_of(length: float, frame_s: float, *, odd: bool) -> int:
    """The odd number of frames nearest to `length` [s], at least 1; or the even one, at least 2."""
    count = length / frame_s
    return 2 * max(round((count - 1) / 2), 0) + 1 if odd else 2 * max(round(count / 2), 1)


def median(scores: Array, frames: int) -> Array:
    """Scores `[T]` -> the median of the `frames` (odd) around each; the first and last score go on beyond the ends."""
    from scipy.ndimage import median_filter  # takes .2 s, and few classifiers need it

    return median_filter(scores, frames, mode="nearest")


def boxed(scores: Array, frames: int, absolute: float, relative: float) -> Array:
    """Scores `[T]` -> each box's confidence in its frames, and 0 between boxes."""
    values = np.zeros(len(scores))
    for first, last, confidence in boxes(scores, frames, absolute, relative):
        values[first:last] = confidence
    return values


def boxes(scores: Array, frames: int, absolute: float, relative: float) -> list[Box]:
    """Scores `[T]` in [0, 1] of one class -> its boxes, by start; no two touch.

    A step filter of `frames` (even) takes the mean of the scores in its second half minus that in its first half, at
    each edge between frames; beyond the ends, scores are 0. Where the scores rise it is positive, where they fall
    negative: a box begins at the largest value of each stretch that rises and ends at the smallest one of the stretch
    that falls after it. Boxes are joined over a gap whose mean score is at most `absolute` below the higher of their
    confidences, or at least the share `relative` of it.
    """
    sums = np.concatenate([[0.0], np.cumsum(scores)])

    def mean(first: int, last: int) -> float:
        return float(sums[last] - sums[first]) / (last - first)

    found: list[Box] = []
    for first, last in _candidates(scores, frames // 2):
        box = Box(first, last, mean(first, last))
        while found:
            before = found[-1]
            gap, higher = mean(before.last, box.first), max(before.confidence, box.confidence)
            if gap < higher - absolute and gap < relative * higher:
                break
            found.pop()
            box = Box(before.first, box.last, mean(before.first, box.last))
        found.append(box)
    return found


def _candidates(scores: Array, half: int) -> list[tuple[int, int]]:
    """Edges where a step filter with halves of so many frames rises and falls most, in turn.

    Of equal values the last one that rises counts and the first one that falls: a sound that is shorter than half the
    filter gives the same value wherever it is inside. Integers, so that equal values are equal.
    """
    whole = np.round(scores * STEPS).astype(np.int64)
    sums = np.concatenate([np.zeros(half + 1, np.int64), np.cumsum(whole), np.full(half, whole.sum())])
    middle = np.arange(half, half + len(scores) + 1)
    change = sums[middle + half] + sums[middle - half] - 2 * sums[middle]
    places = np.flatnonzero(change)
    if not len(places):
        return []
    sizes, rises = np.abs(change[places]), change[places] > 0
    starts = np.flatnonzero(np.append(True, rises[1:] != rises[:-1]))
    stretch = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(places)))
    largest = np.flatnonzero(sizes == np.maximum.reduceat(sizes, starts)[stretch])
    first = largest[np.append(True, np.diff(stretch[largest]) > 0)]
    last = largest[np.append(np.diff(stretch[largest]) > 0, True)]
    # Scores are 0 before the start and after the end: the first stretch rises, the last one falls.
    return list(zip(places[last[::2]].tolist(), places[first[1::2]].tolist(), strict=True))
