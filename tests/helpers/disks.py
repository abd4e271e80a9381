"""Small disks for tests: one of a size that fills up, and one that can only be read.

Root mounts a file system in memory. Another user, who may not, gets a limit of the size of files in its place, and
folders without the permission to write.
"""

import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

__all__ = ["FULL", "Disk", "disk", "is_root"]

#: What a command says of it: only a real disk is full; a limit of files is told in the system's words.
FULL = ("the disk is full", "File too large")


def is_root() -> bool:
    """Whether this user may mount."""
    return os.name == "posix" and os.geteuid() == 0


@dataclass
class Disk:
    """A disk at a place, with the setup that a command on it needs."""

    place: Path
    setup: Callable[[], None] | None = None

    @property
    def used(self) -> int:
        """Bytes that its files take."""
        if is_root():
            found = os.statvfs(self.place)
            return (found.f_blocks - found.f_bfree) * found.f_frsize
        return max((path.stat().st_size for path in self.place.rglob("*") if path.is_file()), default=0)

    def resize(self, size: int) -> None:
        """Gives it another size [bytes]; 0 is no limit."""
        if is_root():
            _mount(self.place, f"remount,size={size or '50%'}")
        else:
            self.setup = partial(_limit, size) if size else None

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Lets nobody write on it for the time of a block."""
        _protect(self.place, True)
        try:
            yield
        finally:
            _protect(self.place, False)


@contextmanager
def disk(place: Path, size: int = 0) -> Iterator[Disk]:
    """A disk of some bytes (0: no limit) at a new folder; gone after the block."""
    place.mkdir()
    if not is_root():
        yield Disk(place, partial(_limit, size) if size else None)
        shutil.rmtree(place)
        return
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size or '50%'}", "tmpfs", place], check=True)
    try:
        yield Disk(place)
    finally:
        subprocess.run(["umount", "-l", place], check=True)
        place.rmdir()


def _mount(place: Path, options: str) -> None:
    subprocess.run(["mount", "-o", options, place], check=True)


def _protect(place: Path, protected: bool) -> None:
    if is_root():
        _mount(place, f"remount,{'ro' if protected else 'rw'}")
        return
    for folder in (place, *(path for path in place.rglob("*") if path.is_dir())):
        folder.chmod(0o555 if protected else 0o755)


def _limit(size: int) -> None:
    """No file of this process grows beyond a size [bytes]."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
