"""scored: the events of all thresholds are those that each threshold gives."""

import numpy as np
import pytest
from hypothesis import given

from hubbub.inference.events import Event
from hubbub.metrics.classification import MetricsError
from hubbub.metrics.scored import ScoredRecording, all_events, join
from tests.helpers.scored import LABELS, found_at, scored_recordings


@given(recordings=scored_recordings())
def test_the_events_at_each_threshold_are_those_found_with_it(recordings: list[ScoredRecording]) -> None:
    together = join(recordings, LABELS)
    for k, label in enumerate(LABELS):
        events = all_events(together.scores[:, k])
        assert len(events.first) <= len(together.edges)
        for threshold in (-1.0, 0.0, 0.25, 0.3, 0.5, 0.75, 1.0, 1.1):
            there = (events.appears >= threshold) & (events.vanishes < threshold)
            spans = zip(events.first[there], events.last[there], strict=True)
            assert sorted(
                (together.recording[first], together.edges[first], together.edges[last]) for first, last in spans
            ) == sorted(
                (n, event.start, event.end)
                for n, recording in enumerate(recordings)
                for event in found_at(recording, threshold)
                if event.label == label
            )


def test_a_plateau_and_a_valley() -> None:
    recording = ScoredRecording(np.array([[0.4, 1.0, 0.6, 0.6, 1.0, 1.0, 0.4]]).T, np.arange(8) * 0.2, [])
    events = all_events(join([recording], ("dog",)).scores[:, 0])
    rows = zip(events.first, events.last, events.appears, events.vanishes, strict=True)
    assert sorted(rows) == [(0, 7, 0.4, -np.inf), (1, 2, 1.0, 0.6), (1, 6, 0.6, 0.4), (4, 6, 1.0, 0.6)]


def one(scores: object = ((0.5,),), edges: object = (0, 1), true: object = (), length: float | None = None) -> object:
    return ScoredRecording(np.array(scores, float), np.array(edges, float), list(true), length)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("recordings", "message"),
    [
        ([], "nothing to score"),
        ([one(), one(scores=((0.5, 0.5),))], r"recording 1 .*\[frames, 1\]"),
        ([one(edges=(0, 1, 2))], r"\[frames \+ 1\]"),
        ([one(scores=((np.nan,),))], "not finite"),
        ([one(edges=(1, 1))], "rising edges"),
        ([one(true=[Event("dog", 2.0, 1.0, 1.0)])], "from 2.0 to 1.0 s"),
        ([one(length=-1)], "lasts -1.0 s"),
    ],
)
def test_what_cannot_be_scored_is_refused(recordings: list[ScoredRecording], message: str) -> None:
    with pytest.raises(MetricsError, match=message):
        join(recordings, ("dog",))
