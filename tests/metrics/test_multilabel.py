"""multilabel: scikit-learn's figures where everything is annotated, and counting by hand where it is not."""

from collections.abc import Iterator

import numpy as np
import pytest
import sklearn.metrics as reference

from hubbub.metrics import multilabel
from hubbub.metrics.classification import MetricsError
from hubbub.metrics.multilabel import METRICS

EXACT = {"rel": 1e-12, "abs": 1e-12}
SEEDS = range(12)


def case(seed: int, clips: int = 40, classes: int = 6) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Targets, scores and a mask; every third case has many equal scores."""
    rng = np.random.default_rng(seed)
    targets = rng.random((clips, classes)) < rng.uniform(0.1, 0.6, classes)
    scores = rng.random((clips, classes)) * 0.7 + 0.3 * targets
    scores = np.round(scores, 1) if seed % 3 == 0 else scores
    return targets, scores, rng.random((clips, classes)) < 0.7


def two_sided(targets: np.ndarray) -> Iterator[int]:
    return (k for k in range(targets.shape[1]) if 0 < targets[:, k].sum() < len(targets))


# As scikit-learn


@pytest.mark.parametrize("seed", SEEDS)
def test_average_precision_and_auc_are_scikit_learns(seed: int) -> None:
    targets, scores, _ = case(seed)
    classes = list(two_sided(targets))
    assert len(classes) > 3
    ours, areas = multilabel.average_precision(targets, scores), multilabel.roc_auc(targets, scores)
    for k in classes:
        assert ours[k] == pytest.approx(reference.average_precision_score(targets[:, k], scores[:, k]), **EXACT)
        assert areas[k] == pytest.approx(reference.roc_auc_score(targets[:, k], scores[:, k]), **EXACT)
    assert multilabel.micro_average_precision(targets, scores) == pytest.approx(
        reference.average_precision_score(targets, scores, average="micro"), **EXACT
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_decisions_at_a_threshold_of_each_class_are_scikit_learns(seed: int) -> None:
    targets, scores, _ = case(seed)
    thresholds = np.random.default_rng(seed).uniform(0.2, 0.9, targets.shape[1])
    thresholds[0] = scores[0, 0]  # a score that equals it reaches it
    decided, ours = scores >= thresholds, multilabel.rates_at(targets, scores, thresholds)
    kwargs = {"zero_division": 0, "labels": list(two_sided(targets))}
    theirs = reference.precision_recall_fscore_support(targets, decided, **kwargs)[:3]
    np.testing.assert_allclose([ours.precision, ours.recall, ours.f1], theirs, rtol=1e-12)
    for average, mine in (("macro", ours.macro), ("micro", ours.micro)):
        figures = reference.precision_recall_fscore_support(targets, decided, average=average, zero_division=0)[:3]
        assert [mine["precision"], mine["recall"], mine["f1"]] == pytest.approx(figures, **EXACT)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_full_curve_is_scikit_learns_and_its_area_the_average_precision(seed: int) -> None:
    targets, scores, _ = case(seed)
    for k, curve in enumerate(multilabel.precision_recall_curves(targets, scores)):
        precision, recall, thresholds = reference.precision_recall_curve(targets[:, k], scores[:, k])
        np.testing.assert_allclose(curve.precision[::-1], precision[:-1], rtol=1e-12)  # theirs ends at (1, 0)
        np.testing.assert_allclose(curve.recall[::-1], recall[:-1], rtol=1e-12)
        np.testing.assert_array_equal(curve.thresholds[::-1], thresholds)
        area = (np.diff(curve.recall, prepend=0) * curve.precision).sum()
        assert area == pytest.approx(multilabel.average_precision(targets, scores)[k], **EXACT)


@pytest.mark.parametrize("seed", SEEDS)
def test_lwlrap_is_scikit_learns_weighted_by_labels_with_equal_scores_too(seed: int) -> None:
    targets, scores, _ = case(seed)
    labelled = targets.any(axis=1)
    theirs = reference.label_ranking_average_precision_score(
        targets[labelled], scores[labelled], sample_weight=targets[labelled].sum(axis=1)
    )
    assert multilabel.lwlrap(targets, scores)[1] == pytest.approx(theirs, **EXACT)


# As published


def published_lwlrap(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Figure and weight of each class by the formula of DCASE 2019 task 2: for label c of clip s,
    Prec(s, c) = 1 / Rank(s, c) * sum over r = 1 .. Rank(s, c) of [the class at rank r is a label of s];
    lwlrap_c is its mean over the clips with c, and weight_c the share of all labels that are c."""
    clips, classes = truth.shape
    precisions = np.zeros((clips, classes))
    for s in range(clips):
        ranking = sorted(range(classes), key=lambda c: -scores[s, c])
        for rank, c in enumerate(ranking, 1):
            if truth[s, c]:
                precisions[s, c] = sum(truth[s, one] for one in ranking[:rank]) / rank
    labels = truth.sum(axis=0)
    return precisions.sum(axis=0) / np.maximum(1, labels), labels / labels.sum()


@pytest.mark.parametrize("seed", [s for s in SEEDS if s % 3])
def test_lwlrap_is_the_published_one(seed: int) -> None:
    targets, scores, _ = case(seed)
    by_class, weights = published_lwlrap(targets, scores)
    ours, overall = multilabel.lwlrap(targets, scores)
    np.testing.assert_allclose(ours, by_class, rtol=1e-12)
    assert overall == pytest.approx((by_class * weights).sum(), **EXACT)


def test_lwlrap_by_hand() -> None:
    # Labels at ranks 1 and 3 of the first clip: 1 and 2/3. The second clip has one label, at rank 2: 1/2.
    targets = np.array([[True, False, True], [False, True, False]])
    scores = np.array([[0.9, 0.8, 0.7], [0.9, 0.8, 0.1]])
    by_class, overall = multilabel.lwlrap(targets, scores)
    np.testing.assert_allclose(by_class, [1, 1 / 2, 2 / 3])
    assert overall == pytest.approx((1 + 2 / 3 + 1 / 2) / 3)
    # Without the class above it, the second clip's label ranks first.
    known = np.array([[True, True, True], [False, True, True]])
    assert multilabel.lwlrap(targets, scores, known)[1] == pytest.approx((1 + 2 / 3 + 1) / 3)


# What was not annotated


def counted(targets: np.ndarray, scores: np.ndarray, known: np.ndarray, thresholds: np.ndarray) -> dict[str, float]:
    """`METRICS` by counting pairs, one by one."""
    clips, classes = targets.shape
    precisions, areas, f1s, total = [], [], [], np.zeros(3)
    for k in range(classes):
        rows = [(bool(targets[n, k]), scores[n, k]) for n in range(clips) if known[n, k]]
        hits = sum(t and s >= thresholds[k] for t, s in rows)
        false = sum(not t and s >= thresholds[k] for t, s in rows)
        missed = sum(t and s < thresholds[k] for t, s in rows)
        total += [hits, false, missed]
        if not 0 < hits + missed < len(rows):
            continue
        precisions.append(stepwise(rows))
        pairs = [(p > n) + (p == n) / 2 for t, p in rows if t for u, n in rows if not u]
        areas.append(np.mean(pairs))
        f1s.append((hits / max(hits + false, 1), hits / (hits + missed), 2 * hits / (2 * hits + false + missed)))
    ranks = [
        sum(targets[n, j] and known[n, j] and scores[n, j] >= scores[n, k] for j in range(classes))
        / sum(known[n, j] and scores[n, j] >= scores[n, k] for j in range(classes))
        for n in range(clips)
        for k in range(classes)
        if targets[n, k] and known[n, k]
    ]
    hits, false, missed = total
    macro = np.mean(f1s, axis=0)
    pooled = [(bool(targets[n, k]), scores[n, k]) for n in range(clips) for k in range(classes) if known[n, k]]
    return {
        "macro_map": np.mean(precisions), "micro_map": stepwise(pooled), "lwlrap": np.mean(ranks),
        "roc_auc": np.mean(areas), "macro_precision": macro[0], "macro_recall": macro[1], "macro_f1": macro[2],
        "micro_precision": hits / (hits + false), "micro_recall": hits / (hits + missed),
        "micro_f1": 2 * hits / (2 * hits + false + missed),
    }  # fmt: skip


def stepwise(rows: list[tuple[bool, float]]) -> float:
    """Average precision: at each distinct score, the precision times the new share of the present that it finds."""
    present, area = sum(t for t, _ in rows), 0.0
    for score in {s for _, s in rows}:
        reached = [t for t, s in rows if s >= score]
        area += sum(reached) / len(reached) * sum(t for t, s in rows if s == score) / present
    return area


@pytest.mark.parametrize("seed", SEEDS)
def test_every_figure_with_a_mask_is_that_of_counting(seed: int) -> None:
    targets, scores, known = case(seed, clips=14, classes=4)
    thresholds = np.random.default_rng(seed).uniform(0.3, 0.7, 4)
    found = multilabel.evaluate(targets, scores, thresholds, known)
    assert tuple(found.figures) == METRICS
    assert found.figures == pytest.approx(counted(targets, scores, known, thresholds), **EXACT)


def test_what_was_not_annotated_has_no_influence() -> None:
    targets, scores, known = case(1)
    rng = np.random.default_rng(0)
    other = np.where(known, targets, rng.random(targets.shape) < 0.5), np.where(known, scores, rng.random(scores.shape))
    one, two = multilabel.evaluate(targets, scores, known=known), multilabel.evaluate(*other, known=known)
    assert one.figures == two.figures
    for name, values in one.per_class.items():
        np.testing.assert_array_equal(values, two.per_class[name])
    for curve, same in zip(*(multilabel.precision_recall_curves(*pair, known) for pair in ((targets, scores), other)),
                           strict=True):  # fmt: skip
        np.testing.assert_array_equal(curve.precision, same.precision)
    np.testing.assert_array_equal(multilabel.cooccurrence(targets, known), multilabel.cooccurrence(other[0], known))


# Classes on one side only


def test_one_sided_classes_have_no_figure_are_left_out_of_means_and_named() -> None:
    targets, scores, _ = case(2)
    known = np.ones_like(targets)
    targets[:, 1], targets[:, 3] = False, True
    known[:, 4] = targets[:, 4]  # present or not annotated
    found = multilabel.evaluate(targets, scores, known=known)
    assert found.presence.without_positive == (1,) and found.presence.without_negative == (3, 4)
    assert found.left_out == (1, 3, 4)
    for name in ("average_precision", "roc_auc", "precision", "recall", "f1"):
        assert np.flatnonzero(np.isnan(found.per_class[name])).tolist() == [1, 3, 4], name
    assert np.flatnonzero(np.isnan(found.per_class["lwlrap"])).tolist() == [1]
    rest = multilabel.evaluate(targets[:, [0, 2, 5]], scores[:, [0, 2, 5]])
    for name in ("macro_map", "roc_auc", "macro_f1", "macro_precision", "macro_recall"):
        assert found.figures[name] == pytest.approx(rest.figures[name], **EXACT)
    curves = multilabel.precision_recall_curves(targets, scores, known)
    assert [len(curve.recall) > 0 for curve in curves] == [True, False, True, False, False, True]


def test_false_alarms_of_a_class_that_is_present_nowhere_count_in_micro_figures() -> None:
    targets, scores = np.array([[True, False], [False, False]]), np.array([[0.9, 0.9], [0.1, 0.1]])
    found = multilabel.rates_at(targets, scores, 0.5)
    assert found.false.tolist() == [0, 1] and found.micro["precision"] == 1 / 2 and found.macro["precision"] == 1


def test_nothing_present_gives_no_figures_but_those_of_false_alarms() -> None:
    figures = multilabel.evaluate(np.zeros((5, 3), dtype=bool), np.full((5, 3), 0.7)).figures
    assert {name for name, value in figures.items() if value is not None} == {
        "micro_f1", "micro_precision", "micro_recall"
    }  # fmt: skip
    assert figures["micro_precision"] == 0


# Counts and curves


def test_counts_of_presence_and_of_two_classes_together() -> None:
    targets, _, known = case(4)
    found, together = multilabel.presence(targets, known), multilabel.cooccurrence(targets, known)
    for k in range(targets.shape[1]):
        states = [(bool(t), bool(a)) for t, a in zip(targets[:, k], known[:, k], strict=True)]
        assert found.present[k] == states.count((True, True)) == together[k, k]
        assert found.absent[k] == states.count((False, True))
        assert found.unknown[k] == states.count((True, False)) + states.count((False, False))
        for j in range(targets.shape[1]):
            both = targets[:, j] & targets[:, k] & known[:, j] & known[:, k]
            assert together[j, k] == sum(both.tolist())
    assert together.dtype == np.int64


@pytest.mark.parametrize("points", [2, 3, 20, 200, 900])
def test_a_thinned_curve_has_points_of_the_full_one_along_all_of_it(points: int) -> None:
    targets, scores, _ = case(5, clips=800, classes=2)
    for curve, full in zip(
        multilabel.precision_recall_curves(targets, scores, points=points),
        multilabel.precision_recall_curves(targets, scores, points=10_000),
        strict=True,
    ):
        assert len(curve.recall) <= points and (np.diff(curve.recall) >= 0).all()
        places = np.searchsorted(-full.thresholds, -curve.thresholds)
        for name in ("precision", "recall", "thresholds"):
            np.testing.assert_array_equal(getattr(curve, name), getattr(full, name)[places])
        assert places[0] == 0 and places[-1] == len(full.recall) - 1
        line = np.stack([full.recall, full.precision])
        length = np.hypot(*np.diff(line)).sum()
        away = np.hypot(*(line[:, :, None] - line[:, None, places])).min(axis=1)  # from the nearest point that is kept
        assert away.max() <= length / (points - 1)


# Input


def test_single_precision_scores_decide_alike() -> None:
    targets, scores, _ = case(1)
    single = scores.astype(np.float32)
    threshold = float(np.float64(single[0, 0]) + 1e-12)  # just above: the score does not reach it
    assert (
        multilabel.rates_at(targets, single, threshold).false.sum()
        == ((single.astype(float) >= threshold) & ~targets).sum()
    )


@pytest.mark.parametrize(
    "targets, scores, known, message",
    [
        (np.zeros((3, 2), bool), np.zeros((3, 3)), None, r"targets of shape \(3, 2\), scores of shape \(3, 3\)"),
        (np.zeros(3, bool), np.zeros(3), None, r"give \[N, classes\]"),
        (np.zeros((3, 2), bool), np.zeros((3, 2)), np.ones((2, 3), bool), r"a mask of shape \(2, 3\)"),
        (np.zeros((0, 2), bool), np.zeros((0, 2)), None, "nothing to score"),
        (np.zeros((3, 2), int), np.zeros((3, 2)), None, "targets of type int64 .* give bool"),
        (np.zeros((3, 2), bool), np.full((3, 2), np.nan), None, "3 predictions are not finite"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    targets: np.ndarray, scores: np.ndarray, known: np.ndarray | None, message: str
) -> None:
    with pytest.raises(MetricsError, match=message):
        multilabel.evaluate(targets, scores, known=known)


def test_thresholds_that_do_not_fit_are_refused() -> None:
    targets, scores, _ = case(1)
    for thresholds in (np.zeros(5), np.full(6, np.nan), np.zeros((1, 6))):
        with pytest.raises(MetricsError, match="for 6 classes: give one number, or one for each class"):
            multilabel.rates_at(targets, scores, thresholds)
    with pytest.raises(MetricsError, match="1 points are no curve"):
        multilabel.precision_recall_curves(targets, scores, points=1)


def test_thresholds_of_each_clip_are_those_of_several_classifiers() -> None:
    rng = np.random.default_rng(4)
    targets, scores = rng.random((30, 3)) < 0.4, rng.random((30, 3))
    each = np.where(np.arange(30)[:, None] < 10, [0.2, 0.5, 0.8], [0.6, 0.4, 0.1])
    found = multilabel.rates_at(targets, scores, each)
    parts = [multilabel.rates_at(targets[rows], scores[rows], each[rows][0]) for rows in (slice(10), slice(10, 30))]
    for counts in ("hits", "false", "missed"):
        assert np.array_equal(getattr(found, counts), sum(getattr(part, counts) for part in parts))
