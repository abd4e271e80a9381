"""One thread that owns the model and computes the segments of several requests in one batch.

Networks compute a batch faster than its segments one by one. Requests that arrive while a batch is computed share the
next one; none waits for others, so that a single request is as fast as without batching (adaptive batching, as in
Clipper: Crankshaw et al. 2017, https://arxiv.org/abs/1612.03079). Long recordings are cut into batches, so short ones
need not wait for all of them.

This module knows nothing of networks, requests or HTTP: `BatchedClassifier` is a `Classifier` like the one it shares.
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

__all__ = ["BatchedClassifier", "Batcher", "StoppedError"]

Array = npt.NDArray[np.float32]
Result = TypeVar("Result")


class StoppedError(HubbubError):
    """The model is shut down, or the client that options has gone."""


@dataclass(frozen=True)
class _Job:
    """Work for the model's thread. Jobs that compute `segments` `[S, N]` may share a batch; others run alone."""

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
    """Runs a model in one thread: `outputs` in shared batches, `run_exclusive` for anything else between batches.

    `on_batch` is called for each batch with its number of segments and of jobs. At most `queue_size` jobs wait; more
    callers block until there is room. Use it as a context: at its end, accepted jobs are finished.
    """

    def __init__(
        self, model: Classifier, queue_size: int = 64, on_batch: Callable[[int, int], None] | None = None
    ) -> None:
        self.model = model
        self._on_batch = on_batch
        self._jobs: queue.Queue[_Job | None] = queue.Queue(queue_size)
        self._open, self._lock = True, threading.Lock()
        self._postponed: _Job | None = None
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def waiting(self) -> int:
        """How many jobs are in the queue."""
        return self._jobs.qsize()

    def outputs(self, segments: Array) -> Array:
        """Segments `[S, N]` -> their `Classifier.outputs`, computed in batches with those of other callers."""
        size = self.model.batch
        pieces = [segments[start : start + size] for start in range(0, len(segments), size)]
        return np.concatenate([self._submit(_Job(partial(self.model.outputs, piece), piece)) for piece in pieces])

    def run_exclusive(self, work: Callable[[], Result]) -> Result:
        """Calls a function in the model's thread, between two batches; its error is raised here."""
        answer: Result = self._submit(_Job(work))
        return answer

    def close(self) -> None:
        """Accepts no more jobs, finishes the accepted ones and ends the thread."""
        with self._lock:
            if self._open:
                self._open = False
                self._jobs.put(None)
        self._thread.join()

    def _submit(self, job: _Job) -> Any:
        with self._lock:
            if not self._open:
                raise StoppedError("the model is shutting down. Try again when it is back.")
            self._jobs.put(job)
        return job.answer.result()

    def _work(self) -> None:
        while job := self._next():
            if job.segments is None:
                job.finish()
            else:
                self._run_batch(self._collect(job))

    def _next(self) -> _Job | None:
        job, self._postponed = self._postponed, None
        return job or self._jobs.get()

    def _collect(self, first: _Job) -> list[_Job]:
        """The waiting jobs that fit into one batch with `first`; the first that does not fit is postponed."""
        jobs, size = [first], first.size
        while size < self.model.batch:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                self._jobs.put(None)  # the end of the queue
                break
            if job.segments is None or size + job.size > self.model.batch:
                self._postponed = job
                break
            jobs.append(job)
            size += job.size
        return jobs

    def _run_batch(self, jobs: list[_Job]) -> None:
        if self._on_batch:
            self._on_batch(sum(job.size for job in jobs), len(jobs))
        if len(jobs) > 1:
            try:
                outputs = self.model.outputs(np.concatenate([job.segments for job in jobs if job.segments is not None]))
            except Exception:
                pass  # each job then runs alone, and only the failing one raises
            else:
                ends = np.cumsum([job.size for job in jobs])
                for job, rows in zip(jobs, np.split(outputs, ends[:-1]), strict=True):
                    job.answer.set_result(rows)
                return
        for job in jobs:
            job.finish()


class BatchedClassifier(Classifier):
    """A model that several threads may use at once: its `Batcher` computes its network. Its head is small, and each
    thread computes it itself: in the queue it would end a batch.

    `gone` is called before each computation and tells whether the client has gone.
    """

    def __init__(self, batcher: Batcher, gone: Callable[[], bool] = lambda: False) -> None:
        self._batcher, self._model, self._gone = batcher, batcher.model, gone
        for name in Classifier.__annotations__:
            setattr(self, name, getattr(batcher.model, name))

    def to(self, device: str) -> Self:
        self._batcher.run_exclusive(lambda: self._model.to(device))
        return self

    @property
    def batch(self) -> int:
        return self._model.batch

    @property
    def gives_embeddings(self) -> bool:
        return self._model.gives_embeddings

    def outputs(self, segments: Array) -> Array:
        self._refuse_gone()
        return self._batcher.outputs(segments)

    def forward(self, segments: Array) -> Array:
        return self._batcher.run_exclusive(lambda: self._model.forward(segments))

    def head_logits(self, outputs: Array) -> Array:
        self._refuse_gone()
        return self._model.head_logits(outputs)

    def _refuse_gone(self) -> None:
        if self._gone():
            raise StoppedError("the client has gone and does not wait for the answer.")
