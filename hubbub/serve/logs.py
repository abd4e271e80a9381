"""The server's log: one JSON object a line, also for what libraries print.

A handler writes what Python logs. libmpg123, libsndfile and FFmpeg write to file descriptor 2 themselves, so while the
server runs that is a pipe, and each line that comes out of it becomes an object too.
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
#: Longer lines of a library are cut into several [bytes].
MAX_LINE = 8_192
#: How long the rest of the pipe may take to be written at the end.
DRAIN_S = 5.0
#: The size of the pipe, if it can be set: large enough that no writer waits for the thread that reads it.
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


class _LogHandler(logging.StreamHandler[Any]):
    """Ignores a log that cannot be written, e.g. because its reader has ended: logging would report the error to
    standard error, which is this log again."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


@contextmanager
def json_log() -> Iterator[None]:
    """Turns everything logged or written to standard error into JSON lines on the original standard error.

    At the end, also after an exception, the rest of the pipe is written and standard error is restored, so that the
    traceback of a crash is printed as usual.
    """
    sys.stderr.flush()
    original = os.dup(STDERR)
    read_end, write_end = os.pipe()
    _widen(write_end)
    os.dup2(write_end, STDERR)
    os.close(write_end)
    stream = open(original, "w", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115 - closed below
    _log_to(stream)
    reader = Thread(target=_log_lines, args=(read_end,), name="stderr", daemon=True)
    reader.start()
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(original, STDERR)  # closes the last write end, so the reader ends
        reader.join(DRAIN_S)  # a child process may still hold it open
        _log_to(sys.stderr)
        with suppress(OSError):  # it tries again to write what failed
            stream.close()


def _log_to(stream: Any) -> None:
    handler = _LogHandler(stream)
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.captureWarnings(True)
    logging.getLogger("hubbub").setLevel(logging.INFO)
    # uvicorn reports a refused stream as one that was not answered, and text that is not UTF-8 as an error of its own.
    logging.getLogger("uvicorn.error").addFilter(_is_the_servers)


def _is_the_servers(record: logging.LogRecord) -> bool:
    """Whether a message is of the server's own trouble, not of what a client did."""
    return not any(words in record.getMessage() for words in ("completing handshake", "Invalid UTF-8 sequence"))


def _log_lines(read_end: int) -> None:
    """Logs each line of a pipe until its write end is closed."""
    with open(read_end, "rb") as lines:
        while line := lines.readline(MAX_LINE):
            if text := line.decode("utf-8", "backslashreplace").strip():
                log.warning("stderr", extra={"fields": {"text": text}})


def _widen(pipe: int) -> None:
    with suppress(ImportError, AttributeError, OSError):  # only Linux has it, up to a limit of the administrator
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
