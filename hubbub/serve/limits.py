"""The server's limits: sizes, times, how many requests at once; and the refusal that is raised beyond them."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields

from starlette.responses import JSONResponse

from hubbub.errors import HubbubError

__all__ = ["Limits", "RefusedError", "Slots"]


@dataclass(frozen=True)
class Limits:
    """The limits of a server and the HTTP status of a request beyond each.

    max_mb: the largest upload [MB of 1,000,000 bytes]; 413.
    max_seconds: the longest recording to classify [s], checked while it is decoded; 413.
    explain_seconds: the longest recording to explain [s]: one answer holds all its maps and sounds; 413.
    max_rate_hz: the highest sample rate of an upload or stream; 422.
    max_channels: the most channels of a stream; 422.
    queue: the most uploads that wait or are processed; 503, and 429 for an address that has half of them.
    explanations: the most of them that are explanations; 503, and 429 for an address that has half of them.
    streams: the most WebSocket streams at once; 503, and 429 for an address that has half of them.
    stall_s: how long a client may send nothing in the middle of a request or stream [s]; 408.
    upload_s: how long a whole upload may take [s], 408; and the reading of an answer, which is then cut off.
    shutdown_s: how long accepted requests may take after the server is told to stop [s].
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
        """Raises `HubbubError` unless each limit is a finite number above 0."""
        for one in fields(self):
            value, whole = getattr(self, one.name), isinstance(one.default, int)
            if not isinstance(value, int if whole else int | float) or not 0 < value < float("inf"):
                kind = "a whole number" if whole else "a number"
                raise HubbubError(f"the limit {one.name} is {value!r}: give {kind} above 0, such as {one.default}.")

    def refuse_size(self, size: int) -> None:
        """Raises `RefusedError` if an upload has too many bytes."""
        if size > self.max_mb * 1e6:
            raise RefusedError(413, f"{self.max_mb:g} MB are the most. Send a shorter or a compressed recording.")

    def refuse_format(self, rate_hz: int, channels: int = 1) -> None:
        """Raises `RefusedError` if a sound's rate or number of channels is too high."""
        if rate_hz > self.max_rate_hz:
            raise RefusedError(422, f"{rate_hz} Hz: {self.max_rate_hz} Hz are the most. Resample it.")
        if channels > self.max_channels:
            raise RefusedError(422, f"{channels} channels: {self.max_channels} are the most. Mix them down.")


class RefusedError(HubbubError):
    """A request is refused, with an HTTP status and a reason."""

    def __init__(self, status: int, reason: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status, self.headers = status, dict(headers or {})

    @classmethod
    def retry_after(cls, status: int, reason: str, seconds: int = 1) -> "RefusedError":
        """A refusal that asks the client to try again after some seconds."""
        return cls(status, reason, {"Retry-After": str(seconds)})

    def response(self) -> JSONResponse:
        return JSONResponse({"error": str(self)}, self.status, self.headers)


class Slots:
    """Limits how many requests of a kind run at once: `most`, and half of them for one address."""

    def __init__(self, most: int, kind: str) -> None:
        self.most, self._kind = most, kind
        self._held: Counter[str] = Counter()

    @property
    def taken(self) -> int:
        return self._held.total()

    @contextmanager
    def acquire(self, address: str) -> Iterator[None]:
        """Holds a slot for the time of a block. Raises `RefusedError` if none is free."""
        if self.taken >= self.most:
            raise RefusedError.retry_after(503, f"{self._kind} at once: {self.most} are the most. Try again soon.")
        most = max(self.most // 2, 1)
        if self._held[address] >= most:
            raise RefusedError.retry_after(
                429, f"{self._kind} from one address: {most} are the most. Wait for an answer."
            )
        self._held[address] += 1
        try:
            yield
        finally:
            self._held[address] -= 1
            self._held += Counter()  # drops zeros, so that addresses do not pile up
