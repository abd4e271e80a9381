"""The batches of a training: which segments, and cutting them on the device.

A data set is decoded once and stays resident: in the device's memory if it fits, else as a memory map. The segments
of a batch depend on seed and epoch only, so a resumed run sees the same batches as an unbroken one.
"""

import math
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hubbub import augment
from hubbub.audio import windows
from hubbub.config.sections import Windows
from hubbub.data.arrays import Arrays
from hubbub.data.cache import Segments, Waves, rows_of

__all__ = ["Embeddings", "Source", "Stored", "Waveforms", "class_weights", "epoch_batches"]

Rows = npt.NDArray[np.intp]
Targets = npt.NDArray[np.int64]
#: The largest share of a device's free memory for the data.
SHARE_OF_MEMORY = 0.5


class Source(Protocol):
    """Examples by number, each with its class in `targets` `[S]`."""

    targets: Tensor

    def __len__(self) -> int: ...

    def to(self, device: torch.device) -> None:
        """Prepare fetching on a device."""

    def fetch(self, rows: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Examples `[B, ...]` on the device; a generator allows random crops."""


class Waveforms:
    """Segments of clips, cut on the device.

    `fetch` returns the same segments as `windows.cut`; with `crop` and a generator, each starts at a random place of
    its clip.
    """

    def __init__(self, waves: Waves, clips: Rows, targets: Targets, settings: Windows, *, crop: bool = False) -> None:
        self.waves, self.settings, self.crop = waves, settings, crop
        lengths = np.diff(waves.offsets)[clips]
        counts = [windows.count(int(n), settings.length, settings.hop) for n in lengths]
        self.targets = torch.from_numpy(np.repeat(targets[clips], counts))
        self._clip = torch.from_numpy(np.repeat(clips, counts))
        self._start = torch.from_numpy(np.concatenate([np.arange(n) for n in counts] or [np.arange(0)])) * settings.hop
        self.device = torch.device("cpu")

    def __len__(self) -> int:
        return len(self._clip)

    def to(self, device: torch.device) -> None:
        self.device = device
        self._offsets = torch.from_numpy(np.asarray(self.waves.offsets))
        self._samples = _move_if_it_fits(torch.from_numpy(self.waves.samples), device)
        self._offsets = self._offsets.to(self._samples.device)

    def fetch(self, rows: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Numbers `[B]` -> segments `[B, length]`."""
        clip = self._clip[rows].to(self._offsets.device)
        first, length = self._offsets[clip], self._offsets[clip + 1] - self._offsets[clip]
        if self.crop and generator is not None:
            start = augment.crop_starts(length, self.settings.length, generator)
        else:
            start = self._start[rows].to(first.device)
        at = start[:, None] + torch.arange(self.settings.length, device=first.device)
        if self.settings.pad == "repeat":
            return self._samples[first[:, None] + at % length[:, None]].to(self.device)
        inside = (at >= 0) & (at < length[:, None])
        at = torch.minimum(at.clamp_min(0), length[:, None] - 1)
        return (self._samples[first[:, None] + at] * inside).to(self.device)


class Stored:
    """Spectrograms or images of clips, as stored."""

    def __init__(self, arrays: Arrays, clips: Rows, targets: Targets) -> None:
        rows, counts = rows_of(arrays.offsets, clips)
        self.targets, self._rows = torch.from_numpy(np.repeat(targets[clips], counts)), torch.from_numpy(rows)
        self.arrays, self.device = arrays, torch.device("cpu")

    def __len__(self) -> int:
        return len(self._rows)

    def to(self, device: torch.device) -> None:
        self.device = device
        self._values = _move_if_it_fits(torch.from_numpy(self.arrays.values), device)

    def fetch(self, rows: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Numbers `[B]` -> spectrograms `[B, F, W]` or images `[B, C, F, W]`."""
        return self._values[self._rows[rows].to(self._values.device)].to(self.device)


class Embeddings:
    """Embeddings of the segments of clips, for training the last layer of a frozen network."""

    def __init__(self, segments: Segments, clips: Rows, targets: Targets, dimension: int) -> None:
        part = segments.of(clips)
        self.targets = torch.from_numpy(targets[clips][part.clip])
        # The first columns embed the segment itself; those of its shifts follow and are for prediction only.
        self._values = torch.from_numpy(np.ascontiguousarray(part.values[:, :dimension]))

    def __len__(self) -> int:
        return len(self.targets)

    def to(self, device: torch.device) -> None:
        self._values = self._values.to(device)

    def fetch(self, rows: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Numbers `[B]` -> embeddings `[B, D]`."""
        return self._values[rows.to(self._values.device)]


def _move_if_it_fits(values: Tensor, device: torch.device) -> Tensor:
    """The values, moved to the device if that is an accelerator with enough free memory."""
    if device.type == "cuda" and values.nbytes < SHARE_OF_MEMORY * torch.cuda.mem_get_info(device)[0]:
        return values.to(device)
    return values


def epoch_batches(
    targets: Tensor,
    batch_size: int,
    rng: np.random.Generator | None,
    *,
    rank: int = 0,
    world: int = 1,
    balanced: bool = False,
) -> list[tuple[Tensor, float]]:
    """The batches of one epoch for one of `world` devices: example numbers, and the weight of the batch.

    Every example occurs once. The epoch has the fewest steps that batches of at most `batch_size` per device allow, and
    all batches have nearly equal size. Each device takes its part of each step; the weight, near 1, makes the mean over
    devices the mean over examples. Without `rng` the order is kept; `balanced` draws each class equally often, with
    replacement.
    """  # fmt: skip
    count = len(targets)
    order: npt.NDArray[np.int64] = np.arange(count)
    if balanced and rng is not None:
        share = class_weights(targets)[targets].double().numpy()
        order = rng.choice(count, count, p=share / share.sum())
    elif rng is not None:
        order = rng.permutation(count)
    batches = []
    for step in np.array_split(order, math.ceil(count / (batch_size * world))):
        part = np.array_split(step, world)[rank]
        batches.append((torch.from_numpy(part), len(part) * world / len(step)))
    return batches


def class_weights(targets: Tensor, classes: int = 0) -> Tensor:
    """Class weights 1 / count, scaled to a mean of 1 over the examples. `[S]` -> `[K]`.

    Absent classes get weight 0, so that label smoothing does not favour them.
    """
    counts = torch.bincount(targets, minlength=classes)
    return (counts > 0) * len(targets) / ((counts > 0).sum() * counts.clamp_min(1).float())
