"""ASGI middleware before every route: who may send requests, how many at once, and the log of each request.

A request is passed on or refused with `{"error": reason}`. A page of another origin gets no answer: its `Origin` does
not match the host, and no CORS header lets it read. Against DNS rebinding, a server that listens only to this machine
and needs no token answers only to names of this machine. The log of a request holds neither its content nor its file
name.

This module knows nothing of sounds or models.
"""

import hmac
import ipaddress
import logging
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, urlsplit

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from hubbub.errors import did_you_mean
from hubbub.serve.exchange import ENVELOPE_BYTES, Exchange, declared_bytes
from hubbub.serve.limits import Limits, RefusedError, Slots
from hubbub.serve.metrics import Metrics

__all__ = ["SERVER_ERROR", "RequestMiddleware", "Routes", "Token", "refuse_unknown_parameters"]

log = logging.getLogger(__name__)

#: The status in the log and metrics of a request that failed inside the server, even if an answer had begun.
FAILED = 500
SERVER_ERROR = "an error inside the server; its log shows which. Tell the person who runs it."
#: Routes without a token: probes carry none. The page needs none either, for the token is typed there.
PROBES = ("/healthz", "/readyz")
PAGE = "page"


class Token:
    """The token that clients must send, if there is one."""

    def __init__(self, value: str | None) -> None:
        self._value = value

    @property
    def required(self) -> bool:
        return self._value is not None

    def matches(self, sent: str) -> bool:
        """Whether a client's token is right; takes the same time for any."""
        return self._value is None or hmac.compare_digest(sent.encode(errors="replace"), self._value.encode())


@dataclass(frozen=True)
class Routes:
    """An app's routes: the query parameters of each path, which paths take recordings, and that of streams. Every other
    path, and `/`, is the page, its files or nothing."""

    parameters: Mapping[str, Collection[str]]
    uploads: Collection[str] = ()
    stream: str = ""

    def of(self, path: str) -> str:
        """The route of a path, or `PAGE`."""
        return path if path != "/" and (path in self.parameters or path == self.stream) else PAGE


class RequestMiddleware:
    """Checks, limits, counts and logs every request.

    `loopback`: only this machine reaches the server; `public_names`: host names under which a proxy reaches it.
    """

    def __init__(
        self,
        app: ASGIApp,
        limits: Limits,
        metrics: Metrics,
        token: Token,
        loopback: bool,
        public_names: tuple[str, ...],
        routes: Routes,
    ) -> None:
        self.app, self.limits, self.metrics = app, limits, metrics
        self._token, self._loopback, self._public_names, self._routes = token, loopback, public_names, routes
        self.uploads = Slots(limits.queue, "uploads")
        self.streams = Slots(limits.streams, "streams")
        metrics.add_gauge("uploads", lambda: self.uploads.taken)
        metrics.add_gauge("streams", lambda: self.streams.taken)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        exchange = Exchange(scope, self._routes.of(scope["path"]), self.limits)
        await self._answer(exchange, receive, exchange.with_headers(send))
        await exchange.finish(receive, send)

    async def _answer(self, exchange: Exchange, receive: Receive, send: Send) -> None:
        scope = exchange.scope
        try:
            await self._forward(exchange, receive, send)
        except RefusedError as refused:
            await refused.response()(scope, receive, send)
        except (ClientDisconnect, WebSocketDisconnect):
            pass
        except Exception:
            log.exception("error inside the server", extra={"fields": {"id": exchange.id, "route": exchange.route}})
            if not exchange.answered:
                with suppress(OSError):  # the client has left
                    await RefusedError(FAILED, SERVER_ERROR).response()(scope, receive, send)
            exchange.status = FAILED
        finally:
            self._log(exchange)

    async def _forward(self, exchange: Exchange, receive: Receive, send: Send) -> None:
        headers = Headers(scope=exchange.scope)
        self._check_origin(headers)
        exchange.scope.setdefault("state", {}).update(
            address=exchange.address, authorised=self._is_authorised(exchange, headers)
        )
        if exchange.scope["type"] == "websocket":
            with self.streams.acquire(exchange.address) if exchange.route == self._routes.stream else nullcontext():
                await self.app(exchange.scope, exchange.counted(receive), send)
            return
        if (path := exchange.scope["path"]) in self._routes.parameters:
            refuse_unknown_parameters(
                parse_qsl(exchange.scope["query_string"].decode("latin-1"), True), self._routes.parameters[path]
            )
        with self.uploads.acquire(exchange.address) if exchange.route in self._routes.uploads else nullcontext():
            self.limits.refuse_size(declared_bytes(headers) - ENVELOPE_BYTES)
            await self.app(exchange.scope, exchange.limited(receive), send)

    def _is_authorised(self, exchange: Exchange, headers: Headers) -> bool:
        """Whether the token is right; a stream may still send it in its first message. Raises `RefusedError` if not."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if not self._token.required or exchange.route in (*PROBES, PAGE):
            return True
        if scheme.lower() == "bearer" and self._token.matches(token.strip()):
            return True
        if exchange.scope["type"] == "websocket" and not scheme:
            return False
        raise RefusedError(
            401,
            "this server requires its token. Send the header Authorization: Bearer TOKEN.",
            {"WWW-Authenticate": "Bearer"},
        )

    def _check_origin(self, headers: Headers) -> None:
        """Raises `RefusedError` for a host name or an origin that is not the server's."""
        host = headers.get("host", "")
        name = _split(f"//{host}").hostname or ""
        if self._loopback and not self._token.required and not (_is_loopback(name) or name in self._public_names):
            reason = f"this server does not answer to the name '{name}'. Start it with --public-name or with a token."
            raise RefusedError(403, reason)
        origin = headers.get("origin")
        if origin is None:
            return
        caller = _split(origin)
        if caller.netloc != host and (caller.hostname or "") not in self._public_names:
            raise RefusedError(403, "pages of other origins may not use this server. Use its own page.")

    def _log(self, exchange: Exchange) -> None:
        seconds = time.monotonic() - exchange.started
        self.metrics.observe_request(exchange.route, exchange.status, seconds)
        fields = {
            "id": exchange.id,
            "route": exchange.route,
            "method": exchange.scope.get("method", "WEBSOCKET"),
            "status": exchange.status,
            "seconds": round(seconds, 4),
            "bytes": exchange.received,
            "client": exchange.address,
        }
        log.info("request", extra={"fields": fields})


def refuse_unknown_parameters(parameters: Iterable[tuple[str, str]], known: Collection[str]) -> None:
    """Raises `RefusedError` for query parameters that do not exist here or are given twice.

    To ignore one would answer another question than was options."""
    names = [name for name, _ in parameters]
    for name in names:
        if name not in known:
            near = did_you_mean(name, known) if known else ""
            all_of = f"It takes {', '.join(sorted(known))}." if known else "It takes none: leave it out."
            advice = near if near.startswith("Known") else f"{near} {all_of}".strip()
            raise RefusedError(400, f"there is no parameter {name[:80]!r} here. {advice}")
        if names.count(name) > 1:
            raise RefusedError(400, f"the parameter {name!r} was given {names.count(name)} times. Give it once.")


def _split(address: str) -> SplitResult:
    """The parts of an address. Raises `RefusedError` if its brackets are open or hold no IPv6 address."""
    try:
        return urlsplit(address)
    except ValueError:
        raise RefusedError(400, "the request's Host or Origin is not an address. Send a valid one.") from None


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"
