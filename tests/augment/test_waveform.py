"""augment.waveform: tones, clicks and noise; distributions of the parameters; librosa's stretch and pitch shift."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import soundfile
import torch
from pydantic import ValidationError
from torch import Tensor

from hubbub.augment import Waveform, crop_starts, waveform
from hubbub.augment.speed import stretch
from hubbub.config import augment as settings
from tests.helpers.signals import seeded, sine

RATE_HZ = 44_100
SAMPLES = RATE_HZ
#: Every transform at a setting that changes every wave it is applied to.
SECTIONS: dict[str, settings.Section] = {
    "invert": settings.Invert(),
    "scale": settings.Scale(),
    "stretch": settings.Stretch(),
    "pitch": settings.Pitch(),
    "roll": settings.Roll(fraction=0.5),
    "reverb": settings.Reverb(),
    "gain": settings.Gain(),
    "noise": settings.Noise(sd=(0.001, 0.01)),
    "noise, snr": settings.Noise(snr_db=(0.0, 30.0)),
}


def with_p(name: str, p: float) -> Any:
    """The transform `name` for the share `p`."""
    section = SECTIONS[name]
    made = getattr(waveform, type(section).__name__)
    rate = [RATE_HZ] if name == "reverb" else []
    return made(section.model_copy(update={"p": p}), *rate)


def noise(count: int = 1, samples: int = SAMPLES, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(count, samples, generator=seeded(seed))


def tone(hz: float, samples: int = SAMPLES) -> Tensor:
    return sine(hz, samples, RATE_HZ)


def peak_hz(wave: Tensor) -> float:
    """The frequency of the strongest bin of `[N]`."""
    spectrum = torch.fft.rfft(wave * torch.hann_window(len(wave))).abs()
    return float(spectrum.argmax()) * RATE_HZ / len(wave)


def level_db(wave: Tensor) -> float:
    """RMS [dB], away from the ends."""
    return float(10 * wave[..., 4000:-4000].square().mean().log10())


def stretched(waves: Tensor, rate: float) -> Tensor:
    return waveform.Stretch(settings.Stretch()).apply(waves, torch.full((len(waves),), rate))


def shifted(waves: Tensor, semitones: float) -> Tensor:
    return waveform.Pitch(settings.Pitch()).apply(waves, torch.full((len(waves),), semitones))


def scaled(waves: Tensor, speed: float, place: float = 0.0) -> Tensor:
    count = len(waves)
    return waveform.Scale(settings.Scale()).apply(waves, (torch.full((count,), speed), torch.full((count,), place)))


# What each does to a sound.


def test_gain_changes_the_level_by_its_decibels() -> None:
    decibels = torch.tensor([-6.0, 0.0, 3.0, 12.0])
    waves = noise(4)
    louder = waveform.Gain(settings.Gain()).apply(waves, decibels)
    change = 10 * (louder.square().mean(1) / waves.square().mean(1)).log10()
    torch.testing.assert_close(change, decibels, atol=1e-4, rtol=0)


def test_noise_has_its_sd() -> None:
    transform = waveform.Noise(settings.Noise(sd=(0.02, 0.2)))
    waves = tone(440).expand(8, -1)
    sd, white = transform.draw(waves, seeded())
    added = transform.apply(waves, (sd, white)) - waves
    torch.testing.assert_close(added.std(1), sd, atol=0, rtol=0.02)
    assert added.mean(1).abs().max() < 0.005
    assert sd.max() > 2 * sd.min()


def test_noise_lies_its_snr_below_the_wave() -> None:
    transform = waveform.Noise(settings.Noise(snr_db=(-5.0, 20.0)))
    waves = torch.cat([tone(440), 0.01 * tone(440), noise(2)])
    snr_db, white = transform.draw(waves, seeded(2))
    added = transform.apply(waves, (snr_db, white)) - waves
    heard = 10 * (waves.square().mean(1) / added.square().mean(1)).log10()
    torch.testing.assert_close(heard, snr_db, atol=0.1, rtol=0)
    assert snr_db.max() > snr_db.min() + 5


def test_noise_is_white_and_another_for_every_wave() -> None:
    transform = waveform.Noise(settings.Noise(sd=(0.1, 0.1)))
    silence = torch.zeros(2, SAMPLES)
    added = transform.apply(silence, transform.draw(silence, seeded()))
    assert abs(float(torch.corrcoef(added)[0, 1])) < 0.02
    power = torch.fft.rfft(added[0])[1:].abs().square()
    low, high = power[: len(power) // 2].mean(), power[len(power) // 2 :].mean()
    assert float(low / high) == pytest.approx(1, abs=0.05)


def test_roll_is_torchs() -> None:
    waves, shifts = noise(4), torch.tensor([0, 1, -4410, SAMPLES])
    rolled = waveform.Roll(settings.Roll()).apply(waves, shifts)
    for wave, shift, one in zip(waves, shifts.tolist(), rolled, strict=True):
        assert torch.equal(one, wave.roll(shift))


def test_invert_is_its_own_inverse() -> None:
    transform = waveform.Invert(settings.Invert())
    waves, chosen = noise(3), torch.tensor([True, False, True])
    once = transform.apply(waves, chosen)
    assert torch.equal(once[0], waves[0].flip(0))
    assert torch.equal(once[1], waves[1])
    assert torch.equal(transform.apply(once, chosen), waves)


@pytest.mark.parametrize("speed", [0.67, 0.9, 1.1, 1.5])
def test_scale_moves_a_tone(speed: float) -> None:
    heard = scaled(tone(1000), speed)
    assert heard.shape == (1, SAMPLES)
    kept = heard[:, : min(SAMPLES, int(SAMPLES / speed))]
    assert peak_hz(kept[0]) == pytest.approx(1000 * speed, abs=1000 * speed * 0.002)
    assert level_db(kept) == pytest.approx(level_db(tone(1000)), abs=0.05)


def test_scale_lies_anywhere_in_its_room() -> None:
    # Faster: half the length, first or last, in zeros. Slower: the first or the last half is heard.
    early, late = scaled(noise(), 2.0, place=0.0), scaled(noise(), 2.0, place=1.0)
    half = SAMPLES // 2
    assert level_db(early[:, :half]) > -30 and early[:, half + 50 :].abs().max() == 0
    assert level_db(late[:, half:]) > -30 and late[:, : half - 50].abs().max() == 0
    waves = torch.cat([tone(500, half), tone(2000, half)], dim=1)
    assert peak_hz(scaled(waves, 0.5, place=0.0)[0]) == pytest.approx(250, abs=2)
    assert peak_hz(scaled(waves, 0.5, place=1.0)[0]) == pytest.approx(1000, abs=2)


@pytest.mark.parametrize("hz", [441, 4_410, 13_230, 15_500])
@pytest.mark.parametrize("speed", [0.75, 0.9, 1.125])
def test_scale_gives_the_samples_in_between(speed: float, hz: float) -> None:
    time = torch.arange(SAMPLES, dtype=torch.float64) * speed / RATE_HZ
    ideal = (0.5 * torch.sin(2 * torch.pi * hz * time)).float()
    inside = slice(100, int(SAMPLES / max(speed, 1)) - 100)
    error = scaled(tone(hz), speed)[0, inside] - ideal[inside]
    assert 10 * (error.square().mean() / ideal.square().mean()).log10() < -50


def test_scale_lets_nothing_fold_back() -> None:
    # 18 kHz played 1.5 times as fast would be 27 kHz and come back as 17.1 kHz.
    assert level_db(scaled(tone(18_000), 1.5)[:, :29_000]) < level_db(tone(18_000)) - 50


@pytest.mark.parametrize("rate", [0.5, 0.8, 0.9, 1.1, 1.25, 2.0])
def test_stretch_keeps_a_tones_pitch_and_level(rate: float) -> None:
    heard = stretched(tone(1000), rate)
    assert heard.shape == (1, SAMPLES)
    kept = heard[:, : min(SAMPLES, int(SAMPLES / rate))]
    assert peak_hz(kept[0]) == pytest.approx(1000, abs=RATE_HZ / kept.shape[1])
    assert level_db(kept) == pytest.approx(level_db(tone(1000)), abs=0.2)
    silent_from = int(SAMPLES / rate) + 1024
    assert heard[:, silent_from:].abs().sum() == 0


@pytest.mark.parametrize("rate", [0.6, 0.8, 0.9, 1.1, 1.5])
def test_stretch_moves_clicks_apart(rate: float) -> None:
    clicks = torch.zeros(1, SAMPLES)
    clicks[0, [6_000, 18_000]] = 1
    heard = stretched(clicks, rate)[0].square()
    middle = int(12_000 / rate)
    first, second = int(heard[:middle].argmax()), middle + int(heard[middle:].argmax())
    # Frames move by whole hops, and what lies off a frame's middle is no farther from it than before.
    within = 128 / rate + 512 * abs(1 / rate - 1) + 1
    assert first == pytest.approx(6_000 / rate, abs=within)
    assert second == pytest.approx(18_000 / rate, abs=within)


@pytest.mark.parametrize("semitones", [-12.0, -2.0, -0.5, 0.5, 2.0, 12.0])
def test_pitch_moves_a_tone_and_keeps_its_length(semitones: float) -> None:
    heard = shifted(tone(1000), semitones)
    assert heard.shape == (1, SAMPLES)
    # A bin is 1 Hz; the nearest fraction may lie half a cent off.
    assert peak_hz(heard[0]) == pytest.approx(1000 * 2 ** (semitones / 12), abs=1.01)
    assert level_db(heard) == pytest.approx(level_db(tone(1000)), abs=0.3)


def test_two_semitones_are_the_known_frequencies() -> None:
    assert peak_hz(shifted(tone(1000), 2.0)[0]) == pytest.approx(1122, abs=1)
    assert peak_hz(shifted(tone(1000), -2.0)[0]) == pytest.approx(891, abs=1)


@pytest.mark.parametrize("semitones", [-2.0, 2.0])
def test_pitch_leaves_events_where_they_are(semitones: float) -> None:
    clicks = torch.zeros(1, SAMPLES)
    clicks[0, 8_000] = clicks[0, 32_000] = 1
    heard = shifted(clicks, semitones)[0].square()
    half = SAMPLES // 2
    assert int(heard[:half].argmax()) == pytest.approx(8_000, abs=400)
    assert half + int(heard[half:].argmax()) == pytest.approx(32_000, abs=400)
    burst = noise()
    burst[:, SAMPLES // 2 :] = 0
    heard = shifted(burst, semitones)
    assert level_db(heard[:, :half]) - level_db(heard[:, half:]) > 60


@pytest.mark.parametrize("semitones", [-2.0, -1.0, 1.0, 2.0])
def test_an_octave_stays_an_octave(semitones: float) -> None:
    both, factor = tone(600) + tone(1200), 2 ** (semitones / 12)
    before, spectrum = (
        torch.fft.rfft(w[0] * torch.hann_window(SAMPLES)).abs() for w in (both, shifted(both, semitones))
    )
    for hz in (600 * factor, 1200 * factor):
        around = slice(round(hz) - 100, round(hz) + 100)
        assert around.start + int(spectrum[around].argmax()) == pytest.approx(hz, abs=1.01)
        was = before[round(hz / factor) - 100 : round(hz / factor) + 100].square().sum()
        assert float(10 * (spectrum[around].square().sum() / was).log10()) == pytest.approx(0, abs=0.3)


def test_a_rate_of_one_would_give_the_wave_back() -> None:
    # Frames at rate 1 are never jumped over, so the vocoder alone must not be heard.
    waves = noise(2)
    torch.testing.assert_close(stretch(waves, torch.ones(2), SAMPLES), waves, atol=1e-6, rtol=0)


# The room.


def in_a_room(waves: Tensor, decay_s: float, wet: float, rate_hz: int = RATE_HZ) -> Tensor:
    """Waves in rooms of one decay, each with noise of its own."""
    transform = waveform.Reverb(settings.Reverb(decay_s=(decay_s, decay_s), wet=(wet, wet)), rate_hz)
    return transform.apply(waves, transform.draw(waves, seeded()))


def click(at: int, samples: int = SAMPLES) -> Tensor:
    wave = torch.zeros(1, samples)
    wave[0, at] = 0.5
    return wave


@pytest.mark.parametrize(("decay_s", "rate_hz"), [(0.2, 44_100), (0.8, 44_100), (0.8, 16_000)])
def test_a_room_falls_by_sixty_decibels_in_its_decay(decay_s: float, rate_hz: int) -> None:
    # Schroeder's backward integration (1965), and a straight line from 5 to 35 dB down as in ISO 3382.
    heard = in_a_room(click(0, rate_hz).expand(4, -1), decay_s, 0.5, rate_hz).double()
    for room in heard[:, 1:]:
        left_db = 10 * (room.square().flip(0).cumsum(0).flip(0) / room.square().sum()).clamp_min(1e-30).log10()
        inside = ((left_db < -5) & (left_db > -35)).nonzero()[:, 0].numpy()
        slope = np.polyfit(inside / rate_hz, left_db[inside].numpy(), 1)[0]
        assert -60 / slope == pytest.approx(decay_s, rel=0.05)


@pytest.mark.parametrize("wet", [0.1, 0.5, 0.9])
def test_the_direct_sound_stays_and_the_room_follows_with_its_share(wet: float) -> None:
    heard = in_a_room(click(4_000), 0.4, wet)[0].double()
    assert heard[:4_000].abs().max() < 1e-6
    energy = heard.square()
    assert float(energy[4_000]) == pytest.approx((1 - wet) * float(energy.sum()), rel=1e-4)
    assert heard[4_000] > 0


def test_a_room_answers_every_sound_alike() -> None:
    waves = noise(1, 20_001)
    answer = in_a_room(click(0, 20_001), 0.3, 0.5)[0].double().numpy()
    expected = np.convolve(waves[0].double().numpy(), answer)[:20_001]
    heard = in_a_room(waves, 0.3, 0.5)[0].double().numpy()
    np.testing.assert_allclose(heard / np.std(heard), expected / np.std(expected), atol=1e-4)


def test_a_room_keeps_the_level() -> None:
    late = torch.zeros(1, SAMPLES)
    late[:, -1_000:] = noise(1, 1_000)
    waves = torch.cat([noise(2), 1e-3 * noise(1), tone(440), late, click(100)])
    before, after = (some.square().mean(1) for some in (waves, in_a_room(waves, 0.8, 0.5)))
    torch.testing.assert_close(after, before, rtol=1e-4, atol=0)


def test_a_burst_rings_on_into_silence() -> None:
    burst = torch.zeros(1, SAMPLES)
    burst[:, 10_000:12_000] = noise(1, 2_000)
    heard = in_a_room(burst, 0.5, 0.3)[0].square()
    assert heard[:10_000].max() < 1e-12
    # .2 s later it is 24 dB softer.
    soon, later = heard[12_000:14_000].mean(), heard[20_820:22_820].mean()
    assert float(10 * (soon / later).log10()) == pytest.approx(24, abs=1.5)


def test_rooms_are_drawn() -> None:
    transform = waveform.Reverb(settings.Reverb(decay_s=(0.2, 1.0)), RATE_HZ)
    _, decay_s, white = transform.draw(torch.zeros(1_000, 10), seeded())
    assert 0.2 <= decay_s.min() < 0.21 and 0.99 < decay_s.max() <= 1
    assert float(decay_s.mean()) == pytest.approx(0.6, abs=0.03)
    assert white.shape == (1_000, 10), "no longer than the segment"
    assert transform.draw(torch.zeros(2, 2 * SAMPLES), seeded())[2].shape == (2, RATE_HZ), "no longer than the decay"
    assert abs(float(torch.corrcoef(white.T)[0, 1])) < 0.1


# Beside librosa.


def log_mel(wave: np.ndarray, hop: int) -> np.ndarray:
    mel = librosa.feature.melspectrogram(y=wave, sr=RATE_HZ, n_fft=1024, hop_length=hop, n_mels=64)
    return 10 * np.log10(np.maximum(mel, 1e-7))


@pytest.mark.parametrize("rate", [0.9, 1.1])
def test_stretch_beside_librosas(rate: float) -> None:
    for wave in (tone(1000), noise()):
        ours = stretched(wave, rate)[0, : min(SAMPLES, int(SAMPLES / rate))]
        theirs = torch.from_numpy(librosa.effects.time_stretch(wave[0].numpy(), rate=rate))[: len(ours)]
        # Both lose some level: bins out of step cancel, and ours are held together.
        assert level_db(theirs) - 0.01 < level_db(ours) < level_db(wave) + 0.05
        assert level_db(ours) > level_db(wave) - 0.8
        assert peak_hz(stretched(tone(1000), rate)[0]) == pytest.approx(1000, abs=1.01)
    assert level_db(noise()) - level_db(theirs) > 2


@pytest.mark.parametrize("semitones", [-2.0, 2.0])
def test_pitch_beside_librosas(semitones: float) -> None:
    heard = []
    for wave in (tone(1000), noise()):
        ours = shifted(wave, semitones)[0]
        theirs = torch.from_numpy(librosa.effects.pitch_shift(wave[0].numpy(), sr=RATE_HZ, n_steps=semitones))
        assert ours.shape == theirs.shape
        assert level_db(theirs) - 0.1 < level_db(ours) < level_db(wave) + 0.05
        heard.append((peak_hz(ours), peak_hz(theirs)))
    assert heard[0][0] == pytest.approx(heard[0][1], abs=1.01)


@pytest.mark.parametrize("rate", [0.8, 1.25])
@pytest.mark.parametrize("name", ["1-110389-A-0", "1-17367-A-10", "1-187207-A-20"])  # a dog, rain, a baby
def test_stretched_recordings_keep_their_log_mels(name: str, rate: float, home: Callable[[str, str], Path]) -> None:
    # A hop stretched along gives the recording's own log-mels again; librosa's stretch comes less near.
    path = home("data", "esc50") / "audio" / f"{name}.ogg"
    wave, _ = soundfile.read(path, dtype="float32", frames=SAMPLES)
    own = log_mel(wave, 320)
    theirs = log_mel(librosa.effects.time_stretch(wave, rate=rate), round(320 / rate))
    longer = torch.from_numpy(np.pad(wave, (0, SAMPLES)))[None]
    ours = log_mel(stretched(longer, rate)[0, : int(SAMPLES / rate)].numpy(), round(320 / rate))
    frames = min(own.shape[1], ours.shape[1], theirs.shape[1]) - 4
    distance = [np.abs(other[:, 4:frames] - own[:, 4:frames]).mean() for other in (ours, theirs)]
    assert distance[0] < 2
    assert distance[0] < distance[1]


# Draws and their parameters.


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("scale", -1.0, 1.0), ("stretch", 0.9, 1.1), ("pitch", -2.0, 2.0), ("roll", -500, 500), ("reverb", 0.1, 0.5),
        ("gain", -6.0, 6.0), ("noise", 0.001, 0.01), ("noise, snr", 0.0, 30.0),
    ],
)  # fmt: skip
def test_draws_fill_their_range_evenly(name: str, low: float, high: float) -> None:
    drawn = with_p(name, 1.0).draw(torch.zeros(10_000, 1_000 if name == "roll" else 2), seeded())
    values = (drawn[0] if isinstance(drawn, tuple) else drawn).double()
    if name == "scale":
        assert drawn[1].min() >= 0 and drawn[1].max() < 1 and float(drawn[1].std()) == pytest.approx(12**-0.5, abs=0.01)
        values = values.log() / math.log(1.5)
    width = high - low
    assert low - 1e-6 * width <= values.min() < low + 0.01 * width
    assert high - 0.01 * width < values.max() <= high + 1e-6 * width
    assert float(values.mean()) == pytest.approx((low + high) / 2, abs=0.01 * width)
    assert float(values.std()) == pytest.approx(width / 12**0.5, abs=0.01 * width)


@pytest.mark.parametrize("name", SECTIONS)
def test_the_share_is_kept(name: str) -> None:
    transform = with_p(name, 0.3)
    waves = torch.randn(10_000, 8, generator=seeded())
    drawn = transform.draw(waves, seeded(1))
    values = drawn[0] if isinstance(drawn, tuple) else drawn
    neutral = {"stretch": 1, "scale": 1, "noise, snr": math.inf}.get(name, 0)
    if name == "roll":  # eight samples rolled by half at most: one in eight draws is a shift of nothing
        assert float((values != neutral).float().mean()) == pytest.approx(0.3 * 7 / 8, abs=0.02)
    else:
        assert float((values != neutral).float().mean()) == pytest.approx(0.3, abs=0.02)


def bits(waves: Tensor) -> Tensor:
    return waves.view(torch.int32)


@pytest.mark.parametrize("name", SECTIONS)
def test_the_share_of_none_leaves_every_bit(name: str) -> None:
    transform = with_p(name, 0.0)
    waves = noise(3, 5_000)
    waves[0, :100] = -0.0
    changed = transform.apply(waves, transform.draw(waves, seeded()))
    assert torch.equal(bits(changed), bits(waves))


@pytest.mark.parametrize("name", SECTIONS)
def test_what_is_not_chosen_keeps_every_bit(name: str) -> None:
    transform = with_p(name, 0.5)
    waves = noise(24, 5_000)
    waves[:, 3] = -0.0
    before = waves.clone()
    drawn = transform.draw(waves, seeded())
    changed = transform.apply(waves, drawn)
    values = drawn[0] if isinstance(drawn, tuple) else drawn
    chosen = values != {"stretch": 1, "scale": 1, "noise, snr": math.inf}.get(name, 0)
    assert 4 < int(chosen.sum()) < 20
    assert torch.equal(bits(changed[~chosen]), bits(waves[~chosen]))
    # Rates next to 1 may not even skip one frame.
    assert ((changed[chosen] - waves[chosen]).abs().amax(1) > 1e-4).float().mean() > 0.8
    assert torch.equal(bits(waves), bits(before)), "the waves given were written to"


@pytest.mark.parametrize("name", SECTIONS)
def test_a_batch_is_each_wave_alone(name: str) -> None:
    # More of them than a CPU takes at once.
    transform = with_p(name, 0.8)
    waves = noise(19, 8_000) * torch.logspace(-4, 0, 19)[:, None]
    drawn = transform.draw(waves, seeded())
    together = transform.apply(waves, drawn)
    for row, wave in enumerate(waves):
        own = tuple(d[row, None] for d in drawn) if isinstance(drawn, tuple) else drawn[row, None]
        alone = transform.apply(wave[None], own)[0]
        torch.testing.assert_close(alone, together[row], atol=1e-5 * float(wave.abs().max()), rtol=0)


@pytest.mark.parametrize("name", SECTIONS)
def test_the_generator_decides_alone(name: str) -> None:
    transform = with_p(name, 0.7)
    waves = noise(8, 4_000)
    untouched = torch.get_rng_state()

    def result(seed: int) -> Tensor:
        return transform.apply(waves, transform.draw(waves, seeded(seed)))

    first = result(1)
    torch.manual_seed(123)
    torch.set_rng_state(untouched)
    assert torch.equal(first, result(1))
    assert not torch.equal(first, result(2))
    assert torch.equal(torch.get_rng_state(), untouched)


@pytest.mark.parametrize("name", SECTIONS)
def test_draws_go_on(name: str) -> None:
    transform, generator = with_p(name, 0.5), seeded()
    waves = noise(16, 100)
    first, second = (transform.apply(waves, transform.draw(waves, generator)) for _ in range(2))
    assert not torch.equal(first, second)


# Edges.


@pytest.mark.parametrize("samples", [1, 2, 100, 255, 1_023, 1_025])
@pytest.mark.parametrize("name", SECTIONS)
def test_short_waves_work(name: str, samples: int) -> None:
    transform = with_p(name, 1.0)
    for count in (1, 3):
        waves = noise(count, samples)
        changed = transform.apply(waves, transform.draw(waves, seeded()))
        assert changed.shape == waves.shape
        assert changed.dtype == torch.float32
        assert torch.isfinite(changed).all()
        assert 0 < changed.abs().max() < 3 * waves.abs().max() + 0.1


@pytest.mark.parametrize("name", [n for n in SECTIONS if n != "noise"])
def test_silence_stays_silent(name: str) -> None:
    transform = with_p(name, 1.0)
    silence = torch.zeros(2, 5_000)
    assert torch.equal(transform.apply(silence, transform.draw(silence, seeded())), silence)


@pytest.mark.parametrize("edge", [0.25, 4.0])
def test_the_widest_settings_work(edge: float) -> None:
    waves = tone(1000)
    assert peak_hz(stretched(waves, edge)[0, : SAMPLES // 4]) == pytest.approx(1000, abs=4.01)
    assert peak_hz(shifted(waves, 12 * math.log2(edge))[0]) == pytest.approx(1000 * edge, abs=1.01)
    assert peak_hz(scaled(waves, edge)[0, : SAMPLES // 4]) == pytest.approx(1000 * edge, abs=4.01)


def test_sound_after_silence_begins_at_once() -> None:
    waves = noise()
    waves[:, :20_000] = 0
    heard = stretched(waves, 0.9)[0]
    begin = int((heard.abs() > 0.05).nonzero()[0])
    assert begin == pytest.approx(20_000 / 0.9, abs=600)
    assert heard[: begin - 1_200].abs().max() < 1e-6


@pytest.mark.parametrize(
    ("section", "values"),
    [
        (settings.Gain, {"db": (6.0, -6.0)}),
        (settings.Gain, {"p": 1.5}),
        (settings.Gain, {"p": -0.1}),
        (settings.Gain, {"db": (0.0, math.inf)}),
        (settings.Noise, {}),
        (settings.Noise, {"sd": (0.0, 0.1), "snr_db": (0.0, 10.0)}),
        (settings.Noise, {"sd": (-0.1, 0.1)}),
        (settings.Noise, {"snr_db": (10.0, 0.0)}),
        (settings.Roll, {"fraction": 0.0}),
        (settings.Roll, {"fraction": 1.1}),
        (settings.Invert, {"p": 2.0}),
        (settings.Scale, {"factor": 1.0}),
        (settings.Scale, {"factor": 5.0}),
        (settings.Pitch, {"semitones": (-30.0, 0.0)}),
        (settings.Pitch, {"semitones": (0.0, 30.0)}),
        (settings.Pitch, {"semitones": (2.0, -2.0)}),
        (settings.Stretch, {"rate": (0.0, 1.0)}),
        (settings.Stretch, {"rate": (1.1, 0.9)}),
        (settings.Stretch, {"speed": 1.0}),
        (settings.Reverb, {"decay_s": (0.0, 0.5)}),
        (settings.Reverb, {"decay_s": (0.5, 0.2)}),
        (settings.Reverb, {"wet": (0.1, 1.1)}),
        (settings.Reverb, {"wet": (-0.1, 0.5)}),
    ],
)
def test_what_makes_no_sense_is_refused(section: type[settings.Section], values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        section(**values)


# All of them together.

ALL: dict[str, Any] = {name: section for name, section in SECTIONS.items() if "," not in name}


def test_waveform_applies_what_is_set_in_the_recipes_order() -> None:
    order = [name for name in settings.Augment.model_fields if name in ALL]
    assert len(order) == len(ALL)
    waves = noise(9, 6_000)
    expected, generator = waves, seeded(5)
    for name in order:
        transform = with_p(name, ALL[name].p)
        expected = transform.apply(expected, transform.draw(expected, generator))
    assert torch.equal(Waveform(settings.Augment(**ALL), RATE_HZ)(waves, seeded(5)), expected)


@pytest.mark.parametrize("name", ALL)
def test_waveform_applies_only_what_is_set(name: str) -> None:
    waves = noise(4, 3_000)
    transform = with_p(name, 1.0)
    alone = transform.apply(waves, transform.draw(waves, seeded(3)))
    assert torch.equal(Waveform(settings.Augment(**{name: ALL[name]}), RATE_HZ)(waves, seeded(3)), alone)


def test_waveform_without_transforms_gives_the_waves() -> None:
    waves = noise(2, 1_000)
    for nothing in (settings.Augment(), settings.Augment(crop=True)):
        assert torch.equal(Waveform(nothing, RATE_HZ)(waves, seeded()), waves)


def test_noise_comes_after_gain() -> None:
    quiet = settings.Augment(gain=settings.Gain(db=(-40, -40)), noise=settings.Noise(sd=(0.1, 0.1)))
    heard = Waveform(quiet, RATE_HZ)(torch.zeros(1, SAMPLES), seeded())
    assert float(heard.std()) == pytest.approx(0.1, rel=0.02)


def test_half_precision_around_it_changes_nothing() -> None:
    waves, everything = noise(2, 8_000), Waveform(settings.Augment(**ALL), RATE_HZ)
    with torch.autocast("cpu", torch.bfloat16):
        inside = everything(waves, seeded())
    assert torch.equal(inside, everything(waves, seeded()))
    assert inside.dtype == torch.float32


# Crops.


def test_crops_lie_anywhere_in_longer_clips() -> None:
    lengths = torch.tensor([1_000, 110, 100]).repeat(10_000)
    long, near, same = crop_starts(lengths, 100, seeded()).view(-1, 3).T
    assert long.dtype == torch.int64
    assert 0 <= long.min() < 10 and 890 < long.max() <= 900
    assert float(long.float().mean()) == pytest.approx(450, abs=10)
    counts = near.bincount()
    assert len(counts) == 11
    assert counts.min() > 800 and counts.max() < 1_020
    assert (same == 0).all()


def test_shorter_clips_lie_anywhere_in_zeros() -> None:
    lengths = torch.tensor([40, 99]).repeat(10_000)
    short, near = crop_starts(lengths, 100, seeded()).view(-1, 2).T
    assert set(short.tolist()) == set(range(-60, 1))
    assert set(near.tolist()) == {-1, 0}
    assert float(near.float().mean()) == pytest.approx(-0.5, abs=0.02)


def test_crops_are_the_generators() -> None:
    lengths, untouched = torch.full((50,), 90_000), torch.get_rng_state()
    assert torch.equal(crop_starts(lengths, 100, seeded(1)), crop_starts(lengths, 100, seeded(1)))
    assert not torch.equal(crop_starts(lengths, 100, seeded(1)), crop_starts(lengths, 100, seeded(2)))
    assert torch.equal(torch.get_rng_state(), untouched)


def test_crops_start_at_any_sample_of_a_very_long_clip() -> None:
    # Beyond the 24 bits of a float's fraction.
    starts = crop_starts(torch.full((10_000,), 2**28), 2**27, seeded())
    assert starts.min() >= 0 and starts.max() <= 2**27
    assert float((starts % 2).float().mean()) == pytest.approx(0.5, abs=0.03)
