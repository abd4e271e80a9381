"""postprocess: filtered frame scores compared with filters written plainly, and with the truth where it is known."""

import numpy as np
import numpy.typing as npt
import pytest

from hubbub.classifier.postprocess import (
    Box,
    Filter,
    PostProcessError,
    boxed,
    boxes,
    filtered,
    frames_of,
    median,
    seconds_of_context,
)
from hubbub.inference.events import EventSettings, detect_events

Array = npt.NDArray[np.float64]
FRAME_S = 0.04


def box(length: int, *spans: tuple[int, int, float]) -> Array:
    scores = np.zeros(length)
    for first, last, score in spans:
        scores[first:last] = score
    return scores


def plain_median(scores: Array, frames: int) -> Array:
    padded = np.pad(scores, frames // 2, mode="edge")
    return np.array([np.median(padded[t : t + frames]) for t in range(len(scores))])


def plain_boxes(scores: Array, frames: int, absolute: float, relative: float) -> list[Box]:
    """As the text of `boxes` says, one edge and one box at a time."""
    half, count = frames // 2, len(scores)
    padded = np.pad(scores, half)
    change = [padded[t + half : t + 2 * half].sum() - padded[t : t + half].sum() for t in range(count + 1)]
    edges: list[int] = []
    sign, best = 0, 0.0
    for t, value in enumerate(change):
        if value * sign > 0:
            if abs(value) > best or (abs(value) == best and sign > 0):
                edges[-1], best = t, abs(value)
        elif value:
            sign, best = int(np.sign(value)), abs(value)
            edges.append(t)
    found: list[Box] = []
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        found.append(Box(first, last, scores[first:last].mean()))
        while len(found) > 1:
            one, two = found[-2:]
            gap, higher = scores[one.last : two.first].mean(), max(one.confidence, two.confidence)
            if gap < higher - absolute and gap < relative * higher:
                break
            found[-2:] = [Box(one.first, two.last, scores[one.first : two.last].mean())]
    return found


def smooth(rng: np.random.Generator, length: int) -> Array:
    """Scores like those of a network: smooth, mostly low, sometimes high; in steps of 1/1024, whose sums are exact."""
    kernel = np.hanning(9) / np.hanning(9).sum()
    scores = np.convolve(rng.random(length) ** 4 + box(length, (20, 45, 0.6)), kernel, "same").clip(0, 1)
    return np.round(scores * 1024) / 1024


@pytest.mark.parametrize("frames", [1, 3, 7, 31])
def test_the_median_is_that_of_the_frames_around(frames: int) -> None:
    scores = np.random.default_rng(frames).random(50)
    np.testing.assert_array_equal(median(scores, frames), plain_median(scores, frames))


def test_a_median_filter_removes_what_is_short_and_keeps_the_edges_of_what_is_long() -> None:
    scores = box(100, (10, 12, 0.9), (30, 60, 0.8), (40, 42, 0.0))
    np.testing.assert_array_equal(median(scores, 7), box(100, (30, 60, 0.8)))


@pytest.mark.parametrize("frames", [2, 8, 20, 40])
def test_a_clean_event_keeps_its_times_at_any_length_of_the_step_filter(frames: int) -> None:
    for first, last in ((30, 31), (30, 35), (30, 80), (0, 50), (60, 100), (0, 100)):
        scores = box(100, (first, last, 0.7))
        assert boxes(scores, frames, 0.1, 0.9) == [(first, last, pytest.approx(0.7))]
        np.testing.assert_allclose(boxed(scores, frames, 0.1, 0.9), scores)


def test_a_soft_edge_is_where_scores_change_most() -> None:
    scores = np.interp(np.arange(100) + 0.5, [0, 30, 40, 60, 64, 100], [0.1, 0.1, 0.9, 0.9, 0.1, 0.1])
    ((first, last, confidence),) = boxes(scores, 12, 0.1, 0.9)
    assert (first, last) == (35, 62)
    assert confidence == pytest.approx(scores[35:62].mean())


def test_events_of_different_score_keep_their_own_times_and_confidence() -> None:
    """A threshold alone makes the low one shorter, and the high one longer, as it moves."""
    scores = box(200, (20, 60, 0.9), (100, 130, 0.3))
    scores = np.convolve(scores, np.ones(9) / 9, "same")
    (high, low) = boxes(scores, 16, 0.05, 0.9)
    assert (high[:2], low[:2]) == ((20, 60), (100, 130))
    assert high.confidence > 0.8 and 0.25 < low.confidence < 0.3
    for threshold in (0.05, 0.1, 0.25):
        found = boxed(scores, 16, 0.05, 0.9) >= threshold
        assert np.flatnonzero(np.diff(found.astype(int))).tolist() == [19, 59, 99, 129]


@pytest.mark.parametrize(
    ("gap", "absolute", "relative", "joined"),
    [
        (0.6, 0.1, 0.9, False),
        (0.6, 0.21, 0.9, True),
        (0.6, 0.1, 0.75, True),
        (0.6, 0.19, 0.76, False),
        (0.0, 1.0, 1.0, True),
        (0.0, 0.0, 0.0, True),
        (0.6, 0.0, 1.0, False),
    ],
)
def test_a_gap_is_closed_by_its_difference_or_its_share(
    gap: float, absolute: float, relative: float, joined: bool
) -> None:
    scores = box(100, (20, 40, 0.8), (40, 45, gap), (45, 60, 0.8))
    found = boxes(scores, 8, absolute, relative)
    assert [one[:2] for one in found] == ([(20, 60)] if joined else [(20, 40), (45, 60)])


def test_a_low_neighbour_is_not_joined_to_a_high_event() -> None:
    scores = box(100, (20, 40, 0.3), (40, 45, 0.2), (45, 60, 0.9))
    assert [one[:2] for one in boxes(scores, 8, 0.15, 0.6)] == [(20, 40), (45, 60)]


@pytest.mark.parametrize("seed", range(20))
def test_boxes_are_those_of_the_plain_words(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = smooth(rng, 120)
    for frames in (2, 6, 14):
        for absolute, relative in ((0.0, 1.0), (0.1, 0.9), (0.3, 0.5)):
            found, plain = boxes(scores, frames, absolute, relative), plain_boxes(scores, frames, absolute, relative)
            assert [one[:2] for one in found] == [one[:2] for one in plain]
            np.testing.assert_allclose([one[2] for one in found], [one[2] for one in plain], rtol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_boxes_do_not_touch_and_lie_in_the_recording(seed: int) -> None:
    scores = np.random.default_rng(seed).random(500)
    found = boxes(scores, 4, 0.02, 0.98)
    edges = [edge for first, last, _ in found for edge in (first, last)]
    assert edges == sorted(set(edges)) and edges[0] >= 0 and edges[-1] <= 500 and len(found) > 20
    assert all(0 < confidence <= 1 for _, _, confidence in found)


def test_silence_and_no_frames_have_no_boxes() -> None:
    assert boxes(np.zeros(50), 8, 0.1, 0.9) == boxes(np.zeros(0), 8, 0.1, 0.9) == []
    for one in (Filter(), Filter("median", 0.2), Filter("boxes", 0.4)):
        assert filtered(np.zeros((0, 1)), [one], FRAME_S).shape == (0, 1)


def test_each_class_has_its_own_filter() -> None:
    rng = np.random.default_rng(0)
    scores = np.stack([smooth(rng, 200) for _ in range(3)], axis=1)
    filters = [Filter(), Filter("median", 0.28), Filter("boxes", 0.48, 0.1, 0.8)]
    done = filtered(scores, filters, FRAME_S)
    np.testing.assert_array_equal(done[:, 0], scores[:, 0])
    np.testing.assert_array_equal(done[:, 1], median(scores[:, 1], 7))
    np.testing.assert_array_equal(done[:, 2], boxed(scores[:, 2], 12, 0.1, 0.8))


def test_the_detector_finds_the_boxes() -> None:
    scores = np.convolve(box(200, (20, 60, 0.9), (100, 130, 0.6)), np.ones(9) / 9, "same")[:, None]
    done = filtered(scores, [Filter("boxes", 0.64, 0.05, 0.9)], FRAME_S)
    spans = np.stack([np.arange(200), np.arange(1, 201)], axis=1) * FRAME_S
    found = detect_events(spans, done, ["dog"], EventSettings(threshold=0.4))
    assert [(round(e.start, 6), round(e.end, 6)) for e in found] == [(0.8, 2.4), (4.0, 5.2)]
    assert found[0].score == pytest.approx(done[20, 0])


def test_lengths_in_seconds_are_frames() -> None:
    assert [frames_of(s, FRAME_S, odd=True) for s in (0.01, 0.04, 0.12, 0.2, 0.24)] == [1, 1, 3, 5, 5]
    assert [frames_of(s, FRAME_S, odd=False) for s in (0.01, 0.08, 0.32, 0.4)] == [2, 2, 8, 10]


def test_how_much_sound_a_filter_needs() -> None:
    assert seconds_of_context([Filter(), Filter("median", 0.2), Filter("median", 1.0)]) == 0.5
    assert seconds_of_context([Filter()]) == 0
    assert seconds_of_context([Filter(), Filter("boxes", 0.4)]) is None
    # A median beyond that reach does not change.
    scores = np.random.default_rng(0).random(100)
    changed = scores.copy()
    changed[50] = 1 - changed[50]
    one = Filter("median", 0.36)
    reached = np.flatnonzero(one(scores, FRAME_S) != one(changed, FRAME_S))
    assert abs(reached - 50).max() <= round(0.36 / 2 / FRAME_S)


@pytest.mark.parametrize("one", [Filter(), Filter("median", 0.28), Filter("boxes", 0.48, 0.1, 0.8)])
def test_a_filter_is_stored_as_plain_values(one: Filter) -> None:
    assert Filter.of(one.to_dict()) == one


def test_wrong_filters_and_scores_are_refused() -> None:
    with pytest.raises(PostProcessError, match="a filter 'mean': give none, median or boxes"):
        Filter("mean", 1.0)  # type: ignore[arg-type]
    with pytest.raises(PostProcessError, match="a filter of 0 s: give a length above 0"):
        Filter("median")
    with pytest.raises(PostProcessError, match="give numbers from 0 to 1"):
        Filter("boxes", 1.0, 2.0)
    with pytest.raises(PostProcessError, match=r"a filter of \{'size': 3\}"):
        Filter.of({"size": 3})
    with pytest.raises(PostProcessError, match="one column a class"):
        filtered(np.zeros((10, 2)), [Filter()], FRAME_S)
    for wrong in (-1.0, 1.5, np.nan):
        with pytest.raises(PostProcessError, match="filters take probabilities"):
            filtered(np.full((10, 1), wrong), [Filter()], FRAME_S)
