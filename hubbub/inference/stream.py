"""Sound that comes in blocks of any length -> the segments of the whole wave, in bounded memory.

Long files, a microphone and the server's sockets all use `Stream`, which mixes down, resamples and cuts.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hubbub.audio import decode, waves, windows
from hubbub.audio.waves import Downmixer, WaveError
from hubbub.classifier.prediction import relative_scores
from hubbub.errors import HubbubError

if TYPE_CHECKING:
    from hubbub.classifier.base import Classifier

__all__ = ["Stream", "StreamError", "limit_length"]

Array = npt.NDArray[np.float32]
Spans = npt.NDArray[np.float64]


class StreamError(HubbubError):
    """A block that holds no valid samples, or a stream without samples."""


class Stream:
    """Blocks of samples in, finished segments out: together those that `model.cut` makes of the whole wave.

    A segment is returned as soon as its last sample has come; the resampler holds back a few ms. Between blocks at most
    one segment of the wave's start and one of its end are stored.
    """

    def __init__(self, model: "Classifier", rate_hz: int, channels: int = 1) -> None:
        """`rate_hz` and `channels` are those of the blocks. Raises `AudioError` for a rate out of range."""
        if not waves.is_integer(channels) or channels < 1:
            raise StreamError(f"{waves.short_repr(channels)} channels: give a whole number from 1.")
        self.rate_hz, self.channels = rate_hz, channels
        self._model = model
        self._mixer = Downmixer()
        self._resampler = decode.Resampler(rate_hz, model.rate_hz)
        self._length = model.cut(np.zeros(1, np.float32)).shape[1]
        self._fed = 0  # samples at `rate_hz`
        self._samples = 0  # samples at the model's
        self._count = 0  # segments so far
        #: At the end: a warning where the recording is much shorter than a segment.
        self.padded: list[str] = []
        self._start = self._rest = np.zeros(0, np.float32)

    @property
    def seconds(self) -> float:
        """The length of the sound so far."""
        return self._fed / self.rate_hz

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about the sound so far."""
        return (*self._mixer.warnings, *self.padded, *relative_scores(self._model.recipe))

    def feed(self, block: npt.ArrayLike) -> tuple[Array, Spans]:
        """Samples `[n]` or `[n, channels]`, floats in [-1, 1] or 8, 16 or 32-bit integers -> the segments that they
        complete `[S, N]`, and start and end of each [s]. `[channels, n]` is turned, unless n is the number of channels.

        Raises `StreamError` for another shape or type, and for samples that are not finite or far too large.
        """
        try:
            samples = waves.as_block(block, self.channels)
            wave = self._mixer.feed(samples)
        except WaveError as error:
            raise StreamError(f"the block at {self.seconds:.2f} s {error}") from error
        self._fed += len(samples)
        return self._take(self._resampler.feed(wave))

    def end(self) -> tuple[Array, Spans]:
        """The remaining segments, the last one padded as `model.cut` does. Raises `StreamError` where the sound is
        shorter than 10 ms."""
        if not self._fed:
            raise StreamError("the stream held no samples. Send sound before its end.")
        try:
            waves.refuse_short(self._fed, self.rate_hz)
        except WaveError as error:
            raise StreamError(f"the stream {error}") from error
        self.padded = waves.padding_warnings(self.seconds, self._model.recipe.windows.length / self._model.rate_hz)
        rest = self._resampler.feed(self._mixer.end())
        segments, spans = self._take(np.concatenate([rest, self._resampler.end()]))
        if windows.count(self._samples, self._length, self._model.hop) == self._count:
            return segments, spans
        # Models that pad with the wave's start need it before the rest, a whole number of hops away.
        start = self._start[: self._count * self._model.hop]
        last = self._model.cut(np.concatenate([start, self._rest]))[-1:]
        spans = np.concatenate([spans, self._spans(1)])
        self._count += 1
        return np.concatenate([segments, last]), spans

    def _take(self, wave: Array) -> tuple[Array, Spans]:
        hop, length = self._model.hop, self._length
        self._samples += len(wave)
        rest = np.concatenate([self._rest, wave])
        if (space := -(-length // hop) * hop - len(self._start)) > 0:
            self._start = np.concatenate([self._start, wave[:space]])
        whole = max((len(rest) - length) // hop + 1, 0)
        self._rest = rest[whole * hop :].copy()
        segments = self._model.cut(rest[: length + (whole - 1) * hop]) if whole else np.zeros((0, length), np.float32)
        spans = self._spans(whole)
        self._count += whole
        return segments, spans

    def _spans(self, count: int) -> Spans:
        """Start and end [s] of the next segments."""
        starts = np.arange(self._count, self._count + count) * self._model.hop
        return np.stack([starts, np.minimum(starts + self._length, self._samples)], axis=1) / self._model.rate_hz


def limit_length(sound: decode.Sound, refuse: Callable[[float], None]) -> decode.Sound:
    """The same sound, whose length in seconds is given to `refuse`, which raises where it is too long: what the header
    says at once, and while blocks are decoded, since a header may be wrong."""
    refuse(sound.seconds or 0)

    def blocks() -> Iterator[Array]:
        samples = 0
        for block in sound.blocks:
            samples += len(block)
            refuse(samples / sound.rate_hz)
            yield block

    return replace(sound, blocks=blocks())
