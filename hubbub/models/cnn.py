"""A small convolutional network on log-mel spectrograms: four blocks of convolution, BatchNorm, ReLU and pooling.

The plain design of the field (VGG-style blocks, global pooling); small enough for two cores.
"""

import torch
from torch import Tensor, nn

from hubbub.models.network import Network

__all__ = ["SMALLEST_INPUT", "SmallCNN"]

BLOCKS = 4
SMALLEST_INPUT = 2 ** (BLOCKS - 1)


class SmallCNN(Network):
    """Spectrograms `[B, F, W]` -> logits `[B, num_classes]`.

    The first BatchNorm standardises each band, with statistics that come from training batches alone. Any F and W from
    `SMALLEST_INPUT` on will do.
    """

    def __init__(self, num_classes: int, n_mels: int = 64, width: int = 16, dropout: float = 0.2) -> None:
        super().__init__(dropout)
        self.norm = nn.BatchNorm1d(n_mels)
        blocks: list[nn.Module] = []
        channels = 1
        for block in range(BLOCKS):
            filters = width * 2**block
            blocks += [nn.Conv2d(channels, filters, 3, padding=1, bias=False), nn.BatchNorm2d(filters), nn.ReLU(True)]
            blocks += [nn.MaxPool2d(2)] if block < BLOCKS - 1 else []
            channels = filters
        self.body = nn.Sequential(*blocks)
        self.fc = nn.Linear(channels, num_classes)

    @property
    def cam_layer(self) -> nn.Module:
        return self.body

    def embed(self, spectrogram: Tensor) -> Tensor:
        """Spectrograms `[B, F, W]` -> embeddings `[B, 8 * width]`: the mean plus the maximum over the map."""
        x = self.norm(spectrogram).unsqueeze(1).contiguous(memory_format=torch.channels_last)
        x = self.body(x)
        return x.mean(dim=(2, 3)) + x.amax(dim=(2, 3))
