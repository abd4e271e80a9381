"""Classifies WebSocket streams: the client sends samples, the server answers with segments and events at once.

The client sends its format in the query or in a first message (JSON), then samples in binary messages of any size, then
`{"type": "end"}`. The server sends `ready`, a `segment` for each segment, an `event` when one has ended, and at last
`end` with the prediction for the whole stream; or `error` with the reason, before it closes the socket. The answers do
not depend on how the samples were cut into messages.

This module knows no network; `inference.stream` and `inference.events` do the work.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, MutableMapping
from concurrent.futures import Executor
from contextlib import suppress
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from hubbub.audio import pcm
from hubbub.audio.sniff import HEAD_BYTES
from hubbub.audio.sound import MIN_RATE_HZ
from hubbub.classifier.base import Classifier, InvalidScoresError
from hubbub.classifier.prediction import Event, Prediction
from hubbub.errors import HubbubError
from hubbub.inference.events import EventSettings
from hubbub.inference.scoring import Scorer
from hubbub.inference.stream import Stream, StreamError
from hubbub.serve.limits import Limits, RefusedError
from hubbub.serve.middleware import SERVER_ERROR, Token, refuse_unknown_parameters

__all__ = ["Session", "Start", "Streams"]

Message = dict[str, Any]
Result = TypeVar("Result")
#: Close codes (RFC 6455 and its registry): the client's data are refused; the server shuts down; it has failed.
REFUSED, RESTARTED, FAILED = 1008, 1012, 1011


class Start(BaseModel):
    """The format of a stream (interleaved `channels` at `rate` [Hz] in an encoding) and what counts as an event."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    type: Literal["start"] = "start"
    rate: int = Field(ge=MIN_RATE_HZ)
    encoding: Literal["s16le", "f32le"]
    channels: int = Field(default=1, ge=1)
    threshold: float | None = None
    release: float | None = None
    shortest: float = 0.0
    gap: float = 0.0
    token: str = Field(default="", repr=False)

    @classmethod
    def of(cls, fields: Mapping[str, Any], limits: Limits) -> "Start":
        """Raises `RefusedError` if a field is missing, unknown or beyond the limits."""
        try:
            start = cls.model_validate(fields)
        except ValidationError as error:
            reasons = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
            raise RefusedError(400, f"the stream's format is not clear ({reasons}). Give rate and encoding.") from error
        limits.refuse_format(start.rate, start.channels)
        return start


class Session:
    """One stream from its format to its end: takes bytes and returns messages for the client."""

    def __init__(self, model: Classifier, start: Start) -> None:
        self._model, self._decoder = model, pcm.PcmDecoder(start.encoding, start.channels)
        self._stream = Stream(model, start.rate, start.channels)
        self._scorer = Scorer(model, EventSettings(start.threshold, start.release, start.shortest, start.gap))
        self._head = b""

    def feed(self, data: bytes) -> list[Message]:
        """The messages for the next bytes, which may end in the middle of a sample."""
        self._refuse_packed(data)
        samples = self._decoder.feed(data)
        return self._score(*self._stream.feed(samples)) if len(samples) else []

    def _refuse_packed(self, data: bytes) -> None:
        """Raises `StreamError` for a file instead of samples; checks the first message, and again at enough bytes."""
        before = len(self._head)
        if before >= HEAD_BYTES:
            return
        self._head += data[: HEAD_BYTES - before]
        if before and len(self._head) < HEAD_BYTES:
            return
        if content := pcm.content_name(self._head, self._decoder.encoding):
            raise StreamError(
                f"the stream holds {content}, not samples. Send samples, or the whole file to /v1/classify."
            )

    def end(self) -> list[Message]:
        """The messages at the end: the last segment, the last events and the prediction for the whole stream."""
        messages = self._score(*self._stream.end()) + [_event(one) for one in self._scorer.end()]
        prediction = self._scorer.prediction(self._stream.seconds, self._stream.warnings)
        return [*messages, {"type": "end", **prediction.to_dict(), "left_out_bytes": len(self._decoder.incomplete)}]

    def _score(self, segments: npt.NDArray[np.float32], spans: npt.NDArray[np.float64]) -> list[Message]:
        if not len(segments):
            return []
        scores, events = self._scorer.add(self._model.outputs(segments), segments, spans)
        messages = list(map(_segment, self._scorer.segment_predictions(spans, scores)))
        return messages + [_event(one) for one in events]


class Streams:
    """All open streams, and what they share: a model for several threads, limits and a pool of threads."""

    def __init__(self, model: Classifier, limits: Limits, token: Token, threads: Executor) -> None:
        self._model, self._limits, self._token, self._threads = model, limits, token, threads
        self._closing = asyncio.Event()
        self._open: set[asyncio.Task[None]] = set()

    async def finish(self) -> None:
        """Ends the streams and waits until they have ended, as long as the limits allow."""
        self._closing.set()
        if self._open:
            await asyncio.wait(self._open, timeout=self._limits.shutdown_s)

    async def handle(self, socket: WebSocket) -> None:
        """Serves an accepted socket from its first message to its last."""
        task = asyncio.create_task(self._handle(socket))
        self._open.add(task)
        try:
            await task
        finally:
            self._open.discard(task)

    async def _handle(self, socket: WebSocket) -> None:
        connection = _Connection(socket, self._limits.stall_s, self._closing)
        try:
            start = await self._start(connection)
            session = await self._in_thread(Session, self._model, start)
            await connection.send([{"type": "ready", "labels": list(self._model.labels), "rate": start.rate}])
            while (data := await connection.samples()) is not None:
                await connection.send(await self._in_thread(session.feed, data))
            await connection.send(await self._in_thread(session.end))
            await socket.close(RESTARTED if self._closing.is_set() else 1000)
        except WebSocketDisconnect:
            pass
        except Exception as error:
            if not isinstance(error, HubbubError) or isinstance(error, InvalidScoresError):
                await connection.refuse(FAILED, SERVER_ERROR)
                raise
            await connection.refuse(REFUSED, str(error))

    async def _start(self, connection: "_Connection") -> Start:
        """The format from the query; from the first message if it is not there or the token is still missing."""
        authorised, query = connection.socket.scope["state"]["authorised"], connection.socket.query_params
        fields: dict[str, Any] = dict(query)
        if "token" in fields:
            raise RefusedError(400, "tokens in addresses end up in logs. Send it in the first message.")
        refuse_unknown_parameters(query.multi_items(), Start.model_fields.keys() - {"token", "type"})
        if not authorised or "rate" not in fields:
            fields |= await connection.first_message()
        start = Start.of(fields, self._limits)
        if not authorised and not self._token.matches(start.token):
            raise RefusedError(401, "this server requires its token: as 'token' in the first message, or as a header.")
        return start

    async def _in_thread(self, function: Callable[..., Result], *args: Any) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)


class _Connection:
    """A socket with a limit on how long the client may neither send nor read."""

    def __init__(self, socket: WebSocket, stall_s: float, closing: asyncio.Event) -> None:
        self.socket, self._stall_s, self._closing = socket, stall_s, closing

    async def first_message(self) -> dict[str, Any]:
        """The first message, a JSON object with the format."""
        message = await self._next()
        if message is None:
            raise RefusedError(503, "the server is shutting down. Try again when it is back.")
        try:
            fields = json.loads(message["text"])
        except (KeyError, ValueError, RecursionError):
            fields = None
        if not isinstance(fields, dict):
            raise RefusedError(400, 'the first message gives the format: {"rate": 48000, "encoding": "f32le"}.')
        return fields

    async def samples(self) -> bytes | None:
        """The next bytes; None at the end of the stream, and when the server shuts down."""
        if self._closing.is_set():  # else a client that never stops sending would keep it open
            return None
        message = await self._next()
        if message is None:
            return None
        if (data := message.get("bytes")) is not None:
            return data
        with suppress(ValueError, RecursionError):
            if json.loads(message["text"]) == {"type": "end"}:
                return None
        raise RefusedError(400, 'send samples in binary messages, and the end as {"type": "end"}.')

    async def send(self, messages: list[Message]) -> None:
        """Sends messages. Raises `WebSocketDisconnect` if the client does not read."""
        try:
            for one in messages:
                async with asyncio.timeout(self._stall_s):
                    await self.socket.send_text(json.dumps(one, allow_nan=False))
        except TimeoutError:
            raise WebSocketDisconnect(1006, "the client does not read") from None

    async def refuse(self, code: int, reason: str) -> None:
        """Sends the reason and closes the socket."""
        with suppress(WebSocketDisconnect, RuntimeError):
            await self.send([{"type": "error", "error": reason}])
            await self.socket.close(code)

    async def _next(self) -> MutableMapping[str, Any] | None:
        """The next message, or None if the server shuts down first."""
        receiving = asyncio.ensure_future(self.socket.receive())
        stopping = asyncio.ensure_future(self._closing.wait())
        try:
            done, _ = await asyncio.wait(
                (receiving, stopping), timeout=self._stall_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            stopping.cancel()
            if not receiving.done():
                receiving.cancel()
        if receiving in done:
            message = receiving.result()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", 1005))
            return message
        if stopping in done:
            return None
        raise RefusedError(408, f"nothing came for {self._stall_s:g} s. Send silence as zeros.")


def _segment(segment: Prediction) -> Message:
    start, end = segment.spans[0].tolist()
    fields = {"start": start, "end": end, "label": segment.label, "score": segment.score, "scores": segment.scores}
    present = {} if segment.present is None else {"present": segment.present}
    return {"type": "segment", **fields, **present}


def _event(event: Event) -> Message:
    return {"type": "event", **event.to_dict()}
