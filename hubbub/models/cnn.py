"""Small convolutional networks on spectrograms: VGG-style blocks and global pooling.

`SmallCNN` trains on two cores; `Baseline` is the reference of attention networks on ESC-50 and EmoDB; `Compact` is
hubbub's own.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn

from hubbub.models.blocks import cut
from hubbub.models.network import Network, NetworkError

__all__ = ["Banded", "Baseline", "Compact", "SmallCNN", "as_images", "convolution"]


def as_images(x: Tensor, channels: int) -> Tensor:
    """Spectrograms `[B, F, W]`, copied to each channel, or images `[B, channels, F, W]` -> `[B, channels, F, W]`.

    In channels-last memory format, the fastest for convolutions. Raises `NetworkError` for other shapes.
    """
    if x.dim() == 3:
        x = x.unsqueeze(1).expand(-1, channels, -1, -1)
    if x.dim() == 4 and x.shape[1] == 3 != channels:
        raise NetworkError(
            "a colour image, but one channel is expected: set network.channels = 3 or frontend.colours = 'none'."
        )
    if x.dim() != 4 or x.shape[1] != channels:
        raise NetworkError(
            f"an input of shape {list(x.shape)}: give spectrograms [B, F, W] or images [B, {channels}, F, W]."
        )
    return x.contiguous(memory_format=torch.channels_last)


class Banded(Network):
    """Spectrograms `[B, F, W]`, a BatchNorm of each of `n_mels` bands, then `body` -> logits `[B, num_classes]`.

    The embedding is the mean plus the maximum of the map that `body` computes, with `channels` channels.
    """

    def __init__(self, num_classes: int, n_mels: int, body: nn.Sequential, channels: int, dropout: float) -> None:
        super().__init__(dropout)
        self.norm = nn.BatchNorm1d(n_mels)
        self.body = body
        self.fc = nn.Linear(channels, num_classes)

    @property
    def blocks(self) -> list[nn.Module]:
        return cut(self.body, lambda layer: isinstance(layer, nn.Conv2d))

    @property
    def cam_layer(self) -> nn.Module:
        return self.body

    def embed(self, x: Tensor) -> Tensor:
        """Spectrograms `[B, F, W]` -> embeddings `[B, channels]`. Raises `NetworkError` for other shapes."""
        if x.dim() != 3 or x.shape[1] != self.norm.num_features:
            raise NetworkError(
                f"an input of shape {list(x.shape)}, but spectrograms [B, {self.norm.num_features}, frames] are "
                f"expected: set frontend.n_mels = {self.norm.num_features} and frontend.colours = 'none'."
            )
        x = self.body(self.norm(x).unsqueeze(1).contiguous(memory_format=torch.channels_last))
        return x.mean(dim=(2, 3)) + x.amax(dim=(2, 3))


class SmallCNN(Banded):
    """Spectrograms `[B, F, W]` -> logits `[B, num_classes]`: four blocks of convolution, BatchNorm, ReLU and pooling.

    F and W are at least `SMALLEST`; embeddings are `[B, 8 * width]`.
    """

    BLOCKS = 4
    WIDTH = 16
    SMALLEST = 2 ** (BLOCKS - 1)

    def __init__(self, num_classes: int, n_mels: int = 64, width: int = WIDTH, dropout: float = 0.2) -> None:
        blocks: list[nn.Module] = []
        channels = 1
        for block in range(self.BLOCKS):
            filters = width * 2**block
            blocks += convolution(channels, filters)
            blocks += [nn.MaxPool2d(2)] if block < self.BLOCKS - 1 else []
            channels = filters
        super().__init__(num_classes, n_mels, nn.Sequential(*blocks), channels, dropout)


class Baseline(Network):
    """Spectrograms `[B, F, W]` or images `[B, channels, F, W]` -> logits `[B, num_classes]`.

    Five blocks of convolution, BatchNorm, ReLU and pooling, the mean over the map, and a layer of 256 units. F and W
    are at least `SMALLEST`.
    """

    FILTERS = (32, 64, 128, 256, 256)
    SMALLEST = 2 ** len(FILTERS)
    EMBEDDING = 256

    def __init__(self, num_classes: int, channels: int = 1, dropout: float = 0.3) -> None:
        super().__init__(dropout)
        self.channels = channels
        blocks: list[nn.Module] = []
        for before, filters in zip((channels, *self.FILTERS), self.FILTERS, strict=False):
            blocks += [*convolution(before, filters), nn.MaxPool2d(2)]
        self.body = nn.Sequential(*blocks)
        self.hidden = nn.Linear(self.FILTERS[-1], self.EMBEDDING)
        self.fc = nn.Linear(self.EMBEDDING, num_classes)

    @property
    def blocks(self) -> list[nn.Module]:
        return cut(self.body, lambda layer: isinstance(layer, nn.Conv2d))

    @property
    def cam_layer(self) -> nn.Module:
        return self.body[-2]  # before the last pooling, which would halve the resolution

    def embed(self, x: Tensor) -> Tensor:
        """Spectrograms `[B, F, W]` or images `[B, channels, F, W]` -> embeddings `[B, 256]`."""
        x = self.body(as_images(x, self.channels))
        return torch.relu(self.hidden(x.mean(dim=(2, 3))))


#: The input channels whose kernels get their gradient at once.
MOST_CHANNELS = 128


class Convolution(nn.Conv2d):
    """A convolution without bias, whose training in bfloat16 on a CPU does not slow down beside other programs.

    For more input channels than `MOST_CHANNELS`, oneDNN's gradient of the kernels lets its threads wait for each other
    by spinning: as long as another program has the core of one of them, for tens of milliseconds. So the gradient is
    computed in parts, for which they do not wait.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type == "cpu" and self.training and torch.is_autocast_enabled("cpu"):
            kind = torch.get_autocast_dtype("cpu")
            if kind == torch.bfloat16 and self.in_channels > MOST_CHANNELS:
                return cast(Tensor, _InParts.apply(x.to(kind), self.weight.to(kind), self.stride, self.padding))
        return super().forward(x)


class _InParts(torch.autograd.Function):
    """A convolution whose kernels get their gradient for some input channels at a time."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernels: Tensor, stride: tuple[int, int], padding: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(x, kernels)
        ctx.settings = None, stride, padding, (1, 1), False, (0, 0), 1
        return nn.functional.conv2d(x, kernels, None, stride, padding)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, None, None]:
        (gradient,), (x, kernels) = gradients, ctx.saved_tensors
        backward = torch.ops.aten.convolution_backward
        of_input = None
        if ctx.needs_input_grad[0]:
            of_input = backward(gradient, x, kernels, *ctx.settings, (True, False, False))[0]
        layout = torch.channels_last
        parts = zip(x.split(MOST_CHANNELS, dim=1), kernels.split(MOST_CHANNELS, dim=1), strict=True)
        of_kernels = [
            backward(gradient, part.contiguous(memory_format=layout), some.contiguous(memory_format=layout),
                     *ctx.settings, (False, True, False))[1]
            for part, some in parts
        ]  # fmt: skip
        return of_input, torch.cat(of_kernels, dim=1), None, None


def convolution(channels: int, filters: int, size: int = 3, stride: int = 1) -> list[nn.Module]:
    """A convolution that keeps the map's size (except for `stride`), BatchNorm and ReLU."""
    kernels = Convolution(channels, filters, size, stride, padding=size // 2, bias=False)
    return [kernels, nn.BatchNorm2d(filters), nn.ReLU(inplace=True)]


#: The number of convolutions in each block of `Compact`.
CONVOLUTIONS = (1, 2, 2, 2)


class Compact(Banded):
    """Spectrograms `[B, F, W]` -> logits `[B, num_classes]`: 1.2 M parameters, trained from scratch on two cores.

    Blocks of two convolutions and pooling (Simonyan & Zisserman 2015, arXiv 1409.1556), after a first convolution that
    halves bands and frames: on a CPU the early, large maps take most of the time. Mean and maximum over the last map
    are added, because some sounds fill a recording and others are a single event (Kong et al. 2020, arXiv 1912.10211).

    F and W are at least `SMALLEST`. `width` is the number of channels of the first block, doubled by each later one;
    embeddings are `[B, 8 * width]`.
    """

    WIDTH = 32
    SMALLEST = 2 ** len(CONVOLUTIONS) - 1

    def __init__(self, num_classes: int, n_mels: int = 64, width: int = WIDTH, dropout: float = 0.0) -> None:
        layers, channels = convolution(1, width, 5, stride=2), width
        for block, count in enumerate(CONVOLUTIONS):
            layers += [nn.MaxPool2d(2)] if block else []
            for _ in range(count):
                layers += convolution(channels, width * 2**block)
                channels = width * 2**block
        body = nn.Sequential(*layers).to(memory_format=torch.channels_last)
        super().__init__(num_classes, n_mels, body, channels, dropout)
