"""stft: exact inverse, whatever lies on the cells; cells stand where they say."""

import numpy as np
import pytest

from hubbub.inference.stft import Grid

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 44_100])
@pytest.mark.parametrize("samples", [1, 100, 1_023, 16_000, 30_001])
def test_a_mask_and_its_complement_sum_to_the_wave(samples: int, rate_hz: int) -> None:
    wave = RNG.uniform(-1, 1, samples).astype(np.float32)
    grid = Grid(samples, rate_hz)
    spectrum = grid.analyse(wave)
    assert spectrum.shape == grid.shape == (len(grid.hz), len(grid.times))
    mask = RNG.random(grid.shape, dtype=np.float32)
    kept, rest = grid.synthesise(mask * spectrum), grid.synthesise((1 - mask) * spectrum)
    assert kept.shape == wave.shape
    assert np.abs(kept + rest - wave).max() < 2e-6
    assert np.abs(grid.synthesise(spectrum) - wave).max() < 2e-6


@pytest.mark.parametrize(("rate_hz", "size"), [(8_000, 512), (16_000, 1024), (22_050, 1024), (44_100, 2048)])
def test_windows_last_about_64_ms(rate_hz: int, size: int) -> None:
    grid = Grid(rate_hz, rate_hz)
    assert grid.size == size
    assert grid.hz[-1] == rate_hz / 2
    assert grid.times[-1] <= 1 < grid.times[-1] + grid.hop / rate_hz


def test_a_tone_burst_lies_at_its_second_and_its_frequency() -> None:
    time = np.arange(32_000) / 16_000
    wave = (np.sin(2 * np.pi * 3000 * time) * np.exp(-(((time - 1.3) / 0.03) ** 2))).astype(np.float32)
    grid = Grid(32_000, 16_000)
    row, column = np.unravel_index(np.abs(grid.analyse(wave)).argmax(), grid.shape)
    assert grid.hz[row] == pytest.approx(3000, abs=8)
    assert grid.times[column] == pytest.approx(1.3, abs=0.008)


def test_some_frames_alone_are_what_they_add_to_the_whole() -> None:
    wave = RNG.normal(size=20_000).astype(np.float32)
    grid = Grid(20_000, 16_000)
    spectrum = grid.analyse(wave)
    without = spectrum.copy()
    without[:, 30:37] = 0
    part = grid.synthesise(spectrum[:, 30:37], 30)
    assert np.abs(wave - part - grid.synthesise(without)).max() < 2e-6
    assert not part[: 30 * grid.hop - grid.size // 2].any()


def test_the_frames_of_a_span_and_their_mean_where_they_overlap() -> None:
    grid = Grid(16_000, 16_000)  # a frame every 16 ms
    assert grid.frames(0.0, 0.5) == slice(0, 32)
    assert grid.frames(0.48, 1.0) == slice(30, 63)
    assert grid.frames(0.481, 0.482) == slice(31, 31)
    assert Grid(1, 16_000).frames(0, 1 / 16_000) == slice(0, 1)
    first, second = np.full((513, 32), 0.2, np.float32), np.full((513, 33), 0.6, np.float32)
    joined = grid.joined([(slice(0, 32), first), (slice(30, 63), second)])
    assert np.allclose(joined[:, [0, 29, 30, 31, 32, 62]], [0.2, 0.2, 0.4, 0.4, 0.6, 0.6])
