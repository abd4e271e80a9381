"""Classify live sound: predictions for segments and events as they come, and their latency.

One thread reads the source, another classifies; a queue between them holds a few seconds of sound. On a slow machine a
pipe waits, so that nothing is lost. A microphone does not wait: blocks that find the queue full are dropped and
counted, and classification continues with new sound.
"""

import itertools
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from hubbub.audio import waves
from hubbub.audio.capture import Source
from hubbub.classifier.prediction import Array, Event, Prediction, Spans
from hubbub.inference.events import EventSettings
from hubbub.inference.scoring import Scorer
from hubbub.inference.stream import Stream, StreamError

if TYPE_CHECKING:
    from hubbub.classifier.base import Classifier

__all__ = ["Figures", "LiveClassifier"]

#: The most blocks in the queue; a microphone's hold a tenth of a second.
WAITING = 20
_POLL_S = 0.1  # how often a waiting thread looks whether it was stopped


@dataclass
class Figures:
    """Figures of a run. Latency [s] is from the arrival of a segment's last sample to its scores. Samples that a source
    itself lost in one go count as one block."""

    seconds: float = 0.0
    segments: int = 0
    latency_s: float = 0.0
    worst_latency_s: float = 0.0
    dropped_blocks: int = 0
    dropped_s: float = 0.0
    _sum_s: float = field(default=0.0, repr=False)

    @property
    def mean_latency_s(self) -> float:
        return self._sum_s / self.segments if self.segments else 0.0

    def add_segment(self, latency_s: float) -> None:
        self.segments += 1
        self._sum_s += latency_s
        self.latency_s = latency_s
        self.worst_latency_s = max(self.worst_latency_s, latency_s)


@dataclass(frozen=True)
class _Block:
    """Samples `[n, channels]`, the position of the first one in the source, and when they arrived."""

    samples: Array
    first: int
    arrived: float

    @property
    def end(self) -> int:
        return self.first + len(self.samples)


class LiveClassifier:
    """Classifies the sound of a source. `run` gives segments and events; `figures` and `prediction` can be asked at any
    time after it began."""

    def __init__(self, model: "Classifier", source: Source, events: EventSettings, waiting: int = WAITING) -> None:
        self._model, self._source = model, source
        self._scorer = Scorer(model, events)
        self._waiting: queue.Queue[_Block | BaseException | None] = queue.Queue(waiting)
        self._stopped = threading.Event()
        self._stream = self._new_stream()
        self._before: dict[tuple[str, ...], None] = {}  # warnings of earlier streams, which ended at a gap
        self.figures = Figures()

    @property
    def prediction(self) -> Prediction:
        """The prediction for all sound so far, at least one segment."""
        return self._scorer.prediction(self.figures.seconds, self.warnings)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about the sound so far."""
        each = [*self._before, self._stream.warnings]
        found = dict.fromkeys(itertools.chain(self._source.warnings, *each))
        if not all(waves.SILENCE in warnings for warnings in each):
            found.pop(waves.SILENCE, None)
        if self._before:  # what comes after a gap may be short
            found = {warning: None for warning in found if warning not in self._stream.padded}
        return tuple(found)

    def stop(self) -> None:
        """Take no more from the source; what was taken is classified to its end."""
        self._stopped.set()

    def run(self, seconds: float | None = None) -> Iterator[Prediction | Event]:
        """A prediction for each segment, and events once they are over, of so many `seconds` or until the source ends;
        once.

        Where blocks were dropped a new stream begins: no segment and no event spans the gap. Raises what the source
        and `Stream` do, `StreamError` where not a single sample came.
        """
        most = None if seconds is None else max(round(seconds * self._source.rate_hz), 1)
        # A daemon: a pipe that gives nothing cannot be told to stop.
        threading.Thread(target=self._read, args=(most,), name="source", daemon=True).start()
        begun, done = 0, 0  # samples of the source: where the stream begins, and what was fed
        try:
            for blocks in self._runs():
                if blocks[0].first != done:
                    yield from self._scorer.end()
                    self._before[self._stream.warnings] = None
                    self._stream, begun = self._new_stream(), blocks[0].first
                done = blocks[-1].end
                segments, spans = self._stream.feed(np.concatenate([block.samples for block in blocks]))
                self.figures.seconds = done / self._source.rate_hz
                yield from self._score(segments, spans + begun / self._source.rate_hz, blocks)
            if not done:
                raise StreamError("not a single sample came. See whether the source gives sound.")
            if not begun or done - begun >= waves.SHORTEST_S * self._source.rate_hz:
                segments, spans = self._stream.end()
                yield from self._score(segments, spans + begun / self._source.rate_hz, [])
            yield from self._scorer.end()
        finally:
            self._stopped.set()

    def _new_stream(self) -> Stream:
        return Stream(self._model, self._source.rate_hz, self._source.channels)

    def _score(self, segments: Array, spans: Spans, blocks: list[_Block]) -> Iterator[Prediction | Event]:
        if not len(segments):
            return
        scores, events = self._scorer.add(self._model.outputs(segments), segments, spans)
        now = time.monotonic()
        for end in spans[:, 1].tolist():
            arrived = next((b.arrived for b in blocks if b.end >= round(end * self._source.rate_hz)), None)
            self.figures.add_segment(now - arrived if arrived is not None else 0.0)
        yield from self._scorer.segment_predictions(spans, scores)
        yield from events

    def _runs(self) -> Iterator[list[_Block]]:
        """The queue's content, as runs of blocks that follow each other without a gap."""
        run: list[_Block] = []
        while True:
            try:
                item = self._waiting.get(block=not run, timeout=_POLL_S)
            except queue.Empty:
                if run:
                    yield run
                    run = []
                elif self._stopped.is_set():
                    return
                continue
            if isinstance(item, _Block) and (not run or run[-1].end == item.first):
                run.append(item)
                continue
            if run:
                yield run
            run = [item] if isinstance(item, _Block) else []
            if isinstance(item, BaseException):
                raise item
            if item is None:
                return

    def _read(self, most: int | None) -> None:
        """In its own thread: read blocks from the source into the queue, `most` samples at most."""
        taken = lost = 0
        try:
            for samples in self._source.blocks():
                if gap := self._source.lost - lost:
                    lost += gap
                    self._dropped(gap)
                first = taken + lost
                samples = samples if most is None else samples[: max(most - first, 0)]
                if len(samples):
                    self._put(_Block(samples, first, time.monotonic()))
                taken += len(samples)
                if self._stopped.is_set() or (most is not None and first + len(samples) >= most):
                    break
            self._put(None)
        except BaseException as error:  # raised by the classifying thread
            self._put(error)

    def _put(self, item: _Block | BaseException | None) -> None:
        if self._source.live and isinstance(item, _Block):
            try:
                self._waiting.put_nowait(item)
            except queue.Full:
                self._dropped(len(item.samples))
            return
        while not self._stopped.is_set():
            try:
                self._waiting.put(item, timeout=_POLL_S)
                return
            except queue.Full:
                continue

    def _dropped(self, samples: int) -> None:
        self.figures.dropped_blocks += 1
        self.figures.dropped_s += samples / self._source.rate_hz
