"""draws: edges of strata, the counts of draws, and weights of draws of earlier rounds."""

import numpy as np
import pytest

from benchmarks.coverage import FIGURES, Kind, retrained
from hubbub.metrics.classification import MetricsError
from hubbub.metrics.draws import edges, inclusion_weights, stratum_of, tally
from hubbub.metrics.strata import prevalence


def test_strata_are_small_at_the_top() -> None:
    scores = np.random.default_rng(0).random(100_000)
    sizes = np.bincount(stratum_of(scores, edges(scores)))
    assert len(sizes) == 6 and sizes.sum() == 100_000
    assert sizes[:-1] / sizes[1:] == pytest.approx([4] * 5, rel=0.02)


def test_strata_have_fifty_segments_or_more_and_keep_equal_scores_together() -> None:
    scores = np.random.default_rng(0).random(1000)
    assert np.bincount(stratum_of(scores, edges(scores))).min() >= 50
    mostly_zero = np.concatenate([np.zeros(900), np.linspace(0.5, 1, 100)])
    assert (stratum_of(mostly_zero, edges(mostly_zero))[:900] == 0).all()
    assert len(edges(np.zeros(500))) == 0


def test_a_threshold_is_an_edge_and_belongs_to_the_stratum_above() -> None:
    scores = np.random.default_rng(0).random(10_000)
    found = edges(scores, at=(0.5, 7.0))
    assert 0.5 in found and 7.0 not in found, "no segment is above 7"
    first = int(stratum_of([0.5], found)[0])
    assert ((stratum_of(scores, found) >= first) == (scores >= 0.5)).all()


def test_draws_without_weights_are_counted() -> None:
    found = tally([100, 50], [0, 0, 0, 1, 1], [True, False, False, True, True])
    assert found.labelled.tolist() == [3, 2] and found.positives == pytest.approx([1, 2])


def test_equal_weights_change_nothing_and_unequal_ones_cost_labels() -> None:
    draws = [100, 100], [0, 0, 0, 0, 1], [True, False, False, False, True]
    assert tally(*draws, 7).labelled == pytest.approx(tally(*draws).labelled)
    found = tally(*draws, [1, 1, 1, 5, 1])
    assert found.labelled == pytest.approx([64 / 28, 1])
    assert found.positives[0] / found.labelled[0] == pytest.approx(1 / 8), "the weighted share"


def test_no_draws_are_no_labels() -> None:
    assert np.isnan(prevalence(tally([100, 50], [], [])).value)


def test_the_weight_is_the_inverse_of_the_chance_to_be_drawn_in_any_round() -> None:
    assert inclusion_weights([[0.1, 0.0], [0.1, 0.5], [0, 1]]) == pytest.approx([10, 1 / 0.55, 1])
    for rates in ([[0.0, 0.0]], [[1.5]], [0.1]):
        with pytest.raises(MetricsError, match="rate"):
            inclusion_weights(rates)


@pytest.mark.parametrize(
    "draws", [([10], [1], [True]), ([10], [0], [True, False]), ([10], [0], [True], [0.0]), ([1], [0, 0], [True, True])]
)
def test_impossible_draws_are_refused(draws: tuple[list[float], ...]) -> None:
    with pytest.raises(MetricsError):
        tally(*draws)


@pytest.mark.slow
def test_labels_of_an_earlier_classifiers_strata_keep_their_worth() -> None:
    kind = Kind(10_000, 0.1, 2.0, 300, 4, 2)
    held = retrained(kind, 300, np.random.default_rng(2028))
    assert all(0.91 <= held[name] <= 0.99 for name in FIGURES), held
