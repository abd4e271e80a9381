"""hubbub's own network: a plain CNN of 1.2 M parameters, to train from scratch on two cores and to run on a phone.

Blocks of two convolutions and a pool (Simonyan & Zisserman 2015, arXiv 1409.1556), after a first convolution that
already halves bands and frames: on a processor the early, large maps cost most and add least. Mean and maximum over the
last map are added: some sounds fill a recording, others are one event in it (Kong et al. 2020, arXiv 1912.10211).
"""

import torch
from torch import Tensor, nn

from hubbub.models.cnn import by_band
from hubbub.models.network import Network

__all__ = ["Compact"]

CONVOLUTIONS = (1, 2, 2, 2)  # of each block


class Compact(Network):
    """Spectrograms `[B, F, W]` -> logits `[B, num_classes]`; any F and W from `SMALLEST` on.

    The first BatchNorm standardises each band, with statistics that come from training batches alone. `width` is the
    first block's channels, and each further block doubles them.
    """

    WIDTH = 32
    SMALLEST = 2 ** len(CONVOLUTIONS) - 1

    def __init__(self, num_classes: int, n_mels: int = 64, width: int = WIDTH, dropout: float = 0.0) -> None:
        super().__init__(dropout)
        self.norm = nn.BatchNorm1d(n_mels)
        layers, channels = _convolution(1, width, 5, stride=2), width
        for block, count in enumerate(CONVOLUTIONS):
            layers += [nn.MaxPool2d(2)] if block else []
            for _ in range(count):
                layers += _convolution(channels, width * 2**block, 3)
                channels = width * 2**block
        self.body = nn.Sequential(*layers).to(memory_format=torch.channels_last)
        self.fc = nn.Linear(channels, num_classes)

    @property
    def cam_layer(self) -> nn.Module:
        return self.body

    def embed(self, x: Tensor) -> Tensor:
        """Spectrograms `[B, F, W]` -> embeddings `[B, 8 * width]`: the mean plus the maximum over the last map."""
        x = self.body(by_band(x, self.norm))
        return x.mean(dim=(2, 3)) + x.amax(dim=(2, 3))


def _convolution(channels: int, filters: int, size: int, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(channels, filters, size, stride, padding=size // 2, bias=False)
    return [convolution, nn.BatchNorm2d(filters), nn.ReLU(inplace=True)]
