"""stream: blocks of any length give the segments and the decision that the whole wave gives."""

import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.audio import decode, windows
from hubbub.audio.decode import AudioError
from hubbub.audio.waves import mix_down
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.inference.stream import Stream, StreamError
from tests.helpers.classifiers import small_classifier

Array = npt.NDArray[np.float32]
RATE = 16_000
LABELS = ("dog", "rain", "siren")
TINY = ("network.width=2", "windows.length=1600", "windows.hop=700", "frontend.hop=160")


MODELS = {pad: small_classifier(*TINY, f"windows.pad={pad}") for pad in ("zeros", "repeat")}


def noise(samples: int, channels: int = 1, seed: int = 0) -> Array:
    wave = np.random.default_rng(seed).normal(0, 0.2, (samples, channels)).astype(np.float32)
    return wave[:, 0] if channels == 1 else wave


def blocks(wave: Array, sizes: list[int]) -> Iterator[Array]:
    """The wave in blocks of these sizes, over and over."""
    start, turn = 0, 0
    while start < len(wave):
        size = sizes[turn % len(sizes)]
        yield wave[start : start + size]
        start, turn = start + size, turn + 1


def streamed(
    model: TorchClassifier, wave: Array, rate_hz: int, sizes: list[int]
) -> tuple[Array, npt.NDArray[np.float64]]:
    stream = Stream(model, rate_hz, 1 if wave.ndim == 1 else wave.shape[1])
    parts = [stream.feed(block) for block in blocks(wave, sizes)] + [stream.end()]
    assert stream.seconds == len(wave) / rate_hz
    segments, spans = zip(*parts, strict=True)
    return np.concatenate(segments), np.concatenate(spans)


def at_once(model: TorchClassifier, wave: Array, rate_hz: int) -> tuple[Array, npt.NDArray[np.float64]]:
    whole = decode.resample(mix_down(wave), rate_hz, model.rate_hz)
    return model.cut(whole), model.spans(len(whole))


@pytest.mark.parametrize("sizes", [[1, 5000, 1, 1], [441], [4096], [10**7]], ids=str)
@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000, 44_101])
@pytest.mark.parametrize("channels", [1, 2, 9])
def test_a_stream_gives_the_segments_of_the_whole_to_the_last_bit(
    rate_hz: int, sizes: list[int], channels: int
) -> None:
    wave = noise(rate_hz + 123, channels)
    for model in MODELS.values():
        for ours, whole in zip(streamed(model, wave, rate_hz, sizes), at_once(model, wave, rate_hz), strict=True):
            np.testing.assert_array_equal(ours, whole)


@given(
    samples=st.integers(480, 6000),  # from the shortest that is sound on
    sizes=st.lists(st.integers(1, 3000), min_size=1, max_size=4),
    rate_hz=st.sampled_from([8_000, RATE, 48_000]),
    pad=st.sampled_from(["zeros", "repeat"]),
)
def test_so_does_any_length_in_any_blocks(samples: int, sizes: list[int], rate_hz: int, pad: str) -> None:
    wave, model = noise(samples), MODELS[pad]
    if max(sizes) < 50:
        sizes = [50, *sizes]  # thousands of blocks of a sample tell no more
    for ours, whole in zip(streamed(model, wave, rate_hz, sizes), at_once(model, wave, rate_hz), strict=True):
        np.testing.assert_array_equal(ours, whole)


@given(joins=st.lists(st.integers(1, 6000), min_size=1, max_size=4, unique=True))
def test_a_click_at_a_join_is_not_lost_or_doubled(joins: list[int]) -> None:
    """One loud sample on either side of each join; the segments' own overlap is all the doubling there is."""
    wave = np.zeros(6001, np.float32)
    for join in joins:
        wave[join - 1], wave[join] = 1, -1
    model, edges = MODELS["zeros"], [0, *sorted(joins), len(wave)]
    segments, _ = streamed(model, wave, RATE, [b - a for a, b in itertools.pairwise(edges)])
    np.testing.assert_array_equal(segments, windows.cut(wave, 1600, 700))


def test_a_segment_is_given_with_its_last_sample_and_little_is_kept() -> None:
    stream = Stream(MODELS["zeros"], RATE)
    assert len(stream.feed(noise(1599))[0]) == 0
    segments, spans = stream.feed(noise(1))
    assert len(segments) == 1
    np.testing.assert_array_equal(spans, [[0.0, 0.1]])
    for _ in range(50):
        stream.feed(noise(1000))
    held = sum(value.nbytes for value in vars(stream).values() if isinstance(value, np.ndarray))
    assert held <= 4 * 2 * (1600 + 700)


def test_what_is_no_block_is_refused_and_the_stream_goes_on() -> None:
    stream = Stream(MODELS["zeros"], RATE, 2)
    with pytest.raises(StreamError, match=r"shape \[5\].*2 channels.*Give \[samples, 2\]"):
        stream.feed(noise(5))
    with pytest.raises(StreamError, match=r"shape \[5, 3\]"):
        stream.feed(noise(5, 3))
    first = stream.feed(noise(RATE, 2))[1]
    with pytest.raises(StreamError, match=r"at 1\.00 s holds 2 samples that are NaN or infinite"):
        stream.feed([[0, np.nan], [np.inf, 0]])
    spans = np.concatenate([first, stream.end()[1]])
    np.testing.assert_array_equal(spans, MODELS["zeros"].spans(RATE))
    with pytest.raises(StreamError, match=r"shape \[\]: this stream has 1 channels\. Give \[samples\]"):
        Stream(MODELS["zeros"], RATE).feed(1.0)
    with pytest.raises(StreamError, match="held no samples"):
        Stream(MODELS["zeros"], RATE).end()
    with pytest.raises(AudioError, match="sample rate of 10 Hz"):
        Stream(MODELS["zeros"], 10)
