"""Runs the server as a process: its socket, its connections, its log and its shutdown.

On SIGTERM or SIGINT the server accepts no more requests, sends streams their last events, answers accepted requests and
ends with status 0. It closes connections that send no request, for which uvicorn (https://www.uvicorn.org) would wait
for ever.

This module knows no route.
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
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from hubbub.errors import HubbubError
from hubbub.serve.build import Served
from hubbub.serve.limits import Limits
from hubbub.serve.logs import json_log

__all__ = ["ServeError", "run"]

#: The largest WebSocket message [bytes]: over a second of 48 kHz in 32-bit floats.
MAX_MESSAGE = 262_144
#: How long a client may take to confirm the end of its stream.
CLOSING_S = 10.0
#: The characters of a token (RFC 6750).
TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")


class ServeError(HubbubError):
    """The server cannot be started with these options."""


def run(
    create: Callable[..., FastAPI],
    limits: Limits,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    names: tuple[str, ...] = (),
    log: Callable[[str], None],
) -> None:
    """Serves an app until a signal stops it; `log` gets a line with the address, and a warning if it is unsafe.

    `create` makes the app, of the limits and the options `token`, `loopback` and `names` (`build.build`). Port 0 stands
    for a free one. Raises `ServeError` if the address is not free or the token is not valid.
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
        log("warning: anyone who reaches this address may use the server. Start with --token, or listen at 127.0.0.1.")
    app = create(limits, token=token, loopback=loopback, names=names)
    config = uvicorn.Config(
        app,
        http=partial(Connection, limits.stall_s, limits.upload_s),  # type: ignore[arg-type]
        ws="websockets-sansio",
        ws_max_size=MAX_MESSAGE,
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(limits.shutdown_s),
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn raises the signal again when it is done.
        signal.signal(number, lambda *_: sys.exit(0))
    host = f"[{address}]" if ":" in address else address
    service: Served = app.state.service
    server = _Server(config, service, lambda: log(f"{service.title} at http://{host}:{port}"))
    with json_log():
        server.run(sockets=[listening])


class Connection(H11Protocol):
    """A connection with time limits for a request's head, for a body that no route reads and for reading an answer.

    It refuses in JSON."""

    def __init__(self, stall_s: float, answer_s: float, **options: Any) -> None:
        super().__init__(**options)
        self._stall_s, self._answer_s = stall_s, answer_s
        self._deadline: asyncio.TimerHandle | None = None
        self._write_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)  # writing is paused until the client has read everything
        self._update_deadline()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._update_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._update_deadline()
        self._cancel_write_deadline()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        super().handle_websocket_upgrade(event)
        self._cancel_write_deadline()  # from now on another protocol has the connection
        if not self.transport.get_protocol().handshake_initiated:  # type: ignore[attr-defined]
            # websockets found no handshake, and would never answer.
            self._refuse(
                "this is not a valid WebSocket handshake. Send a GET without a body: without Content-Length "
                "and Transfer-Encoding, and with headers of a few kB at most."
            )

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_deadline = self._write_deadline or self.loop.call_later(self._answer_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._cancel_write_deadline()

    def _cancel_write_deadline(self) -> None:
        if self._write_deadline:
            self._write_deadline.cancel()
            self._write_deadline = None

    def _update_deadline(self) -> None:
        """Runs a time limit while no request is being answered."""
        here = self in self.connections  # neither closed nor a WebSocket
        if here and (self.cycle is None or self.cycle.response_complete):
            self._deadline = self._deadline or self.loop.call_later(self._stall_s, self.timeout_keep_alive_handler)
        elif self._deadline:
            self._deadline.cancel()
            self._deadline = None

    def send_400_response(self, msg: str) -> None:
        self._refuse("this is not a valid HTTP request. Send one by HTTP/1.1.")

    def _refuse(self, reason: str) -> None:
        """Answers with 400 and closes the connection."""
        body = json.dumps({"error": reason}).encode()
        headers = [("content-type", "application/json"), ("content-length", str(len(body))), ("connection", "close")]
        with suppress(h11.LocalProtocolError):  # an answer has begun
            for event in (h11.Response(status_code=400, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


class _Server(uvicorn.Server):
    """Calls `started` when it listens, and lets streams end before connections are closed."""

    def __init__(self, config: uvicorn.Config, service: Served, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._service, self._started = service, started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._service.finish_streams()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSING_S):
                await self._streams_closed()
        await super().shutdown(sockets)

    async def _streams_closed(self) -> None:
        """Waits until clients have confirmed the end of their streams. Closing a connection with unread data resets it,
        and its client would lose the last events."""
        while not self.force_exit and any(getattr(one, "close_timer", None) for one in self.server_state.connections):
            await asyncio.sleep(0.05)


def _bind(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        raise ServeError(f"cannot listen at {host}, port {port} ({error}). Give another --host or --port.") from error
