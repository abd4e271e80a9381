"""paired: every test against scipy's or statsmodels', and what a bootstrap by groups must hold to."""

from itertools import product

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.multitest import multipletests

from hubbub.metrics import significance
from hubbub.metrics.significance import PairedError

EXACT = {"rel": 1e-12, "abs": 1e-14}


@pytest.mark.parametrize("counts", [(0, 1), (3, 9), (9, 3), (5, 5), (40, 61), (300, 250)])
def test_mcnemar_is_statsmodels(counts: tuple[int, int]) -> None:
    ours, theirs = counts
    first = np.repeat([True, False, True, False], [ours, theirs, 30, 7])
    second = np.repeat([False, True, True, False], [ours, theirs, 30, 7])
    expected = reference_mcnemar([[30, ours], [theirs, 7]], exact=True).pvalue
    assert significance.mcnemar(first, second) == (ours, theirs, pytest.approx(expected, **EXACT))


def test_the_same_decisions_give_mcnemar_nothing() -> None:
    right = np.array([True, False, True])
    assert significance.mcnemar(right, right) == (0, 0, 1.0)
    with pytest.raises(PairedError, match=r"\(3,\) and \(2,\) decisions"):
        significance.mcnemar(right, right[:2])


def test_corrected_t_worked_out_by_hand() -> None:
    """Differences 1, 2, 3, 2 per cent: mean 2, variance 2/3; four folds, a third as many tested as trained on."""
    t = 0.02 / np.sqrt(2 / 3 * 1e-4 * (1 / 4 + 1 / 3))
    found = significance.corrected_t([0.01, 0.02, 0.03, 0.02], 1 / 3)
    assert found == pytest.approx(2 * stats.t.sf(t, 3), rel=1e-9)


def test_without_a_correction_it_is_the_paired_t_test() -> None:
    differences = np.random.default_rng(1).normal(0.01, 0.02, 10)
    plain = stats.ttest_1samp(differences, 0).pvalue
    assert significance.corrected_t(differences, 0) == pytest.approx(plain, rel=1e-9)
    assert significance.corrected_t(differences, 1 / 9) > plain


def test_corrected_t_at_its_limits() -> None:
    assert significance.corrected_t([0.1], 0.1) is None
    assert significance.corrected_t([0.0, 0.0], 0.1) == 1
    assert significance.corrected_t([0.5, 0.5], 0.1) is None
    assert significance.corrected_t([0.3, 0.1 + 0.2], 0.1) is None  # the same but for rounding


def test_wilcoxon_over_six_folds_is_counted_out() -> None:
    """All 2**6 signs are as likely: the share with a rank sum as far out as the one seen."""
    differences = np.array([0.04, 0.01, 0.05, 0.03, -0.02, 0.06])
    ranks = np.array([4, 1, 5, 3, 2, 6])
    sums = np.array([ranks[np.array(signs)].sum() for signs in product([True, False], repeat=6)])
    expected = 2 * np.mean(sums <= 2)
    assert significance.wilcoxon(differences) == pytest.approx(expected, **EXACT)
    assert significance.wilcoxon(np.abs(differences)) == pytest.approx(2 / 2**6, **EXACT)
    assert significance.wilcoxon(differences[:5]) is None
    assert significance.wilcoxon(np.zeros(6)) == 1


@pytest.mark.parametrize("count", [1, 2, 7, 45])
def test_holm_is_statsmodels(count: int) -> None:
    rng = np.random.default_rng(count)
    ps = np.round(rng.random(count) ** 3, 2)  # some of them equal
    assert significance.holm(ps) == pytest.approx(multipletests(ps, method="holm")[1], **EXACT)


def test_holm_of_nothing_is_nothing() -> None:
    assert len(significance.holm([])) == 0


def test_the_bootstrap_is_scipys_where_every_clip_is_a_recording() -> None:
    rng = np.random.default_rng(2)
    values = rng.integers(-1, 2, (300, 1)).astype(float)
    draws = significance.resample(values, np.arange(300), 10_000)
    reference = stats.bootstrap((values[:, 0],), np.mean, n_resamples=10_000, method="percentile", rng=3)
    assert draws.std() == pytest.approx(reference.standard_error, rel=0.03)
    assert significance.interval(draws[:, 0]) == pytest.approx(list(reference.confidence_interval), abs=0.006)


def test_clips_of_one_recording_widen_the_interval_as_theory_says() -> None:
    """Eight clips that agree are one observation: the spread grows by the square root of eight."""
    values = np.repeat(np.random.default_rng(4).integers(0, 2, (100, 1)), 8, axis=0).astype(float)
    recordings = significance.resample(values, np.repeat(np.arange(100), 8), 4000)
    clips = significance.resample(values, np.arange(800), 4000)
    assert recordings.std() / clips.std() == pytest.approx(np.sqrt(8), rel=0.06)


def test_columns_see_the_same_draws() -> None:
    rng = np.random.default_rng(5)
    values = rng.random((60, 2))
    both = np.column_stack([values, values[:, 0] - values[:, 1]])
    draws = significance.resample(both, np.arange(60) // 3, 50)
    assert draws.shape == (50, 3)
    assert draws[:, 0] - draws[:, 1] == pytest.approx(draws[:, 2], **EXACT)
    assert draws[:, 0].std() > 0


def test_the_order_of_rows_and_the_names_of_groups_do_not_matter() -> None:
    rng = np.random.default_rng(6)
    values, groups, order = rng.random((50, 1)), rng.integers(0, 9, 50), rng.permutation(50)
    one = significance.resample(values, groups, 200)
    assert significance.resample(values[order], groups[order], 200) == pytest.approx(one, **EXACT)
    assert significance.resample(values, [f"recording {g}" for g in groups], 200) == pytest.approx(one, **EXACT)


def test_one_recording_has_no_spread_and_bad_shapes_are_refused() -> None:
    assert significance.resample(np.ones((4, 1)), ["a"] * 4, 10) is None
    for values, groups in ((np.ones((4, 1)), [1, 2]), (np.ones(4), range(4)), (np.ones((0, 1)), [])):
        with pytest.raises(PairedError, match="give \\[N, M\\] and N groups"):
            significance.resample(values, groups, 10)


def test_p_is_the_share_on_the_rarer_side_of_zero() -> None:
    assert significance.p_value(np.array([1.0] * 97 + [-1.0] * 2)) == pytest.approx(2 * 3 / 100)
    assert significance.p_value(np.ones(99)) == pytest.approx(2 / 100)
    assert significance.p_value(np.zeros(99)) == 1
    assert significance.p_value(np.array([1e-17, -1e-17, 0.0] * 33)) == 1, "rounding takes no side"


def test_p_rejects_at_its_level_when_nothing_differs() -> None:
    """200 pairs of equally good classifiers over 80 recordings of three clips: about 5 % are found to differ."""
    rng, found = np.random.default_rng(7), 0
    for _ in range(200):
        difference = np.repeat(rng.choice([-1.0, 0.0, 1.0], 80, p=[0.15, 0.7, 0.15]), 3)[:, None]
        found += significance.p_value(significance.resample(difference, np.repeat(np.arange(80), 3), 500)[:, 0]) < 0.05
    assert 3 <= found <= 20
