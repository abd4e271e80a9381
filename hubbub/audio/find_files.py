"""Finds recordings in folders and by patterns, and reports the files it skips.

One search for all commands: it follows links without loops, takes regular files with known endings, and lists the rest
by reason. Files are not opened.
"""

import fnmatch
import glob
import os
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from hubbub.audio.decode import EXTENSIONS
from hubbub.errors import HubbubError, count, examples

__all__ = ["LOST", "STDIN", "FindError", "Found", "describe", "find", "is_hidden", "near", "search"]

#: Standard input in a list of paths.
STDIN = "-"
#: Reasons for skipping.
OTHER, HIDDEN, REPEATED = (
    "files with other endings",
    "hidden files and folders",
    "links to folders that were already searched",
)
EMPTY, UNREADABLE = "empty folders", "folders that cannot be read"
DANGLING, SPECIAL = "broken links", "pipes, devices or sockets, not files"
#: Reasons that suggest a lost recording.
LOST = (DANGLING, SPECIAL, UNREADABLE)
#: The same for one.
_ONE = {
    OTHER: "file with another ending",
    HIDDEN: "hidden file or folder",
    REPEATED: "link to a folder that was already searched",
    EMPTY: "empty folder",
    UNREADABLE: "folder that cannot be read",
    DANGLING: "broken link",
    SPECIAL: "pipe, device or socket, not a file",
}
_SYSTEM = {"__macosx", "thumbs.db", "desktop.ini", "$recycle.bin", "system volume information", "@eadir"}
_ENDINGS_NAMED = 5


class FindError(HubbubError):
    """A search without a result."""


@dataclass(frozen=True)
class Found:
    """The files in order; skipped names by reason; and the given folders that hold no recording."""

    files: list[str] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)
    without: list[str] = field(default_factory=list)


def search(folder: str | Path, endings: Sequence[str] = EXTENSIONS) -> Found:
    """The regular files below a folder with one of the endings (lower case, with dot), a folder's own files before
    those of its subfolders; names in `left_out` are relative to the folder."""
    walk = _walk(os.fspath(folder), tuple(endings))
    return Found(walk.files, walk.left_out)


def find(paths: Iterable[str], endings: Sequence[str] = EXTENSIONS) -> Found:
    """Expands folders to the files below them with one of the endings, and patterns (`*`, `?`, `[]`, `**`) to their
    matches; in order, without duplicates. Raises `FindError` where a pattern or the whole search finds nothing."""
    paths = list(paths)
    found = Found()
    for path in paths:
        matches = [path]
        if path != STDIN and not os.path.lexists(path) and glob.has_magic(path):
            matches = _matches(path)
            if not matches:
                raise FindError(f"nothing matches {path}. {near(path)}")
        for match in matches:
            if match == STDIN or not os.path.isdir(match):
                found.files.append(match)
                continue
            below = search(match, endings)
            found.files.extend(sorted(below.files))
            for reason, names in below.left_out.items():
                found.left_out.setdefault(reason, []).extend(os.path.join(match, name) for name in names)
            if not below.files:
                found.without.append(match)
    if not found.files:
        raise FindError(
            f"nothing to classify in {', '.join(paths) or 'no path'}. "
            + "".join(f"Left out: {line}. " for line in describe(found.left_out))
            + f"Accepted endings: {', '.join(endings)}."
        )
    return Found(list(dict.fromkeys(found.files)), found.left_out, found.without)


def describe(left_out: dict[str, list[str]], reasons: Sequence[str] = ()) -> list[str]:
    """One line per reason (of `reasons`, default all): the count, the endings, and some of the names."""
    lines = []
    for reason, names in left_out.items():
        if reasons and reason not in reasons:
            continue
        kinds = ""
        if reason == OTHER:
            counts = Counter(os.path.splitext(name)[1].lower() or "none" for name in names).most_common()
            kinds = f" ({examples((kind for kind, _ in counts), _ENDINGS_NAMED)})"
        plain = (name.encode("utf-8", "backslashreplace").decode("utf-8") for name in names)
        lines.append(f"{count(len(names), _ONE[reason], reason)}{kinds}: {examples(plain)}")
    return lines


def near(path: str) -> str:
    """A hint for a path or a pattern that does not exist: similar names, or what its folder holds."""
    folder, _, name = path.rpartition(os.sep)
    try:
        others = sorted(other for other in os.listdir(folder or os.curdir) if other != name)
    except (OSError, ValueError):
        return f"There is no folder {folder} that can be read."
    if close := get_close_matches(name, others):
        return "Did you mean " + " or ".join(f"'{os.path.join(folder, one)}'" for one in close) + "?"
    return f"{folder or 'This folder'} holds {examples(others) or 'nothing'}."


@dataclass
class _Walk:
    """A search in progress; without `endings` it takes every file."""

    root: str
    endings: tuple[str, ...] | None
    files: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)
    linked: deque[str] = field(default_factory=deque)

    def leave_out(self, reason: str, path: str) -> None:
        self.left_out.setdefault(reason, []).append(os.path.relpath(path, self.root))

    def entries(self, folder: str) -> list[str]:
        """Sorts a folder's entries into files, links and skipped ones -> its real subfolders."""
        try:
            with os.scandir(folder) as entries:
                items = sorted(entries, key=lambda entry: entry.name)
        except (OSError, ValueError):
            self.leave_out(UNREADABLE, folder)
            return []
        below, before = [], len(self.files)
        for entry in items:
            if is_hidden(entry.name):
                self.leave_out(HIDDEN, entry.path)
            elif entry.is_dir(follow_symlinks=False):
                below.append(entry.path)
            elif os.path.isdir(entry.path):
                self.linked.append(entry.path)
            elif not os.path.exists(entry.path):
                self.leave_out(DANGLING, entry.path)
            elif not os.path.isfile(entry.path):
                self.leave_out(SPECIAL, entry.path)
            elif self.endings is not None and not entry.name.lower().endswith(self.endings):
                self.leave_out(OTHER, entry.path)
            else:
                self.files.append(entry.path)
        if folder != self.root and len(self.files) == before and all(is_hidden(entry.name) for entry in items):
            self.leave_out(EMPTY, folder)
        return below


def _walk(root: str, endings: tuple[str, ...] | None) -> _Walk:
    """Searches real folders first, then links, so that a link to a searched folder adds nothing."""
    walk, seen = _Walk(root, endings), set()
    walk.linked.append(root)
    while walk.linked:
        waiting, is_start = [walk.linked.popleft()], True
        while waiting:
            folder = waiting.pop()
            try:
                status = os.stat(folder)
            except (OSError, ValueError):
                walk.leave_out(UNREADABLE, folder)
                continue
            if (status.st_dev, status.st_ino) in seen:
                if is_start:
                    walk.leave_out(REPEATED, folder)
                continue
            is_start = False
            seen.add((status.st_dev, status.st_ino))
            walk.folders.append(folder)
            waiting += reversed(walk.entries(folder))
    for paths in (walk.files, walk.folders):
        paths.sort(key=lambda path: [*((1, part) for part in path.split(os.sep)[:-1]), (0, os.path.basename(path))])
    return walk


def is_hidden(name: str) -> bool:
    """Whether a name is hidden or is metadata of a file system or an archive (`._x.wav`, `.DS_Store`, `.git`)."""
    return name.startswith(".") or name.lower() in _SYSTEM


def _matches(pattern: str) -> list[str]:
    """The files and folders that match a pattern. `**` uses `_walk`, since `glob` follows links in loops."""
    parts = pattern.split(os.sep)
    if "**" not in parts:
        try:
            return sorted(glob.glob(pattern))
        except ValueError:  # a NUL
            return []
    fixed = next(at for at, part in enumerate(parts) if glob.has_magic(part))
    base = os.sep.join(parts[:fixed]) or (os.sep if pattern.startswith(os.sep) else os.curdir)
    wanted = [part for at, part in enumerate(parts) if at >= fixed and not part == parts[at - 1] == "**"]
    walk = _walk(base, None)
    below = [(path, os.path.relpath(path, base).split(os.sep)) for path in (*walk.files, *walk.folders[1:])]
    matches = (path for path, names in below if _fits(names, wanted))
    return sorted(os.path.relpath(path) if base == os.curdir else path for path in matches)


def _fits(names: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether the parts of a path match the parts of a pattern; `**` matches any number of parts."""
    if not wanted:
        return not names
    if wanted[0] == "**":
        return any(_fits(names[at:], wanted[1:]) for at in range(len(names) + 1))
    return bool(names) and fnmatch.fnmatchcase(names[0], wanted[0]) and _fits(names[1:], wanted[1:])
