"""Synthetic sounds that are of no class, in place of some training segments.

Outlier exposure (Hendrycks, Mazeika & Dietterich 2019, https://arxiv.org/abs/1812.04606): a network that is trained to
score such sounds alike for all classes is less sure of other sounds that it does not know. They are synthesised, so no
recordings are needed and none of what it is later tested on is used.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from numpy.random import Generator as Random
from scipy import signal
from torch import Generator, Tensor

from hubbub.augment.transform import over, selected

__all__ = ["KINDS", "Outliers", "outlier_wave"]

Wave = npt.NDArray[np.float64]
#: Sounds that are drawn from in a training.
COUNT = 256
#: Peaks of the sounds: from, to [dB of full scale].
PEAK_DB = (-30.0, -1.0)
#: The first two resonances of a vocal tract: from, to [Hz].
_FORMANTS = ((250.0, 900.0), (800.0, 2500.0))


class Outliers:
    """Replaces rows of a batch by outliers, whose labels are all classes alike.

    `bank` `[COUNT, ...]` holds the outliers as the network's training gets its segments: waves or spectrograms.
    """

    def __init__(self, p: float, bank: Tensor, classes: int) -> None:
        self.p, self.bank, self.classes = p, bank, classes

    @torch.no_grad()
    def replace(self, rows: Tensor, targets: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Rows `[B, ...]` and soft targets `[B, K + ...]` -> the same, some of them replaced; what follows the labels
        becomes zero."""
        chosen = selected(rows, generator, self.p)
        which = torch.randint(len(self.bank), (len(rows),), generator=generator, device=generator.device)
        if self.bank.device != rows.device:
            self.bank = self.bank.to(rows.device)
        alike = torch.zeros_like(targets)
        alike[:, : self.classes] = 1 / self.classes
        replaced = torch.where(over(chosen, rows), self.bank[which.to(rows.device)], rows)
        return replaced, torch.where(chosen[:, None], alike, targets)


def outlier_wave(number: int, samples: int, rate_hz: int) -> npt.NDArray[np.float32]:
    """Outlier `number`, `[samples]`: the same for the same arguments. Kinds take turns."""
    random = np.random.default_rng([number, samples, rate_hz])
    wave = KINDS[number % len(KINDS)](random, samples, rate_hz)
    if random.random() < 0.5:  # a floor of noise, as in recordings
        wave = wave / np.abs(wave).max() + _noise(random, samples, rate_hz) * 10 ** random.uniform(-3, -1)
    peak = 10 ** (random.uniform(*PEAK_DB) / 20)
    return (wave * (peak / np.abs(wave).max())).astype(np.float32)


def _noise(random: Random, samples: int, rate_hz: int) -> Wave:
    """Steady noise with a slope and a few broad bumps in its spectrum; RMS 1."""
    spectrum = np.fft.rfft(random.standard_normal(samples))
    octaves = np.log2(np.maximum(np.fft.rfftfreq(samples, 1 / rate_hz), 20.0) / 1000)
    db = random.uniform(-9, 3) * octaves
    for _ in range(random.integers(0, 4)):
        centre, width = random.uniform(-4, 3), random.uniform(0.1, 1.0)
        db += random.uniform(-15, 15) * np.exp(-0.5 * ((octaves - centre) / width) ** 2)
    wave = np.fft.irfft(spectrum * 10 ** (db / 20), samples)
    return np.asarray(wave / np.sqrt(np.mean(wave**2)))


def _wavering_noise(random: Random, samples: int, rate_hz: int) -> Wave:
    """Noise whose level wavers."""
    return _noise(random, samples, rate_hz) * np.exp(random.uniform(0.3, 1.5) * _drift(random, samples, rate_hz, 8.0))


def _tones(random: Random, samples: int, rate_hz: int) -> Wave:
    """One to four steady tones with harmonics: test tones and mains hum."""
    seconds, wave = np.arange(samples) / rate_hz, np.zeros(samples)
    for _ in range(random.integers(1, 5)):
        pitch = random.choice([50.0, 60.0, np.exp(random.uniform(np.log(40), np.log(0.45 * rate_hz)))])
        for partial in range(1, random.integers(2, 12)):
            if partial * pitch < 0.48 * rate_hz:
                phase = random.uniform(0, 2 * np.pi)
                wave += np.sin(2 * np.pi * partial * pitch * seconds + phase) / partial ** random.uniform(0.5, 2)
    return wave


def _sweep(random: Random, samples: int, rate_hz: int) -> Wave:
    """A sine that sweeps up or down, once or again and again."""
    low, high = np.exp(np.sort(random.uniform(np.log(60), np.log(0.45 * rate_hz), 2)))
    turns = random.uniform(0.3, 6)
    place = signal.sawtooth(2 * np.pi * turns * np.arange(samples) / samples, random.choice([0.5, 1.0]))
    return np.asarray(np.sin(2 * np.pi * np.cumsum(low * (high / low) ** ((place + 1) / 2)) / rate_hz))


def _clicks(random: Random, samples: int, rate_hz: int) -> Wave:
    """Clicks at random or regular times, each a short decaying resonance."""
    hits = np.zeros(samples)
    count = random.integers(1, 60)
    times = np.linspace(0, samples - 1, count) if random.random() < 0.5 else random.uniform(0, samples - 1, count)
    hits[times.astype(int)] = random.uniform(0.2, 1, count)
    return _resonate(hits, random.uniform(200, 0.4 * rate_hz), random.uniform(30, 2000), rate_hz)


def _melody(random: Random, samples: int, rate_hz: int) -> Wave:
    """Notes of a scale with harmonics and decay."""
    wave, at = np.zeros(samples), 0
    root, decay = random.uniform(110, 440), random.uniform(1, 12)
    while at < samples:
        length = min(int(random.choice([0.12, 0.25, 0.5]) * rate_hz), samples - at)
        seconds = np.arange(length) / rate_hz
        pitch = root * 2 ** (random.choice([0, 2, 4, 5, 7, 9, 11, 12]) / 12)
        note = sum(np.sin(2 * np.pi * k * pitch * seconds) / k for k in range(1, 8) if k * pitch < 0.48 * rate_hz)
        wave[at : at + length] += note * np.exp(-decay * seconds)
        at += int(length * random.choice([1, 1, 1, 2]))
    return wave


def _babble(random: Random, samples: int, rate_hz: int) -> Wave:
    """Syllables of a voice that says nothing: pulses of the vocal folds through changing resonances, and hisses."""
    wave, at = np.zeros(samples), int(random.uniform(0, 0.3) * rate_hz)
    base, rate = np.exp(random.uniform(np.log(85), np.log(320))), random.uniform(2.5, 6.5)
    while at < samples:
        length = int(rate_hz * random.uniform(0.6, 1.4) / rate)
        pitch = base * np.exp(0.15 * _drift(random, length, rate_hz, 4.0) + random.uniform(-0.15, 0.15))
        phase = np.cumsum(pitch / rate_hz)
        sound = np.diff(np.floor(phase), prepend=0.0) + 0.01 * random.standard_normal(length)
        for low, high in _FORMANTS:
            sound = _resonate(sound, random.uniform(low, high), random.uniform(50, 120), rate_hz)
        sound = sound / (np.abs(sound).max() + 1e-9)
        hiss = min(int(random.uniform(0, 0.1) * rate_hz), length)
        if hiss and random.random() < 0.5:
            start = random.integers(0, length - hiss + 1)
            shaped = _resonate(random.standard_normal(hiss), random.uniform(2500, 0.4 * rate_hz), 1500, rate_hz)
            sound[start : start + hiss] = 0.3 * shaped / (np.abs(shaped).max() + 1e-9)
        part = min(length, samples - at)
        wave[at : at + part] += (sound * np.hanning(length) ** 0.5)[:part] * random.uniform(0.4, 1)
        at += int(length * random.uniform(0.8, 1.1)) + int(rate_hz * random.exponential(0.25) * (random.random() < 0.2))
    return wave if wave.any() else _noise(random, samples, rate_hz)


def _drift(random: Random, samples: int, rate_hz: int, hz: float) -> Wave:
    """A slow random course with a deviation of 1, that turns about `hz` times a second."""
    knots = max(int(samples / rate_hz * hz), 2) + 1
    return np.interp(np.linspace(0, knots - 1, samples), np.arange(knots), random.standard_normal(knots))


def _resonate(wave: Wave, hz: float, width_hz: float, rate_hz: int) -> Wave:
    """A wave through one resonance."""
    radius = np.exp(-np.pi * width_hz / rate_hz)
    return np.asarray(signal.lfilter([1.0], [1.0, -2 * radius * np.cos(2 * np.pi * hz / rate_hz), radius**2], wave))


#: The kinds of outliers.
KINDS: tuple[Callable[[Random, int, int], Wave], ...] = (
    *(_noise, _babble, _wavering_noise, _tones, _babble, _sweep, _clicks, _melody),
)
