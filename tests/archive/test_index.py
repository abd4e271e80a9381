"""Indexing: segments and their embeddings, what a second call does, what cannot be read."""

import errno
import json
import os
import shutil
import sqlite3
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

import hubbub
from hubbub.archive import vectors
from hubbub.archive.archive import Archive
from hubbub.archive.index import index
from hubbub.archive.vectors import normalised
from hubbub.audio import decode
from hubbub.data import archive_file
from hubbub.data.archive_clips import from_archive
from hubbub.data.archive_file import FILE, FORMAT, ArchiveError
from hubbub.runtime.homes import StoreError
from tests.helpers.archives import RATE, recordings_of_tones, tones
from tests.helpers.dated_wav import guano, wav


def states(archive: Path) -> dict[str, str]:
    with sqlite3.connect(archive / FILE) as database:
        return dict(database.execute("SELECT path, state FROM files ORDER BY id").fetchall())


def test_a_segment_holds_the_mean_embedding_of_its_windows(made: tuple[Path, Path]) -> None:
    opened, model = Archive(made[0]), hubbub.load("small")
    place = opened.place(3)
    wave, length = decode.load(place.file, model.rate_hz), model.recipe.windows.length
    windows = np.resize(wave, (len(wave) // length, length))
    expected = model.segment_embeddings(windows).mean(axis=0)
    cosine = (normalised(opened.vectors.take([3])) @ normalised(expected[None]).T).item()
    assert cosine == pytest.approx(1, abs=1e-4)
    assert (place.start, place.end) == (0.0, 5.0)


def test_recordings_are_cut_into_segments_whose_ends_meet(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    lengths = {"a.wav": 3.0, "b.wav": 7.4, "c.wav": 7.6, "d.wav": 20.0}
    for name, seconds in lengths.items():
        soundfile.write(tmp_path / "in" / name, tones("low", seconds), RATE)
    index(tmp_path / "in", tmp_path / "archive", model="small")
    opened = Archive(tmp_path / "archive")
    spans: dict[str, list[tuple[float, float]]] = {}
    for number in range(opened.segments):
        place = opened.place(number)
        spans.setdefault(place.path, []).append((place.start, place.end))
    assert spans == {
        "a.wav": [(0, 3)],
        "b.wav": [(0, 7.4)],  # a rest of less than half a segment belongs to the one before
        "c.wav": [(0, 5), (5, 7.6)],
        "d.wav": [(0, 5), (5, 10), (10, 15), (15, 20)],
    }


def test_a_second_call_adds_what_is_new_and_embeds_nothing_twice(tmp_path: Path) -> None:
    recordings, archive = recordings_of_tones(tmp_path / "in", 1), tmp_path / "archive"
    assert index(recordings, archive, model="small").added == 3
    before = (archive / "embeddings.f16").read_bytes()
    again = index(recordings, archive)
    assert (again.added, again.changes.known) == (0, 3)
    soundfile.write(recordings / "new.wav", tones("high", 5, seed=9), RATE)
    assert index(recordings, archive).added == 1
    assert (archive / "embeddings.f16").read_bytes()[: len(before)] == before


def test_moved_copied_changed_and_lost_recordings_are_noticed(tmp_path: Path) -> None:
    recordings, archive = recordings_of_tones(tmp_path / "in", 1), tmp_path / "archive"
    index(recordings, archive, model="small")
    rows = Archive(archive).segments
    shutil.move(recordings / "north/low-0.wav", recordings / "moved.wav")
    shutil.copy(recordings / "north/high-0.wav", recordings / "copy.wav")
    soundfile.write(recordings / "north/middle-0.wav", tones("middle", 5, seed=5), RATE)
    done = index(recordings, archive)
    numbers = done.changes
    assert (done.added, numbers.moved, numbers.copied, numbers.changed, numbers.gone) == (1, 1, 1, 1, 0)
    opened = Archive(archive)
    assert opened.segments == rows + 1  # of the recording that changed
    assert {opened.place(n).path for n in np.flatnonzero(opened.here)} == {
        *("moved.wav", "north/high-0.wav", "north/middle-0.wav")
    }
    (recordings / "moved.wav").unlink()
    assert index(recordings, archive).changes.gone == 1
    shutil.copy(recordings / "north/high-0.wav", recordings / "third.wav")
    soundfile.write(recordings / "back.wav", tones("low", 5, seed=0), RATE)
    back = index(recordings, archive)
    assert (back.added, back.changes.moved, back.changes.copied) == (0, 1, 1)


def test_a_recording_replaced_by_an_older_one_is_noticed(tmp_path: Path) -> None:
    recordings, archive = recordings_of_tones(tmp_path / "in", 1), tmp_path / "archive"
    index(recordings, archive, model="small")
    file, long_ago = recordings / "north/low-0.wav", time.time() - 1e6
    soundfile.write(file, tones("low", 5, seed=7), RATE)
    os.utime(file, (long_ago, long_ago))
    assert index(recordings, archive).changes.changed == 1


def test_two_copies_in_one_call_are_embedded_once(tmp_path: Path) -> None:
    recordings = recordings_of_tones(tmp_path / "in", 1)
    shutil.copy(recordings / "north/low-0.wav", recordings / "same.wav")
    done = index(recordings, tmp_path / "archive", model="small")
    assert (done.added, done.changes.copied) == (3, 1)
    assert sorted(states(tmp_path / "archive").values()) == ["copy", "here", "here", "here"]


def test_recordings_that_cannot_be_read_are_named_and_the_others_stored(tmp_path: Path) -> None:
    recordings = recordings_of_tones(tmp_path / "in", 1)
    (recordings / "broken.wav").write_bytes(b"RIFF" + bytes(40))
    (recordings / "empty.flac").write_bytes(b"")
    for _ in range(2):
        done = index(recordings, tmp_path / "archive", model="small")
        assert {Path(name).name for name in done.unreadable} == {"broken.wav", "empty.flac"}
    assert states(tmp_path / "archive")["broken.wav"] == "unreadable"
    assert Archive(tmp_path / "archive").segments == 3


def test_site_and_time_are_known(tmp_path: Path) -> None:
    folder = tmp_path / "in" / "pond-7"
    folder.mkdir(parents=True)
    chunk = guano("GUANO|Version: 1.0\nTimestamp: 2024-05-14T22:59:58+02:00\n")
    (folder / "a.wav").write_bytes(wav(chunk, seconds=12))
    index(tmp_path / "in", tmp_path / "archive", model="small", site=r"pond-(\d+)/")
    place = Archive(tmp_path / "archive").place(1)
    assert (place.site, place.clock) == ("7", "2024-05-14T23:00:03.000+02:00")


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        ("no folder", "is no folder"),
        ("nothing", "holds no recordings"),
        ("other files", "holds other files"),
        ("pattern", "is no regular expression"),
        ("group", "has no group"),
    ],
)
def test_what_cannot_be_indexed_is_refused(tmp_path: Path, problem: str, message: str) -> None:
    recordings, archive, site = recordings_of_tones(tmp_path / "in", 1), tmp_path / "archive", None
    if problem == "no folder":
        recordings = tmp_path / "none"
    elif problem == "nothing":
        recordings = tmp_path / "empty"
        recordings.mkdir()
    elif problem == "other files":
        archive.mkdir()
        (archive / "diary.txt").write_text("dear")
    else:
        site = {"pattern": "(", "group": "a"}[problem]
    with pytest.raises(ArchiveError, match=message):
        index(recordings, archive, model="small", site=site)
    assert not (archive / FILE).exists()


def test_another_network_is_refused(tmp_path: Path, made: tuple[Path, Path]) -> None:
    archive = Path(shutil.copytree(made[0], tmp_path / "archive"))
    with sqlite3.connect(archive / FILE) as database:
        (other,) = database.execute("SELECT value FROM about WHERE key = 'probe'").fetchone()
        backwards = json.dumps(json.loads(other)[::-1])
        database.execute("UPDATE about SET value = ? WHERE key = 'probe'", (backwards,))
    with pytest.raises(ArchiveError, match="holds embeddings of small, and those of small are others"):
        index(made[1], archive, model="small")


def test_a_damaged_archive_and_one_of_another_format_are_refused(tmp_path: Path, made: tuple[Path, Path]) -> None:
    archive = Path(shutil.copytree(made[0], tmp_path / "archive"))
    content = (archive / "embeddings.f16").read_bytes()
    (archive / "embeddings.f16").write_bytes(content[:-10])
    with pytest.raises(ArchiveError, match=r"holds .* bytes"):
        Archive(archive)
    with sqlite3.connect(archive / FILE) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(ArchiveError, match="format 99"):
        Archive(archive)
    with sqlite3.connect(archive / FILE) as database:
        database.executescript(f"PRAGMA user_version = {FORMAT}; DROP VIEW labelled; DROP TABLE about;")
    with pytest.raises(ArchiveError, match=r"is damaged .*no such table: about"):
        from_archive(archive)
    (tmp_path / FILE).write_bytes(b"no database" * 1000)
    with pytest.raises(ArchiveError, match="is damaged"):
        Archive(tmp_path)


def test_two_indexers_at_once_are_refused(tmp_path: Path) -> None:
    from hubbub.runtime.files import lock_folder

    recordings = recordings_of_tones(tmp_path / "in", 1)
    with lock_folder(tmp_path / "archive"), pytest.raises(StoreError, match="is in use"):
        index(recordings, tmp_path / "archive", model="small")


@pytest.mark.slow
def test_a_cluster_gives_the_embeddings_of_this_machine(tmp_path: Path, made: tuple[Path, Path]) -> None:
    pytest.importorskip("ray")
    from hubbub.archive.ray import ray_engine

    (made[1] / "broken.wav").write_bytes(b"RIFF" + bytes(40))
    done = index(made[1], tmp_path / "archive", model="small", engine=ray_engine(cpus=1))
    (made[1] / "broken.wav").unlink()
    assert (done.added, len(done.unreadable)) == (12, 1)
    expected, found = Archive(made[0]), Archive(tmp_path / "archive")
    by_path = {found.place(n).path: found.vectors.take([n]) for n in range(found.segments)}
    for number in range(expected.segments):
        assert np.allclose(by_path[expected.place(number).path], expected.vectors.take([number]), atol=1e-2)


def test_an_archive_of_format_1_gets_what_it_lacks_and_a_later_one_is_refused(
    made: tuple[Path, Path], tmp_path: Path
) -> None:
    old = shutil.copytree(made[0], tmp_path / "old")
    with sqlite3.connect(old / FILE) as database:  # as a6d4321 wrote it
        database.executescript("DROP TABLE draws; DROP TABLE rounds; PRAGMA user_version = 1;")
    opened, same = Archive(old), Archive(made[0])
    assert opened.segments == same.segments and states(old) == states(made[0])
    assert opened.database.execute("SELECT count(*) FROM rounds JOIN draws ON id = round").fetchone() == (0,)
    assert opened.database.execute("PRAGMA user_version").fetchone() == (FORMAT,)
    opened.database.execute(f"PRAGMA user_version = {FORMAT + 1}")
    with pytest.raises(
        ArchiveError, match=rf"of format {FORMAT + 1}, .* up to {FORMAT}\. Use the version that wrote it"
    ):
        Archive(old)


def test_a_full_disk_is_told_and_what_is_stored_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recordings, archive = recordings_of_tones(tmp_path / "in", 1), tmp_path / "archive"
    index(recordings, archive, model="small")
    soundfile.write(recordings / "new.wav", tones("high", 5, seed=9), RATE)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(vectors, "os", SimpleNamespace(fsync=full))
        with pytest.raises(ArchiveError, match=r"the disk is full .* what is stored stays"):
            index(recordings, archive)
    assert Archive(archive).segments == 3
    assert index(recordings, archive).added == 1


def test_where_sqlite_finds_no_room_for_its_own_files_the_disk_is_called_full() -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
    assert archive_file._reason(error) == "the disk is full (disk I/O error)"
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_READ
    assert archive_file._reason(error) == "disk I/O error"
