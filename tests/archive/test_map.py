"""The map of an archive: near segments sound alike, each has a place, and it is computed once."""

from pathlib import Path

import numpy as np
import pytest

from hubbub.archive import map as archive_map
from hubbub.archive.archive import Archive
from hubbub.archive.index import index
from hubbub.archive.map import compute, read
from tests.helpers.archives import copy_of, recordings_of_tones, tone_archive


def kinds(archive: Archive) -> np.ndarray:
    """The class of each segment's tone."""
    return np.array([Path(archive.place(n).path).name.partition("-")[0] for n in range(archive.segments)])


def test_near_places_sound_alike(made: tuple[Path, Path], tmp_path: Path) -> None:
    folder = copy_of(made[0], tmp_path)
    assert read(folder) is None
    compute(folder)
    found = read(folder)
    assert found is not None and found.final
    assert found.points.shape == (12, 2)
    assert ((found.points >= 0) & (found.points <= 1)).all()
    far = np.linalg.norm(found.points[:, None] - found.points[None], axis=2)
    np.fill_diagonal(far, np.inf)
    kind = kinds(Archive(folder))
    assert (kind[far.argmin(axis=1)] == kind).mean() > 0.9


def test_added_segments_lie_beside_their_own_and_nothing_moves(tmp_path: Path) -> None:
    folder, recordings = tone_archive(tmp_path)
    compute(folder)
    before = read(folder)
    recordings_of_tones(recordings, each=6)
    index(recordings, folder)
    compute(folder)
    after = read(folder)
    assert before is not None and after is not None
    assert after.points[:12] == pytest.approx(before.points)
    assert len(after.points) == 18
    kind = kinds(Archive(folder))
    near = np.linalg.norm(after.points[12:, None] - after.points[None, :12], axis=2).argmin(axis=1)
    assert (kind[near] == kind[12:]).all()


def test_a_sample_is_placed_and_the_others_beside_it(
    made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_map, "SAMPLES", (6, 8))
    folder = copy_of(made[0], tmp_path)
    compute(folder)
    found = read(folder)
    assert found is not None and found.final
    assert (len(found.sample), len(found.points)) == (8, 12)
    rest = np.setdiff1d(np.arange(12), found.sample)
    gaps = np.linalg.norm(found.points[rest, None] - found.points[None, found.sample], axis=2).min(axis=1)
    assert (gaps <= 2 * archive_map.BESIDE).all()


def test_a_damaged_map_is_none(made: tuple[Path, Path], tmp_path: Path) -> None:
    folder = copy_of(made[0], tmp_path)
    (folder / archive_map.FILE).write_bytes(b"PK no map")
    assert read(folder) is None
    compute(folder)
    assert read(folder) is not None


def test_few_segments_lie_side_by_side(tmp_path: Path) -> None:
    recordings_of_tones(tmp_path / "recordings", each=1)
    index(tmp_path / "recordings", tmp_path / "archive", model="small")
    compute(tmp_path / "archive")
    found = read(tmp_path / "archive")
    assert found is not None and found.final
    assert len({tuple(point) for point in found.points.tolist()}) == 3
