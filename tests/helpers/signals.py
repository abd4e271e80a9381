"""Random generators and test signals as tensors."""

import torch
from torch import Generator, Tensor

__all__ = ["seeded", "sine"]


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def sine(hz: float, samples: int, rate_hz: int) -> Tensor:
    """A sine of amplitude .5, `[1, samples]`."""
    return 0.5 * torch.sin(2 * torch.pi * hz * torch.arange(samples) / rate_hz)[None]
