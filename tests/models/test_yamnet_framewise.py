"""yamnet_framewise: YAMNet's own layers, run over whole segments, and where its frames are."""

import pytest
import torch
from torch import Tensor, nn

from hubbub.models.network import Network
from hubbub.models.yamnet_framewise import FRAME, FramewiseYAMNet

LEVELS = (0, 1, 2, 3)


def build() -> FramewiseYAMNet:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return FramewiseYAMNet(5).eval()


def joined(network: Network, waves: Tensor) -> list[Tensor]:
    """What is joined of each resolution, `[B, n, 2 * C]`."""
    assert isinstance(network, FramewiseYAMNet)
    found: list[Tensor] = []
    hooks = [join.register_forward_pre_hook(lambda _, given: found.append(given[0])) for join in network.joins]
    network.embed(waves)
    for hook in hooks:
        hook.remove()
    return found


def test_a_frame_is_40_ms() -> None:
    network = build()
    assert network.frame_s == FRAME / 16_000
    counts = {1: 1, 640: 1, 641: 2, 5_120: 8, 5_121: 9, 160_000: 250}
    assert {samples: network.frames(samples) for samples in counts} == counts
    with torch.inference_mode():
        assert all(network(torch.zeros(1, n)).shape == (1, frames, 5) for n, frames in counts.items())


@pytest.mark.parametrize("level", LEVELS)
def test_what_is_joined_is_centred_on_the_last_of_its_frames(level: int) -> None:
    network = build()
    waves = (0.1 * torch.randn(1, 8 * 32 * 640, generator=torch.Generator().manual_seed(1))).requires_grad_()
    frames = 2**level
    row = 128 // frames  # in the middle, so that the whole of what it hears lies in the wave
    values = joined(network, waves)[level][0, row]
    (gradient,) = torch.autograd.grad(values.sum(), waves)
    heard = gradient[0].nonzero()
    middle = (float(heard.min()) + float(heard.max())) / 2
    assert middle == pytest.approx(((row + 1) * frames - 1) * FRAME + FRAME / 2, abs=1)


def test_joined_rows_reach_their_frames_and_lie_on_lines_between_them() -> None:
    """Each part is replaced by one that says where it is; joined, every frame says where it is, from the first whole
    part on."""
    network = build()

    class Place(nn.Module):
        def __init__(self, frames: int) -> None:
            super().__init__()
            self.frames = frames

        def forward(self, rows: Tensor) -> Tensor:
            place = (torch.arange(rows.shape[1]) + 1.0) * self.frames - 1
            return place.expand(128, -1).T.expand(len(rows), -1, -1)

    network.joins = nn.ModuleList(Place(2**level) for level in LEVELS)
    given: list[Tensor] = []
    network.norm.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    with torch.inference_mode():
        network.embed(torch.zeros(1, 100 * FRAME))
    places = given[0][0, :, 0] / len(LEVELS)
    torch.testing.assert_close(places[7:], torch.arange(7.0, 100.0))


def test_sound_is_found_in_its_frames() -> None:
    network = build()
    waves = torch.zeros(1, 100 * FRAME)
    waves[0, 40 * FRAME : 60 * FRAME] = 0.1 * torch.randn(20 * FRAME, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        early = joined(network, waves)[0][0]
        silent = joined(network, torch.zeros(1, 100 * FRAME))[0][0]
    moved = (early - silent).abs().sum(dim=1)[:100]
    assert moved[42:58].min() > 10 * max(moved[:35].max(), moved[65:].max())
