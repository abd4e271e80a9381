"""Adds recordings to an archive: embeds what is new, and stores it recording by recording.

What is stored when the process ends stays, and the same command continues. A recording's embeddings are written before
its row in the database, which makes them count.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hubbub.archive import vectors
from hubbub.archive.archive import About, Archive, create, refuse_other_network
from hubbub.archive.backbone import absolute_name, load_backbone
from hubbub.archive.changes import Changes, Task, find_changes, insert, site_pattern
from hubbub.archive.nearest import make_index
from hubbub.audio.find_files import search
from hubbub.audio.recorded import Recorded
from hubbub.data.archive_check import refuse_damaged
from hubbub.data.archive_file import ArchiveError, connect, is_archive, transaction
from hubbub.errors import HubbubError, examples
from hubbub.inference.predict import Batches, Piece, recordings_ahead
from hubbub.runtime import download, files
from hubbub.runtime.homes import StoreError
from hubbub.runtime.progress import file_bar
from hubbub.runtime.shipped import SMALL

if TYPE_CHECKING:
    import sqlite3

    from hubbub.classifier.base import Classifier

__all__ = ["Embedded", "Engine", "Indexed", "embed_files", "index"]

Array = npt.NDArray[np.float32]
Log = Callable[[str], None]
BACKBONE = "yamnet"
#: Finished recordings are stored together after so many seconds: each time waits for the disk.
STORE_S = 2.0


@dataclass
class Indexed:
    """What a call of `index` did: recordings and sound [s] that were added, what changed, what was left out and why."""

    changes: Changes
    left_out: dict[str, list[str]]
    added: int = 0
    seconds: float = 0.0
    unreadable: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Embedded:
    """A recording's segments `[S, D]`, length [s] and time, or why it cannot be read."""

    task: Task
    embeddings: Array
    seconds: float = 0.0
    recorded: Recorded | None = None
    why: str = ""


#: Embeds recordings, in any order; its last argument is called with each file and the share of it that is done.
Engine = Callable[[list[Task], About, Callable[[str, float], None]], Iterator[Embedded]]


def index(
    recordings: str | os.PathLike[str],
    to: str | os.PathLike[str],
    *,
    model: str | None = None,
    site: str | None = None,
    device: str = "auto",
    engine: Engine | None = None,
    log: Log = lambda line: None,
) -> Indexed:
    """Embed the recordings below a folder into the archive `to`, which is made where there is none.

    `model` is a classifier whose backbone embeds: a new archive takes YAMNet, or where that cannot be had the one that
    comes with hubbub. `site` is a regular expression for paths below the folder, whose group `site`, or first group, is
    the recording's site; by default that is the first folder of the path. `engine` embeds in place of this process.
    Raises `ArchiveError`, and what `load` raises.
    """
    folder, to = Path(os.path.abspath(recordings)), Path(to)
    if not folder.is_dir():
        raise ArchiveError(f"{recordings} is no folder. Give the folder that holds the recordings.")
    site_of = site_pattern(site)
    if not is_archive(to) and (there := files.foreign_files(to)):
        raise ArchiveError(f"{to} holds other files ({examples(there)}). Name a new folder for the archive.")
    found = search(folder)
    if not found.files:
        raise ArchiveError(f"{recordings} holds no recordings. Give the folder that holds them.")
    with files.lock_folder(to):
        about, backbone = _network(to, model, device, log)
        with closing(connect(to)) as database:
            changes = find_changes(database, folder, found, site_of)
            result = Indexed(changes, found.left_out, unreadable=dict(changes.unreadable))
            log(f"{len(changes.tasks):,} recordings to embed with {about.model}, {changes.known:,} known")
            _store_all(database, to, about, changes, engine or partial(embed_files, backbone), result)
        with closing(Archive(to)) as opened:
            if make_index(to, opened.vectors):
                log(f"an index of {opened.segments:,} segments was made, for quick searches")
    return result


def _network(to: Path, model: str | None, device: str, log: Log) -> tuple[About, "Classifier"]:
    """The network of the archive, which a new archive notes."""
    about = None
    if is_archive(to):
        with closing(connect(to)) as database:
            refuse_damaged(database, to)
            about = About.read(database)  # None where a process was killed that had just begun it
    name = absolute_name(model or (about.model if about else _default(log)))
    backbone = load_backbone(name, device)
    if about:
        refuse_other_network(about, backbone, name, to)
        return about, backbone
    about = About.of(backbone, name)
    create(to, about).close()
    return about, backbone


def _default(log: Log) -> str:
    try:
        download.get(BACKBONE)
    except StoreError as error:
        log(f"network: {SMALL}, which comes with hubbub, as {BACKBONE} cannot be had: {error}")
        return SMALL
    return BACKBONE


def _store_all(
    database: "sqlite3.Connection", to: Path, about: About, changes: Changes, engine: Engine, result: Indexed
) -> None:
    """Embed the tasks and store them, several recordings at a time."""
    waiting: list[Embedded] = []
    stored = time.monotonic()
    with file_bar("embedding", [task.file for task in changes.tasks]) as progress:
        for one in engine(changes.tasks, about, progress):
            waiting.append(one)
            if time.monotonic() - stored > STORE_S:
                _store(database, to, about, waiting, result)
                waiting, stored = [], time.monotonic()
    _store(database, to, about, waiting, result)
    with transaction(database):
        for copy in changes.copies:
            first = database.execute("SELECT id FROM files WHERE content = ? AND state = 'here'", (copy.identity[0],))
            if row := first.fetchone():
                insert(database, copy, "copy", copy_of=row[0])


def _store(database: "sqlite3.Connection", to: Path, about: About, waiting: list[Embedded], result: Indexed) -> None:
    """Write embeddings, then the rows that make them count."""
    if not waiting:
        return
    (first,) = database.execute("SELECT ifnull(max(first + count), 0) FROM files").fetchone()
    values = [one.embeddings for one in waiting if len(one.embeddings)]
    if values:
        vectors.append(to, first, np.concatenate(values))
    with transaction(database):
        for one in waiting:
            if one.why:
                insert(database, one.task, "unreadable", why=one.why)
                result.unreadable[one.task.file] = one.why
                continue
            rows = first, len(one.embeddings)
            insert(database, one.task, "here", seconds=one.seconds, rows=rows, recorded=one.recorded)
            first += len(one.embeddings)
            result.added += 1
            result.seconds += one.seconds


def embed_files(
    model: "Classifier", tasks: list[Task], about: About, progress: Callable[[str, float], None]
) -> Iterator[Embedded]:
    """Embed recordings on this machine, in order: threads decode the next ones while the network computes; windows of
    several recordings share its batches."""
    half = model.recipe.windows.length / model.rate_hz / 2
    waiting: deque[_Recording] = deque()
    ahead = recordings_ahead(model, [task.file for task in tasks])
    with ThreadPoolExecutor(1) as network, closing(ahead) as queues:  # type: ignore[type-var]
        batch = Batches(model.segment_embeddings, model.batch, network)
        for task, parts in zip(tasks, queues, strict=True):
            recording = _Recording(task, about)
            for part in parts:
                if isinstance(part, HubbubError):
                    recording.why = str(part)
                elif isinstance(part, Recorded):
                    recording.recorded = part
                else:
                    recording.seconds = part.seconds
                    batch.add(recording, recording.worth(part, half))
                    progress(task.file, part.share)
            waiting.append(recording)
            progress(task.file, 1.0)
            while waiting and not waiting[0].pending:
                yield waiting.popleft().embedded()
        batch.flush()
    yield from (recording.embedded() for recording in waiting)


@dataclass
class _Recording:
    """A recording on its way: sums of its windows' embeddings for each segment."""

    task: Task
    about: About
    recorded: Recorded | None = None
    seconds: float = 0.0
    why: str = ""
    pending: int = 0
    windows: int = 0
    sums: list[Array] = field(default_factory=list)

    def worth(self, piece: Piece, half: float) -> Piece:
        """The windows that count: not one that is padded by more than half, unless it is the only one."""
        filled = np.diff(piece.spans, axis=1)[:, 0] >= half
        if len(filled) and not (self.pending or self.windows or filled.any()):
            filled[0] = True
        return replace(piece, segments=piece.segments[filled], spans=piece.spans[filled])

    def take(self, outputs: Array, piece: Piece) -> None:
        """Add the embeddings of windows to the sums of their segments."""
        for row in outputs:
            if self.windows % self.about.windows == 0:
                self.sums.append(np.zeros(self.about.width, np.float32))
            self.sums[-1] += row
            self.windows += 1

    def embedded(self) -> Embedded:
        """Each segment's mean; a rest of less than half a segment belongs to the segment before."""
        about = self.about
        if self.why:
            return Embedded(self.task, np.zeros((0, about.width), np.float32), why=self.why)
        counts = np.full(len(self.sums), about.windows)
        counts[-1] = self.windows - about.windows * (len(self.sums) - 1)
        sums, segments = np.stack(self.sums), max(int(self.seconds / about.segment_s + 0.5), 1)
        if segments < len(sums):
            sums[segments - 1] = sums[segments - 1 :].sum(axis=0)
            counts[segments - 1] = counts[segments - 1 :].sum()
        return Embedded(self.task, sums[:segments] / counts[:segments, None], self.seconds, self.recorded)
