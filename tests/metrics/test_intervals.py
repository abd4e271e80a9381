"""intervals: known values, the limits of correlation, and coverage in simulated test sets."""

import numpy as np
import pytest
from scipy import optimize, stats
from sklearn.metrics import f1_score

from benchmarks.intervals import METRICS as SIMULATED
from benchmarks.intervals import Kind, coverage, draw, exact_coverage
from hubbub.metrics.classification import METRICS, MetricsError
from hubbub.metrics.intervals import (
    effective_number,
    exact_interval,
    f1_bias,
    f1_weights,
    intervals,
    share_interval,
)


@pytest.mark.parametrize(("hits", "number"), [(5, 10), (8, 10), (23, 24), (1, 50), (190, 200)])
def test_the_interval_is_the_mid_p_binomial(hits: int, number: int) -> None:
    def tail(true: float) -> float:
        return stats.binom.sf(hits, number, true) + stats.binom.pmf(hits, number, true) / 2

    low = optimize.brentq(lambda true: tail(true) - 0.025, 0, 1)
    high = optimize.brentq(lambda true: tail(true) - 0.975, 0, 1)
    assert exact_interval(hits / number, number) == pytest.approx((low, high), abs=1e-9)


def test_all_right_is_not_certain() -> None:
    low, high = exact_interval(1.0, 24)
    assert high == 1
    assert low**24 / 2 == pytest.approx(0.025), "24 right of 24 are this rare"
    assert exact_interval(0.0, 24) == pytest.approx((0, 1 - low))


def test_clips_that_agree_within_recordings_count_as_one() -> None:
    rng = np.random.default_rng(1)
    right = rng.random(400) < 0.7
    recordings = np.arange(400)
    assert effective_number(right, np.full(400, 1 / 400), recordings) == pytest.approx(400)
    five = np.repeat(right, 5), np.full(2000, 1 / 2000), np.repeat(recordings, 5)
    student = (stats.t.ppf(0.975, 399) / stats.norm.ppf(0.975)) ** 2
    assert effective_number(*five) == pytest.approx(1 / (1 / 2000 + student * (1 / 400 - 1 / 2000)))


def test_clips_that_do_not_correlate_count_one_by_one() -> None:
    right = np.random.default_rng(2).random(8000) < 0.8
    found = effective_number(right, np.full(8000, 1 / 8000), np.repeat(np.arange(2000), 4))
    assert 7000 < found < 8000


def test_recordings_of_unequal_length_count_less() -> None:
    """Kish: (sum of sizes) squared over the sum of squares, but for t; one of 24 recordings has half of the clips."""
    groups = np.concatenate([np.zeros(23, dtype=int), np.arange(1, 24)])
    found = effective_number(np.ones(46, dtype=bool), np.full(46, 1 / 46), groups)
    student = (stats.t.ppf(0.975, 23) / stats.norm.ppf(0.975)) ** 2
    assert found == pytest.approx(1 / (1 / 46 + student * ((23**2 + 23) / 46**2 - 1 / 46)))


def test_which_figures_have_an_interval() -> None:
    targets, scores = np.arange(40) % 4, np.eye(4)[np.arange(40) % 4]
    found = intervals(targets, scores, np.arange(40))
    assert [name for name in METRICS if found[name]] == ["accuracy", "balanced_accuracy", "macro_f1", "top3"]
    assert all(0.85 < found[name][0] < 0.95 and found[name][1] == 1 for name in SIMULATED)
    three = intervals(targets % 3, np.eye(3)[targets % 3], np.arange(40))
    assert three["top3"] is None, "of three classes, the first three always hold the right one"


@pytest.mark.parametrize("classes", [2, 7])
def test_macro_f1_is_a_weighted_share(classes: int) -> None:
    """Over the classes that occur in targets or decisions: class 0 is never decided for, class 1 never right."""
    rng = np.random.default_rng(classes)
    targets, decided = rng.choice(np.delete(np.arange(classes + 2), 1), 60), rng.integers(1, classes, 60)
    weights = f1_weights(targets, decided)
    assert weights.sum() == pytest.approx(1)
    assert weights @ (targets == decided) == pytest.approx(f1_score(targets, decided, average="macro"))


@pytest.mark.parametrize("kind", [Kind(20, 10, 0.5, 0.5), Kind(50, 10, 0.8, 1), Kind(60, 30, 0.5, 1)], ids=str)
def test_the_bias_of_macro_f1_is_that_of_many_small_test_sets(kind: Kind) -> None:
    rng, found, expected = np.random.default_rng(11), [], []
    for _ in range(1500):
        targets, scores, groups = draw(kind, kind.accuracy, rng)
        decided = scores.argmax(axis=1)
        right = targets == decided
        # Balanced accuracy has the same true value and varies alike, but without bias: fewer sets are enough.
        recall = right @ (1 / np.bincount(targets)[targets] / kind.classes)
        found.append(f1_weights(targets, decided) @ right - recall)
        expected.append(f1_bias(targets, decided, groups))
    assert np.mean(found) < -0.005
    assert np.mean(expected) == pytest.approx(np.mean(found), rel=0.5)


def test_macro_f1_without_mistakes_has_no_bias() -> None:
    targets = np.arange(12) % 3
    assert f1_bias(targets, targets, np.arange(12) // 2) == 0
    assert f1_bias(targets, np.zeros(12, int), targets) == 0, "one recording of each class says nothing"


def test_the_upper_end_is_that_of_the_figure_without_bias() -> None:
    right, groups = np.arange(40) % 4 > 0, np.arange(40)
    plain, raised = share_interval(right, groups), share_interval(right, groups, bias=-0.05)
    assert plain == share_interval(right, groups, bias=0.05)
    assert raised == pytest.approx((exact_interval(0.75, 40)[0], exact_interval(0.8, 40)[1]))
    assert share_interval(right, groups, bias=-0.5)[1] == 1


def test_names_and_order_of_recordings_do_not_matter() -> None:
    rng = np.random.default_rng(3)
    targets, scores, groups = rng.integers(0, 5, 200), rng.random((200, 5)), np.arange(200) // 4
    found = intervals(targets, scores, groups)
    order = rng.permutation(200)
    other = intervals(targets[order], scores[order], [f"r{g:03}" for g in groups[order]])
    for name, ends in found.items():
        assert other[name] == (ends if ends is None else pytest.approx(ends, abs=1e-9)), name


def test_one_recording_has_no_interval() -> None:
    assert set(intervals(np.array([0, 1]), np.array([[0.7, 0.3], [0.4, 0.6]]), ["a", "a"]).values()) == {None}
    assert share_interval(np.array([True, True]), ["a", "a"]) is None


@pytest.mark.parametrize("groups", [np.arange(3), np.arange(5)])
def test_groups_of_another_length_are_refused(groups: np.ndarray) -> None:
    with pytest.raises(MetricsError, match="groups for 4 predictions"):
        intervals(np.arange(4) % 3, np.full((4, 3), 1 / 3), groups)


@pytest.mark.parametrize(
    "kind",
    [
        Kind(20, 2, 0.8, 0.5),
        Kind(50, 10, 0.8, 0),
        Kind(50, 10, 0.8, 1),
        Kind(100, 10, 0.5, 0.5),
        Kind(200, 2, 0.9, 1),
        Kind(200, 10, 0.9, 0.5),
    ],
    ids=str,
)
def test_intervals_hold_the_truth_about_nineteen_times_in_twenty(kind: Kind) -> None:
    """300 sets: the share's own sd is 1.3 %."""
    for metric, share in coverage(kind, 300, np.random.default_rng(7)).items():
        assert 0.92 <= share <= 0.985, metric


@pytest.mark.parametrize(("number", "mean"), [(10, 0.968), (50, 0.955), (200, 0.951)])
def test_coverage_over_all_accuracies_of_independent_clips(number: int, mean: float) -> None:
    """Wilson's interval falls to .84, Jeffreys' to .87."""
    found = exact_coverage(number)
    assert found.mean() == pytest.approx(mean, abs=0.001) and found.min() > 0.915


def test_macro_f1_with_two_recordings_of_a_class() -> None:
    """300 sets; .87 without the bias."""
    assert coverage(Kind(100, 50, 0.5, 1), 300, np.random.default_rng(9))["macro_f1"] >= 0.91


@pytest.mark.parametrize("kind", [Kind(10, 2, 0.99, 1), Kind(24, 4, 0.99, 0.5), Kind(50, 10, 0.99, 0)], ids=str)
def test_near_one_they_are_rather_too_wide(kind: Kind) -> None:
    assert all(share >= 0.95 for share in coverage(kind, 200, np.random.default_rng(8)).values())
