"""One request or stream from its head to its end: its limits of size and time, its headers, and what is logged of it.

This module knows no checks and no route.
"""

import asyncio
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass, field

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from hubbub.serve.limits import Limits, RefusedError

__all__ = ["CLIENT_GONE", "ENVELOPE_BYTES", "Exchange", "declared_bytes"]

#: The status in the log and metrics of a request whose client did not wait for the answer; never sent.
CLIENT_GONE = 499
#: How many bytes a multipart body may hold beside the file.
ENVELOPE_BYTES = 65_536
#: How much of a refused body is read and thrown away at most [bytes].
DISCARDED_BYTES = 1_000_000_000
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


@dataclass
class Exchange:
    """One request or stream: its route, its limits, and what is logged of it."""

    scope: Scope
    route: str
    limits: Limits
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    started: float = field(default_factory=time.monotonic)
    status: int = CLIENT_GONE
    received: int = 0
    complete: bool = False
    answered: bool = False
    held_back: bool = False

    @property
    def address(self) -> str:
        return self.scope["client"][0] if self.scope.get("client") else ""

    @property
    def has_body(self) -> bool:
        headers = Headers(scope=self.scope)
        return "transfer-encoding" in headers or declared_bytes(headers) > 0

    async def _next(self, receive: Receive) -> Message:
        """The next part of the body. Raises `TimeoutError` beyond the limits of time."""
        left = self.started + self.limits.upload_s - time.monotonic()
        async with asyncio.timeout(min(self.limits.stall_s, left)):
            message = await receive()
        self.received += len(message.get("body", b""))
        self.complete = not message.get("more_body", False)
        return message

    def limited(self, receive: Receive) -> Receive:
        """A `receive` that enforces the limits of size and time until the body is complete."""

        async def limited_receive() -> Message:
            if self.complete:
                return await receive()
            try:
                message = await self._next(receive)
            except TimeoutError:
                self.complete = True  # nobody waits for the rest
                reason = "the rest of the request did not arrive in time. Send it again, without a pause."
                raise RefusedError(408, reason, {"Connection": "close"}) from None
            self.limits.refuse_size(self.received - ENVELOPE_BYTES)
            return message

        return limited_receive

    def counted(self, receive: Receive) -> Receive:
        """A `receive` that counts the bytes of a stream."""

        async def counted_receive() -> Message:
            message = await receive()
            self.received += len(message.get("bytes") or message.get("text") or b"")
            return message

        return counted_receive

    def with_headers(self, send: Send) -> Send:
        """A `send` that adds the security headers and records the status. It holds back the end of an answer, not its
        content, while the body is not complete; `finish` sends it."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                self.status, self.answered = message["status"], True
                headers = {**HEADERS, "X-Request-Id": self.id}
                message["headers"] = [*message["headers"], *((k.encode(), v.encode()) for k, v in headers.items())]
            elif message["type"] == "websocket.accept":
                self.status, self.answered = 101, True
            elif message["type"] == "http.response.body" and not message.get("more_body") and not self.complete:
                self.held_back = self.has_body
                message = {**message, "more_body": self.held_back}
            await send(message)

        return send_with_headers

    async def finish(self, receive: Receive, send: Send) -> None:
        """Reads the rest of a refused body and throws it away, then sends the end that was held back.

        A connection that is closed with unread bytes is reset. Clients that first send everything and then read, such
        as urllib, would not see why they are refused."""
        with suppress(TimeoutError):
            while self.held_back and not self.complete and self.received < DISCARDED_BYTES:
                await self._next(receive)
        if self.held_back:
            await send({"type": "http.response.body"})


def declared_bytes(headers: Headers) -> int:
    """The number of bytes that the request declares; h11 refuses one that is no number."""
    return int(headers.get("content-length") or 0)
