"""An archive that a program holds open: what people said, and the scores of a head that learns it, kept up to date.

A thread looks for what this process or another one has written (labels, classes, recordings) and trains the head again.
What callers read is a `State`, which never changes: a newer one replaces it.
"""

import copy
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from hubbub.archive import labels
from hubbub.archive.archive import Archive
from hubbub.archive.labels import Statement
from hubbub.data.archive_file import ArchiveError, connect
from hubbub.data.archive_labels import LabelState, label_state
from hubbub.errors import HubbubError, did_you_mean

if TYPE_CHECKING:
    from hubbub.archive.quick_head import Space

__all__ = ["Session", "State"]

Array = npt.NDArray[np.float32]

#: How often the thread looks for what other processes have written [s].
POLL_S = 0.5


@dataclass(frozen=True)
class State:
    """What is known at a moment. `version` is larger in every newer state, also of a program that starts again.

    `scores` `[S, K]` are the newest head's, which learned the labels `learned` (perhaps fewer than `labels`). `fits`
    counts the heads, `seconds` is what the newest took, `trouble` says for a person why there is none.
    """

    version: int
    archive: Archive
    labels: LabelState
    scores: Array | None = None
    learned: LabelState | None = None
    fits: int = 0
    seconds: float = 0.0
    trouble: str = ""

    @property
    def up_to_date(self) -> bool:
        """Whether the head has learned from all labels and scored all segments."""
        whole = self.scores is None or len(self.scores) == self.archive.segments
        return self.learned is self.labels and whole

    def column(self, name: str) -> int:
        """The number of a class. Raises `ArchiveError` where there is none of the name."""
        if name not in self.labels.classes:
            raise ArchiveError(f"there is no class '{name}'. {did_you_mean(name, self.labels.classes)} Add it first.")
        return self.labels.classes.index(name)

    def scores_of(self, name: str) -> Array | None:
        """The head's scores of a class, `[S]`, NaN for segments that it has not seen yet; None where it does not know
        the class."""
        self.column(name)
        if self.scores is None or self.learned is None or name not in self.learned.classes:
            return None
        found = self.scores[:, self.learned.classes.index(name)]
        if np.isnan(found).all():
            return None
        added = np.full(self.archive.segments - len(found), np.nan, np.float32)
        return np.concatenate([found, added])


class Session:
    """An open archive; use it as a context. Its methods may be called from any thread.

    `changed` is called, in whichever thread, after each new `state`. Raises `ArchiveError` where the folder holds no
    archive.
    """

    def __init__(self, folder: str | os.PathLike[str], changed: Callable[[], None] = lambda: None) -> None:
        archive = Archive(folder)
        self.changed = changed
        self.automatic = True
        self.training = False
        self._reader, self._writer = archive.database, connect(folder)
        self._reading, self._writing = threading.RLock(), threading.Lock()
        self._seen = self._data_version()
        self.state = State(time.time_ns() // 1_000_000, archive, label_state(self._reader))
        self._space: tuple[int, Space] | None = None
        self._wake, self._asked, self._closed = threading.Event(), False, False
        self._thread = threading.Thread(target=self._work, name="session", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._closed = True
        self._wake.set()
        self._thread.join()
        with self._reading, self._writing:
            self._reader.close()
            self._writer.close()

    @property
    def folder(self) -> Path:
        """The archive's folder."""
        return self.state.archive.folder

    def folders(self) -> set[str]:
        """The folders whose recordings it holds."""
        return {row[0] for row in self.query("SELECT DISTINCT folder FROM files")}

    def query(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a question to the database."""
        with self._reading:
            return self._reader.execute(sql, values).fetchall()

    def write(self, work: Callable[..., Any], *args: Any) -> Any:
        """Call a function that writes, with the database as its first argument; the new state holds what it wrote."""
        with self._writing:
            result = work(self._writer, *args)
        self.catch_up()
        return result

    def label(self, statements: Sequence[Statement], who: str, request: str) -> int:
        """Store what a person said, as `labels.state` does."""
        return int(self.write(labels.state, statements, who, request, self.state.archive.segments))

    def undo(self, who: str, request: str) -> list[int]:
        """Take back a person's last request, as `labels.undo` does; the segments that it was about, also if this
        `request` was stored before."""
        self.write(labels.undo, who, request)
        return [row[0] for row in self.query("SELECT DISTINCT segment FROM labels WHERE request = ?", (request,))]

    def read(self, work: Callable[..., Any], *args: Any) -> Any:
        """Call a function that reads, with the database as its first argument."""
        with self._reading:
            return work(self._reader, *args)

    def said(self, segments: Sequence[int]) -> dict[int, list[labels.Said]]:
        """The latest statements about some segments."""
        found: dict[int, list[labels.Said]] = self.read(labels.said, segments)
        return found

    def latest(self, after: int) -> tuple[int, list[int]]:
        """The number of the latest statement, and the segments about which something was said after a number."""
        (number,) = self.query("SELECT ifnull(max(id), 0) FROM labels")[0]
        rows = self.query("SELECT DISTINCT segment FROM labels WHERE id > ? AND id <= ?", (after, number))
        return number, [row[0] for row in rows]

    def train(self) -> None:
        """Train the head soon, also where that is not automatic."""
        self._asked = True
        self._wake.set()

    def catch_up(self) -> State:
        """Take in what was written since, by this process or another one."""
        with self._reading:
            seen = self._data_version()
            if seen != self._seen:
                self._seen = seen
                archive = copy.copy(self.state.archive)
                grown = archive.refresh()
                self._replace(archive=archive if grown else self.state.archive, labels=label_state(self._reader))
                self._wake.set()
            return self.state

    def _replace(self, **values: Any) -> None:
        with self._reading:
            self.state = replace(self.state, version=self.state.version + 1, **values)
        self.changed()

    def _data_version(self) -> int:
        """A number that is another one after every commit of another connection."""
        return int(self._reader.execute("PRAGMA data_version").fetchone()[0])

    def _work(self) -> None:
        while not self._closed:
            try:
                from hubbub.archive import choose  # noqa: F401 - it imports torch, for which no first label should wait

                self.catch_up()
                if (self.automatic or self._asked) and len(self.state.labels.segments) and not self.state.up_to_date:
                    self._fit()
                self._asked = False
            except Exception as error:  # a folder that is gone: the next round may do better
                trouble = str(error) if isinstance(error, HubbubError) else f"the archive cannot be read ({error})."
                if trouble != self.state.trouble:
                    self._replace(trouble=trouble)
            self._wake.wait(POLL_S)
            self._wake.clear()

    def _fit(self) -> None:
        """Train the head on the labels of now; many labels that come meanwhile are learned together, next."""
        from hubbub.archive import quick_head  # with torch, and only once there are labels

        state, started = self.state, time.monotonic()
        self.training = True
        try:
            vectors = state.archive.vectors
            if self._space is None or self._space[0] != len(vectors):
                self._space = (len(vectors), quick_head.Space.of(vectors))
            scores = quick_head.scores(vectors, state.labels.segments, state.labels.y, self._space[1])
        finally:
            self.training = False
        seconds = time.monotonic() - started
        self._replace(scores=scores, learned=state.labels, trouble="", seconds=seconds, fits=state.fits + 1)
