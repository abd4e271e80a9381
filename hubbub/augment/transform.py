"""The interface of a transform, and the random draws that transforms share.

`draw` draws parameters for each row from a generator; `apply` is a pure function of rows and parameters. A row that is
not selected gets the neutral parameter and stays bit-identical.
"""

from typing import Any, Protocol

import torch
from torch import Generator, Tensor

__all__ = ["Transform", "over", "roll", "selected", "uniform", "uniform_int"]


class Transform(Protocol):
    """A random transform of waves or spectrograms `[B, ...]`."""

    def draw(self, rows: Tensor, generator: Generator, /) -> Any:
        """Parameters for rows `[B, ...]`: a tensor `[B]`, or a tuple of tensors with one row each."""

    def apply(self, rows: Tensor, parameters: Any, /) -> Tensor:
        """Rows `[B, ...]` and their parameters -> new rows `[B, ...]`."""


def uniform(rows: Tensor, generator: Generator, p: float, low: float, high: float, *, neutral: float) -> Tensor:
    """One value per row `[B]`: with probability `p` uniform from `low` to `high`, else `neutral`."""
    chance, share = torch.rand(2, len(rows), generator=generator, device=generator.device)
    return torch.where(chance < p, low + (high - low) * share, neutral).to(rows.device)


def selected(rows: Tensor, generator: Generator, p: float) -> Tensor:
    """Whether each row is transformed, `[B]` bool: with probability `p`."""
    return uniform(rows, generator, p, 1.0, 1.0, neutral=0.0) == 1


def over(values: Tensor, rows: Tensor) -> Tensor:
    """One value a row, `[B]`, in a shape that spreads over `rows` `[B, ...]`."""
    return values.view(-1, *[1] * (rows.ndim - 1))


def roll(rows: Tensor, steps: Tensor) -> Tensor:
    """Rows `[B, ..., N]` shifted right circularly along their last axis by `steps` `[B]` int."""
    size = rows.shape[-1]
    source = torch.arange(size, device=rows.device) - steps[:, None]
    source %= size  # in place: twice as fast
    return rows.gather(-1, source.view(len(rows), *[1] * (rows.ndim - 2), size).expand_as(rows))


def uniform_int(most: Tensor, generator: Generator) -> Tensor:
    """Uniform integers from 0 to `most` inclusive; `most` is an int tensor of any shape."""
    share = torch.rand(most.shape, generator=generator, device=generator.device).to(most.device)
    return ((most + 1) * share).long().minimum(most)  # the product may be rounded up to `most` + 1
