"""Low-rank adapters of linear layers: y = W x + B A x, with W frozen, A `[rank, in]` and B `[out, rank]` trained.

Hu et al.: LoRA: Low-Rank Adaptation of Large Language Models, 2021, https://arxiv.org/abs/2106.09685. B is zero at the
start, so that an adapted network begins as what it was. The paper's factor alpha / rank is 1 here: with Adam it acts as
a factor of the learning rate.
"""

import math
from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

__all__ = ["Adapted", "adapt", "merge", "merged_state"]


class Adapted(nn.Linear):
    """A linear layer with an adapter; its own weights keep their names. Who reads `weight` gets the merged one."""

    lora_a: nn.Parameter
    lora_b: nn.Parameter

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        return self.base + self.lora_b @ self.lora_a

    @property
    def base(self) -> nn.Parameter:
        """The layer's own weights."""
        return cast(nn.Parameter, self._parameters["weight"])

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.base, self.bias) + linear(linear(x, self.lora_a), self.lora_b)


def adapt(layers: Sequence[nn.Linear], rank: int) -> None:
    """Give each layer an adapter, in place; its A is drawn as torch draws the weights of linear layers."""
    for layer in layers:
        like = layer.weight
        layer.__class__ = Adapted
        layer.lora_a = nn.Parameter(like.new_empty(rank, layer.in_features))
        layer.lora_b = nn.Parameter(like.new_zeros(layer.out_features, rank))
        nn.init.kaiming_uniform_(layer.lora_a, a=math.sqrt(5))


@torch.no_grad()
def merge(network: nn.Module) -> None:
    """Add the adapters of a network to its weights, in place: its layers are ordinary ones again."""
    for layer in network.modules():
        if isinstance(layer, Adapted):
            layer.base.copy_(layer.weight)
            del layer.lora_a, layer.lora_b
            layer.__class__ = nn.Linear  # type: ignore[assignment]


def merged_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of a network after `merge`, from one with adapters."""
    merged = {name: tensor for name, tensor in state.items() if not name.endswith((".lora_a", ".lora_b"))}
    for name in state:
        if name.endswith(".lora_a"):
            layer = name.removesuffix("lora_a")
            merged[f"{layer}weight"] = merged[f"{layer}weight"] + state[f"{layer}lora_b"] @ state[name]
    return merged
