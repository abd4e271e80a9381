"""Spectrograms and pictures of them as data: read once, of one size, memory-mapped, as `cache` keeps sound.

A network trains on them as on sound; the front end takes them where they stand. Where it is known how they were made,
the recipe must say the same, and the trained classifier then hears sound too; else it takes only such arrays.
"""

import hashlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hubbub.audio import image_files
from hubbub.audio.image_files import PictureError
from hubbub.config.recipe import Recipe
from hubbub.data import cache, entries, features, images
from hubbub.data.cache import Mapped
from hubbub.data.clips import Clips, ClipsError
from hubbub.errors import examples
from hubbub.runtime import homes
from hubbub.runtime.progress import track

if TYPE_CHECKING:
    from hubbub.audio.frontend import FrontEnd
    from hubbub.classifier.torch_classifier import TorchClassifier

__all__ = ["Arrays", "inspect", "load", "resident"]

Array = npt.NDArray[Any]
#: How much longer than a window a clip's spectrogram may be: UrbanSound8K's clips of 4 s last up to 4.04.
LONGER = 1.05
#: One clip: its arrays `[S, ...]`, their times `[S, 2]` [s], and a hash of what they show.
Part = tuple[Array, npt.NDArray[np.float64], str]


@dataclass(frozen=True)
class Arrays(Mapped):
    """A data set's spectrograms `[S, F, W]` float32, or pictures `[S, 1 or 3, F, W]` uint8, row 0 the lowest band.

    Those of clip i stand at `offsets[i] : offsets[i + 1]`, and `times` `[S, 2]` says what part of their recording they
    show [s], NaN where that is not known. `contents` is a hash of each clip.
    """

    values: Array
    offsets: npt.NDArray[np.int64]
    times: npt.NDArray[np.float64]
    contents: tuple[str, ...]
    key: str

    def __len__(self) -> int:
        return len(self.contents)

    def cut(self, clip: int, classifier: "TorchClassifier") -> Array:
        """Clip number -> its arrays `[S, ...]`, as they are."""
        return self.values[self.offsets[clip] : self.offsets[clip + 1]]

    def spans(self, clip: int, classifier: "TorchClassifier") -> npt.NDArray[np.float64]:
        """Start and end [s] of each of them, `[S, 2]`."""
        return self.times[self.offsets[clip] : self.offsets[clip + 1]]


def resident(clips: Clips, recipe: Recipe) -> cache.Resident:
    """The clips as they are kept: sound decoded, spectrograms and pictures read, at most once a machine."""
    return cache.decode(clips, recipe.audio.rate_hz) if clips.kind == "sound" else load(clips, recipe)


def load(clips: Clips, recipe: Recipe) -> Arrays:
    """The clips' spectrograms or pictures, read at most once a machine. Raises `ClipsError` naming what is wrong."""
    from hubbub.audio.frontend import FrontEnd

    frontend = FrontEnd(recipe.frontend, recipe.audio.rate_hz)
    shape: tuple[int, ...]
    dtype: type[np.generic]
    if clips.kind == "pictures":
        size = frontend.shape(recipe.windows.length)
        shape, dtype, parts = (_channels(clips, recipe), *size), np.uint8, _pictures(clips, size)
    else:
        first = Path(clips.table["path"].iloc[0])
        of_npz = first.suffix == ".npz"  # framed later, as what comes from sound
        spectrogram = features.shape(first) if of_npz else frontend.spectrogram_shape(recipe.windows.length)
        shape, dtype, parts = spectrogram, np.float32, _spectrograms(clips, spectrogram, frontend, recipe)
    rows, padding = clips.table[["clip", "start", "end"]].to_json(), frontend.picture.padding
    key = cache.key_of(cache.VERSION, clips.kind, shape, padding, cache.file_hashes(clips), rows)

    def read(folder: Path) -> Arrays:
        with np.load(folder / "clips.npz") as kept:
            offsets, times, contents = kept["offsets"], kept["times"], tuple(kept["contents"].tolist())
        values = np.memmap(folder / "values", dtype, mode="c", shape=(len(times), *shape))
        if len(contents) != len(clips) or times.shape != (len(values), 2):
            raise ValueError("clips.npz tells of other clips")
        return Arrays(values, cache.offsets_of(offsets, len(clips), len(values)), times, contents, key)

    return entries.entry(homes.cache_dir() / "arrays" / key, lambda place: _store(place, parts), read)


def inspect(clips: Clips) -> pd.DataFrame:
    """Read every spectrogram -> `clip`, `content` (hash), `error` ("" where it is whole)."""
    found, kept = (
        [],
        {path: features.contents(Path(path)) for path in set(clips.table["path"]) if path.endswith(".npz")},
    )
    for clip, path in zip(clips.table["clip"], clips.table["path"], strict=True):
        try:
            content, error = kept[path][clip] if path in kept else _hash(image_files.read_spectrogram(path)), ""
        except PictureError as why:
            content, error = "", str(why)
        found.append({"clip": clip, "content": content, "error": error})
    return pd.DataFrame(found)


def _hash(values: Array) -> str:
    return hashlib.sha256(values.tobytes()).hexdigest()


def _store(folder: Path, parts: Iterable[Part]) -> None:
    times, contents, counts = [], [], [0]
    with (folder / "values").open("wb") as sink:
        for values, spans, content in parts:
            np.ascontiguousarray(values).tofile(sink)
            times.append(spans)
            contents.append(content)
            counts.append(len(values))
    np.savez(folder / "clips.npz", offsets=np.cumsum(counts), times=np.concatenate(times), contents=np.array(contents))


def _channels(clips: Clips, recipe: Recipe) -> int:
    """1 for pictures in grey, 3 in colours; all must be the one or the other."""
    grey = np.fromiter(cache.in_threads(lambda row: image_files.is_grey(row.path), clips, "looking"), bool)
    if grey.any() and not grey.all():
        odd = clips.table["clip"][grey if grey.mean() < 0.5 else ~grey]
        raise ClipsError(f"{clips.name} holds grey pictures and coloured ones ({examples(odd)}). Make them all alike.")
    if not grey[0] and recipe.frontend.colours == "none":
        raise ClipsError(
            f"{clips.name} holds pictures in colours, and the recipe's are grey: set frontend.colours = 'magma', and "
            "network.channels = 3."
        )
    return 1 if grey[0] else 3


def _pictures(clips: Clips, size: tuple[int, int]) -> Iterator[Part]:
    times = clips.table[["start", "end"]].to_numpy(float)
    for row, picture in enumerate(cache.in_threads(lambda row: image_files.read(row.path, size), clips, "reading")):
        yield picture[None], times[row : row + 1], images.content(picture)


def _spectrograms(clips: Clips, shape: tuple[int, int], frontend: "FrontEnd", recipe: Recipe) -> Iterator[Part]:
    table, most = clips.table, math.inf
    if frontend.logmel:  # the trained classifier hears windows of so many frames
        most = LONGER * frontend.logmel.frames(recipe.windows.length)
    if table["path"].iloc[0].endswith(".npz"):
        yield from features.read(Path(table["path"].iloc[0]), table["clip"])
        return
    for row, path in enumerate(track(table["path"], "reading", len(table))):
        values = image_files.read_spectrogram(path)
        if values.shape[1] > most:
            raise ClipsError(
                f"{table['clip'][row]} of {clips.name} has {values.shape[1]} frames, and a window of "
                f"{recipe.windows.length} samples gives {most / LONGER:.0f}. Set windows.length to a whole clip's, or "
                "frontend.name = 'precomputed'."
            )
        if len(values) != shape[0]:
            raise ClipsError(
                f"{table['clip'][row]} of {clips.name} has the shape {list(values.shape)}, and frontend.n_mels is "
                f"{shape[0]}. Set that to its number of bands."
            )
        if values.shape[1] != shape[1] and not frontend.picture.frames:
            raise ClipsError(
                f"{table['clip'][row]} of {clips.name} has {values.shape[1]} frames, not {shape[1]}. Set "
                "frontend.frames: shorter ones are padded to that, longer ones cut."
            )
        yield frontend.framed(values), table[["start", "end"]].to_numpy(float)[row : row + 1], _hash(values)
