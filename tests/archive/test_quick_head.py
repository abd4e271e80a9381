"""The quick head: what a few labels, of some kinds, give; what it is in no doubt about; how labels contradict."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from hubbub.archive import quick_head
from hubbub.archive.quick_head import Space
from hubbub.archive.vectors import Vectors, append
from tests.helpers.archives import kinds

KINDS, EACH = 3, 40
SEGMENTS = KINDS * EACH
KIND = np.arange(SEGMENTS) % KINDS


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Vectors:
    folder = tmp_path_factory.mktemp("kinds")
    append(folder, 0, kinds(KIND))
    return Vectors(folder, SEGMENTS, kinds(KIND).shape[1])


def sets(segments: list[int]) -> npt.NDArray[np.int8]:
    """The complete label sets of segments."""
    return (KIND[segments][:, None] == np.arange(KINDS)).astype(np.int8)


def test_a_label_of_each_kind_ranks_all_of_its_kind_first(vectors: Vectors) -> None:
    found = quick_head.scores(vectors, [0, 1, 2], sets([0, 1, 2]))
    assert found.shape == (SEGMENTS, KINDS) and found.dtype == np.float32
    assert (found >= 0).all() and (found <= 1).all()
    for kind in range(KINDS):
        assert average_precision_score(kind == KIND, found[:, kind]) == pytest.approx(1)


def test_a_class_of_which_only_yes_is_known_is_ranked_by_likeness(vectors: Vectors) -> None:
    found = quick_head.scores(vectors, [0, 3], np.ones((2, 1), np.int8))
    assert average_precision_score(KIND == 0, found[:, 0]) == pytest.approx(1)
    assert found[KIND == 0].min() > 0.5 > found[KIND != 0].max()


def test_a_class_without_a_yes_is_not_scored(vectors: Vectors) -> None:
    y = np.array([[1, 0, -1], [0, 0, -1]], np.int8)
    found = quick_head.scores(vectors, [0, 1], y)
    assert np.isfinite(found[:, 0]).all() and np.isnan(found[:, 1:]).all()
    assert np.isnan(quick_head.scores(vectors, [], np.zeros((0, 2), np.int8))).all()


def test_an_unknown_label_counts_for_nothing(vectors: Vectors) -> None:
    known = quick_head.scores(vectors, [0, 1, 2], sets([0, 1, 2]))
    more = np.concatenate([sets([0, 1, 2]), np.full((1, KINDS), -1, np.int8)])
    assert quick_head.scores(vectors, [0, 1, 2, 5], more) == pytest.approx(known, abs=1e-4)


def test_half_of_the_score_is_scikit_learns_regression(vectors: Vectors) -> None:
    rows = list(range(12))
    space = Space.of(vectors)
    here, width = space.place(vectors.take(np.arange(SEGMENTS))), vectors.width
    nearness = np.exp(quick_head.STEEP * (here @ here[rows].T - 1))
    found = quick_head.scores(vectors, rows, sets(rows))
    for kind in range(KINDS):
        present = sets(rows)[:, kind]
        votes = nearness @ present / (nearness.sum(axis=1) + quick_head.DOUBT)
        scaled = here * width**0.5
        reference = LogisticRegression(C=quick_head.C, tol=1e-8, max_iter=1000).fit(scaled[rows], present)
        assert found[:, kind] == pytest.approx((votes + reference.predict_proba(scaled)[:, 1]) / 2, abs=2e-3)


def test_wrong_labels_are_contradicted_by_their_neighbours_and_right_ones_are_not(vectors: Vectors) -> None:
    rows = list(range(30))
    y = sets(rows)
    y[4] = [1, 0, 0]  # of kind 1
    against = quick_head.votes_against(vectors, rows, y)
    assert against[4, 0] > 0.9 and against[4, 1] > 0.9 and against[4, 2] < 0.1
    assert np.delete(against, 4, axis=0).max() < 0.5


def test_a_label_that_nothing_is_near_is_not_contradicted(vectors: Vectors) -> None:
    assert quick_head.votes_against(vectors, [0, 1, 2], sets([0, 1, 2])).max() < 0.1
    assert quick_head.votes_against(vectors, [0], np.array([[-1]], np.int8)).tolist() == [[0.0]]


def test_the_space_does_not_depend_on_loudness(vectors: Vectors) -> None:
    space, some = Space.of(vectors), vectors.take([0, 1])
    assert space.place(4 * some) == pytest.approx(space.place(some), abs=1e-5)
    assert np.linalg.norm(space.place(some), axis=1) == pytest.approx(1.0, abs=1e-5)


def test_an_archive_without_segments_has_no_scores(tmp_path: Path) -> None:
    assert quick_head.scores(Vectors(tmp_path, 0, 8), [], np.zeros((0, 2), np.int8)).shape == (0, 2)
