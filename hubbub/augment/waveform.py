"""Augmentation of waves `[B, N]` float32, with independent parameters for each, and random crops.

Sources: random speed is EnvNet's scale augmentation (Tokozume, Ushiku & Harada 2018, https://arxiv.org/abs/1711.10282);
reverberation is Polack's statistical model of a room's impulse response (Polack 1993, Playing billiards in the concert
hall, https://doi.org/10.1016/0003-682X(93)90054-A); for stretching and resampling see `speed.py`.
"""

import math
from collections.abc import Callable

import torch
from scipy.fft import next_fast_len
from torch import Generator, Tensor

from hubbub.augment.speed import HOP, resample, stretch
from hubbub.augment.transform import Transform, roll, selected, uniform
from hubbub.config import augment as settings

__all__ = ["Gain", "Invert", "Noise", "Pitch", "Reverb", "Roll", "Scale", "Stretch", "Waveform", "crop_starts"]

# So many waves fit a CPU's cache, which halves the time.
_CPU_WAVES = 8
# Below any energy; a room response of one sample has none.
_TINY = 1e-30


class Waveform:
    """The wave transforms of a recipe's `[augment]`, in order, as one function; `crop` is in `crop_starts`."""

    def __init__(self, augment: settings.Augment, rate_hz: int) -> None:
        transforms = (
            augment.invert and Invert(augment.invert),
            augment.scale and Scale(augment.scale),
            augment.stretch and Stretch(augment.stretch),
            augment.pitch and Pitch(augment.pitch),
            augment.roll and Roll(augment.roll),
            augment.reverb and Reverb(augment.reverb, rate_hz),
            augment.gain and Gain(augment.gain),
            augment.noise and Noise(augment.noise),
        )
        self.transforms: list[Transform] = [transform for transform in transforms if transform]

    @torch.no_grad()
    def __call__(self, waves: Tensor, generator: Generator) -> Tensor:
        """Waves `[B, N]` -> waves `[B, N]`; `generator` gives all random numbers and may be on another device."""
        # In half precision resampling would add audible noise.
        with torch.autocast(waves.device.type, enabled=False):
            for transform in self.transforms:
                waves = transform.apply(waves, transform.draw(waves, generator))
        return waves


class Invert:
    """Reversal in time. Parameters: whether, `[B]` bool."""

    def __init__(self, invert: settings.Invert) -> None:
        self.p = invert.p

    def draw(self, waves: Tensor, generator: Generator) -> Tensor:
        return selected(waves, generator, self.p)

    def apply(self, waves: Tensor, parameters: Tensor) -> Tensor:
        return torch.where(parameters[:, None], waves.flip(1), waves)


class Scale:
    """Speed and pitch change together; then the wave is cropped, or padded with zeros, at a random position.

    Parameters: speed `[B]`, and the position of the crop or of the wave, `[B]` from 0 (first) to 1 (last). The speed is
    rounded to a fraction with a denominator up to 128, by at most .4 %.
    """

    def __init__(self, scale: settings.Scale) -> None:
        self.p, self.factor = scale.p, scale.factor

    def draw(self, waves: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        exponent = uniform(waves, generator, self.p, -1.0, 1.0, neutral=0.0)
        position = torch.rand(len(waves), generator=generator, device=generator.device)
        return self.factor**exponent, position.to(waves.device)

    def apply(self, waves: Tensor, parameters: tuple[Tensor, Tensor]) -> Tensor:
        speed, position = parameters
        samples = waves.shape[1]
        # Slower waves are read from inside, faster ones from before their start.
        starts = (position * samples * (1 - speed)).round().long()
        return _changed(waves, speed != 1, lambda rows: resample(waves[rows], speed[rows], starts[rows], samples))


class Stretch:
    """Speed changes at the same pitch; cropped or zero-padded at the end. Parameters: speed `[B]`."""

    def __init__(self, stretch: settings.Stretch) -> None:
        self.p, self.rate = stretch.p, stretch.rate

    def draw(self, waves: Tensor, generator: Generator) -> Tensor:
        return uniform(waves, generator, self.p, *self.rate, neutral=1.0)

    def apply(self, waves: Tensor, parameters: Tensor) -> Tensor:
        return _changed(
            waves, parameters != 1, lambda rows: stretch(waves[rows], parameters[rows], samples=waves.shape[1])
        )


class Pitch:
    """Pitch changes at the same speed: stretched, then resampled. Parameters: semitones `[B]`.

    Shifts of less than 7 cents may be rounded to none, see `Scale`.
    """

    def __init__(self, pitch: settings.Pitch) -> None:
        self.p, self.semitones = pitch.p, pitch.semitones

    def draw(self, waves: Tensor, generator: Generator) -> Tensor:
        return uniform(waves, generator, self.p, *self.semitones, neutral=0.0)

    def apply(self, waves: Tensor, parameters: Tensor) -> Tensor:
        return _changed(waves, parameters != 0, lambda rows: self._shift(waves[rows], parameters[rows]))

    def _shift(self, waves: Tensor, semitones: Tensor) -> Tensor:
        samples, speeds = waves.shape[1], 2 ** (semitones / 12)
        # One more hop than is read, so that no wave's end depends on the length of the others.
        longer = stretch(waves, 1 / speeds, math.ceil(samples * float(speeds.max())) + HOP)
        return resample(longer, speeds, torch.zeros_like(speeds, dtype=torch.long), samples)


class Roll:
    """Circular shift in time. Parameters: samples to the right `[B]` int."""

    def __init__(self, roll: settings.Roll) -> None:
        self.p, self.fraction = roll.p, roll.fraction

    def draw(self, waves: Tensor, generator: Generator) -> Tensor:
        shift = uniform(waves, generator, self.p, -self.fraction, self.fraction, neutral=0.0)
        return (shift * waves.shape[1]).round().long()

    def apply(self, waves: Tensor, parameters: Tensor) -> Tensor:
        return roll(waves, parameters)


class Reverb:
    """Reverberation: convolution with white Gaussian noise that decays by 60 dB in `decay_s`, at the level of the wave.

    The direct sound keeps its position; `wet` is the reverberation's share of the energy. All frequencies decay equally
    fast; the segment begins without reverberation of earlier sound.

    Parameters: wet `[B]`, decay [s] `[B]`, noise of sd 1 `[B, L]`.
    """

    def __init__(self, reverb: settings.Reverb, rate_hz: int) -> None:
        self.p, self.decay_s, self.wet, self.rate_hz = reverb.p, reverb.decay_s, reverb.wet, rate_hz

    def draw(self, waves: Tensor, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
        wet = uniform(waves, generator, self.p, *self.wet, neutral=0.0)
        decay_s = uniform(waves, generator, 1.0, *self.decay_s, neutral=0.0)
        # Cut at -60 dB, or at the segment's length.
        length = min(math.ceil(self.decay_s[1] * self.rate_hz), waves.shape[1])
        noise = torch.randn(len(waves), length, generator=generator, device=generator.device)
        return wet, decay_s, noise.to(waves.device)

    def apply(self, waves: Tensor, parameters: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        wet, decay_s, noise = parameters
        return _changed(
            waves, wet > 0, lambda rows: self._reverberated(waves[rows], wet[rows], decay_s[rows], noise[rows])
        )

    def _reverberated(self, waves: Tensor, wet: Tensor, decay_s: Tensor, noise: Tensor) -> Tensor:
        samples, length = waves.shape[1], noise.shape[1]
        time_s = torch.arange(length, device=waves.device) / self.rate_hz
        response = noise * 10 ** (-3 * time_s / decay_s[:, None])
        response[:, 0] = 0
        response *= (wet / response.square().sum(1).clamp_min(_TINY)).sqrt()[:, None]
        response[:, 0] = (1 - wet).sqrt()
        size = next_fast_len(samples + length - 1, real=True)
        reverberated = torch.fft.irfft(torch.fft.rfft(waves, size) * torch.fft.rfft(response, size), size)[:, :samples]
        before, after = (some.square().mean(1) for some in (waves, reverberated))
        return reverberated * torch.where(after > 0, before / after, 1.0).sqrt()[:, None]


class Gain:
    """Louder or softer. Parameters: change of level [dB], `[B]`."""

    def __init__(self, gain: settings.Gain) -> None:
        self.p, self.db = gain.p, gain.db

    def draw(self, waves: Tensor, generator: Generator) -> Tensor:
        return uniform(waves, generator, self.p, *self.db, neutral=0.0)

    def apply(self, waves: Tensor, parameters: Tensor) -> Tensor:
        return waves * 10 ** (parameters[:, None] / 20)


class Noise:
    """White Gaussian noise is added; an SNR is relative to the wave's RMS, so silence gets none.

    Parameters: its level `[B]`, as sd (full scale 1) or as SNR [dB], and noise of sd 1 `[B, N]`.
    """

    def __init__(self, noise: settings.Noise) -> None:
        self.p, self.sd, self.snr_db = noise.p, noise.sd, noise.snr_db

    def draw(self, waves: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        if self.snr_db is None:
            assert self.sd is not None  # the settings require one of the two
            level = uniform(waves, generator, self.p, *self.sd, neutral=0.0)
        else:
            level = uniform(waves, generator, self.p, *self.snr_db, neutral=math.inf)
        noise = torch.randn(waves.shape, generator=generator, device=generator.device)
        return level, noise.to(waves.device)

    def apply(self, waves: Tensor, parameters: tuple[Tensor, Tensor]) -> Tensor:
        level, noise = parameters
        sd = level if self.snr_db is None else waves.square().mean(1).sqrt() * 10 ** (-level / 20)
        # Also keeps the sign of zeros.
        return torch.where(sd[:, None] > 0, torch.addcmul(waves, sd[:, None], noise), waves)


def crop_starts(lengths: Tensor, size: int, generator: Generator) -> Tensor:
    """Random starts of windows of `size` samples in clips of `lengths` `[B]` int -> `[B]` int, uniform.

    In a longer clip: from 0 to length - size. A shorter clip is zero-padded on both sides: from -(size - length) to 0.
    """
    slack = lengths - size
    # Integers, since floats cannot index every sample of a long recording. The remainder of such large ones is uniform.
    chance = torch.randint(2**48, lengths.shape, generator=generator, device=generator.device).to(lengths.device)
    return chance % (slack.abs() + 1) * slack.sign()


def _changed(waves: Tensor, selected: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """`waves` with the rows where `selected` `[B]` is true replaced by `change(rows)`."""
    changed, rows = waves.clone(), selected.nonzero()[:, 0]
    at_once = _CPU_WAVES if waves.device.type == "cpu" else len(waves)
    for begin in range(0, len(rows), at_once):
        some = rows[begin : begin + at_once]
        changed[some] = change(some)
    return changed
