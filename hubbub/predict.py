"""Many recordings to answers: files and folders in, one answer or one error each, never a stop in between."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubbub.audio import EXTENSIONS
from hubbub.errors import HubbubError
from hubbub.windows import Heard

if TYPE_CHECKING:
    from hubbub.hearing import Hearing

__all__ = ["Answer", "answers", "default_model", "find"]


class PredictError(HubbubError):
    """Nothing to classify, or nothing to classify with."""


@dataclass(frozen=True)
class Answer:
    """What was heard in one file, or why it could not be heard."""

    file: str
    heard: Heard | None
    error: str = ""
    model: str = ""

    def to_json(self) -> str:
        """One JSON object on one line: `hubbub classify --json` prints one a file."""
        return json.dumps(self.to_dict(), allow_nan=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain values: `file`, `seconds`, `label`, `score`, `known` (where the classifier can tell), `scores`,
        `segments`, `model`; or `file`, `error`."""
        if self.heard is None:
            return {"file": self.file, "error": self.error}
        heard = self.heard
        labels = list(heard.scores)
        best = heard.segments[labels].to_numpy()
        segments = [
            {"start": float(start), "end": float(end), "label": labels[k], "score": float(row[k])}
            for start, end, row, k in zip(
                heard.segments["start"], heard.segments["end"], best, best.argmax(axis=1), strict=True
            )
        ]
        return {
            "file": self.file,
            "seconds": heard.seconds,
            "label": heard.label,
            "score": heard.score,
            **({} if heard.known is None else {"known": heard.known}),
            "scores": heard.scores,
            "segments": segments,
            "model": self.model,
        }


def find(paths: Iterable[str], endings: tuple[str, ...] = EXTENSIONS) -> list[str]:
    """Files as given, folders as the files below them with such endings, in order. Raises `PredictError` where nothing
    is left."""
    found: list[str] = []
    for path in paths:
        if Path(path).is_dir():
            found += sorted(str(p) for p in Path(path).rglob("*") if p.suffix.lower() in endings and p.is_file())
        else:
            found.append(path)
    if not found:
        raise PredictError(f"nothing to classify in {', '.join(paths)}. Known endings: {', '.join(endings)}.")
    return found


def answers(model: "Hearing", paths: Iterable[str], name: str = "") -> Iterator[Answer]:
    """Classify each file; one that cannot be read gives its error, and the rest go on."""
    for path in paths:
        try:
            yield Answer(path, model.classify(path), model=name)
        except HubbubError as error:
            yield Answer(path, None, str(error))


def default_model() -> str:
    """The model used where none is named: YAMNet's own classes, where its weights are at hand."""
    from hubbub.models.yamnet import find_weights

    if find_weights() is None:
        raise PredictError(
            "no --model was given, and YAMNet's weights are not at hand. Train one (hubbub demo makes runs/demo), "
            "or fetch YAMNet: hubbub data get yamnet."
        )
    return "yamnet"
