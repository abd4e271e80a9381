"""lora: an adapted layer begins as what it was, and merging changes no output."""

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn

from hubbub.models.lora import Adapted, adapt, merge, merged_state


class Reader(nn.Module):
    """Uses a linear layer as such, and one whose weights it reads itself, as fused attention does."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 5), nn.Linear(5, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(self.first(x).relu(), self.second.weight)


def adapted(rank: int = 2) -> Reader:
    """With adapters that are not zero."""
    torch.manual_seed(0)
    network = Reader()
    adapt([network.first, network.second], rank)
    for layer in (network.first, network.second):
        nn.init.normal_(layer.lora_b)  # type: ignore[arg-type]
    return network


def test_a_layer_begins_as_what_it_was() -> None:
    torch.manual_seed(0)
    network, x = Reader(), torch.randn(3, 6)
    before, names = network(x), list(network.state_dict())
    adapt([network.first, network.second], 2)
    assert torch.equal(network(x), before)
    assert set(network.state_dict()) - set(names) == {
        f"{layer}.lora_{part}" for layer in ("first", "second") for part in "ab"
    }
    assert [p.numel() for name, p in network.named_parameters() if "lora" in name] == [2 * 6, 5 * 2, 2 * 5, 4 * 2]


def test_the_output_is_that_of_the_sum_of_both_weights() -> None:
    network, x = adapted(), torch.randn(3, 6)
    layer = network.first
    assert isinstance(layer, Adapted)
    weight = layer.base + layer.lora_b @ layer.lora_a
    torch.testing.assert_close(layer(x), x @ weight.T + layer.bias)
    assert torch.linalg.matrix_rank(weight - layer.base) == 2


def test_gradients_reach_both_factors_however_the_weights_are_used() -> None:
    network = adapted()
    network(torch.randn(3, 6)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name


def test_merging_changes_no_output_and_leaves_an_ordinary_network() -> None:
    network, x = adapted(), torch.randn(3, 6)
    before, state = network(x), merged_state(network.state_dict())
    merge(network)
    assert [type(layer) for layer in network.children()] == [nn.Linear, nn.Linear]
    assert list(network.state_dict()) == list(Reader().state_dict())
    torch.testing.assert_close(network(x), before, rtol=0, atol=1e-5)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, state[name]), name


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))])
def test_copies_are_adapted_too(copied: object) -> None:
    """The moving average copies a network, and processes that train together get one by pickle."""
    network, x = adapted(), torch.randn(3, 6)
    other = copied(network)  # type: ignore[operator]
    assert torch.equal(other(x), network(x))
    nn.init.zeros_(other.first.lora_b)
    assert not torch.equal(other(x), network(x))


def test_a_state_dict_is_loaded_with_its_adapters() -> None:
    other, x = Reader(), torch.randn(3, 6)
    adapt([other.first, other.second], 2)
    other.load_state_dict(adapted().state_dict(), strict=True)
    assert torch.equal(other(x), adapted()(x))
