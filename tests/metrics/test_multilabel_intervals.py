"""multilabel_intervals: the fast bootstrap is the slow one, which repeats clips; with ties, gaps, empty sides."""

import numpy as np
import pytest

from hubbub.metrics import multilabel, significance
from hubbub.metrics.classification import MetricsError
from hubbub.metrics.multilabel_intervals import BOOTSTRAPPED, Weighted, intervals


def data(seed: int, clips: int = 60, classes: int = 4, recordings: int = 20) -> tuple[np.ndarray, ...]:
    """Targets, scores with many ties, decisions, recordings, and what is known; the last class is rare."""
    rng = np.random.default_rng(seed)
    targets = rng.random((clips, classes)) < np.array([0.5, 0.3, 0.2, 0.05])[:classes]
    scores = np.round(np.clip(0.3 * targets + rng.random((clips, classes)) * 0.7, 0, 1), 1)
    groups = np.sort(np.append(np.arange(recordings), rng.integers(0, recordings, clips - recordings)))
    return targets, scores, scores >= 0.5, groups, rng.random((clips, classes)) < 0.8


def slow(arrays: tuple[np.ndarray, ...], weights: np.ndarray) -> list[float]:
    """The figures of the clips, each repeated as often as its recording was drawn."""
    targets, scores, _, groups, known = arrays
    rows = np.repeat(np.arange(len(groups)), weights[groups])
    found = multilabel.evaluate(targets[rows], scores[rows], 0.5, known[rows]).figures
    return [np.nan if found[name] is None else found[name] for name in BOOTSTRAPPED]


@pytest.mark.parametrize("seed", range(4))
def test_a_draw_gives_the_figures_of_repeated_clips(seed: int) -> None:
    arrays = data(seed)
    weights = np.random.default_rng(seed).multinomial(20, np.full(20, 0.05), size=30)
    fast = Weighted(*arrays).figures(weights)
    assert np.stack([fast[name] for name in BOOTSTRAPPED], axis=1) == pytest.approx(
        np.array([slow(arrays, row) for row in weights]), abs=1e-12, nan_ok=True
    )
    alone = Weighted(*arrays).figures(weights, ("macro_map",))
    assert list(alone) == ["macro_map"] and np.array_equal(alone["macro_map"], fast["macro_map"], equal_nan=True)


def test_the_interval_is_that_of_the_slow_bootstrap() -> None:
    arrays = data(9)
    weights = np.random.default_rng(0).multinomial(20, np.full(20, 0.05), size=200)
    drawn = np.array([slow(arrays, row) for row in weights])
    found = intervals([Weighted(*arrays)], 20, 200)
    assert list(found) == list(BOOTSTRAPPED)
    for column, (name, ends) in zip(drawn.T, found.items(), strict=True):
        assert ends == pytest.approx(significance.interval(column), abs=1e-12), name


def test_several_seeds_are_averaged_draw_by_draw() -> None:
    one, other = Weighted(*data(1)), Weighted(*data(2))
    weights = np.random.default_rng(0).multinomial(20, np.full(20, 0.05), size=1000)
    means = (one.figures(weights)["macro_map"] + other.figures(weights)["macro_map"]) / 2
    assert intervals([one, other], 20)["macro_map"] == pytest.approx(significance.interval(means))


def test_draws_that_lack_a_class_leave_it_out() -> None:
    """Recording 0 holds class 0 alone, recording 1 class 1: each draw of one of them has no figure of the other."""
    targets = np.array([[True, False], [False, False], [False, True], [False, False]])
    scores = np.array([[0.9, 0.1], [0.2, 0.2], [0.3, 0.9], [0.1, 0.8]])
    made = Weighted(targets, scores, scores > 0.5, np.array([0, 0, 1, 1]))
    found = made.figures(np.array([[2, 0], [0, 2], [1, 1]]))
    assert found["macro_map"] == pytest.approx([1, 1, 1])
    assert found["macro_f1"] == pytest.approx([1, 2 / 3, (1 + 2 / 3) / 2])
    nothing = Weighted(targets[1::2], scores[1::2], scores[1::2] > 0.5, np.array([0, 1])).figures(np.array([[1, 1]]))
    assert all(np.isnan(values).all() for values in nothing.values())


def test_one_recording_has_no_interval() -> None:
    arrays = data(0, recordings=1)
    assert intervals([Weighted(*arrays)], 1) == dict.fromkeys(BOOTSTRAPPED)


def test_shapes_that_do_not_fit_are_refused() -> None:
    targets, scores, decided, groups, known = data(0)
    with pytest.raises(MetricsError, match="59 groups"):
        Weighted(targets, scores, decided, groups[1:], known)


def test_the_intervals_hold_the_true_figures_of_simulated_recordings() -> None:
    """Fifty recordings of three clips each, whose scores go up and down together; the truth is that of 20,000."""
    rng = np.random.default_rng(0)

    def drawn(recordings: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        groups = np.repeat(np.arange(recordings), 3)
        held = (rng.random((recordings, 4)) < [0.5, 0.3, 0.2, 0.1])[groups]
        logits = rng.normal(-1, 0.8, held.shape) + 1.8 * held + rng.normal(0, 0.7, (recordings, 4))[groups]
        return held, 1 / (1 + np.exp(-logits)), groups

    truth = multilabel.evaluate(*drawn(20_000)[:2]).figures
    held_truth = dict.fromkeys(BOOTSTRAPPED, 0)
    for _ in range(60):
        targets, scores, groups = drawn(50)
        for name, ends in intervals([Weighted(targets, scores, scores >= 0.5, groups)], 50, 200).items():
            held_truth[name] += ends[0] <= truth[name] <= ends[1]
    assert min(held_truth.values()) >= 50, held_truth
