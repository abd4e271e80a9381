"""Runs the server as a process: its socket, its log and its shutdown.

On SIGTERM or SIGINT the server accepts no more requests, sends streams their last events, answers accepted requests and
ends with status 0. It closes connections that send no request, for which uvicorn (https://www.uvicorn.org) would wait
for ever.

Its connections are in `connections`. This module knows no route.
"""

import asyncio
import ipaddress
import re
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import uvicorn
from fastapi import FastAPI

from hubbub.errors import HubbubError
from hubbub.serve.build import Served
from hubbub.serve.connections import HttpConnection, StreamConnection
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
        http=partial(HttpConnection, limits.stall_s, limits.upload_s),  # type: ignore[arg-type]
        ws=partial(StreamConnection, limits.stall_s),  # type: ignore[arg-type]
        ws_ping_interval=None,  # a client that has gone sends nothing; pongs wait behind the samples of a fast one
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
