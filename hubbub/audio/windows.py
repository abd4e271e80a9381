"""Cuts a clip into segments of equal length.

The last segment and short clips are padded, so no clip is dropped. torch is not used, so that an exported classifier
cuts exactly as the original.
"""

import math
from typing import Literal

import numpy as np
import numpy.typing as npt
import soxr

from hubbub.errors import HubbubError

__all__ = ["Pad", "WindowError", "at_level", "at_speed", "count", "cut", "spans", "view_of"]

Array = npt.NDArray[np.float32]
Pad = Literal["zeros", "repeat"]
Level = Literal["recorded", "rms"]
LEVEL_RMS = np.float32(0.1)
LARGEST_GAIN = np.float32(100.0)


class WindowError(HubbubError):
    """An invalid length or hop of windows."""


def count(samples: int, length: int, hop: int) -> int:
    """The number of windows of `length` every `hop` that cover `samples`; the last one may need padding."""
    if length < 1 or not 1 <= hop <= length:
        raise WindowError(f"windows of {length} samples every {hop}: the hop must be between 1 and the length.")
    return 1 + max(math.ceil((samples - length) / hop), 0)


def cut(wave: Array, length: int, hop: int, pad: Pad = "zeros") -> Array:
    """Wave `[T]`, T >= 1 -> segments `[S, length]`, a view of the wave unless it is padded."""
    segments = count(len(wave), length, hop)
    total = length + (segments - 1) * hop
    if len(wave) < total:
        wave = np.pad(wave, (0, total - len(wave))) if pad == "zeros" else np.resize(wave, total)
    return np.lib.stride_tricks.sliding_window_view(wave, length)[::hop]


def spans(samples: int, rate_hz: int, length: int, hop: int) -> npt.NDArray[np.float64]:
    """Start and end of each segment `[S, 2]` [s]; ends are limited to the end of the recording."""
    starts = np.arange(count(samples, length, hop)) * hop
    return np.stack([starts, np.minimum(starts + length, samples)], axis=1) / rate_hz


def at_level(segments: Array, level: Level) -> Array:
    """Segments `[S, N]` as `recorded`, or scaled to a root mean square of .1 (`rms`), by a factor of at most 100, so
    that silence stays silence."""
    if level == "recorded":
        return segments
    rms = np.sqrt(np.square(segments).mean(axis=1, keepdims=True))
    return segments * (LEVEL_RMS / np.maximum(rms, LEVEL_RMS / LARGEST_GAIN))


def at_speed(segments: Array, speed: float) -> Array:
    """Segments `[S, N]` played at another speed, pitch and all, in as many samples: slower (below 1) the middle of the
    sound; faster (above 1) the sound, followed by its beginning."""
    if speed == 1.0:
        return segments
    played = np.stack([soxr.resample(segment, speed, 1.0, quality="HQ") for segment in segments])
    length = segments.shape[1]
    if speed < 1:
        start = (played.shape[1] - length) // 2
        return played[:, start : start + length]
    return np.concatenate([played, played[:, : length - played.shape[1]]], axis=1)


def view_of(segments: Array, level: Level, speed: float, shift: float) -> Array:
    """A copy of segments `[B, N]` in one of the views."""
    view = at_level(at_speed(segments, speed), level)
    return np.roll(view, round(shift * view.shape[-1]), axis=-1) if shift else np.array(view)
