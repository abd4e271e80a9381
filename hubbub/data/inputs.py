"""Interfaces: what a prepared data set offers a model, and what the cache needs of the model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

__all__ = ["Embedder", "Inputs", "Mapped", "Segmenter"]

Array = npt.NDArray[Any]
Spans = npt.NDArray[np.float64]


class Segmenter(Protocol):
    """Cuts waves into segments; every classifier does."""

    def cut(self, wave: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]: ...

    def spans(self, samples: int) -> Spans: ...


class Embedder(Segmenter, Protocol):
    """Also turns segments into outputs `[S, D]`, embeddings or logits; `fingerprint` hashes all that they depend on."""

    def outputs(self, segments: Array) -> npt.NDArray[np.float32]: ...

    def fingerprint(self) -> str: ...


class Inputs(Protocol):
    """The model inputs of a data set: `cache.Waves` for sound, `arrays.Arrays` for spectrograms and images of them.

    `contents` is a hash of each clip's content, `key` the name of the cache entry.
    """

    @property
    def contents(self) -> tuple[str, ...]: ...

    @property
    def key(self) -> str: ...

    def __len__(self) -> int: ...

    def cut(self, clip: int, segmenter: Segmenter) -> Array:
        """Clip number -> its segments `[S, ...]`."""

    def spans(self, clip: int, segmenter: Segmenter) -> Spans:
        """Clip number -> start and end of each segment [s], `[S, 2]`."""


class Mapped:
    """Pickles memory maps as the names of their files, so that another process opens them instead of copying them."""

    def __getstate__(self) -> dict[str, Any]:
        return {name: _Map.of(v) if isinstance(v, np.memmap) else v for name, v in self.__dict__.items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update({name: v.open() if isinstance(v, _Map) else v for name, v in state.items()})


@dataclass(frozen=True)
class _Map:
    file: Path
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, values: "np.memmap[Any, Any]") -> Self:
        return cls(Path(str(values.filename)), values.dtype, values.shape)

    def open(self) -> "np.memmap[Any, Any]":
        return np.memmap(self.file, self.dtype, mode="c", shape=self.shape)
