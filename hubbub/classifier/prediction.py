"""What a classifier predicts: `Prediction` of a recording, `Event` of a class within it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

    from hubbub.config.recipe import Recipe

__all__ = ["Embeddings", "Event", "Prediction", "best_classes", "relative_scores"]

Array = npt.NDArray[np.float32]
Spans = npt.NDArray[np.float64]
Classes = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Event:
    """A class that is active from `start` to `end` [s]; `score` is its highest in that time."""

    label: str
    start: float
    end: float
    score: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values: `start`, `end`, `label`, `score`."""
        return {"start": self.start, "end": self.end, "label": self.label, "score": self.score}


@dataclass(frozen=True, eq=False)
class Embeddings:
    """A recording's embeddings: `values` `[S, D]`, one row a segment, and `spans` `[S, 2]`, its start and end [s]."""

    values: Array = field(repr=False)
    spans: Spans = field(repr=False)
    seconds: float
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, repr=False)
class Prediction:
    """What a classifier predicts for a recording, or for a part of one.

    `scores` holds one probability a class for the whole recording. Of each segment, `spans` `[S, 2]` holds start and
    end [s], `classes` `[S, k]` the numbers of its k best classes, best first, and `class_scores` `[S, k]` their scores:
    all classes from `classify`, fewer where long recordings must fit in memory. `events` is None where none were asked
    for. `known` is False where the recording probably belongs to none of the classes, None where the classifier cannot
    tell. `warnings` are sentences about the recording. Of a classifier whose recordings may hold several classes or
    none, `present` has the classes that this one holds with their scores, the likeliest first, and `held` `[S, k]` says
    whether a segment holds each of its k best classes; else both are None.
    """

    scores: dict[str, float]
    seconds: float
    spans: Spans
    classes: Classes
    class_scores: Array
    events: tuple[Event, ...] | None = None
    known: bool | None = None
    warnings: tuple[str, ...] = ()
    present: dict[str, float] | None = None
    held: npt.NDArray[np.bool_] | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.to_dict().items())
        return f"Prediction({shown})"

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of all classes."""
        return tuple(self.scores)

    @cached_property
    def label(self) -> str:
        """The class with the highest score."""
        return max(self.scores, key=lambda name: self.scores[name])

    @property
    def score(self) -> float:
        """The highest score."""
        return self.scores[self.label]

    def top(self, most: int = 3) -> list[tuple[str, float]]:
        """The `most` classes with the highest scores, best first."""
        return sorted(self.scores.items(), key=lambda item: -item[1])[:most]

    @cached_property
    def segments(self) -> "pd.DataFrame":
        """A row a segment: `start`, `end` [s], and one column a class; NaN where a class's score was not kept."""
        import pandas as pd  # takes a third of a second, and most callers need no table

        scores = np.full((len(self.spans), len(self.scores)), np.nan, np.float32)
        np.put_along_axis(scores, self.classes, self.class_scores, axis=1)
        table = pd.DataFrame(scores, columns=list(self.scores))
        table.insert(0, "start", self.spans[:, 0])
        table.insert(1, "end", self.spans[:, 1])
        return table

    def best_segments(self) -> Iterator[list[Event]]:
        """Each segment's kept classes as events, best first."""
        labels = self.labels
        rows = zip(self.spans.tolist(), self.classes.tolist(), self.class_scores.tolist(), strict=True)
        for (start, end), classes, scores in rows:
            yield [Event(labels[k], start, end, score) for k, score in zip(classes, scores, strict=True)]

    def held_by_segment(self) -> Iterator[list[Event]]:
        """Of each segment its kept classes as events, best first; of a classifier whose recordings may hold several
        classes or none, only those that the segment holds."""
        for number, best in enumerate(self.best_segments()):
            yield (
                best if self.held is None else [one for one, held in zip(best, self.held[number], strict=True) if held]
            )

    def to_dict(self, most: int | None = None) -> dict[str, Any]:
        """Plain values: `seconds`, `label`, `score`, `present`, `known` and `warnings` where there are any, `scores`:
        of all classes, or of the `most` best, best first."""
        return {
            "seconds": self.seconds,
            "label": self.label,
            "score": self.score,
            **({} if self.present is None else {"present": self.present}),
            **({} if self.known is None else {"known": self.known}),
            **({"warnings": list(self.warnings)} if self.warnings else {}),
            "scores": self.scores if most is None else dict(self.top(most)),
        }


def best_classes(scores: Array, most: int | None = None) -> tuple[Classes, Array]:
    """Scores of segments `[S, K]` -> the numbers of each segment's `most` best classes, best first, and their scores:
    both `[S, most]`."""
    if most == 1:
        classes = scores.argmax(axis=1)[:, None]
    else:
        classes = np.argsort(-scores, axis=1, kind="stable")[:, :most].copy()
    return classes, np.take_along_axis(scores, classes, axis=1)


def relative_scores(recipe: "Recipe") -> tuple[str, ...]:
    """A warning about the scores of zero-shot classification; none for other classifiers."""
    if recipe.head.name != "zeroshot":
        return ()
    return ("the scores compare these labels with each other: one is always the highest, even where none fits.",)
