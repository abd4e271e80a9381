"""Gradient checkpointing: what is inside of a block is computed again in the backward pass, instead of being kept.

Chen et al.: Training Deep Nets with Sublinear Memory Cost, 2016, https://arxiv.org/abs/1604.06174.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from hubbub.models.network import Network

__all__ = ["recomputed"]


@contextmanager
def recomputed(network: Network) -> Iterator[None]:
    """Within it the trained blocks of a network keep only their inputs for the backward pass, which may come later.

    The second computation has the first one's dropout, and leaves the statistics of BatchNorm as they are.
    """
    called = {id(module) for module in network.modules()}
    with ExitStack() as replaced:
        for block in network.blocks:
            if not any(parameter.requires_grad for parameter in block.parameters()):
                continue
            if id(block) in called:
                replaced.enter_context(_forward(block, _checkpointed(block.forward, block)))
            elif isinstance(block, nn.Sequential):  # the network calls its layers: the first one computes them all
                first, *others = block
                replaced.enter_context(_forward(first, _checkpointed(_row([m.forward for m in block]), block)))
                for layer in others:
                    replaced.enter_context(_forward(layer, _unchanged))
            else:
                for part in block.children():
                    replaced.enter_context(_forward(part, _checkpointed(part.forward, part)))
        yield


@contextmanager
def _forward(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """Give a module another `forward`."""
    module.forward = forward
    try:
        yield
    finally:
        del module.forward


def _checkpointed(forward: Callable[..., Any], block: nn.Module) -> Callable[..., Any]:
    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _without_statistics(block)

    return partial(checkpoint, forward, use_reentrant=False, context_fn=contexts)


@contextmanager
def _without_statistics(block: nn.Module) -> Iterator[None]:
    """BatchNorm does not count the batch: with a momentum of 0 its statistics stay. (Without `track_running_stats` it
    would keep other tensors than in the first computation.)"""
    norms = [m for m in block.modules() if isinstance(m, _BatchNorm) and m.training]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, held in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = held


def _row(layers: list[Callable[..., Any]]) -> Callable[..., Any]:
    def forward(x: Any) -> Any:
        for layer in layers:
            x = layer(x)
        return x

    return forward


def _unchanged(x: Tensor) -> Tensor:
    return x
