"""platt: temperatures and offsets make the probabilities of each class as often right as they say."""

import numpy as np
import pytest
from scipy import special
from sklearn.linear_model import LogisticRegression

from hubbub.classifier import calibration, platt, pooling
from hubbub.classifier.calibration import Confidence
from hubbub.config.sections import Evaluate

RNG = np.random.default_rng(0)
ROWS = 6_000
#: What was done to the logits of each class: a factor and a shift.
CHANGED = ((0.3, 0.0), (1.0, 0.0), (4.0, -3.0), (1.5, 2.0))


def changed() -> tuple[np.ndarray, np.ndarray]:
    """Targets that were drawn with honest probabilities, and probabilities that are not honest any more."""
    logits = RNG.normal(-1, 2, (ROWS, len(CHANGED)))
    targets = (RNG.uniform(size=logits.shape) < special.expit(logits)).astype(np.int8)
    factors, shifts = np.array(CHANGED).T
    return targets, special.expit(factors * logits + shifts).astype(np.float32)


def test_what_was_done_to_each_class_is_taken_back() -> None:
    targets, scores = changed()
    for (temperature, offset), (factor, shift) in zip(platt.fit(targets, scores), CHANGED, strict=True):
        assert temperature == pytest.approx(factor, rel=0.1)
        assert offset == pytest.approx(-shift / factor, abs=0.15)


def test_the_figures_are_those_of_a_logistic_regression_without_a_penalty() -> None:
    """scikit-learn's takes targets of 0 and 1, and Platt's differ from them by less the more clips there are."""
    targets, scores = changed()
    for k, (temperature, offset) in enumerate(platt.fit(targets, scores)):
        logits = pooling.logits(scores[:, k], "sigmoid")[:, None]
        plain = LogisticRegression(C=np.inf, tol=1e-8).fit(logits, targets[:, k])
        assert 1 / temperature == pytest.approx(plain.coef_[0, 0], rel=5e-3)
        assert offset == pytest.approx(plain.intercept_[0], abs=5e-3)


def test_a_class_that_was_not_annotated_does_not_count() -> None:
    targets, scores = changed()
    hidden = RNG.uniform(size=targets.shape) < 0.5
    hidden[:, 1] = False
    found = platt.fit(np.where(hidden, np.int8(-1), targets), scores)
    for k in range(len(CHANGED)):
        own = ~hidden[:, k]
        assert found[k] == platt.fit(targets[own][:, [k]], scores[own][:, [k]])[0]


@pytest.mark.parametrize("value", [-1, 0, 1])
def test_a_class_that_says_nothing_keeps_its_probabilities(value: int) -> None:
    scores = RNG.uniform(size=(30, 1)).astype(np.float32)
    assert platt.fit(np.full((30, 1), value, np.int8), scores) == ((1.0, 0.0),)


def test_a_class_that_scores_against_the_truth_ends_at_its_share() -> None:
    targets = np.repeat(np.int8([1, 0]), [100, 300])[:, None]
    scores = np.where(targets == 1, np.float32(0.1), np.float32(0.9))
    (found,) = platt.fit(targets, scores)
    assert found[0] == pytest.approx(platt.FARTHEST)
    np.testing.assert_allclose(pooling.apply_temperature(scores, (found,), "sigmoid"), 0.25, atol=0.02)


def test_scores_of_zero_and_one_are_calibrated() -> None:
    targets = np.repeat(np.int8([1, 0, 1, 0]), [90, 10, 10, 90])[:, None]
    scores = np.repeat(np.float32([1, 1, 0, 0]), [90, 10, 10, 90])[:, None]
    found = pooling.apply_temperature(scores, platt.fit(targets, scores), "sigmoid")[:, 0]
    np.testing.assert_allclose(found[[0, -1]], [0.9, 0.1], atol=0.02)


def test_the_inverse_gives_the_probabilities_back() -> None:
    _, scores = changed()
    scaling = ((0.5, 1.0), (2.0, -1.0), (1.0, 0.0), (3.0, 0.5))
    inverse = tuple((1 / temperature, -offset * temperature) for temperature, offset in scaling)
    there = pooling.apply_temperature(scores, scaling, "sigmoid")
    np.testing.assert_allclose(pooling.apply_temperature(there, inverse, "sigmoid"), scores, atol=1e-4)


def test_label_sets_have_thresholds_of_segments_and_of_clips() -> None:
    targets, scores = changed()
    found = calibration.fit_label_sets((targets, targets[::3]), scores, scores[::3], Evaluate(), 1.0)
    assert found.fitted and found.threshold is None and found.events is None and found.clips is None
    asked = Evaluate(events="precision", aim=0.8)
    found = calibration.fit_label_sets((targets, targets[::3]), scores, scores[::3], asked, 1.0)
    assert found.events is not None and found.clips is not None and found.events != found.clips
    for own, truth, values, scaling in (
        (found.events, targets, scores, found.segment),
        (found.clips, targets[::3], scores[::3], found.clip),
    ):
        reached = pooling.apply_temperature(values, scaling, "sigmoid") >= np.float32(own)
        assert (truth[reached] > 0).mean() >= 0.8


def test_folds_are_averaged_class_by_class() -> None:
    one, other = ((2.0, 1.0), (1.0, 0.0)), ((8.0, 0.0), (1.0, 2.0))
    found = calibration.average([Confidence(one, other, clips=(0.2, 0.4)), Confidence(other, other, clips=(0.4, 0.2))])
    np.testing.assert_allclose(found.segment, [[4.0, 0.5], [1.0, 1.0]])
    np.testing.assert_allclose(found.clip, other)
    assert found.clips == pytest.approx((0.3, 0.3))
    assert not Confidence().fitted
