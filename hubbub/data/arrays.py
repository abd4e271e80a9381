"""Spectrograms, or images of them, as model inputs: read once, brought to one size, cached and memory-mapped.

If the settings that they were computed with are known, the recipe must have the same, and the trained classifier also
takes sound. Otherwise it takes only such arrays.
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
from hubbub.audio.image_files import ImageError
from hubbub.config.recipe import Recipe
from hubbub.data import cache, entries, images
from hubbub.data.clips import Clips, ClipsError
from hubbub.data.features import read_features, read_hashes, read_shape
from hubbub.data.inputs import Inputs, Mapped, Segmenter
from hubbub.errors import examples
from hubbub.runtime import homes
from hubbub.runtime.progress import track

if TYPE_CHECKING:
    from hubbub.audio.frontend import FrontEnd

__all__ = ["Arrays", "inspect_spectrograms", "load_arrays", "load_inputs"]

Array = npt.NDArray[Any]
#: Longest clip spectrogram, in windows: UrbanSound8K's clips of 4 s last up to 4.04 s.
LONGER = 1.05
#: One clip: its arrays `[S, ...]`, their times `[S, 2]` [s], and a hash of its content.
Part = tuple[Array, npt.NDArray[np.float64], str]


@dataclass(frozen=True)
class Arrays(Mapped):
    """A data set's spectrograms `[S, F, W]` float32, or images `[S, 1 or 3, F, W]` uint8, row 0 the lowest band.

    Clip i has the rows `offsets[i] : offsets[i + 1]`. `times` `[S, 2]` is the part of the recording that each shows
    [s], NaN where unknown. `contents` is a hash of each clip.
    """

    values: Array
    offsets: npt.NDArray[np.int64]
    times: npt.NDArray[np.float64]
    contents: tuple[str, ...]
    key: str

    def __len__(self) -> int:
        return len(self.contents)

    def cut(self, clip: int, segmenter: Segmenter) -> Array:
        """Clip number -> its arrays `[S, ...]`."""
        return self.values[self.offsets[clip] : self.offsets[clip + 1]]

    def spans(self, clip: int, segmenter: Segmenter) -> npt.NDArray[np.float64]:
        """Clip number -> start and end of each array [s], `[S, 2]`."""
        return self.times[self.offsets[clip] : self.offsets[clip + 1]]


def load_inputs(clips: Clips, recipe: Recipe) -> Inputs:
    """The clips as model inputs: sound decoded, spectrograms and images read, once per machine."""
    return cache.decode_clips(clips, recipe.audio.rate_hz) if clips.kind == "sound" else load_arrays(clips, recipe)


def load_arrays(clips: Clips, recipe: Recipe) -> Arrays:
    """The clips' spectrograms or images, read once per machine. Raises `ClipsError` where the recipe does not fit."""
    from hubbub.audio.frontend import FrontEnd

    frontend = FrontEnd(recipe.frontend, recipe.audio.rate_hz)
    shape: tuple[int, ...]
    dtype: type[np.generic]
    if clips.kind == "images":
        size = frontend.shape(recipe.windows.length)
        shape, dtype, parts = (_channels(clips, recipe), *size), np.uint8, _read_images(clips, size)
    else:
        first = Path(clips.table["path"].iloc[0])
        of_npz = first.suffix == ".npz"  # these are padded or cut later, like those from sound
        spectrogram = read_shape(first) if of_npz else frontend.spectrogram_shape(recipe.windows.length)
        shape, dtype, parts = spectrogram, np.float32, _spectrograms(clips, spectrogram, frontend, recipe)
    rows, padding = clips.table[["clip", "start", "end"]].to_json(), frontend.picture.padding
    key = cache.key_of(cache.VERSION, clips.kind, shape, padding, cache.file_hashes(clips), rows)

    def read(folder: Path) -> Arrays:
        with np.load(folder / "clips.npz") as facts:
            offsets, times, contents = facts["offsets"], facts["times"], tuple(facts["contents"].tolist())
        values = np.memmap(folder / "values", dtype, mode="c", shape=(len(times), *shape))
        if len(contents) != len(clips) or times.shape != (len(values), 2):
            raise ValueError("clips.npz is about other clips")
        return Arrays(values, cache.offsets_of(offsets, len(clips), len(values)), times, contents, key)

    return entries.entry(homes.cache_dir() / "arrays" / key, lambda place: _store(place, parts), read)


def inspect_spectrograms(clips: Clips) -> pd.DataFrame:
    """Read every spectrogram -> `clip`, `content` (hash), `error` ("" if none)."""
    found = []
    npz = {path: read_hashes(Path(path)) for path in set(clips.table["path"]) if path.endswith(".npz")}
    for clip, path in zip(clips.table["clip"], clips.table["path"], strict=True):
        try:
            content, error = npz[path][clip] if path in npz else _hash(image_files.read_spectrogram(path)), ""
        except ImageError as why:
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
    """1 for grey images, 3 for coloured ones. Raises `ClipsError` where there are both."""
    grey = np.fromiter(cache.in_threads(lambda row: image_files.is_grey(row.path), clips, "looking"), bool)
    if grey.any() and not grey.all():
        odd = clips.table["clip"][grey if grey.mean() < 0.5 else ~grey]
        raise ClipsError(
            f"{clips.name} holds grey and coloured images ({examples(odd)}). Make them all grey, or all coloured."
        )
    if not grey[0] and recipe.frontend.colours == "none":
        raise ClipsError(
            f"{clips.name} holds coloured images, and the recipe's are grey: set frontend.colours = 'magma' and "
            "network.channels = 3."
        )
    return 1 if grey[0] else 3


def _read_images(clips: Clips, size: tuple[int, int]) -> Iterator[Part]:
    times = clips.table[["start", "end"]].to_numpy(float)

    def read(row: Any) -> tuple[Array, str]:
        whole = image_files.read_image(row.path)
        return image_files.resized(whole, size), images.content(whole)  # at any size the same data

    for row, (image, content) in enumerate(cache.in_threads(read, clips, "reading")):
        yield image[None], times[row : row + 1], content


def _spectrograms(clips: Clips, shape: tuple[int, int], frontend: "FrontEnd", recipe: Recipe) -> Iterator[Part]:
    table, most = clips.table, math.inf
    if frontend.logmel:  # the trained classifier cuts sound into windows of this many frames
        most = LONGER * frontend.logmel.frames(recipe.windows.length)
    if table["path"].iloc[0].endswith(".npz"):
        yield from read_features(Path(table["path"].iloc[0]), table["clip"])
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
        yield frontend.fit_frames(values), table[["start", "end"]].to_numpy(float)[row : row + 1], _hash(values)
