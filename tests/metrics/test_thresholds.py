"""thresholds: the choice is the best of all that decide differently, and says where its aim is out of reach."""

import numpy as np
import pytest

from hubbub.metrics import thresholds
from hubbub.metrics.classification import MetricsError
from hubbub.metrics.thresholds import FALLBACK, Doubt, Thresholds

SEEDS = range(30)


def case(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Up to 25 clips of 4 classes with a mask; every other case has equal scores, and zeros and ones among them."""
    rng = np.random.default_rng(seed)
    shape = int(rng.integers(5, 26)), 4
    targets = rng.random(shape) < rng.uniform(0.2, 0.7, 4)
    scores = np.clip(rng.random(shape) * 0.6 + 0.4 * targets, 0, 1)
    scores = np.round(scores, 1) if seed % 2 else scores
    targets[0], targets[1] = True, False  # both sides are known
    return targets, scores, (rng.random(shape) < 0.8) | (np.arange(shape[0]) < 2)[:, None]


def all_choices(targets: np.ndarray, scores: np.ndarray, known: np.ndarray) -> list[tuple[frozenset[int], int, int]]:
    """Each way in which a threshold can decide one class, from the highest down: the clips, hits and false alarms."""
    rows = [n for n in range(len(scores)) if known[n]]
    found = []
    for level in [np.inf, *sorted({scores[n] for n in rows}, reverse=True)]:
        decided = frozenset(n for n in rows if scores[n] >= level)
        hits = sum(bool(targets[n]) for n in decided)
        found.append((decided, hits, len(decided) - hits))
    return found


def decided(found: Thresholds, scores: np.ndarray, known: np.ndarray, k: int) -> frozenset[int]:
    return frozenset(np.flatnonzero((scores[:, k] >= found.values[k]) & known[:, k]).tolist())


@pytest.mark.parametrize("seed", SEEDS)
def test_the_best_f1_is_the_best_of_all(seed: int) -> None:
    targets, scores, known = case(seed)
    found = thresholds.best_f1(targets, scores, known)
    for k in range(4):
        present = int((targets[:, k] & known[:, k]).sum())
        choices = all_choices(targets[:, k], scores[:, k], known[:, k])
        figures = [2 * hits / (present + hits + false) for _, hits, false in choices]
        assert decided(found, scores, known, k) == choices[int(np.argmax(figures))][0]  # of equals, the fewest clips
        assert found.reached.f1[k] == pytest.approx(max(figures))
    assert found.doubts == {} and found.aim == "the best F1"


@pytest.mark.parametrize("precision", [0.5, 0.75, 0.9, 1.0])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_precision_is_kept_by_the_lowest_threshold_that_keeps_it(seed: int, precision: float) -> None:
    targets, scores, known = case(seed)
    found = thresholds.keep_precision(targets, scores, precision, known)
    for k in range(4):
        choices = [c for c in all_choices(targets[:, k], scores[:, k], known[:, k]) if c[0]]
        keeping = [c for c in choices if c[1] / len(c[0]) >= precision]
        best = max(c[1] / len(c[0]) for c in choices)
        expected = keeping[-1] if keeping else [c for c in choices if c[1] / len(c[0]) == best][-1]
        assert decided(found, scores, known, k) == expected[0]
        assert found.doubts.get(k) == (None if keeping else Doubt.UNREACHED)
        assert (found.reached.precision[k] >= precision) == bool(keeping)


@pytest.mark.parametrize("per_hour", [0, 1, 3.5, 1000])
@pytest.mark.parametrize("seed", SEEDS)
def test_false_alarms_are_limited_by_the_lowest_threshold_that_limits_them(seed: int, per_hour: float) -> None:
    targets, scores, known = case(seed)
    hours = np.array([0.5, 1.0, 2.0, 4.0])
    found = thresholds.limit_false_alarms(targets, scores, per_hour, hours, known)
    for k in range(4):
        choices = all_choices(targets[:, k], scores[:, k], known[:, k])
        expected = [c for c in choices if c[2] <= per_hour * hours[k]][-1]
        assert decided(found, scores, known, k) == expected[0]
        assert found.doubts.get(k) == (None if expected[1] else Doubt.NEVER_FOUND)
        assert found.reached.false[k] == expected[2]


def test_a_threshold_lies_halfway_between_scores() -> None:
    targets, scores = np.array([[True], [True], [False], [False]]), np.array([[0.9], [0.6], [0.4], [0.0]])
    assert thresholds.best_f1(targets, scores).values[0] == pytest.approx(0.5)
    assert thresholds.limit_false_alarms(targets, scores, 1, 1.0).values[0] == pytest.approx(0.2)
    assert thresholds.limit_false_alarms(targets, scores, 2, 1.0).values[0] == 0  # a score of 0 reaches 0 alone
    assert thresholds.limit_false_alarms(~targets, scores, 0, 1.0).values[0] == pytest.approx(0.95)
    assert thresholds.limit_false_alarms(~targets, scores + 0.1, 0, 1.0).values[0] > 1  # no probability reaches it


def test_equal_scores_fall_on_one_side() -> None:
    targets = np.array([[True], [True], [False], [True], [False]])
    scores = np.array([[0.8], [0.5], [0.5], [0.5], [0.2]])
    found = thresholds.keep_precision(targets, scores, 0.8)
    assert found.reached.hits[0] == 1 and 0.5 < found.values[0] < 0.8


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_without_a_number_between_them_are_told_apart(dtype: type) -> None:
    low = dtype(0.7)
    high = np.nextafter(low, dtype(1))
    targets, scores = np.array([[True], [False]]), np.array([[high], [low]], dtype=dtype)
    found = thresholds.best_f1(targets, scores)
    assert low < found.values[0] <= high and found.reached.f1[0] == 1
    top = np.array([[dtype(1)], [np.nextafter(dtype(1), dtype(0))]], dtype=dtype)
    assert thresholds.best_f1(targets, top).reached.f1[0] == 1
    assert thresholds.limit_false_alarms(~targets, top, 0, 1.0).reached.false[0] == 0


def test_classes_about_which_the_clips_say_nothing_get_a_stated_threshold() -> None:
    rng = np.random.default_rng(0)
    targets, scores = rng.random((20, 4)) < 0.5, rng.random((20, 4))
    targets[:, 1], targets[:, 2] = False, True
    known = np.ones_like(targets)
    known[:, 3] = False
    for found in (thresholds.best_f1(targets, scores, known), thresholds.keep_precision(targets, scores, 0.1, known)):
        assert found.doubts == {1: Doubt.NO_POSITIVE, 2: Doubt.NO_NEGATIVE, 3: Doubt.NO_POSITIVE}
        assert (found.values[1:] == FALLBACK).all() and np.isnan(found.reached.f1[1:]).all()
    # A limit of false alarms can be kept without a clip that has the class.
    found = thresholds.limit_false_alarms(targets, scores, 2, 1.0, known)
    assert found.doubts == {1: Doubt.NO_POSITIVE, 2: Doubt.NO_NEGATIVE, 3: Doubt.NO_POSITIVE}
    assert found.reached.false[1] == 2 and (found.values[2:] == FALLBACK).all()


def test_a_doubt_is_said_with_the_class_the_aim_and_the_threshold() -> None:
    targets, scores = np.array([[True, False], [False, False]]), np.array([[0.2, 0.3], [0.6, 0.4]])
    found = thresholds.keep_precision(targets, scores, 0.9)
    aim = "so a precision of at least 0.9 is not assured"
    assert found.in_words(("dog", "cat")) == (
        f"class 'dog': no threshold reaches the aim, {aim}; its threshold is 0.1",
        f"class 'cat': no held-out clip has the class, {aim}; its threshold is 0.5",
    )


def test_aims_and_scores_that_mean_nothing_are_refused() -> None:
    targets, scores, _ = case(1)
    for precision in (0, 1.1, np.nan):
        with pytest.raises(MetricsError, match="cannot be kept: give a number above 0, up to 1"):
            thresholds.keep_precision(targets, scores, precision)
    for per_hour, hours in ((-1, 1.0), (np.inf, 1.0), (np.nan, 1.0), (1, 0.0), (1, np.nan), (1, np.ones(3))):
        with pytest.raises(MetricsError, match="give a number of 0 or more, and hours above 0"):
            thresholds.limit_false_alarms(targets, scores, per_hour, hours)
    with pytest.raises(MetricsError, match="thresholds are chosen on probabilities"):
        thresholds.best_f1(targets, scores * 3 - 1)
