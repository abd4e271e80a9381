"""Removes what killed processes left of files and folders that they were writing whole.

Their names are those of `files.whole_file` and `files.whole_folder`. Only a caller that has locked the place knows that
no running process writes there.
"""

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

from hubbub.runtime.files import TEMPORARY
from hubbub.runtime.homes import absolute

__all__ = ["remove_beside", "remove_below"]


def remove_beside(path: str | os.PathLike[str]) -> None:
    """Removes what was left beside a path that is to be written."""
    target = absolute(path)
    ours = re.compile(rf"\.{re.escape(target.stem[:40])}\.\d+-[0-9a-f]{{8}}{re.escape(target.suffix)}")
    for name in filter(ours.fullmatch, os.listdir(target.parent)):
        _remove(target.with_name(name))


def remove_below(folder: Path) -> None:
    """Removes what was left anywhere below a folder."""
    for path in list(folder.rglob(".*")):
        if TEMPORARY.fullmatch(path.name):
            _remove(path)


def _remove(path: Path) -> None:
    with suppress(OSError):  # it only takes room
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
