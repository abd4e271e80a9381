"""An exponential moving average (EMA) of a network's weights, which varies less than the weights of single steps.

Averaging: Polyak & Juditsky 1992, SIAM J. Control Optim. 30(4); exponential: Tarvainen & Valpola 2017, arXiv
1703.01780. BatchNorm statistics are averaged with the weights.
"""

from collections.abc import Iterator
from copy import deepcopy
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["EMA"]


class EMA(nn.Module):
    """The moving average of `model`'s weights in `module`, with `decay` per step.

    The decay is smaller in the first steps, so that the initial weights are soon forgotten. `steps` is the number of
    updates; in a checkpoint it is `n_averaged`, as torch's `AveragedModel` names it.
    """

    n_averaged: Tensor

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__()
        self.decay, self.steps = decay, 0
        self.module = deepcopy(model)
        self.register_buffer("n_averaged", torch.tensor(0))
        self.requires_grad_(False)  # otherwise DDP waits for gradients that never come

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average towards `model`'s weights; the first update copies them.

        `steps` is a number of this process: to read it from an accelerator would wait for its work.
        """
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps)) if self.steps else 0.0
        fractions: list[tuple[Tensor, Tensor]] = []
        counts: list[tuple[Tensor, Tensor]] = []
        for pair in zip(_tensors(self.module), _tensors(model), strict=True):
            (fractions if pair[0].is_floating_point() else counts).append(pair)
        average, current = map(list, zip(*fractions, strict=True))
        torch._foreach_lerp_(average, current, 1 - decay)
        for count, latest in counts:
            count.copy_(latest)
        self.steps += 1
        self.n_averaged += 1

    @torch.no_grad()
    def swap_with(self, model: nn.Module) -> None:
        """Exchange the average with `model`'s weights; a second call restores both."""
        average = self.module.state_dict()
        for name, tensor in model.state_dict().items():
            before = tensor.clone()
            tensor.copy_(average[name])
            average[name].copy_(before)

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        self.steps = int(self.n_averaged)


def _tensors(model: nn.Module) -> Iterator[Tensor]:
    return chain(model.parameters(), model.buffers())
