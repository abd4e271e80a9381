"""What a network consists of: layers, output shapes, parameters, multiply-adds and memory, from one pass.

torchinfo follows the layers; torch's counter of operations counts multiply-adds, since it sees those of functions as
well (attention, the filters of ESResNeXt's front end).
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torchinfo
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from hubbub.models.network import Network

__all__ = ["Layer", "NetworkSummary", "summarise_network"]


@dataclass(frozen=True)
class Layer:
    """One module: its name in the network, class, output without the batch (empty where it was not called), all of its
    parameters, those of them that are trained, and multiply-adds for one segment."""

    name: str
    depth: int
    kind: str
    output: tuple[int, ...]
    parameters: int
    trained: int
    multiply_adds: int


@dataclass(frozen=True)
class NetworkSummary:
    """A network for one segment of the shape `input`. `activation_bytes` are the outputs of its layers with parameters,
    about what training keeps for the backward pass."""

    input: tuple[int, ...]
    layers: list[Layer]
    parameters: int
    trained: int
    multiply_adds: int
    parameter_bytes: int
    activation_bytes: int


def summarise_network(network: Network, segment: Tensor, trained: list[nn.Parameter], depth: int) -> NetworkSummary:
    """Passes one segment `[1, ...]` through the network, as in a prediction. `trained` are the parameters that training
    changes; layers are listed down to this depth."""
    with _plain_attention(), FlopCounterMode(display=False) as counter:
        found = torchinfo.summary(network, input_data=[segment], depth=depth, verbose=0, device=segment.device)
    operations = {name: sum(by_kind.values()) // 2 for name, by_kind in counter.get_flop_counts().items()}
    outputs = {info.layer_id: tuple(info.output_size[1:]) for info in found.summary_list if info.executed}
    root, learning = type(network).__name__, {id(p) for p in trained}
    layers = []
    for name, module in network.named_modules():
        own, level = list(module.parameters()), name.count(".") + 1
        called = id(module) in outputs and not isinstance(module, nn.Identity)
        if name and level <= depth and (called or own):
            parameters, changed = sum(p.numel() for p in own), sum(p.numel() for p in own if id(p) in learning)
            output, adds = outputs.get(id(module), ()), operations.get(f"{root}.{name}", 0)
            layers.append(Layer(name, level, type(module).__name__, output, parameters, changed, adds))
    every = list(network.parameters())
    return NetworkSummary(
        tuple(segment.shape[1:]),
        layers,
        sum(p.numel() for p in every),
        sum(p.numel() for p in trained),
        operations.get("Global", 0),
        sum(p.numel() * p.element_size() for p in every),
        found.total_output_bytes // 2,  # torchinfo doubles them, for the gradients
    )


@contextlib.contextmanager
def _plain_attention() -> Iterator[None]:
    """Attention by operations that are counted, instead of one that is not."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
