"""The frames of frame-wise classifiers, whose segments have not one row of scores but many, one after another.

What is done with segments elsewhere (events, tables, thresholds, figures) is done with frames for these classifiers.
"""

import numpy as np
import numpy.typing as npt

from hubbub.config.recipe import Recipe

__all__ = ["by_window", "frame_samples", "frame_spans", "frames_of"]

#: The length of a frame [s], rounded to whole columns of the spectrogram, or samples.
FRAME_S = 0.04
Spans = npt.NDArray[np.float64]


def frame_samples(recipe: Recipe) -> int:
    """The length of a frame [samples]; that of a segment for a network without frames."""
    if not recipe.framewise:
        return recipe.windows.length
    hop = _hop(recipe)
    return max(round(FRAME_S * recipe.audio.rate_hz / hop), 1) * hop


def frames_of(recipe: Recipe) -> int:
    """The number of frames of a segment; 1 for a network without frames."""
    columns = recipe.windows.length // _hop(recipe) * _hop(recipe)
    return max(-(-columns // frame_samples(recipe)), 1) if recipe.framewise else 1


def _hop(recipe: Recipe) -> int:
    """The step of the columns that frames consist of [samples]; 1 for networks that take waves."""
    return 1 if recipe.frontend.name == "none" else recipe.frontend.hop


def frame_spans(recipe: Recipe, spans: Spans) -> tuple[Spans, npt.NDArray[np.bool_]]:
    """Start and end of segments `[S, 2]` [s], which end with the recording -> those of their frames `[S * F, 2]`, and
    whether a frame lies in the recording: those behind its end are of padding."""
    count = frames_of(recipe)
    if count == 1:
        return spans, np.ones(len(spans), dtype=bool)
    step = frame_samples(recipe) / recipe.audio.rate_hz
    starts = (spans[:, :1] + np.arange(count) * step).ravel()
    ends = np.minimum(starts + step, np.repeat(spans[:, 1], count))
    # A last frame that a rounded length leaves less than a thousandth of is padding too.
    return np.stack([starts, ends], axis=1), ends - starts > step / 1000


def by_window(recipe: Recipe, values: npt.NDArray[np.float32], spans: Spans) -> npt.NDArray[np.float32]:
    """Values of the rows of scores within the recording `[R]` -> of each segment those of its rows, `[S, F]`, 0 for
    rows behind the recording's end; `spans` `[S, 2]` are those of the segments."""
    inside = frame_spans(recipe, spans)[1]
    every = np.zeros(len(inside), np.float32)
    every[inside] = values
    return every.reshape(len(spans), -1)
