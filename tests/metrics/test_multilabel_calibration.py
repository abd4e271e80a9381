"""multilabel_calibration: expected calibration error of presence and log loss, against loops and scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import log_loss as reference

from hubbub.metrics.classification import MetricsError
from hubbub.metrics.multilabel_calibration import log_loss, presence_calibration


def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    scores = np.append(rng.random((80, 3)), [[0.0, 1.0, 1 / 15]], axis=0)
    return rng.random(scores.shape) < scores, scores, rng.random(scores.shape) < 0.7


def test_the_error_is_the_mean_over_classes() -> None:
    targets, scores, known = data()
    errors = []
    for k in range(3):
        hits, own = targets[known[:, k], k], scores[known[:, k], k]
        bins = [(own > b / 15) & (own <= (b + 1) / 15) | (b == 0) & (own == 0) for b in range(15)]
        errors.append(sum(abs(hits[one].sum() - own[one].sum()) for one in bins) / len(own))
    found = presence_calibration(targets, scores, known)
    assert found.error == pytest.approx(np.mean(errors))
    assert found.count.sum() == known.sum()
    fifth = known & (scores > 4 / 15) & (scores <= 5 / 15)
    assert found.confidence[4] == pytest.approx(scores[fifth].mean())
    assert found.accuracy[4] == pytest.approx(targets[fifth].mean())


def test_errors_of_two_classes_do_not_cancel() -> None:
    targets, scores = np.array([[True, False]] * 4), np.full((4, 2), 0.5)
    assert presence_calibration(targets, scores).error == 0.5


def test_a_class_that_nobody_annotated_counts_for_nothing() -> None:
    targets, scores, known = data()
    known[:, 1] = False
    kept = [0, 2]
    assert presence_calibration(targets, scores, known).error == pytest.approx(
        presence_calibration(targets[:, kept], scores[:, kept], known[:, kept]).error
    )
    with pytest.raises(MetricsError, match="no class is annotated"):
        presence_calibration(targets, scores, np.zeros_like(known))
    assert np.isnan(log_loss(targets, scores, np.zeros_like(known)))


def test_log_loss_is_that_of_all_pairs() -> None:
    targets, scores, known = data()
    scores = np.clip(scores, 0.01, 0.99)
    assert log_loss(targets, scores, known) == pytest.approx(reference(targets[known], scores[known]))
