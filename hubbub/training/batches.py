"""The batches of a training: which segments, and cutting them on the device.

A data set is decoded once and stays resident: in the device's memory if it fits, else as a memory map. Spectrograms of
waves that do not change between epochs are computed once. The segments of a batch depend on seed and epoch only, so a
resumed run sees the same batches as an unbroken one.
"""

import math
from collections.abc import Callable
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
from hubbub.training.fitted import TrainError
from hubbub.training.targets import SegmentTargets, Targets, of_embeddings

__all__ = [
    *("Embeddings", "Source", "Spectrograms", "Stored", "Waveforms"),
    *("class_weights", "epoch_batches", "positive_weights"),
]

Rows = npt.NDArray[np.intp]
#: The largest share of a device's free memory for the data.
SHARE_OF_MEMORY = 0.5
#: Spectrograms or images that are copied to a device at once.
AT_ONCE = 256
#: The largest weight of what is present against what is absent, and one over the smallest.
MOST_POSITIVE = 20.0


class Source(Protocol):
    """Examples by number, each with its class in `targets` `[S]`, or with those of all classes, `[S, K]`: 1 present, 0
    absent, -1 not annotated."""

    targets: Tensor
    device: torch.device

    def __len__(self) -> int: ...

    def to(self, device: torch.device) -> None:
        """Prepare fetching on a device."""

    def fetch(self, rows: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Examples `[B, ...]` on the device; a generator allows random crops."""


class Waveforms:
    """Segments of clips, cut on the device.

    `fetch` returns the same segments as `windows.cut`; with `crop` and a generator, each starts at a random place of
    its clip. Raises `TrainError` for `crop` of clips with timed labels.
    """

    def __init__(self, waves: Waves, clips: Rows, targets: Targets, settings: Windows, *, crop: bool = False) -> None:
        self.waves, self.settings, self.crop = waves, settings, crop
        lengths = np.diff(waves.offsets)[clips]
        counts = [windows.count(int(n), settings.length, settings.hop) for n in lengths]
        if not isinstance(targets, SegmentTargets):
            own = np.repeat(targets[clips], counts, 0)
        elif crop:
            raise TrainError(
                "augment.crop moves segments to other places of their clips, and these clips' labels are timed: a "
                "moved segment may hold other classes. Set augment.crop = false."
            )
        else:
            cut = (windows.spans(int(n), waves.rate_hz, settings.length, settings.hop) for n in lengths)
            parts = [targets.of(int(clip), spans) for clip, spans in zip(clips, cut, strict=True)]
            own = np.concatenate(parts or [targets.clips[:0]])
        self.targets = torch.from_numpy(own)
        self._clips = clips
        self._own = torch.from_numpy(np.repeat(np.arange(len(clips)), counts))  # the place of its clip in `clips`
        self._start = torch.from_numpy(np.concatenate([np.arange(n) for n in counts] or [np.arange(0)])) * settings.hop
        self.device = torch.device("cpu")

    def __len__(self) -> int:
        return len(self._own)

    def to(self, device: torch.device) -> None:
        self.device = device
        lengths = np.diff(self.waves.offsets)[self._clips]
        samples = torch.from_numpy(self.waves.samples)
        first = self.waves.offsets[self._clips]
        if _fits(int(lengths.sum()) * samples.itemsize, device):
            # Only the clips of this part: the other parts have their own.
            resident, first = torch.empty(int(lengths.sum()), device=device), np.cumsum(lengths) - lengths
            for clip, at, length in zip(self._clips, first, lengths, strict=True):
                resident[at : at + length].copy_(torch.from_numpy(self.waves.wave(clip)))
            samples = resident
        self._samples = samples
        places = torch.from_numpy(np.stack([first, lengths]).astype(np.int64))[:, self._own]
        self._first, self._length = places.to(samples.device)
        self._start = self._start.to(samples.device)

    def fetch(self, rows: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Numbers `[B]` -> segments `[B, length]`."""
        rows = rows.to(self._first.device, non_blocking=True)
        first, length = self._first[rows], self._length[rows]
        if self.crop and generator is not None:
            start = augment.crop_starts(length, self.settings.length, generator)
        else:
            start = self._start[rows]
        sliced = self.settings.pad == "zeros" and first.device.type == "cpu"
        return _to_device((self._sliced if sliced else self._gathered)(first, start, length), self.device)

    def _gathered(self, first: Tensor, start: Tensor, length: Tensor) -> Tensor:
        """Segments `[B, length]` from `start` `[B]` of the clips at `first` `[B]` of `length` `[B]` samples."""
        at = start[:, None] + torch.arange(self.settings.length, device=first.device)
        if self.settings.pad == "repeat":
            return self._samples[first[:, None] + at % length[:, None]]
        inside = (at >= 0) & (at < length[:, None])
        at = torch.minimum(at.clamp_min(0), length[:, None] - 1)
        return self._samples[first[:, None] + at] * inside

    def _sliced(self, first: Tensor, start: Tensor, length: Tensor) -> Tensor:
        """The same, padded with zeros: on a CPU, slices take a fraction of the time of an index of every sample."""
        segments = torch.zeros(len(first), self.settings.length)
        for segment, begin, at, size in zip(segments, first.tolist(), start.tolist(), length.tolist(), strict=True):
            low, high = max(at, 0), min(at + self.settings.length, size)
            if low < high:
                segment[low - at : high - at] = self._samples[begin + low : begin + high]
        return segments


class Spectrograms:
    """Spectrograms of the segments of a source, computed at the first use and kept: in the device's memory if they fit.

    `compute` maps segments `[B, N]` on the device to spectrograms `[B, F, W]`.
    """

    def __init__(self, source: Source, compute: Callable[[Tensor], Tensor], batch_size: int) -> None:
        self.source, self.targets, self.device = source, source.targets, source.device
        self._compute, self._batch_size = compute, batch_size
        self._values: Tensor | None = None

    def __len__(self) -> int:
        return len(self.source)

    def to(self, device: torch.device) -> None:
        self.device = device
        if self._values is None:
            self.source.to(device)
        elif _fits(self._values.nbytes, device):
            self._values = self._values.to(device)

    def fetch(self, rows: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Numbers `[B]` -> spectrograms `[B, F, W]`, in the memory layout in which `compute` returns them."""
        if self._values is None:
            self._values = self._compute_all()
            self.source.to(torch.device("cpu"))  # the waves are not needed again
        values = self._values
        return _to_device(values[rows.to(values.device, non_blocking=True)], self.device).transpose(1, 2)

    @torch.no_grad()
    def _compute_all(self) -> Tensor:
        """Spectrograms of all segments, transposed to `[S, W, F]`."""
        values = None
        with torch.autocast(self.device.type, enabled=False):
            for rows in torch.arange(len(self)).split(self._batch_size):
                some = self._compute(self.source.fetch(rows)).transpose(1, 2)
                if values is None:
                    shape = (len(self), *some.shape[1:])
                    held = self.device if _fits(math.prod(shape) * some.itemsize, self.device) else "cpu"
                    values = torch.empty(shape, device=held)
                values[rows[0] : rows[-1] + 1] = some
        assert values is not None
        return values


class Stored:
    """Spectrograms or images of clips, as stored."""

    def __init__(self, arrays: Arrays, clips: Rows, targets: Targets) -> None:
        self._own, counts = rows_of(arrays.offsets, clips)
        if isinstance(targets, SegmentTargets):
            raise TrainError(
                "these clips are spectrograms or images, and their labels are timed: it is not known where in a clip "
                "each lies. Train on the sound."
            )
        self.targets = torch.from_numpy(np.repeat(targets[clips], counts, 0))
        self.arrays, self.device = arrays, torch.device("cpu")

    def __len__(self) -> int:
        return len(self._own)

    def to(self, device: torch.device) -> None:
        self.device = device
        self._values, self._rows = torch.from_numpy(self.arrays.values), torch.from_numpy(self._own)
        if _fits(len(self) * self._values[:1].nbytes, device):
            resident = self._values.new_empty((len(self), *self._values.shape[1:]), device=device)
            for rows in torch.arange(len(self)).split(AT_ONCE):
                resident[rows[0] : rows[-1] + 1].copy_(self._values[self._rows[rows]])
            self._values, self._rows = resident, torch.arange(len(self), device=device)

    def fetch(self, rows: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Numbers `[B]` -> spectrograms `[B, F, W]` or images `[B, C, F, W]`."""
        return _to_device(self._values[self._rows[rows.to(self._rows.device, non_blocking=True)]], self.device)


class Embeddings:
    """Embeddings of the segments of clips, for training the last layer of a frozen network."""

    def __init__(self, segments: Segments, clips: Rows, targets: Targets, dimension: int) -> None:
        part = segments.of(clips)
        self.targets = torch.from_numpy(of_embeddings(targets, segments, clips))
        # The first columns embed the segment itself; those of its shifts follow and are for prediction only.
        self._values = torch.from_numpy(np.ascontiguousarray(part.values[:, :dimension]))
        self.device = torch.device("cpu")

    def __len__(self) -> int:
        return len(self.targets)

    def to(self, device: torch.device) -> None:
        self.device, self._values = device, self._values.to(device)

    def fetch(self, rows: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Numbers `[B]` -> embeddings `[B, D]`."""
        return self._values[rows.to(self._values.device)]


def _fits(size: int, device: torch.device) -> bool:
    """Whether so many bytes of data belong into the device's memory: that of an accelerator with enough free."""
    return device.type == "cuda" and size < SHARE_OF_MEMORY * torch.cuda.mem_get_info(device)[0]


def _to_device(batch: Tensor, device: torch.device) -> Tensor:
    """The batch on the device; to an accelerator from pinned memory, so that it is copied while the device computes."""
    if device.type == "cuda" and batch.device.type == "cpu":
        return batch.pin_memory().to(device, non_blocking=True)
    return batch.to(device)


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
    devices the mean over examples. Without `rng` the order is kept; `balanced` draws with replacement, in the shares of
    `_draw_shares`.
    """  # fmt: skip
    count = len(targets)
    order: npt.NDArray[np.int64] = np.arange(count)
    if balanced and rng is not None:
        order = rng.choice(count, count, p=_draw_shares(targets))
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


def positive_weights(targets: Tensor) -> Tensor:
    """For each class, the weight of what is present: how many examples without the class there are to one with it.
    `[S, K]` -> `[K]`.

    So present and absent weigh the same in the loss. At most `MOST_POSITIVE`, and at least one over it: a class with
    one example in a thousand would decide each batch that it is in. 1 for a class that is present or absent nowhere.
    """
    present, absent = (targets > 0).sum(0), (targets == 0).sum(0)
    weights = (absent / present).clamp(1 / MOST_POSITIVE, MOST_POSITIVE)
    return torch.where((present > 0) & (absent > 0), weights, 1.0)


def _draw_shares(targets: Tensor) -> npt.NDArray[np.float64]:
    """The probability of each example in a balanced draw, `[S]`.

    Examples of one class `[S]`: 1 / count of the class, so that classes are drawn equally often. Label sets `[S, K]`:
    that of the rarest class of the set, whatever else the set holds; the mean of the others' where it is empty.
    """
    if targets.ndim == 1:
        share = class_weights(targets)[targets].double().numpy()
    else:
        present = (targets > 0).numpy()
        inverse = 1 / np.maximum(present.sum(axis=0), 1)
        share = np.where(present, inverse.astype(np.float32), np.float32(0)).max(axis=1).astype(np.float64)
        filled = share > 0
        share[~filled] = share[filled].mean() if filled.any() else 1.0
    return np.asarray(share / share.sum())
