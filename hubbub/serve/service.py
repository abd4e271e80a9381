"""The model that a server shares between requests: its threads, warm-up and shutdown, and what it answers.

The event loop only receives and sends bytes. A few threads decode recordings, and one thread owns the model
(`batcher`), which computes segments of several requests in one batch.

Grad-CAM needs torch; an exported model is explained by occlusion, which shares batches with other requests.
"""

import asyncio
import base64
import logging
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from fastapi import FastAPI
from starlette.requests import ClientDisconnect, Request

from hubbub.classifier.base import Classifier
from hubbub.classifier.onnx_classifier import OnnxClassifier
from hubbub.inference.predict import predict_recording
from hubbub.inference.result import FileResult, PredictOptions
from hubbub.serve.batcher import BatchedClassifier, Batcher, StoppedError
from hubbub.serve.limits import Limits, RefusedError, Slots
from hubbub.serve.metrics import Metrics
from hubbub.serve.middleware import Token
from hubbub.serve.uploads import Upload, open_limited
from hubbub.serve.websocket import Streams

__all__ = ["Service"]

log = logging.getLogger(__name__)

#: Recordings decoded at once.
DECODE_THREADS = 8
#: Streams that are resampled at once.
STREAM_THREADS = 4
MEDIA = {".png": "image/png", ".wav": "audio/wav"}
Result = TypeVar("Result")


class Service:
    """A model, its threads and its limits, shared by all routes.

    `name` is the model's name in answers. Enter `running` before anything else.
    """

    def __init__(self, model: Classifier, name: str, limits: Limits, metrics: Metrics, token: Token) -> None:
        self.model, self.name, self.limits, self.metrics, self._token = model, name, limits, metrics, token
        self.title = f"hubbub serves {name}"
        self.ready = self.closing = False
        self.explanations = Slots(limits.explanations, "explanations")
        metrics.add_gauge("ready", lambda: self.ready)
        metrics.add_gauge("queue_depth", lambda: self.batcher.waiting if self.ready else 0)

    @asynccontextmanager
    async def running(self, app: FastAPI) -> AsyncIterator[None]:
        """The app's lifespan: warms the model up in the background, and finishes accepted requests at the end."""
        with (
            Batcher(self.model, on_batch=self.metrics.observe_batch) as self.batcher,
            ThreadPoolExecutor(DECODE_THREADS, "decode") as self.decoders,
            ThreadPoolExecutor(1, "explain") as self.explainer,
            ThreadPoolExecutor(STREAM_THREADS, "stream") as stream_threads,
        ):
            self.streams = Streams(BatchedClassifier(self.batcher), self.limits, self._token, stream_threads)
            warming = asyncio.get_running_loop().run_in_executor(self.decoders, self._warm_up)
            yield
            self.ready = False
            await warming

    def _warm_up(self) -> None:
        model = BatchedClassifier(self.batcher)
        try:
            model.predict_proba(model.outputs(model.cut(np.zeros(1, dtype=np.float32))), [0])
            self.ready = True
        except Exception:
            log.exception("the model did not answer its first segment")

    def refuse_unready(self) -> None:
        """Raises `RefusedError` while the model warms up and while the server shuts down."""
        if self.closing:
            raise RefusedError.retry_after(503, "the server is shutting down. Try again when it is back.", 5)
        if not self.ready:
            raise RefusedError.retry_after(503, "the model is not ready yet. Try again in a second.")

    async def run_in_pool(
        self, request: Request, pool: ThreadPoolExecutor, function: Callable[[Callable[[], bool]], Result]
    ) -> Result:
        """Calls a function in a thread of a pool; its argument tells whether the client has gone, so that it stops."""
        gone = threading.Event()
        work: asyncio.Future[Result] = asyncio.get_running_loop().run_in_executor(pool, function, gone.is_set)
        watch = asyncio.create_task(_disconnected(request))
        both: list[asyncio.Future[Any]] = [work, watch]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return await work
            raise ClientDisconnect
        finally:
            watch.cancel()
            gone.set()
            with suppress(StoppedError, asyncio.CancelledError):
                await work  # the upload stays open as long as a thread reads it

    async def finish_streams(self) -> None:
        """Accepts no more requests, ends the streams and waits until they have ended."""
        self.closing = True
        await self.streams.finish()

    def classify(self, upload: Upload, options: PredictOptions, gone: Callable[[], bool]) -> FileResult:
        """The answer of `hubbub classify` for an upload."""
        with open_limited(upload.file, self.limits, self.limits.max_seconds) as sound:
            prediction = predict_recording(BatchedClassifier(self.batcher, gone), sound, options)
        return FileResult(upload.name, prediction, model=self.name)

    def explain(
        self, upload: Upload, label: str | None, start_s: float | None, end_s: float | None, gone: Callable[[], bool]
    ) -> dict[str, Any]:
        """The JSON that `hubbub explain` writes for an upload, with its images and sounds as `data:` addresses."""
        from hubbub.inference.explain import explain
        from hubbub.report.explanation import write_explanation

        with open_limited(upload.file, self.limits, self.limits.explain_seconds, start_s, end_s) as sound:
            whole = replace(sound, blocks=iter([np.concatenate(list(sound.blocks))]))
        shared = BatchedClassifier(self.batcher, gone)
        if isinstance(self.model, OnnxClassifier):
            found = explain(shared, whole, label=label, occlusion=True)
        else:
            found = self.batcher.run_exclusive(lambda: explain(self.model, whole, label=label))
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "explanation"
            card = write_explanation(shared, found, folder)
            media = {p.name: _data_address(p) for p in sorted(folder.iterdir()) if p.suffix in MEDIA}
        return {**card, "file": upload.name, "model": self.name, "media": media}

    def model_info(self) -> dict[str, Any]:
        """The model's classes, segments, card and caveats, and the limits of uploads."""
        model, limits = self.model, self.limits
        length = model.recipe.windows.length
        return {
            "model": self.name,
            "labels": list(model.labels),
            "rate_hz": model.rate_hz,
            "segment_seconds": length / model.rate_hz,
            "hop_seconds": model.hop / model.rate_hz,
            "warnings": list(model.card.get("not_comparable", [])),
            "card": model.card,
            "limits": {
                "max_mb": limits.max_mb,
                "max_seconds": limits.max_seconds,
                "explain_seconds": limits.explain_seconds,
            },
            "hubbub": metadata.version("hubbub"),
        }


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _data_address(file: Path) -> str:
    return f"data:{MEDIA[file.suffix]};base64,{base64.b64encode(file.read_bytes()).decode()}"
