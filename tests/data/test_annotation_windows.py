"""annotation_windows: a clip is windows of one label, of real sound, and background is what nobody annotated."""

import math
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from hubbub.audio import windows
from hubbub.data.annotation_windows import Labelled, Length, WindowRule, background, label_windows
from hubbub.data.values import ClipsError

MINUTE = Length(60.0, 16_000)
RULE = WindowRule()
Spans = list[tuple[float, float, str]]


def labelled(spans: Spans, length: Length = MINUTE, rule: WindowRule = RULE) -> Labelled:
    return label_windows(pd.DataFrame(spans, columns=["start", "end", "label"]), length, rule)


def clips(spans: Spans, length: Length = MINUTE, rule: WindowRule = RULE) -> list[tuple[float, float, str]]:
    found = labelled(spans, length, rule).clips
    return [(round(a, 4), round(b, 4), c) for a, b, c in found[["start", "end", "label"]].itertuples(index=False)]


def test_a_clip_is_the_span_of_the_windows_that_its_annotation_fills_by_half() -> None:
    # Windows start at 2, 2.48 and 2.96; that at 3.44 holds .46 s of the annotation, less than half of .975 s.
    assert clips([(2, 3.9, "dog")]) == [(2.0, 3.935, "dog")]
    assert clips([(2, 3.9, "dog")], rule=WindowRule(overlap=0.4)) == [(2.0, 4.415, "dog")]
    assert clips([(2, 3.9, "dog")], rule=WindowRule(overlap=1)) == [(2.0, 3.455, "dog")]
    assert clips([(2, 3.9, "dog")], rule=WindowRule(2.0, 1.0)) == [(1.95, 3.95, "dog")]


def test_a_short_annotation_has_the_window_centred_on_it_moved_into_the_recording() -> None:
    assert clips([(10, 10.1, "dog")]) == [(9.5625, 10.5375, "dog")]
    assert clips([(0, 0.1, "dog")]) == [(0, 0.975, "dog")]
    assert clips([(59.9, 60, "dog")]) == [(59.025, 60, "dog")]
    assert clips([(0.2, 0.3, "dog")], Length(0.5, 16_000)) == [(0, 0.5, "dog")]


@pytest.mark.parametrize("rate_hz", [8000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000])
def test_cutting_a_clip_gives_exactly_its_windows_without_zeros(rate_hz: int) -> None:
    rng, length = np.random.default_rng(rate_hz), Length(20.0, rate_hz)
    starts = np.sort(rng.uniform(0, 19, 60))
    for start in starts:
        found = labelled([(start, min(start + rng.exponential(2), 20), "dog")], length).clips
        assert len(found) == 1
        start_s, end_s = found["start"][0], found["end"][0]
        own = round(end_s * rate_hz) - round(start_s * rate_hz)
        samples = math.ceil(own * 16_000 / rate_hz)  # as decode.resample gives them
        assert windows.count(samples, 15_600, 7680) == found["windows"][0]
        padded = 15_600 + (found["windows"][0] - 1) * 7680 - samples
        assert 0 <= padded <= 16_000 / rate_hz + 1, "at most a sample of padding"
        assert start_s >= 0 and end_s <= 20


def by_brute_force(spans: Spans, rule: WindowRule, seconds: float) -> set[tuple[float, str]]:
    """The starts of all windows and their labels, each filled second counted on a grid of milliseconds."""
    grid = {label: np.zeros(round(seconds * 1000), bool) for *_, label in spans}
    for start, end, label in spans:
        grid[label][round(start * 1000) : round(end * 1000)] = True
    window, hop = round(rule.window_s * 1000), round(rule.hop_s * 1000)
    found = set()
    for label, filled in grid.items():
        edges = np.flatnonzero(np.diff(np.concatenate([[0], filled.astype(int), [0]])))
        for first, last in zip(edges[::2], edges[1::2], strict=True):
            if last - first < window:
                starts = [min(max((first + last - window) // 2, 0), len(filled) - window)]
            else:
                starts = list(range(first, min(last, len(filled) - window + 1), hop))
            for at in starts:
                own = filled[at : at + window].sum()
                others = [more[at : at + window].sum() for other, more in grid.items() if other != label]
                long_enough = last - first < window or min(last, at + window) - at >= rule.overlap * window
                if long_enough and all(other < min(rule.overlap * window, own) for other in others):
                    found.add((round(at / 1000, 3), label))
    return found


@pytest.mark.parametrize("seed", range(12))
def test_windows_are_those_of_a_count_by_milliseconds(seed: int) -> None:
    rng, rule = np.random.default_rng(seed), WindowRule(1.0, 0.5, [0.5, 0.3, 0.8][seed % 3])
    spans: Spans = []
    for _ in range(20):
        start = int(rng.integers(0, 28_000))
        # Of an even length, so that the middle is on the grid.
        spans.append((start / 1000, (start + 2 * int(rng.integers(50, 1000))) / 1000, str(rng.choice(["a", "b", "c"]))))
    found = labelled(spans, Length(30.0, 1000), rule)
    starts = {
        (round(clip.start + k * rule.hop_s, 3), clip.label)
        for clip in found.clips.itertuples()
        for k in range(clip.windows)
    }
    assert starts == by_brute_force(spans, rule, 30.0)


def test_a_window_of_two_labels_is_left_out_and_its_clip_split() -> None:
    found = labelled([(0, 10, "rain"), (4, 5, "dog")])
    # The windows at 3.84 and 4.32 hold more than half a window of the dog; those of the dog are full of rain.
    assert clips([(0, 10, "rain"), (4, 5, "dog")]) == [(0.0, 4.335, "rain"), (4.8, 10.095, "rain")]
    out = found.contradictory.set_index("label")
    assert out["other"].to_dict() == {"rain": "dog", "dog": "rain"}
    assert out["windows"].to_dict() == {"rain": 2, "dog": 2} and out["whole"].to_dict() == {"rain": False, "dog": True}
    assert out["row"].to_dict() == {"rain": 0, "dog": 1}


def test_neighbours_do_not_contradict_each_other() -> None:
    found = labelled([(0, 3, "wren"), (3, 6, "owl"), (6, 9, "wren")])
    assert len(found.clips) == 3 and found.contradictory.empty


def test_a_short_annotation_yields_to_one_that_fills_more_of_its_window() -> None:
    assert clips([(10, 10.3, "wren"), (10.3, 10.75, "owl")]) == [(10.0375, 11.0125, "owl")]
    assert clips([(10, 10.3, "wren"), (10.3, 10.6, "owl")]) == []


def test_overlapping_annotations_of_one_label_count_as_one() -> None:
    assert clips([(2, 4, "dog"), (3, 5, "dog"), (2, 4, "dog")]) == clips([(2, 5, "dog")])
    assert len(clips([(2, 4, "dog"), (4, 6, "dog")])) == 2
    assert len(clips([(0.0, 0.1, "dog"), (0.2, 0.3, "dog")])) == 1, "both have the recording's first window"


@pytest.mark.parametrize(("rule", "message"), [((1, 0, 0.5), "the hop"), ((1, 2, 0.5), "the hop"),
                                               ((1, 1, 0), "above 0"), ((1, 1, 1.1), "at most 1")])  # fmt: skip
def test_impossible_rules_are_refused(rule: tuple[float, float, float], message: str) -> None:
    with pytest.raises(ClipsError, match=message):
        WindowRule(*rule)


# Background


def busy(*spans: tuple[float, float]) -> pd.DataFrame:
    return pd.DataFrame(list(spans), columns=["start", "end"], dtype=float)


def test_background_keeps_half_a_window_from_every_annotation() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        starts = rng.uniform(0, 55, 6)
        spans = [(a, a + b) for a, b in zip(starts, rng.exponential(2, 6), strict=True)]
        (found,), taken, there = background([busy(*spans)], [MINUTE], RULE, 10**6)
        assert taken == there == sum(windows.count(round((b - a) * 16_000), 15_600, 7680) for a, b in found)
        for start, end in found:
            assert 0 <= start < end <= 60 and end - start <= 5
            assert all(end <= a - 0.4875 + 1e-4 or start >= b + 0.4875 - 1e-4 for a, b in spans)
        assert all(before[1] <= after[0] + 1e-9 for before, after in pairwise(found))


def test_background_is_no_more_than_asked_for_and_from_all_recordings() -> None:
    lengths = [MINUTE, Length(600.0, 16_000), Length(30.0, 16_000), Length(0.5, 16_000)]
    spans = [busy((0, 30)), busy(), busy((0, 30)), busy()]
    found, taken, there = background(spans, lengths, RULE, 40)
    assert taken == 40 and there > 1000
    assert [len(of_one) > 0 for of_one in found] == [True, True, False, False]
    assert found == background(spans, lengths, RULE, 40)[0] != background(spans, lengths, RULE, 40, seed=1)[0]


def test_a_recording_without_annotations_is_background_throughout() -> None:
    (found,), _, there = background([busy()], [Length(10.0, 16_000)], RULE, 100)
    assert [(round(a, 3), round(b, 3)) for a, b in found] == [(0, 4.815), (4.815, 9.63)] and there == 18
