"""variants: every name does what it says, to every clip by its own chance and to none by another's."""

import numpy as np
import pytest
import torch
from torch import Tensor

from hubbub.augment import Spectrogram
from hubbub.data.clips import ClipsError
from hubbub.data.variants import (
    ORIGINAL,
    VARIANT_SETS,
    VARIANTS,
    apply_variant,
    changes_spectrograms,
    generator,
    parse_variants,
)

RATE = 16_000


def tone(hz: float, seconds: float = 1.0) -> Tensor:
    return 0.3 * torch.sin(2 * torch.pi * hz * torch.arange(round(seconds * RATE)) / RATE)


def loudest_hz(wave: Tensor) -> float:
    middle = wave[len(wave) // 8 : -len(wave) // 8]
    spectrum = torch.fft.rfft(middle * torch.hann_window(len(middle)), 8 * RATE).abs()
    return float(spectrum.argmax()) / 8


def made(variant: str, wave: Tensor, seed: int = 0, clip: str = "a") -> Tensor:
    return apply_variant(wave, RATE, variant, generator(seed, clip, variant))


def test_the_sets_are_those_of_the_published_data_sets() -> None:
    assert VARIANT_SETS["d"] == ("orig", "noisy", "pitchUp2", "stretch0.9")
    assert len(VARIANT_SETS["b"]) == 12
    assert all(names[0] == ORIGINAL and set(names) <= set(VARIANTS) for names in VARIANT_SETS.values())


def test_names_and_sets_are_joined_each_once() -> None:
    assert parse_variants("d, reverb,orig") == (*VARIANT_SETS["d"], "reverb")
    assert parse_variants("noisy") == ("noisy",)
    with pytest.raises(ClipsError, match=r"no variant 'noisi'\. Did you mean 'noisy'"):
        parse_variants("orig,noisi")


def test_the_original_is_the_clip_bit_for_bit() -> None:
    wave = torch.randn(1000)
    assert made(ORIGINAL, wave).equal(wave)


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != ORIGINAL])
def test_every_other_variant_differs_from_the_clip_and_from_its_siblings(variant: str) -> None:
    if changes_spectrograms(variant):
        apply = Spectrogram(VARIANTS[variant])
        before = torch.randn(1, 64, 100)
        after, other = (apply(before, generator(seed, "a", variant)) for seed in (0, 1))
        assert after.shape == before.shape and not after.equal(before) and not after.equal(other)
    else:
        before = tone(440)
        after = made(variant, before)
        assert len(after) != len(before) or (after - before).abs().max() > 1e-3
    assert generator(0, "a", variant).initial_seed() != generator(0, "a", ORIGINAL).initial_seed()


@pytest.mark.parametrize("variant, semitones", [("pitchUp2", 2), ("pitchDown2", -2)])
def test_pitch_moves_a_tone_and_keeps_its_length(variant: str, semitones: int) -> None:
    shifted = made(variant, tone(1000))
    assert len(shifted) == RATE
    assert loudest_hz(shifted) == pytest.approx(1000 * 2 ** (semitones / 12), rel=0.005)


@pytest.mark.parametrize("variant, rate", [("stretch0.8", 0.8), ("stretch0.9", 0.9), ("stretch1.2", 1.2)])
def test_stretching_changes_the_length_and_keeps_the_pitch(variant: str, rate: float) -> None:
    stretched = made(variant, tone(1000))
    assert len(stretched) == round(RATE / rate)
    assert loudest_hz(stretched) == pytest.approx(1000, abs=3)


@pytest.mark.parametrize("variant", ["stretch0.8", "stretch0.9", "stretch1.2"])
def test_nothing_of_a_stretched_sound_is_cut_off(variant: str) -> None:
    wave = torch.zeros(2 * RATE)
    for second in (0.2, 1.0, 1.8):
        wave[round(second * RATE) :][:1600] = tone(1000, 0.1)
    stretched = made(variant, wave)
    level = stretched.unfold(0, 400, 400).square().mean(1).sqrt() > 0.1
    starts = [k * 400 / len(stretched) for k in range(1, len(level)) if level[k] and not level[k - 1]]
    assert starts == pytest.approx([0.1, 0.5, 0.9], abs=0.02)


@pytest.mark.parametrize(
    "variant, low, high", [("noisy", 25, 25), ("noise5dB", 5, 5), ("noise15dB", 15, 15), ("noise5-15dB", 5, 15)]
)
def test_noise_has_the_level_it_says(variant: str, low: float, high: float) -> None:
    wave = tone(440)
    noise = made(variant, wave) - wave
    snr_db = float(10 * torch.log10(wave.square().mean() / noise.square().mean()))
    assert low - 0.1 <= snr_db <= high + 0.1


def test_drawn_variants_keep_to_their_ranges() -> None:
    wave = tone(440, 0.5)
    gains = [float(made("gain0.8-1.2", wave, seed).abs().max() / wave.abs().max()) for seed in range(20)]
    assert 0.8 <= min(gains) < 0.9 and 1.1 < max(gains) <= 1.2 + 1e-6
    lengths = [len(wave) / len(made("stretch0.9-1.1", wave, seed)) for seed in range(20)]
    assert 0.899 <= min(lengths) < 0.95 and 1.05 < max(lengths) <= 1.101
    for variant, low, high in (("pitchUp1-2", 1, 2), ("pitchDown1-2", -2, -1)):
        moved = [12 * np.log2(loudest_hz(made(variant, wave, seed)) / 440) for seed in range(5)]
        assert low - 0.1 <= min(moved) and max(moved) <= high + 0.1


def test_chance_depends_on_seed_clip_and_variant_alone() -> None:
    wave = tone(440)
    first = made("noisy", wave)
    torch.manual_seed(1)
    assert made("noisy", wave).equal(first)
    assert not made("noisy", wave, seed=1).equal(first)
    assert not made("noisy", wave, clip="b").equal(first)
