"""recompute: gradients and statistics as without, and less that is kept."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hubbub.models.network import Network
from hubbub.training.recompute import recomputed
from tests.models.test_registry import build, loss_of

#: Blocks that are modules, rows of layers, and modules beside each other.
NETWORKS = ["transformer", "cnn", "resnet18", "yamnet", "mn04_as", "test_vit"]


def step(network: Network, inputs: Tensor, recomputing: bool) -> dict[str, Tensor]:
    """Gradients and buffers after one pass in training mode, with dropout."""
    torch.manual_seed(7)
    if recomputing:
        with recomputed(network):
            loss = loss_of(network, inputs)
    else:
        loss = loss_of(network, inputs)
    torch.rand(5)  # what is drawn in between must not matter
    loss.backward()
    return {name: p.grad for name, p in network.named_parameters()} | dict(network.named_buffers())


@pytest.mark.parametrize("name", [*NETWORKS, pytest.param("esresnext", marks=pytest.mark.slow)])
def test_gradients_and_statistics_are_the_same(name: str) -> None:
    network, inputs = build(name)
    plain = step(copy.deepcopy(network), inputs, recomputing=False)
    again = step(network, inputs, recomputing=True)
    assert plain.keys() == again.keys()
    for key, tensor in plain.items():
        torch.testing.assert_close(again[key], tensor, rtol=1e-4, atol=1e-6, msg=lambda text, key=key: f"{key}: {text}")


@pytest.mark.parametrize("name", ["transformer", "cnn"])
def test_nothing_of_it_stays(name: str) -> None:
    network, inputs = build(name)
    with recomputed(network):
        loss = loss_of(network, inputs)
    loss.backward()
    assert not [module for module in network.modules() if "forward" in vars(module)]
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert all(norm.momentum == 0.1 and norm.num_batches_tracked == 1 for norm in norms)


def kept(network: Network, inputs: Tensor, recomputing: bool) -> int:
    """Bytes that a training pass keeps for the backward pass, each storage once: saved tensors, and the inputs of
    blocks that are computed again."""
    held: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        held[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    def before(_: nn.Module, args: tuple[Any, ...]) -> None:
        keep(args[0])

    hooks = [block.register_forward_pre_hook(before) for block in network.blocks if recomputing]
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        if recomputing:
            with recomputed(network):
                loss = loss_of(network, inputs)
        else:
            loss = loss_of(network, inputs)
    for hook in hooks:
        hook.remove()
    own = {p.untyped_storage().data_ptr() for p in network.parameters()}
    assert loss.requires_grad
    return sum(tensor.untyped_storage().nbytes() for place, tensor in held.items() if place not in own)


@pytest.mark.parametrize("name", ["transformer", "test_vit"])
def test_a_transformer_keeps_less(name: str) -> None:
    network, inputs = build(name)
    assert kept(network, inputs, recomputing=True) < 0.3 * kept(network, inputs, recomputing=False)


def test_frozen_blocks_are_computed_as_ever() -> None:
    network, inputs = build("transformer")
    network.blocks[0].requires_grad_(False)
    seen: list[bool] = []
    with recomputed(network):
        for block in network.blocks:
            seen.append("forward" in vars(block))
        network.logits(inputs)
    assert seen == [False, True]
