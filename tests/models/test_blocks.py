"""blocks: every network's lie one behind the other, and share nothing."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from hubbub.models.blocks import by_depth, cut
from hubbub.models.network import Network, NetworkError
from hubbub.models.registry import WAVE_ENCODERS
from tests.models.test_registry import TIMM, each, fresh

#: The blocks of each network.
COUNTS = {
    **{"cnn": 4, "compact": 8, "framewise": 8, "baseline": 5, "cnn1d": 3, "transformer": 2, "small": 8},
    **{"alexnet": 7, "vgg16": 15, "resnet18": 8, "resnet50": 16, "mobilenet_v2": 19, "inception_v3": 11},
    **{"efficientnet_b0": 18, "convnext_tiny": 22, "mobilenetv4_conv_small": 17, "test_vit": 6},
    **{"yamnet": 14, "yamnet_framewise": 14, "esresnext": 4, "audioclip": 4, "mn04_as": 17, "mn10_as": 17},
    **{"cnn14": 6, "beats": 12},
}
#: Those of the hub's networks: of the tests' small checkpoints, and of the default ones, which the guide gives.
SMALL = {**dict.fromkeys(WAVE_ENCODERS, 3), "ast": 3, "whisper": 2, "clap": 2}
DEFAULT = {"wav2vec2": 12, "hubert": 12, "wavlm": 12, "ast": 12, "whisper": 6, "clap": 4}


@each
def test_data_pass_through_the_blocks_in_their_order(name: str) -> None:
    network, inputs = fresh(name)
    blocks = network.blocks
    assert len(blocks) == (COUNTS | SMALL)[name]
    called: list[int] = []
    hooks = [
        module.register_forward_hook(lambda *_, number=number: called.append(number))
        for number, block in enumerate(blocks)
        for module in block.modules()
    ]
    with torch.inference_mode():
        network.logits(inputs)
    for hook in hooks:
        hook.remove()
    assert sorted(set(called)) == list(range(len(blocks)))
    assert called == sorted(called)


@each
def test_every_module_lies_at_one_depth_and_none_of_the_added_within_a_block(name: str) -> None:
    network, _ = fresh(name)
    levels = by_depth(network)
    lying = [id(module) for level in levels for module in level]
    assert sorted(lying) == sorted(id(module) for module in network.modules())
    within = {id(module) for level in levels[1:-1] for module in level}
    assert not within & {id(module) for one in network.added() for module in one.modules()}
    for level, block in zip(levels[1:-1], network.blocks, strict=True):
        assert {id(p) for module in level for p in module.parameters(recurse=False)} == {
            id(p) for p in block.parameters()
        }


@pytest.mark.parametrize("name", ["beats", "test_vit", "convnext_tiny", "yamnet", "esresnext"])
def test_what_is_before_the_blocks_and_what_is_behind(name: str) -> None:
    """By the names that whoever knows the network expects."""
    expected = {
        "beats": ("patch_embedding", "encoder.pos_conv", "fc"),
        "test_vit": ("body.patch_embed", "body.patch_embed", "body.norm"),
        "convnext_tiny": ("body", "body.features", "fc"),
        "yamnet": ("frontend", "body", "fc"),
        "esresnext": ("fbsp", "conv1", "att5"),
    }[name]
    network, _ = fresh(name)
    levels = by_depth(network)
    before, behind = ({id(module) for module in level} for level in (levels[0], levels[-1]))
    assert {id(network.get_submodule(part)) for part in expected[:2]} <= before
    assert id(network.get_submodule(expected[2])) in behind


def test_the_guide_has_the_number_of_blocks_of_each_network() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    written = {}
    for line in guide.partition("| with linear layers, for adapters |\n")[2].partition("\n\n")[0].splitlines():
        cells = line.split("|")
        names, counts = re.findall(r"`(\w+)`", cells[1]), re.findall(r"\d+", cells[2])
        written |= dict(zip(names, map(int, counts * (len(names) if len(counts) == 1 else 1)), strict=True))
    assert written == {name: count for name, count in COUNTS.items() if name not in TIMM} | DEFAULT


def test_a_row_of_layers_is_cut_before_each_first_layer() -> None:
    row = nn.Sequential(nn.Dropout(), nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 4), nn.ReLU(), nn.Dropout())
    blocks = cut(row, lambda layer: isinstance(layer, nn.Linear))
    assert [[*map(id, block.children())] for block in blocks] == [[*map(id, row[:3])], [*map(id, row[3:])]]


def test_a_network_without_blocks_says_which_settings_go_by_them() -> None:
    with pytest.raises(NetworkError, match=r"the blocks of Network are not known, .*network\.lora_rank"):
        _ = Network().blocks
