"""metrics: scikit-learn's figures, and figures by hand."""

import warnings
from collections.abc import Iterator

import numpy as np
import pytest
import sklearn.metrics as reference
from numpy.random import Generator

from hubbub.metrics import classification, intervals
from hubbub.metrics.classification import METRICS, MetricsError

EXACT = {"rel": 1e-12, "abs": 1e-12}


def softmax(logits: np.ndarray) -> np.ndarray:
    scores = np.exp(logits - logits.max(axis=1, keepdims=True))
    return scores / scores.sum(axis=1, keepdims=True)


def tied(rng: Generator, rows: int, classes: int) -> np.ndarray:
    """Scores of few distinct values, so that decisions, ranks and thresholds all tie."""
    scores = rng.integers(1, 4, (rows, classes)).astype(float)
    return scores / scores.sum(axis=1, keepdims=True)


def cases() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(1)
    yield "ten classes", rng.integers(0, 10, 400), softmax(rng.normal(size=(400, 10)) * 2)
    yield "two classes", rng.integers(0, 2, 100), softmax(rng.normal(size=(100, 2)))
    yield "four classes", rng.integers(0, 4, 60), softmax(rng.normal(size=(60, 4)))
    yield "ties", rng.integers(0, 5, 300), tied(rng, 300, 5)
    yield "all scores equal", rng.integers(0, 6, 90), np.full((90, 6), 1 / 6)
    yield "classes without targets", rng.choice([1, 4, 5], 200), softmax(rng.normal(size=(200, 8)))
    yield "ties and classes without targets", rng.choice([0, 3], 200), tied(rng, 200, 7)
    scores = softmax(rng.normal(size=(50, 4)))
    yield (
        "classes neither meant nor decided",
        rng.integers(0, 2, 50),
        scores * [1, 1, 0, 0] / scores[:, :2].sum(1)[:, None],
    )
    yield "perfect", np.arange(30) % 5, np.eye(5)[np.arange(30) % 5]
    yield "always wrong", np.arange(30) % 5, np.eye(5)[(np.arange(30) + 1) % 5]
    yield "one row", np.array([2]), np.array([[0.1, 0.2, 0.7]])
    yield "one class of five", np.full(40, 3), softmax(rng.normal(size=(40, 5)))


CASES = {name: (targets, scores) for name, targets, scores in cases()}


def expected(targets: np.ndarray, scores: np.ndarray) -> dict[str, float | None]:
    """`METRICS` by scikit-learn."""
    decided, classes = scores.argmax(axis=1), np.arange(scores.shape[1])
    areas = [
        reference.roc_auc_score(targets == k, scores[:, k]) for k in classes if 0 < (targets == k).sum() < len(targets)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # balanced accuracy remarks on decisions for classes that never occur
        return {
            "accuracy": reference.accuracy_score(targets, decided),
            "balanced_accuracy": reference.balanced_accuracy_score(targets, decided),
            "macro_f1": reference.f1_score(targets, decided, average="macro", zero_division=0),
            "top3": top3(targets, scores),
            "roc_auc": float(np.mean(areas)) if areas else None,
            "log_loss": reference.log_loss(targets, scores, labels=classes),
        }


def top3(targets: np.ndarray, scores: np.ndarray) -> float:
    # scikit-learn ranks equal scores from the last class down; mirrored, that is our order and argmax's.
    classes = scores.shape[1]
    if classes < 3:
        return 1.0
    return reference.top_k_accuracy_score(
        classes - 1 - targets, np.ascontiguousarray(scores[:, ::-1]), k=3, labels=np.arange(classes)
    )


@pytest.mark.parametrize("name", CASES)
def test_every_metric_is_scikit_learns(name: str) -> None:
    targets, scores = CASES[name]
    ours = classification.evaluate(targets, scores)
    assert tuple(ours) == METRICS
    for metric, value in expected(targets, scores).items():
        assert ours[metric] == (value if value is None else pytest.approx(value, **EXACT)), metric


@pytest.mark.parametrize("name", CASES)
def test_per_class_and_confusion_are_scikit_learns(name: str) -> None:
    targets, scores = CASES[name]
    decided, classes = scores.argmax(axis=1), np.arange(scores.shape[1])
    np.testing.assert_array_equal(
        classification.confusion(targets, scores), reference.confusion_matrix(targets, decided, labels=classes)
    )
    table = classification.per_class(targets, scores)
    theirs = reference.precision_recall_fscore_support(targets, decided, labels=classes, zero_division=0)
    for column, values in zip(("precision", "recall", "f1", "support"), theirs, strict=True):
        np.testing.assert_allclose(table[column], values, rtol=1e-12, atol=1e-12, err_msg=column)
    for k in classes:
        hits = targets == k
        area = reference.roc_auc_score(hits, scores[:, k]) if 0 < hits.sum() < len(hits) else np.nan
        assert table["roc_auc"][k] == pytest.approx(area, nan_ok=True, **EXACT)


@pytest.mark.parametrize("name", CASES)
def test_averages_are_those_of_scikit_learns_report(name: str) -> None:
    targets, scores = CASES[name]
    theirs = reference.classification_report(targets, scores.argmax(axis=1), output_dict=True, zero_division=0)
    ours = classification.averages(targets, scores)
    assert list(ours) == ["accuracy", "macro avg", "weighted avg"]
    accuracy = reference.accuracy_score(targets, scores.argmax(axis=1))
    assert ours["accuracy"]["f1"] == pytest.approx(accuracy, **EXACT)
    for average in ("macro avg", "weighted avg"):
        for column, name in (("precision",) * 2, ("recall",) * 2, ("f1", "f1-score"), ("support",) * 2):
            assert ours[average][column] == pytest.approx(theirs[average][name], **EXACT), (average, column)
    areas, support = (classification.per_class(targets, scores)[c] for c in ("roc_auc", "support"))
    if np.isfinite(areas).any():
        known = np.isfinite(areas) & (support > 0)
        weighted = (areas[known] * support[known]).sum() / support[known].sum()
        assert ours["weighted avg"]["roc_auc"] == pytest.approx(weighted, **EXACT)
        assert ours["macro avg"]["roc_auc"] == pytest.approx(classification.roc_auc(targets, scores), **EXACT)


@pytest.mark.parametrize("name", ["ten classes", "two classes", "ties", "all scores equal"])
def test_roc_curve_is_scikit_learns(name: str) -> None:
    targets, scores = CASES[name]
    for k in range(scores.shape[1]):
        false, true = classification.roc_curve(targets == k, scores[:, k])
        theirs = reference.roc_curve(targets == k, scores[:, k], drop_intermediate=False)
        np.testing.assert_allclose([false, true], theirs[:2], rtol=1e-12, atol=1e-12)
        assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
        # The area under the drawn curve is the area in the table.
        assert np.trapezoid(true, false) == pytest.approx(
            classification.per_class(targets, scores)["roc_auc"][k], **EXACT
        )


def test_by_hand() -> None:
    targets = np.array([0, 0, 1, 2])
    scores = np.array([[0.7, 0.1, 0.1, 0.1], [0.2, 0.5, 0.2, 0.1], [0.1, 0.6, 0.2, 0.1], [0.4, 0.3, 0.05, 0.25]])
    # Decisions 0, 1, 1, 0. Class 0: precision 1/2, recall 1/2; class 1: 1/2, 1; class 2: 0, 0; class 3 never occurs.
    # The last row's own class comes fourth. AUC of 0: 3 of 4 pairs; of 1: 3 of 3; of 2: below all three.
    assert classification.evaluate(targets, scores) == pytest.approx(
        {
            "accuracy": 1 / 2,
            "balanced_accuracy": (1 / 2 + 1 + 0) / 3,
            "macro_f1": (1 / 2 + 2 / 3 + 0) / 3,
            "top3": 3 / 4,
            "roc_auc": (3 / 4 + 1 + 0) / 3,
            "log_loss": -np.log(0.7 * 0.2 * 0.6 * 0.05) / 4,
        },
        **EXACT,
    )
    np.testing.assert_array_equal(
        classification.confusion(targets, scores), [[1, 1, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    )


def test_equal_scores_rank_in_class_order() -> None:
    scores = np.full((5, 5), 0.2)
    figures = classification.evaluate(np.arange(5), scores)
    assert figures["accuracy"] == pytest.approx(1 / 5)
    assert figures["top3"] == pytest.approx(3 / 5)
    assert figures["roc_auc"] == pytest.approx(1 / 2)


def test_one_class_has_no_auc() -> None:
    figures = classification.evaluate(np.zeros(10, dtype=int), np.tile([0.6, 0.4], (10, 1)))
    assert figures["roc_auc"] is None
    assert np.isnan(classification.roc_auc(np.zeros(10, dtype=int), np.tile([0.6, 0.4], (10, 1))))
    assert figures["accuracy"] == 1


def test_a_score_of_zero_costs_what_scikit_learn_says() -> None:
    scores = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert classification.evaluate(np.array([1, 1]), scores)["log_loss"] == pytest.approx(
        reference.log_loss([1, 1], scores, labels=[0, 1]), **EXACT
    )


def test_single_precision_scores_give_the_same_figures() -> None:
    targets, scores = CASES["ten classes"]
    single = scores.astype(np.float32)
    assert classification.evaluate(targets, single) == pytest.approx(
        classification.evaluate(targets, single.astype(float)), **EXACT
    )


def entry(fold: str, value: float | None, seed: int = 1) -> dict[str, object]:
    return {"fold": fold, "seed": seed, **dict.fromkeys(METRICS, value)}


def test_seeds_are_averaged_within_a_fold_first() -> None:
    # Fold 1 ran with three seeds, fold 2 with one: each fold counts once. sd of (0.8, 0.5) with n - 1.
    folds = [entry("1", 0.7, 1), entry("1", 0.8, 2), entry("2", 0.5, 1), entry("1", 0.9, 3)]
    intervals = {metric: [0.4, 0.9] for metric in METRICS}
    result = classification.aggregate(folds, [entry("", 0.6), entry("", 0.7)], intervals)
    assert tuple(result) == METRICS
    for figures in result.values():
        assert figures == {
            "mean": pytest.approx(0.65, **EXACT),
            "sd": pytest.approx(np.std([0.8, 0.5], ddof=1), **EXACT),
            "sd_seeds": pytest.approx(np.std([0.6, 0.8, 0.9], ddof=1), **EXACT),
            "pooled": pytest.approx(0.65, **EXACT),
            "ci95": [0.4, 0.9],
        }


def test_folds_and_seeds_are_spreads_of_their_own() -> None:
    figures = {("1", 1): 0.5, ("1", 2): 0.6, ("2", 1): 0.9, ("2", 2): 1.0}
    folds = [entry(fold, value, seed) for (fold, seed), value in figures.items()]
    result = classification.aggregate(folds, [entry("", 0.7)], dict.fromkeys(METRICS))["accuracy"]
    assert (result["sd"], result["sd_seeds"]) == pytest.approx((np.sqrt(0.08), np.sqrt(0.005)), **EXACT)


def test_seeds_that_predict_alike_have_no_sd() -> None:
    folds = [entry(fold, value, seed) for fold, value in (("1", 0.5), ("2", 0.9)) for seed in (1, 2)]
    result = classification.aggregate(folds, [entry("", 0.7)], dict.fromkeys(METRICS), alike=True)["accuracy"]
    assert (result["sd"], result["sd_seeds"]) == (pytest.approx(np.sqrt(0.08)), None)


def test_one_fold_has_no_sd_and_missing_figures_stay_missing() -> None:
    none = dict.fromkeys(METRICS)
    one = classification.aggregate([entry("1", 0.7), entry("1", 0.9)], [entry("", 0.8)], none)["accuracy"]
    assert one == {"mean": pytest.approx(0.8), "sd": None, "sd_seeds": None, "pooled": pytest.approx(0.8), "ci95": None}
    unknown = classification.aggregate([entry("1", None), entry("2", None)], [entry("", None)], none)["roc_auc"]
    assert unknown == {"mean": None, "sd": None, "sd_seeds": None, "pooled": None, "ci95": None}


GOOD = np.full((4, 3), 1 / 3)


@pytest.mark.parametrize(
    ("targets", "scores", "message"),
    [
        (np.arange(4) % 3, np.where(np.arange(12).reshape(4, 3) == 5, np.nan, GOOD), "1 predictions are not finite"),
        (np.arange(4) % 3, np.where(np.arange(12).reshape(4, 3) < 6, np.inf, GOOD), "2 predictions are not finite"),
        (np.arange(3), GOOD, r"shape \(3,\) and scores of shape \(4, 3\)"),
        (np.zeros((4, 1), dtype=int), GOOD, r"shape \(4, 1\)"),
        (np.zeros(4, dtype=int), np.full(4, 0.5), r"scores of shape \(4,\)"),
        (np.array([], dtype=int), np.empty((0, 3)), "nothing to score"),
        (np.array([0, 1, 2, 3]), GOOD, "from 0 to 3; there are 3 classes"),
        (np.array([0, 1, 2, -1]), GOOD, "from -1 to 2"),
    ],
)
def test_what_cannot_be_judged_is_refused(targets: np.ndarray, scores: np.ndarray, message: str) -> None:
    for judge in (
        classification.evaluate,
        classification.per_class,
        lambda t, s: intervals.intervals(t, s, np.arange(len(t))),
    ):
        with pytest.raises(MetricsError, match=message):
            judge(targets, scores)


def by_hand_calibration(targets: np.ndarray, scores: np.ndarray, bins: int) -> tuple[list, list, list, float]:
    """Guo et al.'s definition, a bin at a time: confidences in ((b - 1) / B, b / B]."""
    sure, right = scores.max(axis=1), scores.argmax(axis=1) == targets
    confidence, accuracy, count, error = [], [], [], 0.0
    for b in range(1, bins + 1):
        inside = (sure > np.linspace(0, 1, bins + 1)[b - 1]) & (sure <= np.linspace(0, 1, bins + 1)[b])
        count.append(int(inside.sum()))
        confidence.append(sure[inside].mean() if inside.any() else np.nan)
        accuracy.append(right[inside].mean() if inside.any() else np.nan)
        if inside.any():
            error += inside.sum() / len(targets) * abs(accuracy[-1] - confidence[-1])
    return confidence, accuracy, count, error


@pytest.mark.parametrize("bins", [1, 10, 15])
@pytest.mark.parametrize("name", CASES)
def test_calibration_is_the_papers_definition(name: str, bins: int) -> None:
    found = classification.calibration(*CASES[name], bins=bins)
    confidence, accuracy, count, error = by_hand_calibration(*CASES[name], bins)
    np.testing.assert_allclose(found.confidence, confidence, rtol=1e-12)
    np.testing.assert_allclose(found.accuracy, accuracy, rtol=1e-12)
    np.testing.assert_array_equal(found.count, count)
    assert found.error == pytest.approx(error, **EXACT)


def test_calibration_by_hand() -> None:
    # Twice sure by 0.6 and once right, once sure by 1 and right: together 2 of 3 right and sure by 2.2 of 3; apart,
    # errors of 0.1 and 0, weighted two to one.
    scores = np.array([[0.6, 0.4], [0.6, 0.4], [0.0, 1.0]])
    found = classification.calibration(np.array([0, 1, 1]), scores, bins=2)
    assert found.count.tolist() == [0, 3]
    assert found.error == pytest.approx(abs(2 / 3 - 2.2 / 3))
    fine = classification.calibration(np.array([0, 1, 1]), scores, bins=10)
    assert fine.error == pytest.approx(2 / 3 * 0.1)
    assert (fine.count[5], fine.count[9]) == (2, 1)


def test_scores_drawn_from_what_they_say_are_calibrated() -> None:
    rng = np.random.default_rng(11)
    scores = softmax(rng.normal(size=(20_000, 6)) * 2)
    targets = (scores.cumsum(axis=1) < rng.random((20_000, 1))).sum(axis=1)
    assert classification.calibration(targets, scores).error < 0.02
    sharper = scores**3 / (scores**3).sum(axis=1, keepdims=True)
    overconfident = classification.calibration(targets, sharper)
    assert overconfident.error > 0.1
    assert np.nansum((overconfident.confidence - overconfident.accuracy) * overconfident.count) > 0


@pytest.mark.parametrize("name", CASES)
def test_the_macro_curve_has_the_macro_area(name: str) -> None:
    targets, scores = CASES[name]
    classes = [k for k in np.unique(targets) if (targets != k).any()]
    false, true = classification.mean_roc_curve([classification.roc_curve(targets == k, scores[:, k]) for k in classes])
    area = classification.roc_auc(targets, scores)
    assert np.trapezoid(true, false) == pytest.approx(area, abs=1e-3, nan_ok=True)
    if np.isfinite(area):
        assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)


# Telling the known from the unknown


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("known", "unknown"), [(40, 25), (7, 3), (1, 1), (500, 300)])
def test_detection_is_scikit_learns(known: int, unknown: int, ties: bool) -> None:
    rng = np.random.default_rng(known)
    ours, theirs = rng.normal(1, 1, known), rng.normal(0, 1, unknown)
    if ties:
        ours, theirs = np.round(ours), np.round(theirs)
    hits, scores = np.arange(known + unknown) < known, np.append(ours, theirs)
    found = classification.detection(ours, theirs)
    assert found["auroc"] == pytest.approx(reference.roc_auc_score(hits, scores), abs=1e-12)
    false, true, _ = reference.roc_curve(hits, scores, drop_intermediate=False)
    assert found["fpr95"] == pytest.approx(false[true >= 0.95].min(), abs=1e-12)


def test_detection_by_hand() -> None:
    known = np.arange(1.0, 21.0)  # 19 of 20 are at least 2
    assert classification.detection(known, np.array([0.5, 1.5, 2.0, 30.0])) == {
        "auroc": pytest.approx((20 + 19 + 18.5 + 0) / 80),
        "fpr95": 0.5,
    }
    assert classification.detection(known, np.zeros(3)) == {"auroc": 1.0, "fpr95": 0.0}


def test_detection_needs_some_of_both() -> None:
    with pytest.raises(MetricsError, match="3 known and 0 unknown: there must be some of both"):
        classification.detection(np.ones(3), np.ones(0))
