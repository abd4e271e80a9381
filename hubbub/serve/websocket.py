"""A WebSocket stream: samples in, segments and events out while they are heard.

The client says its format in the query or in a first message (JSON), sends samples in binary messages of any size, and
says `{"type": "end"}`. It is told `ready`, then a `segment` for each, an `event` when one is over, and at the end `end`
with the decision on all of it; or `error` with the reason, before the socket is closed. What is heard does not depend
on how the samples were cut into messages.

This room knows no network; `stream` and `events` do the work.
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

from hubbub.audio import decode
from hubbub.audio.packed import HEAD_BYTES, name_of
from hubbub.classifier.base import Classifier, InvalidScoresError
from hubbub.classifier.prediction import Event, Prediction
from hubbub.errors import HubbubError
from hubbub.inference.events import EventSettings
from hubbub.inference.scoring import Scorer
from hubbub.inference.stream import Stream, StreamError
from hubbub.serve.middleware import MISTAKE, Limits, RefusedError, Token, refuse_unknown

__all__ = ["Live", "Session", "Start"]

Said = dict[str, Any]
Result = TypeVar("Result")
ENCODINGS: dict[str, np.dtype[Any]] = {"s16le": np.dtype("<i2"), "f32le": np.dtype("<f4")}
#: Close codes (RFC 6455 and its registry): what was sent is refused; the server is stopped; it is at fault.
REFUSED, RESTARTED, FAILED = 1008, 1012, 1011


class Start(BaseModel):
    """What a stream is: samples of `channels` interleaved, `rate` [Hz], in an encoding; and what counts as an event."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    type: Literal["start"] = "start"
    rate: int = Field(ge=decode.MIN_RATE_HZ)
    encoding: Literal["s16le", "f32le"]
    channels: int = Field(default=1, ge=1)
    threshold: float = 0.5
    release: float | None = None
    shortest: float = 0.0
    gap: float = 0.0
    token: str = Field(default="", repr=False)

    @classmethod
    def of(cls, given: Mapping[str, Any], limits: Limits) -> "Start":
        """Raises `RefusedError` where something is missing, unknown or beyond the limits."""
        try:
            start = cls.model_validate(given)
        except ValidationError as error:
            said = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
            raise RefusedError(400, f"the stream's format is not clear ({said}). Give rate and encoding.") from error
        limits.refuse_format(start.rate, start.channels)
        return start


class Session:
    """One stream from its format to its end: bytes in, what is to be said out."""

    def __init__(self, model: Classifier, start: Start) -> None:
        self._model, self._channels, self._kind = model, start.channels, ENCODINGS[start.encoding]
        self._stream = Stream(model, start.rate, start.channels)
        self._scorer = Scorer(model, EventSettings(start.threshold, start.release, start.shortest, start.gap))
        self._rest = self._head = b""

    def feed(self, data: bytes) -> list[Said]:
        """The next bytes; a sample may be cut in two between them."""
        self._refuse_packed(data)
        data = self._rest + data
        whole = len(data) - len(data) % (self._kind.itemsize * self._channels)
        self._rest = data[whole:]
        if not whole:
            return []
        samples = np.frombuffer(data[:whole], self._kind).reshape(-1, self._channels)
        return self._score(*self._stream.feed(samples))

    def _refuse_packed(self, data: bytes) -> None:
        """Refuse what browsers and programs record into: asked of the first message, and once more of enough bytes."""
        before = len(self._head)
        if before >= HEAD_BYTES:
            return
        self._head += data[: HEAD_BYTES - before]
        if before and len(self._head) < HEAD_BYTES:
            return
        whole = self._head[: len(self._head) // self._kind.itemsize * self._kind.itemsize]
        integers = np.frombuffer(whole, self._kind) / np.float32(2**15) if self._kind.kind == "i" else None
        if packed := name_of(self._head, integers):
            raise StreamError(
                f"the stream holds {packed}, not samples. Send samples, or the whole file to /v1/classify."
            )

    def end(self) -> list[Said]:
        """What is left: the last segment and the events that end with it, and the decision on all of it."""
        said = self._score(*self._stream.end()) + [_event(one) for one in self._scorer.end()]
        prediction = self._scorer.prediction(self._stream.seconds, self._stream.warnings)
        return [*said, {"type": "end", **prediction.to_dict(), "left_out_bytes": len(self._rest)}]

    def _score(self, segments: npt.NDArray[np.float32], spans: npt.NDArray[np.float64]) -> list[Said]:
        if not len(segments):
            return []
        scores, events = self._scorer.add(self._model.outputs(segments), segments, spans)
        said = [self._segment(start, end, row) for (start, end), row in zip(spans.tolist(), scores, strict=True)]
        return said + [_event(one) for one in events]

    def _segment(self, start: float, end: float, row: npt.NDArray[np.float32]) -> Said:
        segment = Prediction.of_segment(self._model.labels, start, end, row)
        said = {"start": start, "end": end, "label": segment.label, "score": segment.score, "scores": segment.scores}
        return {"type": "segment", **said}


class Live:
    """What streams share: a model that several threads may ask, limits, and the threads to hear in."""

    def __init__(self, model: Classifier, limits: Limits, token: Token, threads: Executor) -> None:
        self._model, self._limits, self._token, self._threads = model, limits, token, threads
        self._closing = asyncio.Event()
        self._open: set[asyncio.Task[None]] = set()

    async def finish(self) -> None:
        """Tell the streams to end, and wait until they have, as long as the limits allow."""
        self._closing.set()
        if self._open:
            await asyncio.wait(self._open, timeout=self._limits.shutdown_s)

    async def converse(self, socket: WebSocket) -> None:
        """An accepted socket from its first message to its last."""
        talk = asyncio.create_task(self._converse(socket))
        self._open.add(talk)
        try:
            await talk
        finally:
            self._open.discard(talk)

    async def _converse(self, socket: WebSocket) -> None:
        line = _Line(socket, self._limits.stall_s, self._closing)
        try:
            start = await self._start(line)
            session = await self._in_thread(Session, self._model, start)
            await line.say([{"type": "ready", "labels": list(self._model.labels), "rate": start.rate}])
            while (data := await line.samples()) is not None:
                await line.say(await self._in_thread(session.feed, data))
            await line.say(await self._in_thread(session.end))
            await socket.close(RESTARTED if self._closing.is_set() else 1000)
        except WebSocketDisconnect:
            pass
        except Exception as error:
            if not isinstance(error, HubbubError) or isinstance(error, InvalidScoresError):
                await line.refuse(FAILED, MISTAKE)
                raise
            await line.refuse(REFUSED, str(error))

    async def _start(self, line: "_Line") -> Start:
        """The format: in the query, unless the token is still to be said; else in the first message."""
        known = line.socket.scope["state"]["known"]
        given: dict[str, Any] = dict(line.socket.query_params)
        if "token" in given:
            raise RefusedError(400, "a token in an address is logged by many. Say it in the first message.")
        refuse_unknown(line.socket.query_params.multi_items(), Start.model_fields.keys() - {"token", "type"})
        if not known or "rate" not in given:
            given |= await line.first()
        start = Start.of(given, self._limits)
        if not known and not self._token.fits(start.token):
            raise RefusedError(401, "this server wants its token: as 'token' in the first message, or as a header.")
        return start

    async def _in_thread(self, function: Callable[..., Result], *given: Any) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *given)


class _Line:
    """The socket, with a limit on how long it may be silent either way."""

    def __init__(self, socket: WebSocket, stall_s: float, closing: asyncio.Event) -> None:
        self.socket, self._stall_s, self._closing = socket, stall_s, closing

    async def first(self) -> dict[str, Any]:
        message = await self._next()
        if message is None:
            raise RefusedError(503, "the server is being shut down. Ask again when it is back.")
        try:
            given = json.loads(message["text"])
        except (KeyError, ValueError, RecursionError):
            given = None
        if not isinstance(given, dict):
            raise RefusedError(400, 'the first message says the format: {"rate": 48000, "encoding": "f32le"}.')
        return given

    async def samples(self) -> bytes | None:
        """The next bytes; None at the end, also where the server is told to stop."""
        if self._closing.is_set():  # a message may always be there first
            return None
        message = await self._next()
        if message is None:
            return None
        if (data := message.get("bytes")) is not None:
            return data
        with suppress(ValueError, RecursionError):
            if json.loads(message["text"]) == {"type": "end"}:
                return None
        raise RefusedError(400, 'samples come in binary messages, and the end as {"type": "end"}.')

    async def say(self, said: list[Said]) -> None:
        try:
            for one in said:
                async with asyncio.timeout(self._stall_s):
                    await self.socket.send_text(json.dumps(one, allow_nan=False))
        except TimeoutError:
            raise WebSocketDisconnect(1006, "the client does not read") from None

    async def refuse(self, code: int, reason: str) -> None:
        with suppress(WebSocketDisconnect, RuntimeError):
            await self.say([{"type": "error", "error": reason}])
            await self.socket.close(code)

    async def _next(self) -> MutableMapping[str, Any] | None:
        """The next message, or None where the server is told to stop first."""
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


def _event(event: Event) -> Said:
    return {"type": "event", **event.to_dict()}
