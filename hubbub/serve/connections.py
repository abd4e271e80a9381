"""A server's connections: how much of each is read at once, and how long its client may send or read nothing.

uvicorn (https://www.uvicorn.org) does the rest. This module knows no route.
"""

import asyncio
import json
from contextlib import suppress
from typing import Any

import h11
from uvicorn._types import ASGIReceiveEvent
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

__all__ = ["HttpConnection", "ShortReads", "StreamConnection"]

#: How much a connection reads before others have their turn [bytes]: asyncio's 262,144 hold 40,000 empty frames or
#: chunks, which take a second.
READ_BYTES = 8_192


class ShortReads(asyncio.BufferedProtocol):
    """A protocol whose `data_received` gets at most `READ_BYTES` at once."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._buffer = bytearray(READ_BYTES)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(self._buffer[:nbytes]))  # type: ignore[attr-defined]


class HttpConnection(ShortReads, H11Protocol):  # type: ignore[misc]  # both have eof_received
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


class StreamConnection(ShortReads, WebSocketsSansIOProtocol):  # type: ignore[misc]  # as above
    """A WebSocket that reads nothing more while its client does not read: answers to pings would pile up in memory. It
    is cut off if the client reads nothing for `stall_s`."""

    def __init__(self, stall_s: float, **options: Any) -> None:
        super().__init__(**options)
        self._stall_s = stall_s
        self._write_deadline: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self.writable.is_set():
            self.transport.pause_reading()

    async def receive(self) -> ASGIReceiveEvent:
        await self.writable.wait()  # it resumes reading
        return await super().receive()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._cancel_write_deadline()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_deadline = self._write_deadline or self.loop.call_later(self._stall_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._cancel_write_deadline()
        if not self.read_paused:
            self.transport.resume_reading()

    def _cancel_write_deadline(self) -> None:
        if self._write_deadline:
            self._write_deadline.cancel()
            self._write_deadline = None
