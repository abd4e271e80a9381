"""event_changes: at every threshold the counts are those of the events found with it, and those of sed_scores_eval."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from hubbub.inference.events import Event
from hubbub.metrics import event_changes
from hubbub.metrics.classification import MetricsError
from hubbub.metrics.event_curves import Changes, best_f1
from hubbub.metrics.events import Counts, Criteria, event_based, intersection_based, segment_based
from hubbub.metrics.scored import ScoredRecording
from tests.helpers.scored import LABELS, found_at, scored_recordings

CRITERIA = Criteria(0.3, 0.6, 0.4)
DEFINITIONS = {
    "segment": (segment_based, lambda r, k: event_changes.segment_changes(r, k)),
    "onset": (
        lambda true, found, labels: event_based(true, found, labels, length_share=np.inf),
        lambda r, k: event_changes.collar_changes(r, k, length_share=np.inf),
    ),
    "collar": (event_based, lambda r, k: event_changes.collar_changes(r, k)),
    "intersection": (intersection_based, lambda r, k: event_changes.intersection_changes(r, k)),
    "cross": (
        lambda true, found, labels: intersection_based(true, found, labels, CRITERIA),
        lambda r, k: event_changes.intersection_changes(r, k, CRITERIA),
    ),
}
#: Figures by sed_scores_eval 0.0.4 on random recordings (make_sed_scores_eval.py).
CASES = json.loads(Path(__file__).with_name("sed_scores_eval.json").read_text(encoding="utf-8"))


def of_case(case: dict[str, Any]) -> list[ScoredRecording]:
    return [
        ScoredRecording(
            np.array(recording["scores"]),
            np.array(recording["edges"]),
            [Event(label, start, end, 1.0) for start, end, label in recording["true"]],
        )
        for recording in case["recordings"]
    ]


@pytest.mark.parametrize("name", DEFINITIONS)
@given(recordings=scored_recordings())
def test_the_counts_at_each_threshold_are_those_of_the_events_found_with_it(
    name: str, recordings: list[ScoredRecording]
) -> None:
    points, all_thresholds = DEFINITIONS[name]
    changes = all_thresholds(recordings, LABELS)
    for threshold in (0.0, 0.25, 0.3, 0.5, 0.75, 1.0, 1.1):
        found = [found_at(recording, threshold) for recording in recordings]
        expected = points([recording.true for recording in recordings], found, LABELS)
        at = changes.at(threshold)
        assert at.each.tolist() == expected.each.tolist()
        assert (at.cross is None) == (expected.cross is None)
        assert at.cross is None or at.cross.tolist() == expected.cross.tolist()
        for k, label in enumerate(LABELS):
            curve = changes.curve(label)
            place = int(np.searchsorted(-curve.thresholds, -threshold, "right")) - 1
            row = [curve.hits[place], curve.false[place], curve.missed[place]]
            assert row == expected.totals[k].tolist()


@pytest.mark.parametrize("name", ["segment", "collar", "intersection", "cross"])
@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda n: f"{n}-{CASES[n]['kind']}")
def test_curves_are_sed_scores_evals(name: str, number: int) -> None:
    case = CASES[number]
    changes = DEFINITIONS[name][1](of_case(case), case["labels"])
    for label, theirs in case["figures"][name]["curves"].items():
        curve = changes.curve(label)
        # Its curves also hold some scores at which nothing changes.
        assert set(curve.thresholds[1:]) <= set(theirs["thresholds"])
        places = np.searchsorted(-curve.thresholds, -np.array(theirs["thresholds"]), "right") - 1
        assert curve.hits[places].tolist() == theirs["hits"]
        assert curve.false[places].tolist() == theirs["false"]
        assert curve.true == theirs["true"]
        for other, crossed in theirs.get("cross", {}).items():
            assert curve.cross is not None
            assert curve.cross[places, case["labels"].index(other)].tolist() == crossed


@pytest.mark.parametrize("name", ["segment", "collar", "intersection"])
@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda n: f"{n}-{CASES[n]['kind']}")
def test_best_f1_is_sed_scores_evals(name: str, number: int) -> None:
    case = CASES[number]
    theirs = case["figures"][name]
    changes = DEFINITIONS[name][1](of_case(case), case["labels"])
    found = dict(zip(changes.labels, best_f1(changes), strict=True))
    occurring = [label for label in changes.labels if label in theirs["thresholds"]]
    assert [label for label in changes.labels if np.isfinite(found[label])] == occurring
    assert [found[label] for label in occurring] == pytest.approx([theirs["best_f1"][k] for k in occurring], abs=1e-9)
    assert np.nanmean(best_f1(changes)) == pytest.approx(theirs["best_f1"]["macro_average"], abs=1e-9)
    at = changes.at({label: theirs["thresholds"].get(label, np.inf) for label in changes.labels})
    assert at.f1 == pytest.approx(theirs["best_f1"]["micro_average"], abs=1e-9)
    mine = changes.at(changes.best_thresholds).by_class
    assert [mine[label] for label in occurring] == pytest.approx([found[label] for label in occurring])


@given(recordings=scored_recordings())
def test_neither_the_order_of_recordings_nor_an_empty_one_changes_counts(recordings: list[ScoredRecording]) -> None:
    empty = ScoredRecording(np.empty((0, 2)), np.zeros(1), [])
    for _, count in DEFINITIONS.values():
        first, second = count(recordings, LABELS), count([*reversed(recordings), empty], LABELS)
        for label in LABELS:
            one, other = first.curve(label), second.curve(label)
            assert one.thresholds.tolist() == other.thresholds.tolist()
            assert one.hits.tolist() == other.hits.tolist()
            assert one.false.tolist() == other.false.tolist()
        assert first.at(0.5).f1 == second.at(0.5).f1


@given(recordings=scored_recordings())
def test_only_the_order_of_scores_matters(recordings: list[ScoredRecording]) -> None:
    logits = [
        ScoredRecording(np.exp(3 * recording.scores), recording.edges, recording.true) for recording in recordings
    ]
    for _, count in DEFINITIONS.values():
        for label in LABELS:
            one, other = count(recordings, LABELS).curve(label), count(logits, LABELS).curve(label)
            assert (one.hits.tolist(), one.false.tolist()) == (other.hits.tolist(), other.false.tolist())


def test_found_events_within_one_true_event_hit_it_together() -> None:
    scores = np.array([[0.9, 0.2, 0.9, 0.9, 0.2]]).T
    recording = ScoredRecording(scores, np.arange(6.0), [Event("dog", 0.0, 4.0, 1.0)])
    curve = event_changes.intersection_changes([recording], ("dog",), Criteria(1.0, 0.75)).curve("dog")
    assert curve.thresholds.tolist() == [np.inf, 0.9, 0.2]
    assert curve.hits.tolist() == [0, 1, 0]  # at the lowest threshold the event lasts a second too long
    assert curve.false.tolist() == [0, 0, 1]
    assert curve.best_threshold == pytest.approx((0.9 + 0.2) / 2)
    assert curve.false_an_hour.tolist() == [0, 0, 3600 / 5]
    assert curve.precision.tolist() == [1, 1, 0] and curve.recall.tolist() == [0, 1, 0]


def test_segments_without_frames_are_never_found() -> None:
    recording = ScoredRecording(np.zeros((1, 1)), np.array([1.0, 2.0]), [Event("dog", 0.0, 3.0, 1.0)])
    curve = event_changes.segment_changes([recording], ("dog",)).curve("dog")
    assert (curve.true, curve.hits.tolist(), curve.thresholds.tolist()) == (3, [0, 1], [np.inf, 0.0])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda c: c.curve("cat"), "none of the scored classes: dog, rain"),
        (lambda c: c.at({"dog": 0.5}), "no threshold for 'rain'"),
        (lambda c: c.curve("dog").false_an_hour, "needs time"),
    ],
)
def test_what_cannot_be_told_is_refused(wrong: Callable[[Changes], Counts], message: str) -> None:
    changes = event_changes.collar_changes([ScoredRecording(np.empty((0, 2)), np.zeros(1), [])], LABELS)
    with pytest.raises(MetricsError, match=message):
        wrong(changes)


def test_segments_of_no_length_are_refused() -> None:
    with pytest.raises(MetricsError, match="length above 0"):
        event_changes.segment_changes([ScoredRecording(np.empty((0, 2)), np.zeros(1), [])], LABELS, 0.0)
