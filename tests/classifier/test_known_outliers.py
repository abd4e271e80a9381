"""known_outliers: scikit-learn's probabilities of being no outlier, the same in memory, saved and exported."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from hubbub.classifier import calibration, known_outliers
from hubbub.classifier.base import ClassifierError
from hubbub.classifier.calibration import Confidence
from hubbub.classifier.known_outliers import KnownOutliers
from hubbub.classifier.load import load_torch
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.classifier.typicality import TypicalityError
from hubbub.config.sections import Evaluate
from tests.helpers.classifiers import small_classifier
from tests.helpers.open_set import assert_kept, familiarity, probabilities_and_typicality

RATE = 16_000
RNG = np.random.default_rng(0)
NOISE = RNG.normal(0, 0.1, 5 * RATE).astype(np.float32)
NONE = np.zeros((0, 6), np.float32)


def rows(count: int, *centre: float) -> np.ndarray:
    """Embeddings `[count, 6]` around a centre."""
    return RNG.normal(np.resize(centre, 6), 1, (count, 6)).astype(np.float32)


def test_a_score_is_the_probability_of_being_no_outlier_of_any_group() -> None:
    train, first, second, others = rows(60, 0, 3), rows(40, 2, 1), rows(20, -2, 4), rows(30, -3, 3)
    found = KnownOutliers.fit(train, [(first, NONE), (second, others)])
    new, expected = rows(50, 0, 2), 1.0
    scaler = StandardScaler().fit(train)
    for outliers, inside in ((first, train), (second, np.concatenate([train, others]))):
        truth = np.repeat([1, 0], [len(inside), len(outliers)])
        model = LogisticRegression(C=known_outliers.C, class_weight="balanced", max_iter=2000)
        model.fit(scaler.transform(np.concatenate([inside, outliers])), truth)
        expected = expected * model.predict_proba(scaler.transform(new))[:, 1]
    np.testing.assert_allclose(np.exp(found.score(new)), expected, rtol=1e-3)


def test_sounds_that_are_said_to_be_no_outliers_are_none() -> None:
    """They resemble the outliers more than the training clips do."""
    train, outliers, others = rows(80, 0), rows(80, 5, 0), rows(80, 5, 4)
    alone, told = (KnownOutliers.fit(train, [(outliers, beside)]) for beside in (NONE, others))
    assert np.exp(alone.score(others)).mean() < 0.4 and np.exp(told.score(others)).mean() > 0.9
    assert np.exp(told.score(outliers)).mean() < 0.1 and np.exp(told.score(train)).mean() > 0.9


def test_units_that_never_differ_do_not_count() -> None:
    train, outliers = rows(30, 0), rows(30, 3)
    train[:, 2] = outliers[:, 2] = 1.5
    assert np.isfinite(KnownOutliers.fit(train, [(outliers, NONE)]).score(train)).all()


def test_a_file_gives_the_same_scores_and_is_small() -> None:
    found = KnownOutliers.fit(rows(40, 0), [(rows(20, 2), NONE), (rows(20, -2), NONE)])
    content, new = found.to_bytes(), rows(10, 1)
    np.testing.assert_array_equal(KnownOutliers.from_bytes(content).score(new), found.score(new))
    assert len(content) < 1000


HARMS = [
    lambda b: b[:-8],
    lambda b: b"",
    lambda b: b.replace(b"biases", b"biased"),
    lambda b: b[:-4] + np.float32(np.nan).tobytes(),
]


@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_file_is_refused(harm: object) -> None:
    content = KnownOutliers.fit(rows(40, 0), [(rows(20, 2), NONE)]).to_bytes()
    with pytest.raises(TypicalityError, match="no known outliers"):
        KnownOutliers.from_bytes(harm(content))  # type: ignore[operator]


def test_arrays_of_other_shapes_are_refused() -> None:
    found = KnownOutliers.fit(rows(40, 0), [(rows(20, 2), NONE)])
    with pytest.raises(TypicalityError, match="no known outliers"):
        KnownOutliers.from_bytes(KnownOutliers(found.weights[:, 0], found.biases).to_bytes())


def test_the_threshold_keeps_95_of_100_clips_by_their_most_familiar_segment() -> None:
    scores = RNG.dirichlet(np.ones(4), 300).astype(np.float32)
    chances = RNG.uniform(0.2, 1, 300)
    silent = RNG.random(300) < 0.1
    logs = np.where(silent, np.nan, np.log(chances))
    offsets, classes = np.arange(0, 300, 3), RNG.integers(0, 4, 100)
    found = calibration.fit(classes, scores, scores[::3], offsets, Evaluate(unknown="outliers"), 1.0, logs)
    calibrated = calibration.pooling.apply_temperature(scores, found.segment)
    each = np.where(silent, -np.inf, calibrated.max(axis=1) * chances).reshape(100, 3).max(axis=1)
    assert found.typicality_weight is None and found.threshold is not None
    assert (each >= found.threshold).sum() == 95


def outlier_classifier(*settings: str) -> TorchClassifier:
    """A small classifier that has heard sounds of none of its classes."""
    model = small_classifier("evaluate.unknown=outliers", *settings)
    waves = [0.05 * RNG.normal(0, 1, 3 * RATE), 0.05 * np.cumsum(RNG.normal(0, 1, 3 * RATE)) / 100]
    inside, outliers = (model.segment_embeddings(model.cut(wave.astype(np.float32)).copy()) for wave in waves)
    model.typicality = KnownOutliers.fit(inside, [(outliers, inside[:0])])
    model.confidence = Confidence(threshold=0.1)
    return model


@pytest.mark.parametrize("settings", [(), ("evaluate.shifts=[0.01,-0.2]",), ("head.name=logreg",)], ids=" ".join)
def test_saved_loaded_and_exported_classifiers_are_alike(settings: tuple[str, ...], tmp_path: Path) -> None:
    model = outlier_classifier(*settings)
    expected = familiarity(model, NOISE)
    scores, typicality = probabilities_and_typicality(model, NOISE)
    np.testing.assert_allclose(expected, scores * np.exp(typicality), rtol=1e-4)
    assert_kept(model, NOISE, expected, tmp_path, atol=1e-5)


def test_a_saved_classifier_without_its_outliers_is_refused(tmp_path: Path) -> None:
    model = outlier_classifier()
    model.typicality = None
    model.save(tmp_path / "model")
    with pytest.raises(ClassifierError, match="is for known outliers, which are missing"):
        load_torch(tmp_path / "model")
