"""Teaching: a network learns from the labels and from what a frozen network, the teacher, makes of the same clips.

The network's embedding is trained to predict the teacher's (Romero et al. 2015, https://arxiv.org/abs/1412.6550), its
scores to match those of a linear head on the teacher's embeddings (Hinton, Vinyals & Dean 2015,
https://arxiv.org/abs/1503.02531). Both are computed once, of the unchanged clips: mixed segments get mixed targets. The
head is fitted on the training clips alone, so nothing of a validation or test clip reaches the network.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import safetensors.torch
import torch
from torch import Tensor, nn

from hubbub.audio import windows
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.config import sections as settings
from hubbub.config.recipe import Recipe
from hubbub.config.teacher import Teacher
from hubbub.data import cache
from hubbub.data.cache import Segments, Waves
from hubbub.data.clips import Clips
from hubbub.models.logistic import logistic_path
from hubbub.models.yamnet import load_yamnet
from hubbub.runtime import download

__all__ = ["Heard", "Lessons", "Pretrained", "TeacherOutputs", "distance", "statistics", "teach"]

Rows = npt.NDArray[np.intp]
Array = npt.NDArray[np.float32]
#: Added to the deviation of embeddings, which may not vary.
_LEAST_DEVIATION = 1e-4


@dataclass(frozen=True)
class Lessons:
    """What the teacher makes of training segments: `embeddings` `[S, D]`, standardised, and `scores` `[S, K]`,
    probabilities at the recipe's temperature. `projection` is the state of the map from the network's embeddings, where
    pretraining has learnt one."""

    embeddings: Tensor
    scores: Tensor
    projection: dict[str, Tensor] | None = None

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True)
class Pretrained:
    """What a network learnt from its teacher before it got labels, of so many `clips` of the data set `name`: the file
    of its weights, of the map to the teacher's embeddings, and of their mean and deviation."""

    file: Path
    clips: int
    name: str

    def of(self, part: Literal["network", "projection"]) -> dict[str, Tensor]:
        """The state of a part; the network's is without its last layer."""
        return {n.removeprefix(f"{part}."): x for n, x in self._tensors.items() if n.startswith(f"{part}.")}

    @property
    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation `[D]` of the teacher's embeddings in pretraining."""
        return self._tensors["mean"], self._tensors["deviation"]

    @cached_property
    def _tensors(self) -> dict[str, Tensor]:
        return safetensors.torch.load_file(self.file)


@dataclass(frozen=True)
class Heard:
    """Unlabelled clips: those that the teacher takes for a class that none of the data's is, and those that it surely
    does not. `sounds` are all of them."""

    sounds: Waves
    outliers: Rows
    others: Rows


@dataclass(frozen=True)
class TeacherOutputs:
    """A teacher's embeddings of the segments of all clips, and the start and end of each in its clip `[S, 2]` [s];
    `weights` is the teacher's file, `pretrained` what the network learnt before, `heard` what the teacher takes of the
    unlabelled clips for outliers."""

    segments: Segments
    times: npt.NDArray[np.float64]
    weights: Path
    pretrained: Pretrained | None = None
    heard: Heard | None = None

    def within(self, clip: int, spans: npt.NDArray[np.float64]) -> Array:
        """Parts of a clip, `[P, 2]` [s] -> the mean embedding of each part's segments `[P, D]`: those whose middle lies
        in the part, or the nearest one."""
        rows = slice(self.segments.offsets[clip], self.segments.offsets[clip + 1])
        values, middles = self.segments.values[rows], self.times[rows].mean(axis=1)
        inside = (middles >= spans[:, :1]) & (middles < spans[:, 1:])
        nearest = np.abs(middles - spans.mean(axis=1)[:, None]).argmin(axis=1)
        inside[np.arange(len(spans)), nearest] |= ~inside.any(axis=1)
        return np.asarray((inside @ values) / inside.sum(axis=1, keepdims=True), dtype=np.float32)

    def lessons(self, recipe: Recipe, clips: Rows, samples: Sequence[int], targets: npt.NDArray[np.int64]) -> Lessons:
        """The lessons of the segments that the recipe cuts from training clips of so many `samples`, in their order.

        `targets` are the classes of all clips. The head is fitted on the training clips alone.
        """
        teacher, cut, rate = recipe.teacher, recipe.windows, recipe.audio.rate_hz
        assert teacher is not None
        spans = [windows.spans(count, rate, cut.length, cut.hop) for count in samples]
        whole = [np.array([[0.0, count / rate]]) for count in samples]
        of_clips, of_segments = (
            torch.from_numpy(np.concatenate([self.within(clip, span) for clip, span in zip(clips, parts, strict=True)]))
            for parts in (whole, spans)
        )
        mean, deviation = statistics(of_clips)
        rows, embeddings = ((part - mean) / deviation for part in (of_clips, of_segments))
        # Classes that have no training clip get no score.
        known, truth = np.unique(targets[clips], return_inverse=True)
        shares = torch.full((len(rows),), 1 / len(rows))
        (weights, biases), *_ = logistic_path(rows, torch.from_numpy(truth), shares, [teacher.penalty])
        logits = embeddings @ weights + biases
        if logits.shape[1] == 1:  # two classes: one column, of class 1 against class 0
            logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
        scores = torch.zeros(len(embeddings), int(targets.max()) + 1)
        scores[:, torch.from_numpy(known)] = (logits / teacher.temperature).softmax(1)
        if self.pretrained is None:
            return Lessons(embeddings, scores)
        mean, deviation = self.pretrained.statistics
        return Lessons((of_segments - mean) / deviation, scores, self.pretrained.of("projection"))


def teach(recipe: Recipe, clips: Clips) -> TeacherOutputs:
    """The outputs of the recipe's teacher for these clips, computed once per machine. Raises `StoreError` where its
    weights are not here and cannot be downloaded."""
    alone = Recipe(data=recipe.data, network=settings.Network(name="yamnet"), head=settings.Head(name="logreg"))
    weights = download.get("yamnet")
    network = TorchClassifier(alone, clips.labels, network=load_yamnet(weights)).to(recipe.train.device)
    waves = cache.decode_clips(clips, alone.audio.rate_hz)
    times = np.concatenate([waves.spans(clip, network) for clip in range(len(waves))])
    return TeacherOutputs(cache.embed(waves, network), times, weights)


def statistics(embeddings: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of embeddings `[S, D]` -> two `[D]`; the deviation is never zero."""
    return embeddings.mean(0), embeddings.std(0, correction=0) + _LEAST_DEVIATION


def distance(teacher: Teacher, logits: Tensor, scores: Tensor, predicted: Tensor, embeddings: Tensor) -> Tensor:
    """The loss of a batch against its lessons: cross-entropy of scores, times the squared temperature so that its
    gradient does not depend on it, plus the weighted cosine distance of embeddings. An embedding of zeros is no lesson.
    """
    log_scores = (logits.float() / teacher.temperature).log_softmax(1)
    of_scores = -(scores * log_scores).sum(1).mean() * teacher.temperature**2
    of_embeddings = 1 - nn.functional.cosine_similarity(predicted.float(), embeddings, dim=1).mean()
    return teacher.scores * of_scores + teacher.embedding * of_embeddings
