"""An archive's folder, opened: its facts, its recordings, and which segment is where."""

import json
import os
import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hubbub.archive.vectors import Vectors, normalised
from hubbub.audio.recorded import Recorded
from hubbub.data.archive_check import refuse_damaged
from hubbub.data.archive_file import ArchiveError, connect, span_of, transaction

if TYPE_CHECKING:
    from hubbub.classifier.base import Classifier

__all__ = ["About", "Archive", "Place", "probe"]

#: The least cosine between what two copies of one network make of the same sound.
SAME = 0.999
#: The length of a segment [s]: as many of the network's windows as come closest to it.
SEGMENT_S = 5.0
#: A longer segment is damage.
MOST_SEGMENT_S = 1e5


@dataclass(frozen=True)
class About:
    """The network that embeds the recordings, its windows in a segment, a segment's length [s], the embeddings' width,
    and what the network makes of a fixed sound, by which it is known again."""

    model: str
    windows: int
    segment_s: float
    width: int
    probe: tuple[float, ...]

    @classmethod
    def of(cls, model: "Classifier", name: str) -> "About":
        window_s = model.recipe.windows.length / model.rate_hz
        windows = max(round(SEGMENT_S / window_s), 1)
        found = probe(model)
        return cls(name, windows, windows * window_s, len(found), tuple(found.tolist()))

    @classmethod
    def read(cls, database: sqlite3.Connection) -> "About | None":
        """What the database of an archive says of it; None where it says nothing yet. Raises `ArchiveError` where that
        cannot be."""
        try:
            stored = dict(database.execute("SELECT key, value FROM about").fetchall())
            if not stored:
                return None
            sizes = int(stored["windows"]), float(stored["segment_s"]), int(stored["width"])
            found = cls(str(stored["model"]), *sizes, tuple(map(float, json.loads(stored["probe"]))))
            whole = found.windows > 0 and 0 < found.segment_s < MOST_SEGMENT_S and found.width > 0
            if not whole or len(found.probe) != found.width or not np.isfinite(found.probe).all():
                raise ValueError("sizes that cannot be")
        except (sqlite3.Error, KeyError, TypeError, ValueError, RecursionError) as error:
            raise ArchiveError(
                f"the archive's database is damaged: what it says of its network is {type(error).__name__} ({error}). "
                "Put a copy of it back, or index the recordings into a new folder."
            ) from error
        return found


@dataclass(frozen=True)
class Place:
    """Where a segment is: its recording's path below the folder that was indexed, start and end [s], the site, and the
    time of day at its start, where that is known (ISO 8601)."""

    segment: int
    folder: str
    path: str
    start: float
    end: float
    site: str
    clock: str

    @property
    def file(self) -> Path:
        """The recording on this machine."""
        return Path(self.folder, self.path)


class Archive:
    """An archive that exists; `refresh` takes in what another process has added since.

    Raises `ArchiveError` where the folder holds none, or a damaged one.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.database = connect(self.folder)
        try:
            refuse_damaged(self.database, self.folder)
            about = About.read(self.database)
            if about is None:
                raise ArchiveError(f"{folder} holds no recordings yet. Add some: hubbub index RECORDINGS --to {folder}")
            self.about = about
            self.refresh()
        except sqlite3.Error as error:  # text that is none
            self.database.close()
            raise ArchiveError(f"{folder} is damaged ({error}). Put a copy of it back.") from error
        except BaseException:
            self.database.close()
            raise

    def close(self) -> None:
        """Close its database."""
        self.database.close()

    def refresh(self) -> bool:
        """Take in the recordings that were added since; whether there were any."""
        rows = self.database.execute(
            "SELECT id, folder, path, state, seconds, first, count, site, began, utc_offset FROM files WHERE count > 0 "
            "ORDER BY first"
        ).fetchall()
        before = getattr(self, "_rows", None)
        if before == rows:
            return False
        self._rows = rows
        for name in ("_firsts", "here", "sites", "started"):
            self.__dict__.pop(name, None)
        self.segments = rows[-1][5] + rows[-1][6] if rows else 0
        self.vectors = Vectors(self.folder, self.segments, self.about.width)
        return True

    @cached_property
    def _firsts(self) -> npt.NDArray[np.int64]:
        return np.array([row[5] for row in self._rows], dtype=np.int64)

    @cached_property
    def here(self) -> npt.NDArray[np.bool_]:
        """Whether the recording of each segment is there, unchanged, `[S]`."""
        return self._of_segments([row[3] == "here" for row in self._rows]).astype(bool)

    @cached_property
    def sites(self) -> npt.NDArray[Any]:
        """The site of each segment, `[S]`."""
        return self._of_segments([row[7] for row in self._rows])

    @cached_property
    def started(self) -> npt.NDArray[np.datetime64]:
        """The local time at which each segment begins, `[S]`; NaT where that is not known."""
        began = self._of_segments([np.datetime64(row[8] or "NaT", "ms") for row in self._rows]).astype("datetime64[ms]")
        within = np.arange(self.segments) - self._of_segments(self._firsts)
        return np.asarray(began + (within * self.about.segment_s * 1000).astype("timedelta64[ms]"))

    def recordings(self, segments: npt.ArrayLike) -> npt.NDArray[np.intp]:
        """The number of the recording of each segment, among those with segments."""
        return np.searchsorted(self._firsts, np.asarray(segments), side="right") - 1

    def place(self, segment: int) -> Place:
        """Where a segment is. Raises `ArchiveError` for a number that no segment has."""
        if not 0 <= segment < self.segments:
            raise ArchiveError(f"there is no segment {segment}: the archive has 0 to {self.segments - 1}.")
        _, folder, path, _, seconds, first, count, site, began, offset = self._rows[int(self.recordings(segment))]
        start, end = span_of(segment, first, count, seconds, self.about.segment_s)
        clock = ""
        if began:
            zone = None if offset is None else timedelta(seconds=offset)
            clock = Recorded(datetime.fromisoformat(began), zone, "").clock(start)
        return Place(segment, folder, path, round(start, 3), round(end, 3), site, clock)

    def summary(self) -> dict[str, Any]:
        """How many recordings are in which state, hours, segments and sites."""
        states = dict(self.database.execute("SELECT state, count(*) FROM files GROUP BY state").fetchall())
        seconds = sum(row[4] for row in self._rows if row[3] == "here")
        return {
            "recordings": states.get("here", 0),
            "states": states,
            "hours": seconds / 3600,
            "segments": self.segments,
            "segment_s": self.about.segment_s,
            "sites": sorted({row[7] for row in self._rows}),
            "model": self.about.model,
        }

    def _of_segments(self, of_recordings: Any) -> npt.NDArray[Any]:
        """A value a recording -> one a segment."""
        counts = [row[6] for row in self._rows]
        return np.repeat(np.asarray(of_recordings), counts)


def probe(model: "Classifier") -> npt.NDArray[np.float32]:
    """What a classifier's backbone makes of a fixed noise, scaled to length 1, `[D]`: the same on every machine.

    Raises `ClassifierError` where it gives no embeddings."""
    wave = np.random.default_rng(0).normal(0, 0.1, model.recipe.windows.length).astype(np.float32)
    return normalised(model.segment_embeddings(np.array(model.cut(wave))).mean(axis=0, keepdims=True))[0]


def refuse_other_network(about: About, model: "Classifier", name: str, folder: Path) -> None:
    """Raises `ArchiveError` where a classifier's backbone is not the one whose embeddings the archive holds."""
    found = probe(model)
    if len(found) != about.width or float(found @ np.array(about.probe, np.float32)) < SAME:
        raise ArchiveError(
            f"{folder} holds embeddings of {about.model}, and those of {name} are others. Leave --model out, or index "
            "the recordings into another folder."
        )


def create(folder: Path, about: About) -> sqlite3.Connection:
    """The database of a new archive in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    database = connect(folder, create=True)
    facts = {
        "model": about.model, "windows": about.windows, "segment_s": repr(about.segment_s), "width": about.width,
        "probe": json.dumps(about.probe),
    }  # fmt: skip
    with transaction(database):
        database.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", [(k, str(v)) for k, v in facts.items()])
    return database
