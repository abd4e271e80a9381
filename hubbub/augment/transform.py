"""What a transform is, and the draws that transforms share.

A transform has two methods: `draw` takes one set of parameters a row from the generator it is given, `apply` is a pure
function of rows and parameters. A row that is not chosen gets the neutral parameter and stays as it is, bit for bit.
"""

from typing import Any, Protocol

import torch
from torch import Generator, Tensor

__all__ = ["Transform", "chosen", "evenly", "rolled", "whole"]


class Transform(Protocol):
    """What waves or spectrograms `[B, ...]` can be put through."""

    def draw(self, rows: Tensor, generator: Generator, /) -> Any:
        """Parameters for rows `[B, ...]`: a tensor `[B]`, or a tuple of tensors with one row each."""

    def apply(self, rows: Tensor, parameters: Any, /) -> Tensor:
        """Rows `[B, ...]` and their parameters -> rows `[B, ...]`; those given are not written to."""


def evenly(rows: Tensor, generator: Generator, p: float, low: float, high: float, *, neutral: float) -> Tensor:
    """One value a row `[B]`: drawn evenly from `low` to `high` for the share `p`, `neutral` for the others."""
    chance, place = torch.rand(2, len(rows), generator=generator, device=generator.device)
    return torch.where(chance < p, low + (high - low) * place, neutral).to(rows.device)


def chosen(rows: Tensor, generator: Generator, p: float) -> Tensor:
    """The share `p` of rows, `[B]` bool."""
    return evenly(rows, generator, p, 1.0, 1.0, neutral=0.0) == 1


def rolled(rows: Tensor, places: Tensor) -> Tensor:
    """Rows `[B, ..., N]` shifted right along their last axis by `places` `[B]` int, what leaves it coming back."""
    size = rows.shape[-1]
    source = torch.arange(size, device=rows.device) - places[:, None]
    source %= size  # in place: half the time
    return rows.gather(-1, source.view(len(rows), *[1] * (rows.ndim - 2), size).expand_as(rows))


def whole(most: Tensor, generator: Generator) -> Tensor:
    """Whole numbers from 0 to `most` (any shape, int), that included, drawn evenly -> the same shape, int."""
    place = torch.rand(most.shape, generator=generator, device=generator.device).to(most.device)
    return ((most + 1) * place).long().minimum(most)  # a product just below a number may be rounded up to it
