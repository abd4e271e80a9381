"""attention: squeeze-and-excitation and CBAM against their papers' formulas, in plain numpy."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hubbub.models.attention import CBAM, SqueezeExcitation

CHANNELS, REDUCTION = 32, 4
Array = NDArray[np.float64]

both = pytest.mark.parametrize("kind", [SqueezeExcitation, CBAM])


def made(kind: Callable[..., nn.Module], *sizes: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return kind(*(sizes or (CHANNELS, REDUCTION))).double()


def maps() -> Tensor:
    return torch.randn(3, CHANNELS, 9, 11, generator=torch.Generator().manual_seed(1)).double()


def array(tensor: Any) -> Array:
    return tensor.detach().numpy()


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def bottleneck(values: Array, layers: nn.Module) -> Array:
    down, up = (array(parameter) for parameter in layers.parameters())
    return np.maximum(values @ down.T, 0) @ up.T


def test_squeeze_excitation_is_the_papers_formula() -> None:
    block, x = made(SqueezeExcitation), maps()
    values = array(x)
    squeezed = values.sum(axis=(2, 3)) / (9 * 11)
    expected = values * sigmoid(bottleneck(squeezed, block.excite))[:, :, None, None]
    np.testing.assert_allclose(array(block(x)), expected, rtol=1e-12)


@pytest.mark.parametrize("kernel", [7, 3])
def test_cbam_is_the_papers_formula(kernel: int) -> None:
    block, x = made(CBAM, CHANNELS, REDUCTION, kernel), maps()
    values = array(x)
    heard = bottleneck(values.mean(axis=(2, 3)), block.channel) + bottleneck(values.max(axis=(2, 3)), block.channel)
    values = values * sigmoid(heard)[:, :, None, None]
    half = kernel // 2
    seen = np.pad(
        np.stack([values.mean(axis=1), values.max(axis=1)], axis=1), [(0, 0), (0, 0), (half,) * 2, (half,) * 2]
    )
    weights = array(block.place.weight)[0]
    place = np.zeros((3, 9, 11))
    for row in range(9):
        for column in range(11):
            place[:, row, column] = (seen[:, :, row : row + kernel, column : column + kernel] * weights).sum(
                axis=(1, 2, 3)
            )
    np.testing.assert_allclose(array(block(x)), values * sigmoid(place)[:, None], rtol=1e-12)


@both
def test_each_value_is_weighed_by_a_factor_between_0_and_1(kind: Callable[..., nn.Module]) -> None:
    x = maps()
    factor = made(kind)(x) / x
    assert 0 < factor.min() < factor.max() < 1


def test_squeeze_excitation_weighs_a_channel_alike_everywhere() -> None:
    x = maps()
    factor = made(SqueezeExcitation)(x) / x
    torch.testing.assert_close(factor, factor[:, :, :1, :1].expand_as(factor))
    assert factor.std(dim=1).min() > 1e-4
    # Where a cell stands does not matter to it; to CBAM it does.
    order = torch.randperm(9 * 11, generator=torch.Generator().manual_seed(2))
    for kind, blind in ((SqueezeExcitation, True), (CBAM, False)):
        block = made(kind)
        moved = block(x.flatten(2)[:, :, order].view_as(x))
        assert torch.allclose(moved, block(x).flatten(2)[:, :, order].view_as(x)) == blind


@both
@pytest.mark.parametrize("order", [[2, 0, 1]])
def test_rows_do_not_see_each_other(kind: Callable[..., nn.Module], order: list[int]) -> None:
    block, x = made(kind), maps()
    torch.testing.assert_close(block(x[order]), block(x)[order])
    torch.testing.assert_close(block(x[:1]), block(x)[:1])


@pytest.mark.parametrize(("kind", "share"), [(SqueezeExcitation, 0.5), (CBAM, 0.25)])
def test_without_weights_it_is_a_constant_share(kind: Callable[..., nn.Module], share: float) -> None:
    block, x = made(kind), maps()
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    torch.testing.assert_close(block(x), share * x)


def test_cbams_place_leaves_channels_alone_and_its_channels_places() -> None:
    x = maps()
    channels_only, places_only = made(CBAM), made(CBAM)
    nn.init.zeros_(channels_only.place.weight)
    for parameter in places_only.channel.parameters():
        nn.init.zeros_(parameter)
    factor = channels_only(x) / x
    torch.testing.assert_close(factor, factor[:, :, :1, :1].expand_as(factor))
    factor = places_only(x) / x
    torch.testing.assert_close(factor, factor[:, :1].expand_as(factor))
    assert factor.std(dim=(2, 3)).min() > 1e-4


@pytest.mark.parametrize("channels", [64, 256, 2048])
def test_parameters_are_the_papers(channels: int) -> None:
    def count(block: nn.Module) -> int:
        return sum(parameter.numel() for parameter in block.parameters())

    assert count(SqueezeExcitation(channels)) == 2 * channels**2 // 16  # SE, section 4: 2 C^2 / r a block
    assert count(CBAM(channels)) == 2 * channels**2 // 16 + 2 * 7 * 7


def test_resnet50_with_se_after_each_stage_costs_07_m() -> None:
    added = sum(2 * channels**2 // 16 for channels in (256, 512, 1024, 2048))
    assert added == sum(p.numel() for c in (256, 512, 1024, 2048) for p in SqueezeExcitation(c).parameters()) == 696_320


@both
def test_fewer_channels_than_the_reduction_will_do(kind: Callable[..., nn.Module]) -> None:
    block = made(kind, 8, 16)
    assert block(torch.ones(1, 8, 5, 5).double()).shape == (1, 8, 5, 5)


@both
def test_gradients_reach_every_parameter_and_the_map(kind: Callable[..., nn.Module]) -> None:
    block, x = made(kind), maps().requires_grad_()
    block(x).square().sum().backward()
    for tensor in (x, *block.parameters()):
        assert tensor.grad is not None and torch.isfinite(tensor.grad).all() and tensor.grad.any()
    assert torch.autograd.gradcheck(block, maps()[:1, :, :3, :3].requires_grad_(), fast_mode=True)
