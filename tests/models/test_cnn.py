"""cnn: a convolution whose kernels get their gradient in parts equals torch's."""

import pytest
import torch
from torch import Tensor, nn

from hubbub.models import cnn
from hubbub.models.cnn import Convolution


def gradients(layer: nn.Conv2d, x: Tensor, *, learns_input: bool = True) -> list[Tensor | None]:
    """The output, and the gradients of input and kernels, in bfloat16."""
    x = x.clone().requires_grad_(learns_input)
    with torch.autocast("cpu", torch.bfloat16):
        output = layer(x)
    output.float().square().sum().backward()
    return [output, x.grad, layer.weight.grad]


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("most", [2, 3, 4, 5])
@pytest.mark.parametrize("learns_input", [True, False])
def test_gradients_in_parts_are_those_of_the_whole(
    monkeypatch: pytest.MonkeyPatch, most: int, stride: int, learns_input: bool
) -> None:
    monkeypatch.setattr(cnn, "MOST_CHANNELS", most)
    torch.manual_seed(0)
    whole = nn.Conv2d(5, 4, 3, stride, padding=1, bias=False)
    parts = Convolution(5, 4, 3, stride, padding=1, bias=False)
    parts.load_state_dict(whole.state_dict())
    x = torch.randn(2, 5, 6, 7).contiguous(memory_format=torch.channels_last)
    output, *rest = gradients(parts, x, learns_input=learns_input)
    expected, *others = gradients(whole, x, learns_input=learns_input)
    assert output is not None and ("InParts" in type(output.grad_fn).__name__) == (most < 5)
    assert torch.equal(output, expected)
    for ours, theirs in zip(rest, others, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=1e-2)


def test_it_is_torchs_in_single_precision_and_in_evaluation() -> None:
    layer, x = Convolution(2 * cnn.MOST_CHANNELS, 2, 3, padding=1, bias=False), torch.randn(1, 256, 4, 4)
    assert "InParts" not in type(layer(x).grad_fn).__name__
    with torch.autocast("cpu", torch.bfloat16):
        assert "InParts" in type(layer(x).grad_fn).__name__
        assert "InParts" not in type(layer.eval()(x).grad_fn).__name__
