"""Data homes and the cache: where data sets, weights and computed files lie.

A data home (or home) is a folder that holds data sets as `data/NAME/` and weights as `weights/FILE`. The variable
`HUBBUB_HOME` lists homes; the user's data folder is always the last one.
"""

import os
import tempfile
from pathlib import Path

from hubbub.errors import HubbubError

__all__ = ["StoreError", "absolute", "cache_dir", "find", "find_in", "homes", "writable_home"]


class StoreError(HubbubError):
    """A file or folder cannot be found, downloaded, written or removed."""


def homes() -> list[Path]:
    """The data homes in the order they are searched: those of `HUBBUB_HOME` (separated by os.pathsep, `~` expanded,
    made absolute), then the user's data folder. They need not exist."""
    from platformdirs import user_data_path

    listed = os.environ.get("HUBBUB_HOME", "").split(os.pathsep)
    return [*(absolute(part) for part in listed if part.strip()), user_data_path("hubbub", appauthor=False)]


def find(kind: str, name: str) -> Path | None:
    """The first `home/kind/name` that exists, file or folder; `kind` is "data" or "weights"."""
    return find_in(homes(), kind, name)


def writable_home() -> Path:
    """The first home that can be written, created if it is missing. Raises StoreError, which names each one tried."""
    tried = []
    for home in homes():
        reason = _write_error(home)
        if reason is None:
            return home
        tried.append(f"{home} ({reason})")
    raise StoreError(f"No data home can be written: {', '.join(tried)}. Set HUBBUB_HOME to a folder that can be.")


def cache_dir() -> Path:
    """The folder for computed files, created on demand and safe to delete: `HUBBUB_CACHE`, else the user's cache
    folder. Raises StoreError if it cannot be written."""
    from platformdirs import user_cache_path

    configured = os.environ.get("HUBBUB_CACHE", "")
    folder = absolute(configured) if configured.strip() else user_cache_path("hubbub", appauthor=False)
    reason = _write_error(folder)
    if reason is not None:
        raise StoreError(f"The cache {folder} cannot be written: {reason}. Set HUBBUB_CACHE to a folder that can be.")
    return folder


def absolute(path: str | os.PathLike[str]) -> Path:
    """An absolute path: `~` expanded, relative to the working folder, without `.` and `..`."""
    return Path(os.path.abspath(os.path.expanduser(path)))


def find_in(folders: list[Path], kind: str, name: str) -> Path | None:
    """The first `folder/kind/name` that exists, as in `find`."""
    # os.path.exists, because Path.exists raises if a home may not be entered.
    return next((home / kind / name for home in folders if os.path.exists(home / kind / name)), None)


def _write_error(folder: Path) -> str | None:
    """Why no file can be created in the folder, or None. It tries: permission bits alone do not tell (root, read-only
    mounts)."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return error.strerror or str(error)
