"""Which recording each generated file was made from, so that a replaced recording is noticed, whatever its date.

The folder's `.recordings.jsonl` holds one line per file: the sha256 of its recording, and the recording's size, times
and inode. If all of these are unchanged, so is the recording; otherwise its bytes are compared. Lines are only
appended, after their file was written, so the process may be killed at any time.
"""

import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG
from threading import Lock

from hubbub.runtime import files, homes

__all__ = ["Identity", "Origins", "Stamp", "identity", "stamp", "unchanged"]

#: Size, mtime and ctime [ns], inode; a recorded stamp may hold only the size.
Stamp = Sequence[int]
#: sha256 and stamp of a recording.
Identity = tuple[str, Stamp]
JOURNAL = ".recordings.jsonl"
#: A change within one tick of a file system's clock (FAT: 2 s) leaves the time as it was.
TICK_NS = 2_000_000_000
_log = logging.getLogger(__name__)


def stamp(sound: str) -> Stamp | None:
    """Size, times and inode of a recording; None where it is no regular file."""
    try:
        found = os.stat(sound)
    except (OSError, ValueError):
        return None
    if not S_ISREG(found.st_mode):
        return None
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def identity(sound: str, before: Stamp | None) -> Identity | None:
    """sha256 and stamp of a recording; None where it cannot be read, or changed since its stamp `before`."""
    if before is None:
        return None
    try:
        digest = files.sha256(sound)
    except (OSError, ValueError):
        return None
    if before != stamp(sound):
        return None
    # On other systems ctime is the time of creation, which overwriting does not change.
    lasting = os.name == "posix" and time.time_ns() - max(before[1:3]) > TICK_NS
    return digest, before if lasting else before[:1]


def unchanged(noted: Identity, now: Stamp | None, known: Callable[[], Identity | None]) -> bool:
    """Whether a recording with the stamp `now` is the recorded one; `known` reads its bytes if needed."""
    digest, before = noted
    if now is None or before[0] != now[0]:
        return False
    if list(before) == list(now):
        return True
    found = known()
    return found is not None and found[0] == digest


class Origins:
    """The recordings that the files of a folder were made from. Safe for several threads."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._journal, self._lock = folder, folder / JOURNAL, Lock()
        self._noted: dict[str, Identity] = {}
        self._seen: dict[str, Stamp | None] = {}
        self._known: dict[str, Identity | None] = {}
        self._torn = self._without_journal = False
        try:
            text = self._journal.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            self._without_journal = True
        else:
            self._torn = not text.endswith("\n")
            for line in text.splitlines():
                self._take(line)

    def observe(self, sound: str) -> None:
        """Take a recording's stamp. Call this before decoding it."""
        self._seen.setdefault(sound, stamp(sound))

    def must_write(self, file: Path, sound: str) -> bool:
        """Whether a file is missing or was made from another state of its recording."""
        self.observe(sound)
        name, there, now = self._name(file), file.is_file(), self._seen[sound]
        noted = self._noted.get(name)
        if there and noted and unchanged(noted, now, lambda: self._identity(sound)):
            if list(noted[1]) != now:
                self.record(file, sound)  # the next comparison is cheaper
            return False
        if now is None:
            return True  # decoding will report it
        if noted:  # else a process killed before `record` would leave the line of an older file
            self._write(name, None)
        elif there and self._without_journal:
            self._without_journal = False
            _log.warning(
                "warning: %s does not say which recordings its files were made from, so they are made again",
                self._folder,
            )
        return True

    def record(self, file: Path, sound: str) -> None:
        """Record which recording a file was made from; if it changed meanwhile, the file is made again next time."""
        self._write(self._name(file), self._identity(sound))

    def _identity(self, sound: str) -> Identity | None:
        if self._known.get(sound) is None or stamp(sound) != self._seen.get(sound):
            self._known[sound] = identity(sound, self._seen.get(sound))
        return self._known[sound]

    def _name(self, file: Path) -> str:
        return file.relative_to(self._folder).as_posix()

    def _take(self, line: str) -> None:
        with suppress(ValueError, KeyError, TypeError, RecursionError):
            entry = json.loads(line)
            name, digest, marks = str(entry["file"]), entry["sha256"], [int(mark) for mark in entry["stamp"]]
            self._noted.pop(name, None)
            if digest and marks:
                self._noted[name] = (str(digest), marks)

    def _write(self, name: str, found: Identity | None) -> None:
        digest, marks = found or (None, ())
        line = json.dumps({"file": name, "sha256": digest, "stamp": list(marks)}) + "\n"
        with self._lock:
            try:
                with open(self._journal, "ab") as sink:
                    sink.write(("\n" if self._torn else "").encode() + line.encode())
            except OSError as error:
                raise homes.StoreError(
                    f"{self._journal} could not be written: {files.why_not_written(error)}. Make room and run again: "
                    "finished files stay."
                ) from error
            self._torn = False
            self._take(line)
