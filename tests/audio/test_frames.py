"""frames: each instant of a recording is that of the segment whose centre is nearest."""

import numpy as np
import pytest

from hubbub.audio import frames, windows
from hubbub.audio.windows import WindowError

RATE_HZ, FRAME = 16_000, 640


@pytest.mark.parametrize("samples", [1, 640, 15_999, 16_000, 16_001, 40_000, 100_000])
@pytest.mark.parametrize(("length", "hop"), [(16_000, 16_000), (16_000, 8_320), (16_000, 640), (15_360, 7_680)])
def test_each_frame_is_of_the_nearest_segment_that_holds_it(samples: int, length: int, hop: int) -> None:
    count, hops = windows.count(samples, length, hop), frames.hop_frames(length, hop, FRAME)
    held = length // FRAME
    # What each frame says: its segment, and its place in the recording.
    outputs = np.array([[(s, s * hops + t) for t in range(held)] for s in range(count)], np.float32)
    spans = frames.spans(samples, RATE_HZ, FRAME)
    joined = frames.join(outputs, hops, len(spans))
    np.testing.assert_array_equal(joined[:, 1], np.arange(len(spans)))
    centres = np.arange(count) * hops + held / 2
    distance = np.abs(np.arange(len(spans))[:, None] + 0.5 - centres)
    assert (distance[np.arange(len(spans)), joined[:, 0].astype(int)] <= distance.min(axis=1) + 0.5).all()


def test_frames_follow_each_other_to_the_end_of_the_recording() -> None:
    spans = frames.spans(16_001, RATE_HZ, FRAME)
    np.testing.assert_allclose(spans[:3], [[0, 0.04], [0.04, 0.08], [0.08, 0.12]])
    np.testing.assert_array_equal(spans[1:, 0], spans[:-1, 1])
    assert spans.shape == (26, 2) and spans[-1, 1] == 16_001 / RATE_HZ


def test_windows_that_are_no_whole_frames_are_refused() -> None:
    for length, hop in ((16_001, 8_320), (16_000, 8_000)):
        with pytest.raises(WindowError, match="must be multiples of 640"):
            frames.hop_frames(length, hop, FRAME)


def test_overlapping_segments_share_what_they_have_in_common() -> None:
    segments = np.array([[0.0, 1.0], [0.5, 1.5], [1.0, 2.0], [2.5, 3.5]])
    np.testing.assert_allclose(frames.nearest(segments), [[0, 0.75], [0.75, 1.25], [1.25, 2.0], [2.5, 3.5]])
    np.testing.assert_allclose(frames.nearest(segments[:1]), segments[:1])
