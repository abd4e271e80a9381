"""An exponential moving average (EMA) of a network's weights, which varies less than the weights of single steps.

Averaging: Polyak & Juditsky 1992, SIAM J. Control Optim. 30(4); exponential: Tarvainen & Valpola 2017, arXiv
1703.01780. BatchNorm statistics are averaged with the weights.
"""

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

__all__ = ["EMA"]

Tensors = tuple[Tensor, ...] | list[Tensor]


class EMA(AveragedModel):
    """The moving average of `model`'s weights, with `decay` per step.

    The decay is smaller in the first steps, so that the initial weights are soon forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        super().__init__(model, multi_avg_fn=self._update, use_buffers=True)
        self.requires_grad_(False)  # otherwise DDP waits for gradients that never come

    @torch.no_grad()
    def _update(self, averaged: Tensors, current: Tensors, steps: Tensor | int) -> None:
        if averaged[0].is_floating_point():
            decay = min(self.decay, (1 + int(steps)) / (10 + int(steps)))
            torch._foreach_lerp_(averaged, current, 1 - decay)
        else:
            torch._foreach_copy_(averaged, current)

    @torch.no_grad()
    def swap_with(self, model: nn.Module) -> None:
        """Exchange the average with `model`'s weights; a second call restores both."""
        average = self.module.state_dict()
        for name, tensor in model.state_dict().items():
            before = tensor.clone()
            tensor.copy_(average[name])
            average[name].copy_(before)
