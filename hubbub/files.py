"""Where files are kept and how they are written: homes, the cache, whole files and folders.

A home is a folder that holds `data/NAME/` and `weights/FILE`. `HUBBUB_HOME` lists homes; the user's data folder is
always the last. Whatever hubbub writes appears under its name whole or not at all.
This room does not know what is inside a file, and writes nothing outside homes, the cache and the paths it is handed.
"""

import errno
import hashlib
import json
import os
import platform
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hubbub.errors import HubbubError

if TYPE_CHECKING:
    import pandas

__all__ = [
    "StoreError",
    "absolute",
    "cache_dir",
    "find",
    "find_in",
    "homes",
    "lock",
    "sha256",
    "whole_file",
    "whole_folder",
    "writable_home",
    "write_csv",
    "write_json",
    "write_text",
]

_NO_ROOM = {getattr(errno, name, None) for name in ("ENOSPC", "EFBIG", "EDQUOT", "EROFS", "EACCES")}


class StoreError(HubbubError):
    """Something could not be found, fetched or written; the message says what to do."""


def homes() -> list[Path]:
    """The folders that may hold `data/` and `weights/`, in the order they are searched: those of `HUBBUB_HOME`
    (separated by os.pathsep, `~` expanded, made absolute), then the user's data folder. None need exist."""
    from platformdirs import user_data_path

    given = os.environ.get("HUBBUB_HOME", "").split(os.pathsep)
    return [*(absolute(part) for part in given if part.strip()), user_data_path("hubbub", appauthor=False)]


def find(kind: str, name: str) -> Path | None:
    """The first `home/kind/name` that exists, file or folder; `kind` is "data" or "weights"."""
    return find_in(homes(), kind, name)


def writable_home() -> Path:
    """The first home that can be written, created where it is missing. Raises StoreError naming each one tried."""
    tried = []
    for home in homes():
        why = _why_unwritable(home)
        if why is None:
            return home
        tried.append(f"{home} ({why})")
    raise StoreError(f"No home can be written: {', '.join(tried)}. Set HUBBUB_HOME to a folder that can be.")


def cache_dir() -> Path:
    """The folder for computed things, created on demand and safe to delete: `HUBBUB_CACHE`, else the user's cache
    folder. Raises StoreError where it cannot be written."""
    from platformdirs import user_cache_path

    given = os.environ.get("HUBBUB_CACHE", "")
    folder = absolute(given) if given.strip() else user_cache_path("hubbub", appauthor=False)
    why = _why_unwritable(folder)
    if why is not None:
        raise StoreError(f"The cache {folder} cannot be written: {why}. Set HUBBUB_CACHE to a folder that can be.")
    return folder


def absolute(path: str | os.PathLike[str]) -> Path:
    """`~` expanded, relative to the working folder, without dots."""
    return Path(os.path.abspath(os.path.expanduser(path)))


def find_in(folders: list[Path], kind: str, name: str) -> Path | None:
    """`find` in given folders."""
    # os.path.exists, because Path.exists raises where a home may not be entered.
    return next((home / kind / name for home in folders if os.path.exists(home / kind / name)), None)


def _why_unwritable(folder: Path) -> str | None:
    """None where a file can be created in the folder; permission bits alone do not tell (root, read-only mounts)."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return error.strerror or str(error)


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path beside `path` to write to; when the block ends it is synced and takes the place of
    `path`. Where the block raises, the temporary file is removed and `path` is as before. Raises StoreError where
    there is no room or no permission. The suffix is kept, because some writers choose the format by it."""
    target = absolute(path)
    temporary = _beside(target)
    with _or_nothing(target, temporary):
        yield temporary
        _sync(temporary)
        os.replace(temporary, target)


@contextmanager
def whole_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a new temporary folder beside `path`, which takes its place when the block ends, as `whole_file` does
    for a file. What was at `path` is renamed aside first and removed last."""
    target = absolute(path)
    temporary, aside = _beside(target), _beside(target)
    with _or_nothing(target, temporary):
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
def lock(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Holds a folder, created where it is missing, for this process until the block ends.

    The lock is the operating system's, on the file `.lock`, so it vanishes with a process that is killed; the file
    itself stays and means nothing. A folder that was created for it and stayed empty is removed again. `.holder.json`
    says who holds it. Raises StoreError where another process does, and where the folder cannot be written.
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
        why = error.strerror or error
        raise StoreError(f"{place} cannot be written: {why}. Choose a folder that can be.") from error
    try:
        me = {"pid": os.getpid(), "machine": platform.node(), "since": datetime.now(UTC).isoformat(timespec="seconds")}
        write_json(holder, me)
        yield
    finally:
        with suppress(OSError):
            holder.unlink()
            if new and [p.name for p in place.iterdir()] == [".lock"]:
                shutil.rmtree(place)
        held.release()


def _holder(path: Path) -> str:
    """The process that holds a lock, as far as it can be told: one that was killed leaves its name behind."""
    try:
        who = json.loads(path.read_text(encoding="utf-8"))
        if os.name == "posix" and who["machine"] == platform.node():
            with suppress(PermissionError):  # it lives, and is another user's
                os.kill(who["pid"], 0)
        return f"process {who['pid']} on {who['machine']} since {who['since']}"
    except (OSError, ValueError, KeyError):
        return "another process"


@contextmanager
def _or_nothing(target: Path, temporary: Path) -> Iterator[None]:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException as error:
        _remove(temporary)
        if isinstance(error, OSError) and _is_ours(error, target, temporary):
            why = error.strerror or error
            raise StoreError(
                f"{target} could not be written: {why}. Nothing was changed. Make room or choose another place."
            ) from error
        raise


def _is_ours(error: OSError, target: Path, temporary: Path) -> bool:
    """Whether an error is about writing the target rather than about something else that the block opened."""
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
