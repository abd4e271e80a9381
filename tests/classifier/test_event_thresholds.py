"""event_thresholds: the score that an event of each class reaches, chosen on segments of validation clips."""

from dataclasses import replace

import numpy as np
import pytest

from hubbub.classifier import calibration, event_thresholds
from hubbub.classifier.calibration import Confidence
from hubbub.config.recipe import Recipe, RecipeError
from hubbub.config.sections import Evaluate
from hubbub.metrics import multilabel

RNG = np.random.default_rng(3)


def segments(count: int = 600, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Classes `[S]` and probabilities `[S, K]` that are right more often than not; the first class is timid."""
    targets = np.arange(count) % classes
    logits = RNG.normal(size=(count, classes)) + 1.5 * np.eye(classes)[targets] - 1.2 * (np.arange(classes) == 0)
    scores = np.exp(logits)
    return targets, (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)


def test_none_are_chosen_unless_asked_for() -> None:
    assert event_thresholds.choose(*segments(), Evaluate(), 60.0) is None


def test_no_other_threshold_has_a_better_f1() -> None:
    targets, scores = segments()
    chosen = event_thresholds.choose(targets, scores, Evaluate(events="best_f1"), 60.0)
    assert chosen is not None
    present = targets[:, None] == np.arange(3)
    own = multilabel.rates_at(present, scores, np.array(chosen)).f1
    for other in np.linspace(0.01, 0.99, 197):
        assert (own >= multilabel.rates_at(present, scores, other).f1 - 1e-12).all()
    assert chosen[0] < min(chosen[1:]), "the timid class needs a lower one"


@pytest.mark.parametrize("precision", [0.6, 0.9])
def test_the_precision_is_kept(precision: float) -> None:
    targets, scores = segments()
    chosen = event_thresholds.choose(targets, scores, Evaluate(events="precision", aim=precision), 60.0)
    found = multilabel.rates_at(targets[:, None] == np.arange(3), scores, np.array(chosen))
    assert (found.precision >= precision).all() and (found.hits > 0).all()


def test_false_alarms_an_hour_are_of_the_time_that_the_segments_last() -> None:
    targets, scores = segments()
    asked = Evaluate(events="false_alarms", aim=30.0)
    for seconds in (600.0, 6000.0):
        chosen = event_thresholds.choose(targets, scores, asked, seconds)
        found = multilabel.rates_at(targets[:, None] == np.arange(3), scores, np.array(chosen))
        most = 30 * seconds / 3600
        assert (found.false <= most).all() and (found.false > most - 3).all()


def test_a_threshold_is_a_score_that_can_be_reached() -> None:
    """Also of a class that no precision is reached for, and of one that was never there."""
    targets, scores = np.zeros(40, np.int64), np.tile(np.float32([0.2, 0.8]), (40, 1))
    for asked in (Evaluate(events="best_f1"), Evaluate(events="precision", aim=0.9)):
        chosen = event_thresholds.choose(targets, scores, asked, 60.0)
        assert chosen is not None and all(0 < one <= 1 for one in chosen)


def test_cells_are_averaged_class_by_class() -> None:
    found = [Confidence(events=events) for events in ((0.2, 0.5), (0.4, 0.3), (0.3, 0.9))]
    assert calibration.average(found).events == (0.3, 0.5)
    assert calibration.average([Confidence()]).events is None
    assert replace(found[0], events=None) == Confidence()


def test_the_words_name_the_aim_and_the_ends() -> None:
    asked = Evaluate(events="precision", aim=0.9)
    words = event_thresholds.describe(asked, ("dog", "rain", "wind"), (0.5, 0.25, 0.75))
    assert words == (
        "each class reaches a score of its own, from 0.25 (rain) to 0.75 (wind), chosen for a precision of 0.9"
    )
    assert not event_thresholds.describe(Evaluate(), ("dog",), None)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["evaluate.events=precision"], "needs evaluate.aim"),
        (["evaluate.events=precision", "evaluate.aim=1.5"], "give a share up to 1"),
        (["evaluate.events=best_f1", "evaluate.aim=0.9"], "is for evaluate.events = 'precision' or 'false_alarms'"),
        (["evaluate.aim=0.9"], "is for evaluate.events"),
    ],
)
def test_an_aim_that_does_not_fit_is_refused(settings: list[str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Recipe.load("street-cnn", settings)
