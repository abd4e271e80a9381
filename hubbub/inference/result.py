"""What is asked of each file, and its result: a prediction, or why there is none."""

import json
from dataclasses import dataclass
from typing import Any

from hubbub.audio.recorded import Recorded
from hubbub.classifier.prediction import Prediction
from hubbub.inference.events import EventSettings

__all__ = ["FileResult", "PredictOptions"]


@dataclass(frozen=True)
class PredictOptions:
    """How many of each segment's best classes are kept, how segments become events (None: no events), and how many of a
    recording's scores its JSON holds (None: all)."""

    top: int = 1
    events: EventSettings | None = None
    scores: int | None = None


@dataclass(frozen=True)
class FileResult:
    """The prediction for a file, or the error why there is none.

    `model` is the classifier's name. The file holds no sound above `highest_hz` that the classifier uses. `scores` is
    how many scores `to_dict` gives; None: all. `recorded` says when the recording began, where that is known.
    """

    file: str
    prediction: Prediction | None
    error: str = ""
    model: str = ""
    highest_hz: float = 0.0
    scores: int | None = None
    recorded: Recorded | None = None

    def clock(self, seconds: float) -> str:
        """The time `seconds` after the beginning of the recording, in ISO 8601; "" where it is not known."""
        return self.recorded.clock(seconds) if self.recorded else ""

    def to_json(self) -> str:
        """One JSON object on one line, as `hubbub classify --json` prints it."""
        return json.dumps(self.to_dict(), allow_nan=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain values: `file`, `recorded` (ISO 8601) where it is known, what `Prediction.to_dict` gives, `segments`
        with their best classes (and where these may be several, those `present`), `events` where they were asked for,
        `model`; or `file` and `error`."""
        if self.prediction is None:
            return {"file": self.file, "error": self.error}
        prediction = self.prediction
        events = {} if prediction.events is None else {"events": [event.to_dict() for event in prediction.events]}
        segments = [best[0].to_dict() for best in prediction.best_segments()]
        if prediction.held is not None:
            held = prediction.held_by_segment()
            segments = [
                one | {"present": {e.label: e.score for e in own}} for one, own in zip(segments, held, strict=True)
            ]
        return {
            "file": self.file,
            **({"recorded": self.clock(0.0)} if self.recorded else {}),
            **prediction.to_dict(self.scores),
            "segments": segments,
            **events,
            "model": self.model,
        }
