"""Explain a decision: a saliency map over seconds and Hz, and the sound that the map marks.

Grad-CAM is Selvaraju et al. 2017 (https://arxiv.org/abs/1610.02391), computed by captum from the gradient of the clip's
decision, so that the head and the pooling of segments are part of it. Where there is no gradient, patches of the sound
are removed and the scores compared (occlusion: Zeiler & Fergus 2014, https://arxiv.org/abs/1311.2901). Occlusion needs
scores only, so this module imports torch only for Grad-CAM.
Deletion and insertion curves are Petsiuk et al. 2018 (https://arxiv.org/abs/1806.07421). Audio masked by a map, to be
listened to, follows Parekh et al. 2022 (https://arxiv.org/abs/2202.11479); here the mask lies on the spectrum.

A map shows where the decision came from, not that it is right. Front ends and networks say where a map's cells lie
(`positions`); this module names no network.
"""

from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from hubbub.audio import decode, waves
from hubbub.classifier.base import Classifier
from hubbub.classifier.frames import by_window
from hubbub.classifier.onnx_classifier import OnnxClassifier
from hubbub.classifier.prediction import Array, Prediction
from hubbub.errors import HubbubError, did_you_mean
from hubbub.inference.occlusion import occlude
from hubbub.inference.stft import Grid
from hubbub.inference.stream import limit_length

if TYPE_CHECKING:
    from hubbub.classifier.torch_classifier import TorchClassifier

__all__ = [
    "ExplainError",
    "Explanation",
    "SegmentMap",
    "check_label",
    "curves",
    "explain",
    "explain_spectrogram",
    "split_audio",
]

#: The mask passes the strongest cells, which together hold this share of the map's sum, in full.
MASK_SHARE = 0.5
#: Longer recordings would take gigabytes of memory [s].
LONGEST_S = 300.0


class ExplainError(HubbubError):
    """An explanation that cannot be made or written as asked."""


@dataclass(frozen=True)
class SegmentMap:
    """A segment's part in the decision: `map` `[bins, frames]` from 0 to 1 at `times` [s of the clip]; 1 is the
    strongest cell of all segments. `score` is the segment's own for the explained label."""

    start: float
    end: float
    score: float
    times: npt.NDArray[np.float64] = field(repr=False)
    map: Array = field(repr=False)


@dataclass(frozen=True)
class Explanation:
    """Where in a recording a classifier finds `label`.

    `map` `[bins, frames]`, from 0 to 1, lies at `hz` and `times` [s], a grid of short-time spectra of `wave` `[T]`,
    which is the recording at the classifier's `rate_hz`. `method` is "Grad-CAM" or "occlusion"; `caveats` limit how the
    map may be read. Where `wave` is a stretch of a longer recording, it begins at `start` [s] of that.
    """

    prediction: Prediction
    label: str
    method: str
    caveats: tuple[str, ...]
    wave: Array = field(repr=False)
    rate_hz: int
    map: Array = field(repr=False)
    times: npt.NDArray[np.float64] = field(repr=False)
    hz: npt.NDArray[np.float64] = field(repr=False)
    segments: tuple[SegmentMap, ...] = field(repr=False)
    start: float = 0.0

    @property
    def score(self) -> float:
        return self.prediction.scores[self.label]

    @property
    def mask(self) -> Array:
        """The share of each cell that passes, `[bins, frames]`: 1 for the strongest cells, which together hold
        `MASK_SHARE` of the map's sum; for weaker ones it falls to 0 as the map does, since hard edges would ring."""
        falling = np.sort(self.map, axis=None)[::-1]
        sums = np.cumsum(falling, dtype=np.float64)
        level = falling[np.searchsorted(sums, MASK_SHARE * sums[-1])]
        return np.minimum(self.map / level, 1) if level > 0 else self.map

    @property
    def decibels(self) -> Array:
        """The spectrogram under the map, `[bins, frames]` in dB; the loudest cell is 0."""
        power = np.square(np.abs(Grid(len(self.wave), self.rate_hz).analyse(self.wave)))
        return 10 * np.log10(np.maximum(power / max(power.max(), 1e-20), 1e-10), dtype=np.float32)


def explain(
    classifier: Classifier,
    source: str | Path | BinaryIO | decode.Sound | npt.ArrayLike,
    rate_hz: int | None = None,
    label: str | None = None,
    *,
    occlusion: bool = False,
) -> Explanation:
    """What `Classifier.read` takes -> the `Explanation` of `label`, by default the class with the highest score.

    Grad-CAM explains the plain view of each segment: its first level, not shifted. `occlusion` is used where it is
    asked for, and where Grad-CAM is not possible. Raises `ExplainError` for a label that the classifier does not have,
    `AudioError` for a recording that cannot be read.
    """
    check_label(classifier, label)
    of_file = classifier.takes_sound and (isinstance(source, str | Path) or hasattr(source, "read"))
    with decode.open_sound(source) if of_file else nullcontext(source) as opened:  # type: ignore[arg-type]
        wave, seconds, warnings = classifier.read(
            limit_length(opened, _check_length) if isinstance(opened, decode.Sound) else opened, rate_hz
        )
    _check_length(seconds)
    why_not = "" if occlusion else _why_not_gradcam(classifier)
    prediction = classifier.classify(wave, classifier.rate_hz)
    prediction = replace(prediction, known=waves.known_unless_silent(prediction.known, warnings), warnings=warnings)
    label = label or prediction.label
    grid = Grid(len(wave), classifier.rate_hz)
    if occlusion or why_not:
        clip, parts = occlude(classifier, wave, grid, label)
        caveats = [why_not] if why_not else []
    else:
        from hubbub.inference.gradcam import gradcam

        parts, caveats = gradcam(_with_gradients(classifier), wave, grid, label, prediction)
        clip = grid.joined(parts)
    if not clip.any():
        caveats.append(f"no part of the sound raises the score of '{label}': the map is empty.")
    strongest = max(part.max(initial=0) for _, part in parts) or 1.0
    spans = classifier.spans(len(wave))
    scores = by_window(classifier.recipe, prediction.segments[label].to_numpy(np.float32), spans).max(axis=1)
    segments = tuple(
        SegmentMap(float(start), float(end), float(score), grid.times[frames], part / np.float32(strongest))
        for (start, end), score, (frames, part) in zip(spans, scores, parts, strict=True)
    )
    method = "occlusion" if occlusion or why_not else "Grad-CAM"
    heat = clip / (clip.max() or 1.0)
    return Explanation(
        prediction, label, method, tuple(caveats), wave, classifier.rate_hz, heat, grid.times, grid.hz, segments
    )


def _why_not_gradcam(classifier: Classifier) -> str:
    """Why occlusion is used instead of Grad-CAM, where nobody asked for it; empty where Grad-CAM is possible."""
    if isinstance(classifier, OnnxClassifier):
        return (
            "an exported network has no gradients: patches of the sound were removed instead. Grad-CAM needs the run "
            "folder that it came from."
        )
    from hubbub.inference.gradcam import why_not_gradcam

    return why_not_gradcam(_with_gradients(classifier))


def _with_gradients(classifier: Classifier) -> "TorchClassifier":
    from hubbub.classifier.torch_classifier import TorchClassifier

    assert isinstance(classifier, TorchClassifier)
    return classifier.eval()


def explain_spectrogram(classifier: Classifier, array: npt.NDArray[Any], label: str) -> tuple[Array, Array]:
    """A stored spectrogram `[F, W]` or image `[C, F, W]` -> the network's input `[F', W']` or `[3, F', W']`, and the
    Grad-CAM map of `label` on it, `[F', W']` from 0 to 1. Row 0 is the lowest band.

    Raises `ExplainError` where the network has no feature map, or the head no gradient.
    """
    import torch
    from torch import nn

    from hubbub.inference.gradcam import class_maps

    if _why_not_gradcam(classifier):
        raise ExplainError(f"no map of {classifier.recipe.network.name}: Grad-CAM needs gradients and a map.")
    model, batch = _with_gradients(classifier), array[None]
    assert model.frontend  # networks on waves take no arrays
    with torch.no_grad():
        shown = model.frontend.render(torch.from_numpy(np.array(batch)).to(model.device))[0].cpu()
    cam = class_maps(model, batch, label, np.ones(model.frames, dtype=np.float32))
    heat = nn.functional.interpolate(cam[:, None], shown.shape[-2:], mode="bilinear")[0, 0]
    return shown.numpy(), (heat / heat.max().clamp_min(torch.finfo(heat.dtype).tiny)).numpy()


def _check_length(seconds: float) -> None:
    if seconds > LONGEST_S:
        raise ExplainError(
            f"{seconds:.0f} s are too long to explain at once; {LONGEST_S:.0f} s are the most. Cut out the part to "
            "explain, or take the strongest stretches: hubbub explain MODEL FILE."
        )


def check_label(classifier: Classifier, label: str | None) -> None:
    """Raise `ExplainError` where the classifier has no such class."""
    if label is not None and label not in classifier.labels:
        raise ExplainError(f"the classifier knows no '{label}'. {did_you_mean(label, classifier.labels)}")


def split_audio(explanation: Explanation) -> tuple[Array, Array]:
    """The recording through the explanation's `mask`, and the rest: waves `[T]` whose sum is the recording."""
    grid = Grid(len(explanation.wave), explanation.rate_hz)
    masked = grid.synthesise(explanation.mask * grid.analyse(explanation.wave))
    return masked, explanation.wave - masked


def curves(
    classifier: Classifier, explanation: Explanation, heat: Array | None = None, steps: int = 10
) -> tuple[Array, Array]:
    """Deletion and insertion curves: the label's score after 0, 1 / `steps` .. all cells of the spectrum were removed,
    and after as many were added to silence, the strongest of the map (or of `heat` on its grid) first: two arrays
    `[steps + 1]`.

    For a faithful map the first falls early and the second rises early. Equal cells come in random order.
    """
    order = np.random.default_rng(0).permutation(explanation.map.size)
    heat = explanation.map if heat is None else heat
    order = order[np.argsort(-heat.ravel()[order], kind="stable")]
    grid = Grid(len(explanation.wave), explanation.rate_hz)
    spectrum, added = grid.analyse(explanation.wave), np.zeros(explanation.map.size, dtype=np.float32)
    deleted: list[float] = []
    inserted: list[float] = []
    for cells in [*np.array_split(order, steps), order[:0]]:
        wave = grid.synthesise(added.reshape(spectrum.shape) * spectrum)
        for scores, sound in ((inserted, wave), (deleted, explanation.wave - wave)):
            scores.append(classifier.classify(sound, explanation.rate_hz).scores[explanation.label])
        added[cells] = 1
    return np.array(deleted, dtype=np.float32), np.array(inserted, dtype=np.float32)
