"""audio.logmel: equal to librosa, equal to TensorFlow (YAMNet's golden values), and right about tones."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import soundfile
import torch

from hubbub.audio.logmel import FrontEndError, LogMel, mel_filters
from hubbub.errors import HubbubError
from hubbub.models.yamnet import STFT_HOP, YAMNet
from tests.helpers.signals import seeded, sine

RATE_HZ = 16_000
# The tensorflow convention as YAMNet has it.
TENSORFLOW = {
    "n_fft": 512, "win_length": 400, "hop": 160, "f_min_hz": 125.0, "f_max_hz": 7500.0, "convention": "tensorflow",
    "mel_scale": "htk", "norm": None, "centre": False,
}  # fmt: skip


def noise(seconds: float = 1.0, seed: int = 0) -> torch.Tensor:
    """White noise that swells and fades, so that cells differ in level: `[1, T]`."""
    samples = int(seconds * RATE_HZ)
    wave = torch.randn(1, samples, generator=seeded(seed))
    return 0.3 * wave * torch.linspace(0, 6.283, samples).sin()


def tone(hz: float, seconds: float = 1.0) -> torch.Tensor:
    return sine(hz, int(seconds * RATE_HZ), RATE_HZ)


SETTINGS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "htk, no norm, reflected, short window, dB below the loudest": {
        "n_fft": 512, "win_length": 400, "hop": 160, "mel_scale": "htk", "norm": None, "pad_mode": "reflect",
        "ref": "max",
    },
    "odd window, bands": {"win_length": 601, "hop": 250, "n_mels": 40, "f_min_hz": 300.0, "f_max_hz": 5000.0},
    "60 dB below the loudest": {"n_fft": 2048, "hop": 512, "n_mels": 128, "ref": "max", "top_db": 60.0},
    "not centred, all decibels": {"centre": False, "top_db": 0.0, "hop": 100},
    "htk with slaney norm, high floor": {"mel_scale": "htk", "amin": 1e-3, "n_mels": 80},
    "magnitude": {"power": 1.0, "mel_scale": "htk"},
    "magnitude below the loudest": {"power": 1.0, "ref": "max", "top_db": 40.0},
}  # fmt: skip


def by_librosa(wave: np.ndarray, rate_hz: int, **settings: Any) -> np.ndarray:
    known = {
        "n_fft": 1024, "win_length": None, "hop": 320, "n_mels": 64, "f_min_hz": 0.0, "f_max_hz": None,
        "mel_scale": "slaney", "norm": "slaney", "power": 2.0, "centre": True, "pad_mode": "constant", "ref": "one",
        "amin": 1e-10, "top_db": 80.0,
    } | settings  # fmt: skip
    mel = librosa.feature.melspectrogram(
        y=wave, sr=rate_hz, n_fft=known["n_fft"], win_length=known["win_length"], hop_length=known["hop"],
        center=known["centre"], pad_mode=known["pad_mode"], power=known["power"], n_mels=known["n_mels"],
        fmin=known["f_min_hz"], fmax=known["f_max_hz"], htk=known["mel_scale"] == "htk", norm=known["norm"],
    )  # fmt: skip
    ref, top_db = {"one": 1.0, "max": np.max}[known["ref"]], known["top_db"] or None
    if known["power"] == 1:
        return librosa.amplitude_to_db(mel, ref=ref, amin=known["amin"] ** 0.5, top_db=top_db)
    return librosa.power_to_db(mel, ref=ref, amin=known["amin"], top_db=top_db)


@pytest.mark.parametrize("name", SETTINGS)
def test_librosas_numbers_on_noise(name: str) -> None:
    wave = noise()
    ours = LogMel(RATE_HZ, **SETTINGS[name])(wave)[0].numpy()
    theirs = by_librosa(wave[0].numpy(), RATE_HZ, **SETTINGS[name])
    assert np.ptp(theirs) > 20
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", SETTINGS)
def test_librosas_numbers_on_a_recording(name: str, home: Callable[[str, str], Path]) -> None:
    path = home("data", "esc50") / "audio" / "1-100032-A-0.ogg"  # a dog, then silence
    wave, rate_hz = soundfile.read(path, dtype="float32", frames=2 * 44_100)
    ours = LogMel(rate_hz, **SETTINGS[name])(torch.from_numpy(wave)[None])[0].numpy()
    np.testing.assert_allclose(ours, by_librosa(wave, rate_hz, **SETTINGS[name]), rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", ["dog", "rain", "short_noise"])
def test_tensorflows_numbers(name: str, home: Callable[[str, str], Path]) -> None:
    path = home("data", "esc50").parents[1] / "golden" / "yamnet_golden.npz"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    golden = np.load(path)
    expected = golden[f"{name}/log_mel"]
    wave = torch.from_numpy(golden[f"{name}/pcm16"] / np.float32(32768))[None]
    samples = (len(expected) - 1) * STFT_HOP + 400
    padded = torch.nn.functional.pad(wave, (0, max(0, samples - wave.shape[1])))[:, :samples]
    ours = LogMel(RATE_HZ, **TENSORFLOW, power=1.0, log="offset", offset=1e-3)(padded)[0].T.numpy()
    assert np.linalg.norm(ours - expected) < 1e-4 * np.linalg.norm(expected)
    np.testing.assert_array_equal(YAMNet().frontend(padded)[0].T.numpy(), ours)


@pytest.mark.parametrize("hz", [150, 440, 1000, 2500, 6500])
@pytest.mark.parametrize(
    "settings",
    [{}, {"mel_scale": "htk", "n_fft": 512, "norm": None}, {"power": 1.0, "norm": None}, TENSORFLOW],
    ids=["slaney", "htk", "magnitude", "tensorflow"],
)
def test_a_tone_peaks_in_its_band(settings: dict[str, Any], hz: float) -> None:
    frontend = LogMel(RATE_HZ, **settings)
    loudness = frontend(tone(hz))[0].mean(dim=1)
    edges = librosa.mel_frequencies(
        frontend.n_mels + 2,
        fmin=settings.get("f_min_hz", 0.0),
        fmax=settings.get("f_max_hz", RATE_HZ / 2),
        htk=settings.get("mel_scale") == "htk",
    )
    band = int(loudness.argmax())
    assert edges[band] < hz < edges[band + 2]


@pytest.mark.parametrize("power", [1.0, 2.0])
@pytest.mark.parametrize("settings", [{}, TENSORFLOW], ids=["librosa", "tensorflow"])
def test_twice_the_amplitude_is_six_decibels(settings: dict[str, Any], power: float) -> None:
    frontend = LogMel(RATE_HZ, **settings, power=power, amin=1e-20, top_db=0)
    wave = noise() + 0.01
    difference = frontend(2 * wave) - frontend(wave)
    torch.testing.assert_close(difference, torch.full_like(difference, 6.0206), atol=1e-3, rtol=0)
    relative = LogMel(RATE_HZ, **settings, power=power, ref="max")
    torch.testing.assert_close(relative(2 * wave), relative(wave), atol=1e-3, rtol=0)
    assert relative(wave).max() == 0


def test_the_loudest_cell_bounds_the_range() -> None:
    assert LogMel(RATE_HZ, amin=1e-20, top_db=0)(noise()).min() < LogMel(RATE_HZ, top_db=40)(noise()).min()
    heard = LogMel(RATE_HZ, top_db=40)(noise())
    assert heard.max() - heard.min() == pytest.approx(40, abs=1e-4)


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_silence_is_the_floor(power: float) -> None:
    heard = LogMel(RATE_HZ, power=power, amin=1e-10)(torch.zeros(1, RATE_HZ))
    torch.testing.assert_close(heard, torch.full_like(heard, -100.0))
    heard = LogMel(RATE_HZ, log="offset", offset=1e-3)(torch.zeros(1, RATE_HZ))
    torch.testing.assert_close(heard, torch.full_like(heard, 1e-3).log())


@pytest.mark.parametrize("name", SETTINGS)
def test_a_batch_is_each_wave_alone(name: str) -> None:
    frontend = LogMel(RATE_HZ, **SETTINGS[name])
    # A loud and a quiet one: neither may set the other's range.
    waves = torch.cat([noise(seed=1), 1e-3 * noise(seed=2), tone(1000)])
    batched = frontend(waves)
    for wave, one in zip(waves, batched, strict=True):
        torch.testing.assert_close(frontend(wave[None])[0], one, atol=1e-4, rtol=0)


def test_many_waves_are_each_alone() -> None:
    frontend = LogMel(RATE_HZ)
    waves = noise(12.0).reshape(-1, RATE_HZ)
    torch.testing.assert_close(frontend(waves), torch.cat([frontend(wave[None]) for wave in waves]), atol=1e-4, rtol=0)
    assert frontend(waves[:0]).shape == (0, 64, 51)


def test_few_bands_are_torchs_spectrum_in_filters() -> None:
    narrow = {"f_min_hz": 1000.0, "f_max_hz": 2000.0, "n_mels": 8}
    wave = noise()
    mel = LogMel(RATE_HZ, **narrow).mel(wave)
    spectrum = torch.stft(wave, 1024, 320, window=torch.hann_window(1024), pad_mode="constant", return_complex=True)
    expected = spectrum.abs().square().transpose(1, 2) @ mel_filters(RATE_HZ, 1024, 8, 1000.0, 2000.0)
    torch.testing.assert_close(mel, expected, atol=1e-6, rtol=1e-4)


def test_an_exported_front_end_takes_any_number_of_waves() -> None:
    frontend = LogMel(RATE_HZ)
    waves = noise(12.0).reshape(-1, RATE_HZ)
    program = torch.export.export(frontend, (waves[:2],), dynamic_shapes=({0: torch.export.Dim("waves")},))
    torch.testing.assert_close(program.module()(waves), frontend(waves), atol=1e-4, rtol=0)


def test_a_later_sound_is_later() -> None:
    frontend = LogMel(RATE_HZ, hop=320, centre=False, top_db=0)
    wave = noise()
    torch.testing.assert_close(frontend(wave[:, 640:]), frontend(wave)[:, :, 2:])


@pytest.mark.parametrize("samples", [1, 160, 511, 512, 513, 1024, 5000])
@pytest.mark.parametrize(
    "settings",
    [{"pad_mode": "reflect"}, {"pad_mode": "constant"}, {"centre": False}, TENSORFLOW],
    ids=["reflect", "constant", "uncentred", "tensorflow"],
)
def test_any_length_gives_frames(settings: dict[str, Any], samples: int) -> None:
    heard = LogMel(RATE_HZ, **settings)(noise()[:, 400 : 400 + samples])
    assert heard.shape[:2] == (1, 64)
    assert torch.isfinite(heard).all()
    hop = settings.get("hop", 320)
    if settings.get("centre", True):
        assert heard.shape[2] == 1 + (max(samples, 513) if "reflect" in settings.values() else samples) // hop
    else:
        window = settings.get("win_length", 1024)
        assert heard.shape[2] == 1 + max(samples - window, 0) // hop
    assert heard.shape[2] == LogMel(RATE_HZ, **settings).frames(samples)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"f_max_hz": 9000.0}, "bands from 0 to 9000 Hz: they must rise, and end by 8000 Hz"),
        ({"f_min_hz": 4000.0, "f_max_hz": 4000.0}, "bands from 4000 to 4000 Hz"),
        ({"f_min_hz": 8000.0}, "bands from 8000 to 8000 Hz"),
        ({"f_min_hz": -1.0}, "bands from -1 to 8000 Hz"),
        ({"f_min_hz": 1001.0, "f_max_hz": 1010.0}, "bands from 1001 to 1010 Hz hold no bin of an FFT of 1024"),
        ({"n_fft": 512, "win_length": 513}, "a window of 513 samples is longer than the FFT of 512"),
    ],
)
def test_what_does_not_fit_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(FrontEndError, match=message):
        LogMel(RATE_HZ, **settings)
    assert issubclass(FrontEndError, HubbubError)


@pytest.mark.parametrize("power", [1.0, 2.0])
@pytest.mark.parametrize("log", ["db", "offset"])
def test_gradients_reach_the_wave(log: Any, power: float) -> None:
    frontend = LogMel(RATE_HZ, power=power, log=log, offset=1e-3)
    wave = noise()
    wave[:, 8000:] = 0  # silence, as zero padding brings
    wave.requires_grad_()
    frontend(wave).sum().backward()
    assert wave.grad is not None
    assert torch.isfinite(wave.grad).all()
    assert (wave.grad[:, 1000:7000] != 0).float().mean() > 0.99


def test_filters_are_librosas() -> None:
    for htk in (False, True):
        for norm in (None, "slaney"):
            ours = mel_filters(RATE_HZ, 1024, 40, 50.0, 7000.0, mel_scale="htk" if htk else "slaney", norm=norm)
            theirs = librosa.filters.mel(sr=RATE_HZ, n_fft=1024, n_mels=40, fmin=50.0, fmax=7000.0, htk=htk, norm=norm)
            np.testing.assert_allclose(ours.T.numpy(), theirs, rtol=1e-5, atol=1e-8)


def test_settings_are_no_weights() -> None:
    assert LogMel(RATE_HZ).state_dict() == {}
    assert list(LogMel(RATE_HZ).parameters()) == []


@pytest.mark.parametrize(
    "settings",
    [
        {"n_fft": 512, "win_length": 400, "hop": 160, "power": 1.0, "convention": "tensorflow", "norm": None},
        {"n_fft": 2048, "hop": 512, "n_mels": 128},
        {"n_fft": 1024, "win_length": 800, "hop": 320, "f_min_hz": 50.0, "f_max_hz": 6000.0},
        {"n_fft": 1024, "hop": 441, "n_mels": 40},
        {"n_fft": 400, "hop": 160, "n_mels": 40},
    ],
)
def test_exported_graphs_compute_the_same_spectrum(settings: dict[str, Any]) -> None:
    frontend = LogMel(16_000, **settings)
    wave = torch.randn(2, 8_123, generator=torch.Generator().manual_seed(0)) * 0.1
    exported = torch.export.export(frontend, (wave,)).module()
    torch.testing.assert_close(exported(wave), frontend(wave), atol=2e-3, rtol=0)  # dB
