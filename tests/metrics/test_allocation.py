"""allocation: how many labels, where, and whether they are enough."""

import numpy as np
import pytest

from benchmarks.coverage import Kind, simulate
from hubbub.metrics.allocation import half_width, more_labels
from hubbub.metrics.classification import MetricsError
from hubbub.metrics.strata import Strata, precision, precision_above, prevalence, recall


def strata(sizes: list[float], labelled: list[float], positives: list[float]) -> Strata:
    return Strata(np.array(sizes), np.array(labelled), np.array(positives))


def test_one_stratum_needs_as_many_labels_as_the_textbook_says() -> None:
    plan = more_labels(strata([1e9], [20], [10]), prevalence)
    textbook = 0.25 * (1.96 / 0.05) ** 2
    assert plan is not None and textbook * 0.95 < 20 + plan.total < textbook * 1.11
    assert plan.half_width <= 0.05


def test_labels_are_spread_as_neyman_says() -> None:
    """To within a batch, a tenth of the labels."""
    sizes, share = np.array([60_000, 30_000, 10_000]), np.array([0.1, 0.5, 0.9])
    plan = more_labels(Strata(sizes, np.full(3, 10), 10 * share), prevalence, 0.01)
    assert plan is not None
    neyman = sizes * np.sqrt(share * (1 - share))
    assert (plan.more + 10) / (plan.total + 30) == pytest.approx(neyman / neyman.sum(), abs=0.1)


def test_a_large_stratum_without_a_positive_gets_labels() -> None:
    plan = more_labels(strata([900_000, 1000], [20, 50], [0, 40]), lambda s: recall(s, 1), 0.2)
    assert plan is not None and plan.more[0] > 1000 and plan.more[1] < 100


def test_nothing_is_added_where_the_width_is_reached() -> None:
    plan = more_labels(strata([50, 50], [50, 50], [1, 30]), prevalence)
    assert plan is not None and plan.total == 0 and plan.half_width == 0


def test_small_archives_are_labelled_completely_at_most() -> None:
    plan = more_labels(strata([30, 20], [2, 2], [1, 1]), prevalence, 0.001)
    assert plan is not None and plan.more.tolist() == [28, 18]


def test_there_is_no_plan_where_no_labels_give_an_interval() -> None:
    assert more_labels(strata([300, 20], [10, 10], [0, 0]), lambda s: recall(s, 1)) is None


def test_a_stratum_without_a_label_gets_one() -> None:
    plan = more_labels(strata([5000, 500], [0, 50], [0, 40]), prevalence)
    assert plan is not None and plan.more[0] > 1


def test_one_archive_is_planned_at_a_time() -> None:
    with pytest.raises(MetricsError, match="one archive"):
        more_labels(Strata(np.ones((2, 2)), np.ones((2, 2)), np.ones((2, 2))), prevalence)
    assert half_width(precision(strata([10, 10], [10, 10], [1, 2]))).tolist() == [0, 0]


@pytest.mark.slow
@pytest.mark.parametrize("figure", [prevalence, lambda s: precision_above(s, 2), lambda s: recall(s, 2)])
def test_a_plan_that_is_followed_reaches_the_width(figure) -> None:  # type: ignore[no-untyped-def]
    """On average: a single forecast rests on few labels."""
    rng, reached = np.random.default_rng(3), []
    counts, true = simulate(Kind(10**5, 0.2, 1.5, 200, 5, 2), 40, rng)
    for sizes, labelled, found, positives in zip(counts.sizes, counts.labelled, counts.positives, true, strict=True):
        plan = more_labels(Strata(sizes, labelled, found), figure)
        assert plan is not None
        new = rng.hypergeometric(
            (positives - found).astype(int), (sizes - labelled - positives + found).astype(int), plan.more
        )
        reached.append(float(half_width(figure(Strata(sizes, labelled + plan.more, found + new)))))
    assert np.mean(reached) == pytest.approx(0.05, abs=0.006)
