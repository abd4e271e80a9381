"""Recordings to answers: many and of any length, one answer or one error each, never a stop in between.

Threads decode and cut while the network computes; segments of several recordings share its batches. Of a recording
only what is asked for is kept: its decision, each segment's best classes, its events.
This room does not know how answers are written down.
"""

import os
import shutil
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from hubbub.audio import decode, waves
from hubbub.audio.find_files import STDIN, near
from hubbub.classifier.base import PRECOMPUTED
from hubbub.errors import HubbubError
from hubbub.inference.answer import Answer, Array, Asked, Gist, Spans
from hubbub.inference.events import Event, Merger
from hubbub.inference.stream import Decision, Stream, StreamError
from hubbub.runtime.prefetch import prefetch

if TYPE_CHECKING:
    from hubbub.classifier.base import Classifier

__all__ = ["STDIN", "answers", "hear"]

#: Recordings decoded at a time, and how many pieces of each, of some seconds, ahead of the network.
DECODERS, PIECES = min(4, os.cpu_count() or 1), 4


class PredictError(HubbubError):
    """Nothing to classify, or nothing to classify with."""


def hear(model: "Classifier", source: str | Path | BinaryIO | decode.Sound, asked: Asked = Asked()) -> Gist:
    """A file, an open stream or a sound that is being decoded -> what was heard in it, in bounded memory; else as
    `Classifier.classify`."""
    if isinstance(source, str | Path) and Path(source).suffix.lower() in PRECOMPUTED:
        return _gist_of_given(model, Path(source), asked)
    listening = _Listening(model, asked)
    for piece in _pieces(model, source):
        if len(piece.segments):
            listening.add(model.outputs(piece.segments), piece)
    return listening.gist(piece.seconds, piece.rate_hz, piece.warnings)


def answers(
    model: "Classifier",
    paths: Sequence[str],
    name: str = "",
    asked: Asked = Asked(),
    heard: Callable[[str, float], None] = lambda path, share: None,
) -> Iterator[Answer]:
    """Classify each file, `-` being standard input, in order; one that cannot be read gives its error, and the rest
    go on. `heard(path, share)` is told what share of a file is done, if that is known."""
    waiting: deque[_Recording] = deque()
    batch = _Batch(model)
    with closing(prefetch((partial(_guarded, model, path) for path in paths), DECODERS, PIECES)) as lines:  # type: ignore[type-var]
        for path, pieces in zip(paths, lines, strict=True):
            recording = _Recording(path, _Listening(model, asked))
            waiting.append(recording)
            for piece in pieces:
                if isinstance(piece, HubbubError):
                    recording.error = str(piece)
                else:
                    recording.rate_hz, recording.seconds = piece.rate_hz, piece.seconds
                    recording.warnings = piece.warnings
                    batch.add(recording, piece)
                    heard(path, piece.share)
                while waiting and waiting[0].done and waiting[0] is not recording:
                    yield waiting.popleft().answer(name)
            if not recording.error and Path(path).suffix.lower() in PRECOMPUTED:
                recording.load_precomputed(model, asked)
            recording.ended = True
            heard(path, 1.0)
            while waiting and waiting[0].done:
                yield waiting.popleft().answer(name)
    batch.flush()
    yield from (recording.answer(name) for recording in waiting)


@dataclass(frozen=True)
class _Piece:
    """The next segments of a recording, its own rate, how much of it has come, and what share that is of it; with the
    last of them, what is odd about it."""

    segments: npt.NDArray[Any]
    spans: Spans
    rate_hz: int
    seconds: float
    share: float
    warnings: tuple[str, ...] = ()


def _pieces(model: "Classifier", source: str | Path | BinaryIO | decode.Sound) -> Iterator[_Piece]:
    """A recording, decoded and cut: one piece at least. Raises what `Classifier.read` does."""
    if not model.takes_sound:
        model.read("")  # says why
    with nullcontext(source) if isinstance(source, decode.Sound) else decode.opened(source) as sound:
        stream = Stream(model, sound.rate_hz)
        whole = sound.seconds or float("inf")
        for block in sound.blocks:
            yield _Piece(*stream.feed(block), sound.rate_hz, stream.seconds, min(stream.seconds / whole, 1.0))
        try:
            last = stream.end()
        except StreamError as error:
            name = source if isinstance(source, str | Path) else "the recording"
            raise PredictError(f"{name}: {error}") from error
        warnings = tuple(dict.fromkeys([*sound.warnings, *stream.warnings]))
        yield _Piece(*last, sound.rate_hz, stream.seconds, 1.0, warnings)


def _guarded(model: "Classifier", path: str) -> Iterator[_Piece | HubbubError]:
    """The pieces of a path, its error the last of them. What is no sound has none: it is small, and heard at once."""
    try:
        with ExitStack() as stack:
            source: str | BinaryIO = path
            if path == STDIN and sys.stdin.buffer.isatty():
                raise PredictError("standard input is a terminal. Pipe a sound into it: cat street.wav | hubbub ...")
            if path == STDIN:
                source = stack.enter_context(tempfile.TemporaryFile())  # decoders go back and forth
                shutil.copyfileobj(sys.stdin.buffer, source)
            elif not os.path.exists(path):
                what = "a link that leads nowhere" if os.path.islink(path) else "not a file"
                raise PredictError(f"{path} is {what}. {near(path)}")
            elif Path(path).suffix.lower() in PRECOMPUTED:
                return
            yield from _pieces(model, source)
    except HubbubError as error:
        yield error


class _Listening:
    """One recording while it is heard."""

    def __init__(self, model: "Classifier", asked: Asked) -> None:
        self._model, self._top = model, min(asked.top, len(model.labels))
        self._decision = Decision(model)
        self._merger = Merger(model.labels, asked.merging) if asked.merging else None
        self._events: list[Event] = []
        self._spans: list[Spans] = []
        self._best: list[npt.NDArray[np.intp]] = []
        self._scores: list[Array] = []

    def add(self, outputs: Array, piece: "_Piece") -> None:
        rows, spans = self._decision.add(outputs, piece.segments), piece.spans
        best = np.argsort(-rows, axis=1, kind="stable")[:, : self._top]
        self._spans.append(spans)
        self._best.append(best.copy())
        self._scores.append(np.take_along_axis(rows, best, axis=1))
        if self._merger:
            self._events += self._merger.feed(spans, rows)

    def gist(self, seconds: float, rate_hz: int, warnings: tuple[str, ...] = ()) -> Gist:
        events = None
        if self._merger:
            found = self._events + self._merger.end()
            events = tuple(sorted(found, key=lambda event: (event.start, event.end, event.label)))
        return Gist(
            self._model.labels,
            self._decision.scores(),
            seconds,
            np.concatenate(self._spans),
            np.concatenate(self._best),
            np.concatenate(self._scores),
            events,
            min(rate_hz, self._model.rate_hz) / 2,
            waves.known(self._decision.known, warnings),
            warnings,
        )


def _gist_of_given(model: "Classifier", path: Path, asked: Asked) -> Gist:
    """A picture or a spectrogram, which is one segment."""
    listening = _Listening(model, asked)
    segments, seconds = model.load_precomputed(path), model.precomputed_seconds
    piece = _Piece(segments, np.array([[0.0, seconds]]), model.rate_hz, seconds, 1.0)
    listening.add(model.outputs(segments), piece)
    return listening.gist(seconds, model.rate_hz)


@dataclass
class _Recording:
    """A path on its way to an answer."""

    path: str
    listening: _Listening
    seconds: float = 0.0
    rate_hz: int = 0
    warnings: tuple[str, ...] = ()
    pending: int = 0  # segments not heard yet
    ended: bool = False
    error: str = ""
    gist: Gist | None = None

    @property
    def done(self) -> bool:
        return self.ended and (not self.pending or bool(self.error))

    def load_precomputed(self, model: "Classifier", asked: Asked) -> None:
        try:
            self.gist = _gist_of_given(model, Path(self.path), asked)
        except HubbubError as error:
            self.error = str(error)

    def answer(self, name: str) -> Answer:
        if self.error:
            return Answer(self.path, None, self.error)
        return Answer(self.path, self.gist or self._gist(), model=name)

    def _gist(self) -> Gist:
        return self.listening.gist(self.seconds, self.rate_hz, self.warnings)


class _Batch:
    """Segments of several recordings, heard together."""

    def __init__(self, model: "Classifier") -> None:
        self._model = model
        self._held: list[tuple[_Recording, _Piece]] = []
        self._count = 0

    def add(self, recording: _Recording, piece: _Piece) -> None:
        if count := len(piece.segments):
            self._held.append((recording, piece))
            recording.pending += count
            self._count += count
        if self._count >= self._model.batch:
            self.flush()

    def flush(self) -> None:
        if not self._held:
            return
        outputs = self._model.outputs(np.concatenate([piece.segments for _, piece in self._held]))
        at = 0
        for recording, piece in self._held:
            count = len(piece.segments)
            recording.listening.add(outputs[at : at + count], piece)
            recording.pending -= count
            at += count
        self._held, self._count = [], 0
