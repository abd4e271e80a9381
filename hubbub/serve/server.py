"""The server as a process: its socket, its connections, its log, and how it is stopped.

On SIGTERM or SIGINT nothing more is taken; streams are told their last events and what was accepted is answered before
the process ends with status 0. A connection that does not come to its request is closed: uvicorn
(https://www.uvicorn.org) would wait for it for ever.

This room knows no route.
"""

import asyncio
import ipaddress
import json
import re
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from hubbub.classifier.base import Classifier
from hubbub.errors import HubbubError
from hubbub.serve.app import Service, create_app
from hubbub.serve.logs import json_log
from hubbub.serve.middleware import Limits

__all__ = ["ServeError", "run"]

#: Of a WebSocket message: a second and a half of 48 kHz in 32-bit floats.
LARGEST_MESSAGE = 262_144
#: How long a client may take to answer the end of its stream.
CLOSING_S = 10.0
#: What a token is written with (RFC 6750).
TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")


class ServeError(HubbubError):
    """A server that cannot be started as asked."""


def run(
    model: Classifier,
    name: str,
    limits: Limits,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    names: tuple[str, ...] = (),
    log: Callable[[str], None],
) -> None:
    """Serve until told to stop; `log` is told the address, and what is unsafe about it.

    Port 0 is a free one. Raises `ServeError` where the address cannot be had or the token is none.
    """
    if token is not None and not TOKEN.fullmatch(token):
        raise ServeError(
            "a token is written with letters, digits and -._~+/ and is not empty. Give such a --token or HUBBUB_TOKEN, "
            "or neither."
        )
    listening = _bind(host, port)
    address, port = listening.getsockname()[:2]
    loopback = ipaddress.ip_address(address).is_loopback
    if not loopback and token is None:
        log("warning: whoever reaches this address may ask. Start with --token, or listen at 127.0.0.1.")
    app = create_app(model, name, limits, token=token, loopback=loopback, names=names)
    config = uvicorn.Config(
        app,
        http=partial(Connection, limits.stall_s, limits.upload_s),  # type: ignore[arg-type]
        ws="websockets-sansio",
        ws_max_size=LARGEST_MESSAGE,
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(limits.shutdown_s),
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn raises what stopped it once more when it is done.
        signal.signal(number, lambda *_: sys.exit(0))
    shown = f"[{address}]" if ":" in address else address
    service: Service = app.state.service
    server = _Server(config, service, lambda: log(f"hubbub serves {service.name} at http://{shown}:{port}"))
    with json_log():
        server.run(sockets=[listening])


class Connection(H11Protocol):
    """Waits only so long for a request's head, for the end of a body that nobody reads, or for an answer to be read;
    refuses in JSON."""

    def __init__(self, stall_s: float, answer_s: float, **given: Any) -> None:
        super().__init__(**given)
        self._stall_s, self._answer_s = stall_s, answer_s
        self._deadline: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)  # paused while anything waits to be read
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._watch()
        self._forget_unread()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        super().handle_websocket_upgrade(event)
        self._forget_unread()  # another protocol is told of it from now on
        if not self.transport.get_protocol().handshake_initiated:  # type: ignore[attr-defined]
            # websockets has found no handshake in it, and nobody would ever answer.
            self._refuse(
                "this is no WebSocket handshake that can be taken. Send a GET without a body: without Content-Length "
                "and Transfer-Encoding, and with headers of a few kB at most."
            )

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self._unread or self.loop.call_later(self._answer_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._forget_unread()

    def _forget_unread(self) -> None:
        if self._unread:
            self._unread.cancel()
            self._unread = None

    def _watch(self) -> None:
        """Count down while no request is being answered."""
        here = self in self.connections  # not lost, and not a WebSocket by now
        if here and (self.cycle is None or self.cycle.response_complete):
            self._deadline = self._deadline or self.loop.call_later(self._stall_s, self.timeout_keep_alive_handler)
        elif self._deadline:
            self._deadline.cancel()
            self._deadline = None

    def send_400_response(self, msg: str) -> None:
        self._refuse("this is no HTTP request that can be read. Send one by HTTP/1.1.")

    def _refuse(self, reason: str) -> None:
        """400, and the connection is closed."""
        body = json.dumps({"error": reason}).encode()
        headers = [("content-type", "application/json"), ("content-length", str(len(body))), ("connection", "close")]
        with suppress(h11.LocalProtocolError):  # an answer is under way
            for event in (h11.Response(status_code=400, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


class _Server(uvicorn.Server):
    """Says when it listens, and lets streams end before connections are closed."""

    def __init__(self, config: uvicorn.Config, service: Service, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._service, self._started = service, started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._service.finish_streams()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSING_S):
                await self._taken_leave()
        await super().shutdown(sockets)

    async def _taken_leave(self) -> None:
        """Wait until clients have answered the end of their streams. To close a connection on which more has come than
        was read resets it, and what its client has not read yet is lost: the last events."""
        while not self.force_exit and any(getattr(one, "close_timer", None) for one in self.server_state.connections):
            await asyncio.sleep(0.05)


def _bind(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        raise ServeError(f"cannot listen at {host}, port {port} ({error}). Give another --host or --port.") from error
