"""confidence: temperatures are those that make scores honest, and change nothing but how sure they are."""

import numpy as np
import pytest
from scipy import special

from hubbub.classifier import calibration, pooling
from hubbub.classifier.calibration import Confidence
from hubbub.config.sections import Evaluate
from hubbub.metrics import classification

RNG = np.random.default_rng(0)
ROWS, CLASSES = 4_000, 5


def honest(rows: int = ROWS) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and a truth drawn with the very probabilities that they say."""
    logits = RNG.normal(0, 2, (rows, CLASSES))
    scores = special.softmax(logits, axis=1)
    return logits, (scores.cumsum(axis=1) < RNG.uniform(size=(rows, 1))).sum(axis=1)


@pytest.mark.parametrize("factor", [0.2, 1.0, 3.0, 12.0])
def test_the_temperature_takes_back_what_made_scores_too_sure_or_too_shy(factor: float) -> None:
    logits, targets = honest()
    scores = special.softmax(logits * factor, axis=1).astype(np.float32)
    found = calibration.temperature(targets, scores)
    assert found == pytest.approx(factor, rel=0.06)
    after = classification.calibration(targets, pooling.apply_temperature(scores, found)).error
    assert after < 0.025
    assert factor == 1 or after < 0.5 * classification.calibration(targets, scores).error


def test_no_other_temperature_has_less_log_loss() -> None:
    logits, targets = honest()
    scores = special.softmax(1.7 * logits, axis=1).astype(np.float32)
    found = calibration.temperature(targets, scores)
    losses = {
        t: classification.evaluate(targets, pooling.apply_temperature(scores, t))["log_loss"]
        for t in (found, 0.05, 0.5, 0.9 * found, 1.1 * found, 2.5, 30.0)
    }
    assert min(losses, key=losses.__getitem__) == found


def test_a_part_without_a_mistake_does_not_make_every_score_one() -> None:
    scores = special.softmax(3 * np.eye(CLASSES)[np.arange(20) % CLASSES], axis=1).astype(np.float32)
    found = calibration.temperature(np.arange(20) % CLASSES, scores)
    sure = pooling.apply_temperature(scores, found).max(axis=1)
    assert found < 1
    # One row of twenty-one thought of as any class alike: what is left for the others is its share.
    assert sure == pytest.approx(1 - (CLASSES - 1) / CLASSES / 21, abs=1e-4)


def test_scores_of_zero_and_one_have_a_temperature() -> None:
    scores = np.eye(CLASSES, dtype=np.float32)[np.arange(50) % CLASSES]
    targets = np.arange(50) % CLASSES
    targets[:10] = (targets[:10] + 1) % CLASSES  # one in five is wrong
    found = calibration.temperature(targets, scores)
    tempered = pooling.apply_temperature(scores, found)
    assert np.isfinite(tempered).all()
    # 40 of 50 were right, and of the row that is thought of a fifth.
    assert tempered.max(axis=1) == pytest.approx((40 + 0.2) / 51, abs=1e-4)


# None of these


def by_hand(scores: np.ndarray, how: str) -> list[float]:
    found = []
    for row in scores.astype(float):
        logits = np.log(row) - np.log(row).mean()
        found.append({"max_prob": row.max(), "max_logit": logits.max(), "energy": special.logsumexp(logits)}[how])
    return found


@pytest.mark.parametrize("how", calibration.UNKNOWN)
def test_familiarity_is_the_papers_score(how: calibration.Unknown) -> None:
    logits, _ = honest(100)
    scores = special.softmax(logits, axis=1).astype(np.float32)
    np.testing.assert_allclose(calibration.familiarity(scores, how), by_hand(scores, how), rtol=1e-5)
    # Softmax does not see what is added to a row's logits, so nor may this.
    shifted = special.softmax(logits + RNG.normal(0, 9, (100, 1)), axis=1).astype(np.float32)
    np.testing.assert_allclose(calibration.familiarity(shifted, how), by_hand(scores, how), rtol=1e-4)


def test_under_sigmoid_the_logits_are_those_of_the_classes() -> None:
    logits = RNG.normal(0, 3, (50, CLASSES))
    scores = special.expit(logits).astype(np.float32)
    of = {how: calibration.familiarity(scores, how, activation="sigmoid") for how in calibration.UNKNOWN}
    np.testing.assert_allclose(of["max_logit"], logits.max(axis=1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(of["energy"], special.logsumexp(logits, axis=1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(of["max_prob"], scores.max(axis=1))


@pytest.mark.parametrize("how", calibration.UNKNOWN)
def test_scores_of_zero_and_one_are_familiar_by_a_finite_number(how: calibration.Unknown) -> None:
    sure, even = (
        calibration.familiarity(row[None], how) for row in (np.eye(3, dtype=np.float32)[0], np.full(3, 1 / 3))
    )
    assert np.isfinite(sure).all() and sure > even


# Both, as they are fitted


def test_segments_and_clips_have_each_their_own() -> None:
    logits, targets = honest(800)
    shy, sure = (special.softmax(logits * k, axis=1).astype(np.float32) for k in (0.4, 2.5))
    found = calibration.fit(targets, sure, shy, np.arange(800), Evaluate(), 1.0)
    assert found.segment == calibration.temperature(targets, sure)
    assert found.clip == calibration.temperature(targets, shy)


@pytest.mark.parametrize("how", calibration.UNKNOWN)
def test_the_threshold_is_the_highest_that_95_per_cent_of_the_clips_reach(how: calibration.Unknown) -> None:
    """Each clip by its most familiar segment, at the segments' temperature."""
    logits, targets = honest(700)
    offsets = np.sort(RNG.choice(np.arange(1, 700), 199, replace=False))
    offsets = np.append(0, offsets)
    clips = targets[offsets]
    by_segment = special.softmax(3 * logits, axis=1).astype(np.float32)
    by_clip = np.array([part.mean(axis=0) for part in np.split(by_segment, offsets[1:])])
    found = calibration.fit(clips, by_segment, by_clip, offsets, Evaluate(unknown=how), 1.0)
    of_segments = calibration.familiarity(pooling.apply_temperature(by_segment, found.segment), how)
    of_clips = np.array([part.max() for part in np.split(of_segments, offsets[1:])])
    assert (of_clips >= found.threshold).mean() >= 0.95
    assert (of_clips > found.threshold).mean() < 0.95
    assert len(of_clips) == 200 and found.threshold in of_clips


def test_several_fits_together_are_their_middle() -> None:
    found = calibration.average([Confidence(0.5, 4.0, 1.0), Confidence(2.0, 1.0, 5.0), Confidence(1.0, 2.0, 2.0)])
    assert (found.segment, found.clip) == pytest.approx((1.0, 2.0))
    assert found.threshold == 2.0
    assert calibration.average([Confidence(), Confidence()]) == Confidence()
