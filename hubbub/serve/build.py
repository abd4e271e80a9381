"""An ASGI app of routes: with probes, metrics and a page, behind the checks of `middleware`, and errors as JSON.

What the routes answer is the business of the app's service (`Served`).
"""

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from importlib import metadata
from pathlib import Path
from typing import Protocol

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

from hubbub.audio import decode
from hubbub.classifier.base import InvalidScoresError
from hubbub.errors import HubbubError
from hubbub.serve.batcher import StoppedError
from hubbub.serve.exchange import CLIENT_GONE
from hubbub.serve.limits import Limits, RefusedError
from hubbub.serve.metrics import CONTENT_TYPE, Metrics
from hubbub.serve.middleware import RequestMiddleware, Routes, Token
from hubbub.serve.schema import ALWAYS, METRICS, READY, Status

__all__ = ["STATIC", "Served", "build"]

#: The files that pages share; the page of `hubbub serve` is there too.
STATIC = Path(__file__).parent / "static"
probes = APIRouter()


class Served(Protocol):
    """What an app needs of its service: `title` says what is served, for a person."""

    title: str
    limits: Limits
    metrics: Metrics

    def running(self, app: FastAPI) -> AbstractAsyncContextManager[None]:
        """The app's lifespan."""

    def refuse_unready(self) -> None:
        """Raises `RefusedError` while it cannot answer."""

    async def finish_streams(self) -> None:
        """Ends what would keep connections open; called when the server stops."""


@probes.get("/healthz", responses={200: {"model": Status}, **ALWAYS})
async def healthz() -> Response:
    """Whether the process answers."""
    return JSONResponse({"status": "ok"})


@probes.get("/readyz", responses={200: {"model": Status}, **READY})
async def readyz(request: Request) -> Response:
    """Whether the service answers: 503 until it is ready, and while the server shuts down."""
    request.app.state.service.refuse_unready()
    return JSONResponse({"status": "ready"})


@probes.get("/metrics", responses=METRICS, response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Metrics for Prometheus."""
    return Response(request.app.state.service.metrics.text(), media_type=CONTENT_TYPE)


def build(
    service: Served,
    router: APIRouter,
    description: str,
    *,
    page: Path,
    uploads: Iterable[str],
    stream: str = "",
    token: str | None,
    loopback: bool,
    names: tuple[str, ...],
) -> FastAPI:
    """The app of a service and its routes.

    `page` is the folder of the page: its `index.html` is at /, its other files under /static, with those that pages
    share. `uploads` are the paths that take recordings, `stream` that of streams. With a `token`, every route except
    the page and the probes requires it. `loopback`: only this machine reaches the server. `names`: further host names
    under which a proxy reaches it.
    """
    app = FastAPI(
        title="hubbub",
        version=metadata.version("hubbub"),
        description=description,
        docs_url=None,  # they load scripts from other servers
        redoc_url=None,
        lifespan=service.running,
    )
    app.state.service = service
    app.include_router(router)
    app.include_router(probes)
    app.add_api_route("/", lambda: FileResponse(page / "index.html"), include_in_schema=False)
    if page != STATIC:
        app.mount("/static/own", StaticFiles(directory=page))
    app.mount("/static", StaticFiles(directory=STATIC))
    routes = (*router.routes, *probes.routes, *app.routes)
    parameters = {route.path: _parameters(route) for route in routes if isinstance(route, Route)}
    app.add_middleware(
        RequestMiddleware,
        limits=service.limits,
        metrics=service.metrics,
        token=Token(token),
        loopback=loopback,
        public_names=names,
        routes=Routes(parameters, frozenset(uploads), stream),
    )
    app.add_exception_handler(HubbubError, _refuse)
    app.add_exception_handler(HTTPException, _refuse_route)
    app.add_exception_handler(RequestValidationError, _refuse_parameters)
    app.add_exception_handler(ClientDisconnect, _client_gone)
    return app


async def _refuse(request: Request, error: Exception) -> Response:
    if isinstance(error, InvalidScoresError):
        raise error  # the middleware logs it
    if isinstance(error, RefusedError):
        return error.response()
    if isinstance(error, StoppedError):
        return RefusedError.retry_after(503, str(error), 5).response()
    if isinstance(error, decode.FormatError):
        return RefusedError(415, str(error)).response()
    return RefusedError(422, str(error)).response()


async def _refuse_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return RefusedError(error.status_code, str(error.detail), error.headers).response()


async def _refuse_parameters(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    reasons = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
    return RefusedError(400, reasons).response()


async def _client_gone(request: Request, error: Exception) -> Response:
    return Response(status_code=CLIENT_GONE)


def _parameters(route: Route) -> frozenset[str]:
    """The names of a route's query parameters."""
    return frozenset(one.alias for one in route.dependant.query_params) if isinstance(route, APIRoute) else frozenset()
