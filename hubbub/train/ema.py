"""A running mean of a network's weights, which is steadier than the weights of any one step.

Polyak & Juditsky 1992, SIAM J. Control Optim. 30(4); exponential as in Tarvainen & Valpola 2017, arXiv 1703.01780.
BatchNorm's statistics are averaged with the weights.
"""

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

__all__ = ["RunningMean"]

Tensors = tuple[Tensor, ...] | list[Tensor]


class RunningMean(AveragedModel):
    """The mean of `model`'s weights after each step, where a step's share falls by `decay` a step.

    It follows quickly at first, so that it does not remember what was drawn before any step.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        super().__init__(model, multi_avg_fn=self._follow, use_buffers=True)
        self.requires_grad_(False)  # several devices would wait for gradients that never come

    @torch.no_grad()
    def _follow(self, averaged: Tensors, current: Tensors, steps: Tensor | int) -> None:
        if averaged[0].is_floating_point():
            decay = min(self.decay, (1 + int(steps)) / (10 + int(steps)))
            torch._foreach_lerp_(averaged, current, 1 - decay)
        else:
            torch._foreach_copy_(averaged, current)

    @torch.no_grad()
    def swap_with(self, model: nn.Module) -> None:
        """The mean in `model`'s place and its weights here, and back when called again."""
        ours = self.module.state_dict()
        for name, theirs in model.state_dict().items():
            before = theirs.clone()
            theirs.copy_(ours[name])
            ours[name].copy_(before)
