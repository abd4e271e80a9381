"""Predictions for many recordings of any length; a file that cannot be read gives an error, and the others go on.

Threads decode and cut while the network computes; segments of several recordings share its batches. Of a recording
only its scores, each segment's best classes and its events are kept.
"""

import os
import shutil
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from hubbub.audio import decode
from hubbub.audio.find_files import STDIN, near
from hubbub.audio.recorded import Recorded, when_recorded
from hubbub.classifier.base import PRECOMPUTED
from hubbub.classifier.prediction import Prediction, Spans
from hubbub.errors import HubbubError
from hubbub.inference.result import FileResult, PredictOptions
from hubbub.inference.scoring import Scorer
from hubbub.inference.stream import Stream, StreamError
from hubbub.runtime import processes
from hubbub.runtime.prefetch import prefetch

if TYPE_CHECKING:
    from hubbub.classifier.base import Classifier

__all__ = ["Batches", "Piece", "PredictError", "predict_files", "predict_recording", "recordings_ahead"]

#: Recordings decoded at the same time, how many pieces of each, of some seconds, and how many recordings ahead of the
#: network: it takes the segments of several short ones at a time.
DECODERS, PIECES = min(16, processes.cores()), 4
AHEAD = DECODERS + 6
#: Batches that wait for the network, so that it never waits for them.
IN_FLIGHT = 2


class PredictError(HubbubError):
    """Nothing to classify, or nothing to classify with."""


def predict_recording(
    model: "Classifier", source: str | Path | BinaryIO | decode.Sound, options: PredictOptions = PredictOptions()
) -> Prediction:
    """A file, an open stream or a sound that is being decoded -> its prediction, in bounded memory; otherwise as
    `Classifier.classify`, whose errors it raises."""
    if isinstance(source, str | Path) and Path(source).suffix.lower() in PRECOMPUTED:
        return _predict_precomputed(model, Path(source), options)
    scorer = _scorer(model, options)
    for piece in _joined(pieces(model, source), model.batch):
        if len(piece.segments):
            scorer.add(model.outputs(piece.segments), piece.segments, piece.spans)
    scorer.end()
    return scorer.prediction(piece.seconds, piece.warnings)


def predict_files(
    model: "Classifier",
    paths: Sequence[str],
    name: str = "",
    options: PredictOptions = PredictOptions(),
    progress: Callable[[str, float], None] = lambda path, share: None,
) -> Iterator[FileResult]:
    """The result of each file, `-` being standard input, in order. A file that cannot be read gives an error, and the
    others go on. `progress(path, share)` is called with the share of a file that is done, where its length is known."""
    waiting: deque[_Recording] = deque()
    with ThreadPoolExecutor(1) as network, closing(recordings_ahead(model, paths)) as queues:  # type: ignore[type-var]
        batch = Batches(model.outputs, model.batch, network)
        for path, pieces in zip(paths, queues, strict=True):
            recording = _Recording(path, _scorer(model, options), options.scores)
            waiting.append(recording)
            for piece in pieces:
                if isinstance(piece, HubbubError):
                    recording.error = str(piece)
                elif isinstance(piece, Recorded):
                    recording.recorded = piece
                else:
                    recording.last = piece
                    batch.add(recording, piece)
                    progress(path, piece.share)
                while waiting and waiting[0].done and waiting[0] is not recording:
                    yield waiting.popleft().result(model, name)
            if not recording.error and Path(path).suffix.lower() in PRECOMPUTED:
                recording.predict_precomputed(model, options)
            recording.ended = True
            progress(path, 1.0)
            while waiting and waiting[0].done:
                yield waiting.popleft().result(model, name)
        batch.flush()
    yield from (recording.result(model, name) for recording in waiting)


def _scorer(model: "Classifier", options: PredictOptions) -> Scorer:
    return Scorer(model, options.events, options.top)


@dataclass(frozen=True)
class Piece:
    """The next segments of a recording, the recording's own rate, how much of it was decoded [s] and as a share, and
    with the last segments its warnings."""

    segments: npt.NDArray[Any]
    spans: Spans
    rate_hz: int
    seconds: float
    share: float
    warnings: tuple[str, ...] = ()


def pieces(model: "Classifier", source: str | Path | BinaryIO | decode.Sound) -> Iterator[Piece]:
    """A recording, decoded and cut: at least one piece. Raises what `Classifier.read` does."""
    if not model.takes_sound:
        model.read("")  # raises the reason
    with nullcontext(source) if isinstance(source, decode.Sound) else decode.open_sound(source) as sound:
        stream = Stream(model, sound.rate_hz)
        whole = sound.seconds or float("inf")
        for block in sound.blocks:
            yield Piece(*stream.feed(block), sound.rate_hz, stream.seconds, min(stream.seconds / whole, 1.0))
        try:
            last = stream.end()
        except StreamError as error:
            name = source if isinstance(source, str | Path) else "the recording"
            raise PredictError(f"{name}: {error}") from error
        warnings = tuple(dict.fromkeys([*sound.warnings, *stream.warnings]))
        yield Piece(*last, sound.rate_hz, stream.seconds, 1.0, warnings)


def _joined(pieces: Iterator[Piece], least: int) -> Iterator[Piece]:
    """Pieces joined until they have at least so many segments; the last one may have fewer."""
    waiting: list[Piece] = []
    for piece in pieces:
        waiting.append(piece)
        if sum(len(one.segments) for one in waiting) >= least:
            yield _join(waiting)
            waiting = []
    if waiting:
        yield _join(waiting)


def _join(pieces: list[Piece]) -> Piece:
    segments, spans = (
        np.concatenate(parts) for parts in zip(*((one.segments, one.spans) for one in pieces), strict=True)
    )
    return replace(pieces[-1], segments=segments, spans=spans)


def recordings_ahead(model: "Classifier", paths: Iterable[str]) -> Iterator[Iterator[Recorded | Piece | HubbubError]]:
    """Of each file when it was recorded, where that is known, and its pieces; an error is the last of them. Threads
    decode the next files meanwhile."""
    return prefetch((partial(_guarded, model, path) for path in paths), DECODERS, PIECES, AHEAD)


def _guarded(model: "Classifier", path: str) -> Iterator[Recorded | Piece | HubbubError]:
    """When a file was recorded, where that is known, and its pieces, an error as the last of them. Precomputed
    spectrograms, which are small, have no pieces."""
    try:
        with ExitStack() as stack:
            source: str | BinaryIO = path
            if path == STDIN and sys.stdin.buffer.isatty():
                raise PredictError("standard input is a terminal. Pipe a sound into it: cat street.wav | hubbub ...")
            if path == STDIN:
                source = stack.enter_context(tempfile.TemporaryFile())  # decoders need to seek
                shutil.copyfileobj(sys.stdin.buffer, source)
            elif not os.path.exists(path):
                what = "a link that leads nowhere" if os.path.islink(path) else "not a file"
                raise PredictError(f"{path} is {what}. {near(path)}")
            if recorded := when_recorded(path, None if isinstance(source, str) else source):
                yield recorded
            if Path(path).suffix.lower() in PRECOMPUTED:
                return
            yield from pieces(model, source)
    except HubbubError as error:
        yield error


def _predict_precomputed(model: "Classifier", path: Path, options: PredictOptions) -> Prediction:
    """The prediction for an image or a spectrogram, which is one segment."""
    scorer = _scorer(model, options)
    segments, seconds = model.load_precomputed(path), model.precomputed_seconds
    scorer.add(model.outputs(segments), segments, np.array([[0.0, seconds]]))
    scorer.end()
    return scorer.prediction(seconds)


@dataclass
class _Recording:
    """A file on its way to its result."""

    path: str
    scorer: Scorer
    scores: int | None = None
    last: Piece | None = None
    pending: int = 0  # segments that are not scored yet
    ended: bool = False
    error: str = ""
    recorded: Recorded | None = None
    precomputed: Prediction | None = None

    @property
    def done(self) -> bool:
        return self.ended and (not self.pending or bool(self.error))

    def take(self, outputs: npt.NDArray[Any], piece: Piece) -> None:
        """Score a piece by its outputs."""
        self.scorer.add(outputs, piece.segments, piece.spans)

    def predict_precomputed(self, model: "Classifier", options: PredictOptions) -> None:
        try:
            self.precomputed = _predict_precomputed(model, Path(self.path), options)
        except HubbubError as error:
            self.error = str(error)

    def result(self, model: "Classifier", name: str) -> FileResult:
        if self.error:
            return FileResult(self.path, None, self.error)
        if self.last is None:
            return FileResult(self.path, self.precomputed, "", name, model.rate_hz / 2, self.scores, self.recorded)
        self.scorer.end()
        warnings = self.last.warnings
        if self.recorded and self.recorded.warning:
            warnings += (self.recorded.warning,)
        prediction = self.scorer.prediction(self.last.seconds, warnings)
        highest_hz = min(self.last.rate_hz, model.rate_hz) / 2
        return FileResult(self.path, prediction, "", name, highest_hz, self.scores, self.recorded)


class Taker(Protocol):
    """Takes the outputs of its pieces, in their order; `pending` counts the segments whose outputs it waits for."""

    pending: int

    def take(self, outputs: npt.NDArray[Any], piece: Piece) -> None: ...


class Batches:
    """Segments of several recordings, which go through the network together, while the next ones are collected.

    `compute` gives the outputs of segments, in the thread `network`, for `size` of them or more at a time.
    """

    def __init__(self, compute: Callable[..., npt.NDArray[Any]], size: int, network: ThreadPoolExecutor) -> None:
        self._compute, self._size, self._network = compute, size, network
        self._waiting: list[tuple[Taker, Piece]] = []
        self._computed: deque[tuple[list[tuple[Taker, Piece]], Future[npt.NDArray[Any]]]] = deque()
        self._count = 0

    def add(self, recording: Taker, piece: Piece) -> None:
        """Add a piece; gives recordings the outputs of earlier ones."""
        if count := len(piece.segments):
            self._waiting.append((recording, piece))
            recording.pending += count
            self._count += count
        if self._count >= self._size:
            self._submit()
            while len(self._computed) > IN_FLIGHT:
                self._hand_out()

    def flush(self) -> None:
        """Gives recordings all outputs."""
        if self._waiting:
            self._submit()
        while self._computed:
            self._hand_out()

    def _submit(self) -> None:
        segments = np.concatenate([piece.segments for _, piece in self._waiting])
        self._computed.append((self._waiting, self._network.submit(self._compute, segments)))
        self._waiting, self._count = [], 0

    def _hand_out(self) -> None:
        waiting, outputs = self._computed.popleft()
        start = 0
        for recording, piece in waiting:
            count = len(piece.segments)
            recording.take(outputs.result()[start : start + count], piece)
            recording.pending -= count
            start += count
