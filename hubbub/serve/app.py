"""The server's routes: a classifier over HTTP, with the answers of `hubbub classify --json` and `hubbub explain`.

What a request asks of the model is in `service`, its limits in `limits`, its checks in `middleware`.
"""

import os
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Query
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocket

from hubbub.classifier.base import Classifier
from hubbub.errors import HubbubError
from hubbub.inference.events import EventSettings
from hubbub.inference.result import PredictOptions
from hubbub.serve.build import STATIC, build
from hubbub.serve.limits import Limits, RefusedError
from hubbub.serve.metrics import Metrics
from hubbub.serve.middleware import Token
from hubbub.serve.schema import ALWAYS, REFUSALS, UPLOAD, ClassifyResponse, ExplainResponse, ModelInfo
from hubbub.serve.service import Service
from hubbub.serve.uploads import receive

__all__ = ["create_app"]

Number = partial(Query, allow_inf_nan=False)


async def _service(request: Request) -> Service:  # a plain function would be called in a thread
    service: Service = request.app.state.service
    return service


Serving = Annotated[Service, Depends(_service)]
router = APIRouter()


@router.post("/v1/classify", responses={200: {"model": ClassifyResponse}, **REFUSALS}, openapi_extra=UPLOAD)
async def classify(
    request: Request,
    service: Serving,
    events: Annotated[
        bool, Query(description="Also return events, by the classifier's own threshold of each class, or .5.")
    ] = False,
    threshold: Annotated[
        float | None, Number(description="Also return events of classes that reach this score.")
    ] = None,
    release: Annotated[float | None, Number(description="Score at which an event ends. Default: threshold.")] = None,
    shortest: Annotated[float, Number(description="Leave out shorter events [s].")] = 0.0,
    gap: Annotated[float, Number(description="Join events of a class that are at most this far apart [s].")] = 0.0,
) -> Response:
    """Classify a recording: the object of `hubbub classify --json`.

    The recording is the file of a form (multipart/form-data) or the body itself. Its content tells its format.
    """
    service.refuse_unready()
    wanted = EventSettings(threshold, release, shortest, gap) if events or threshold is not None else None
    options = PredictOptions(events=wanted)
    upload = await receive(request, service.limits)
    with upload.file:
        answer = await service.run_in_pool(request, service.decoders, partial(service.classify, upload, options))
    return JSONResponse(answer.to_dict())


@router.post("/v1/explain", responses={200: {"model": ExplainResponse}, **REFUSALS}, openapi_extra=UPLOAD)
async def explain(
    request: Request,
    service: Serving,
    label: Annotated[str | None, Query(description="The class to explain. Default: the predicted one.")] = None,
    start: Annotated[float | None, Number(ge=0, description="Explain the part from here [s].")] = None,
    end: Annotated[float | None, Number(ge=0, description="Explain the part up to here [s].")] = None,
) -> Response:
    """Explain which parts of a recording make a class's score: `explanation.json` of `hubbub explain`, with its images
    and sounds as `data:` addresses under `media`."""
    service.refuse_unready()
    upload = await receive(request, service.limits)
    with upload.file, service.explanations.acquire(request.state.address):
        explain_upload = partial(service.explain, upload, label, start, end)
        card = await service.run_in_pool(request, service.explainer, explain_upload)
    return JSONResponse(card)


@router.websocket("/v1/stream")
async def stream(socket: WebSocket) -> None:
    """Classify a stream: the client sends samples, the server sends segments and events as soon as they are known."""
    service: Service = socket.app.state.service
    try:
        service.refuse_unready()
    except RefusedError as refused:
        await socket.send_denial_response(refused.response())
        return
    await socket.accept()
    await service.streams.handle(socket)


@router.get("/v1/model", responses={200: {"model": ModelInfo}, **ALWAYS})
async def model(service: Serving) -> Response:
    """The model's classes, its rate and segments, its card and the caveats of its answers."""
    return JSONResponse(service.model_info())


def create_app(
    model: Classifier,
    name: str,
    limits: Limits | None = None,
    *,
    token: str | None = None,
    loopback: bool = True,
    names: tuple[str, ...] = (),
) -> FastAPI:
    """The server's ASGI app for a model; answers call it by the last part of `name`, which may be its path.

    With a `token`, every route except the page and the probes requires it. `loopback`: only this machine reaches the
    server. `names`: further host names under which a proxy reaches it. Raises `HubbubError` if the model does not take
    sound.
    """
    if not model.takes_sound:
        raise HubbubError(f"{name} takes images or spectrograms, not sound: it cannot be served. Give one for sound.")
    name = os.path.basename(os.path.abspath(name))  # answers must not show the server's folders
    service = Service(model, name, limits or Limits(), Metrics(), Token(token))
    return build(
        service,
        router,
        f"Classifies recordings with {name}.",
        page=STATIC,
        uploads=("/v1/classify", "/v1/explain"),
        stream="/v1/stream",
        token=token,
        loopback=loopback,
        names=names,
    )
