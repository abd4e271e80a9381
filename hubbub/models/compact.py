"""hubbub's own network: a plain CNN of 1.2 M parameters, to train from scratch on two cores and to run on a phone.

Blocks of two convolutions and a pool (Simonyan & Zisserman 2015, arXiv 1409.1556), after a first convolution that
already halves bands and frames: on a processor the early, large maps cost most and add least. Mean and maximum over the
last map are added: some sounds fill a recording, others are one event in it (Kong et al. 2020, arXiv 1912.10211).
"""

import torch
from torch import nn

from hubbub.models.cnn import Banded, convolution

__all__ = ["Compact"]

CONVOLUTIONS = (1, 2, 2, 2)  # of each block


class Compact(Banded):
    """Spectrograms `[B, F, W]` -> logits `[B, num_classes]`; any F and W from `SMALLEST` on.

    `width` is the first block's channels, and each further block doubles them; embeddings are `[B, 8 * width]`.
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
