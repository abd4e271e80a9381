"""What of a network a training changes: the added layers, all of the backbone or its last blocks, or adapters.

Learning rates by depth are as in the fine-tuning of BEiT (Bao et al. 2021, https://arxiv.org/abs/2106.08254).
"""

from collections import defaultdict
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from hubbub.config.recipe import Recipe
from hubbub.models.blocks import by_depth, linear_layers
from hubbub.models.lora import adapt
from hubbub.models.network import Network

__all__ = ["Tuning"]


class Tuning:
    """The parameters of `network` that the recipe trains, and how its layers behave meanwhile.

    `shares` are the parameters of the backbone that are trained, by their share of its learning rate, in rising order.
    A recipe with adapters gives the network some, drawn from `seed`.
    """

    def __init__(self, network: Network, recipe: Recipe, seed: int) -> None:
        self.network, self.recipe = network, recipe
        settings = recipe.network
        levels = by_depth(network) if recipe.by_blocks else [list(network.modules())]
        blocks = max(len(levels) - 2, 0)
        first = blocks + 1 - (settings.trained_blocks or blocks) if settings.keeps_weights and blocks else 0
        if settings.lora_rank:
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                trained_blocks = network.blocks[first - 1 :]
                adapt([layer for block in trained_blocks for layer in linear_layers(block)], settings.lora_rank)
        seen = {id(p) for p in network.groups()["head"]}
        shares: dict[float, list[nn.Parameter]] = defaultdict(list)
        for depth, level in enumerate(levels):
            share = recipe.train.layer_decay ** max(blocks - depth, 0)
            for name, parameter in _own_parameters(level) if depth >= first else ():
                adapter = name.startswith("lora_")
                if id(parameter) not in seen and (adapter or not settings.lora_rank):
                    seen.add(id(parameter))
                    shares[share].append(parameter)
        self.shares = dict(sorted(shares.items()))
        learning = {id(m) for level in levels[first:] for m in level} | {
            id(m) for one in network.added() for m in one.modules()
        }
        # What contains a trained module is in training mode as well: an auxiliary classifier needs it.
        self._resting = [
            module
            for level in levels[:first]
            for module in level
            if not any(id(inner) in learning for inner in module.modules())
        ]

    @property
    def trained(self) -> list[nn.Parameter]:
        """All parameters that the training changes."""
        backbone = [] if self.recipe.network.mode == "head" else [p for some in self.shares.values() for p in some]
        return [*self.network.groups()["head"], *backbone]

    def groups(self) -> list[dict[str, Any]]:
        """The optimizer's groups of parameters: `name` says whose learning rate is theirs, `share` how much of it."""
        groups: list[dict[str, Any]] = [{"params": self.network.groups()["head"], "name": "head", "share": 1.0}]
        if not self.recipe.frozen:
            groups += [{"params": some, "name": "backbone", "share": share} for share, some in self.shares.items()]
        return groups

    def freeze(self, frozen: bool) -> None:
        """Let the backbone's trained parameters have gradients, or, if `frozen`, none of it; the rest never has."""
        for parameter in self.network.groups()["backbone"]:
            parameter.requires_grad_(False)
        for some in self.shares.values():
            for parameter in some:
                parameter.requires_grad_(not frozen)

    def start_epoch(self, frozen: bool) -> None:
        """Set the layers' modes for an epoch: those that are not trained keep their statistics, and drop nothing."""
        self.freeze(frozen)
        self.network.train(not frozen)
        for module in self._resting:
            module.eval()
        for module in (self.network.dropout, *self.network.added()):
            module.train()
        if self.recipe.train.bn_eval or self.recipe.network.lora_rank:
            for module in self.network.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()


def _own_parameters(level: list[nn.Module]) -> list[tuple[str, nn.Parameter]]:
    return [named for module in level for named in module.named_parameters(recurse=False)]
