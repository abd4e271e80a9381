"""scoring: segments that come a few at a time are scored as all at once."""

import numpy as np
import pytest

from hubbub.classifier.calibration import Confidence, familiarity
from hubbub.classifier.prediction import Event, Prediction
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.inference.events import EventSettings
from hubbub.inference.scoring import Scorer
from tests.helpers.classifiers import small_classifier
from tests.inference.test_stream import RATE, TINY, noise

DECIDING = [
    (),
    ("evaluate.pooling=mean_logit",),
    ("evaluate.pooling=max",),
    ("network.mode=head", "evaluate.shifts=[0.3]", "evaluate.pooling=mean_logit"),
    ("evaluate.shifts=[0.3]", "evaluate.pooling=max"),
    ("evaluate.shifts=[0.3]", "evaluate.pooling=linear_softmax"),
    ("head.name=logreg", "head.pool=mean+max", 'windows.levels=["recorded","rms"]'),
    ("head.name=mlp", "head.pool=mean", "head.compress=true"),
    ("head.name=mlp", "head.pool=segment", "evaluate.pooling=mean_logit"),
    ("head.name=lda", "head.pool=max"),
    ("head.name=lightgbm", "head.trees=5", "evaluate.pooling=max"),
]


@pytest.mark.parametrize("settings", DECIDING, ids=" ".join)
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_scores_added_in_pieces_are_those_of_the_whole(settings: tuple[str, ...], activation: str) -> None:
    model = small_classifier(*TINY, *settings)
    if model.recipe.head.name == "none":
        model.activation = activation
    wave = noise(3 * RATE)
    segments, spans = model.cut(wave), model.spans(len(wave))
    outputs = model.outputs(segments)
    by_segment, by_clip = model.predict_proba(outputs, [0])
    for size in (1, 7, len(outputs)):
        scorer = Scorer(model)
        parts = [
            scorer.add(outputs[start : start + size], segments[start : start + size], spans[start : start + size])[0]
            for start in range(0, len(outputs), size)
        ]
        np.testing.assert_allclose(np.concatenate(parts), by_segment, atol=1e-6)
        scores = list(scorer.prediction(3.0).scores.values())
        np.testing.assert_allclose(scores, by_clip[0], atol=1e-6)


SETTINGS = EventSettings(threshold=0.3)


def events_of(model: TorchClassifier, wave: np.ndarray, size: int = 3) -> tuple[list[Event], Prediction]:
    """The events of a wave whose segments come a few at a time, and the prediction."""
    segments, spans = model.cut(wave), model.spans(len(wave))
    outputs = model.outputs(segments)
    scorer, found = Scorer(model, SETTINGS, top=3), []
    for at in range(0, len(outputs), size):
        found += scorer.add(outputs[at : at + size], segments[at : at + size], spans[at : at + size])[1]
    found += scorer.end()
    prediction = scorer.prediction(len(wave) / RATE)
    assert prediction.events is not None
    assert sorted(found, key=str) == sorted(prediction.events, key=str)
    return found, prediction


def test_a_recording_of_none_of_the_classes_has_no_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every segment scores 1/3 or more for a class; below the open-set threshold that is no event."""
    model, wave = small_classifier(*TINY), noise(2 * RATE)
    assert events_of(model, wave)[0]
    monkeypatch.setattr(model, "confidence", Confidence(threshold=1e9))
    found, prediction = events_of(model, wave)
    assert not found
    assert prediction.known is False
    monkeypatch.setattr(model, "confidence", Confidence(threshold=-1e9))
    assert events_of(model, wave)[0] == events_of(small_classifier(*TINY), wave)[0]


def test_an_event_lasts_only_while_its_segments_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a threshold between the segments' scores, events lie where `is_known` says so."""
    model, wave = small_classifier(*TINY), noise(4 * RATE)
    outputs = model.outputs(model.cut(wave))
    scores, _ = model.segment_proba(outputs)
    between = float(np.median(familiarity(scores, model.recipe.evaluate.unknown)))
    monkeypatch.setattr(model, "confidence", Confidence(threshold=between))
    known = model.is_known(model.familiarity(scores, outputs, model.cut(wave)))
    assert known is not None
    assert 0 < known.sum() < len(known)
    found, _ = events_of(model, wave)
    centres = model.spans(len(wave)).mean(axis=1)
    covered = np.array([any(e.start <= at <= e.end for e in found) for at in centres])
    np.testing.assert_array_equal(covered, known)


@pytest.mark.parametrize("threshold", [None, -1e9])
def test_digital_silence_has_no_events_with_and_without_a_threshold(
    monkeypatch: pytest.MonkeyPatch, threshold: float | None
) -> None:
    model = small_classifier(*TINY)
    monkeypatch.setattr(model, "confidence", Confidence(threshold=threshold))
    silence = np.zeros(RATE, np.float32)
    assert not events_of(model, silence)[0]
    found, _ = events_of(model, np.concatenate([noise(RATE), silence, noise(RATE)]))
    assert found
    assert not [e for e in found if e.start < 1.2 and e.end > 1.8]


def sets_classifier(*settings: str) -> TorchClassifier:
    """A classifier of label sets, whose thresholds lie among its scores."""
    model = small_classifier(*TINY, "data.multilabel=true", *settings)
    scores = model.predict_proba(model.outputs(model.cut(noise(4 * RATE))), [0])[0]
    model.confidence = Confidence(events=tuple(np.median(scores, axis=0).tolist()), clips=(0.99, 1e-6, 1e-6))
    return model


@pytest.mark.parametrize("size", [1, 3, 100])
def test_a_recording_of_label_sets_holds_the_classes_that_reach_their_threshold(size: int) -> None:
    model, wave = sets_classifier(), noise(4 * RATE)
    segments, spans = model.cut(wave), model.spans(len(wave))
    outputs = model.outputs(segments)
    by_segment, by_clip = model.predict_proba(outputs, [0])
    scorer = Scorer(model, top=1)
    for at in range(0, len(outputs), size):
        scorer.add(outputs[at : at + size], segments[at : at + size], spans[at : at + size])
    for found in (scorer.prediction(4.0), model.classify(wave, RATE)):
        assert found.present is not None and found.held is not None
        assert set(found.present) == {"rain", "siren"}
        assert list(found.present.values()) == sorted(found.present.values(), reverse=True)
        assert found.present["rain"] == pytest.approx(by_clip[0, 1], abs=1e-6)
        held = [{event.label for event in own} for own in found.held_by_segment()]
        reached = by_segment >= np.float32(model.confidence.events)
        assert held == [{model.labels[k] for k in np.flatnonzero(row)} for row in reached]
        assert any(len(one) != 1 for one in held)  # several, or none
    each = list(scorer.segment_predictions(spans, by_segment))
    assert [set(one.present or ()) for one in each] == held
    assert [tuple(one.spans[0]) for one in each] == [tuple(span) for span in spans]


def test_a_classifier_of_one_label_says_nothing_about_several() -> None:
    found = small_classifier(*TINY).classify(noise(RATE), RATE)
    assert found.present is None and found.held is None
    assert "present" not in found.to_dict()
    assert list(map(len, found.held_by_segment())) == [3] * len(found.spans)
