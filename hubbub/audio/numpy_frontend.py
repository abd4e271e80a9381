"""Log-mel spectrograms in numpy and scipy's FFT: the numbers of `LogMel` without torch.

Frames that overlapping segments share are transformed once where the segments' hop is a multiple of the frames'.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import scipy.fft

if TYPE_CHECKING:
    from hubbub.audio.logmel import LogMel

__all__ = ["LogMelSettings", "log_mel"]

Array = npt.NDArray[np.float32]
#: Samples of the frames that are transformed at once, which fit a CPU's cache.
_SAMPLES_AT_ONCE = 2**17


@dataclass(frozen=True)
class LogMelSettings:
    """The settings of a `LogMel`, its `window` `[N]` and its `filters` `[bins, n_mels]` of the FFT's bins from
    `first_bin` on."""

    window: Array
    filters: Array
    first_bin: int
    n_fft: int
    hop: int
    margin: int
    shortest: int
    pad_mode: Literal["constant", "reflect"]
    power: float
    log: Literal["db", "offset"]
    offset: float
    ref: Literal["one", "max"]
    amin: float
    top_db: float

    @classmethod
    def of(cls, frontend: "LogMel") -> "LogMelSettings":
        """The settings of a front end in torch."""
        shared = ("n_fft", "hop", "margin", "shortest", "pad_mode", "power", "log", "offset", "ref", "amin", "top_db")
        return cls(
            window=frontend.window.cpu().numpy(),
            filters=frontend.filters[frontend.bins].cpu().numpy(),
            first_bin=frontend.bins.start,
            **{name: getattr(frontend, name) for name in shared},
        )


def log_mel(wave: Array, settings: LogMelSettings, length: int | None = None, hop: int | None = None) -> Array:
    """Segments `[S, T]`, or a wave `[T]` that is cut into segments of `length` samples every `hop` -> their log-mel
    `[S, n_mels, frames]`. Samples after the last whole segment are left out; a wave shorter than `length` gives none.
    """
    if wave.ndim == 1 and length and hop:
        if len(wave) < length:
            return np.zeros((0, settings.filters.shape[1], 0), np.float32)
        if settings.margin == 0 and length >= settings.shortest and hop % settings.hop == 0:
            frames = 1 + (length - len(settings.window)) // settings.hop
            mel = _mel(wave[None, : len(wave) - (len(wave) - length) % hop], settings)[0]
            windows = np.lib.stride_tricks.sliding_window_view(mel, frames, axis=0)  # [first, n_mels, frames]
            return _log(windows[:: hop // settings.hop], settings)
        wave = np.lib.stride_tricks.sliding_window_view(wave, length)[::hop]
    return _log(_mel(np.atleast_2d(wave), settings).transpose(0, 2, 1), settings)


def _mel(wave: Array, settings: LogMelSettings) -> Array:
    """Waves `[B, T]` -> mel magnitude or power `[B, frames, n_mels]`."""
    missing = max(settings.shortest - wave.shape[1], 0)
    wave = np.pad(wave, ((0, 0), (0, missing))) if missing else wave
    if settings.margin:
        wave = np.pad(wave, ((0, 0), (settings.margin, settings.margin)), mode=settings.pad_mode)
    frames = np.lib.stride_tricks.sliding_window_view(wave, len(settings.window), axis=1)[:, :: settings.hop]
    mel = np.empty((*frames.shape[:2], settings.filters.shape[1]), np.float32)
    bins = slice(settings.first_bin, settings.first_bin + len(settings.filters))
    clips = max(1, _SAMPLES_AT_ONCE // settings.n_fft // frames.shape[1])
    step = max(1, _SAMPLES_AT_ONCE // settings.n_fft // clips)
    for clip in range(0, len(frames), clips):
        for first in range(0, frames.shape[1], step):
            part = slice(clip, clip + clips), slice(first, first + step)
            spectrum = scipy.fft.rfft(frames[part] * settings.window, settings.n_fft)[..., bins]
            power = np.square(spectrum.real)
            power += np.square(spectrum.imag)
            if settings.power != 2:
                power **= np.float32(settings.power / 2)
            np.matmul(power, settings.filters, out=mel[part])
    return mel


def _log(mel: Array, settings: LogMelSettings) -> Array:
    """Mel magnitude or power `[S, n_mels, frames]` -> its logarithm."""
    if settings.log == "offset":
        return np.log(mel + np.float32(settings.offset))
    decibels = np.maximum(mel, np.float32(settings.amin ** (settings.power / 2)))
    np.log10(decibels, out=decibels)
    decibels *= np.float32(20 / settings.power)
    loudest = decibels.max(axis=(1, 2), keepdims=True)
    if settings.ref == "max":
        decibels -= loudest
        loudest = np.zeros_like(loudest)
    return np.maximum(decibels, loudest - np.float32(settings.top_db)) if settings.top_db else decibels
