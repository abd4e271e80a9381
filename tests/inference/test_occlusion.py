"""occlusion: what a decision hangs on is found, what it does not hear is not."""

from dataclasses import dataclass

import numpy as np
import pytest

from hubbub.audio import windows
from hubbub.classifier import pooling
from hubbub.inference.occlusion import grid_patches, occlude
from hubbub.inference.stft import Grid

RATE = 16_000


@dataclass
class BandClassifier:
    """Waves for scores, as a classifier: how loud a segment is in a band decides."""

    length: int = 8_000
    hop: int = 4_000
    pad: windows.Pad = "zeros"
    low_hz: float = 1_000
    high_hz: float = 2_000
    labels: tuple[str, ...] = ("quiet", "loud")
    frames: int = 1

    def cut(self, wave: np.ndarray) -> np.ndarray:
        return windows.cut(wave, self.length, self.hop, self.pad)

    def spans(self, samples: int) -> np.ndarray:
        return windows.spans(samples, RATE, self.length, self.hop)

    def outputs(self, segments: np.ndarray) -> np.ndarray:
        spectrum = np.abs(np.fft.rfft(segments, axis=1)) ** 2
        hz = np.fft.rfftfreq(self.length, 1 / RATE)
        power = spectrum[:, (hz >= self.low_hz) & (hz < self.high_hz)].sum(axis=1)
        return np.stack([np.zeros(len(power)), np.log10(power + 1)], axis=1).astype(np.float32)

    def predict_proba(self, outputs: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return pooling.probabilities(outputs), pooling.pool(outputs, offsets, "max")


def sound() -> np.ndarray:
    """Faint noise, a burst at 1,500 Hz about 1.4 s and a louder one at 5,000 Hz about .5 s."""
    time = np.arange(2 * RATE) / RATE
    heard = 0.2 * np.sin(2 * np.pi * 1500 * time) * np.exp(-(((time - 1.4) / 0.05) ** 2))
    unheard = 0.8 * np.sin(2 * np.pi * 5000 * time) * np.exp(-(((time - 0.5) / 0.05) ** 2))
    return (heard + unheard + np.random.default_rng(0).normal(0, 1e-5, len(time))).astype(np.float32)


@pytest.mark.parametrize("pad", ["zeros", "repeat"])
def test_the_map_lies_on_what_the_score_hangs_on(pad: windows.Pad) -> None:
    wave, grid = sound(), Grid(2 * RATE, RATE)
    clip, parts = occlude(BandClassifier(pad=pad), wave, grid, "loud")
    rows, columns = np.nonzero(clip == clip.max())
    assert 800 < grid.hz[rows.min()] < 1_500 < grid.hz[rows.max()] < 2_000
    assert np.abs(grid.times[columns] - 1.4).max() < 0.2
    inside = np.abs(grid.times - 1.4) < 0.4  # a patch lasts a quarter of a second
    assert clip[:, inside].sum() > 0.95 * clip.sum()
    strongest = [float(part.max()) for _, part in parts]
    for (frames, part), (start, end) in zip(parts, BandClassifier().spans(len(wave)), strict=True):
        assert frames == grid.frames(start, end) and part.shape == (grid.shape[0], frames.stop - frames.start)
    holds = [start < 1.4 < end for start, end in BandClassifier().spans(len(wave))]
    assert min(s for s, there in zip(strongest, holds, strict=True) if there) > 0
    assert int(np.argmax(strongest)) in np.flatnonzero(holds)


def test_a_short_clip_that_is_repeated_loses_each_copy() -> None:
    wave = sound()[20_000:24_000]  # a quarter of a second, heard twice in each segment
    clip, _ = occlude(BandClassifier(pad="repeat"), wave, Grid(len(wave), RATE), "loud")
    assert clip.max() > 0


def test_a_score_that_hangs_on_nothing_gives_an_empty_map() -> None:
    wave = sound()
    clip, parts = occlude(BandClassifier(low_hz=9_000, high_hz=9_500), wave, Grid(len(wave), RATE), "loud")
    assert not clip.any()
    assert not any(part.any() for _, part in parts)


@pytest.mark.parametrize("samples", [1, 900, 80_000, 2_000_000])
def test_patches_cover_every_cell(samples: int) -> None:
    grid = Grid(samples, RATE)
    covered = np.zeros(grid.shape, int)
    for patch in grid_patches(grid):
        covered[patch] += 1
    assert covered.min() >= 1
    assert len(grid_patches(grid)) <= 50 * 7
