"""What stands before every route of the server: who may ask, how much, how many at once; and what is logged of it.

A request passes the gate or is refused with `{"error": reason}`. A page of another origin gets nothing: its `Origin` is
not ours, and no CORS header lets it read. Nor does a name that was bent to this machine (DNS rebinding): where the
server listens only to this machine and wants no token, it answers only to names of this machine. What is logged of a
request holds neither what was sent nor how it was named.

This room knows nothing of sounds or models.
"""

import asyncio
import hmac
import ipaddress
import logging
import secrets
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from urllib.parse import SplitResult, parse_qsl, urlsplit

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from hubbub.errors import HubbubError, did_you_mean
from hubbub.serve.metrics import Meters

__all__ = ["CLIENT_GONE", "MISTAKE", "Gate", "Limits", "RefusedError", "Slots", "Token", "refuse_unknown"]

log = logging.getLogger(__name__)

#: What a status of a request is counted as whose client did not wait for it; never sent.
CLIENT_GONE = 499
#: What a status of a request is counted as in which the server made a mistake, after an answer was begun too.
BROKEN = 500
MISTAKE = "the server made a mistake; its log says which. Tell whoever runs it."
#: What a multipart body may hold beside the file.
ENVELOPE_BYTES = 65_536
#: Open to anybody: probes carry no token, and the page must be there to be given one.
OPEN = ("/healthz", "/readyz")
UPLOADS = ("/v1/classify", "/v1/explain")
STREAM = "/v1/stream"
ROUTES = (*OPEN, *UPLOADS, STREAM, "/v1/model", "/metrics", "/openapi.json")
PAGE = "page"
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' data: blob:;"
    " connect-src 'self'; worker-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "microphone=(self)",
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True)
class Limits:
    """What a server takes; beyond it, it says no.

    max_mb: the largest upload [MB of 1,000,000 bytes], 413 beyond.
    max_seconds: the longest recording to classify [s], held to while it is decoded; 413 beyond.
    explain_seconds: the longest recording to explain [s]: its maps and sounds are all in one answer; 413 beyond.
    max_rate_hz: the highest sample rate of an upload or stream; 422 beyond.
    max_channels: the most channels of a stream; 422 beyond.
    queue: the most uploads that wait or are worked on; 503 beyond, and 429 for an address that has half of them.
    explanations: the most of them that are explanations; 503 beyond.
    streams: the most WebSocket streams at once; 503 beyond, and 429 for an address that has half of them.
    stall_s: how long a client may send nothing in the middle of something [s]; 408 beyond.
    upload_s: how long an upload may take altogether [s], 408 beyond; and an answer to be read, cut off beyond.
    shutdown_s: how long what was accepted may take once the server is told to stop [s].
    """

    max_mb: float = 32.0
    max_seconds: float = 600.0
    explain_seconds: float = 30.0
    max_rate_hz: int = 384_000
    max_channels: int = 64
    queue: int = 128
    explanations: int = 4
    streams: int = 32
    stall_s: float = 20.0
    upload_s: float = 600.0
    shutdown_s: float = 60.0

    def __post_init__(self) -> None:
        """Raises `HubbubError` for what would limit nothing, or let nothing in."""
        for one in fields(self):
            value, whole = getattr(self, one.name), isinstance(one.default, int)
            if not isinstance(value, int if whole else int | float) or not 0 < value < float("inf"):
                kind = "a whole number" if whole else "a number"
                raise HubbubError(f"the limit {one.name} is {value!r}: give {kind} above 0, such as {one.default}.")

    def refuse_size(self, size: int) -> None:
        if size > self.max_mb * 1e6:
            raise RefusedError(413, f"{self.max_mb:g} MB are the most. Send a shorter or a compressed recording.")

    def refuse_format(self, rate_hz: int, channels: int = 1) -> None:
        if rate_hz > self.max_rate_hz:
            raise RefusedError(422, f"{rate_hz} Hz: {self.max_rate_hz} Hz are the most. Resample it.")
        if channels > self.max_channels:
            raise RefusedError(422, f"{channels} channels: {self.max_channels} are the most. Mix them down.")


class RefusedError(HubbubError):
    """A request that is refused, with the HTTP status that says how."""

    def __init__(self, status: int, reason: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status, self.headers = status, dict(headers or {})

    @classmethod
    def for_now(cls, status: int, reason: str, seconds: int = 1) -> "RefusedError":
        """Refused now; to be asked again after so many seconds."""
        return cls(status, reason, {"Retry-After": str(seconds)})

    def response(self) -> JSONResponse:
        return JSONResponse({"error": str(self)}, self.status, self.headers)


class Token:
    """What clients must say where there is one."""

    def __init__(self, value: str | None) -> None:
        self._value = value

    @property
    def wanted(self) -> bool:
        return self._value is not None

    def fits(self, said: str) -> bool:
        """Found out in the same time whatever was said."""
        return self._value is None or hmac.compare_digest(said.encode(errors="replace"), self._value.encode())


class Slots:
    """So many at once, and half of them for one address."""

    def __init__(self, most: int, what: str) -> None:
        self.most, self._what = most, what
        self._held: Counter[str] = Counter()

    @property
    def taken(self) -> int:
        return self._held.total()

    @contextmanager
    def one(self, address: str) -> Iterator[None]:
        if self.taken >= self.most:
            raise RefusedError.for_now(503, f"{self._what} at once: {self.most} are the most. Try again soon.")
        most = max(self.most // 2, 1)
        if self._held[address] >= most:
            raise RefusedError.for_now(429, f"{self._what} from one address: {most} are the most. Wait for an answer.")
        self._held[address] += 1
        try:
            yield
        finally:
            self._held[address] -= 1
            self._held += Counter()  # drops zeros, so that addresses do not pile up


@dataclass
class _Visit:
    """One request or stream on its way through."""

    scope: Scope
    limits: Limits
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    begun: float = field(default_factory=time.monotonic)
    status: int = CLIENT_GONE
    received: int = 0
    whole: bool = False
    answered: bool = False

    @property
    def route(self) -> str:
        return self.scope["path"] if self.scope["path"] in ROUTES else PAGE

    @property
    def address(self) -> str:
        return self.scope["client"][0] if self.scope.get("client") else ""

    def bounded(self, receive: Receive) -> Receive:
        """`receive`, held to the limits of size and time until the body is whole."""

        async def take() -> Message:
            if self.whole:
                return await receive()
            left = self.begun + self.limits.upload_s - time.monotonic()
            try:
                async with asyncio.timeout(min(self.limits.stall_s, left)):
                    message = await receive()
            except TimeoutError:
                reason = "the rest of the request did not come in time. Send it again, without a pause."
                raise RefusedError(408, reason, {"Connection": "close"}) from None
            self.received += len(message.get("body", b""))
            self.whole = not message.get("more_body", False)
            self.limits.refuse_size(self.received - ENVELOPE_BYTES)
            return message

        return take

    def counted(self, receive: Receive) -> Receive:
        """`receive` of a stream."""

        async def take() -> Message:
            message = await receive()
            self.received += len(message.get("bytes") or message.get("text") or b"")
            return message

        return take

    def noted(self, send: Send) -> Send:
        """`send`, with our headers; the status is kept."""

        async def give(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                self.status, self.answered = message["status"], True
                ours = {**HEADERS, "X-Request-Id": self.id}
                message["headers"] = [*message["headers"], *((k.encode(), v.encode()) for k, v in ours.items())]
            elif message["type"] == "websocket.accept":
                self.status, self.answered = 101, True
            await send(message)

        return give


class Gate:
    """ASGI middleware. `loopback`: only this machine reaches the server; `others`: names by which a proxy calls it;
    `parameters`: the query parameters of each path that has a route."""

    def __init__(
        self,
        app: ASGIApp,
        limits: Limits,
        meters: Meters,
        token: Token,
        loopback: bool,
        others: tuple[str, ...],
        parameters: Mapping[str, Collection[str]],
    ) -> None:
        self.app, self.limits, self.meters = app, limits, meters
        self._token, self._loopback, self._others, self._parameters = token, loopback, others, parameters
        self.uploads = Slots(limits.queue, "uploads")
        self.streams = Slots(limits.streams, "streams")
        meters.watch("uploads", lambda: self.uploads.taken)
        meters.watch("streams", lambda: self.streams.taken)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        visit = _Visit(scope, self.limits)
        send = visit.noted(send)
        try:
            await self._pass(visit, receive, send)
        except RefusedError as refused:
            await refused.response()(scope, receive, send)
        except (ClientDisconnect, WebSocketDisconnect):
            pass
        except Exception:
            log.exception("the server made a mistake", extra={"fields": {"id": visit.id, "route": visit.route}})
            if not visit.answered:
                with suppress(OSError):  # the client has left
                    await RefusedError(BROKEN, MISTAKE).response()(scope, receive, send)
            visit.status = BROKEN
        finally:
            self._note(visit)

    async def _pass(self, visit: _Visit, receive: Receive, send: Send) -> None:
        headers = Headers(scope=visit.scope)
        self._refuse_strangers(headers)
        visit.scope.setdefault("state", {}).update(address=visit.address, known=self._is_known(visit, headers))
        if visit.scope["type"] == "websocket":
            with self.streams.one(visit.address) if visit.route == STREAM else _free():
                await self.app(visit.scope, visit.counted(receive), send)
            return
        if (path := visit.scope["path"]) in self._parameters:
            refuse_unknown(parse_qsl(visit.scope["query_string"].decode("latin-1"), True), self._parameters[path])
        with self.uploads.one(visit.address) if visit.route in UPLOADS else _free():
            self.limits.refuse_size(_declared(headers) - ENVELOPE_BYTES)
            await self.app(visit.scope, visit.bounded(receive), send)

    def _is_known(self, visit: _Visit, headers: Headers) -> bool:
        """Whether the token is right; a stream without one may still say it in its first message."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if not self._token.wanted or visit.route in (*OPEN, PAGE):
            return True
        if scheme.lower() == "bearer" and self._token.fits(token.strip()):
            return True
        if visit.scope["type"] == "websocket" and not scheme:
            return False
        raise RefusedError(
            401,
            "this server wants its token. Send the header Authorization: Bearer TOKEN.",
            {"WWW-Authenticate": "Bearer"},
        )

    def _refuse_strangers(self, headers: Headers) -> None:
        host = headers.get("host", "")
        name = _split(f"//{host}").hostname or ""
        if self._loopback and not self._token.wanted and not (_is_loopback(name) or name in self._others):
            reason = f"this server does not answer to the name '{name}'. Start it with --public-name or with a token."
            raise RefusedError(403, reason)
        origin = headers.get("origin")
        if origin is None:
            return
        caller = _split(origin)
        if caller.netloc != host and (caller.hostname or "") not in self._others:
            raise RefusedError(403, "a page of another origin may not ask this server. Ask from its own page.")

    def _note(self, visit: _Visit) -> None:
        seconds = time.monotonic() - visit.begun
        self.meters.request(visit.route, visit.status, seconds)
        fields = {
            "id": visit.id,
            "route": visit.route,
            "method": visit.scope.get("method", "WEBSOCKET"),
            "status": visit.status,
            "seconds": round(seconds, 4),
            "bytes": visit.received,
            "client": visit.address,
        }
        log.info("request", extra={"fields": fields})


def refuse_unknown(given: Iterable[tuple[str, str]], known: Collection[str]) -> None:
    """Refuse query parameters that are not known here, or that are given twice: to pass one over would answer another
    question. Raises `RefusedError`."""
    names = [name for name, _ in given]
    for name in names:
        if name not in known:
            near = did_you_mean(name, known) if known else ""
            all_of = f"It takes {', '.join(sorted(known))}." if known else "It takes none: leave it out."
            said = near if near.startswith("Known") else f"{near} {all_of}".strip()
            raise RefusedError(400, f"there is no parameter {name[:80]!r} here. {said}")
        if names.count(name) > 1:
            raise RefusedError(400, f"the parameter {name!r} was given {names.count(name)} times. Give it once.")


@contextmanager
def _free() -> Iterator[None]:
    yield


def _declared(headers: Headers) -> int:
    """Bytes that the request says it has; h11 has refused what is no number."""
    return int(headers.get("content-length") or 0)


def _split(address: str) -> SplitResult:
    """Raises `RefusedError` where brackets are open or hold no IPv6 address."""
    try:
        return urlsplit(address)
    except ValueError:
        raise RefusedError(400, "the request's Host or Origin is no address. Send one that is.") from None


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"
