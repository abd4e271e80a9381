"""Entries of the cache: folders that are filled once, checked whenever they are opened, and filled again if damaged.

`entry.json` in each holds the size of every file and a CRC-32 of every 64 MiB of it. All of it is compared at each
opening, in threads. That costs one reading of the entry, and at most about a second a gigabyte and core for the sums;
training reads the same bytes next. While an entry is filled it is `.NAME.unfinished`, locked by `.NAME.lock`: a second
process waits for it, and what a killed one has finished (`Growing`) is taken up by the next.
This module does not know what the numbers are for.
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
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt

from hubbub.runtime.homes import StoreError
from hubbub.runtime.processes import cores

__all__ = ["OWN", "Growing", "entry"]

T = TypeVar("T")
#: Names in an entry that `fill` may not give to files of its own.
OWN = NOTE, JOURNAL = "entry.json", "journal.jsonl"
#: Bytes that one checksum stands for, and bytes read at a time.
_BLOCK, _PIECE = 1 << 26, 1 << 20
#: Files of a process that was killed: those that can be taken up again wait for a week, others for an hour.
_OURS = re.compile(r"\.(?P<name>.+)\.(unfinished|lock)")
_TEMPORARY = re.compile(r"\..+\.(?P<pid>\d+)-[0-9a-f]{8}(\.\w+)?")  # as files.whole_folder names them
_WEEK_S, _HOUR_S = 7 * 86_400, 3600
_log = logging.getLogger(__name__)


class _Damaged(Exception):
    """Why an entry cannot be used."""


def entry(folder: Path, fill: Callable[[Path], None], read: Callable[[Path], T]) -> T:
    """What `read` finds in an entry of the cache, which `fill` fills where it is missing or damaged.

    `fill` is handed a folder: empty, or with what a killed process left of a `Growing` file. `read` raises ValueError
    where the content is not of the right form. An entry that is damaged gives a line on stderr. Raises `StoreError`
    where the cache cannot be written.
    """
    _sweep(folder.parent)
    with suppress(_Damaged):
        return _checked(folder, read)
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    with _held(folder):
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
            _note(unfinished)
            os.rename(unfinished, folder)
        except BaseException as error:
            if isinstance(error, Exception) or not (unfinished / JOURNAL).is_file():
                _remove(unfinished)  # else it was interrupted, and goes on the next time
            if isinstance(error, OSError):
                raise StoreError(
                    f"{folder} could not be written: {error.strerror or error}. Make room, or set HUBBUB_CACHE to a "
                    "folder that has it."
                ) from error
            raise
        return read(folder)


class Growing:
    """A file in an unfinished entry that grows by pieces, and a journal of them: what was added before its process was
    killed is there when the file is opened again. `facts` are what was said of each piece."""

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
        """Add a piece, and what is to be known of it (plain JSON)."""
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
    """The whole lines of a journal, each with its length; the last may be torn."""
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
    """A file open for writing behind its first `size` bytes, the rest cut off."""
    handle = os.open(file, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
    os.ftruncate(handle, size)
    os.lseek(handle, size, os.SEEK_SET)
    return handle


def _write(handle: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(handle, left) :]


def _checked(folder: Path, read: Callable[[Path], T]) -> T:
    """What `read` gives of an entry that is as it was written. Raises `_Damaged`."""
    try:
        noted = json.loads((folder / NOTE).read_text(encoding="utf-8"))
        if zlib.crc32(json.dumps(noted["files"]).encode()) != noted["crc32"]:
            raise _Damaged(f"{NOTE} has other content than was written")
        files = {folder / name: size for name, (size, _) in noted["files"].items()}
        if other := [file.name for file, size in files.items() if file.stat().st_size != size]:
            raise _Damaged(f"{other[0]} is not as long as it was")
        now = _checksums(files)
        if other := [name for name, (_, crcs) in noted["files"].items() if now[folder / name] != crcs]:
            raise _Damaged(f"{other[0]} has other content than was written")
        return read(folder)
    except FileNotFoundError as error:
        raise _Damaged(f"{Path(str(error.filename)).name} is missing") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _Damaged(str(error)) from error


def _note(folder: Path) -> None:
    files = {file: file.stat().st_size for file in sorted(folder.rglob("*")) if file.is_file()}
    crcs = _checksums(files)
    noted = {file.relative_to(folder).as_posix(): [size, crcs[file]] for file, size in files.items()}
    content = {"files": noted, "crc32": zlib.crc32(json.dumps(noted).encode())}
    (folder / NOTE).write_text(json.dumps(content), encoding="utf-8")


def _checksums(files: dict[Path, int]) -> dict[Path, list[int]]:
    """A CRC-32 of every block of some files, given with their sizes; threads share the blocks."""
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


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Holds an entry for this process; waits where another holds it. The operating system frees what a killed process
    held."""
    from filelock import FileLock, Timeout

    held = FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            held.acquire(timeout=0)
        except Timeout:
            _log.warning("waiting for another process that fills %s", folder)
            held.acquire()
    except (OSError, NotImplementedError) as error:
        raise StoreError(f"{folder} cannot be locked: {error}. Set HUBBUB_CACHE to a folder that can be.") from error
    try:
        yield
    finally:
        _remove(Path(held.lock_file))
        held.release()


def _sweep(place: Path) -> None:
    """Remove what killed processes left and nobody has taken up, never what belongs to one that lives."""
    for path in place.glob(".*"):
        with suppress(OSError):
            age_s = time.time() - max(one.lstat().st_mtime for one in (path, *path.rglob("*")))
            if ours := _OURS.fullmatch(path.name):
                left = age_s > _WEEK_S and _is_free(place / f".{ours['name']}.lock")
            else:
                other = _TEMPORARY.fullmatch(path.name)
                left = other is not None and age_s > _HOUR_S and not _lives(int(other["pid"]))
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


def _lives(pid: int) -> bool:
    """Whether there is such a process here; one of another machine shows by the age of its files alone."""
    if os.name != "posix":  # there signal 0 is no question
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
