"""Writes files and folders whole or not at all, locks folders and removes them.

This module does not know what the files hold. It removes only what hubbub made.
"""

import errno
import hashlib
import json
import logging
import os
import platform
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hubbub.errors import HubbubError, examples
from hubbub.runtime.homes import StoreError, absolute, cache_dir

if TYPE_CHECKING:
    import pandas

__all__ = [
    "foreign_files",
    "is_full",
    "lock_folder",
    "lock_path",
    "remove_folder",
    "TEMPORARY",
    "sha256",
    "whole_file",
    "whole_folder",
    "why_not_written",
    "write_csv",
    "write_json",
    "write_text",
]

_NO_ROOM = {getattr(errno, name, None) for name in ("ENOSPC", "EFBIG", "EDQUOT", "EROFS", "EACCES")}
_BLOCK, _BLOCKS = 1 << 16, 16
_log = logging.getLogger(__name__)
#: What `lock_folder` leaves in a folder.
_LOCK_FILES = {".lock", ".holder.json"}
#: Temporary names: of `whole_file` and `whole_folder`, and of a download from the hub.
TEMPORARY = re.compile(r"\..+\.(\d+-[0-9a-f]{8}(\.\w+)?|[0-9a-f]{12}\.part)")


def foreign_files(folder: Path, *ours: str, leftovers: Iterable[str] = ()) -> list[str]:
    """The names in a folder that hubbub did not make; none if it is new or empty, or holds one of the files `ours`.

    The `leftovers` of an interrupted start do not count."""
    if not os.path.isdir(folder):
        return [folder.name] if os.path.lexists(folder) else []
    there = os.listdir(folder)
    if set(ours) & set(there):
        return []
    return sorted(name for name in there if name not in {*_LOCK_FILES, *leftovers} and not TEMPORARY.fullmatch(name))


def remove_folder(path: str | os.PathLike[str], within: str | os.PathLike[str] | None = None, mark: str = "") -> None:
    """Removes a folder and all in it, if it exists; links are not followed.

    Raises StoreError unless hubbub made it: it lies in (or is) the folder `within`, which holds the file `mark` or has
    a temporary name; without `within`, it has such a name itself. Also raises it if the system cannot remove it."""
    target = absolute(path)
    if not os.path.lexists(target):
        return
    base = target if within is None else absolute(within)
    real, inside = Path(os.path.realpath(target)), Path(os.path.realpath(base))
    marked = within is not None and (inside / mark).is_file()
    if target.is_symlink() or not real.is_relative_to(inside) or not (marked or TEMPORARY.fullmatch(inside.name)):
        raise StoreError(
            f"{target} was not removed: it does not lie in a folder that hubbub made. Look at it, and move it away."
        )
    try:
        shutil.rmtree(target)
    except OSError as error:
        raise StoreError(f"{target} cannot be removed: {error.strerror or error}. Remove it yourself.") from error


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path beside `path` to write to; when the block ends, the file is synced and replaces `path`.

    If the block raises, the temporary file is removed and `path` is unchanged. The suffix stays the same, because some
    writers choose the format by it. Raises StoreError if there is no room or no permission."""
    target = absolute(path)
    temporary = _beside(target)
    with _all_or_nothing(target, temporary):
        yield temporary
        _sync(temporary)
        os.replace(temporary, target)


@contextmanager
def whole_folder(path: str | os.PathLike[str], *ours: str) -> Iterator[Path]:
    """Yields a new temporary folder beside `path`, which replaces `path` when the block ends, as in `whole_file`.

    The old folder is renamed first and removed last. Raises StoreError if it is not empty, not in the cache, and holds
    none of the files `ours`, which mark a folder that hubbub made."""
    target = absolute(path)
    strange = foreign_files(target, *ours)
    if strange and not target.is_relative_to(cache_dir()):
        raise StoreError(
            f"{target} holds {examples(strange)}, and hubbub did not make it, so it is not replaced. "
            "Give a new or an empty folder."
        )
    temporary, aside = _beside(target), _beside(target)
    with _all_or_nothing(target, temporary):
        temporary.mkdir()
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file() and not file.is_symlink():
                _sync(file)
        if os.path.lexists(target):
            os.rename(target, aside)
        try:
            os.rename(temporary, target)
        except OSError:
            if os.path.lexists(aside):
                os.rename(aside, target)
            raise
    _remove(aside)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes UTF-8 text, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_csv(path: str | os.PathLike[str], table: "pandas.DataFrame") -> None:
    """Writes a table without its index, whole or not at all."""
    write_text(path, table.to_csv(index=False))


def write_json(path: str | os.PathLike[str], obj: object) -> None:
    """Writes JSON, whole or not at all. Raises ValueError on NaN and infinity, which JSON does not have."""
    write_text(path, json.dumps(obj, indent=2, allow_nan=False) + "\n")


@contextmanager
def lock_folder(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Locks a folder for this process until the block ends; creates it if it is missing.

    The lock is the operating system's, on the file `.lock`, so it ends with a process that is killed; the file itself
    stays and means nothing. A folder that was created for the lock and is still empty is removed. `.holder.json` says
    who holds the lock. Raises StoreError if another process holds it, or if the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    place = absolute(folder)
    holder, new = place / ".holder.json", not place.exists()
    try:
        place.mkdir(parents=True, exist_ok=True)
        held = FileLock(place / ".lock", timeout=0)
        held.acquire()
    except Timeout:
        raise StoreError(
            f"{place} is in use by {_holder(holder)}. Wait for it to end, or name another folder."
        ) from None
    except OSError as error:
        reason = error.strerror or error
        raise StoreError(f"{place} cannot be written: {reason}. Choose a folder that can be.") from error
    try:
        me = {"pid": os.getpid(), "machine": platform.node(), "since": datetime.now(UTC).isoformat(timespec="seconds")}
        write_json(holder, me)
        yield
    finally:
        with suppress(OSError):
            holder.unlink()
            if new and [p.name for p in place.iterdir()] == [".lock"]:
                (place / ".lock").unlink()
                place.rmdir()
        held.release()


@contextmanager
def lock_path(path: str | os.PathLike[str], what: str, advice: str) -> Iterator[None]:
    """Locks a file or folder that is to be made, until the block ends; waits where another process has it, and says so.

    The lock is the system's, on the file `.NAME.lock` beside it. `what` says what its holder does. Raises StoreError
    with the `advice` if that file cannot be written."""
    from filelock import FileLock, Timeout

    target = absolute(path)
    lock = FileLock(target.with_name(f".{target.name}.lock"))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            _log.warning("waiting for another process that %s %s", what, target)
            lock.acquire()
    except OSError as error:
        raise StoreError(f"{target} could not be written: {why_not_written(error)}. {advice}") from error
    except NotImplementedError as error:  # a file system without locks
        raise StoreError(f"{target} cannot be locked: {error}. {advice}") from error
    try:
        yield
    finally:
        _remove(Path(lock.lock_file))
        lock.release()


def _holder(path: Path) -> str:
    """The process that holds a lock; "another process" if the file is of one that was killed."""
    try:
        who = json.loads(path.read_text(encoding="utf-8"))
        if os.name == "posix" and who["machine"] == platform.node():
            with suppress(PermissionError):  # it is alive, and of another user
                os.kill(who["pid"], 0)
        return f"process {who['pid']} on {who['machine']} since {who['since']}"
    except (OSError, ValueError, KeyError):
        return "another process"


@contextmanager
def _all_or_nothing(target: Path, temporary: Path) -> Iterator[None]:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException as error:
        reason = _write_error(error, target, temporary)
        _remove(temporary)
        if reason:
            raise StoreError(
                f"{target} could not be written: {reason}. Nothing was changed. Make room or choose another place."
            ) from error
        raise


def _write_error(error: BaseException, target: Path, temporary: Path) -> str:
    """The system's reason if an error is about writing the target; "" if it is about something else.

    Libraries that write checkpoints, weights or MP3 do not pass on the system's error. So this function writes a few
    more bytes to see it again: no figure shows a quota or a limit.
    """
    cause: BaseException = error
    silent = isinstance(error, Exception) and not isinstance(error, HubbubError) and not getattr(error, "errno", None)
    if silent and os.path.exists(temporary.parent):
        try:
            inside = [path for path in temporary.rglob("*") if path.is_file()]
            whole = temporary / "file" if temporary.is_dir() else temporary
            with open(max(inside, key=lambda path: path.stat().st_size, default=whole), "ab", 0) as handle:
                for _ in range(_BLOCKS):
                    handle.write(bytes(_BLOCK))
        except OSError as found:
            cause = found
    if not isinstance(cause, OSError) or not _is_ours(cause, target, temporary):
        return ""
    return why_not_written(cause)


def why_not_written(error: OSError) -> str:
    """The system's reason why a file was not written; that of a full disk in plain words."""
    reason = error.strerror or str(error)
    return f"the disk is full ({reason})" if is_full(error) else reason


def is_full(error: BaseException | None) -> bool:
    """Whether an error says that a disk is full, or a user's part of it."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def _is_ours(error: OSError, target: Path, temporary: Path) -> bool:
    """Whether an error is about the target rather than another file that the block opened."""
    if error.filename is None:
        return error.errno in _NO_ROOM
    place = Path(os.fsdecode(error.filename)) if not isinstance(error.filename, int) else Path()
    return place in (target, temporary, *target.parents) or temporary in place.parents


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.stem[:40]}.{os.getpid()}-{secrets.token_hex(4)}{target.suffix}")


def _sync(file: Path) -> None:
    with open(file, "rb+") as handle:
        os.fsync(handle.fileno())


def _remove(path: Path) -> None:
    with suppress(OSError):  # it must not hide the error it cleans up after
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def sha256(path: str | os.PathLike[str]) -> str:
    """The sha256 of a file, 64 hexadecimal digits."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
