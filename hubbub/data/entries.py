"""Entries of the cache: folders that are filled once, verified whenever they are opened, and refilled if damaged.

`entry.json` in each holds the size of every file and a CRC-32 of every 64 MiB. All are compared at each opening, in
threads: this reads the entry once, which training does next anyway, and takes at most about a second per gigabyte and
core. While an entry is filled it is named `.NAME.unfinished` and locked by `.NAME.lock`: a second process waits, and
the pieces that a killed process has written (`JournalledFile`) are reused by the next.
"""

import json
import logging
import os
import re
import shutil
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt

from hubbub.runtime.files import lock_path, why_not_written
from hubbub.runtime.homes import StoreError
from hubbub.runtime.processes import cores

__all__ = ["RESERVED", "JournalledFile", "entry"]

T = TypeVar("T")
#: Names in an entry that `fill` may not use for its own files.
RESERVED = NOTE, JOURNAL = "entry.json", "journal.jsonl"
#: Bytes per checksum, and bytes read at a time.
_BLOCK, _PIECE = 1 << 26, 1 << 20
#: Files of killed processes: reusable ones are kept for a week, others for an hour.
_OURS = re.compile(r"\.(?P<name>.+)\.(unfinished|lock)")
_TEMPORARY = re.compile(r"\..+\.(?P<pid>\d+)-[0-9a-f]{8}(\.\w+)?")  # as files.whole_folder names them
_WEEK_S, _HOUR_S = 7 * 86_400, 3600
_ELSEWHERE = "Make room, or set HUBBUB_CACHE to a folder that has it and can be written."
_log = logging.getLogger(__name__)


class _Damaged(Exception):
    """The entry is damaged; the message says how."""


def entry(folder: Path, fill: Callable[[Path], None], read: Callable[[Path], T]) -> T:
    """`read(folder)` of a cache entry, after `fill` where it is missing or damaged.

    `fill` gets a folder: empty, or with the `JournalledFile` of a killed process. `read` raises ValueError where the
    content has the wrong form. A damaged entry gives a line on stderr. Raises `StoreError` where the cache cannot be
    written.
    """
    _sweep(folder.parent)
    with suppress(_Damaged):
        return _checked(folder, read)
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    with lock_path(folder, "fills", _ELSEWHERE):
        try:
            return _checked(folder, read)  # another process has filled it meanwhile
        except _Damaged as why:
            if os.path.lexists(folder):
                _log.warning("warning: damaged in the cache, made again: %s (%s)", folder, why)
        try:
            _remove(folder)
            if not (unfinished / JOURNAL).is_file():
                _remove(unfinished)
                unfinished.mkdir()
            fill(unfinished)
            (unfinished / JOURNAL).unlink(missing_ok=True)
            _write_checksums(unfinished)
            os.rename(unfinished, folder)
        except BaseException as error:
            if isinstance(error, Exception) or not (unfinished / JOURNAL).is_file():
                _remove(unfinished)  # an interrupted one is continued next time
            if isinstance(error, OSError):
                raise StoreError(f"{folder} could not be written: {why_not_written(error)}. {_ELSEWHERE}") from error
            raise
        return read(folder)


class JournalledFile:
    """A file in an unfinished entry that is written piece by piece, with a journal: pieces added before the process was
    killed are there when the file is opened again. `facts` holds the facts about each piece."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.facts: list[Any] = []
        size = journalled = 0
        for line, facts, length, crc in _lines(folder / JOURNAL):
            if _crc(folder / name, size, length) != crc:
                break
            self.facts.append(facts)
            size, journalled = size + length, journalled + line
        self._file, self._journal = (_opened_at(folder / one, at) for one, at in ((name, size), (JOURNAL, journalled)))

    def add(self, values: npt.NDArray[Any], facts: object) -> None:
        """Append a piece, and facts about it (plain JSON)."""
        content = np.ascontiguousarray(values).tobytes()
        _write(self._file, content)
        _write(self._journal, _line(facts, len(content), zlib.crc32(content)))
        self.facts.append(facts)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._file)
        os.close(self._journal)


def _line(facts: object, length: int, crc: int) -> bytes:
    text = json.dumps([facts, length, crc])
    return f"{zlib.crc32(text.encode()):08x} {text}\n".encode()


def _lines(journal: Path) -> Iterator[tuple[int, Any, int, int]]:
    """The intact lines of a journal: bytes of the line, facts, length and CRC-32 of the piece. The last may be torn."""
    if not journal.is_file():
        return
    for line in journal.read_bytes().splitlines(keepends=True):
        with suppress(ValueError):
            facts, length, crc = json.loads(line[9:])
            if line == _line(facts, length, crc):
                yield len(line), facts, length, crc
                continue
        return


def _opened_at(file: Path, size: int) -> int:
    """A handle to a file truncated to `size` bytes, positioned at its end."""
    handle = os.open(file, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
    os.ftruncate(handle, size)
    os.lseek(handle, size, os.SEEK_SET)
    return handle


def _write(handle: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(handle, left) :]


def _checked(folder: Path, read: Callable[[Path], T]) -> T:
    """`read(folder)` of an intact entry. Raises `_Damaged`."""
    try:
        noted = json.loads((folder / NOTE).read_text(encoding="utf-8"))
        if zlib.crc32(json.dumps(noted["files"]).encode()) != noted["crc32"]:
            raise _Damaged(f"{NOTE} has other content than was written")
        files = {folder / name: size for name, (size, _) in noted["files"].items()}
        if changed := [file.name for file, size in files.items() if file.stat().st_size != size]:
            raise _Damaged(f"{changed[0]} has another length than was written")
        now = _checksums(files)
        if changed := [name for name, (_, crcs) in noted["files"].items() if now[folder / name] != crcs]:
            raise _Damaged(f"{changed[0]} has other content than was written")
        return read(folder)
    except FileNotFoundError as error:
        raise _Damaged(f"{Path(str(error.filename)).name} is missing") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _Damaged(str(error)) from error


def _write_checksums(folder: Path) -> None:
    files = {file: file.stat().st_size for file in sorted(folder.rglob("*")) if file.is_file()}
    crcs = _checksums(files)
    noted = {file.relative_to(folder).as_posix(): [size, crcs[file]] for file, size in files.items()}
    content = {"files": noted, "crc32": zlib.crc32(json.dumps(noted).encode())}
    (folder / NOTE).write_text(json.dumps(content), encoding="utf-8")


def _checksums(files: dict[Path, int]) -> dict[Path, list[int]]:
    """A CRC-32 of every block of these files (file -> size), computed in threads."""
    blocks = [(file, start) for file, size in files.items() for start in range(0, size, _BLOCK)]
    found: dict[Path, list[int]] = {file: [] for file in files}
    with ThreadPoolExecutor(cores()) as pool:
        for (file, _), crc in zip(
            blocks, pool.map(lambda block: _crc(block[0], block[1], _BLOCK), blocks), strict=True
        ):
            found[file].append(crc)
    return found


def _crc(file: Path, start: int, length: int) -> int:
    crc = 0
    with file.open("rb", buffering=0) as source:
        source.seek(start)
        while length and (piece := source.read(min(length, _PIECE))):
            crc, length = zlib.crc32(piece, crc), length - len(piece)
    return crc


def _sweep(place: Path) -> None:
    """Remove old files of killed processes, never those of a running process."""
    for path in place.glob(".*"):
        with suppress(OSError):
            age_s = time.time() - max(one.lstat().st_mtime for one in (path, *path.rglob("*")))
            if ours := _OURS.fullmatch(path.name):
                left = age_s > _WEEK_S and _is_free(place / f".{ours['name']}.lock")
            else:
                other = _TEMPORARY.fullmatch(path.name)
                left = other is not None and age_s > _HOUR_S and not _is_running(int(other["pid"]))
            if left:
                _remove(path)


def _is_free(lock: Path) -> bool:
    from filelock import FileLock, Timeout

    try:
        with FileLock(lock, timeout=0):
            _remove(lock)
            return True
    except Timeout:
        return False


def _is_running(pid: int) -> bool:
    """Whether this process runs on this machine; for other machines only the age of the files counts."""
    if os.name != "posix":  # signal 0 is no query there
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
