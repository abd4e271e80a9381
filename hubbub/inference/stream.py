"""Sound that comes in blocks: the segments and the decision that the whole wave would give, in bounded memory.

Long files, a microphone and the server's sockets all go through here. Blocks of any length are mixed down, resampled
and cut as they come; a recording's decision is gathered segment by segment.
This room does not know where blocks come from, nor what is done with scores.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hubbub.audio import decode, waves, windows
from hubbub.audio.waves import Downmixer, WaveError
from hubbub.errors import HubbubError

if TYPE_CHECKING:
    from hubbub.classifier.base import Classifier

__all__ = ["Stream", "StreamError", "limit_length"]

Array = npt.NDArray[np.float32]
Spans = npt.NDArray[np.float64]


class StreamError(HubbubError):
    """A block that is no sound, or a stream that held none."""


class Stream:
    """Blocks of samples in, finished segments out: together those that `model.cut` makes of the whole wave.

    A segment is given as soon as its last sample is there; the resampler holds back a few ms. Between blocks no more
    is kept than one segment at the start and one at the end.
    """

    def __init__(self, model: "Classifier", rate_hz: int, channels: int = 1) -> None:
        """`rate_hz` and `channels` are the blocks' own. Raises `AudioError` where the rate is no sound's."""
        if not waves.is_integer(channels) or channels < 1:
            raise StreamError(f"{waves.short_repr(channels)} channels: give a whole number from 1.")
        self.rate_hz, self.channels = rate_hz, channels
        self._model = model
        self._mixer = Downmixer()
        self._resampler = decode.Resampler(rate_hz, model.rate_hz)
        self._length = model.cut(np.zeros(1, np.float32)).shape[1]
        self._fed = 0  # samples at their own rate
        self._samples = 0  # samples at the model's
        self._given = 0  # segments
        #: At the end: what is to be said of a recording much shorter than a segment.
        self.padded: list[str] = []
        self._start = self._rest = np.zeros(0, np.float32)

    @property
    def seconds(self) -> float:
        """How much sound has been fed."""
        return self._fed / self.rate_hz

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is odd about the sound so far, in sentences."""
        return (*self._mixer.warnings, *self.padded)

    def feed(self, block: npt.ArrayLike) -> tuple[Array, Spans]:
        """Samples `[n]` or `[n, channels]`, floats in [-1, 1] or 8, 16 or 32-bit integers -> the segments they finish
        `[S, N]`, start and end of each [s]. `[channels, n]` is turned, unless n is the number of channels.

        Raises `StreamError` where the shape or the kind is another, or a sample is no number or far too large.
        """
        try:
            samples = waves.as_block(block, self.channels)
            wave = self._mixer.feed(samples)
        except WaveError as error:
            raise StreamError(f"the block at {self.seconds:.2f} s {error}") from error
        self._fed += len(samples)
        return self._take(self._resampler.feed(wave))

    def end(self) -> tuple[Array, Spans]:
        """The segments still missing, the last one padded as `model.cut` does. Raises `StreamError` where less than 10
        ms were fed."""
        if not self._fed:
            raise StreamError("the stream held no samples. Send sound before its end.")
        try:
            waves.refuse_short(self._fed, self.rate_hz)
        except WaveError as error:
            raise StreamError(f"the stream {error}") from error
        self.padded = waves.padding_warnings(self.seconds, self._model.recipe.windows.length / self._model.rate_hz)
        rest = self._resampler.feed(self._mixer.end())
        segments, spans = self._take(np.concatenate([rest, self._resampler.end()]))
        if windows.count(self._samples, self._length, self._model.hop) == self._given:
            return segments, spans
        # The wave's own start stands before its rest, a whole number of hops away, for models that pad with it.
        ahead = self._start[: self._given * self._model.hop]
        last = self._model.cut(np.concatenate([ahead, self._rest]))[-1:]
        spans = np.concatenate([spans, self._spans(1)])
        self._given += 1
        return np.concatenate([segments, last]), spans

    def _take(self, wave: Array) -> tuple[Array, Spans]:
        hop, length = self._model.hop, self._length
        self._samples += len(wave)
        rest = np.concatenate([self._rest, wave])
        if (room := -(-length // hop) * hop - len(self._start)) > 0:
            self._start = np.concatenate([self._start, wave[:room]])
        whole = max((len(rest) - length) // hop + 1, 0)
        self._rest = rest[whole * hop :].copy()
        segments = self._model.cut(rest[: length + (whole - 1) * hop]) if whole else np.zeros((0, length), np.float32)
        spans = self._spans(whole)
        self._given += whole
        return segments, spans

    def _spans(self, count: int) -> Spans:
        """Start and end of the next segments."""
        starts = np.arange(self._given, self._given + count) * self._model.hop
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
