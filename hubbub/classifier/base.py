"""What every classifier does with a recording, whatever runs its network: windows, scores, pooling, prediction.

`TorchClassifier` runs it with torch, `OnnxClassifier` with onnxruntime; both inherit from `Classifier`, so windows,
pooling and predictions are the same code. This module knows neither torch nor files of weights.
"""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Self, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from hubbub.audio import decode, image_files, waves, windows
from hubbub.classifier import pooling as pooling_
from hubbub.classifier.calibration import Confidence, familiarity
from hubbub.config.recipe import Recipe
from hubbub.errors import HubbubError

__all__ = ["AnswerError", "ClassifierError", "PRECOMPUTED", "SAVED_IN", "Prediction", "Classifier"]

Array = npt.NDArray[np.float32]
#: The endings of files that are spectrograms, or pictures of them.
PRECOMPUTED = (*image_files.EXTENSIONS, ".npy")
#: The folder in a run folder that holds the saved classifier.
SAVED_IN = "classifier"


@dataclass(frozen=True)
class Prediction:
    """What a classifier heard in one recording.

    `scores` holds one probability a class for the whole clip, `segments` a table with `start`, `end` [s] and one
    column a class; `label` is the class with the highest score. `known` is False where the recording is probably none
    of the classes, None where the classifier cannot tell. `warnings` are sentences to put beside the answer.
    """

    label: str
    score: float
    scores: dict[str, float]
    segments: pd.DataFrame = field(repr=False)
    seconds: float
    known: bool | None = None
    warnings: tuple[str, ...] = ()

    def top(self, most: int = 3) -> list[tuple[str, float]]:
        """The `most` classes with the highest scores, best first."""
        return sorted(self.scores.items(), key=lambda item: -item[1])[:most]


class ClassifierError(HubbubError):
    """A saved classifier that is not whole, or a wave it cannot take."""


class AnswerError(ClassifierError):
    """A classifier whose answer is none, whatever it was asked: not the fault of who asks."""


class Classifier(ABC):
    """Recordings in, class probabilities out. A kind of classifier says how it hears: `_hear` and `_last_layer`."""

    recipe: Recipe
    labels: tuple[str, ...]
    activation: pooling_.Activation
    #: What it was trained on and what must be said beside its answers.
    card: dict[str, Any]
    #: How sure it may be, as validation found.
    confidence: Confidence = Confidence()

    @abstractmethod
    def to(self, device: str) -> Self:
        """Move to a device, `auto` being the fastest it can use here. Raises `ClassifierError`."""

    @property
    @abstractmethod
    def batch(self) -> int:
        """The most segments heard in one pass."""

    @abstractmethod
    def _forward(self, segments: Array) -> Array:
        """Segments `[B, N]` of one view, or what stands for them -> their evidence `[B, ...]`."""

    @abstractmethod
    def _last_layer(self, outputs: Array) -> Array:
        """Evidence of one view `[S, ...]`, pooled where the head is for such -> logits `[S, K]`."""

    @property
    def rate_hz(self) -> int:
        return self.recipe.audio.rate_hz

    @property
    def hop(self) -> int:
        """Samples from one segment to the next where the classifier answers."""
        return self.recipe.evaluate.hop or self.recipe.windows.hop

    @property
    def takes_sound(self) -> bool:
        """Whether it takes sound; one that was trained on spectrograms of unknown making does not."""
        return self.recipe.frontend.name != "precomputed"

    @property
    def endings(self) -> tuple[str, ...]:
        """The endings of files that it takes: sounds, or pictures and spectrograms where it takes only such."""
        return decode.EXTENSIONS if self.takes_sound else PRECOMPUTED

    @property
    def views(self) -> list[tuple[windows.Level, float]]:
        """The forms each segment is heard in: its level, and the share of its length it is rolled to the right."""
        return list(itertools.product(self.recipe.windows.levels, (0.0, *self.recipe.evaluate.shifts)))

    def cut(self, wave: Array) -> Array:
        """Wave `[T]` at `rate_hz` -> segments `[S, N]`, as they are when it answers."""
        settings = self.recipe.windows
        return windows.cut(wave, settings.length, self.hop, settings.pad)

    def spans(self, samples: int) -> npt.NDArray[np.float64]:
        """Start and end of each segment that `cut` makes of a wave of `samples`: `[S, 2]` in seconds."""
        return windows.spans(samples, self.rate_hz, self.recipe.windows.length, self.hop)

    def outputs(self, segments: Array) -> Array:
        """Segments `[S, N]` -> what a decision is made from: embeddings, or logits where these are enough.

        Those of all `views` stand side by side: `[S, views * D]` or `[S, views * K]`.
        """
        heard = []
        for start in range(0, len(segments), self.batch):
            some = segments[start : start + self.batch]
            heard.append(np.concatenate([self._forward(_seen(some, *view)) for view in self.views], axis=1))
        return np.concatenate(heard)

    @property
    def row_pooling(self) -> pooling_.EmbeddingPooling:
        """What of its segments' rows (see `weigh`) decides about a clip: their mean, their largest values, or both."""
        if self._pools_embeddings:
            return cast(pooling_.EmbeddingPooling, self.recipe.head.pool)
        return "max" if self.recipe.evaluate.pooling == "max" else "mean"

    @property
    def _pools_embeddings(self) -> bool:
        return self.recipe.head.name != "none" and self.recipe.head.pool != "segment"

    def predict_proba(self, outputs: Array, offsets: npt.ArrayLike) -> tuple[Array, Array]:
        """Evidence `[S, ...]` of clips that start at `offsets` `[C]` -> probabilities `[S, K]` and `[C, K]`.

        Views are averaged as segments are: their logits under `mean_logit`, else their probabilities. A head on
        pooled embeddings scores a segment as a clip of one segment. Last, both are tempered (`confidence`).
        """
        by_segment, rows = self.segment_proba(outputs)
        return by_segment, self.clip_proba(pooling_.pool_embeddings(rows, offsets, self.row_pooling))

    def segment_proba(self, outputs: Array) -> tuple[Array, Array]:
        """Evidence `[S, ...]` -> probabilities `[S, K]`, and the rows `[S, M]` that a clip's decision is pooled from:
        embeddings for a head on pooled ones, logits under `mean_logit`, else probabilities.

        Pooled as `gathering` says, `decide` takes them; so a recording need not be held whole to be judged.
        """
        if self._pools_embeddings:
            each = pooling_.pool_embeddings(outputs, np.arange(len(outputs)), self.row_pooling)
            by_segment, rows = self._decided(each), outputs
        else:
            logits = [self._last_layer(view) for view in np.split(outputs, len(self.views), axis=1)]
            if self.recipe.evaluate.pooling == "mean_logit":
                rows = _mean(logits)
                by_segment = pooling_.probabilities(rows, self.activation)
            else:
                scores = [pooling_.probabilities(view, self.activation) for view in logits]
                by_segment, rows = _mean(scores), np.concatenate(scores, axis=1)
        return self._answer(pooling_.apply_temperature(by_segment, self.confidence.segment, self.activation)), rows

    def clip_proba(self, pooled: Array) -> Array:
        """Pooled rows of clips, `[C, M]` or for mean+max `[C, 2 M]` -> their probabilities `[C, K]`."""
        return self._answer(pooling_.apply_temperature(self._decided(pooled), self.confidence.clip, self.activation))

    def _answer(self, scores: Array) -> Array:
        """The same `[N, K]`. Raises `AnswerError` where it is no answer to give: NaN, or of other classes."""
        if scores.shape[1] != len(self.labels):
            raise AnswerError(
                f"this classifier has {len(self.labels)} labels and gives {scores.shape[1]} scores. Train or export it "
                "again."
            )
        if not np.isfinite(scores).all():
            raise AnswerError(
                "this classifier's answer is not a finite number: its weights are damaged, or it was trained with too "
                "high a learning rate. Train it again, or copy it again from where it came."
            )
        return scores

    def is_known(self, by_segment: Array, segments: npt.NDArray[Any]) -> npt.NDArray[np.bool_] | None:
        """Probabilities of segments `[S, K]`, and these `[S, ...]` -> whether each reaches the threshold that
        validation set, `[S]`: whether it is like what was learnt, which digital silence never is. None where none was
        set. A recording is known where one of its segments is."""
        if self.confidence.threshold is None:
            return None
        found = familiarity(by_segment, self.recipe.evaluate.unknown, self.activation)
        return (found >= self.confidence.threshold) & ~waves.silent(segments)

    def _decided(self, pooled: Array) -> Array:
        """The same before it is tempered."""
        if self._pools_embeddings:
            parts = pooled.reshape(len(pooled), len(self.row_pooling.split("+")), len(self.views), -1)
            views = [parts[:, :, view].reshape(len(pooled), -1) for view in range(len(self.views))]
            return _mean([pooling_.probabilities(self._last_layer(view)) for view in views])
        pooling = self.recipe.evaluate.pooling
        views = [pooled] if pooling == "mean_logit" else np.split(pooled, len(self.views), axis=1)
        return _mean([pooling_.normalise(view, pooling, self.activation) for view in views])

    def read(
        self, source: str | Path | BinaryIO | decode.Sound | npt.ArrayLike, rate_hz: int | None = None
    ) -> tuple[Array, float, tuple[str, ...]]:
        """What `classify` takes for a sound, or one that is being decoded -> its wave `[T]` at the classifier's rate,
        how long it is [s], and what is odd about it."""
        if not self.takes_sound:
            raise ClassifierError(
                "this classifier was trained on spectrograms or pictures, and how they were made is not known: it "
                "takes only such, not sound. To have it hear, train on what hubbub data images or features made."
            )
        name = str(source) if isinstance(source, str | Path) else "the wave"
        try:
            if isinstance(source, str | Path | decode.Sound) or hasattr(source, "read"):
                with nullcontext(source) if isinstance(source, decode.Sound) else decode.opened(source) as sound:  # type: ignore[arg-type]
                    if rate_hz not in (None, sound.rate_hz):
                        raise ClassifierError(
                            f"rate_hz {waves.shown(rate_hz)}: {name} says {sound.rate_hz} Hz itself. Leave rate_hz out."
                        )
                    wave, own_rate = np.concatenate(list(sound.blocks)), sound.rate_hz
                warnings = sound.warnings
            else:
                wave, own_rate, warnings = _checked(source, rate_hz)
            resampled = decode.resample(wave, own_rate, self.rate_hz)
            waves.refuse_short(len(wave), own_rate)
        except waves.WaveError as error:
            raise ClassifierError(f"{name} {error}") from error
        seconds = len(wave) / own_rate
        return resampled, seconds, (*warnings, *waves.padded(seconds, self.recipe.windows.length / self.rate_hz))

    def classify(self, source: str | Path | BinaryIO | npt.ArrayLike, rate_hz: int | None = None) -> Prediction:
        """A file, an open stream or a wave -> `Prediction`.

        A wave is `[T]` or `[T, channels]`, floats in [-1, 1] or 8, 16 or 32-bit integers, and needs its `rate_hz`;
        files carry theirs. `[channels, T]` is turned where that is unmistakable. Any rate, number of channels and
        length from 10 ms will do. A file may also be a picture of a spectrogram, or a spectrogram (.npy, `[F, W]`),
        made as those it was trained on; where that is not known, its `seconds` are 0. Raises `AudioError`,
        `PictureError` or `ClassifierError`.
        """
        warnings: tuple[str, ...] = ()
        if isinstance(source, str | Path) and Path(source).suffix.lower() in PRECOMPUTED:
            segments = self.load_precomputed(Path(source))
            seconds = self.precomputed_seconds
            spans = np.array([[0.0, seconds]])
        else:
            wave, seconds, warnings = self.read(source, rate_hz)
            segments, spans = self.cut(wave), self.spans(len(wave))
        by_segment, clip = self.predict_proba(self.outputs(segments), [0])
        table = pd.DataFrame(by_segment, columns=list(self.labels))
        table.insert(0, "start", spans[:, 0])
        table.insert(1, "end", spans[:, 1])
        scores = dict(zip(self.labels, (float(p) for p in clip[0]), strict=True))
        label = max(scores, key=lambda name: scores[name])
        knows = self.is_known(by_segment, segments)
        known = waves.known(None if knows is None else bool(knows.any()), warnings)
        return Prediction(label, scores[label], scores, table, seconds, known, warnings)

    @property
    def precomputed_seconds(self) -> float:
        """How much sound a picture or a spectrogram is of; 0 where that is not known."""
        return self.recipe.windows.length / self.rate_hz if self.recipe.frontend.name == "logmel" else 0.0

    def load_precomputed(self, file: Path) -> npt.NDArray[Any]:
        """A picture or a spectrogram -> the one segment that it is. Raises `ClassifierError` where it takes sound."""
        raise ClassifierError(f"{file} is a picture or a spectrogram, and this classifier takes sound. Give it that.")


def _seen(segments: Array, level: windows.Level, shift: float) -> Array:
    """A copy of segments `[B, N]` in one of the views."""
    seen = windows.at_level(segments, level)
    return np.roll(seen, round(shift * seen.shape[-1]), axis=-1) if shift else np.array(seen)


def _checked(given: npt.ArrayLike, rate_hz: int | None) -> tuple[Array, int, list[str]]:
    """An array -> mono `[T]`, its rate, and what is odd about it. Raises `WaveError` and `ClassifierError`."""
    samples, mixer = waves.as_wave(given), waves.Mixer()
    if rate_hz is None:
        raise ClassifierError("a wave does not say its sample rate. Give rate_hz, e.g. classify(wave, rate_hz=44100).")
    return np.concatenate([mixer.feed(samples), mixer.end()]), rate_hz, mixer.warnings


def _mean(arrays: Sequence[Array]) -> Array:
    return arrays[0] if len(arrays) == 1 else np.mean(arrays, axis=0, dtype=np.float32)
