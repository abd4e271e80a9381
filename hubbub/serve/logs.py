"""The server's log: one JSON object a line, whoever writes it.

What Python logs goes there by a handler. Decoders know no logging: libmpg123, libsndfile and FFmpeg write to standard
error itself, file descriptor 2, so while the server runs that is a pipe, and each line that comes out of it becomes an
object too.
"""

import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread
from typing import Any

__all__ = ["JsonLines", "json_log"]

log = logging.getLogger(__name__)

STDERR = 2
#: Bytes of a line of another program that are taken as one; what is longer is cut into several.
LONGEST = 8_192
#: How long what is still in the pipe may take to be written at the end.
LAST_S = 5.0
#: Of the pipe, where that can be said: nobody shall wait for the thread that empties it.
PIPE_BYTES = 1_048_576


class JsonLines(logging.Formatter):
    """A log record as one JSON object on one line."""

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "time": f"{at}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line)


class _Lines(logging.StreamHandler[Any]):
    """Passes over a log that cannot be written, e.g. because its reader has left: a complaint goes to standard error,
    which is this log again, and would be complained of in turn."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


@contextmanager
def json_log() -> Iterator[None]:
    """While it lasts, all that is logged or written to standard error is JSON lines on what standard error was before.

    At the end, also by an exception, what was still in the pipe is written and standard error is as it was: the
    traceback of a crash is seen as ever.
    """
    sys.stderr.flush()
    kept = os.dup(STDERR)
    out, into = os.pipe()
    _widen(into)
    os.dup2(into, STDERR)
    os.close(into)
    place = open(kept, "w", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115 - closed below
    _log_to(place)
    reader = Thread(target=_hand_on, args=(out,), name="stderr", daemon=True)
    reader.start()
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, STDERR)  # closes the pipe's last end, and the reader ends
        reader.join(LAST_S)  # a child that holds standard error keeps it open
        _log_to(sys.stderr)
        with suppress(OSError):  # what could not be written is tried once more
            place.close()


def _log_to(place: Any) -> None:
    handler = _Lines(place)
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.captureWarnings(True)
    logging.getLogger("hubbub").setLevel(logging.INFO)
    # uvicorn takes a stream that was refused by an answer of ours for one that was not answered.
    logging.getLogger("uvicorn.error").addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    return "completing handshake" not in record.getMessage()


def _hand_on(out: int) -> None:
    """Log each line of a pipe, until nobody holds its other end."""
    with open(out, "rb") as lines:
        while line := lines.readline(LONGEST):
            if text := line.decode("utf-8", "backslashreplace").strip():
                log.warning("stderr", extra={"fields": {"text": text}})


def _widen(pipe: int) -> None:
    with suppress(ImportError, AttributeError, OSError):  # Linux has it, up to a limit that an administrator sets
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
