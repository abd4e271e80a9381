"""The index of large archives: what it finds of what comparing with all embeddings finds."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from hubbub.archive import nearest, vectors
from hubbub.archive.nearest import Nearest, make_index
from hubbub.archive.vectors import Vectors, append, normalised

ROWS, WIDTH, TOP = 20_000, 64, 50
Array = npt.NDArray[np.float32]


def embeddings(rows: int, seed: int) -> Array:
    """Points around 200 centres, as sounds of some kinds are."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(200, WIDTH))
    return (centres[rng.integers(200, size=rows)] + 0.7 * rng.normal(size=(rows, WIDTH))).astype(np.float32)


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an archive that counts as large, with its index."""
    monkeypatch.setattr(nearest, "LARGE", 1_000)
    monkeypatch.setattr(nearest, "FEW", 100)
    append(tmp_path, 0, embeddings(ROWS, 1))
    assert make_index(tmp_path, Vectors(tmp_path, ROWS, WIDTH))
    return tmp_path


def exact(folder: Path, rows: int, query: Array, mask: npt.NDArray[np.bool_]) -> set[int]:
    cosines = normalised(Vectors(folder, rows, WIDTH).take(np.arange(rows))) @ query
    return set(np.argsort(np.where(mask, -cosines, np.inf))[:TOP].tolist())


def recall(folder: Path, rows: int, mask: npt.NDArray[np.bool_]) -> float:
    """The mean share of the truly nearest that is among the candidates, each of which is under the mask."""
    found, shares = Nearest(folder, Vectors(folder, rows, WIDTH)), []
    for query in normalised(embeddings(20, 2)):
        candidates = found.candidates(query[None], mask, TOP)
        assert mask[candidates].all()
        assert len(candidates) < rows / 10
        shares.append(len(exact(folder, rows, query, mask) & set(candidates.tolist())) / TOP)
    return float(np.mean(shares))


def test_nearly_all_of_the_nearest_are_found(large: Path) -> None:
    assert recall(large, ROWS, np.ones(ROWS, bool)) >= 0.95


def test_a_mask_holds_in_the_index_too(large: Path) -> None:
    mask = np.random.default_rng(3).random(ROWS) < 0.1
    assert recall(large, ROWS, mask) >= 0.95


def test_of_long_lists_fewer_are_read(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shares = []
    for read in (nearest.READ, 400, 40, 1):  # 48, 10, 1 and 1 of 500 lists, with 40 embeddings on average
        monkeypatch.setattr(nearest, "READ", read)
        shares.append(recall(large, ROWS, np.ones(ROWS, bool)))
    assert shares[0] >= shares[1] > 0.9 > shares[2] == shares[3] > 0


def test_what_was_added_since_is_compared_too(large: Path) -> None:
    added = embeddings(100, 5)
    append(large, ROWS, added)
    found = Nearest(large, Vectors(large, ROWS + 100, WIDTH))
    mask = np.ones(ROWS + 100, bool)
    for row in range(100):
        assert ROWS + row in found.candidates(normalised(added[row : row + 1]), mask, 1)
    assert not make_index(large, Vectors(large, ROWS + 100, WIDTH))  # too few to make it again
    append(large, ROWS, embeddings(5_000, 6))
    assert make_index(large, Vectors(large, ROWS + 5_000, WIDTH))


def test_a_damaged_index_is_left_out_and_all_are_compared(large: Path) -> None:
    (large / nearest.FILE).write_bytes(b"no index")
    mask = np.ones(ROWS, bool)
    query = normalised(embeddings(1, 2))
    found = Nearest(large, Vectors(large, ROWS, WIDTH)).candidates(query, mask, TOP)
    assert set(found.tolist()) == exact(large, ROWS, query[0], mask)
    assert not (large / nearest.FILE).exists()


def test_without_the_extra_all_are_compared(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "_is_installed", lambda: False)
    query, mask = normalised(embeddings(1, 2)), np.ones(ROWS, bool)
    found = Nearest(large, Vectors(large, ROWS, WIDTH)).candidates(query, mask, TOP)
    assert set(found.tolist()) == exact(large, ROWS, query[0], mask)


def test_an_embedding_that_no_half_precision_holds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(vectors.ArchiveError, match="not finite or above 65,504"):
        append(tmp_path, 0, np.full((1, 4), 1e6, np.float32))
    assert not (tmp_path / vectors.FILE).exists()
