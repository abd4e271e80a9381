"""frames: where the frames of segments lie, and which of them are of padding."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.audio import windows
from hubbub.classifier.frames import by_window, frame_samples, frame_spans, frames_of
from hubbub.config.recipe import Recipe

RATE = 16_000
FRAMEWISE = Recipe.of(
    {
        "title": "frames",
        "data": {"name": "street", "multilabel": True},
        "audio": {"rate_hz": RATE},
        "windows": {"length": 2 * RATE, "hop": 2 * RATE},
        "frontend": {"name": "logmel", "hop": 320, "n_mels": 16},
        "network": {"name": "framewise", "width": 4},
    }
)
ORDINARY = FRAMEWISE.model_copy(update={"network": FRAMEWISE.network.model_copy(update={"name": "compact"})})


def test_a_frame_is_40_ms_and_a_segment_whole_frames() -> None:
    assert frame_samples(FRAMEWISE) == 640
    assert frames_of(FRAMEWISE) == 50
    assert frames_of(ORDINARY) == 1 and frame_samples(ORDINARY) == 2 * RATE


@given(st.integers(160, 10 * RATE))
def test_frames_in_the_recording_cover_it_once_and_others_lie_behind_it(samples: int) -> None:
    spans = windows.spans(samples, RATE, 2 * RATE, 2 * RATE)
    times, inside = frame_spans(FRAMEWISE, spans)
    assert len(times) == 50 * len(spans)
    held = times[inside]
    assert held[0, 0] == 0 and held[-1, 1] == pytest.approx(samples / RATE, abs=1e-4)
    np.testing.assert_allclose(held[1:, 0], held[:-1, 1], atol=1e-9)
    assert (held[:, 1] - held[:, 0] <= 0.04 + 1e-9).all()
    assert (times[~inside][:, 0] >= samples / RATE - 1e-4).all()


def test_segments_without_frames_are_themselves() -> None:
    spans = np.array([[0.0, 2.0], [2.0, 3.5]])
    times, inside = frame_spans(ORDINARY, spans)
    assert times is spans and inside.all()
    np.testing.assert_array_equal(by_window(ORDINARY, np.float32([0.25, 0.5]), spans), [[0.25], [0.5]])


def test_the_rows_of_a_window_are_its_frames_and_zeros_behind_the_end() -> None:
    spans = np.array([[0.0, 2.0], [2.0, 2.1]])
    values = np.arange(1, 54, dtype=np.float32)  # 50 frames, and 3 of the last .1 s
    found = by_window(FRAMEWISE, values, spans)
    np.testing.assert_array_equal(found[0], values[:50])
    np.testing.assert_array_equal(found[1], [51, 52, 53] + [0] * 47)
