"""Augmentation of spectrograms `[B, F, W]` [dB], bands by frames, with independent parameters for each.

Sources: masks are SpecAugment's (Park et al. 2019, https://arxiv.org/abs/1904.08779), without its time warping; patches
of one size are random erasing (Zhong et al. 2017, https://arxiv.org/abs/1708.04896), known for spectrograms as
PatchAugment; gains of bands are FilterAugment's linear type (Nam, Kim & Park 2022, https://arxiv.org/abs/2110.03282).
Masked cells get the segment's current mean, so masks work at any level. Sizes are limited to that of the
spectrogram.
"""

import torch
from torch import Generator, Tensor, nn

from hubbub.augment.transform import Transform, roll, selected, uniform, uniform_int
from hubbub.config import augment as settings

__all__ = ["BandGain", "FreqMask", "FreqShift", "Magnitude", "Patches", "Spectrogram", "TimeMask", "TimeShift"]


class Spectrogram:
    """The spectrogram transforms of a recipe's `[augment]`, in order, as one function."""

    def __init__(self, augment: settings.Augment) -> None:
        transforms = (
            augment.time_shift and TimeShift(augment.time_shift),
            augment.freq_shift and FreqShift(augment.freq_shift),
            augment.magnitude and Magnitude(augment.magnitude),
            augment.band_gain and BandGain(augment.band_gain),
            augment.time_mask and TimeMask(augment.time_mask),
            augment.freq_mask and FreqMask(augment.freq_mask),
            augment.patches and Patches(augment.patches),
        )
        self.transforms: list[Transform] = [transform for transform in transforms if transform]

    @torch.no_grad()
    def __call__(self, spectrograms: Tensor, generator: Generator) -> Tensor:
        """`[B, F, W]` [dB] -> `[B, F, W]`; `generator` gives all random numbers and may be on another device."""
        for transform in self.transforms:
            spectrograms = transform.apply(spectrograms, transform.draw(spectrograms, generator))
        return spectrograms


class TimeShift:
    """Circular shift in time. Parameters: frames to the right `[B]` int."""

    def __init__(self, shift: settings.TimeShift) -> None:
        self.p, self.fraction = shift.p, shift.fraction

    def draw(self, spectrograms: Tensor, generator: Generator) -> Tensor:
        shift = uniform(spectrograms, generator, self.p, -self.fraction, self.fraction, neutral=0.0)
        return (shift * spectrograms.shape[2]).round().long()

    def apply(self, spectrograms: Tensor, parameters: Tensor) -> Tensor:
        return roll(spectrograms, parameters)


class FreqShift:
    """Shift up or down; empty bands get the segment's lowest value. Parameters: bands upwards `[B]` int."""

    def __init__(self, shift: settings.FreqShift) -> None:
        self.p, self.bands = shift.p, shift.bands

    def draw(self, spectrograms: Tensor, generator: Generator) -> Tensor:
        # At least one band of the segment stays.
        most = torch.full((len(spectrograms),), min(self.bands, spectrograms.shape[1] - 1), device=spectrograms.device)
        return (uniform_int(2 * most, generator) - most) * selected(spectrograms, generator, self.p)

    def apply(self, spectrograms: Tensor, parameters: Tensor) -> Tensor:
        bands = spectrograms.shape[1]
        source = (torch.arange(bands, device=spectrograms.device) - parameters[:, None])[..., None]
        shifted = spectrograms.gather(1, source.clamp(0, bands - 1).expand_as(spectrograms))
        inside = (source >= 0) & (source < bands)
        return torch.where(inside, shifted, spectrograms.amin((1, 2), keepdim=True))


class Magnitude:
    """Contrast: multiplies the distance from the segment's loudest cell. Parameters: factor `[B]`."""

    def __init__(self, magnitude: settings.Magnitude) -> None:
        self.p, self.factor = magnitude.p, magnitude.factor

    def draw(self, spectrograms: Tensor, generator: Generator) -> Tensor:
        return uniform(spectrograms, generator, self.p, *self.factor, neutral=1.0)

    def apply(self, spectrograms: Tensor, parameters: Tensor) -> Tensor:
        factor = parameters[:, None, None]
        loudest = spectrograms.amax((1, 2), keepdim=True)
        # A factor of 1 would still round.
        return torch.where(factor == 1, spectrograms, loudest + (spectrograms - loudest) * factor)


class BandGain:
    """Adds a gain to each band, linear between points. Parameters: gains at the points `[B, points]` [dB]."""

    def __init__(self, gain: settings.BandGain) -> None:
        self.p, self.db, self.points = gain.p, gain.db, gain.points

    def draw(self, spectrograms: Tensor, generator: Generator) -> Tensor:
        share = torch.rand(len(spectrograms), self.points, generator=generator, device=generator.device)
        gains = (self.db[0] + (self.db[1] - self.db[0]) * share).to(spectrograms.device)
        return gains * selected(spectrograms, generator, self.p)[:, None]

    def apply(self, spectrograms: Tensor, parameters: Tensor) -> Tensor:
        bands = spectrograms.shape[1]
        gains = nn.functional.interpolate(parameters[:, None], bands, mode="linear", align_corners=True)
        return torch.where(parameters.any(1)[:, None, None], spectrograms + gains.mT, spectrograms)


class _Mask:
    """Masks ranges of one axis. Parameters: the start and the length of each range, each `[B, count]` int."""

    axis: int

    def __init__(self, p: float, count: int, longest: int) -> None:
        self.p, self.count, self.longest = p, count, longest

    def draw(self, spectrograms: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        masked, size = selected(spectrograms, generator, self.p), spectrograms.shape[self.axis]
        most = torch.full((len(masked), self.count), min(self.longest, size), device=masked.device)
        lengths = uniform_int(most, generator) * masked[:, None]
        return uniform_int(size - lengths, generator), lengths

    def apply(self, spectrograms: Tensor, parameters: tuple[Tensor, Tensor]) -> Tensor:
        masked = _covered(*parameters, spectrograms.shape[self.axis]).any(1)
        return _mask(spectrograms, masked.unsqueeze(3 - self.axis))


class TimeMask(_Mask):
    """Masks `count` ranges of up to `frames` frames."""

    axis = 2

    def __init__(self, mask: settings.TimeMask) -> None:
        super().__init__(mask.p, mask.count, mask.frames)


class FreqMask(_Mask):
    """Masks `count` ranges of up to `bands` bands."""

    axis = 1

    def __init__(self, mask: settings.FreqMask) -> None:
        super().__init__(mask.p, mask.count, mask.bands)


class Patches:
    """Masks rectangles. Parameters: first band, first frame, height and width of each, `[B, count]` int."""

    def __init__(self, patches: settings.Patches) -> None:
        self.p, self.count, self.bands, self.frames = patches.p, patches.count, patches.bands, patches.frames

    def draw(self, spectrograms: Tensor, generator: Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        patched = selected(spectrograms, generator, self.p)[:, None].expand(-1, self.count)
        height, width = (
            patched * min(longest, size)
            for longest, size in zip((self.bands, self.frames), spectrograms.shape[1:], strict=True)
        )
        top, left = (
            uniform_int(size - extent, generator)
            for size, extent in zip(spectrograms.shape[1:], (height, width), strict=True)
        )
        return top, left, height, width

    def apply(self, spectrograms: Tensor, parameters: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
        (top, left, height, width), (bands, frames) = parameters, spectrograms.shape[1:]
        rows, columns = _covered(top, height, bands).float(), _covered(left, width, frames).float()
        # The number of patches on each cell, `[B, F, W]`; an outer product would need memory for each patch.
        return _mask(spectrograms, rows.transpose(1, 2) @ columns > 0)


def _covered(starts: Tensor, lengths: Tensor, size: int) -> Tensor:
    """Starts and lengths `[B, count]` -> which of `size` positions each range covers, `[B, count, size]` bool."""
    position = torch.arange(size, device=starts.device)
    return (position >= starts[..., None]) & (position < (starts + lengths)[..., None])


def _mask(spectrograms: Tensor, masked: Tensor) -> Tensor:
    return torch.where(masked, spectrograms.mean((1, 2), keepdim=True), spectrograms)
