"""One thread that owns the model, and what many ask of it at once in one pass.

Networks are quicker with a batch than with its segments one after the other. Those who wait while a pass is running
share the next one; nobody waits for company, so that a lone request is answered as fast as without (adaptive batching,
as in Clipper: Crankshaw et al. 2017, https://arxiv.org/abs/1612.03079). Long recordings come in pieces, and so take
turns with short ones.

This room knows nothing of networks, requests or HTTP: `Batched` is a `Classifier` like the one it shares.
"""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt

from hubbub.classifier.base import Classifier
from hubbub.errors import HubbubError

__all__ = ["Batched", "Batcher", "StoppedError"]

Array = npt.NDArray[np.float32]
Answer = TypeVar("Answer")


class StoppedError(HubbubError):
    """Asked of a model that is no longer at work, or on behalf of somebody who has gone."""


@dataclass(frozen=True)
class _Job:
    """Something to be done with the model; where that is hearing `segments` `[S, N]`, others may be heard with them."""

    work: Callable[[], Any]
    segments: Array | None = None
    answer: Future[Any] = field(default_factory=Future)

    @property
    def size(self) -> int:
        return 0 if self.segments is None else len(self.segments)

    def finish(self) -> None:
        try:
            self.answer.set_result(self.work())
        except BaseException as error:
            self.answer.set_exception(error)


class Batcher:
    """Owns a model: `outputs` of segments from any thread in shared passes, `alone` anything else between passes.

    `passed`, where given, is told of each pass: how many segments, of how many who asked. At most `waiting` jobs are
    held; who comes then waits until one is taken. Use it as a context: what was accepted is finished at its end.
    """

    def __init__(self, model: Classifier, waiting: int = 64, passed: Callable[[int, int], None] | None = None) -> None:
        self.model = model
        self._passed = passed
        self._jobs: queue.Queue[_Job | None] = queue.Queue(waiting)
        self._open, self._gate = True, threading.Lock()
        self._left: _Job | None = None
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def waiting(self) -> int:
        """How many jobs wait now."""
        return self._jobs.qsize()

    def outputs(self, segments: Array) -> Array:
        """Segments `[S, N]` -> what `Classifier.outputs` gives for them, heard with those of others."""
        at_once = self.model.batch
        pieces = [segments[start : start + at_once] for start in range(0, len(segments), at_once)]
        return np.concatenate([self._ask(_Job(partial(self.model.outputs, piece), piece)) for piece in pieces])

    def alone(self, work: Callable[[], Answer]) -> Answer:
        """Do something else with the model, in its own thread and between two passes; what it raises is raised here."""
        answer: Answer = self._ask(_Job(work))
        return answer

    def close(self) -> None:
        """Take nothing more, finish what was taken, and end the thread."""
        with self._gate:
            if self._open:
                self._open = False
                self._jobs.put(None)
        self._thread.join()

    def _ask(self, job: _Job) -> Any:
        with self._gate:
            if not self._open:
                raise StoppedError("the model is being shut down. Ask again when it is back.")
            self._jobs.put(job)
        return job.answer.result()

    def _work(self) -> None:
        while job := self._next():
            if job.segments is None:
                job.finish()
            else:
                self._pass(self._together(job))

    def _next(self) -> _Job | None:
        job, self._left = self._left, None
        return job or self._jobs.get()

    def _together(self, first: _Job) -> list[_Job]:
        """What waits and goes into one pass with `first`; the one that does not fit is kept for the next."""
        jobs, size = [first], first.size
        while size < self.model.batch:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                self._jobs.put(None)  # the end, behind which nothing comes
                break
            if job.segments is None or size + job.size > self.model.batch:
                self._left = job
                break
            jobs.append(job)
            size += job.size
        return jobs

    def _pass(self, jobs: list[_Job]) -> None:
        if self._passed:
            self._passed(sum(job.size for job in jobs), len(jobs))
        if len(jobs) > 1:
            try:
                heard = self.model.outputs(np.concatenate([job.segments for job in jobs if job.segments is not None]))
            except Exception:
                pass  # one of them is to blame: each finds out for itself
            else:
                ends = np.cumsum([job.size for job in jobs])
                for job, rows in zip(jobs, np.split(heard, ends[:-1]), strict=True):
                    job.answer.set_result(rows)
                return
        for job in jobs:
            job.finish()


class Batched(Classifier):
    """A model that many threads may ask at once: all that its network and head compute is computed by its `Batcher`.

    `gone`, asked before each piece of work, tells whether nobody waits for the answer any more.
    """

    def __init__(self, batcher: Batcher, gone: Callable[[], bool] = lambda: False) -> None:
        self._batcher, self._model, self._gone = batcher, batcher.model, gone
        for name in Classifier.__annotations__:
            setattr(self, name, getattr(batcher.model, name))

    def to(self, device: str) -> Self:
        self._batcher.alone(lambda: self._model.to(device))
        return self

    @property
    def batch(self) -> int:
        return self._model.batch

    def outputs(self, segments: Array) -> Array:
        self._refuse_gone()
        return self._batcher.outputs(segments)

    def forward(self, segments: Array) -> Array:
        return self._batcher.alone(lambda: self._model.forward(segments))

    def head_logits(self, outputs: Array) -> Array:
        self._refuse_gone()
        return self._batcher.alone(lambda: self._model.head_logits(outputs))

    def _refuse_gone(self) -> None:
        if self._gone():
            raise StoppedError("nobody waits for the answer any more.")
