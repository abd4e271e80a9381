"""events: counts of hand-made truths, as the paper and sed_eval define them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.inference.events import Event
from hubbub.metrics.classification import MetricsError
from hubbub.metrics.events import Counts, Criteria, event_based, intersection_based, segment_based

LABELS = ("dog", "rain")


def events(*rows: tuple[str, float, float]) -> list[Event]:
    return [Event(label, start, end, 1.0) for label, start, end in rows]


def counts(of: Counts) -> list[list[int]]:
    return [of.hits.tolist(), of.false.tolist(), of.missed.tolist()]


def test_segments_that_an_event_touches_are_active() -> None:
    true = events(("dog", 0.5, 2.5), ("rain", 4.0, 5.0))
    found = events(("dog", 1.0, 4.0), ("rain", 4.2, 4.4))
    of = segment_based([true], [found], LABELS)
    assert counts(of) == [[2, 1], [1, 0], [1, 0]]
    assert (of.precision, of.recall, of.f1) == (3 / 4, 3 / 4, 6 / 8)
    assert of.by_class == {"dog": 2 * 2 / 6, "rain": 1.0}
    assert of.macro_f1 == (2 / 3 + 1) / 2
    assert counts(segment_based([true], [found], LABELS, 0.5)) == [[3, 1], [3, 0], [1, 1]]


def test_overlapping_events_of_a_class_are_active_once() -> None:
    of = segment_based([events(("dog", 0, 2), ("dog", 1, 3))], [events(("dog", 0, 3))], LABELS)
    assert counts(of) == [[3, 0], [0, 0], [0, 0]]


@pytest.mark.parametrize(
    "start, end, hit",
    [
        (1.2, 3.0, True),
        (0.8, 3.0, True),
        (1.21, 3.0, False),
        (1.0, 3.4, True),  # a fifth of two seconds
        (1.0, 2.6, True),
        (1.0, 3.41, False),
        (1.0, 2.59, False),
    ],
)
def test_onsets_may_be_200_ms_off_and_offsets_a_fifth_of_the_length(start: float, end: float, hit: bool) -> None:
    of = event_based([events(("dog", 1.0, 3.0))], [events(("dog", start, end))], LABELS)
    assert counts(of) == ([[1, 0], [0, 0], [0, 0]] if hit else [[0, 0], [1, 0], [1, 0]])


def test_the_offset_of_a_short_event_may_be_200_ms_off() -> None:
    true = [events(("dog", 1.0, 1.1))]
    assert event_based(true, [events(("dog", 1.0, 1.3))], LABELS).f1 == 1
    assert event_based(true, [events(("dog", 1.0, 1.31))], LABELS).f1 == 0


def test_another_class_or_another_recording_is_no_hit() -> None:
    one, other = events(("dog", 1.0, 2.0)), events(("rain", 1.0, 2.0))
    assert counts(event_based([one], [other], LABELS)) == [[0, 0], [0, 1], [1, 0]]
    assert counts(event_based([one, []], [[], one], LABELS)) == [[0, 0], [1, 0], [1, 0]]
    assert counts(segment_based([one, []], [[], one], LABELS)) == [[0, 0], [1, 0], [1, 0]]


def test_each_event_is_in_one_pair_and_as_many_pairs_are_made_as_can_be() -> None:
    twice = events(("dog", 1.0, 2.0), ("dog", 1.1, 2.1))
    assert counts(event_based([events(("dog", 1.0, 2.0))], [twice], LABELS)) == [[1, 0], [1, 0], [0, 0]]
    # The first true event takes either found one; greedily it would take the one that the second needs.
    true, found = events(("dog", 1.15, 2.15), ("dog", 1.0, 2.0)), events(("dog", 1.1, 2.1), ("dog", 1.3, 2.3))
    assert event_based([true], [found], LABELS).f1 == 1


def test_nothing_true_and_nothing_found_scores_nothing() -> None:
    for of in (segment_based([[]], [[]], LABELS), event_based([[]], [[]], LABELS)):
        assert (of.precision, of.recall, of.f1, of.macro_f1, of.by_class) == (0, 0, 0, 0, {})


@st.composite
def recordings(draw: st.DrawFn) -> list[Event]:
    rows = draw(st.lists(st.tuples(st.sampled_from(LABELS), st.integers(0, 50), st.integers(1, 30)), max_size=6))
    return [Event(label, start / 10, (start + length) / 10, 1.0) for label, start, length in rows]


@given(true=recordings(), found=recordings())
def test_the_segment_counts_are_those_of_an_activity_matrix(true: list[Event], found: list[Event]) -> None:
    def matrix(these: list[Event]) -> np.ndarray:
        active = np.zeros((len(LABELS), 9), bool)
        for event in these:
            for cell in range(9):  # in tenths, without rounding
                if round(event.start * 10) < 10 * (cell + 1) and round(event.end * 10) > 10 * cell:
                    active[LABELS.index(event.label), cell] = True
        return active

    a, b = matrix(true), matrix(found)
    expected = [(a & b).sum(axis=1).tolist(), (b & ~a).sum(axis=1).tolist(), (a & ~b).sum(axis=1).tolist()]
    assert counts(segment_based([true], [found], LABELS)) == expected


@given(true=recordings())
def test_the_truth_scores_one_against_itself(true: list[Event]) -> None:
    if true:
        assert event_based([true], [true], LABELS).f1 == segment_based([true], [true], LABELS).f1 == 1


def drawn(seed: int) -> tuple[list[list[Event]], list[list[Event]]]:
    """Three recordings' true events, and the same moved, renamed or left out."""
    rng = np.random.default_rng(seed)
    true: list[list[Event]] = [[], [], []]
    found: list[list[Event]] = [[], [], []]
    for here, there in zip(true, found, strict=True):
        for label in ("dog", "rain", "siren"):
            end = 0.0
            for _ in range(int(rng.integers(1, 6))):
                start = end + rng.uniform(0.05, 2)
                end = start + rng.uniform(0.1, 3)
                here.append(Event(label, start, end, 1.0))
                as_found = Event(
                    label if rng.random() < 0.9 else "siren", *rng.normal((start, end), 0.15).tolist(), 1.0
                )
                if rng.random() < 0.9 and 0 < as_found.start < as_found.end:
                    there.append(as_found)
    return true, found


#: F1, precision and recall of micro averages by sed_eval 0.2.1 (t_collar .2, percentage_of_length .2, optimal matching;
#: segments of 1 s) on `drawn`.
SED_EVAL = {
    0: ((0.699300699301, 0.806451612903, 0.617283950617), (0.620689655172, 0.692307692308, 0.5625)),
    1: ((0.868965517241, 0.9, 0.84), (0.771929824561, 0.814814814815, 0.733333333333)),
    2: ((0.790697674419, 0.871794871795, 0.723404255319), (0.571428571429, 0.625, 0.526315789474)),
    3: ((0.809917355372, 0.875, 0.753846153846), (0.6, 0.625, 0.576923076923)),
    4: ((0.896103896104, 0.92, 0.873417721519), (0.666666666667, 0.703703703704, 0.633333333333)),
}


@pytest.mark.parametrize("seed", SED_EVAL)
def test_figures_are_sed_evals(seed: int) -> None:
    true, found = drawn(seed)
    for score, expected in zip((segment_based, event_based), SED_EVAL[seed], strict=True):
        of = score(true, found, ("dog", "rain", "siren"))
        assert (of.f1, of.precision, of.recall) == pytest.approx(expected, abs=1e-9)


def test_an_onset_counts_whenever_the_event_ends_where_ends_may_be_anywhere() -> None:
    true, found = [events(("dog", 1.0, 2.0))], [events(("dog", 1.2, 9.0), ("dog", 1.3, 2.0))]
    assert counts(event_based(true, found, LABELS)) == [[0, 0], [2, 0], [1, 0]]
    assert counts(event_based(true, found, LABELS, length_share=np.inf)) == [[1, 0], [1, 0], [0, 0]]


def test_a_found_event_that_covers_two_true_ones_hits_both() -> None:
    true = events(("dog", 0.0, 1.0), ("dog", 1.2, 2.2))
    assert counts(intersection_based([true], [events(("dog", 0.0, 2.2))], LABELS)) == [[2, 0], [0, 0], [0, 0]]
    # 2 of 2.2 s are too little for 95 %: then no true event is hit by it either.
    strict = intersection_based([true], [events(("dog", 0.0, 2.2))], LABELS, Criteria(0.95, 0.5))
    assert counts(strict) == [[0, 0], [1, 0], [2, 0]]


def test_found_events_hit_a_true_one_together() -> None:
    true, found = events(("dog", 0.0, 2.0)), events(("dog", 0.0, 0.6), ("dog", 1.0, 1.6))
    assert intersection_based([true], [found], LABELS, Criteria(0.5, 0.6)).f1 == 1
    assert intersection_based([true], [found], LABELS, Criteria(0.5, 0.61)).f1 == 0


def test_overlapping_events_are_one_in_intersections() -> None:
    overlapping = events(("dog", 0.0, 2.0), ("dog", 1.0, 3.0), ("dog", 5.0, 5.0))
    of = intersection_based([overlapping], [events(("dog", 0.0, 3.0))], LABELS)
    assert counts(of) == [[1, 0], [0, 0], [0, 0]]


def test_a_cross_trigger_is_a_false_alarm_in_another_class() -> None:
    true, found = events(("rain", 0.0, 4.0)), events(("dog", 3.0, 5.0), ("dog", 8.0, 9.0))
    of = intersection_based([true], [found], LABELS, Criteria(0.5, 0.5, 0.5))
    assert counts(of) == [[0, 0], [2, 0], [0, 1]]
    assert of.cross is not None and of.cross.tolist() == [[[0, 1], [0, 0]]]


@given(true=recordings(), found=recordings())
def test_all_definitions_agree_on_their_own_truth_and_stay_in_bounds(true: list[Event], found: list[Event]) -> None:
    of = intersection_based([true], [found], LABELS)
    assert 0 <= of.f1 <= 1 and 0 <= of.macro_f1 <= 1
    if any(event.end > event.start for event in true):
        assert intersection_based([true], [true], LABELS, Criteria(1.0, 1.0, 1.0)).f1 == 1


def test_false_alarms_an_hour() -> None:
    of = event_based([[]], [events(("dog", 0.0, 1.0), ("dog", 5.0, 6.0), ("rain", 0.0, 1.0))], LABELS)
    assert of.false_an_hour(1800).tolist() == [4, 2]
    with pytest.raises(MetricsError, match="needs time"):
        of.false_an_hour(0)
