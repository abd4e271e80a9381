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
import re
import secrets
import shutil
import unicodedata
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
    "flaw_of",
    "foreign",
    "lock",
    "remove_folder",
    "safe_name",
    "sha256",
    "twins",
    "whole_file",
    "whole_folder",
    "write_csv",
    "write_json",
    "write_text",
]

_NO_ROOM = {getattr(errno, name, None) for name in ("ENOSPC", "EFBIG", "EDQUOT", "EROFS", "EACCES")}
_BLOCK, _BLOCKS = 1 << 16, 16
#: A name that is the same on every file system, and one that ends as `safe_name` ends those that are not.
_PLAIN = re.compile(r"[A-Za-z0-9_+][A-Za-z0-9._+-]{0,79}(?<!\.)")
_HASHED = re.compile(r"-[0-9a-f]{12}$", re.IGNORECASE)
#: Windows opens a device by these names, whatever ending they have.
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\..*)?", re.IGNORECASE | re.DOTALL)
_SEPARATORS = set('/\\:*?"<>|')
LONGEST_NAME = 120  # bytes; file systems allow 255, and endings are added to names
#: What `lock` leaves in a folder.
_OF_LOCK = {".lock", ".holder.json"}
#: Names of what is being written: by `whole_file` and `whole_folder`, and a download from the hub.
_TEMPORARY = re.compile(r"\..+\.(\d+-[0-9a-f]{8}(\.\w+)?|[0-9a-f]{12}\.part)")


def safe_name(value: str) -> str:
    """A value from data as one part of a path: the same value always gives the same name, other values give others.

    Letters (A to Z), digits and `._+-` stay as they are, up to 80 of them. Whatever else a value is (a path, blanks,
    letters with accents, a name that Windows keeps for a device, nothing) becomes what can be read of it and 12 digits
    of its hash. Plain values that differ in case alone stay so: `twins` finds them.
    """
    if _PLAIN.fullmatch(value) and not _DEVICE.fullmatch(value) and not _HASHED.search(value):
        return value
    letters = "".join(c for c in unicodedata.normalize("NFKD", value) if not unicodedata.combining(c))
    readable = re.sub(r"[^A-Za-z0-9_+]+", "-", letters).strip("-")[:60].strip("-")
    digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{readable or 'name'}-{digest}"


def flaw_of(name: str) -> str:
    """Why a name that somebody gave cannot be a file's or folder's on every system; "" where it can."""
    if not name.strip():
        return "it is empty"
    if found := sorted(_SEPARATORS & set(name)):
        return f"it holds {' '.join(found)}"
    if any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in name):
        return "it holds a character that cannot be seen"
    if name[0] in ".- " or name[-1] in ". ":
        return "it begins with a dot, a dash or a blank, or ends with a dot or a blank"
    if _DEVICE.fullmatch(name):
        return "Windows keeps it for a device"
    if len(os.fsencode(name)) > LONGEST_NAME:
        return f"it is longer than {LONGEST_NAME} bytes"
    return ""


def twins(values: Iterable[str]) -> tuple[str, str] | None:
    """The first two different values that are one where upper and lower case, or ways to write a letter, are alike."""
    seen: dict[str, str] = {}
    for value in values:
        other = seen.setdefault(unicodedata.normalize("NFKC", value).casefold(), value)
        if other != value:
            return other, value
    return None


def foreign(folder: Path, *ours: str, leftovers: Iterable[str] = ()) -> list[str]:
    """What lies in a folder that hubbub did not make: nothing where it is new or empty, or holds one of the files
    `ours`; the `leftovers` of an interrupted start do not count."""
    if not os.path.isdir(folder):
        return [folder.name] if os.path.lexists(folder) else []
    there = os.listdir(folder)
    if set(ours) & set(there):
        return []
    return sorted(name for name in there if name not in {*_OF_LOCK, *leftovers} and not _TEMPORARY.fullmatch(name))


def remove_folder(path: str | os.PathLike[str], within: str | os.PathLike[str] | None = None, mark: str = "") -> None:
    """Removes a folder and all in it, where it is there; links are not followed.

    Raises StoreError unless hubbub made it: it lies in (or is) the folder `within`, which holds the file `mark` or has
    the name of something that is being written; without `within`, it has such a name itself. Raises it too where the
    system does not remove it.
    """
    target = absolute(path)
    if not os.path.lexists(target):
        return
    base = target if within is None else absolute(within)
    real, inside = Path(os.path.realpath(target)), Path(os.path.realpath(base))
    marked = within is not None and (inside / mark).is_file()
    if target.is_symlink() or not real.is_relative_to(inside) or not (marked or _TEMPORARY.fullmatch(inside.name)):
        raise StoreError(
            f"{target} was not removed: it does not lie in a folder that hubbub made. Look at it, and move it away."
        )
    try:
        shutil.rmtree(target)
    except OSError as error:
        raise StoreError(f"{target} cannot be removed: {error.strerror or error}. Remove it yourself.") from error


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
def whole_folder(path: str | os.PathLike[str], *ours: str) -> Iterator[Path]:
    """Yields a new temporary folder beside `path`, which takes its place when the block ends, as `whole_file` does
    for a file. What was at `path` is renamed aside first and removed last. Raises StoreError where that is not empty,
    not in the cache, and holds none of the files `ours`, which tell a folder that hubbub made."""
    target = absolute(path)
    strange = foreign(target, *ours)
    if strange and not target.is_relative_to(cache_dir()):
        raise StoreError(
            f"{target} holds {examples(strange)}, and nothing that may be replaced. Give a new or an empty folder."
        )
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
                (place / ".lock").unlink()
                place.rmdir()
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
        why = _why_unwritten(error, target, temporary)
        _remove(temporary)
        if why:
            raise StoreError(
                f"{target} could not be written: {why}. Nothing was changed. Make room or choose another place."
            ) from error
        raise


def _why_unwritten(error: BaseException, target: Path, temporary: Path) -> str:
    """The system's reason where an error is about writing the target; "" where it is about something else.

    Writers that are not Python's (of checkpoints, weights, MP3) do not hand it on. So the system is asked again, by
    writing on: a quota or a limit shows in no figure.
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
    said = cause.strerror or str(cause)
    return f"the disk is full ({said})" if cause.errno in (errno.ENOSPC, errno.EDQUOT) else said


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
