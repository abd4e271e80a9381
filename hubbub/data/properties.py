"""Properties of a recording that its class should not depend on: level, silence, clipping, DC offset, band limit.

They are measured at the file's own rate, while it is decoded: clipping in each channel before they are mixed, all else
in the mono wave.
"""

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft

from hubbub.audio.waves import STEP, STEPS

__all__ = ["CLIPPED_RUN", "SILENT_DB", "Clipping", "Properties", "band_limit", "measure"]

Wave = npt.NDArray[np.float32]

#: Consecutive samples at full scale that count as clipping: the default of Audacity's "Find Clipping". One or two
#: samples at full scale also occur where a file was normalised to its peak.
CLIPPED_RUN = 3
#: Full scale of the largest positive number of 16 bits, and of 8.
_FULL, _FULL_8 = 1 - 1 / 2**15, 1 - 1 / 2**7
#: The level [dB] given to digital silence: below the quantisation noise of 16 bits (-101 dB).
SILENT_DB = -120.0
_FRAME_S = 0.05
_QUIETEST = 10  # percentile of the frames' levels
_FFT, _FFTS = 2048, 128  # samples of a spectrum, and spectra per recording
_FFTS_AT_ONCE, _SAMPLES_AT_ONCE = 8, 16_384  # small enough that the system gives no new memory for each recording
#: A band limit is an edge of `_EDGE_DB` where what is left above it is flat (within `_FLAT_DB`), as quantisation noise
#: is, or else of `_STEEP_DB`. The edge lies between `_BELOW` and `_ABOVE` times its frequency. Harmonics of animals and
#: sirens end with up to 19 dB, but fall on above it; resampled recordings of UrbanSound8K and ESC-50 have 20 to 70 dB.
_EDGE_DB, _STEEP_DB, _FLAT_DB = 15.0, 20.0, 20.0
_BELOW, _ABOVE, _FAR_ABOVE = (0.8, 0.95), 1.08, 1.25
#: The quantisation noise of 16 bits has -132 dB in each bin. What is weaker counts as that of silence.
_WEAKEST_DB = -140.0
_LOWEST_EDGE_HZ, _HIGHEST_EDGE = 1_500.0, 0.9
_SMOOTHED, _STEP = 8, 1.03  # bins, and the ratio of two frequencies that are tried


@dataclass(frozen=True)
class Properties:
    """`offset` is the mean of the samples; `level_db` the RMS about it and `floor_db` the level of the quietest frames
    that are not digital silence [dB of full scale]; `silent` the share of frames of digital silence; `clipped` the
    number of samples in runs at full scale, in the channel that has most; `band_hz` the frequency above which there is
    no sound: half the sample rate where no edge is found."""

    offset: float = 0.0
    level_db: float = SILENT_DB
    floor_db: float = SILENT_DB
    silent: float = 0.0
    clipped: int = 0
    band_hz: float = 0.0

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


class Clipping:
    """Counts the samples of a recording at full scale, channel by channel, in blocks of any size.

    `coding` is the file's, such as `WAV PCM_16`.
    """

    def __init__(self, coding: str = "") -> None:
        self._full_scale = _FULL_8 if coding.endswith(("_U8", "_S8")) else _FULL
        self._counted: list[int] = []  # of each channel, in runs that have ended
        self._running: list[int] = []  # of each channel, in the run that the last block ended with

    def feed(self, block: Wave) -> None:
        """The next samples, `[n]` or `[n, channels]`."""
        if not len(block):
            return
        at_limit = np.abs(block.reshape(len(block), -1)) >= self._full_scale
        if not self._counted:
            self._counted, self._running = [0] * at_limit.shape[1], [0] * at_limit.shape[1]
        for channel, flags in enumerate(at_limit.T):
            changes = np.flatnonzero(np.diff(flags, prepend=False, append=False))
            begins, ends = changes[::2], changes[1::2]
            runs = ends - begins
            if len(runs) and begins[0] == 0:
                runs[0] += self._running[channel]
            else:
                self._count(channel, self._running[channel])
            self._running[channel] = int(runs[-1]) if len(runs) and ends[-1] == len(flags) else 0
            self._count(channel, *runs[: len(runs) - bool(self._running[channel])])

    @property
    def samples(self) -> int:
        """The number of samples in runs of at least `CLIPPED_RUN` at or beyond full scale, in the channel that has
        most."""
        both = zip(self._counted, self._running, strict=True)
        return max((counted + last * (last >= CLIPPED_RUN) for counted, last in both), default=0)

    def _count(self, channel: int, *runs: int) -> None:
        self._counted[channel] += sum(int(run) for run in runs if run >= CLIPPED_RUN)


def measure(wave: Wave, rate_hz: int, clipped: int = 0) -> Properties:
    """The properties of a wave `[T]` at its own rate, of whose samples so many are clipped."""
    offset = float(wave.mean(dtype=np.float64))
    levels, silent = _frames(wave, rate_hz)
    heard = levels[~silent]
    return Properties(
        offset=round(offset, 6),
        level_db=_db(_power(wave, offset)),
        floor_db=_db(float(np.percentile(heard, _QUIETEST))) if len(heard) else SILENT_DB,
        silent=round(float(silent.mean()), 4),
        clipped=clipped,
        band_hz=round(band_limit(wave, rate_hz), 1),
    )


def _power(wave: Wave, offset: float) -> float:
    """The mean square of the samples about `offset`."""
    parts = (wave[at : at + _SAMPLES_AT_ONCE] - np.float32(offset) for at in range(0, len(wave), _SAMPLES_AT_ONCE))
    return sum(float(np.square(part).sum(dtype=np.float64)) for part in parts) / len(wave)


def _db(power: float) -> float:
    return round(max(float(10 * np.log10(max(power, 1e-30))), SILENT_DB), 2)


def _frames(wave: Wave, rate_hz: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """The power of each frame about its mean, and whether it is digital silence; a shorter wave is one frame."""
    length = min(max(round(_FRAME_S * rate_hz), 1), len(wave))
    frames = wave[: len(wave) // length * length].reshape(-1, length)
    silent = np.ptp(frames, axis=1) <= STEPS * STEP
    return frames.var(axis=1).astype(np.float64), silent


def band_limit(wave: Wave, rate_hz: int) -> float:
    """The frequency [Hz] above which a wave has no sound, by the steepest edge of its spectrum; half the rate if none.

    Below the edge the weak bins count, above it the strong ones, so that a tone makes no edge.
    """
    power, width_hz = _spectrum(wave, rate_hz)
    smooth = np.convolve(power, np.full(_SMOOTHED, 1 / _SMOOTHED), "same")
    level = 10 * np.log10(smooth + 1e-20)
    most, least = (of.accumulate(level[::-1])[::-1] for of in (np.maximum, np.minimum))  # from each bin on
    last_bin, middle, best_db = len(level) - 1, 0.0, 0.0
    lowest, highest = max(_LOWEST_EDGE_HZ / width_hz, 1 / (_BELOW[1] - _BELOW[0])), _HIGHEST_EDGE * last_bin
    for at in lowest * _STEP ** np.arange(max(np.log(highest / lowest) / np.log(_STEP), 0)):
        first, last = (int(share * at) for share in _BELOW)
        below = np.partition(level[first:last], (last - first) // 5)[(last - first) // 5]
        rest, far = most[int(_ABOVE * at)], min(int(_FAR_ABOVE * at), last_bin)
        depth_db = below - rest
        steep = depth_db >= _STEEP_DB or (depth_db >= _EDGE_DB and most[far] - max(least[far], _WEAKEST_DB) <= _FLAT_DB)
        if steep and depth_db > best_db:
            middle, best_db = (below + rest) / 2, depth_db
    if not best_db:
        return rate_hz / 2
    return min(float(np.flatnonzero(level > middle)[-1] * width_hz), rate_hz / 2)


def _spectrum(wave: Wave, rate_hz: int) -> tuple[npt.NDArray[np.float64], float]:
    """The mean power spectrum of frames spread over a wave, and the width of a bin [Hz]."""
    size = min(_FFT, 1 << max(len(wave).bit_length() - 1, 4))
    padded = np.pad(wave, (0, max(size - len(wave), 0)))
    frames = padded[: len(padded) // size * size].reshape(-1, size)
    chosen = np.linspace(0, len(frames) - 1, min(len(frames), _FFTS)).astype(int)
    window = np.hanning(size).astype(np.float32)
    power = np.zeros(size // 2 + 1)
    for at in range(0, len(chosen), _FFTS_AT_ONCE):
        part = frames[chosen[at : at + _FFTS_AT_ONCE]]
        spectra = scipy.fft.rfft((part - part.mean(axis=1, keepdims=True)) * window, axis=1)
        power += (np.square(spectra.real) + np.square(spectra.imag)).sum(axis=0, dtype=np.float64)
    return power / len(chosen) / float(window.sum()) ** 2, rate_hz / size
