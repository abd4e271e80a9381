"""Fingerprints of waves: one 32-bit word per 16 ms, which a copy of the sound has too.

After Haitsma and Kalker, "A highly robust audio fingerprinting system" (ISMIR 2002): bit b says whether the level of
band b over that of band b + 1 has risen within the last 128 ms. Gain and polarity leave it as it is; resampling, coding
and weak noise change few bits. Here the bands are summed over short frames, so that a word needs no long transform, and
lie between 150 and 3,700 Hz, which a copy through 8 kHz keeps. Sounds that lie wholly above are told by what is left of
them below. Words of different rates cannot be compared.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from hubbub.data import entries
from hubbub.data.cache import Waves, key_of, offsets_of
from hubbub.runtime import homes
from hubbub.runtime.processes import cores

__all__ = ["BAND_HZ", "HOP_S", "Fingerprints", "Narrow", "fingerprint", "narrow_of", "words"]

Array = npt.NDArray[np.float32]
Words = npt.NDArray[np.uint32]
#: Part of the key: increase it when words change.
VERSION = 1
HOP_S, FRAME_S = 0.016, 0.064
#: Frames that a word sums over, and frames back to the level that it is compared with.
SUM, BACK = 8, 8
BAND_HZ, BANDS = (150.0, 3700.0), 33
#: Rates are divided by a whole number where at least this many samples a second are left.
LEAST_RATE_HZ = 8000
#: Taps of the low-pass filter before that, in samples of the lower rate: half of them on either side.
TAPS = 16
#: Frames this far below the clip's loudest have no word (60 dB and more below, so digital silence has none).
QUIET = 1e-7
_FRAMES_AT_ONCE, _WORDS = 2048, "words.u32"


@dataclass(frozen=True)
class Fingerprints:
    """The words `[frames]` of all clips; clip i has those from `offsets[i]` to `offsets[i + 1]`. 0 is no word."""

    words: Words
    offsets: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Narrow:
    """Waves of one rate at a lower one that still holds the bands."""

    rate_hz: float
    divisor: int
    hop: int
    frame: int
    #: `[divisor, TAPS]`, the low-pass filter's phases.
    filter: Array
    #: `[frame / 2 + 1, BANDS]`, the share of each bin in each band.
    bands: Array

    def length(self, wave: Array) -> int:
        """Samples of the whole wave at the lower rate."""
        return -(-len(wave) // self.divisor)

    def cut(self, wave: Array, start: int, stop: int) -> Array:
        """Samples `start` to `stop` of the lower rate, `[stop - start]`; zeros before and after the wave."""
        if self.divisor == 1:
            return _padded(wave, start, stop)
        phases = _padded(wave, (start - TAPS // 2) * self.divisor, (stop + TAPS // 2) * self.divisor)
        filtered = phases.reshape(-1, self.divisor) @ self.filter
        found = filtered[: stop - start, 0].copy()
        for tap in range(1, TAPS):
            found += filtered[tap : tap + stop - start, tap]
        return found


def _padded(wave: Array, start: int, stop: int) -> Array:
    if start >= 0 and stop <= len(wave):
        return wave[start:stop]
    found = np.zeros(stop - start, np.float32)
    low, high = max(start, 0), min(stop, len(wave))
    if low < high:
        found[low - start : high - start] = wave[low:high]
    return found


@cache
def narrow_of(rate_hz: int) -> Narrow:
    """How waves of this rate are brought to a lower one."""
    from scipy.fft import next_fast_len
    from scipy.signal import firwin

    divisor = max(1, rate_hz // LEAST_RATE_HZ)
    rate = rate_hz / divisor
    frame = next_fast_len(max(round(FRAME_S * rate), 16), real=True)
    hertz = np.arange(frame // 2 + 1) * rate / frame
    width = rate / frame
    low, high = BAND_HZ
    edges = _hertz(np.linspace(_mel(low), _mel(min(high, 0.47 * rate_hz)), BANDS + 1))
    inside = np.minimum(hertz[:, None] + width / 2, edges[1:]) - np.maximum(hertz[:, None] - width / 2, edges[:-1])
    taps = firwin(TAPS * divisor, 0.95 / divisor) if divisor > 1 else np.ones(TAPS)
    return Narrow(
        rate, divisor, max(round(HOP_S * rate), 1), frame,
        np.ascontiguousarray(taps.reshape(TAPS, divisor).T, np.float32) if divisor > 1 else np.ones((1, 1), np.float32),
        np.clip(inside / width, 0, 1).astype(np.float32),
    )  # fmt: skip


def _mel(hertz: float) -> float:
    return float(2595 * np.log10(1 + hertz / 700))


def _hertz(mel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(700 * (10 ** (mel / 2595) - 1))


def words(wave: Array, narrow: Narrow) -> Words:
    """The words of a wave `[T]` -> `[frames]`. Word t is about the time from about `t * hop - frame` on."""
    levels = _levels(wave, narrow)
    loud = levels.sum(1)
    top = float(loud.max(initial=0))
    if top <= 0:
        return np.zeros(max(len(levels) - BACK, 0), np.uint32)
    levels += 1e-9 * top / BANDS
    steps = np.diff(np.log(levels), axis=1)
    bits = np.packbits(steps[BACK:] > steps[:-BACK], axis=1, bitorder="little").view("<u4")[:, 0]
    found: Words = np.where(np.maximum(loud[BACK:], loud[:-BACK]) > QUIET * top, bits, 0).astype(np.uint32)
    return found


def _levels(wave: Array, narrow: Narrow) -> Array:
    """Energies of the bands, summed over `SUM` frames, `[frames, BANDS]`, from silence before to silence after."""
    from scipy.fft import rfft

    before = narrow.frame - narrow.hop
    frames = max(-(-(narrow.length(wave) + before) // narrow.hop), 1)
    energies = np.zeros((BACK + SUM + frames + SUM, BANDS))
    window = np.hanning(narrow.frame + 1)[:-1].astype(np.float32)
    used = np.flatnonzero(narrow.bands.any(1))
    low, high = used[0], used[-1] + 1
    for first in range(0, frames, _FRAMES_AT_ONCE):
        last = min(first + _FRAMES_AT_ONCE, frames)
        start = first * narrow.hop - before
        samples = narrow.cut(wave, start, start + (last - first - 1) * narrow.hop + narrow.frame)
        spectra = rfft(sliding_window_view(samples, narrow.frame)[:: narrow.hop] * window, axis=1)[:, low:high]
        energies[BACK + SUM + first : BACK + SUM + last] = (spectra.real**2 + spectra.imag**2) @ narrow.bands[low:high]
    np.cumsum(energies, axis=0, out=energies)
    return np.maximum(energies[SUM:] - energies[:-SUM], 0).astype(np.float32)


def fingerprint(sound: Waves) -> Fingerprints:
    """The fingerprints of all clips, computed once per machine."""

    def read(folder: Path) -> Fingerprints:
        counts = json.loads((folder / "frames.json").read_text(encoding="utf-8"))
        file = folder / _WORDS
        found = np.memmap(file, np.uint32, mode="r") if file.stat().st_size else np.zeros(0, np.uint32)
        return Fingerprints(found, offsets_of(np.cumsum([0, *counts]), len(sound), len(found)))

    folder = homes.cache_dir() / "fingerprints" / key_of(VERSION, sound.key)
    return entries.entry(folder, lambda place: _store(place, sound), read)


def _store(folder: Path, sound: Waves) -> None:
    narrow, workers = narrow_of(sound.rate_hz), cores()
    with entries.JournalledFile(folder, _WORDS) as sink, ThreadPoolExecutor(workers) as pool:
        done, step = sum(map(len, sink.facts)), 64 * workers
        for first in range(done, len(sound), step):
            clips = range(first, min(first + step, len(sound)))
            found = list(pool.map(lambda clip: words(sound.wave(clip), narrow), clips))
            sink.add(np.concatenate(found), [len(each) for each in found])
        counts = [count for facts in sink.facts for count in facts]
    (folder / "frames.json").write_text(json.dumps(counts), encoding="utf-8")
