"""confident_learning: cases computed by hand, flipped labels that are found, classes that are one."""

import numpy as np
import pytest

from hubbub.metrics.classification import MetricsError
from hubbub.metrics.confident_learning import inseparable, judge, judge_sets, thresholds

#: Four clips of class 0, the last of which is class 1, and two of class 1.
TARGETS = np.array([0, 0, 0, 0, 1, 1])
SCORES = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.02, 0.98], [0.1, 0.9], [0.4, 0.6]])


def test_a_class_s_threshold_is_the_mean_probability_of_its_clips() -> None:
    np.testing.assert_allclose(thresholds(TARGETS, SCORES), [(0.9 + 0.8 + 0.7 + 0.02) / 4, 0.75])
    assert np.isnan(thresholds(TARGETS, np.column_stack([SCORES, np.zeros(6)]))[2])


def test_a_label_far_below_its_threshold_is_wrong_and_the_most_probable_other_class_is_suggested() -> None:
    found = judge(TARGETS, SCORES)
    assert found.wrong.tolist() == [False, False, False, True, False, False]
    assert found.suggested.tolist() == [1, 1, 1, 1, 0, 0]
    np.testing.assert_allclose(found.quality, [1, 1, 1, 0.02 / 0.605, 1, 0.8])


def test_a_clip_is_not_wrong_where_its_label_is_the_most_probable_however_low() -> None:
    scores = np.full((40, 30), 1e-3)
    scores[:, 0] = 0.9
    scores[-1, 0] = 2e-3  # far below the threshold, and above all others
    assert not judge(np.zeros(40, dtype=int), scores).wrong.any()


@pytest.mark.parametrize("seed", range(5))
def test_flipped_labels_come_first(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 6, 300)
    scores = rng.dirichlet(np.ones(6), 300) * 0.3
    scores[np.arange(300), truth] += 0.7
    flipped = rng.choice(300, 15, replace=False)
    given = truth.copy()
    given[flipped] = (truth[flipped] + rng.integers(1, 6, 15)) % 6
    found = judge(given, scores)
    assert set(np.argsort(found.quality)[:15]) == set(flipped)
    assert (found.suggested[flipped] == truth[flipped]).all()


def test_label_sets_are_judged_class_by_class_and_what_nobody_annotated_is_left_out() -> None:
    targets = np.array([[1, 0], [1, 0], [1, 1], [0, 1], [0, -1], [0, 0]])
    scores = np.array([[0.9, 0.1], [0.9, 0.1], [0.01, 0.9], [0.1, 0.9], [0.1, 0.9], [0.2, 0.98]])
    found = judge_sets(targets, scores)
    assert found.wrong.tolist() == [[0, 0], [0, 0], [1, 0], [0, 0], [0, 0], [0, 1]]
    assert found.suggested.tolist() == [[1, 0], [1, 0], [0, 1], [0, 1], [0, 0], [0, 1]]
    assert np.isnan(found.quality[4, 1]) and np.isfinite(found.quality).sum() == 11
    np.testing.assert_allclose(found.quality[2, 0], 0.01 / (1.81 / 3))


def test_a_class_in_every_clip_is_not_judged() -> None:
    targets, scores = np.array([[1, 0], [1, 1]]), np.array([[0.01, 0.5], [0.9, 0.5]])
    found = judge_sets(targets, scores)
    assert not found.wrong[:, 0].any() and np.isnan(found.quality[:, 0]).all()


def test_two_names_of_one_class_are_found_and_others_are_not() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, 240)
    scores = rng.dirichlet(np.ones(4), 240) * 0.2
    given = np.where(truth == 2, rng.integers(2, 4, 240), truth)  # class 2 has two names: 2 and 3
    for k in range(3):
        scores[truth == k, k] += 0.4 if k == 2 else 0.8
    scores[truth == 2, 3] += 0.4
    (pair,) = inseparable(given, scores)
    assert (pair.first, pair.second) == (2, 3) and abs(pair.area - 0.5) < 0.15
    assert min(pair.first_as_second, pair.second_as_first) > 0.3


def test_what_cannot_be_judged_is_refused() -> None:
    with pytest.raises(MetricsError, match="one class cannot be judged"):
        judge(np.array([0, 0]), np.ones((2, 1)))
    with pytest.raises(MetricsError, match=r"give \[N, classes\] for both"):
        judge_sets(np.array([0, 1]), np.ones((2, 2)))
