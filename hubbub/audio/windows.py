"""Cut a clip into segments; pool the segments' logits into one decision about the clip.

The last part of a clip is kept and a short clip is padded: no clip is ever dropped. Plain numpy, so that an exported
classifier pools exactly as the one it came from.
"""

import math
from typing import Literal

import numpy as np
import numpy.typing as npt

from hubbub.errors import HubbubError

__all__ = ["Pad", "WindowError", "at_level", "count", "cut", "spans"]

Array = npt.NDArray[np.float32]
Pad = Literal["zeros", "repeat"]
Level = Literal["recorded", "rms"]
LEVEL_RMS = np.float32(0.1)
LARGEST_GAIN = np.float32(100.0)


class WindowError(HubbubError):
    """Windows that cannot be cut."""


def count(samples: int, length: int, hop: int) -> int:
    """How many windows of `length` every `hop` cover `samples`, the last one padded where it overhangs."""
    if length < 1 or not 1 <= hop <= length:
        raise WindowError(f"windows of {length} samples every {hop}: the hop must lie between 1 and the length.")
    return 1 + max(math.ceil((samples - length) / hop), 0)


def cut(wave: Array, length: int, hop: int, pad: Pad = "zeros") -> Array:
    """Wave `[T]`, T >= 1 -> segments `[S, length]`; a view without copies where nothing had to be padded."""
    segments = count(len(wave), length, hop)
    total = length + (segments - 1) * hop
    if len(wave) < total:
        wave = np.pad(wave, (0, total - len(wave))) if pad == "zeros" else np.resize(wave, total)
    return np.lib.stride_tricks.sliding_window_view(wave, length)[::hop]


def spans(samples: int, rate_hz: int, length: int, hop: int) -> npt.NDArray[np.float64]:
    """Start and end of each segment `[S, 2]` in seconds, the end held to the end of the recording."""
    starts = np.arange(count(samples, length, hop)) * hop
    return np.stack([starts, np.minimum(starts + length, samples)], axis=1) / rate_hz


def at_level(segments: Array, level: Level) -> Array:
    """Segments `[S, N]` as `recorded`, or each brought to one loudness: `rms` scales to a root mean square of .1, by a
    factor of 100 at most, so that silence stays silence."""
    if level == "recorded":
        return segments
    rms = np.sqrt(np.square(segments).mean(axis=1, keepdims=True))
    return segments * (LEVEL_RMS / np.maximum(rms, LEVEL_RMS / LARGEST_GAIN))
