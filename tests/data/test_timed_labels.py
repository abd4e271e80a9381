"""timed_labels: segments and clips hold the classes that a plain count of milliseconds says, at their edges too."""

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from hubbub.data.clips import Clips, build
from hubbub.data.timed_labels import clip_targets, nearest_parts, segment_targets

LABELS = ("dog", "rain")
Spans = list[tuple[int, int]]


def timed(
    events: dict[str, Spans],
    clip: tuple[float, float] = (0.0, 60.0),
    unknown: tuple[str, ...] = (),
    path: str = "a.wav",
) -> Clips:
    """One clip of a recording with events in milliseconds."""
    table = pd.DataFrame(
        {"clip": ["a"], "path": [path], "start": [clip[0]], "end": [clip[1]], "labels": [()], "unknown": [unknown]}
    )
    rows = [(path, a / 1000, b / 1000, label) for label, spans in events.items() for a, b in spans]
    return build("a", table, labels=LABELS, timed=pd.DataFrame(rows, columns=["path", "start", "end", "label"]))


def plain(spans: Spans, segment: tuple[int, int], percent: int) -> bool:
    """Whether a class is in a segment, counted in whole milliseconds."""
    marked: set[int] = set()
    for a, b in spans:
        marked |= set(range(a, b))
    runs, before = list[tuple[int, int]](), None
    for at in sorted(marked):
        if (
            before is None
            or at > before + 1
            or (any(a == at for a, _ in spans) and all(b <= at or a >= at for a, b in spans))
        ):
            runs.append((at, at + 1))
        else:
            runs[-1] = (runs[-1][0], at + 1)
        before = at
    a, b = segment
    inside = [(min(end, b) - max(start, a), end - start) for start, end in runs]
    filled = sum(max(part, 0) for part, _ in inside)
    return 100 * filled >= percent * (b - a) or any(
        length < b - a and 100 * part >= percent * length for part, length in inside
    )


times = st.lists(
    st.tuples(st.integers(0, 120), st.integers(1, 60)).map(lambda one: (one[0], one[0] + one[1])), max_size=6
)
segments = st.lists(
    st.tuples(st.integers(0, 150), st.integers(1, 40)).map(lambda one: (one[0], one[0] + one[1])),
    min_size=1,
    max_size=8,
)


@given(times, segments, st.sampled_from([1, 10, 25, 50, 75, 100]))
def test_segments_hold_what_a_count_of_milliseconds_says(spans: Spans, parts: Spans, percent: int) -> None:
    clips = timed({"rain": spans})
    found = segment_targets(clips, 0, np.array(parts) / 1000, percent / 100)
    assert found.dtype == np.int8 and found.shape == (len(parts), 2) and not found[:, 0].any()
    assert found[:, 1].tolist() == [int(plain(spans, part, percent)) for part in parts]


def test_edges_belong_to_the_segment_that_is_filled_as_much_as_asked() -> None:
    clips = timed({"dog": [(1000, 1500)], "rain": [(4500, 9000)]})
    spans = [[0.5, 1.25], [0.5, 1.249], [1.25, 2.25], [1.251, 2.25], [4.0, 5.0], [4.0, 4.999], [8.5, 9.5], [8.501, 9.5]]
    found = segment_targets(clips, 0, spans, 0.5)
    assert found.tolist() == [[1, 0], [0, 0], [1, 0], [0, 0], [0, 1], [0, 0], [0, 1], [0, 0]]


def test_overlapping_events_of_a_class_fill_no_more_than_their_union() -> None:
    clips = timed({"dog": [(0, 400), (100, 400), (300, 450)]})
    assert segment_targets(clips, 0, [[0.0, 1.0]], 0.5)[0, 0] == 1, "one event of 0.45 s lies in it"
    assert segment_targets(clips, 0, [[0.3, 1.3]], 0.5)[0, 0] == 0, "0.15 s of 0.45 s"


def test_spans_count_from_the_start_of_the_clip_and_what_lies_beyond_it_is_not_heard() -> None:
    clips = timed({"dog": [(12_000, 13_000), (20_100, 29_000)]}, clip=(10.0, 20.0))
    found = segment_targets(clips, 0, [[2.0, 3.0], [9.5, 10.5], [10.0, 11.0]], 0.5)
    assert found[:, 0].tolist() == [1, 0, 0]
    padded = timed({"dog": [(0, 200)]}, clip=(0.0, 0.3))
    assert segment_targets(padded, 0, [[0.0, 0.975]], 0.5)[0, 0] == 1, "two thirds of the 0.3 s that there are"


def test_a_class_that_nobody_annotated_stays_unknown_and_other_recordings_do_not_count() -> None:
    clips = timed({"dog": [(0, 60_000)]}, unknown=("rain",))
    assert segment_targets(clips, 0, [[0.0, 1.0]], 0.5).tolist() == [[1, -1]]
    other = Clips(clips.name, clips.table.assign(path="b.wav"), LABELS, timed=clips.timed)
    assert segment_targets(other, 0, [[0.0, 1.0]], 0.5).tolist() == [[0, -1]]


def test_without_timed_labels_a_segment_has_the_targets_of_its_clip() -> None:
    table = pd.DataFrame({"clip": ["a"], "path": ["a.wav"], "labels": [("rain",)], "unknown": [("dog",)]})
    found = segment_targets(build("a", table, labels=LABELS), 0, np.zeros((3, 2)), 0.5)
    assert found.tolist() == [[-1, 1]] * 3
    assert segment_targets(build("a", table, labels=LABELS), 0, np.zeros((0, 2)), 0.5).shape == (0, 2)


def test_many_frames_of_many_events_are_computed_at_once() -> None:
    rng = np.random.default_rng(0)
    starts = rng.uniform(0, 3600, 20_000)
    table = pd.DataFrame(
        {"clip": ["a"], "path": ["a"], "start": [0.0], "end": [3600.0], "labels": [()], "unknown": [()]}
    )
    events = pd.DataFrame({"path": "a", "start": starts, "end": starts + rng.uniform(0.01, 0.2, len(starts))})
    clips = build("a", table, labels=LABELS, timed=events.assign(label="rain"))
    frames = np.arange(90_000)[:, None] * 0.04 + [0, 0.04]
    found = segment_targets(clips, 0, frames, 0.5)[:, 1]  # a matrix of frames and events would not fit into memory
    grid = np.zeros(360_000 * 10)
    for a, b in zip(events["start"], events["end"], strict=True):
        grid[round(a * 1000) : round(b * 1000)] = 1
    assert np.mean((grid.reshape(-1, 40).mean(axis=1) >= 0.5) == found) > 0.9


def test_clips_hold_an_event_of_which_enough_lies_in_them() -> None:
    events = (np.array([4.0, 9.5, 18.0]), np.array([4.2, 12.0, 20.3]))
    chunks = [[0.0, 4.1], [4.11, 9.5], [0.0, 10.0], [10.0, 20.0], [20.0, 20.6], [30.0, 40.0]]
    assert clip_targets(events, chunks, 1.0, 0.5).tolist() == [True, False, True, True, True, False]
    assert not clip_targets(events, [[20.0, 30.0]], 1.0, 0.5)[0], "0.3 s of an event that lasts longer than a window"


def test_every_instant_belongs_to_the_segment_whose_centre_is_nearest() -> None:
    spans = np.array([[0.0, 0.96], [0.24, 1.2], [0.48, 1.44], [2.0, 2.5]])
    parts = nearest_parts(spans)
    np.testing.assert_allclose(parts, [[0, 0.6], [0.6, 0.84], [0.84, 1.44], [2.0, 2.5]])
    for instant in (0.1, 0.59, 0.7, 0.9, 1.3, 2.2):
        own = int(np.abs(spans.mean(axis=1) - instant).argmin())
        assert parts[own, 0] <= instant <= parts[own, 1]
    frames = np.stack([np.arange(5) * 0.04, np.arange(1, 6) * 0.04], axis=1)
    np.testing.assert_array_equal(nearest_parts(frames), frames)
    assert nearest_parts(np.zeros((0, 2))).shape == (0, 2)
