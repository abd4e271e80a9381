"""The sound of a segment as a WAV file and its spectrogram as a PNG image, for a page.

Recordings are opened here and handed on as streams, so that no message of a decoder holds their names.
"""

import io
import os
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import soundfile
from PIL import Image

from hubbub.archive.archive import Place
from hubbub.audio import decode
from hubbub.audio.sound import AudioError
from hubbub.serve.limits import RefusedError

__all__ = ["MOST_PADDING_S", "Sounds", "picture"]

Array = npt.NDArray[np.float32]
#: What browsers can play, and how much sound around a segment can be had [s].
HIGHEST_HZ, MOST_PADDING_S = 48_000, 5.0
#: How many are kept in memory: some 20 kB a picture, some 500 kB a sound.
PICTURES, SOUNDS = 2_000, 100
COLUMNS, BANDS = 256, 96
#: The range of colours below the loudest cell [dB].
DECIBELS = 80
#: The colours of `static/draw.js`, from dark to bright (after matplotlib's inferno).
STOPS = ((0, 0, 4), (40, 11, 84), (101, 21, 110), (159, 42, 99), (212, 72, 66), (245, 125, 21), (250, 193, 39),
         (252, 255, 164))  # fmt: skip
PALETTE = np.stack(
    [np.interp(np.linspace(0, len(STOPS) - 1, 256), np.arange(len(STOPS)), channel) for channel in np.array(STOPS).T],
    axis=1,
).astype(np.uint8)


class Sounds:
    """Sounds and pictures of the segments that `place` knows; those of late are kept in memory."""

    def __init__(self, place: Callable[[int], Place]) -> None:
        self._place = place
        self.wav = lru_cache(SOUNDS)(self._wav)
        self.png = lru_cache(PICTURES)(self._png)

    def wave(self, segment: int, start: float | None = None, end: float | None = None) -> tuple[Array, int]:
        """A segment's sound, or that of another part [s] of its recording, `[T]`, and its rate [Hz].

        Raises `RefusedError` where the recording is gone or cannot be read, and `ArchiveError` for no such segment."""
        place = self._place(segment)
        start, end = place.start if start is None else start, place.end if end is None else end
        try:
            with open(place.file, "rb") as stream:
                return decode.decode(stream, start or None, end)
        except OSError as error:
            gone = f"the recording of segment {segment} is not there ({os.strerror(error.errno or 0)})."
            raise RefusedError(
                410, f"{gone} Its labels are kept. Put it back, or index the recordings again."
            ) from None
        except AudioError as error:
            raise RefusedError(422, f"the recording of segment {segment} cannot be read: {error}") from None

    def _wav(self, segment: int, padding: float = 0.0) -> bytes:
        place, content = self._place(segment), io.BytesIO()
        around = (max(place.start - padding, 0.0), place.end + padding) if padding else (None, None)
        wave, rate = self.wave(segment, *around)
        wave, rate = _playable(wave, rate)
        soundfile.write(content, np.clip(wave, -1, 1), rate, "PCM_16", format="WAV")
        return content.getvalue()

    def _png(self, segment: int) -> bytes:
        return picture(*_playable(*self.wave(segment)))


def _playable(wave: Array, rate: int) -> tuple[Array, int]:
    return (decode.resample(wave, rate, HIGHEST_HZ), HIGHEST_HZ) if rate > HIGHEST_HZ else (wave, rate)


def picture(wave: Array, rate: int) -> bytes:
    """A wave `[T]` -> its spectrogram as PNG: bands that are even in mel, from 0 Hz to half the rate, time to the
    right."""
    size = 2 ** round(np.log2(rate * 0.03))
    middles = ((np.arange(COLUMNS) + 0.5) * len(wave) / COLUMNS).astype(int)
    padded = np.pad(wave, size // 2)
    frames = padded[middles[:, None] + np.arange(size)] * np.hanning(size).astype(np.float32)
    power = np.abs(np.fft.rfft(frames)) ** 2
    edges = 700 * np.expm1(np.linspace(0, np.log1p(rate / 2 / 700), BANDS + 1)[:-1]) / rate * size
    levels = 10 * np.log10(np.maximum.reduceat(power, edges.astype(int), axis=1) + 1e-10)
    share = np.clip(1 + (levels - levels.max()) / DECIBELS, 0, 1)
    image = Image.fromarray((255 * share.T[::-1]).round().astype(np.uint8), "P")
    image.putpalette(PALETTE.tobytes())
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()
