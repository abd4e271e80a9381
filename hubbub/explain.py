"""Why a classifier decided so: a map over seconds and Hz to see, and the sound that the map marks to hear.

Grad-CAM is Selvaraju et al. 2017 (https://arxiv.org/abs/1610.02391), computed by captum; what it weighs here is what
the clip's decision came from, so a head and the pooling of segments are inside. Where there is no gradient, patches of
the sound are removed and the decision is asked again (occlusion: Zeiler & Fergus 2014, https://arxiv.org/abs/1311.2901).
Deletion and insertion curves are Petsiuk et al. 2018 (https://arxiv.org/abs/1806.07421); listening to what a map keeps
is the idea of Parekh et al. 2022 (https://arxiv.org/abs/2202.11479), here by a mask on the spectrum.

A map says where the decision looked, not that it was right. This room knows no network by name: where a map's cells lie
is told by front ends and networks (`places`).
"""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import soundfile
import torch
from captum.attr import LayerGradCam
from torch import Tensor, nn

from hubbub import audio, files, plots, waves, windows
from hubbub.classifier import Classifier
from hubbub.errors import HubbubError, did_you_mean
from hubbub.models.network import NetworkError
from hubbub.occlusion import occlude
from hubbub.stft import Grid
from hubbub.windows import Heard

__all__ = [
    "CARD",
    "ExplainError",
    "Explanation",
    "SegmentMap",
    "curves",
    "explain",
    "listen",
    "look",
    "write",
    "write_given",
]

Array = npt.NDArray[np.float32]
CARD = "explanation.json"
#: Segments a pass: the values between all layers are kept for the gradient.
BATCH = 8
#: What was listened to holds the strongest cells, which together have this share of the map's sum, in full.
LISTENED_SHARE = 0.5
#: A cell of the spectrum as far below the loudest one says nothing of which band a network heard.
FLOOR_DB = 80.0
#: Recordings beyond it would take gigabytes [s].
LONGEST_S = 300.0
#: Of segments: each takes a third of a second to draw.
MOST_PICTURES = 8


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

    heard: Heard
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
        return self.heard.scores[self.label]

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
    classifier: Classifier,
    source: str | Path | BinaryIO | audio.Sound | npt.ArrayLike,
    rate_hz: int | None = None,
    label: str | None = None,
) -> Explanation:
    """What `Classifier.read` takes -> `Explanation` of `label`, by default the class decided for the clip.

    The plain view of a segment is explained: its first level, not shifted. Raises `ExplainError` for a label that the
    classifier does not know, `AudioError` for a recording that cannot be read.
    """
    _refuse_unknown(classifier, label)
    of_file = classifier.hears and (isinstance(source, str | Path) or hasattr(source, "read"))
    with audio.opened(source) if of_file else nullcontext(source) as given:  # type: ignore[arg-type]
        wave, seconds, warnings = classifier.read(_bounded(given) if isinstance(given, audio.Sound) else given, rate_hz)
    _refuse_long(seconds)
    heard = classifier.eval().classify(wave, classifier.rate_hz)
    heard = replace(heard, known=waves.known(heard.known, warnings), warnings=warnings)
    label = label or heard.label
    grid = Grid(len(wave), classifier.rate_hz)
    why_not = _without_gradient(classifier)
    if why_not:
        clip, parts = occlude(classifier, wave, grid, label)
        remarks = [why_not]
    else:
        parts, remarks = _gradcam(classifier, wave, grid, label, heard)
        clip = grid.joined(parts)
    if not clip.any():
        remarks.append(f"no part of the sound speaks for '{label}': the map is empty.")
    strongest = max(part.max(initial=0) for _, part in parts) or 1.0
    spans, scores = classifier.spans(len(wave)), heard.segments[label]
    segments = tuple(
        SegmentMap(float(start), float(end), float(score), grid.times[frames], part / np.float32(strongest))
        for (start, end), score, (frames, part) in zip(spans, scores, parts, strict=True)
    )
    method = "occlusion" if why_not else "Grad-CAM"
    heat = clip / (clip.max() or 1.0)
    return Explanation(
        heard, label, method, tuple(remarks), wave, classifier.rate_hz, heat, grid.times, grid.hz, segments
    )


def look(classifier: Classifier, given: npt.NDArray[Any], label: str) -> tuple[Array, Array]:
    """A spectrogram `[F, W]` or a picture `[C, F, W]` as it is kept -> what the network is shown of it, `[F', W']` or
    `[3, F', W']`, and on that the Grad-CAM map of `label`, `[F', W']` from 0 to 1. Row 0 is the lowest band.

    Raises `ExplainError` where the network keeps no map, or a head has no gradient.
    """
    assert classifier.frontend  # what hears waves is not shown arrays
    if _without_gradient(classifier):
        raise ExplainError(f"no map of {classifier.recipe.network.name}: Grad-CAM needs gradients and a map.")
    batch = given[None]
    with torch.no_grad():
        shown = classifier.frontend.draw(torch.from_numpy(np.array(batch)).to(classifier.device))[0].cpu()
    cam = _cams(classifier.eval(), batch, label, np.ones(1, dtype=np.float32))
    heat = nn.functional.interpolate(cam[:, None], shown.shape[-2:], mode="bilinear")[0, 0]
    return shown.numpy(), (heat / heat.max().clamp_min(torch.finfo(heat.dtype).tiny)).numpy()


def write_given(classifier: Classifier, file: Path, folder: str | Path, label: str | None = None) -> dict[str, Any]:
    """What `look` sees of a picture or a spectrogram, as `write` writes it: `shown.png`, `gradcam.png` and the JSON."""
    _refuse_unknown(classifier, label)
    folder = _free(folder)
    heard = classifier.eval().classify(file)
    label = label or heard.label
    shown, heat = look(classifier, classifier.given(file)[0], label)
    card = {"label": label, "method": "Grad-CAM", "remarks": [], "scores": {"original": heard.scores}}
    card["files"] = {"shown": "shown.png", "gradcam": "gradcam.png"}
    with files.whole_folder(folder, CARD) as temporary:
        plots.picture(shown, temporary / "shown.png")
        plots.picture(shown, temporary / "gradcam.png", heat)
        files.write_json(temporary / CARD, card)
    return card


def _bounded(sound: audio.Sound) -> audio.Sound:
    """The same sound. One that is too long is refused by its header or, where that does not tell, as soon as decoding
    does."""
    _refuse_long(sound.seconds or 0)

    def blocks() -> Iterator[Array]:
        samples = 0
        for block in sound.blocks:
            samples += len(block)
            _refuse_long(samples / sound.rate_hz)
            yield block

    return replace(sound, blocks=blocks())


def _refuse_long(seconds: float) -> None:
    if seconds > LONGEST_S:
        raise ExplainError(
            f"{seconds:.0f} s are too long to explain at once; {LONGEST_S:.0f} s are the most. Cut out the part that "
            "matters."
        )


def _refuse_unknown(classifier: Classifier, label: str | None) -> None:
    if label is not None and label not in classifier.labels:
        raise ExplainError(f"the classifier knows no '{label}'. {did_you_mean(label, classifier.labels)}")


def _free(folder: str | Path) -> Path:
    folder = Path(folder)
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not (folder / CARD).is_file()):
        raise ExplainError(f"{folder} is there and is no explanation. Give a new or an empty folder.")
    return folder


def _without_gradient(classifier: Classifier) -> str:
    """Why Grad-CAM is not possible; empty where it is."""
    if classifier.head is not None and classifier.head.module() is None:
        return f"the head ({classifier.recipe.head.name}) has no gradient: patches of the sound were removed instead."
    try:
        _ = classifier.network.cam_layer
    except NetworkError as error:
        return f"{error} Patches of the sound were removed instead."
    return ""


def _gradcam(
    classifier: Classifier, wave: Array, grid: Grid, label: str, heard: Heard
) -> tuple[list[tuple[slice, Array]], list[str]]:
    """Of each segment, its frames on the grid and its map on them `[bins, frames]`, 0 or more; and what to say."""
    plain = windows.at_level(classifier.cut(wave), classifier.recipe.windows.levels[0])
    cams = _cams(classifier, plain, label, heard.segments[label].to_numpy(np.float32, copy=True))
    length = classifier.recipe.windows.length
    remarks = []
    if cams.shape[1] == 1:
        remarks.append("the network's map tells when, not how high: it is the same for all frequencies.")
    places = classifier.network.places if classifier.frontend is None else classifier.frontend.places
    hz, found = torch.from_numpy(grid.hz), []
    for cam, (start, end) in zip(cams, classifier.spans(len(wave)), strict=True):
        frames = grid.frames(start, end)
        columns, rows = places(torch.from_numpy(grid.times[frames] - start), hz, length)
        map_ = _between(rows, len(cam)) @ cam @ _between(columns, cam.shape[1]).T
        heard_at = columns.isfinite().numpy()
        first = frames.start + int(heard_at.argmax()) if heard_at.any() else frames.start
        found.append((slice(first, first + int(heard_at.sum())), map_.numpy()[:, heard_at]))
    return found, remarks


def _cams(classifier: Classifier, segments: npt.NDArray[Any], label: str, scores: Array) -> Tensor:
    """Segments, or what stands for them, and their scores of a class `[S]` -> the map of each, `[S, f, w]`."""
    network, index = classifier.network, classifier.labels.index(label)
    batches = torch.from_numpy(np.array(segments)).split(BATCH)
    with torch.no_grad():
        embeddings = torch.cat([classifier.embed(batch.to(classifier.device)).float() for batch in batches])
    weights = _what_decides(classifier, embeddings, index, scores)

    def evidence(given: Tensor, weight: Tensor) -> Tensor:
        return (network.embed(given) * weight).sum(dim=1)

    method, maps = LayerGradCam(evidence, network.cam_layer), []
    for batch, weight in zip(batches, weights.split(BATCH), strict=True):
        with torch.no_grad():
            given = classifier.features(batch.to(classifier.device))
        cam = method.attribute(given, additional_forward_args=(weight,), relu_attributions=True)
        cam = cam.detach()[:, 0]
        if network.bands_layer is not None:
            cam = _spread(cam, network.bands_layer, partial(evidence, given, weight))
        maps.append(cam.float().cpu())
    return torch.cat(maps)


def _what_decides(classifier: Classifier, embeddings: Tensor, index: int, scores: Array) -> Tensor:
    """Segments' embeddings `[S, D]` and their scores of a class `[S]` -> the gradient of what decides for it `[S, D]`.

    A head on pooled embeddings decides by the clip's logit. Where segments are scored, it is each one's logit, weighed
    by its score, so that a segment without the class does not light up.
    """

    def own(values: Tensor) -> Tensor:
        # What all classes share changes no softmax; of two classes a head keeps one against zeros.
        return values[:, index] - (values.mean(dim=1) if classifier.activation == "softmax" else 0)

    embeddings, head, pool = embeddings.requires_grad_(), classifier.head, classifier.recipe.head.pool
    module = head.module() if head is not None else None
    logits = classifier.network.head if module is None else module.to(embeddings.device)
    if module is not None and pool != "segment":
        parts = [embeddings.mean(dim=0)] if "mean" in pool else []
        parts += [embeddings.amax(dim=0)] if "max" in pool else []
        decides = own(logits(torch.cat(parts)[None]))[0]
    else:
        decides = own(logits(embeddings)) @ torch.from_numpy(scores).to(embeddings.device)
    return torch.autograd.grad(decides, embeddings)[0]


def _spread(cam: Tensor, layer: nn.Module, evidence: Callable[[], Tensor]) -> Tensor:
    """Maps `[B, f, w]` over parts of the spectrum that lie on each other -> `[B, parts * f, w]`, one above the other.

    Each cell is shared out by how much its part matters there: |gradient| times decibels above `FLOOR_DB` below the
    segment's loudest cell, of what `layer` gives, `[B, parts, F, W]` in decibels.
    """
    given: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> Tensor:
        given.append(out.detach().requires_grad_())
        return given[0]

    hook = layer.register_forward_hook(keep)
    try:
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(evidence().sum(), given)
    finally:
        hook.remove()
    decibels = given[0].detach()
    heard = (decibels - decibels.amax(dim=(1, 2, 3), keepdim=True) + FLOOR_DB).clamp_min(0)
    shares = nn.functional.adaptive_avg_pool2d((gradient * heard).abs(), (cam.shape[1], cam.shape[2]))
    shares = shares / shares.sum(dim=1, keepdim=True).clamp_min(torch.finfo(shares.dtype).tiny)
    return (cam[:, None] * shares).flatten(1, 2)


def _between(shares: Tensor, cells: int) -> Tensor:
    """Places on a side of the map as shares of it `[n]` -> weights `[n, cells]` that interpolate linearly between the
    cells' middles; zeros where the place is NaN."""
    places = (shares * cells - 0.5).clamp(0, cells - 1)
    return (1 - (places[:, None] - torch.arange(cells)).abs()).clamp_min(0).nan_to_num(0).float()


def listen(explanation: Explanation) -> tuple[Array, Array]:
    """What the classifier listened to, which is the recording through the explanation's `mask`, and the rest: waves
    `[T]` whose sum is the recording."""
    grid = Grid(len(explanation.wave), explanation.rate_hz)
    kept = grid.synthesise(explanation.mask * grid.analyse(explanation.wave))
    return kept, explanation.wave - kept


def curves(
    classifier: Classifier, explanation: Explanation, heat: Array | None = None, steps: int = 10
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


def write(classifier: Classifier, explanation: Explanation, folder: str | Path) -> dict[str, Any]:
    """Pictures, sounds and `explanation.json` in a folder, whole or not at all; returns what the JSON holds.

    Only the `MOST_PICTURES` segments with the strongest maps are drawn. Sounds are 32-bit float WAV files, which
    clipping cannot change. Raises `ExplainError` where the folder holds anything but an earlier explanation.
    """
    folder = _free(folder)
    kept, rest = listen(explanation)
    said = {name: classifier.classify(wave, explanation.rate_hz) for name, wave in (("listened", kept), ("rest", rest))}
    # A last segment can be too short to have a frame.
    drawn = [s for s, one in enumerate(explanation.segments) if len(one.times)]
    drawn.sort(key=lambda s: -explanation.segments[s].map.max())
    pictures = {s: f"segment-{s + 1:04d}.png" for s in sorted(drawn[:MOST_PICTURES])}
    card: dict[str, Any] = {
        "label": explanation.label,
        "method": explanation.method,
        "remarks": list(explanation.remarks),
        **({"warnings": list(explanation.heard.warnings)} if explanation.heard.warnings else {}),
        "scores": {name: heard.scores for name, heard in {"original": explanation.heard, **said}.items()},
        "seconds": explanation.heard.seconds,
        "segments": [
            {"start": one.start, "end": one.end, "score": one.score, "picture": pictures.get(number)}
            for number, one in enumerate(explanation.segments)
        ],
        "files": {"clip": "clip.png", "listened": "listened.wav", "rest": "rest.wav"},
    }
    decibels = explanation.decibels
    with files.whole_folder(folder, CARD) as temporary:
        title = f"{explanation.label} {explanation.score:.2f} ({explanation.method})"
        plots.explained(decibels, explanation.map, explanation.times, explanation.hz, title, temporary / "clip.png")
        for number, name in pictures.items():
            one = explanation.segments[number]
            frames = np.isin(explanation.times, one.times)
            title = f"{explanation.label} {one.score:.2f} from {one.start:.2f} to {one.end:.2f} s"
            plots.heatmap(decibels[:, frames], one.map, one.times, explanation.hz, temporary / name, title)
        for name, wave in (("listened", kept), ("rest", rest)):
            soundfile.write(temporary / f"{name}.wav", wave, explanation.rate_hz, subtype="FLOAT")
        files.write_json(temporary / CARD, card)
    return card
