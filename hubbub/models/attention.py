"""Attention blocks for convolutional networks: squeeze-and-excitation and CBAM.

Ideas: Hu, Shen, Albanie, Sun, Wu: Squeeze-and-Excitation Networks, https://arxiv.org/abs/1709.01507; Woo, Park, Lee,
Kweon: CBAM: Convolutional Block Attention Module, https://arxiv.org/abs/1807.06521. Both multiply a feature map by
factors in (0, 1) computed from it. As in the papers' formulas, no layer has a bias.
"""

import torch
from torch import Tensor, nn

__all__ = ["CBAM", "SqueezeExcitation"]


class _Bottleneck(nn.Sequential):
    """Channels `[B, C]` -> `[B, C]` through C / `reduction` hidden units (at least one)."""

    def __init__(self, channels: int, reduction: int) -> None:
        hidden = max(channels // reduction, 1)
        super().__init__(
            nn.Linear(channels, hidden, bias=False), nn.ReLU(inplace=True), nn.Linear(hidden, channels, bias=False)
        )


class SqueezeExcitation(nn.Module):
    """Maps `[B, C, F, W]` -> the same shape; each channel is multiplied by a factor computed from all channel means."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.excite = _Bottleneck(channels, reduction)

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.sigmoid(self.excite(x.mean(dim=(2, 3))))
        return x * weights[:, :, None, None]


class CBAM(nn.Module):
    """Maps `[B, C, F, W]` -> the same shape, weighted first by channel, then by position.

    Channels: one small network takes their means and their maxima. Positions: a convolution of size `kernel` (odd) over
    the mean and the maximum of the channels.
    """

    def __init__(self, channels: int, reduction: int = 16, kernel: int = 7) -> None:
        super().__init__()
        self.channel = _Bottleneck(channels, reduction)
        self.place = nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.sigmoid(self.channel(x.mean(dim=(2, 3))) + self.channel(x.amax(dim=(2, 3))))
        x = x * weights[:, :, None, None]
        summary = torch.stack([x.mean(dim=1), x.amax(dim=1)], dim=1)
        return x * torch.sigmoid(self.place(summary))
