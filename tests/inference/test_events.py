"""events: where events begin and end, as hand-made scores and a slow second way say."""

import itertools

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.audio import windows
from hubbub.classifier.prediction import Event
from hubbub.inference.events import EventDetector, EventError, EventSettings, detect_events

Array = npt.NDArray[np.float64]


def seconds(scores: list[float], length: float = 1.0, hop: float = 1.0) -> tuple[Array, Array]:
    """Segments of `length` every `hop`, one class."""
    starts = np.arange(len(scores)) * hop
    return np.stack([starts, starts + length], axis=1), np.array(scores)[:, None]


def found(scores: list[float], **settings: float) -> list[tuple[float, float, float]]:
    return [(e.start, e.end, e.score) for e in detect_events(*seconds(scores), ("dog",), EventSettings(**settings))]


# By hand


def test_neighbours_above_the_threshold_become_one_event() -> None:
    assert found([0.1, 0.6, 0.9, 0.5, 0.2, 0.7]) == [(1, 4, 0.9), (5, 6, 0.7)]
    assert found([0.1, 0.49]) == found([]) == []
    assert found([0.5]) == [(0, 1, 0.5)]


def test_an_event_lasts_while_its_score_stays_above_the_release_on_either_side() -> None:
    scores = [0.1, 0.35, 0.6, 0.3, 0.29, 0.4, 0.45, 0.1]
    assert found(scores, threshold=0.5, release=0.3) == [(1, 4, 0.6)]  # the second bump never reaches the threshold
    assert found(scores[::-1], threshold=0.5, release=0.3) == [(4, 7, 0.6)]


def test_close_events_become_one_and_what_is_still_short_is_dropped() -> None:
    scores = [0.9, 0.1, 0.8, 0.1, 0.1, 0.7, 0.1]
    assert found(scores, gap=1) == [(0, 3, 0.9), (5, 6, 0.7)]
    assert found(scores, gap=2) == [(0, 6, 0.9)]
    assert found(scores, gap=1, shortest=2) == [(0, 3, 0.9)]
    assert found(scores, shortest=2) == []
    assert found([0.9, 0.4, 0.3, 0.9], release=0.4, gap=1) == [(0, 4, 0.9)]  # the gap is one second, not two


def test_where_segments_overlap_each_speaks_for_its_half() -> None:
    """YAMNet's .96 s every .48 s: the instant between two middles belongs to the nearer one."""
    spans, scores = seconds([0, 0, 1, 1, 0, 0], 0.96, 0.48)
    (event,) = detect_events(spans, scores, ("dog",))
    assert (event.start, event.end) == pytest.approx((0.48 + 0.72, 1.44 + 0.72))
    whole = detect_events(spans, np.ones((6, 1)), ("dog",))
    assert [(e.start, e.end) for e in whole] == [(0.0, spans[-1, 1])]
    # The last segment of a recording is shorter, for its padding is not sound.
    spans = windows.spans(40, 10, 15, 10)
    assert spans[-1].tolist() == [3.0, 4.0]
    (last,) = detect_events(spans, [[0], [0], [0], [1]], ("dog",))
    assert (last.start, last.end) == (3.25, 4.0)


def test_segments_may_overlap_by_more_than_half() -> None:
    spans = [(start, start + 2.0) for start in np.arange(0, 4, 0.5)]
    scores = np.zeros((len(spans), 1))
    scores[3:5] = 0.9
    # The middles are 1, 1.5, 2 ...: those of the fourth and fifth are 2.5 and 3.
    assert detect_events(spans, scores, ["a"]) == [Event("a", 2.25, 3.25, 0.9)]


def test_time_that_nobody_heard_ends_an_event() -> None:
    spans = [[0, 1], [1, 2], [5, 6]]
    assert [(e.start, e.end) for e in detect_events(spans, [[1], [1], [1]], ("dog",))] == [(0, 2), (5, 6)]
    assert [(e.start, e.end) for e in detect_events(spans, [[1], [1], [1]], ("dog",), EventSettings(gap=3))] == [(0, 6)]


def test_classes_do_not_mix() -> None:
    events = detect_events(*(seconds([0, 0, 0])[0], [[0.9, 0.1], [0.9, 0.6], [0.1, 0.6]]), ("dog", "rain"))
    assert events == [Event("dog", 0, 2, 0.9), Event("rain", 1, 3, 0.6)]


# Live


def test_an_event_is_told_while_it_goes_on_and_given_once_it_is_over() -> None:
    detector = EventDetector(("dog",), EventSettings(gap=1))
    given, active = [], []
    for row, span in zip([0.9, 0.9, 0.1, 0.9, 0.1, 0.1, 0.1], itertools.count(), strict=False):
        given.append(detector.feed([[span, span + 1]], [[row]]))
        active.append([(e.start, e.end) for e in detector.active])
    assert active == [[], [(0, 1)], [(0, 2)], [], [(0, 4)], [], []]
    assert [[(e.start, e.end) for e in events] for events in given] == [[], [], [], [], [], [], [(0, 4)]]
    assert detector.end() == []


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda: EventSettings(threshold=0.4, release=0.5), r"threshold of 0\.4 and a release of 0\.5"),
        (lambda: EventSettings(threshold=0.0), "above 0 and at most 1"),
        (lambda: EventSettings(threshold=1.2), "above 0 and at most 1"),
        (lambda: EventSettings(threshold=float("nan")), "above 0 and at most 1"),
        (lambda: EventSettings(shortest=-1), "0 or more"),
        (lambda: EventSettings(gap=float("nan")), "0 or more"),
        (lambda: detect_events([[0, 1]], [[1, 2]], ("dog",)), r"scores of shape \[1, 2\] for 1 segments and 1 classes"),
        (lambda: detect_events([[1, 2], [0, 1]], [[1], [1]], ("dog",)), "a segment at 0 s after one at 1 s"),
    ],
)
def test_what_makes_no_events_is_refused(make, said: str) -> None:
    with pytest.raises(EventError, match=said):
        make()


# A threshold for each class


def test_each_class_reaches_the_classifiers_own_threshold_unless_one_is_given() -> None:
    spans, labels, own = [[n, n + 1] for n in range(4)], ("dog", "rain"), (0.8, 0.3)
    scores = [[0.7, 0.4], [0.9, 0.2], [0.7, 0.31], [0.1, 0.1]]

    def found(settings: EventSettings, thresholds: tuple[float, ...] | None) -> list[tuple[str, float, float]]:
        detector = EventDetector(labels, settings, thresholds)
        return [(e.label, e.start, e.end) for e in [*detector.feed(spans, scores), *detector.end()]]

    assert found(EventSettings(), own) == [("rain", 0, 1), ("dog", 1, 2), ("rain", 2, 3)]
    assert found(EventSettings(), None) == [("dog", 0, 3)], "without its own: .5"
    assert found(EventSettings(threshold=0.35), own) == [("rain", 0, 1), ("dog", 0, 3)]
    # A release above a class's own threshold is that threshold.
    assert found(EventSettings(release=0.6), own) == [("rain", 0, 1), ("dog", 0, 3), ("rain", 2, 3)]
    with pytest.raises(EventError, match=r"a threshold of 0\.8 and a release of 0\.9"):
        found(EventSettings(release=0.9), own)


# Against a second way


def slowly(scores: list[float], settings: EventSettings) -> list[tuple[float, float, float]]:
    """Seconds of one class, the definition word by word."""
    runs = []
    assert settings.threshold is not None and settings.release is not None
    for above, group in itertools.groupby(enumerate(scores), key=lambda item: item[1] >= settings.release):
        items = list(group)
        if above and max(score for _, score in items) >= settings.threshold:
            runs.append((items[0][0], items[-1][0] + 1, max(score for _, score in items)))
    joined: list[tuple[float, float, float]] = []
    for start, end, score in runs:
        if joined and start - joined[-1][1] <= settings.gap:
            joined[-1] = (joined[-1][0], end, max(joined[-1][2], score))
        else:
            joined.append((start, end, score))
    return [event for event in joined if event[1] - event[0] >= settings.shortest]


tenths = st.integers(0, 10).map(lambda n: n / 10)


@st.composite
def event_settings(draw: st.DrawFn) -> EventSettings:
    threshold = draw(st.integers(1, 10))
    release = draw(st.integers(1, threshold))
    return EventSettings(threshold / 10, release / 10, draw(st.integers(0, 4)), draw(st.integers(0, 4)))


@given(scores=st.lists(tenths, max_size=40), settings=event_settings())
def test_events_are_what_the_definition_says(scores: list[float], settings: EventSettings) -> None:
    found = [(e.start, e.end, e.score) for e in detect_events(*seconds(scores), ("dog",), settings)]
    assert found == slowly(scores, settings)


@given(scores=st.lists(tenths, max_size=40), settings=event_settings())
def test_a_recording_played_backwards_has_the_same_events(scores: list[float], settings: EventSettings) -> None:
    there = [(len(scores) - end, len(scores) - start) for start, end, _ in slowly(scores, settings)]
    back = [(e.start, e.end) for e in detect_events(*seconds(scores[::-1]), ("dog",), settings)]
    assert back == there[::-1]


@given(
    scores=st.lists(st.tuples(tenths, tenths, tenths), min_size=1, max_size=30),
    settings=event_settings(),
    sizes=st.lists(st.integers(1, 5), min_size=1),
)
def test_segments_one_by_one_give_the_events_of_all_at_once(scores, settings: EventSettings, sizes: list[int]) -> None:
    labels, rows = ("a", "b", "c"), np.array(scores)
    spans = seconds([0.0] * len(rows), 0.96, 0.48)[0]
    detector, given, at = EventDetector(labels, settings), [], 0
    for size in itertools.cycle(sizes):
        if at >= len(rows):
            break
        given += detector.feed(spans[at : at + size], rows[at : at + size])
        at += size
    order = lambda e: (e.start, e.end, e.label)  # noqa: E731
    assert sorted(given + detector.end(), key=order) == detect_events(spans, rows, labels, settings)
