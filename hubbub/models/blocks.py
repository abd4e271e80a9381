"""The blocks of a network: cutting a row of layers into blocks, and which module lies at which depth.

Fine-tuning the last blocks, learning rates by depth and gradient checkpointing go by `Network.blocks`.
"""

from collections.abc import Callable

from torch import nn

from hubbub.config import sections as settings
from hubbub.models.network import Network, NetworkError

__all__ = ["by_depth", "check_blocks", "cut", "linear_layers"]


def cut(layers: nn.Sequential, begins: Callable[[nn.Module], bool]) -> list[nn.Module]:
    """The blocks of a row of layers, each from a layer that `begins` one to the next such layer."""
    starts = [place for place, layer in enumerate(layers) if begins(layer)]
    return [layers[first:last] for first, last in zip([0, *starts[1:]], [*starts[1:], len(layers)], strict=True)]


def by_depth(network: Network) -> list[list[nn.Module]]:
    """All modules of a network of n blocks by depth: at 0 those before its first block, at 1 to n those of the blocks,
    at n + 1 those behind the last one.

    Modules outside of blocks lie behind the last block if they are registered after its beginning.
    """
    blocks = network.blocks
    depth = {id(module): number for number, block in enumerate(blocks, start=1) for module in block.modules()}
    levels: list[list[nn.Module]] = [[] for _ in range(len(blocks) + 2)]
    outside = 0
    for module in network.modules():
        at = depth.get(id(module), outside)
        outside = len(blocks) + 1 if at == len(blocks) else outside
        levels[at].append(module)
    return levels


def check_blocks(network: Network, wanted: settings.Network) -> None:
    """Raises `NetworkError` for a network without blocks, with fewer than are to be trained, or without linear layers
    for adapters."""
    blocks, count = network.blocks, wanted.trained_blocks or 0
    if count > len(blocks):
        raise NetworkError(
            f"network.trained_blocks is {count}, and {wanted.name} has {len(blocks)} blocks. Give {len(blocks)} or "
            "fewer, or leave it out to train the whole network."
        )
    if wanted.lora_rank and not any(map(linear_layers, blocks[-count:])):
        raise NetworkError(
            f"network.lora_rank is for linear layers, as Transformers have them, and the blocks of {wanted.name} that "
            "are trained have none. Set network.trained_blocks instead, or take another network."
        )


def linear_layers(block: nn.Module) -> list[nn.Linear]:
    """The linear layers of a block, which adapters are for."""
    return [layer for layer in block.modules() if type(layer) is nn.Linear]
