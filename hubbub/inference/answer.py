"""TO BE DESCRIBED."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from hubbub.inference.events import Event, Merging

__all__ = ["Answer", "Asked", "Gist"]


Array = npt.NDArray[np.float32]


Spans = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Asked:
    """What of each segment is kept: its `top` classes; and how events are made of them, None: none are."""

    top: int = 1
    merging: Merging | None = None


@dataclass(frozen=True)
class Gist:
    """What was heard in a recording of any length.

    `best` `[S, top]` are the numbers of each segment's best classes, best first, `best_scores` their scores, `spans`
    `[S, 2]` its start and end [s]. `events` is None where none were asked for. Above `highest_hz` nothing was heard.
    `known` is False where it is probably none of the classes, None where the classifier cannot tell. `warnings` are
    sentences to put beside the answer.
    """

    labels: tuple[str, ...] = field(repr=False)
    clip: Array = field(repr=False)
    seconds: float
    spans: Spans = field(repr=False)
    best: npt.NDArray[np.intp] = field(repr=False)
    best_scores: Array = field(repr=False)
    events: tuple[Event, ...] | None = field(repr=False)
    highest_hz: float
    known: bool | None = None
    warnings: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return self.labels[int(self.clip.argmax())]

    @property
    def score(self) -> float:
        return float(self.clip.max())

    @property
    def scores(self) -> dict[str, float]:
        """One probability a class for the whole recording."""
        return dict(zip(self.labels, map(float, self.clip), strict=True))

    def segments(self) -> Iterator[list[Event]]:
        """Each segment's best classes, best first."""
        for (start, end), classes, scores in zip(
            self.spans.tolist(), self.best.tolist(), self.best_scores.tolist(), strict=True
        ):
            yield [Event(self.labels[k], start, end, score) for k, score in zip(classes, scores, strict=True)]


@dataclass(frozen=True)
class Answer:
    """What was heard in one file, or why it could not be heard."""

    file: str
    heard: Gist | None
    error: str = ""
    model: str = ""

    def to_json(self) -> str:
        """One JSON object on one line: `hubbub classify --json` prints one a file."""
        return json.dumps(self.to_dict(), allow_nan=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain values: `file`, `seconds`, `label`, `score`, `known` where the classifier can tell,
        `warnings` where there are any, `scores`, `segments`, `events` where they were asked for, `model`; or `file`,
        `error`."""
        if self.heard is None:
            return {"file": self.file, "error": self.error}
        heard = self.heard
        events = {} if heard.events is None else {"events": [_plain(event) for event in heard.events]}
        return {
            "file": self.file,
            "seconds": heard.seconds,
            "label": heard.label,
            "score": heard.score,
            **({} if heard.known is None else {"known": heard.known}),
            **({"warnings": list(heard.warnings)} if heard.warnings else {}),
            "scores": heard.scores,
            "segments": [_plain(best[0]) for best in heard.segments()],
            **events,
            "model": self.model,
        }


def _plain(event: Event) -> dict[str, Any]:
    return {"start": event.start, "end": event.end, "label": event.label, "score": event.score}
