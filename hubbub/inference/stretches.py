"""Explain long recordings: the stretches in which a class is strongest, each with a map of its own.

One map of minutes is a smear, and needs memory for all of it. So the recording is scored once as a stream, and only the
stretches around its highest-scoring segments are decoded again and explained.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hubbub.audio import decode, waves
from hubbub.classifier.base import Classifier
from hubbub.classifier.prediction import Prediction
from hubbub.inference.explain import ExplainError, Explanation, check_label, explain
from hubbub.inference.predict import pieces
from hubbub.inference.scoring import Scorer

__all__ = ["MOST", "STRETCH_S", "WHOLE_S", "Strongest", "explain_strongest"]

#: A recording up to this length is explained as a whole [s].
WHOLE_S = 20.0
#: The length of a stretch, or that of a segment where it is longer [s], and the most stretches.
STRETCH_S, MOST = 5.0, 3
#: A stretch counts where its best segment has this share of the highest score.
LEAST_SHARE = 0.5
#: Classes of each segment that are kept where the class to explain is not known before the end.
KEPT = 20

Scores = npt.NDArray[np.float32]
Spans = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Strongest:
    """The explanation of `label` in a recording whose `prediction` is of all of it: of the whole where it is short,
    else of its strongest stretches, which do not overlap, the strongest first."""

    prediction: Prediction
    label: str
    parts: tuple[Explanation, ...]

    @property
    def is_whole(self) -> bool:
        return self.prediction.seconds <= WHOLE_S


def explain_strongest(
    classifier: Classifier,
    file: str | Path,
    label: str | None = None,
    most: int = MOST,
    *,
    occlusion: bool = False,
) -> Strongest:
    """Explain `label`, by default the class with the highest score, in a recording of any length; by `occlusion` as
    `explain` does.

    Segments that are known rank first (see `Classifier.is_known`), and digital silence does not count. Raises what
    `explain` raises, and `ExplainError` for a long recording of digital silence.
    """
    check_label(classifier, label)
    scorer = Scorer(classifier, top=KEPT)
    own: list[Scores] = []
    ranks: list[npt.NDArray[np.int64]] = []
    for piece in pieces(classifier, file):
        if len(piece.segments):
            outputs = classifier.outputs(piece.segments)
            scores, _ = scorer.add(outputs, piece.segments, piece.spans)
            own.append(scores[:, classifier.labels.index(label)] if label else scores[:, 0])
            known = classifier.is_known(classifier.familiarity(scores, outputs, piece.segments))
            rank = np.where(waves.is_silent(piece.segments), 0, 1 if known is None else 1 + known)
            ranks.append(np.repeat(rank, classifier.frames)[classifier.frame_spans(piece.spans)[1]])
    prediction = scorer.prediction(piece.seconds, piece.warnings)
    if prediction.seconds <= WHOLE_S:
        whole = explain(classifier, file, label=label, occlusion=occlusion)
        return Strongest(whole.prediction, whole.label, (whole,))
    chosen = label or prediction.label
    values = np.concatenate(own) if label else _kept(prediction, classifier.labels.index(chosen))
    rank = np.concatenate(ranks)
    if not rank.any():
        raise ExplainError(f"{file} is digital silence to its end: nothing in it can be explained. Give a sound.")
    length = max(STRETCH_S, classifier.recipe.windows.length / classifier.rate_hz)
    starts = _strongest(prediction.spans, np.where(rank == rank.max(), values, 0), length, prediction.seconds, most)
    parts = []
    for start in starts:
        wave = decode.load(file, classifier.rate_hz, start, start + length)
        part = explain(classifier, wave, classifier.rate_hz, chosen, occlusion=occlusion)
        parts.append(replace(part, start=start))
    return Strongest(prediction, chosen, tuple(parts))


def _kept(prediction: Prediction, index: int) -> Scores:
    """A class's score in each segment `[S]`; 0 where it was not among the best."""
    return np.where(prediction.classes == index, prediction.class_scores, 0).max(axis=1)


def _strongest(spans: Spans, scores: Scores, length: float, seconds: float, most: int) -> list[float]:
    """The starts [s] of stretches around the best segments, on the segments' own grid, the best first."""
    chosen: list[float] = []
    order = np.argsort(-scores, kind="stable")
    for at in order[scores[order] >= LEAST_SHARE * scores[order[0]]]:
        middle = np.clip(spans[at].mean() - length / 2, 0, max(seconds - length, 0))
        start = float(spans[np.searchsorted(spans[:, 0], middle + 1e-9) - 1, 0]) if middle > 0 else 0.0
        if all(abs(start - other) >= length for other in chosen):
            chosen.append(start)
            if len(chosen) == most:
                break
    return chosen
