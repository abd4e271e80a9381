"""Mixes the examples of a batch with each other, and their labels alike.

Labels are soft targets `[B, K]` that sum to 1 (one-hot before mixing), or label sets: 1 for each class that is present.
Columns behind them are mixed in the same shares: what a teacher says of the segment, or which classes are annotated. A
pair of mixture and class that only one of the two parts has annotated so keeps that part's share as its weight, and is
present or absent as in that part. Waves: between-class learning (Tokozume, Ushiku & Harada 2018,
https://arxiv.org/abs/1711.10282). Any inputs: mixup (Zhang et al. 2018, https://arxiv.org/abs/1710.09412).
Spectrograms: CutMix (Yun et al. 2019, https://arxiv.org/abs/1905.04899) along time. A row that is not selected stays
bit-identical.
"""

import numpy as np
import torch
from torch import Generator, Tensor

from hubbub.augment.transform import over, selected
from hubbub.config import augment as settings

__all__ = ["BetweenClass", "CutMix", "Mixing", "Mixup"]

# RMS at -120 dB, below the resolution of 16 bits; quieter segments are not mixed.
_SILENCE = 1e-6


class Mixing:
    """Mixing as set in a recipe's `[augment]`: `between` for waves, `mixup` and `cutmix` for the network's inputs.

    The first `classes` columns of targets are the labels: of one class each, or label `sets`.
    """

    def __init__(self, augment: settings.Augment, classes: int, sets: bool = False) -> None:
        self.between = augment.between and BetweenClass(augment.between, classes, sets)
        self.mixup = augment.mixup and Mixup(augment.mixup)
        self.cutmix = augment.cutmix and CutMix(augment.cutmix)

    @torch.no_grad()
    def waves(self, waves: Tensor, targets: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Waves `[B, N]` and soft targets `[B, K]` -> the same, some of them mixed with sounds of other classes."""
        if not self.between:
            return waves, targets
        return self.between.apply(waves, targets, self.between.draw(waves, targets, generator))

    @torch.no_grad()
    def spectrograms(self, inputs: Tensor, targets: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Spectrograms, images or waves `[B, ...]` and soft targets `[B, K]` -> the same, some of them mixed."""
        mixed, labels = inputs, targets
        if self.mixup:
            mixed, labels = self.mixup.apply(inputs, targets, self.mixup.draw(inputs, generator))
        if self.cutmix:
            drawn = self.cutmix.draw(inputs, generator)
            joined, their_labels = self.cutmix.apply(inputs, targets, drawn)
            chosen = drawn[1] < 1
            mixed = torch.where(over(chosen, inputs), joined, mixed)
            labels = torch.where(chosen[:, None], their_labels, labels)
        return mixed, labels


class BetweenClass:
    """Mixes two sounds of different classes, with label shares r and 1 - r, the ratio of their loudness.

    Both sounds are scaled to equal levels, then their amplitudes to r and 1 - r, and the sum to the energy of two
    uncorrelated sounds with these weights: equation 2 of the paper. The paper's level is the largest A-weighted one of
    a sound's windows; here it is the segment's RMS. A segment's class is that of its largest target; of label `sets`
    each other set is another class. A silent segment, and one without a partner of another class, stays unchanged.

    Parameters: partner `[B]` int, and the segment's own share r `[B]`, 1 where it is not mixed.
    """

    def __init__(self, between: settings.Between, classes: int, sets: bool = False) -> None:
        self.p, self.classes, self.sets = between.p, classes, sets

    def draw(self, waves: Tensor, targets: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        labels, audible = targets[:, : self.classes], _rms(waves) > _SILENCE
        classes = torch.unique(labels, dim=0, return_inverse=True)[1] if self.sets else labels.argmax(1)
        eligible = (classes[:, None] != classes) & audible & audible[:, None]
        mixed = selected(waves, generator, self.p) & eligible.any(1)
        share = torch.rand(len(waves), generator=generator, device=generator.device).to(waves.device)
        lots = torch.rand(eligible.shape, generator=generator, device=generator.device).to(waves.device)
        partner = torch.where(eligible, lots, -1.0).argmax(1)
        return partner, torch.where(mixed, share, 1.0)

    def apply(self, waves: Tensor, targets: Tensor, parameters: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        partner, share = parameters
        level = _rms(waves)
        # The paper's 1 / (1 + 10 ** ((G1 - G2) / 20) * (1 - r) / r) in a form without a division by zero.
        own, other = share * level[partner], (1 - share) * level
        length = torch.hypot(own, other)
        return _mixed(waves, partner, own / length, other / length, share), _labels(targets, partner, share)


class Mixup:
    """Replaces two examples and their labels by weighted means; partners are a random permutation of the batch.

    Parameters: partner `[B]` int, and the example's own share `[B]`, 1 where it is not mixed.
    """

    def __init__(self, mixup: settings.Mixup) -> None:
        self.p, self.alpha = mixup.p, mixup.alpha

    def draw(self, inputs: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        return _draw_shares(inputs, generator, self.p, self.alpha)

    def apply(self, inputs: Tensor, targets: Tensor, parameters: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        partner, share = parameters
        return _mixed(inputs, partner, share, 1 - share, share), _labels(targets, partner, share)


class CutMix:
    """Joins the beginning of an example and the end of its partner at a frame. Parameters as those of `Mixup`; the
    share is that of the frames before the cut."""

    def __init__(self, cutmix: settings.CutMix) -> None:
        self.p, self.alpha = cutmix.p, cutmix.alpha

    def draw(self, inputs: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        frames = inputs.shape[-1]
        partner, share = _draw_shares(inputs, generator, self.p, self.alpha)
        return partner, (share * frames).round() / frames

    def apply(self, inputs: Tensor, targets: Tensor, parameters: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        partner, share = parameters
        frames = inputs.shape[-1]
        own = torch.arange(frames, device=inputs.device) < over((share * frames).round(), inputs)
        return torch.where(own, inputs, inputs[partner]), _labels(targets, partner, share)


def _draw_shares(inputs: Tensor, generator: Generator, p: float, alpha: float) -> tuple[Tensor, Tensor]:
    """Partners `[B]`, a random permutation, and shares `[B]` from Beta(alpha, alpha), 1 with probability 1 - p."""
    mixed = selected(inputs, generator, p)
    partner = torch.randperm(len(inputs), generator=generator, device=generator.device).to(inputs.device)
    # torch's Beta takes no generator, and as a ratio of two Gammas it would be 0 / 0 for a small alpha. A number
    # drawn on an accelerator would have to be waited for; the state of its generator is known here.
    if generator.device.type == "cuda":
        seed: int | list[int] = [generator.initial_seed(), generator.get_offset()]
    else:
        seed = int(torch.randint(2**63 - 1, (), generator=generator))
    share = torch.from_numpy(np.random.default_rng(seed).beta(alpha, alpha, len(inputs)))
    return partner, torch.where(mixed, share.float().to(inputs.device), 1.0)


def _rms(waves: Tensor) -> Tensor:
    return waves.square().mean(1).sqrt()


def _labels(targets: Tensor, partner: Tensor, share: Tensor) -> Tensor:
    return _mixed(targets, partner, share, 1 - share, share)


def _mixed(rows: Tensor, partner: Tensor, own: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """Rows `[B, ...]` times `own` plus their partners times `other`; unchanged where `share` is 1."""
    own, other, share = (over(weight, rows) for weight in (own, other, share))
    return torch.where(share < 1, rows * own + rows[partner] * other, rows)
