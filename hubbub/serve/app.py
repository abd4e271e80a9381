"""A classifier over HTTP: recordings and streams in, the answers of `hubbub classify --json` and `hubbub explain` out.

The event loop only takes and gives bytes. Recordings are decoded by a few threads, and one thread owns the model
(`microbatch`), so that what many ask at once is heard together. What may come in is held to limits at the gate
(`gate`) and while it is decoded.

This room knows no audio format and no network. torch is needed to explain, not to classify with an exported model.
"""

import asyncio
import base64
import logging
import os
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from fastapi import APIRouter, Depends, FastAPI, Query
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from hubbub.audio import decode
from hubbub.classifier.base import Classifier, InvalidScoresError
from hubbub.errors import HubbubError
from hubbub.inference.events import EventSettings
from hubbub.inference.predict import predict_recording
from hubbub.inference.result import FileResult, PredictOptions
from hubbub.serve.batcher import Batched, Batcher, StoppedError
from hubbub.serve.metrics import CONTENT_TYPE, Meters
from hubbub.serve.middleware import CLIENT_GONE, Gate, Limits, RefusedError, Slots, Token
from hubbub.serve.schema import ALWAYS, METRICS, READY, REFUSALS, UPLOAD, About, Classified, Explained, Status
from hubbub.serve.uploads import Upload, opened, receive
from hubbub.serve.websocket import Live

__all__ = ["Service", "create_app"]

log = logging.getLogger(__name__)

STATIC = Path(__file__).parent / "static"
#: Recordings decoded at once.
DECODERS = 8
#: Streams that are resampled at once.
LISTENERS = 4
MEDIA = {".png": "image/png", ".wav": "audio/wav"}
Result = TypeVar("Result")
Number = partial(Query, allow_inf_nan=False)


class Service:
    """What the routes ask: a model, the threads around it, and what it is allowed to take.

    `name` is what answers call the model. Nothing works before `running` is entered.
    """

    def __init__(self, model: Classifier, name: str, limits: Limits, meters: Meters, token: Token) -> None:
        self.model, self.name, self.limits, self.meters, self._token = model, name, limits, meters, token
        self.ready = self.closing = False
        self.explanations = Slots(limits.explanations, "explanations")
        meters.watch("ready", lambda: self.ready)
        meters.watch("queue_depth", lambda: self.batcher.waiting if self.ready else 0)

    @asynccontextmanager
    async def running(self, app: FastAPI) -> AsyncIterator[None]:
        """The app's lifespan: the model is warmed up behind it, and what was accepted is finished at its end."""
        with (
            Batcher(self.model, passed=self.meters.passed) as self.batcher,
            ThreadPoolExecutor(DECODERS, "decode") as self.decoders,
            ThreadPoolExecutor(1, "explain") as self.explainer,
            ThreadPoolExecutor(LISTENERS, "live") as listeners,
        ):
            self.live = Live(Batched(self.batcher), self.limits, self._token, listeners)
            warming = asyncio.get_running_loop().run_in_executor(self.decoders, self._warm_up)
            yield
            self.ready = False
            await warming

    def _warm_up(self) -> None:
        model = Batched(self.batcher)
        try:
            model.predict_proba(model.outputs(model.cut(np.zeros(1, dtype=np.float32))), [0])
            self.ready = True
        except Exception:
            log.exception("the model did not answer its first segment")

    def refuse_unready(self) -> None:
        if self.closing:
            raise RefusedError.for_now(503, "the server is being shut down. Ask again when it is back.", 5)
        if not self.ready:
            raise RefusedError.for_now(503, "the model is not ready yet. Try again in a second.")

    async def work(
        self, request: Request, pool: ThreadPoolExecutor, function: Callable[[Callable[[], bool]], Result]
    ) -> Result:
        """Do something in a pool's thread; it is told when the client has gone, and stops at the next piece of work."""
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
        """Take nothing more; tell streams to end, and wait until they have."""
        self.closing = True
        await self.live.finish()

    def classify(self, upload: Upload, options: PredictOptions, gone: Callable[[], bool]) -> FileResult:
        """The result that `hubbub classify` gives, of a model that many ask."""
        with opened(upload.file, self.limits, self.limits.max_seconds) as sound:
            return FileResult(
                upload.name, predict_recording(Batched(self.batcher, gone), sound, options), model=self.name
            )

    def explain(
        self, upload: Upload, label: str | None, start_s: float | None, end_s: float | None, gone: Callable[[], bool]
    ) -> dict[str, Any]:
        """What `hubbub explain` writes: its JSON, and pictures and sounds as data: addresses."""
        from hubbub.inference.explain import explain
        from hubbub.report.explanation import write_explanation

        with opened(upload.file, self.limits, self.limits.explain_seconds, start_s, end_s) as sound:
            whole = replace(sound, blocks=iter([np.concatenate(list(sound.blocks))]))
        model: Any = self.model
        why = self.batcher.alone(lambda: explain(model, whole, label=label))
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "explanation"
            shared: Any = Batched(self.batcher, gone)
            card = write_explanation(shared, why, folder)
            media = {p.name: _data(p) for p in sorted(folder.iterdir()) if p.suffix in MEDIA}
        return {**card, "file": upload.name, "model": self.name, "media": media}

    def about(self) -> dict[str, Any]:
        """What a client must know of the model, and what must be said beside its answers."""
        model, limits = self.model, self.limits
        length = model.recipe.windows.length
        return {
            "model": self.name,
            "labels": list(model.labels),
            "rate_hz": model.rate_hz,
            "segment_seconds": length / model.rate_hz,
            "hop_seconds": model.hop / model.rate_hz,
            "explains": _why_not_explain(model) == "",
            "warnings": list(model.card.get("not_comparable", [])),
            "card": model.card,
            "limits": {
                "max_mb": limits.max_mb,
                "max_seconds": limits.max_seconds,
                "explain_seconds": limits.explain_seconds,
            },
            "hubbub": metadata.version("hubbub"),
        }


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Serving = Annotated[Service, Depends(_service)]
router = APIRouter()


@router.post("/v1/classify", responses={200: {"model": Classified}, **REFUSALS}, openapi_extra=UPLOAD)
async def classify(
    request: Request,
    service: Serving,
    threshold: Annotated[float | None, Number(description="Give events too: of classes that reach this score.")] = None,
    release: Annotated[float | None, Number(description="They last while at this score. Default: threshold.")] = None,
    shortest: Annotated[float, Number(description="The shortest event [s].")] = 0.0,
    gap: Annotated[float, Number(description="Events of a class as close as this are one [s].")] = 0.0,
) -> Response:
    """Say what is heard in a recording: the object of `hubbub classify --json`.

    The recording is the file of a form (multipart/form-data), or the body itself; its format is known by its content.
    """
    service.refuse_unready()
    options = PredictOptions(events=None if threshold is None else EventSettings(threshold, release, shortest, gap))
    upload = await receive(request, service.limits)
    with upload.file:
        result = await service.work(request, service.decoders, partial(service.classify, upload, options))
    return JSONResponse(result.to_dict())


@router.post("/v1/explain", responses={200: {"model": Explained}, **REFUSALS}, openapi_extra=UPLOAD)
async def explain(
    request: Request,
    service: Serving,
    label: Annotated[str | None, Query(description="The class to explain. Default: the one decided.")] = None,
    start: Annotated[float | None, Number(ge=0, description="Explain the part from here [s].")] = None,
    end: Annotated[float | None, Number(ge=0, description="Explain the part up to here [s].")] = None,
) -> Response:
    """Show where in a recording a class was found, and let it be heard: `explanation.json` of `hubbub explain`, and its
    pictures and sounds as data: addresses under `media`."""
    service.refuse_unready()
    if reason := _why_not_explain(service.model):
        raise RefusedError(501, reason)
    upload = await receive(request, service.limits)
    with upload.file, service.explanations.one(request.state.address):
        card = await service.work(request, service.explainer, partial(service.explain, upload, label, start, end))
    return JSONResponse(card)


@router.websocket("/v1/stream")
async def stream(socket: WebSocket) -> None:
    """Samples in, segments and events out while they are heard."""
    service: Service = socket.app.state.service
    try:
        service.refuse_unready()
    except RefusedError as refused:
        await socket.send_denial_response(refused.response())
        return
    await socket.accept()
    await service.live.converse(socket)


@router.get("/v1/model", responses={200: {"model": About}, **ALWAYS})
async def model(service: Serving) -> Response:
    """The model's classes, its rate and segments, its card, and what must be said beside its answers."""
    return JSONResponse(service.about())


@router.get("/healthz", responses={200: {"model": Status}, **ALWAYS})
async def healthz() -> Response:
    """Whether the process answers."""
    return JSONResponse({"status": "ok"})


@router.get("/readyz", responses={200: {"model": Status}, **READY})
async def readyz(service: Serving) -> Response:
    """Whether the model answers: 503 until it has heard a first segment, and once the server is told to stop."""
    service.refuse_unready()
    return JSONResponse({"status": "ready"})


@router.get("/", include_in_schema=False)
async def page() -> Response:
    """The page; what it needs lies under /static."""
    return FileResponse(STATIC / "index.html")


@router.get("/metrics", responses=METRICS, response_class=PlainTextResponse)
async def metrics(service: Serving) -> Response:
    """Figures for Prometheus."""
    return Response(service.meters.text(), media_type=CONTENT_TYPE)


def create_app(
    model: Classifier,
    name: str,
    limits: Limits | None = None,
    *,
    token: str | None = None,
    loopback: bool = True,
    names: tuple[str, ...] = (),
) -> FastAPI:
    """The server's ASGI app for a model that answers call by the last part of `name`, which may be its path.

    With a `token` every route but the page and the probes wants it. `loopback` says that it is reached from this
    machine alone; `names` are those it has beside, through a proxy.
    """
    if not model.takes_sound:
        raise HubbubError(
            f"{name} takes pictures or spectrograms, not sound: it cannot be served. Give one that hears."
        )
    name = os.path.basename(os.path.abspath(name))  # where it lies is nobody's business
    limits, meters = limits or Limits(), Meters()
    service = Service(model, name, limits, meters, Token(token))
    app = FastAPI(
        title="hubbub",
        version=metadata.version("hubbub"),
        description=f"What is heard in a recording, by {name}.",
        docs_url=None,  # they load scripts from elsewhere
        redoc_url=None,
        lifespan=service.running,
    )
    app.state.service = service
    app.include_router(router)
    app.mount("/static", StaticFiles(directory=STATIC))
    app.add_middleware(
        Gate,
        limits=limits,
        meters=meters,
        token=Token(token),
        loopback=loopback,
        others=names,
        parameters={
            route.path: _parameters(route) for route in (*router.routes, *app.routes) if isinstance(route, Route)
        },
    )
    app.add_exception_handler(HubbubError, _refuse)
    app.add_exception_handler(HTTPException, _say)
    app.add_exception_handler(RequestValidationError, _misread)
    app.add_exception_handler(ClientDisconnect, _gone)
    return app


async def _refuse(request: Request, error: Exception) -> Response:
    if isinstance(error, InvalidScoresError):
        raise error  # the gate logs it
    if isinstance(error, RefusedError):
        return error.response()
    if isinstance(error, StoppedError):
        return RefusedError.for_now(503, str(error), 5).response()
    if isinstance(error, decode.FormatError):
        return RefusedError(415, str(error)).response()
    return RefusedError(422, str(error)).response()


async def _say(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return RefusedError(error.status_code, str(error.detail), error.headers).response()


async def _misread(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    said = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
    return RefusedError(400, said).response()


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=CLIENT_GONE)


def _parameters(route: Route) -> frozenset[str]:
    """The query parameters that a route takes."""
    return frozenset(one.alias for one in route.dependant.query_params) if isinstance(route, APIRoute) else frozenset()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _why_not_explain(model: Classifier) -> str:
    try:
        from hubbub.classifier.torch_classifier import TorchClassifier
    except ImportError:
        return "explaining needs torch, which is not installed here. Classify instead."
    if not isinstance(model, TorchClassifier):
        return "an exported model has no gradients to explain. Serve the run folder that it was exported from."
    return ""


def _data(file: Path) -> str:
    return f"data:{MEDIA[file.suffix]};base64,{base64.b64encode(file.read_bytes()).decode()}"
