"""The short-time Fourier transform and its exact inverse, on a grid whose cells have seconds and Hz.

Overlapping Hann windows, added up again by their squares (Griffin & Lim 1984): whatever mask lies on the cells, a
masked sound and its complement sum to the recording.
"""

import numpy as np
import numpy.typing as npt

__all__ = ["Grid"]

Array = npt.NDArray[np.float32]
Spectrum = npt.NDArray[np.complex64]
WINDOW_S = 0.064  # the nearest power of two in samples is used
OVERLAP = 4


class Grid:
    """The grid for waves `[samples]` at `rate_hz`: frames of `size` samples, centred at `times` [s]; bins at `hz`."""

    def __init__(self, samples: int, rate_hz: int) -> None:
        self.samples, self.rate_hz = samples, rate_hz
        self.size = 2 ** round(np.log2(WINDOW_S * rate_hz))
        self.hop = self.size // OVERLAP
        self.times = np.arange(1 + samples // self.hop) * self.hop / rate_hz
        self.hz = np.arange(self.size // 2 + 1) * rate_hz / self.size
        self.shape = (len(self.hz), len(self.times))
        self._window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.size) / self.size)).astype(np.float32)
        self._weight = self._overlap_add(np.broadcast_to(self._window**2, (len(self.times), self.size)), 0)

    def frames(self, start: float, end: float) -> slice:
        """The frames centred from `start` to `end` [s]; it may be none for a span shorter than their distance."""
        # Times are whole samples, so a millionth of a frame is only rounding.
        first, last = np.ceil(start * self.rate_hz / self.hop - 1e-6), end * self.rate_hz / self.hop + 1e-6
        return slice(int(first), max(int(first), min(int(last) + 1, len(self.times))))

    def analyse(self, wave: Array) -> Spectrum:
        """Wave `[samples]` -> spectrum `[bins, frames]`."""
        padded = np.pad(wave, self.size // 2 + self.hop)[self.hop :]
        frames = np.lib.stride_tricks.sliding_window_view(padded, self.size)[:: self.hop][: len(self.times)]
        spectrum: Spectrum = np.fft.rfft(frames * self._window).astype(np.complex64).T
        return spectrum

    def levels(self, wave: Array) -> Array:
        """Wave `[samples]` -> the level of each frame [dB]; -200 for zeros."""
        power = np.square(np.abs(self.analyse(wave))).sum(axis=0)
        return 10 * np.log10(np.maximum(power, 1e-20), dtype=np.float32)

    def synthesise(self, spectrum: Spectrum, first: int = 0) -> Array:
        """Spectrum `[bins, frames]` of the frames from `first` on -> wave `[samples]`."""
        frames = np.fft.irfft(spectrum.T, self.size).astype(np.float32) * self._window
        return np.divide(self._overlap_add(frames, first), self._weight, dtype=np.float32)

    def joined(self, parts: list[tuple[slice, Array]]) -> Array:
        """Maps `[bins, n]` of some frames each -> one map `[bins, frames]`: their mean where they overlap."""
        total, count = np.zeros(self.shape, np.float32), np.zeros(len(self.times), np.float32)
        for frames, part in parts:
            total[:, frames] += part
            count[frames] += 1
        return np.divide(total, np.maximum(count, 1), dtype=np.float32)

    def _overlap_add(self, frames: Array, first: int) -> Array:
        """Overlap-add: frames `[n, size]` from number `first` on -> their sum `[samples]`."""
        blocks = np.zeros((len(self.times) + 2 * OVERLAP, self.hop), np.float32)
        for part in range(OVERLAP):
            at = first + part
            blocks[at : at + len(frames)] += frames[:, part * self.hop : (part + 1) * self.hop]
        return blocks.ravel()[self.size // 2 :][: self.samples]
