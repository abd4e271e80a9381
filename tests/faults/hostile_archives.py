"""Archives of recordings, and what reads them."""

import random
import shutil
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path

import numpy as np
from starlette.testclient import TestClient

from hubbub.archive import labels, map, search
from hubbub.archive.archive import Archive
from hubbub.archive.index import index
from hubbub.archive.session import Session
from hubbub.archive.tables import labels_csv
from hubbub.data.archive_clips import from_archive
from hubbub.data.archive_file import FILE
from hubbub.errors import HubbubError
from hubbub.serve.explore.app import create_app
from tests.faults.kinds import Folders, command, read_all
from tests.helpers.archives import label, tone_archive

__all__ = ["Archives"]


class Archives(Folders):
    """Archives of recordings: their database, embeddings and map."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        if not (self.source / "archive").exists():
            made, _ = tone_archive(folder / "made", 2)
            with closing(Archive(made)) as opened:
                label(opened, [(0, "low", "yes"), (1, "low", "no"), (2, "middle", "yes"), (3, None, "nothing")])
            map.compute(made)
            with closing(sqlite3.connect(made / FILE)) as database:
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            for left in (".lock", ".holder.json", f"{FILE}-wal", f"{FILE}-shm"):
                (made / left).unlink(missing_ok=True)
            shutil.copytree(made, self.source / "archive")
        self.recordings = folder / "made" / "recordings"
        self.read()
        self.doors = {"python": self.open, "index": self.index, "cli": self.search, "server": self.explore}

    def names(self) -> list[str]:
        database = f"archive/{FILE}"
        return [database, database, database, *(name for name in self.files if name != database)]

    def mutated(self, rng: random.Random, name: str) -> bytes:
        if name.endswith(FILE) and rng.random() < 0.6:
            return self.other_cells(rng, self.files[name])
        return super().mutated(rng, name)

    def other_cells(self, rng: random.Random, whole: bytes) -> bytes:
        """A whole database with hostile values in it."""
        place = self.folder / "cells.sqlite"
        place.write_bytes(whole)
        values = (
            None,
            0,
            -1,
            2**62,
            1e308,
            "x",
            "",
            "[]",
            "{}",
            "nan",
            b"\xff\x00",
            "é" * 300,
            "../../etc/passwd",
            "2024-13-45",
            "[[[",
        )
        with closing(sqlite3.connect(place, isolation_level=None)) as database:
            database.execute("PRAGMA ignore_check_constraints = ON")
            for _ in range(rng.choice((1, 1, 2, 4))):
                table = rng.choice(("about", "about", "files", "files", "files", "labels", "labels", "classes"))
                columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
                rows = database.execute(f"SELECT {columns[0]} FROM {table}").fetchall()
                try:
                    if rng.random() < 0.1:
                        database.execute(
                            rng.choice(
                                (
                                    f"DELETE FROM {table}",
                                    f"DROP TABLE {table}",
                                    f"ALTER TABLE {table} RENAME COLUMN {columns[-1]} TO other",
                                    "PRAGMA user_version = 7",
                                    "DROP VIEW labelled",
                                )
                            )
                        )
                    else:
                        database.execute(
                            f"UPDATE {table} SET {rng.choice(columns)} = ? WHERE {columns[0]} = ?",
                            (rng.choice(values), rng.choice(rows)[0]),
                        )
                except (sqlite3.Error, IndexError):
                    continue
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return place.read_bytes()

    def open(self, copy: Path) -> None:
        def archive() -> None:
            with closing(Archive(copy)) as opened:
                opened.summary()
                mask = search.Filters(between=(datetime(2020, 1, 1).time(), datetime(2020, 1, 1, 12).time())).mask(
                    opened
                )
                search.by_score(np.zeros(opened.segments, np.float32), mask, 5)
                labels.said(opened.database, [0, 1])
                if opened.segments:
                    opened.place(opened.segments - 1)
                    opened.vectors.take([0])

        def session() -> None:
            opened = Session(copy)
            with opened:
                list(labels_csv(opened))

        read_all(archive, session, lambda: from_archive(copy), lambda: map.read(copy))

    def index(self, copy: Path) -> None:
        index(self.recordings, copy)

    def search(self, copy: Path) -> None:
        wave = next(self.recordings.rglob("*.wav"))
        command("search", str(copy), "--like", str(wave), "--top", "3", "--out", str(self.folder / "hits"))
        shutil.rmtree(self.folder / "hits", ignore_errors=True)

    def explore(self, copy: Path) -> None:
        app = create_app(Session(copy))  # which enters the session
        with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
            answers = [
                client.get(f"/v1/{route}")
                for route in ("archive", "classes", "segment?segment=0", "sound?segment=0", "spectrogram?segment=1")
            ]
        for answer in answers:
            assert answer.status_code != 500, f"{answer.request.url}: {answer.text[:300]}"
        if all(answer.status_code >= 400 for answer in answers):
            raise HubbubError("all routes refuse")
