"""Augmentation of spectrograms `[B, F, W]` [dB], bands by frames, each drawn for itself.

Sources: masks are SpecAugment's (Park et al. 2019, https://arxiv.org/abs/1904.08779), without its time warping; patches
of one size are random erasing (Zhong et al. 2017, https://arxiv.org/abs/1708.04896), known for spectrograms as
PatchAugment. What is hidden takes the mean of the segment as the mask finds it, so masks work at any level; what is
longer than the spectrogram is held to it. This room knows nothing of seconds, hertz or labels.
"""

import torch
from torch import Generator, Tensor

from hubbub.augment.transform import Transform, chosen, evenly, rolled, whole
from hubbub.config import augment as settings

__all__ = ["FreqMask", "FreqShift", "Magnitude", "Patches", "Spectrogram", "TimeMask", "TimeShift"]


class Spectrogram:
    """The transforms of a recipe's `[augment]` for spectrograms, in their order, as one function."""

    def __init__(self, augment: settings.Augment) -> None:
        made = (
            augment.time_shift and TimeShift(augment.time_shift),
            augment.freq_shift and FreqShift(augment.freq_shift),
            augment.magnitude and Magnitude(augment.magnitude),
            augment.time_mask and TimeMask(augment.time_mask),
            augment.freq_mask and FreqMask(augment.freq_mask),
            augment.patches and Patches(augment.patches),
        )
        self.transforms: list[Transform] = [transform for transform in made if transform]

    @torch.no_grad()
    def __call__(self, spectrograms: Tensor, generator: Generator) -> Tensor:
        """`[B, F, W]` [dB] -> `[B, F, W]`; all chance comes from `generator`, which may live on another device."""
        for transform in self.transforms:
            spectrograms = transform.apply(spectrograms, transform.draw(spectrograms, generator))
        return spectrograms


class TimeShift:
    """Shifted in time, what leaves at one end coming back at the other. Parameters: frames to the right `[B]` int."""

    def __init__(self, shift: settings.TimeShift) -> None:
        self.p, self.fraction = shift.p, shift.fraction

    def draw(self, spectrograms: Tensor, generator: Generator) -> Tensor:
        shift = evenly(spectrograms, generator, self.p, -self.fraction, self.fraction, neutral=0.0)
        return (shift * spectrograms.shape[2]).round().long()

    def apply(self, spectrograms: Tensor, parameters: Tensor) -> Tensor:
        return rolled(spectrograms, parameters)


class FreqShift:
    """Shifted up or down, free bands taking the segment's lowest value. Parameters: bands upwards `[B]` int."""

    def __init__(self, shift: settings.FreqShift) -> None:
        self.p, self.bands = shift.p, shift.bands

    def draw(self, spectrograms: Tensor, generator: Generator) -> Tensor:
        # At least one band is left in sight.
        most = torch.full((len(spectrograms),), min(self.bands, spectrograms.shape[1] - 1), device=spectrograms.device)
        return (whole(2 * most, generator) - most) * chosen(spectrograms, generator, self.p)

    def apply(self, spectrograms: Tensor, parameters: Tensor) -> Tensor:
        bands = spectrograms.shape[1]
        source = (torch.arange(bands, device=spectrograms.device) - parameters[:, None])[..., None]
        shifted = spectrograms.gather(1, source.clamp(0, bands - 1).expand_as(spectrograms))
        inside = (source >= 0) & (source < bands)
        return torch.where(inside, shifted, spectrograms.amin((1, 2), keepdim=True))


class Magnitude:
    """Contrast: distances from the segment's loudest cell multiplied. Parameters: factor `[B]`."""

    def __init__(self, magnitude: settings.Magnitude) -> None:
        self.p, self.factor = magnitude.p, magnitude.factor

    def draw(self, spectrograms: Tensor, generator: Generator) -> Tensor:
        return evenly(spectrograms, generator, self.p, *self.factor, neutral=1.0)

    def apply(self, spectrograms: Tensor, parameters: Tensor) -> Tensor:
        factor = parameters[:, None, None]
        loudest = spectrograms.amax((1, 2), keepdim=True)
        # What is not chosen would be rounded.
        return torch.where(factor == 1, spectrograms, loudest + (spectrograms - loudest) * factor)


class _Mask:
    """Stretches along one axis hidden. Parameters: the first place of each and its length, each `[B, count]` int."""

    axis: int

    def __init__(self, p: float, count: int, longest: int) -> None:
        self.p, self.count, self.longest = p, count, longest

    def draw(self, spectrograms: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        masked, size = chosen(spectrograms, generator, self.p), spectrograms.shape[self.axis]
        most = torch.full((len(masked), self.count), min(self.longest, size), device=masked.device)
        lengths = whole(most, generator) * masked[:, None]
        return whole(size - lengths, generator), lengths

    def apply(self, spectrograms: Tensor, parameters: tuple[Tensor, Tensor]) -> Tensor:
        hidden = _covered(*parameters, spectrograms.shape[self.axis]).any(1)
        return _hide(spectrograms, hidden.unsqueeze(3 - self.axis))


class TimeMask(_Mask):
    """Stretches of time hidden: `count` of up to `frames` frames."""

    axis = 2

    def __init__(self, mask: settings.TimeMask) -> None:
        super().__init__(mask.p, mask.count, mask.frames)


class FreqMask(_Mask):
    """Bands hidden: `count` stretches of up to `bands` bands."""

    axis = 1

    def __init__(self, mask: settings.FreqMask) -> None:
        super().__init__(mask.p, mask.count, mask.bands)


class Patches:
    """Rectangles hidden. Parameters: first band, first frame, height and width of each, `[B, count]` int."""

    def __init__(self, patches: settings.Patches) -> None:
        self.p, self.count, self.bands, self.frames = patches.p, patches.count, patches.bands, patches.frames

    def draw(self, spectrograms: Tensor, generator: Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        patched = chosen(spectrograms, generator, self.p)[:, None].expand(-1, self.count)
        height, width = (
            patched * min(longest, size)
            for longest, size in zip((self.bands, self.frames), spectrograms.shape[1:], strict=True)
        )
        top, left = (
            whole(size - extent, generator)
            for size, extent in zip(spectrograms.shape[1:], (height, width), strict=True)
        )
        return top, left, height, width

    def apply(self, spectrograms: Tensor, parameters: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
        (top, left, height, width), (bands, frames) = parameters, spectrograms.shape[1:]
        rows, columns = _covered(top, height, bands).float(), _covered(left, width, frames).float()
        # How many patches lie on each cell, `[B, F, W]`: a product, where an outer one would need room for each patch.
        return _hide(spectrograms, rows.transpose(1, 2) @ columns > 0)


def _covered(starts: Tensor, lengths: Tensor, size: int) -> Tensor:
    """Starts and lengths `[B, count]` -> which of `size` places each covers, `[B, count, size]` bool."""
    place = torch.arange(size, device=starts.device)
    return (place >= starts[..., None]) & (place < (starts + lengths)[..., None])


def _hide(spectrograms: Tensor, hidden: Tensor) -> Tensor:
    return torch.where(hidden, spectrograms.mean((1, 2), keepdim=True), spectrograms)
