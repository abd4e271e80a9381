"""Why a classifier decided so: a map over seconds and Hz to see, and the sound that the map marks to hear.

Grad-CAM is Selvaraju et al. 2017 (https://arxiv.org/abs/1610.02391), computed by captum; what it weighs here is what
the clip's decision came from, so a head and the pooling of segments are inside. Where there is no gradient, patches of
the sound are removed and the decision is asked again (occlusion: Zeiler & Fergus 2014, https://arxiv.org/abs/1311.2901).
Deletion and insertion curves are Petsiuk et al. 2018 (https://arxiv.org/abs/1806.07421); listening to what a map keeps
is the idea of Parekh et al. 2022 (https://arxiv.org/abs/2202.11479), here by a mask on the spectrum.

A map says where the decision looked, not that it was right. This room knows no network by name: where a map's cells lie
is told by front ends and networks (`places`).
"""

from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from hubbub.audio import decode, waves
from hubbub.classifier.prediction import Prediction
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.errors import HubbubError, did_you_mean
from hubbub.inference.gradcam import Array, _cams, _gradcam, _without_gradient
from hubbub.inference.occlusion import occlude
from hubbub.inference.stft import Grid
from hubbub.inference.stream import limit_length

__all__ = ["ExplainError", "Explanation", "SegmentMap", "curves", "explain", "listen", "look"]

#: What was listened to holds the strongest cells, which together have this share of the map's sum, in full.
LISTENED_SHARE = 0.5
#: Recordings beyond it would take gigabytes [s].
LONGEST_S = 300.0


class ExplainError(HubbubError):
    """An explanation that cannot be given or written as asked."""


@dataclass(frozen=True)
class SegmentMap:
    """A segment's part in the decision: `map` `[bins, frames]` from 0 to 1 at `times` [s of the clip]; 1 is the
    strongest cell of any segment. `score` is the segment's own, for the label that is explained."""

    start: float
    end: float
    score: float
    times: npt.NDArray[np.float64] = field(repr=False)
    map: Array = field(repr=False)


@dataclass(frozen=True)
class Explanation:
    """Where in a recording a classifier found `label`.

    `map` `[bins, frames]`, from 0 to 1, lies at `hz` and `times` [s], a grid of short-time spectra of `wave` `[T]`,
    which is the recording at the classifier's `rate_hz`. `method` is "Grad-CAM" or "occlusion"; `remarks` say what must
    be known to read the map.
    """

    prediction: Prediction
    label: str
    method: str
    remarks: tuple[str, ...]
    wave: Array = field(repr=False)
    rate_hz: int
    map: Array = field(repr=False)
    times: npt.NDArray[np.float64] = field(repr=False)
    hz: npt.NDArray[np.float64] = field(repr=False)
    segments: tuple[SegmentMap, ...] = field(repr=False)

    @property
    def score(self) -> float:
        return self.prediction.scores[self.label]

    @property
    def mask(self) -> Array:
        """What of each cell the classifier listened to, `[bins, frames]`: all of the strongest cells, which together
        hold `LISTENED_SHARE` of the map's sum, and of weaker ones a part that falls to 0 as the map does. Hard edges
        would ring."""
        falling = np.sort(self.map, axis=None)[::-1]
        sums = np.cumsum(falling, dtype=np.float64)
        level = falling[np.searchsorted(sums, LISTENED_SHARE * sums[-1])]
        return np.minimum(self.map / level, 1) if level > 0 else self.map

    @property
    def decibels(self) -> Array:
        """The spectrogram under the map, `[bins, frames]`, 0 being the loudest cell."""
        power = np.square(np.abs(Grid(len(self.wave), self.rate_hz).analyse(self.wave)))
        return 10 * np.log10(np.maximum(power / max(power.max(), 1e-20), 1e-10), dtype=np.float32)


def explain(
    classifier: TorchClassifier,
    source: str | Path | BinaryIO | decode.Sound | npt.ArrayLike,
    rate_hz: int | None = None,
    label: str | None = None,
) -> Explanation:
    """What `TorchClassifier.read` takes -> `Explanation` of `label`, by default the class decided for the clip.

    The plain view of a segment is explained: its first level, not shifted. Raises `ExplainError` for a label that the
    classifier does not know, `AudioError` for a recording that cannot be read.
    """
    _refuse_unknown(classifier, label)
    of_file = classifier.takes_sound and (isinstance(source, str | Path) or hasattr(source, "read"))
    with decode.open_sound(source) if of_file else nullcontext(source) as given:  # type: ignore[arg-type]
        wave, seconds, warnings = classifier.read(
            limit_length(given, _refuse_long) if isinstance(given, decode.Sound) else given, rate_hz
        )
    _refuse_long(seconds)
    prediction = classifier.eval().classify(wave, classifier.rate_hz)
    prediction = replace(prediction, known=waves.known_unless_silent(prediction.known, warnings), warnings=warnings)
    label = label or prediction.label
    grid = Grid(len(wave), classifier.rate_hz)
    why_not = _without_gradient(classifier)
    if why_not:
        clip, parts = occlude(classifier, wave, grid, label)
        remarks = [why_not]
    else:
        parts, remarks = _gradcam(classifier, wave, grid, label, prediction)
        clip = grid.joined(parts)
    if not clip.any():
        remarks.append(f"no part of the sound speaks for '{label}': the map is empty.")
    strongest = max(part.max(initial=0) for _, part in parts) or 1.0
    spans, scores = classifier.spans(len(wave)), prediction.segments[label]
    segments = tuple(
        SegmentMap(float(start), float(end), float(score), grid.times[frames], part / np.float32(strongest))
        for (start, end), score, (frames, part) in zip(spans, scores, parts, strict=True)
    )
    method = "occlusion" if why_not else "Grad-CAM"
    heat = clip / (clip.max() or 1.0)
    return Explanation(
        prediction, label, method, tuple(remarks), wave, classifier.rate_hz, heat, grid.times, grid.hz, segments
    )


def look(classifier: TorchClassifier, given: npt.NDArray[Any], label: str) -> tuple[Array, Array]:
    """A spectrogram `[F, W]` or a picture `[C, F, W]` as it is kept -> what the network is shown of it, `[F', W']` or
    `[3, F', W']`, and on that the Grad-CAM map of `label`, `[F', W']` from 0 to 1. Row 0 is the lowest band.

    Raises `ExplainError` where the network keeps no map, or a head has no gradient.
    """
    assert classifier.frontend  # what hears waves is not shown arrays
    if _without_gradient(classifier):
        raise ExplainError(f"no map of {classifier.recipe.network.name}: Grad-CAM needs gradients and a map.")
    batch = given[None]
    with torch.no_grad():
        shown = classifier.frontend.render(torch.from_numpy(np.array(batch)).to(classifier.device))[0].cpu()
    cam = _cams(classifier.eval(), batch, label, np.ones(1, dtype=np.float32))
    heat = nn.functional.interpolate(cam[:, None], shown.shape[-2:], mode="bilinear")[0, 0]
    return shown.numpy(), (heat / heat.max().clamp_min(torch.finfo(heat.dtype).tiny)).numpy()


def _refuse_long(seconds: float) -> None:
    if seconds > LONGEST_S:
        raise ExplainError(
            f"{seconds:.0f} s are too long to explain at once; {LONGEST_S:.0f} s are the most. Cut out the part that "
            "matters."
        )


def _refuse_unknown(classifier: TorchClassifier, label: str | None) -> None:
    if label is not None and label not in classifier.labels:
        raise ExplainError(f"the classifier knows no '{label}'. {did_you_mean(label, classifier.labels)}")


def listen(explanation: Explanation) -> tuple[Array, Array]:
    """What the classifier listened to, which is the recording through the explanation's `mask`, and the rest: waves
    `[T]` whose sum is the recording."""
    grid = Grid(len(explanation.wave), explanation.rate_hz)
    kept = grid.synthesise(explanation.mask * grid.analyse(explanation.wave))
    return kept, explanation.wave - kept


def curves(
    classifier: TorchClassifier, explanation: Explanation, heat: Array | None = None, steps: int = 10
) -> tuple[Array, Array]:
    """The label's score after 0, 1 / `steps` .. all cells of the spectrum were removed, and after so many were put into
    silence, the strongest of the map (or of `heat` on its grid) first: two arrays `[steps + 1]`.

    A faithful map makes the first fall early and the second rise early. Equal cells come in random order.
    """
    order = np.random.default_rng(0).permutation(explanation.map.size)
    heat = explanation.map if heat is None else heat
    order = order[np.argsort(-heat.ravel()[order], kind="stable")]
    grid = Grid(len(explanation.wave), explanation.rate_hz)
    spectrum, kept = grid.analyse(explanation.wave), np.zeros(explanation.map.size, dtype=np.float32)
    deleted: list[float] = []
    inserted: list[float] = []
    for cells in [*np.array_split(order, steps), order[:0]]:
        wave = grid.synthesise(kept.reshape(spectrum.shape) * spectrum)
        for scores, sound in ((inserted, wave), (deleted, explanation.wave - wave)):
            scores.append(classifier.classify(sound, explanation.rate_hz).scores[explanation.label])
        kept[cells] = 1
    return np.array(deleted, dtype=np.float32), np.array(inserted, dtype=np.float32)
