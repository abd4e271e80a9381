"""strata: hand cases, the limits in which an interval is known, and coverage in simulated archives."""

import time

import numpy as np
import pytest
from scipy import optimize, stats

from benchmarks.coverage import FIGURES, GRID, Kind, kinds, misses, shares_of, simulate, sizes_of
from hubbub.metrics.classification import MetricsError
from hubbub.metrics.strata import Estimate, Strata, precision, precision_above, prevalence, recall

SIZES, LABELLED, POSITIVES = [80_000, 16_000, 3_000, 1_000], [50, 50, 50, 50], [0, 2, 20, 45]


def strata(sizes: list[float], labelled: list[float], positives: list[float]) -> Strata:
    return Strata(np.array(sizes), np.array(labelled), np.array(positives))


def ends(estimate: Estimate) -> tuple[float, float]:
    return float(estimate.low), float(estimate.high)


def test_the_estimates_of_a_hand_case() -> None:
    counts = strata(SIZES, LABELLED, POSITIVES)
    in_each = np.array([0, 640, 1200, 900])
    assert precision(counts).value == pytest.approx(in_each / SIZES)
    assert prevalence(counts).value == pytest.approx(0.0274)
    assert precision_above(counts, 2).value == pytest.approx(2100 / 4000)
    assert recall(counts, 2).value == pytest.approx(2100 / 2740)


@pytest.mark.parametrize(("positives", "labelled"), [(5, 10), (1, 40), (30, 400)])
def test_one_endless_stratum_has_the_binomial_interval_of_jeffreys(positives: int, labelled: int) -> None:
    known = stats.beta(positives + 0.5, labelled - positives + 0.5).interval(0.95)
    assert ends(prevalence(strata([1e9], [labelled], [positives]))) == pytest.approx(known, abs=1e-6)


def test_nothing_found_is_not_nothing_there() -> None:
    low, high = ends(prevalence(strata([1e9], [100], [0])))
    assert low == 0 and (1 - high) ** 100 / 2 == pytest.approx(0.025, rel=1e-4), "0 of 100 are this rare, mid-p"
    assert ends(prevalence(strata([1e9], [100], [100]))) == pytest.approx((1 - high, 1), abs=1e-6)


def test_a_census_is_known() -> None:
    counts = strata([50, 20, 10], [50, 20, 10], [1, 0, 10])
    for found, true in (
        (prevalence(counts), 11 / 80),
        (precision_above(counts, 1), 1 / 3),
        (recall(counts, 2), 10 / 11),
    ):
        assert [float(end) for end in found] == pytest.approx([true] * 3)
    assert precision(counts).low == pytest.approx(precision(counts).high)


def test_what_is_labelled_is_known() -> None:
    """Of 50 segments 49 are labelled, 10 positive: there are 10 or 11."""
    assert ends(prevalence(strata([50], [49], [10]))) == pytest.approx((10 / 50, 11 / 50))


@pytest.mark.parametrize("size", [50, 200, 2000])
@pytest.mark.parametrize("labelled", [10, 40])
def test_the_exact_coverage_of_one_finite_stratum(size: int, labelled: int) -> None:
    """Summed over all numbers of found positives, without simulation, for every true number."""
    true, found = np.arange(size + 1)[:, None], np.arange(labelled + 1)
    estimate = precision(Strata(*np.broadcast_arrays(float(size), float(labelled), found.astype(float))))
    held = (estimate.low * size <= true + 1e-9) & (true <= estimate.high * size + 1e-9)
    coverage = np.where(held, stats.hypergeom.pmf(found, size, true, labelled), 0).sum(axis=1)
    assert coverage.min() > 0.89 and 0.94 < coverage.mean() < 0.995


def test_the_ends_of_recall_are_where_the_difference_of_counts_may_be_zero() -> None:
    counts, above = strata(SIZES, LABELLED, POSITIVES), slice(2, None)
    parts = [Strata(*(a[s] for a in (counts.sizes, counts.labelled, counts.positives))) for s in (above, slice(2))]
    (a, a_low, a_high), (b, b_low, b_high) = (
        [float(end) * part.sizes.sum() for end in prevalence(part)] for part in parts
    )

    def lower(r: float) -> float:
        return (1 - r) * a - r * b - np.hypot((1 - r) * (a - a_low), r * (b_high - b))

    def upper(r: float) -> float:
        return (1 - r) * a - r * b + np.hypot((1 - r) * (a_high - a), r * (b - b_low))

    known = optimize.brentq(lower, 0, a / (a + b)), optimize.brentq(upper, a / (a + b), 1)
    assert ends(recall(counts, 2)) == pytest.approx(known)


def test_recall_above_and_the_rest_make_one() -> None:
    rng = np.random.default_rng(0)
    found = rng.binomial(40, [0.02, 0.1, 0.5, 0.9], (50, 4)).astype(float)
    sizes, labelled = np.broadcast_to(SIZES, (50, 4)), np.full((50, 4), 40)
    upper, lower = (
        recall(Strata(sizes, labelled, found), 1),
        recall(Strata(sizes[:, ::-1], labelled, found[:, ::-1]), 3),
    )
    assert upper.low == pytest.approx(1 - lower.high) and upper.high == pytest.approx(1 - lower.low)


def test_archives_in_a_batch_are_those_alone() -> None:
    rng = np.random.default_rng(1)
    found = rng.binomial(50, [0.0, 0.1, 0.5, 0.9], (20, 4)).astype(float)
    batch = recall(Strata(np.broadcast_to(SIZES, (20, 4)), np.full((20, 4), 50), found), 2)
    alone = [recall(strata(SIZES, LABELLED, list(row)), 2) for row in found]
    assert batch.low == pytest.approx([float(e.low) for e in alone])
    assert batch.high == pytest.approx([float(e.high) for e in alone])


def test_more_labels_narrow_and_more_positives_raise() -> None:
    widths = [np.diff(ends(prevalence(strata([1e5], [n], [n / 5])))) for n in (10, 50, 250, 1250)]
    assert (np.diff(np.ravel(widths)) < 0).all()
    counts = Strata(np.full((51, 1), 1e4), np.full((51, 1), 50.0), np.arange(51.0)[:, None])
    assert (np.diff(prevalence(counts).low) >= 0).all() and (np.diff(prevalence(counts).high) >= 0).all()


def test_a_stratum_without_labels_may_hold_anything() -> None:
    counts = strata([900, 100], [0, 100], [0, 60])
    assert np.isnan(prevalence(counts).value) and ends(prevalence(counts)) == pytest.approx((0.06, 0.96))
    assert ends(recall(counts, 1)) == pytest.approx((60 / 960, 1))
    assert np.isnan(precision(counts).value[0]) and precision(counts).high[0] == 1


def test_without_a_positive_recall_is_anything() -> None:
    found = recall(strata([900, 100], [50, 50], [0, 0]), 1)
    assert np.isnan(found.value) and ends(found) == (0, 1)
    assert np.isnan(precision_above(strata([10, 0], [5, 0], [1, 0]), 1).value), "no segment is above"


@pytest.mark.parametrize("counts", [([10], [11], [1]), ([10], [5], [6]), ([10], [5], [-1]), ([10, 9], [5], [1])])
def test_impossible_counts_are_refused(counts: tuple[list[float], list[float], list[float]]) -> None:
    with pytest.raises(MetricsError, match=r"strata|shapes"):
        strata(*counts)


def test_a_threshold_lies_between_strata() -> None:
    for first in (0, 4):
        with pytest.raises(MetricsError, match=f"stratum {first} of 4"):
            recall(strata(SIZES, LABELLED, POSITIVES), first)


def test_an_estimate_takes_less_than_a_blink() -> None:
    counts = strata(SIZES, LABELLED, POSITIVES)
    recall(counts, 2)
    began = time.perf_counter()
    for _ in range(10):
        recall(counts, 2), prevalence(counts), precision(counts)
    assert (time.perf_counter() - began) / 10 < 0.05


def test_simulated_archives_have_the_strata_and_positives_they_say() -> None:
    kind = Kind(10**6, 0.05, 1.5, 300, 6, 4)
    assert sizes_of(kind).sum() == 10**6 and (np.diff(shares_of(kind)) > 0).all()
    assert sizes_of(kind) @ shares_of(kind) == pytest.approx(50_000)
    counts, true = simulate(kind, 500, np.random.default_rng(0))
    assert true.sum(axis=1).mean() == pytest.approx(50_000, rel=0.002)
    assert float(prevalence(counts).value.mean()) == pytest.approx(0.05, rel=0.05)


#: Archives in which a few positives and negatives are labelled where it matters, so that both ends can fail.
MAIN = [
    Kind(10**6, 0.3, 0.7, 100, 4, 2),
    Kind(10**6, 0.3, 1.5, 300, 6, 2),
    Kind(10**6, 0.3, 1.5, 1000, 6, 2),
    Kind(10**4, 0.3, 0.7, 300, 4, 2),
    Kind(10**6, 0.3, 0.7, 1000, 8, 4),
    Kind(10**4, 0.05, 0.7, 1000, 4, 2),
    Kind(10**6, 0.05, 1.5, 1000, 4, 2),
    Kind(10**6, 0.05, 1.5, 1000, 6, 3, "root"),
]


@pytest.mark.slow
@pytest.mark.parametrize("kind", MAIN, ids=str)
def test_intervals_hold_the_truth_in_95_of_100_archives(kind: Kind) -> None:
    found = misses(*simulate(kind, 4000, np.random.default_rng(2026)), kind.first)
    covered = {name: round(1 - sum(missed), 3) for name, missed in found.items()}
    assert all(0.93 <= share <= 0.97 for share in covered.values()), covered


@pytest.mark.slow
def test_no_kind_of_archive_breaks_the_intervals() -> None:
    """Also where positives are rare, an end may not fail much more often than in 5 % of archives."""
    rng = np.random.default_rng(2027)
    covered = np.array(
        [[1 - sum(missed) for missed in misses(*simulate(kind, 1000, rng), kind.first).values()] for kind in kinds(rng)]
    )
    assert covered.shape == (int(np.prod([len(values) for values in GRID])), len(FIGURES))
    assert covered.min() > 0.9
    assert (covered < 0.93).mean() < 0.04, "few kinds are below 93 %"
    assert (covered[:, 0] <= 0.97).mean() > 0.85, "prevalence is seldom above 97 %"
