"""The predictions of a classifier on a part of the clips: training, validation or test."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hubbub.data import cache
from hubbub.data.cache import Segments
from hubbub.errors import HubbubError
from hubbub.experiment.fit import Rows
from hubbub.experiment.prepare import Prepared
from hubbub.experiment.typicality import part_typicality

if TYPE_CHECKING:
    from hubbub.classifier.torch_classifier import TorchClassifier

__all__ = ["CellError", "PartPredictions", "predict_part"]

Array = npt.NDArray[np.float32]
Targets = npt.NDArray[Any]
Typical = npt.NDArray[np.float64]


class CellError(HubbubError):
    """A cell whose predictions are incomplete or not finite."""


@dataclass(frozen=True)
class PartPredictions:
    """The clips `rows` of the table, their segments, and the probabilities of both; `seconds` is the time from decoded
    sound to these, a frozen network's embeddings included. `owner` `[S]` is the place in `rows` of each row of
    `by_segment`, which are frames for a frame-wise network; `segment_targets` are theirs. `typicality` is that of
    segments and that of clips, where open-set rejection needs it, NaN for digital silence."""

    rows: Rows
    segments: Segments
    owner: Rows
    segment_targets: Targets
    clip_targets: Targets
    by_segment: Array
    by_clip: Array
    seconds: float
    typicality: tuple[Typical, Typical] | None = None


def predict_part(prepared: Prepared, model: "TorchClassifier", rows: Rows) -> PartPredictions:
    """Predicts the clips `rows`. Raises `CellError` where a prediction is missing or not finite."""
    began = time.perf_counter()
    if prepared.embedded is not None:
        segments = prepared.embedded.of(rows)
    else:
        segments = cache.outputs(prepared.sound, model, rows)
    spans = np.concatenate([prepared.sound.spans(int(row), model) for row in rows])
    inside = model.frame_spans(spans)[1]
    by_segment, by_clip = model.predict_proba(segments.values, segments.offsets[:-1], inside)
    owner = np.repeat(segments.clip, model.frames)[inside]
    if len(by_clip) != len(rows) or not np.isfinite(by_clip).all():
        raise CellError(f"{len(rows)} clips were listed, {len(by_clip)} predicted: figures over fewer are wrong.")
    seconds = time.perf_counter() - began + segments.seconds
    typicality = part_typicality(prepared, model, rows, segments)
    targets = prepared.segment_targets(rows), prepared.targets[rows]
    return PartPredictions(rows, segments, owner, *targets, by_segment, by_clip, seconds, typicality)
