"""The base of all classifiers: windows, scores, pooling and prediction, whatever runs the network.

`TorchClassifier` runs it with torch, `OnnxClassifier` with onnxruntime; both inherit from `Classifier`, so that all
else is the same code. This module knows neither torch nor files of weights.
"""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Self, cast

import numpy as np
import numpy.typing as npt

from hubbub.audio import decode, image_files, waves, windows
from hubbub.classifier import event_thresholds, pooling
from hubbub.classifier.calibration import Confidence, familiarity, pool_familiarity
from hubbub.classifier.frames import frame_spans, frames_of
from hubbub.classifier.known_outliers import KnownOutliers
from hubbub.classifier.prediction import Embeddings, Prediction, best_classes, relative_scores
from hubbub.classifier.read_sound import ClassifierError, read_sound
from hubbub.classifier.typicality import Typicality
from hubbub.config.recipe import Recipe

__all__ = ["PRECOMPUTED", "SAVED_IN", "Classifier", "ClassifierError", "InvalidScoresError"]

Array = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
#: The endings of files that are spectrograms, or images of them.
PRECOMPUTED = (*image_files.EXTENSIONS, ".npy")
#: Classes that `repr` names.
SAID, SHOWN = ("trained_on", "evaluated", "events"), 10
#: The folder in a run folder that holds the saved classifier.
SAVED_IN = "classifier"


class InvalidScoresError(ClassifierError):
    """Scores that are not finite or not one a label: the classifier is at fault, not its input."""


class Classifier(ABC):
    """Recordings in, class probabilities out. A subclass runs the network: `forward` and `head_logits`."""

    recipe: Recipe
    labels: tuple[str, ...]
    activation: pooling.Activation
    #: What it was trained on, and caveats about its predictions.
    card: dict[str, Any]
    #: Temperatures and the threshold of open-set rejection, fitted on validation clips.
    confidence: Confidence = Confidence()
    #: What embeddings say of how typical a sound is, for open-set rejection by distance or outliers, else None.
    typicality: Typicality | KnownOutliers | None = None
    #: How the network computes: in single precision, or in shorter numbers where they were asked for.
    precision: str = "single"

    @abstractmethod
    def to(self, device: str) -> Self:
        """Move to a device; `auto` is the fastest that it can use here. Raises `ClassifierError`."""

    @property
    @abstractmethod
    def batch(self) -> int:
        """The most segments that go through the network in one pass."""

    @abstractmethod
    def forward(self, segments: Array) -> Array:
        """Segments `[B, ...]` in one view -> their embeddings or logits `[B, ...]`; see `outputs`."""

    @property
    def gives_embeddings(self) -> bool:
        """Whether `forward` gives embeddings, and not logits."""
        return False

    def embeddings_and_logits(self, segments: Array) -> tuple[Array, Array]:
        """Segments `[B, ...]` in one view -> embeddings `[B, D]` and logits `[B, K]`, where `forward` gives only
        logits. Raises `ClassifierError` where there are no embeddings."""
        raise ClassifierError("this classifier gives no embeddings. Load the run folder or the file it came from.")

    @abstractmethod
    def head_logits(self, outputs: Array) -> Array:
        """Outputs of one view `[S, ...]`, pooled where the head is on pooled embeddings -> logits `[S, K]`."""

    def segment_embeddings(self, segments: Array) -> Array:
        """Segments `[B, ...]` as they were recorded -> embeddings `[B, D]`: the input of the last layer, or of the
        head. Raises `ClassifierError` where there are none."""
        return self.embeddings_and_logits(segments)[0]

    def __repr__(self) -> str:
        recipe, card = self.recipe, self.card
        shown = ", ".join(self.labels[:SHOWN]) + (", ..." if len(self.labels) > SHOWN else "")
        network = recipe.network.name if recipe.head.name == "none" else f"{recipe.head.name} on {recipe.network.name}"
        window, hop = recipe.windows.length / self.rate_hz, self.hop / self.rate_hz
        lines = [
            f"{type(self).__name__} of {len(self.labels)} classes: {shown}",
            f"{network}; segments of {window:.2f} s every {hop:.2f} s at {self.rate_hz} Hz",
            *(f"{name.replace('_', ' ')}: {card[name]}" for name in SAID if card.get(name)),
            *(f"caveat: {caveat}" for caveat in card.get("not_comparable", ())),
        ]
        return "\n  ".join(lines)

    @property
    def rate_hz(self) -> int:
        return self.recipe.audio.rate_hz

    @property
    def hop(self) -> int:
        """Samples from one segment to the next in predictions."""
        return self.recipe.evaluate.hop or self.recipe.windows.hop

    @property
    def takes_sound(self) -> bool:
        """Whether it takes sound. One that was trained on spectrograms of unknown settings does not."""
        return self.recipe.frontend.name != "precomputed"

    @property
    def endings(self) -> tuple[str, ...]:
        """The endings of files that it takes: sounds, or else images and spectrograms."""
        return decode.EXTENSIONS if self.takes_sound else PRECOMPUTED

    @property
    def views(self) -> list[tuple[windows.Level, float, float]]:
        """Views of each segment: its level, its speed, and the share of its length that it is rolled to the right."""
        settings = self.recipe.windows
        return list(itertools.product(settings.levels, settings.speeds, (0.0, *self.recipe.evaluate.shifts)))

    def cut(self, wave: Array) -> Array:
        """Wave `[T]` at `rate_hz` -> segments `[S, N]`, as for predictions."""
        settings = self.recipe.windows
        return windows.cut(wave, settings.length, self.hop, settings.pad)

    def spans(self, samples: int) -> Doubles:
        """Start and end of each segment that `cut` makes of a wave of `samples`: `[S, 2]` in seconds."""
        return windows.spans(samples, self.rate_hz, self.recipe.windows.length, self.hop)

    @property
    def frames(self) -> int:
        """The number of rows of scores of a segment: more than one for a frame-wise network."""
        return frames_of(self.recipe)

    def frame_spans(self, spans: Doubles) -> tuple[Doubles, npt.NDArray[np.bool_]]:
        """Start and end of segments `[S, 2]` [s] -> those of their rows of scores, as `frames.frame_spans`."""
        return frame_spans(self.recipe, spans)

    def outputs(self, segments: Array) -> Array:
        """Segments `[S, N]` -> what scores are computed from: embeddings, or logits where these suffice.

        Those of all `views` stand side by side: `[S, views * D]` or `[S, views * K]`. Behind logits follows, where the
        classifier has one, the `typicality` of the first view.
        """
        rows = []
        for start in range(0, len(segments), self.batch):
            views = [windows.view_of(segments[start : start + self.batch], *view) for view in self.views]
            if self.typicality is not None and not self.gives_embeddings:
                embeddings, first = self.embeddings_and_logits(views[0])
                last = self.typicality.score(embeddings)[:, None].astype(np.float32)
                rows.append(np.concatenate([first, *map(self.forward, views[1:]), last], axis=1))
            else:
                rows.append(np.concatenate([self.forward(view) for view in views], axis=1))
        return np.concatenate(rows)

    def segment_typicality(self, outputs: Array) -> Doubles | None:
        """Outputs `[S, ...]` -> the typicality of each segment `[S]`; None for a classifier without."""
        if self.typicality is None or not self.gives_embeddings:
            return None if self.typicality is None else outputs[:, -1].astype(np.float64)
        return self.typicality.score(outputs[:, : outputs.shape[1] // len(self.views)])

    @property
    def row_pooling(self) -> pooling.EmbeddingPooling:
        """How a clip's rows (see `segment_proba`) are pooled: their mean, their largest values, or both."""
        if self._pools_embeddings:
            return cast(pooling.EmbeddingPooling, self.recipe.head.pool)
        return "max" if self.recipe.evaluate.pooling == "max" else "mean"

    @property
    def _pools_embeddings(self) -> bool:
        return self.recipe.head.name != "none" and self.recipe.head.pool != "segment"

    def predict_proba(
        self, outputs: Array, offsets: npt.ArrayLike, inside: npt.NDArray[np.bool_] | None = None
    ) -> tuple[Array, Array]:
        """Outputs `[S, ...]` of clips that start at `offsets` `[C]` -> probabilities `[S, K]` and `[C, K]`.

        Views are averaged as segments are: their logits under `mean_logit`, else their probabilities. A head on
        pooled embeddings scores a segment as a clip of one segment. Last, both are calibrated (`confidence`). Of a
        frame-wise network, S counts frames; those that are not `inside` the recordings (`frame_spans`) are left out.
        """
        by_segment, rows = self.segment_proba(outputs)
        starts = np.asarray(offsets, dtype=np.intp) * self.frames
        if inside is not None and not inside.all():
            by_segment, rows = by_segment[inside], rows[inside]
            starts = np.append(0, np.cumsum(inside))[starts]
        return by_segment, self.clip_proba(pooling.pool_embeddings(rows, starts, self.row_pooling))

    def segment_proba(self, outputs: Array) -> tuple[Array, Array]:
        """Outputs `[S, ...]` -> probabilities `[S, K]`, and the rows `[S, M]` that are pooled for the clip: embeddings
        for a head on pooled ones, logits under `mean_logit`, else probabilities.

        `clip_proba` takes the rows pooled as `row_pooling` says, so that a recording need not be held whole. Of a
        frame-wise network, outputs are `[S, F, K]`, and each frame has a row.
        """
        if self.frames > 1:
            outputs = outputs.reshape(-1, outputs.shape[-1])
        if self._pools_embeddings:
            each = pooling.pool_embeddings(outputs, np.arange(len(outputs)), self.row_pooling)
            by_segment, rows = self._uncalibrated(each), outputs
        else:
            if self.typicality is not None and not self.gives_embeddings:
                outputs = outputs[:, :-1]
            logits = [self.head_logits(view) for view in np.split(outputs, len(self.views), axis=1)]
            if self.recipe.evaluate.pooling == "mean_logit":
                rows = _mean(logits)
                by_segment = pooling.probabilities(rows, self.activation)
            else:
                scores = [pooling.probabilities(view, self.activation) for view in logits]
                how = self.recipe.evaluate.pooling
                by_segment = _mean(scores)
                rows = np.concatenate([pooling.rows_to_pool(view, how) for view in scores], axis=1)
        return self._calibrated(by_segment, self.confidence.segment), rows

    def clip_proba(self, pooled: Array) -> Array:
        """Pooled rows of clips, `[C, M]` or for mean+max `[C, 2 M]` -> their probabilities `[C, K]`."""
        return self._calibrated(self._uncalibrated(pooled), self.confidence.clip)

    def _calibrated(self, scores: Array, temperature: pooling.Scaling) -> Array:
        """Scores `[N, K]` after temperature scaling. Raises `InvalidScoresError` where one is not finite, or where they
        are not one a label."""
        scores = pooling.apply_temperature(scores, temperature, self.activation)
        if scores.shape[1] != len(self.labels):
            raise InvalidScoresError(
                f"this classifier has {len(self.labels)} labels and gives {scores.shape[1]} scores. Train or export it "
                "again."
            )
        if not np.isfinite(scores).all():
            raise InvalidScoresError(
                "this classifier's scores are not finite numbers: its weights are damaged, or it was trained with too "
                "high a learning rate. Train it again, or copy it again from its source."
            )
        return scores

    def familiarity(self, by_segment: Array, outputs: Array, segments: npt.NDArray[Any]) -> Doubles | None:
        """Probabilities `[S, K]` of segments, their outputs `[S, ...]`, and these segments `[S, ...]` -> the open-set
        score of each, `[S]`: the higher, the more like the classes; NaN for digital silence. None without a threshold.
        `calibration.pool_familiarity` gives that of a recording."""
        if self.confidence.threshold is None:
            return None
        how, weight = self.recipe.evaluate.unknown, self.confidence.typicality_weight
        found = familiarity(by_segment, how, self.segment_typicality(outputs), weight, self.activation)
        return np.where(waves.is_silent(segments), np.nan, found)

    @property
    def multilabel(self) -> bool:
        """Whether a recording may hold several of the classes, or none: each has a probability of its own."""
        return self.activation == "sigmoid"

    def present(self, scores: Array) -> dict[str, float] | None:
        """Probabilities of a recording `[K]` -> the classes that it holds and their scores, the likeliest first: those
        that reach their threshold (`confidence.clips`, or .5). None for a classifier of one label a recording."""
        if not self.multilabel:
            return None
        reached = scores >= np.asarray(self.confidence.clips or event_thresholds.DEFAULT, np.float32)
        return {self.labels[k]: float(scores[k]) for k in np.argsort(-scores, kind="stable").tolist() if reached[k]}

    def held(self, classes: npt.NDArray[np.intp], scores: Array) -> npt.NDArray[np.bool_] | None:
        """Numbers of classes and their scores in segments, `[S, k]` each -> whether the segment holds each, `[S, k]`;
        as `present`, by `confidence.events`."""
        if not self.multilabel:
            return None
        own = np.broadcast_to(self.confidence.events or event_thresholds.DEFAULT, len(self.labels))
        return scores >= own.astype(np.float32)[classes]

    def is_known(self, values: npt.ArrayLike | None) -> npt.NDArray[np.bool_] | None:
        """What `familiarity` gives for segments, or for recordings once it is pooled, `[N]` -> whether each belongs to
        the classes, `[N]`: it reaches the threshold of `confidence`. None without a threshold."""
        if values is None or self.confidence.threshold is None:
            return None
        return np.asarray(values) >= self.confidence.threshold

    def _uncalibrated(self, pooled: Array) -> Array:
        """As `clip_proba`, before temperature scaling."""
        if self._pools_embeddings:
            parts = pooled.reshape(len(pooled), len(self.row_pooling.split("+")), len(self.views), -1)
            views = [parts[:, :, view].reshape(len(pooled), -1) for view in range(len(self.views))]
            return _mean([pooling.probabilities(self.head_logits(view), self.activation) for view in views])
        how = self.recipe.evaluate.pooling
        views = [pooled] if how == "mean_logit" else np.split(pooled, len(self.views), axis=1)
        return _mean([pooling.normalise(view, how, self.activation) for view in views])

    def read(
        self, source: str | Path | BinaryIO | decode.Sound | npt.ArrayLike, rate_hz: int | None = None
    ) -> tuple[Array, float, tuple[str, ...]]:
        """A sound that `classify` takes, or one that is being decoded -> its wave `[T]` at the classifier's rate, its
        length [s], and warnings about it."""
        if not self.takes_sound:
            raise ClassifierError(
                "this classifier was trained on spectrograms or images, and how they were made is not known: it "
                "takes only such, not sound. For one that takes sound, train on what hubbub data images or features "
                "made."
            )
        wave, seconds, warnings = read_sound(source, rate_hz, self.rate_hz)
        window_s = self.recipe.windows.length / self.rate_hz
        return wave, seconds, (*warnings, *waves.padding_warnings(seconds, window_s), *relative_scores(self.recipe))

    def classify(self, source: str | Path | BinaryIO | npt.ArrayLike, rate_hz: int | None = None) -> Prediction:
        """A file, an open stream or a wave -> `Prediction`.

        A wave is `[T]` or `[T, channels]`, floats in [-1, 1] or 8, 16 or 32-bit integers, and needs its `rate_hz`;
        files carry theirs. `[channels, T]` is turned where that is unmistakable. Any rate, number of channels and
        length from 10 ms will do. A file may also be an image of a spectrogram, or a spectrogram (.npy, `[F, W]`),
        made as those it was trained on; where that is not known, its `seconds` are 0. Raises `AudioError`,
        `ImageError` or `ClassifierError`.
        """
        segments, spans, seconds, warnings = self._read_segments(source, rate_hz)
        rows, inside = self.frame_spans(spans)
        by_segment, clip = self.predict_proba(outputs := self.outputs(segments), [0], inside)
        each = self.familiarity(by_segment, outputs, segments)
        known = self.is_known(None if each is None else pool_familiarity(each, [0], self.recipe.evaluate.unknown))
        scores = dict(zip(self.labels, map(float, clip[0]), strict=True))
        classes, class_scores = best_classes(by_segment)
        return Prediction(
            scores, seconds, rows[inside], classes, class_scores,
            known=waves.known_unless_silent(None if known is None else bool(known.any()), warnings),
            warnings=warnings, present=self.present(clip[0]), held=self.held(classes, class_scores),
        )  # fmt: skip

    def embed(self, source: str | Path | BinaryIO | npt.ArrayLike, rate_hz: int | None = None) -> Embeddings:
        """What `classify` takes -> the embedding of each segment as it was recorded: the backbone's under a head, else
        the input of the network's last layer. Raises as `classify`, and `ClassifierError` where there are none."""
        segments, spans, seconds, warnings = self._read_segments(source, rate_hz)
        batches = [segments[at : at + self.batch] for at in range(0, len(segments), self.batch)]
        values = np.concatenate([self.segment_embeddings(np.array(batch)) for batch in batches])
        return Embeddings(values, spans, seconds, warnings)

    def _read_segments(
        self, source: str | Path | BinaryIO | npt.ArrayLike, rate_hz: int | None
    ) -> tuple[npt.NDArray[Any], Doubles, float, tuple[str, ...]]:
        """What `classify` takes -> its segments `[S, ...]`, their spans, its length [s] and warnings."""
        if isinstance(source, str | Path) and Path(source).suffix.lower() in PRECOMPUTED:
            seconds = self.precomputed_seconds
            return self.load_precomputed(Path(source)), np.array([[0.0, seconds]]), seconds, ()
        wave, seconds, warnings = self.read(source, rate_hz)
        return self.cut(wave), self.spans(len(wave)), seconds, warnings

    @property
    def precomputed_seconds(self) -> float:
        """The length of the sound that an image or a spectrogram shows; 0 where that is not known."""
        return self.recipe.windows.length / self.rate_hz if self.recipe.frontend.name == "logmel" else 0.0

    def load_precomputed(self, file: Path) -> npt.NDArray[Any]:
        """An image or a spectrogram -> one segment. Raises `ClassifierError` where the classifier takes sound."""
        raise ClassifierError(f"{file} is an image or a spectrogram, and this classifier takes sound. Give it sound.")


def _mean(arrays: Sequence[Array]) -> Array:
    return arrays[0] if len(arrays) == 1 else np.mean(arrays, axis=0, dtype=np.float32)
