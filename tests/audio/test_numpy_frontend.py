"""numpy_frontend: the numbers of `LogMel`, which has its own references, and of segments of a wave."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

from hubbub.audio.logmel import LogMel
from hubbub.audio.numpy_frontend import LogMelSettings, log_mel

YAMNET: dict[str, Any] = {
    "n_fft": 512, "win_length": 400, "hop": 160, "n_mels": 64, "f_min_hz": 125.0, "f_max_hz": 7500.0,
    "convention": "tensorflow", "mel_scale": "htk", "norm": None, "power": 1.0, "centre": False, "log": "offset",
}  # fmt: skip
SETTINGS: dict[str, dict[str, Any]] = {
    "yamnet": YAMNET,
    "librosa": {"n_fft": 2048, "hop": 512, "n_mels": 128},
    "reflected": {"n_fft": 1024, "win_length": 800, "pad_mode": "reflect", "ref": "max"},
    "magnitude": {"power": 1.0, "top_db": 0.0},
}


def noise(*shape: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(0).normal(0, 0.1, shape).astype(np.float32)


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("samples", [300, 15_600, 80_000])
def test_the_numbers_are_those_of_torch(name: str, samples: int) -> None:
    frontend = LogMel(16_000, **SETTINGS[name])
    wave = noise(3, samples) * np.array([[1.0], [1e-3], [0.0]], np.float32)
    ours = log_mel(wave, LogMelSettings.of(frontend))
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, frontend(torch.from_numpy(wave)).numpy(), atol=1e-4)


@pytest.mark.parametrize("name", ["yamnet", "librosa"])
@pytest.mark.parametrize("hop", [7_680, 5_000])
def test_segments_of_a_wave_are_those_that_are_cut(name: str, hop: int) -> None:
    """A hop of 7,680 samples is 48 frames of YAMNet's; 5,000 is no whole number of frames."""
    settings, wave = LogMelSettings.of(LogMel(16_000, **SETTINGS[name])), noise(50_000)
    starts = range(0, 50_000 - 15_600 + 1, hop)
    cut = np.stack([wave[start : start + 15_600] for start in starts])
    np.testing.assert_allclose(log_mel(wave, settings, 15_600, hop), log_mel(cut, settings), atol=1e-5)
    assert len(log_mel(wave[:15_599], settings, 15_600, hop)) == 0


def test_frames_of_overlapping_segments_are_transformed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    settings, transformed, fft = LogMelSettings.of(LogMel(16_000, **YAMNET)), [], np.fft.rfft

    def counted(frames: Any, n: int) -> Any:
        transformed.append(frames.shape[:-1])
        return fft(frames, n).astype(np.complex64)

    monkeypatch.setattr("scipy.fft.rfft", counted)
    segments = log_mel(noise(160_000 + 400 - 160), settings, 15_600, 1_600)
    assert segments.shape == (91, 64, 96)
    assert sum(int(np.prod(shape)) for shape in transformed) == 96 + 90 * 10


def test_torch_is_not_imported() -> None:
    code = "import sys, hubbub.audio.numpy_frontend; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
