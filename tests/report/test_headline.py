"""headline, level_results: which figure a run is known by, and that label sets are read as such."""

import json

import pytest
from pydantic import ValidationError

from hubbub.metrics import classification, multilabel
from hubbub.report.headline import NAMES, SET_NAMES, describe_cell, describe_headline, headline
from hubbub.report.level_results import Level, SetClassScores, SetLevel
from hubbub.report.results import CellResult, Confidence, Summary

FACTS = {
    "recipe": "a", "protocol": "b", "comparable": True, "why_not_comparable": [], "clips": 2, "segments": 4,
    "folds": [{"fold": "1", "seed": 1, "clip": {}, "segment": {}}],
}  # fmt: skip


def level(metrics: tuple[str, ...]) -> dict[str, object]:
    return {name: {"mean": k / 10, "sd": None} for k, name in enumerate(metrics)}


def summary(metrics: tuple[str, ...], **more: object) -> Summary:
    return Summary.model_validate(FACTS | {"clip": level(metrics), "segment": level(metrics)} | more)


def test_every_metric_has_a_name_and_its_figure() -> None:
    assert tuple(NAMES) == classification.METRICS == tuple(Level.model_fields)
    assert tuple(SET_NAMES) == multilabel.METRICS == tuple(SetLevel.model_fields)


def test_a_run_of_label_sets_is_known_by_its_macro_map() -> None:
    one, sets = summary(classification.METRICS), summary(multilabel.METRICS)
    assert (one.multilabel, sets.multilabel) == (False, True)
    assert (headline(one)[0], headline(sets, "segment")) == (
        "accuracy",
        ("macro mAP", sets.segment.figure("macro_map")),
    )
    assert (describe_headline(one), describe_headline(sets)) == ("clip accuracy 0.0000", "clip macro mAP 0.0000")


def test_a_summary_is_written_as_it_was_read() -> None:
    classes = [
        {"label": "rain", "clips": 3, "recordings": 2, "f1": 0.5, "without": 4, "unknown": 1, "threshold": 0.4},
        {"label": "wind", "clips": 0, "recordings": 0, "without": 8, "unknown": 0, "threshold": 0.5},
    ]
    for metrics in (classification.METRICS, multilabel.METRICS):
        found = summary(metrics, classes=classes)
        assert found.as_json() == json.loads(found.model_dump_json(exclude_unset=True))
        assert found.as_json()["classes"] == classes and found.as_json()["clip"] == level(metrics)
    assert isinstance(found.classes[0], SetClassScores) and found.classes[0].without == 4


def test_a_missing_figure_is_named_by_its_place_alone() -> None:
    for metrics, missing in ((classification.METRICS, "top3"), (multilabel.METRICS, "lwlrap")):
        held = level(metrics)
        del held[missing]
        with pytest.raises(ValidationError) as raised:
            Summary.model_validate(FACTS | {"clip": held, "segment": level(metrics)})
        assert [error["loc"] for error in raised.value.errors()] == [("clip", missing)]


def test_a_cell_says_its_main_figure_at_both_levels() -> None:
    one = CellResult.model_validate({"clips": 1, "clip_accuracy": 0.5, "segment_accuracy": 0.25})
    sets = CellResult.model_validate({"clips": 1, "clip_macro_map": 0.5, "segment_macro_map": None})
    assert (one.multilabel, sets.multilabel) == (False, True)
    assert describe_cell(one) == "clip accuracy 0.5000, segment 0.2500"
    assert describe_cell(sets) == "clip macro mAP 0.5000, segment -"


def test_calibration_is_one_temperature_or_scaling_and_threshold_of_each_class() -> None:
    sets = {"segment": [[2.0, 0.5], [1.0, 0.0]], "clip": [[2.0, 0.5], [1.0, 0.0]], "clips": [0.4, 0.6]}
    found = Confidence.model_validate(sets)
    assert (found.clip, found.clips) == (((2.0, 0.5), (1.0, 0.0)), (0.4, 0.6))
    assert found.model_dump(mode="json", exclude_unset=True) == sets
    assert "clips" not in Confidence(clip=2.0, clips=None).model_dump(exclude_unset=True)
    for wrong in (0.0, [[0.0, 1.0]]):
        with pytest.raises(ValidationError):
            Confidence.model_validate({"clip": wrong})
