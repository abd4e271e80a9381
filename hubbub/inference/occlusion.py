"""Occlusion of sound: patches of the spectrum are removed, and the scores without them are compared.

Zeiler & Fergus 2014 (https://arxiv.org/abs/1311.2901) cover parts of an image; here parts of the recording are removed,
so that it works for any classifier, with or without gradients, and in all views that its decision is made of.
"""

import numpy as np
import numpy.typing as npt

from hubbub.classifier.base import Classifier
from hubbub.inference.stft import Grid
from hubbub.runtime.progress import track

__all__ = ["grid_patches", "occlude"]

Array = npt.NDArray[np.float32]
#: A patch is two steps long and two bands high, and patches lie a step or a band apart.
STEP_S, MOST_STEPS, BANDS = 0.125, 48, 6
#: Rows of outputs that are scored at once.
ROWS = 1024
_LEAST = 1e-6  # a score nearer to 0 or 1 counts as this


def occlude(classifier: Classifier, wave: Array, grid: Grid, label: str) -> tuple[Array, list[tuple[slice, Array]]]:
    """Wave `[T]` -> the map `[bins, frames]` of how far the log-odds of the clip's score fall without each cell, 0 or
    more; and each segment's frames on the grid with a map of its own, times its score."""
    index, base = classifier.labels.index(label), classifier.cut(wave)
    unchanged = classifier.outputs(base)
    by_row, by_clip = classifier.predict_proba(unchanged, [0])
    by_segment = by_row.reshape(len(base), classifier.frames, -1).max(axis=1)  # of a frame-wise network, the best frame
    patches, spectrum = grid_patches(grid), grid.analyse(wave)
    clip, count = np.zeros(grid.shape, np.float32), np.zeros(grid.shape, np.float32)
    spans = [grid.frames(*span) for span in classifier.spans(len(wave))]
    parts = [np.zeros((grid.shape[0], span.stop - span.start), np.float32) for span in spans]
    size = max(1, ROWS // len(base))
    for start in track(range(0, len(patches), size), "removing patches", -(-len(patches) // size)):
        some = patches[start : start + size]
        outputs, touched = _outputs_without(classifier, wave, grid, spectrum, some, base, unchanged)
        rows, clips = classifier.predict_proba(
            outputs.reshape(-1, *unchanged.shape[1:]), np.arange(len(some)) * len(base)
        )
        segments = rows[:, index].reshape(len(some), len(base), classifier.frames).max(axis=2)
        falls = _log_odds(by_clip[:, index]) - _log_odds(clips[:, index])
        own = _log_odds(by_segment[:, index]) - _log_odds(segments)
        for patch, fall, by_part, at in zip(some, falls, own, touched, strict=True):
            clip[patch] += max(fall, 0)
            count[patch] += 1
            for number in at:
                first = spans[number].start
                inside = slice(max(patch[1].start - first, 0), max(patch[1].stop - first, 0))
                parts[number][patch[0], inside] += max(by_part[number], 0) * by_segment[number, index]
    clip /= count
    for span, part in zip(spans, parts, strict=True):
        part /= count[:, span]
    return clip, list(zip(spans, parts, strict=True))


def _outputs_without(
    classifier: Classifier,
    wave: Array,
    grid: Grid,
    spectrum: npt.NDArray[np.complex64],
    patches: list[tuple[slice, slice]],
    base: Array,
    unchanged: Array,
) -> tuple[Array, list[npt.NDArray[np.intp]]]:
    """Outputs `[patches, S, E]` of the wave without each patch, and the segments that changed; the others have the
    outputs of the whole wave, `unchanged`."""
    outputs, touched, changed = np.repeat(unchanged[None], len(patches), axis=0), [], []
    for bins, frames in patches:
        there = np.zeros((grid.shape[0], frames.stop - frames.start), np.complex64)
        there[bins] = spectrum[bins, frames]
        segments = classifier.cut(wave - grid.synthesise(there, frames.start))
        at = np.flatnonzero((segments != base).any(axis=1))
        touched.append(at)
        changed.append(segments[at])
    rows = np.repeat(np.arange(len(patches)), [len(at) for at in touched])
    if len(rows):
        outputs[rows, np.concatenate(touched)] = classifier.outputs(np.concatenate(changed))
    return outputs, touched


def grid_patches(grid: Grid) -> list[tuple[slice, slice]]:
    """Bins and frames of each patch; together they cover every cell, most cells four times."""
    bins, frames = grid.shape
    step = max(1, round(STEP_S * grid.rate_hz / grid.hop), -(-frames // MOST_STEPS))
    mels = np.log1p(grid.hz / 700)  # HTK's scale, on which bands are equally high
    edges = np.searchsorted(mels, np.linspace(0, mels[-1], BANDS + 1))
    edges[-1] = bins
    rows = [slice(edges[max(band, 0)], edges[min(band + 2, BANDS)]) for band in range(-1, BANDS)]
    columns = [slice(max(at, 0), min(at + 2 * step, frames)) for at in range(-step, frames, step)]
    return [(row, column) for column in columns for row in rows]


def _log_odds(scores: Array) -> Array:
    scores = np.clip(scores, _LEAST, 1 - _LEAST)
    return np.log(scores / (1 - scores))
