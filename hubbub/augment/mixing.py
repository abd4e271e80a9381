"""Mixing the examples of a batch with each other, and their labels with them.

Labels are soft targets `[B, K]`: each class's share, which sum to 1 (`torch.nn.functional.one_hot` where nothing is
mixed yet). As sounds: between-class learning (Tokozume, Ushiku & Harada 2018, https://arxiv.org/abs/1711.10282). As
numbers: mixup (Zhang et al. 2018, https://arxiv.org/abs/1710.09412). A row that is not chosen stays as it is, bit for
bit. This room knows nothing of the loss that takes soft targets.
"""

import numpy as np
import torch
from torch import Generator, Tensor

from hubbub.augment.transform import chosen
from hubbub.config import augment as settings

__all__ = ["Between", "Mixing", "Mixup"]

# RMS at full scale 1, 120 dB down and below what 16 bits hold: no sound to weigh another by.
_SILENCE = 1e-6


class Mixing:
    """What a recipe's `[augment]` says of mixing: `between` for waves, `mixup` for what the network takes."""

    def __init__(self, augment: settings.Augment) -> None:
        self.between = augment.between and Between(augment.between)
        self.mixup = augment.mixup and Mixup(augment.mixup)

    @torch.no_grad()
    def waves(self, waves: Tensor, targets: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Waves `[B, N]` and soft targets `[B, K]` -> the same, some mixed with sounds of other classes."""
        if not self.between:
            return waves, targets
        return self.between.apply(waves, targets, self.between.draw(waves, targets, generator))

    @torch.no_grad()
    def spectrograms(self, inputs: Tensor, targets: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Spectrograms, pictures or waves `[B, ...]` and soft targets `[B, K]` -> the same, some mixed."""
        if not self.mixup:
            return inputs, targets
        return self.mixup.apply(inputs, targets, self.mixup.draw(inputs, generator))


class Between:
    """Two sounds of different classes, the label's shares r and 1 - r those of what is heard of each.

    Amplitudes have the ratio of r to 1 - r after both sounds were made equally loud, and the sum has the energy two
    unrelated sounds of such weights would have: equation 2 of the paper. The paper takes as a sound's level the largest
    A-weighted one of its windows; here it is the segment's RMS. Classes are those of the largest targets. A silent
    segment, and one without a partner of another class, stays as it is.

    Parameters: partner `[B]` int, and the segment's own share r `[B]`, 1 where it is not mixed.
    """

    def __init__(self, between: settings.Between) -> None:
        self.p = between.p

    def draw(self, waves: Tensor, targets: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        classes, heard = targets.argmax(1), _rms(waves) > _SILENCE
        fits = (classes[:, None] != classes) & heard & heard[:, None]
        mixed = chosen(waves, generator, self.p) & fits.any(1)
        share = torch.rand(len(waves), generator=generator, device=generator.device).to(waves.device)
        lots = torch.rand(fits.shape, generator=generator, device=generator.device).to(waves.device)
        partner = torch.where(fits, lots, -1.0).argmax(1)
        return partner, torch.where(mixed, share, 1.0)

    def apply(self, waves: Tensor, targets: Tensor, parameters: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        partner, share = parameters
        level = _rms(waves)
        # The paper's 1 / (1 + 10 ** ((G1 - G2) / 20) * (1 - r) / r) in a form without a division by zero.
        own, other = share * level[partner], (1 - share) * level
        length = torch.hypot(own, other)
        return _mixed(waves, partner, own / length, other / length, share), _labels(targets, partner, share)


class Mixup:
    """Two examples and their labels as weighted means of each other, partners by a random order of the batch.

    Parameters: partner `[B]` int, and the example's own share `[B]`, 1 where it is not mixed.
    """

    def __init__(self, mixup: settings.Mixup) -> None:
        self.p, self.alpha = mixup.p, mixup.alpha

    def draw(self, inputs: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        mixed = chosen(inputs, generator, self.p)
        partner = torch.randperm(len(inputs), generator=generator, device=generator.device).to(inputs.device)
        # torch's Beta knows no generator, and made of two Gammas it would be 0 / 0 for a small alpha.
        seed = int(torch.randint(2**63 - 1, (), generator=generator, device=generator.device))
        share = torch.from_numpy(np.random.default_rng(seed).beta(self.alpha, self.alpha, len(inputs)))
        return partner, torch.where(mixed, share.float().to(inputs.device), 1.0)

    def apply(self, inputs: Tensor, targets: Tensor, parameters: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        partner, share = parameters
        return _mixed(inputs, partner, share, 1 - share, share), _labels(targets, partner, share)


def _rms(waves: Tensor) -> Tensor:
    return waves.square().mean(1).sqrt()


def _labels(targets: Tensor, partner: Tensor, share: Tensor) -> Tensor:
    return _mixed(targets, partner, share, 1 - share, share)


def _mixed(rows: Tensor, partner: Tensor, own: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """Rows `[B, ...]` weighed by `own` plus their partners weighed by `other`; as they are where `share` is 1."""
    own, other, share = (weight.view(-1, *[1] * (rows.ndim - 1)) for weight in (own, other, share))
    return torch.where(share < 1, rows * own + rows[partner] * other, rows)
