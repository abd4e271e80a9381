"""TO BE DESCRIBED."""

import os
import tempfile
from pathlib import Path

from hubbub.errors import HubbubError

__all__ = ["StoreError", "absolute", "cache_dir", "find", "find_in", "homes", "writable_home"]


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
