"""audio.windows: no sample is lost and no clip is dropped."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.audio import windows
from hubbub.audio.windows import WindowError

Array = npt.NDArray[np.float32]


@st.composite
def settings(draw: st.DrawFn) -> tuple[int, int, int]:
    """Samples, length, hop; the hop never longer than the window."""
    length = draw(st.integers(1, 40))
    return draw(st.integers(1, 300)), length, draw(st.integers(1, length))


def ramp(samples: int) -> Array:
    """1, 2, 3 ...: a sample tells where it came from, and padding (0) is told from sound."""
    return np.arange(1, samples + 1, dtype=np.float32)


# Cutting


@given(settings())
def test_segments_cover_every_sample_and_no_window_is_idle(given: tuple[int, int, int]) -> None:
    samples, length, hop = given
    segments = windows.cut(ramp(samples), length, hop)
    assert segments.shape == (windows.count(samples, length, hop), length) and segments.dtype == np.float32
    assert set(np.unique(segments)) - {0.0} == set(ramp(samples))
    for number, segment in enumerate(segments):
        sound = ramp(samples)[number * hop : number * hop + length]
        np.testing.assert_array_equal(segment, np.pad(sound, (0, length - len(sound))))
    # Without the last window the end of the clip would be lost.
    assert len(segments) == 1 or length + (len(segments) - 2) * hop < samples


@given(settings())
def test_spans_say_where_the_segments_are(given: tuple[int, int, int]) -> None:
    samples, length, hop = given
    found = windows.spans(samples, 10, length, hop)
    segments = windows.cut(ramp(samples), length, hop)
    assert found.shape == (len(segments), 2)
    for (start, end), segment in zip(np.rint(found * 10).astype(int), segments, strict=True):
        np.testing.assert_array_equal(segment[segment > 0], ramp(samples)[start:end])
    assert found[0, 0] == 0 and found[-1, 1] == samples / 10


@given(st.integers(1, 400_000))
def test_yamnets_windows_are_its_own_patches(samples: int) -> None:
    """YAMNet pads to .975 s, then so that what follows is a whole number of .48 s hops."""
    patches, covered = 1, 15_600
    while covered < samples:
        patches, covered = patches + 1, covered + 7_680
    assert windows.count(samples, 15_600, 7_680) == patches == 1 + max(int(np.ceil((samples - 15_600) / 7_680)), 0)


@pytest.mark.parametrize("samples, expected", [(1, 1), (15_600, 1), (15_601, 2), (23_280, 2), (80_000, 10)])
def test_some_counts_by_hand(samples: int, expected: int) -> None:
    assert windows.count(samples, 15_600, 7_680) == expected


def test_a_short_clip_is_padded_never_dropped() -> None:
    np.testing.assert_array_equal(windows.cut(ramp(3), 8, 4), [[1, 2, 3, 0, 0, 0, 0, 0]])
    np.testing.assert_array_equal(windows.cut(ramp(3), 8, 4, "repeat"), [[1, 2, 3, 1, 2, 3, 1, 2]])
    np.testing.assert_array_equal(windows.cut(ramp(1), 3, 3, "repeat"), [[1, 1, 1]])


def test_the_last_part_is_kept() -> None:
    np.testing.assert_array_equal(windows.cut(ramp(5), 4, 4), [[1, 2, 3, 4], [5, 0, 0, 0]])
    np.testing.assert_array_equal(windows.cut(ramp(5), 4, 4, "repeat"), [[1, 2, 3, 4], [5, 1, 2, 3]])
    np.testing.assert_array_equal(windows.cut(ramp(5), 4, 2), [[1, 2, 3, 4], [3, 4, 5, 0]])


def test_nothing_is_copied_where_nothing_is_padded() -> None:
    wave = ramp(12)
    assert np.shares_memory(windows.cut(wave, 4, 2), wave)


@pytest.mark.parametrize("length, hop", [(4, 5), (4, 0), (4, -1), (0, 0), (0, 1)])
def test_windows_that_leave_gaps_are_refused(length: int, hop: int) -> None:
    for cut in (
        lambda: windows.count(10, length, hop),
        lambda: windows.cut(ramp(10), length, hop),
        lambda: windows.spans(10, 10, length, hop),
    ):
        with pytest.raises(WindowError, match=f"windows of {length} samples every {hop}: the hop must be between"):
            cut()


def test_a_level_changes_loudness_and_leaves_silence_silent() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, (3, 4000)).astype(np.float32) * np.array([[0.5], [0.01], [1e-6]], np.float32)
    noise = np.concatenate([noise, np.zeros((1, 4000), np.float32)])
    assert windows.at_level(noise, "recorded") is noise
    levelled = windows.at_level(noise, "rms")
    rms = np.sqrt(np.square(levelled).mean(axis=1))
    assert rms[:2] == pytest.approx([0.1, 0.1], rel=1e-5)
    assert rms[2] == pytest.approx(100 * np.sqrt(np.square(noise[2]).mean()), rel=1e-5)  # 40 dB and no more
    assert rms[3] == 0
    assert np.corrcoef(levelled[0], noise[0])[0, 1] == pytest.approx(1, abs=1e-6)


def test_a_speed_changes_pitch_and_keeps_the_length() -> None:
    rate, hz = 16_000, 1_000.0
    seconds = np.arange(rate) / rate
    segments = np.stack([np.sin(2 * np.pi * hz * seconds), np.zeros(rate)]).astype(np.float32)
    assert windows.at_speed(segments, 1.0) is segments
    for speed in (0.5, 0.9, 1.1, 2.0):
        played = windows.at_speed(segments, speed)
        assert played.shape == segments.shape and played.dtype == np.float32
        assert np.abs(np.fft.rfft(played[0])).argmax() == pytest.approx(speed * hz, abs=1)
        assert not played[1].any()


def test_slower_is_the_middle_and_faster_begins_again() -> None:
    rate = 16_000
    click = np.zeros((1, rate), np.float32)
    click[0, rate // 2] = 1.0
    assert abs(int(windows.at_speed(click, 0.8)[0].argmax()) - rate // 2) <= 1
    click = np.roll(click, -rate // 4, axis=1)  # at a quarter: heard at an eighth, and again five eighths in
    peaks = np.flatnonzero(windows.at_speed(click, 2.0)[0] > 0.1)
    assert {round(place / rate, 2) for place in peaks} == {0.12, 0.62}
