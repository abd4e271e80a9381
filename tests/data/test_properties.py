"""properties: level, offset, silence, clipping and band limit of waves whose values are known."""

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import soxr

from hubbub.data.cache import inspect_sounds
from hubbub.data.open import open_data
from hubbub.data.properties import SILENT_DB, Clipping, band_limit, measure

RATE = 44_100


def pink(seconds: float = 2.0, rate_hz: int = RATE, seed: int = 0) -> npt.NDArray[np.float32]:
    """Noise that falls by 3 dB an octave, as rooms and streets do; RMS -20 dB."""
    samples = round(seconds * rate_hz)
    spectrum = np.fft.rfft(np.random.default_rng(seed).normal(size=samples))
    spectrum[:2] = 0
    wave = np.fft.irfft(spectrum / np.sqrt(np.arange(len(spectrum)) + 1), samples)
    return (0.1 * wave / wave.std()).astype(np.float32)


def rounded(wave: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The wave as a file of 16 bits keeps it."""
    return (np.round(wave * 32_767) / 32_767).astype(np.float32)


def test_level_offset_and_floor_are_those_of_the_wave() -> None:
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)
    found = measure((tone + 0.02).astype(np.float32), RATE)
    assert found.level_db == pytest.approx(20 * np.log10(0.5 / np.sqrt(2)), abs=0.01)
    assert found.offset == pytest.approx(0.02, abs=1e-5) and found.silent == found.clipped == 0
    tone[RATE // 2 :] *= 0.01  # half a second is 40 dB weaker
    found = measure(tone.astype(np.float32), RATE)
    assert found.floor_db == pytest.approx(20 * np.log10(0.005 / np.sqrt(2)), abs=0.1)


def test_digital_silence_is_a_share_and_no_floor() -> None:
    wave = np.concatenate([np.zeros(3 * RATE), 0.1 * pink(1.0)]).astype(np.float32)
    found = measure(wave, RATE)
    assert found.silent == 0.75
    assert found.floor_db == pytest.approx(-40, abs=2)
    nothing = measure(np.zeros(RATE, np.float32), RATE)
    assert (nothing.silent, nothing.floor_db, nothing.level_db, nothing.band_hz) == (1, SILENT_DB, SILENT_DB, RATE / 2)


def clipped_samples(*blocks: npt.NDArray[np.float32], coding: str = "WAV PCM_16") -> int:
    clipping = Clipping(coding)
    for block in blocks:
        clipping.feed(block)
    return clipping.samples


def test_only_runs_at_full_scale_are_clipping() -> None:
    loud = np.sin(2 * np.pi * 100 * np.arange(RATE) / RATE).astype(np.float32)
    clipped = np.clip(1.5 * loud, -1, 32_767 / 32_768).astype(np.float32)
    # |sin| is above 2/3 for 1 - 2 asin(2/3) / pi of the time.
    assert clipped_samples(clipped) / RATE == pytest.approx(1 - 2 * np.arcsin(2 / 3) / np.pi, abs=0.01)
    assert clipped_samples(0.999 * loud) == clipped_samples(0.5 * clipped) == 0, "loud, or clipped and then turned down"
    peaks = np.zeros(100, np.float32)
    peaks[[10, 30, 31, 50, 51, 52, 99]] = 1, -1, -1, 1, 1, 1, 1  # one, two and three samples, and one at the end
    assert clipped_samples(peaks) == 3
    of_bytes = np.full(100, 127 / 128, np.float32)
    assert clipped_samples(of_bytes, coding="WAV PCM_U8") == 100 and clipped_samples(of_bytes) == 0


def test_clipping_is_counted_by_channel_in_blocks_of_any_size() -> None:
    rng = np.random.default_rng(0)
    wave = np.sign(rng.normal(size=(2000, 3))).repeat(rng.integers(1, 5, 2000), axis=0).astype(np.float32)
    wave[rng.random(wave.shape) < 0.4] = 0.3  # runs of one to many samples, some across blocks
    whole = clipped_samples(wave)
    assert whole == max(clipped_samples(wave[:, channel]) for channel in range(3)) > 100
    for size in (1, 2, 7, 1000):
        assert clipped_samples(*(wave[at : at + size] for at in range(0, len(wave) + size, size))) == whole


def test_a_recording_of_which_one_channel_clips_is_found(tmp_path: Path) -> None:
    loud = np.sin(2 * np.pi * 100 * np.arange(RATE) / RATE)
    file = tmp_path / "stereo.wav"
    soundfile.write(file, np.stack([0.1 * loud, np.clip(1.5 * loud, -1, 1)], axis=1), RATE)
    (tmp_path / "list.csv").write_text("path,label\nstereo.wav,a\n")
    found = inspect_sounds(open_data(str(tmp_path / "list.csv")))
    assert found["channels"][0] == 2 and found["peak"][0] < 0.6, "the mean of both is far from full scale"
    assert found["clipped"][0] / RATE == pytest.approx(1 - 2 * np.arcsin(2 / 3) / np.pi, abs=0.01)


@pytest.mark.parametrize("original_hz", [8_000, 11_025, 16_000, 22_050, 32_000])
def test_resampling_up_is_seen_at_half_the_original_rate(original_hz: int) -> None:
    low = rounded(soxr.resample(pink(), RATE, original_hz))
    found = band_limit(rounded(soxr.resample(low, original_hz, RATE)), RATE)
    assert 0.9 * original_hz / 2 < found <= original_hz / 2


def test_full_bandwidth_has_no_limit() -> None:
    times = np.arange(2 * RATE) / RATE
    hum = 0.3 * np.sin(2 * np.pi * 50 * times) + 0.001 * pink()
    harmonics = sum(np.sin(2 * np.pi * 500 * k * times) / k**2 for k in range(1, 8)) * 0.2 + 0.001 * pink(seed=1)
    for wave in (pink(), hum, harmonics, np.cumsum(pink(seed=2)) / 200, np.eye(1, RATE)[0]):
        assert band_limit(rounded(np.asarray(wave, np.float32)), RATE) == RATE / 2
    assert band_limit(pink(0.011, 8_000), 8_000) == 4_000, "88 samples"


def test_an_encoders_low_pass_is_not_taken_for_a_lower_rate() -> None:
    file = io.BytesIO()
    soundfile.write(file, pink(), RATE, format="MP3", subtype="MPEG_LAYER_III", bitrate_mode="CONSTANT",
                    compression_level=0.8)  # fmt: skip
    file.seek(0)
    assert 15_000 < band_limit(rounded(soundfile.read(file, dtype="float32")[0]), RATE) < 20_500


@pytest.mark.slow
def test_real_recordings_resampled_up_are_found_and_few_others() -> None:
    """Every 40th clip of ESC-50: all copies at 8 and 16 kHz are found; of the originals at most one is narrow."""
    paths = open_data("esc50").table["path"][::40]
    narrow = 0
    for path in paths:
        wave, rate_hz = soundfile.read(path, dtype="float32")
        narrow += band_limit(wave, rate_hz) < 15_000
        for original_hz in (8_000, 16_000):
            low = rounded(soxr.resample(wave, rate_hz, original_hz))
            found = band_limit(rounded(soxr.resample(low, original_hz, rate_hz)), rate_hz)
            assert 0.4 * original_hz < found <= 0.5 * original_hz, path
    assert narrow <= 1
