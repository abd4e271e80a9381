"""Work done once: decoded audio and frozen embeddings, memory-mapped, named by what they were made from.

An entry's name is a hash of the sound files' bytes and of every setting that shapes the result, so it can never be
stale; the whole cache may be deleted at any time. This room does not know what the numbers are for.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from hubbub import audio, files
from hubbub.audio import AudioError
from hubbub.data.clips import Clips, ClipsError
from hubbub.errors import examples
from hubbub.progress import track

if TYPE_CHECKING:
    from hubbub.classifier import Classifier

__all__ = [
    "Mapped",
    "Resident",
    "Segments",
    "Waves",
    "decode",
    "embed",
    "evidence",
    "file_hashes",
    "in_threads",
    "inspect",
    "key_of",
    "rows_of",
]

Array = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]
T = TypeVar("T")
#: Raise it when decoding or resampling changes, and old entries are no longer found.
VERSION = 2
_SEGMENTS_AT_ONCE = 256


class Mapped:
    """What memory maps travel to another process as: the names of their files."""

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


@dataclass(frozen=True)
class Waves(Mapped):
    """The decoded clips of a data set at one rate: `wave(i)` is clip i, `contents` a hash of each sound as decoded."""

    samples: Array
    offsets: npt.NDArray[np.int64]
    contents: tuple[str, ...]
    rate_hz: int
    key: str

    def __len__(self) -> int:
        return len(self.contents)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Samples of each clip, `[clips]`."""
        return np.diff(self.offsets)

    def wave(self, clip: int) -> Array:
        """Clip number -> wave `[T]`, a view of the memory map."""
        return self.samples[self.offsets[clip] : self.offsets[clip + 1]]

    def cut(self, clip: int, classifier: "Classifier") -> Array:
        """Clip number -> its segments `[S, N]`, as the classifier hears them."""
        return classifier.cut(self.wave(clip))

    def spans(self, clip: int, classifier: "Classifier") -> npt.NDArray[np.float64]:
        """Start and end of each of them, `[S, 2]` in seconds."""
        return classifier.spans(int(self.offsets[clip + 1] - self.offsets[clip]))


class Resident(Protocol):
    """A data set as it is kept: what a classifier is given of each clip. `Waves` here, spectrograms in `arrays`."""

    @property
    def contents(self) -> tuple[str, ...]: ...

    @property
    def key(self) -> str: ...

    def __len__(self) -> int: ...

    def cut(self, clip: int, classifier: "Classifier") -> Array: ...

    def spans(self, clip: int, classifier: "Classifier") -> npt.NDArray[np.float64]: ...


@dataclass(frozen=True)
class Segments:
    """Rows `[S, D]` a segment, the segments of clip i at `offsets[i] : offsets[i + 1]`."""

    values: Array
    offsets: npt.NDArray[np.int64]

    @cached_property
    def clip(self) -> Rows:
        """The clip of each segment, `[S]`."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    def of(self, clips: Rows) -> "Segments":
        """The segments of some clips, in the order given."""
        rows, counts = rows_of(self.offsets, clips)
        return Segments(self.values[rows], np.append(0, np.cumsum(counts)))


def rows_of(offsets: npt.NDArray[np.int64], clips: Rows) -> tuple[Rows, npt.NDArray[np.int64]]:
    """Where the segments of some clips stand, in the order given, and how many each has."""
    starts, stops = offsets[clips], offsets[clips + 1]
    rows = np.concatenate([np.arange(a, b) for a, b in zip(starts, stops, strict=True)] or [np.arange(0)])
    return rows, stops - starts


def inspect(clips: Clips) -> pd.DataFrame:
    """Decode every clip once -> `clip`, `seconds`, `rate_hz`, `peak`, `content` (hash), `error` ("" where sound)."""
    found = pd.DataFrame([facts for facts, _ in _decoded(clips, None, "checking")])
    found.insert(0, "clip", clips.table["clip"])
    return found


def decode(clips: Clips, rate_hz: int) -> Waves:
    """The clips at `rate_hz`, decoded at most once a machine. Raises `ClipsError` naming files that cannot be read."""
    key = key_of(VERSION, rate_hz, file_hashes(clips), clips.table[["start", "end"]].to_json())
    folder = files.cache_dir() / "decoded" / key
    if not (folder / "clips.json").is_file():
        _decode_into(folder, clips, rate_hz)
    content = json.loads((folder / "clips.json").read_text(encoding="utf-8"))
    samples = _mapped(folder / "samples.f32")
    return Waves(samples, np.asarray(content["offsets"]), tuple(content["contents"]), rate_hz, key)


def embed(sound: "Resident", classifier: "Classifier") -> Segments:
    """A frozen network's evidence for every clip, computed at most once a machine, data set and network."""
    folder = files.cache_dir() / "embeddings" / key_of(VERSION, sound.key, classifier.fingerprint())
    if not (folder / "values.npy").is_file():
        segments = evidence(sound, classifier, np.arange(len(sound)), "embedding")
        with files.whole_folder(folder) as temporary:
            np.save(temporary / "offsets.npy", segments.offsets)
            np.save(temporary / "values.npy", segments.values)
    return Segments(np.load(folder / "values.npy", mmap_mode="r"), np.load(folder / "offsets.npy"))


def evidence(sound: "Resident", classifier: "Classifier", clips: Rows, what: str = "predicting") -> Segments:
    """The classifier's evidence for some clips, batched across them."""
    sizes: list[int] = []
    values: list[Array] = []
    pending: list[Array] = []
    for clip in track(clips, what, len(clips)):
        pending.append(sound.cut(clip, classifier))
        sizes.append(len(pending[-1]))
        if sum(map(len, pending)) >= _SEGMENTS_AT_ONCE:
            values.append(classifier.evidence(np.concatenate(pending)))
            pending = []
    if pending:
        values.append(classifier.evidence(np.concatenate(pending)))
    return Segments(np.concatenate(values), np.append(0, np.cumsum(sizes)))


def _decode_into(folder: Path, clips: Clips, rate_hz: int) -> None:
    found: list[dict[str, Any]] = []
    lengths = [0]
    with files.whole_folder(folder) as temporary:
        with (temporary / "samples.f32").open("wb") as sink:
            for facts, wave in _decoded(clips, rate_hz, "decoding"):
                found.append(facts)
                wave.tofile(sink)
                lengths.append(len(wave))
        _refuse_unreadable(clips, found)
        content = {"offsets": np.cumsum(lengths).tolist(), "contents": [f["content"] for f in found]}
        (temporary / "clips.json").write_text(json.dumps(content), encoding="utf-8")


def _mapped(path: Path) -> Array:
    """A memory map that torch may take; copy on write, so the file never changes."""
    return np.memmap(path, dtype=np.float32, mode="c")


def _refuse_unreadable(clips: Clips, found: list[dict[str, Any]]) -> None:
    errors = [f["error"] for f in found if f["error"]]
    if errors:
        raise ClipsError(
            f"{clips.name}: {len(errors)} of {len(found)} sounds cannot be used. {examples(errors)} "
            "Repair or remove them (hubbub data check lists all)."
        )


def _decoded(clips: Clips, rate_hz: int | None, what: str) -> Iterator[tuple[dict[str, Any], Array]]:
    """What each clip is, and its wave at `rate_hz` (None: its own), in the table's order; decoded in threads."""
    yield from in_threads(lambda row: _read(row.path, row.start, row.end, rate_hz), clips, what)


def in_threads(read: Callable[[Any], T], clips: Clips, what: str) -> Iterator[T]:
    """`read` of each row of the clip table, in its order, on all cores."""
    rows, workers = list(clips.table.itertuples()), os.cpu_count() or 1
    # A bounded look-ahead: what is finished waits in memory until it is written.
    step = 16 * workers
    with ThreadPoolExecutor(workers) as pool:
        for start in track(range(0, len(rows), step), what):
            yield from pool.map(read, rows[start : start + step])


def _read(path: str, start_s: float, end_s: float, rate_hz: int | None) -> tuple[dict[str, Any], Array]:
    try:
        wave, own_rate = audio.decode(path, start_s, end_s)
        facts = {
            "seconds": len(wave) / own_rate,
            "rate_hz": own_rate,
            "peak": float(np.abs(wave).max()),
            "content": hashlib.sha256(f"{own_rate}".encode() + wave.tobytes()).hexdigest(),
            "error": "",
        }
        return facts, audio.resample(wave, own_rate, rate_hz or own_rate)
    except AudioError as error:
        nothing = {"seconds": 0.0, "rate_hz": 0, "peak": 0.0, "content": "", "error": str(error)}
        return nothing, np.zeros(0, np.float32)


def file_hashes(clips: Clips) -> str:
    """One hash of all files' bytes; each file is read once however many clips it holds."""
    paths = list(dict.fromkeys(clips.table["path"]))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        by_path = dict(zip(paths, pool.map(files.sha256, paths), strict=True))
    return key_of(*(by_path[path] for path in clips.table["path"]))


def key_of(*parts: object) -> str:
    """A name for what is made of `parts` alone."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:32]
