"""Grad-CAM of a clip's decision: a map for each segment, on the grid of the sound's spectrum.

Of a segment the map comes from the network's last feature map, weighed by the gradient of the clip's decision. A cell
of that map may be half a second wide and see a whole segment, so that it also lies on the silence beside a sound, and
a network answers to silence, too. So each frame counts by its level: in full at the loudest frame of its segment, down
to nothing `SEGMENT_DB` below it or `RECORDING_DB` below the loudest of the recording; digital silence is not marked.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from captum.attr import LayerGradCam
from torch import Tensor, nn

from hubbub.audio import waves, windows
from hubbub.classifier.frames import by_window
from hubbub.classifier.prediction import Prediction
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.inference.stft import Grid
from hubbub.models.network import NetworkError

__all__ = ["Array", "class_maps", "decision_gradient", "gradcam", "why_not_gradcam"]

Array = npt.NDArray[np.float32]
#: Segments a pass: the values between all layers are kept for the gradient.
BATCH = 8
#: A cell of the spectrum this far below the loudest one does not count when a map is split by band.
FLOOR_DB = 80.0
#: A frame this far below the loudest one of its segment, or of the recording, is not marked.
SEGMENT_DB, RECORDING_DB = 40.0, 60.0


def why_not_gradcam(classifier: TorchClassifier) -> str:
    """Why Grad-CAM is not possible for this classifier; empty where it is."""
    if classifier.head is not None and classifier.head.module() is None:
        return f"the head ({classifier.recipe.head.name}) has no gradient: patches of the sound were removed instead."
    try:
        _ = classifier.network.cam_layer
    except NetworkError as error:
        return f"{error} Patches of the sound were removed instead."
    return ""


def gradcam(
    classifier: TorchClassifier, wave: Array, grid: Grid, label: str, prediction: Prediction
) -> tuple[list[tuple[slice, Array]], list[str]]:
    """Each segment's frames on the grid and its map on them `[bins, frames]`, 0 or more; and caveats."""
    segments = classifier.cut(wave)
    plain = windows.at_level(segments, classifier.recipe.windows.levels[0])
    own = prediction.segments[label].to_numpy(np.float32)
    scores = by_window(classifier.recipe, own, classifier.spans(len(wave)))
    cams = class_maps(classifier, plain, label, scores.ravel())
    length = classifier.recipe.windows.length
    caveats = []
    if cams.shape[1] == 1:
        caveats.append("the network's map tells when, not how high: it is the same for all frequencies.")
    places = classifier.network.positions if classifier.frontend is None else classifier.frontend.positions
    hz, found, levels, silent = torch.from_numpy(grid.hz), [], grid.levels(wave), waves.is_silent(segments)
    strengths = []
    for cam, is_silent, (start, end) in zip(cams, silent, classifier.spans(len(wave)), strict=True):
        frames = grid.frames(start, end)
        columns, rows = places(torch.from_numpy(grid.times[frames] - start), hz, length)
        map_ = _interpolation(rows, len(cam)) @ cam @ _interpolation(columns, cam.shape[1]).T
        covered = columns.isfinite().numpy()
        first = frames.start + int(covered.argmax()) if covered.any() else frames.start
        part = map_.numpy()[:, covered]
        strengths.append(float(part.sum()))
        marked = slice(first, first + part.shape[1])
        found.append((marked, part * (0 if is_silent else _audible(levels, frames, marked))))
    if sum(np.array(strengths)[silent]) > 0.5 * sum(strengths):
        caveats.append(
            f"'{label}' is mostly the answer to digital silence, which fills {silent.sum()} of {len(silent)} segments "
            "and is not marked."
        )
    return found, caveats


def _audible(levels: Array, segment: slice, frames: slice) -> Array:
    """From 0 to 1 how far each of a segment's `frames` counts, by the levels of all frames [dB]."""
    if frames.stop <= frames.start:
        return np.zeros(0, np.float32)
    below_segment = levels[segment].max(initial=levels[frames].max()) - levels[frames]
    below_all = levels.max() - levels[frames]
    return np.clip(1 - np.maximum(below_segment / SEGMENT_DB, below_all / RECORDING_DB), 0, 1)


def class_maps(classifier: TorchClassifier, segments: npt.NDArray[Any], label: str, scores: Array) -> Tensor:
    """Segments `[S, ...]` and their scores of a class `[S]` (or those of their frames) -> the map of each,
    `[S, f, w]`."""
    network, index = classifier.network, classifier.labels.index(label)
    batches = torch.from_numpy(np.array(segments)).split(BATCH)
    with torch.no_grad():
        embeddings = torch.cat([classifier.embeddings(batch.to(classifier.device)).float() for batch in batches])
    weights = decision_gradient(classifier, embeddings, index, scores)

    def outputs(features: Tensor, weight: Tensor) -> Tensor:
        return (network.embed(features) * weight).flatten(1).sum(dim=1)

    method, maps = LayerGradCam(outputs, network.cam_layer), []
    for batch, weight in zip(batches, weights.split(BATCH), strict=True):
        with torch.no_grad():
            features = classifier.features(batch.to(classifier.device))
        cam = method.attribute(features, additional_forward_args=(weight,), relu_attributions=True)
        cam = cam.detach()[:, 0]
        if network.bands_layer is not None:
            cam = _split_by_band(cam, network.bands_layer, partial(outputs, features, weight))
        maps.append(cam.float().cpu())
    return torch.cat(maps)


def decision_gradient(classifier: TorchClassifier, embeddings: Tensor, index: int, scores: Array) -> Tensor:
    """Segments' embeddings `[S, D]` and their scores of a class `[S]` -> the gradient of the decision for it `[S, D]`;
    of a frame-wise network `[S, F, D]` and `[S * F]`.

    For a head on pooled embeddings that is the gradient of the clip's logit. Where segments (or frames) are scored, it
    is each one's logit weighted by its score, so that a segment without the class stays dark.
    """

    def own(values: Tensor) -> Tensor:
        # A number added to all logits changes no softmax; of two classes a head scores one against zeros.
        return values[..., index] - (values.mean(dim=-1) if classifier.activation == "softmax" else 0)

    embeddings, head, pool = embeddings.requires_grad_(), classifier.head, classifier.recipe.head.pool
    module = head.module() if head is not None else None
    logits = classifier.network.head if module is None else module.to(embeddings.device)
    if module is not None and pool != "segment":
        parts = [embeddings.mean(dim=0)] if "mean" in pool else []
        parts += [embeddings.amax(dim=0)] if "max" in pool else []
        decides = own(logits(torch.cat(parts)[None]))[0]
    else:
        decides = own(logits(embeddings)).flatten() @ torch.from_numpy(scores).to(embeddings.device)
    return torch.autograd.grad(decides, embeddings)[0]


def _split_by_band(cam: Tensor, layer: nn.Module, outputs: Callable[[], Tensor]) -> Tensor:
    """Maps `[B, f, w]` of frequency bands that the network stacks as channels -> `[B, bands * f, w]`, the bands one
    above the other.

    Each cell is divided among the bands by their part in it: |gradient| times decibels above `FLOOR_DB` below the
    segment's loudest cell, of the output of `layer`, `[B, bands, F, W]` in decibels.
    """
    layer_output: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> Tensor:
        layer_output.append(out.detach().requires_grad_())
        return layer_output[0]

    hook = layer.register_forward_hook(keep)
    try:
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(outputs().sum(), layer_output)
    finally:
        hook.remove()
    decibels = layer_output[0].detach()
    audible = (decibels - decibels.amax(dim=(1, 2, 3), keepdim=True) + FLOOR_DB).clamp_min(0)
    shares = nn.functional.adaptive_avg_pool2d((gradient * audible).abs(), (cam.shape[1], cam.shape[2]))
    shares = shares / shares.sum(dim=1, keepdim=True).clamp_min(torch.finfo(shares.dtype).tiny)
    return (cam[:, None] * shares).flatten(1, 2)


def _interpolation(shares: Tensor, cells: int) -> Tensor:
    """Places along one side of the map, as shares of it `[n]` -> weights `[n, cells]` that interpolate linearly between
    the cells' centres; zeros where the place is NaN."""
    places = (shares * cells - 0.5).clamp(0, cells - 1)
    return (1 - (places[:, None] - torch.arange(cells)).abs()).clamp_min(0).nan_to_num(0).float()
