"""psds: figures are those of sed_scores_eval, and what must hold of any recordings holds."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given

from hubbub.inference.events import Event
from hubbub.metrics.classification import MetricsError
from hubbub.metrics.event_changes import intersection_changes
from hubbub.metrics.events import Criteria
from hubbub.metrics.psds import PSDS1, PSDS2, Setting, psds, psds_of
from hubbub.metrics.scored import ScoredRecording
from tests.helpers.scored import LABELS, scored_recordings
from tests.metrics.test_event_changes import CASES, of_case


@pytest.mark.parametrize("most", [100, 2000])
@pytest.mark.parametrize("name", ["PSDS1", "PSDS2"])
@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda n: f"{n}-{CASES[n]['kind']}")
def test_figures_are_sed_scores_evals(number: int, name: str, most: int) -> None:
    value, by_class = CASES[number]["figures"][f"{name} {most}"]
    setting = replace({"PSDS1": PSDS1, "PSDS2": PSDS2}[name], most_an_hour=float(most))
    found = psds(of_case(CASES[number]), CASES[number]["labels"], setting)
    assert found.value == pytest.approx(value, abs=1e-9)
    assert found.by_class == pytest.approx(by_class, abs=1e-9)


def test_the_stored_figures_say_something() -> None:
    values = [case["figures"][key][0] for case in CASES for key in ("PSDS1 2000", "PSDS2 2000")]
    assert len({round(value, 6) for value in values}) > len(values) / 2


@given(recordings=scored_recordings())
def test_a_score_is_a_share_and_does_not_depend_on_the_order(recordings: list[ScoredRecording]) -> None:
    for setting in (PSDS1, PSDS2, replace(PSDS2, most_an_hour=5000.0)):
        score = psds(recordings, LABELS, setting)
        if any(event.end > event.start for recording in recordings for event in recording.true):
            assert 0 <= score.value <= 1
            assert all(0 <= value <= 1 for value in score.by_class.values())
            assert psds(recordings[::-1], LABELS, setting).value == pytest.approx(score.value)
        else:
            assert np.isnan(score.value)


@given(recordings=scored_recordings())
def test_scores_that_are_the_truth_give_one(recordings: list[ScoredRecording]) -> None:
    perfect = []
    for recording in recordings:
        edges = np.arange(31) * 0.1
        middles = (edges[:-1] + edges[1:]) / 2
        active = [
            [any(e.label == label and e.start < at < e.end for e in recording.true) for label in LABELS]
            for at in middles
        ]
        perfect.append(ScoredRecording(np.array(active, float), edges, recording.true))
    if any(event.end > event.start for recording in recordings for event in recording.true):
        assert psds(perfect, LABELS, PSDS1).value == pytest.approx(1)
        assert psds(perfect, LABELS, PSDS2).value == pytest.approx(1)


def test_a_class_that_never_sounds_is_left_out() -> None:
    scores = np.array([[0.9, 0.9], [0.1, 0.8]])
    recording = ScoredRecording(scores, np.arange(3.0), [Event("dog", 0.0, 1.0, 1.0)])
    assert psds([recording], LABELS, PSDS2).by_class == {"dog": 1.0}


def test_the_weight_of_a_recording_is_how_often_it_counts() -> None:
    recordings = of_case(CASES[0])
    labels = CASES[0]["labels"]
    setting = replace(PSDS2, most_an_hour=2000.0)
    changes = intersection_changes(recordings, labels, setting.criteria)
    repeated = [recordings[0], recordings[2], recordings[2], recordings[3]]
    weighted = psds_of(changes, setting, np.array([1, 0, 2, 1]))
    assert weighted.value == pytest.approx(psds(repeated, labels, setting).value)


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(MetricsError, match="rate above 0"):
        replace(PSDS1, most_an_hour=0.0)
    with pytest.raises(MetricsError, match="give both"):
        Setting(Criteria(0.1, 0.1), alpha_ct=0.5)
    with pytest.raises(MetricsError, match="dtc is 0"):
        Criteria(dtc=0.0)
    with pytest.raises(MetricsError, match="no cross triggers"):
        psds_of(intersection_changes(of_case(CASES[0]), CASES[0]["labels"], PSDS1.criteria), PSDS2)
