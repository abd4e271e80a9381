"""A kind of file that hubbub reads: whole ones, hostile copies of them, and the doors through which they come in."""

import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from typer.testing import CliRunner

from hubbub.cli.main import app
from hubbub.errors import HubbubError
from tests.faults.mutate import mutated_bytes

__all__ = ["Failing", "Folders", "Kind", "command", "read_all"]

#: Exit statuses of hubbub's own.
STATUSES = (0, 1, 2)


class Kind:
    """`doors` by name: each takes what `whole` or `hostile` wrote, and raises `HubbubError` for what it refuses.

    A subclass fills `files`: names of whole files, with their content; and `doors`."""

    def __init__(self, folder: Path) -> None:
        """`folder` is its own, to write to."""
        self.folder = folder
        self.files: dict[str, bytes] = {}
        self.doors: dict[str, Callable[[Path], Any]] = {}

    def names(self) -> list[str]:
        """The names of the files of which there are hostile copies."""
        return list(self.files)

    def whole(self, name: str) -> Path:
        """Write a whole file -> what is given to a door."""
        return self.placed(name, self.files[name])

    def hostile(self, rng: random.Random, name: str) -> Path:
        """Write a hostile copy of a file."""
        return self.placed(name, self.mutated(rng, name))

    def mutated(self, rng: random.Random, name: str) -> bytes:
        return mutated_bytes(rng, self.files[name], self.files[rng.choice(self.names())])

    def placed(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path


class Folders(Kind):
    """A kind whose files lie in folders: `files` are `FOLDER/NAME`, and a door is given a folder with one hostile file
    in it. `source` holds the whole folders."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.source = folder / "whole"
        self.source.mkdir(exist_ok=True)

    def read(self) -> None:
        """Take in what lies in `source`."""
        found = sorted(one for one in self.source.rglob("*") if one.is_file())
        self.files = {one.relative_to(self.source).as_posix(): one.read_bytes() for one in found}

    def placed(self, name: str, content: bytes) -> Path:
        variant, _, inside = name.partition("/")
        copy = self.folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.source / variant, copy)
        (copy / inside).write_bytes(content)
        self.mend(copy)
        return copy

    def mend(self, copy: Path) -> None:
        """Make checksums right again."""


class Failing(Kind):
    """What no reader may do, each through a door of its own, with hostile files alone."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.files = {"x": bytes(100)}
        self.doors = {
            "crash": self.harmful(os.abort),
            "hang": self.harmful(lambda: time.sleep(60)),
            "memory": self.harmful(lambda: np.ones(10**8, np.float64)),
            "error": self.harmful(lambda: {}["x"]),
            "harm": self.harmful(lambda: Path("/tmp/hubbub-elsewhere").write_text("x")),
        }

    def harmful(self, harm: Callable[[], Any]) -> Callable[[Path], None]:
        def read(path: Path) -> None:
            if path.read_bytes() != self.files["x"]:
                harm()

        return read

    def mutated(self, rng: random.Random, name: str) -> bytes:
        return b"hostile"


def command(*words: str) -> None:
    """Run a command of hubbub in this process. Raises `HubbubError` where it refuses, and whatever else it raises;
    `AssertionError` for an exit status that is not hubbub's own."""
    result = CliRunner().invoke(app, list(words))
    error = result.exception
    if error is not None and not isinstance(error, SystemExit):
        raise error
    assert result.exit_code in STATUSES, f"exit status {result.exit_code}"
    assert "Traceback" not in result.output, result.output[-500:]
    if result.exit_code:
        raise HubbubError(f"exit status {result.exit_code}: {result.output[-200:]}")


def read_all(*reads: Callable[[], Any]) -> None:
    """Call each; raises the last one's `HubbubError` where all refuse."""
    refused: list[HubbubError] = []
    for read in reads:
        try:
            read()
        except HubbubError as error:
            refused.append(error)
    if len(refused) == len(reads):
        raise refused[-1]
