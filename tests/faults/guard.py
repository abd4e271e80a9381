"""Raises where a file brings a program to start another one, to load code, to connect or to write elsewhere."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["Forbidden", "guarded"]

#: Python's audit events that start programs or load code (https://docs.python.org/3/library/audit_events.html).
_NEVER = (
    *("os.system", "os.exec", "os.posix_spawn", "os.startfile", "os.forkpty", "pty.spawn"),
    *("pickle.find_class", "marshal.loads", "webbrowser.open", "socket.bind"),
    *("smtplib.connect", "ftplib.connect", "urllib.Request"),
)
_WRITES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod")
#: Modules of Python that compile texts of their own: named tuples and dataclasses.
_COMPILE = ("collections/__init__.py", "dataclasses.py")


class Forbidden(BaseException):
    """What no file may bring about. It is not caught by `except Exception`."""


@contextmanager
def guarded(*folders: str, port: int = 0, programs: tuple[str, ...] = ()) -> Iterator[list[str]]:
    """Within it, writes go below some folders and connections to one port of this machine; else `Forbidden` is raised.
    Gives the list of what was forbidden, for code that catches everything. `programs` are modules that
    `python -m` may run."""
    global _allowed
    before, found = _allowed, list[str]()
    _allowed = (tuple(os.path.realpath(one) for one in folders), port, programs, found)
    try:
        yield found
    finally:
        _allowed = before


_allowed: tuple[tuple[str, ...], int, tuple[str, ...], list[str]] | None = None


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if _allowed is not None and (why := _forbidden(event, args, *_allowed[:3])):
        _allowed[3].append(why)
        raise Forbidden(why)


def _forbidden(
    event: str, args: tuple[Any, ...], folders: tuple[str, ...], port: int, programs: tuple[str, ...]
) -> str:
    if event in _NEVER and not _is_import():
        return f"{event} {args!r:.200}"
    if event == "exec" and args[0].co_filename == "<string>" and not _is_import(*_COMPILE):
        return f"code from a text: {args[0].co_names}"
    if event == "ctypes.dlopen" and os.sep in str(args[0]) and not _is_import():
        return f"{event} {args[0]}"
    if event == "subprocess.Popen":
        allowed = len(args[1]) > 2 and args[1][1] == "-m" and args[1][2] in programs
        return "" if allowed else f"{event} {args!r:.200}"
    if event == "socket.connect":
        return "" if isinstance(args[1], tuple) and args[1][:2] == ("127.0.0.1", port) else f"{event} {args[1]}"
    if event == "open" and isinstance(args[0], str | bytes | os.PathLike):
        writes = isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        return f"open to write {args[0]!r}" if writes and not _is_within(args[0], folders) else ""
    if event in _WRITES and isinstance(args[0], str | bytes | os.PathLike):
        path = args[0]
        if event in ("os.remove", "os.rmdir") and args[1] >= 0:  # beside an open folder
            path = os.path.join(f"/proc/self/fd/{args[1]}", os.fsdecode(path))
        return f"{event} {path!r}" if not _is_within(path, folders) else ""
    return ""


def _is_within(path: Any, folders: tuple[str, ...]) -> bool:
    real = os.path.realpath(os.fsdecode(path))
    return real.startswith(tuple(f"{one}{os.sep}" for one in (*folders, "/dev"))) or real in folders


def _is_import(*others: str) -> bool:
    """Whether the import of a module does it, or one of some others."""
    frame: FrameType | None = sys._getframe(2)
    while frame and not frame.f_code.co_filename.startswith("<frozen importlib"):
        if others and frame.f_code.co_filename.endswith(others):
            return True
        frame = frame.f_back
    return frame is not None


sys.addaudithook(_hook)
