"""Work done once: decoded audio and frozen embeddings, memory-mapped, named by what they were made from.

An entry's name is a hash of the sound files' bytes and of every setting that shapes the result, so it can never be
stale; `entries` checks it and makes it again where it is damaged; the whole cache may be deleted at any time. What a
killed process has decoded or embedded is not done again. This room does not know what the numbers are for.
"""

import hashlib
import io
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from hubbub.audio import decode as audio
from hubbub.audio.decode import AudioError
from hubbub.data import entries
from hubbub.data.clips import Clips, ClipsError
from hubbub.errors import examples
from hubbub.runtime import files, homes, processes
from hubbub.runtime.progress import track

if TYPE_CHECKING:
    from hubbub.classifier.torch_classifier import TorchClassifier

__all__ = [
    "Mapped",
    "Resident",
    "Segments",
    "Waves",
    "decode",
    "embed",
    "outputs",
    "file_hashes",
    "in_threads",
    "inspect",
    "key_of",
    "offsets_of",
    "rows_of",
]

Array = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]
T = TypeVar("T")
#: Raise it when decoding or resampling changes, and old entries are no longer found.
VERSION = 3
_SEGMENTS_AT_ONCE = 256
_SAMPLES, _VALUES = "samples.f32", "values.npy"


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
    """The decoded clips of a data set at one rate: `wave(i)` is clip i, `contents` a hash of each sound as decoded.
    `odd` are the numbers of clips that decode with warnings, and these."""

    samples: Array
    offsets: npt.NDArray[np.int64]
    contents: tuple[str, ...]
    rate_hz: int
    key: str
    odd: dict[int, list[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.contents)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Samples of each clip, `[clips]`."""
        return np.diff(self.offsets)

    def wave(self, clip: int) -> Array:
        """Clip number -> wave `[T]`, a view of the memory map."""
        return self.samples[self.offsets[clip] : self.offsets[clip + 1]]

    def cut(self, clip: int, classifier: "TorchClassifier") -> Array:
        """Clip number -> its segments `[S, N]`, as the classifier hears them."""
        return classifier.cut(self.wave(clip))

    def spans(self, clip: int, classifier: "TorchClassifier") -> npt.NDArray[np.float64]:
        """Start and end of each of them, `[S, 2]` in seconds."""
        return classifier.spans(int(self.offsets[clip + 1] - self.offsets[clip]))


class Resident(Protocol):
    """A data set as it is kept: what a classifier is given of each clip. `Waves` here, spectrograms in `arrays`."""

    @property
    def contents(self) -> tuple[str, ...]: ...

    @property
    def key(self) -> str: ...

    def __len__(self) -> int: ...

    def cut(self, clip: int, classifier: "TorchClassifier") -> Array: ...

    def spans(self, clip: int, classifier: "TorchClassifier") -> npt.NDArray[np.float64]: ...


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
    """Decode every clip once -> `clip`, `seconds`, `rate_hz`, `peak`, `content` (hash), `warnings`, and `error` (""
    where sound)."""
    found = pd.DataFrame([facts for facts, _ in _decoded(clips, None, "checking")])
    found.insert(0, "clip", clips.table["clip"])
    return found


def decode(clips: Clips, rate_hz: int) -> Waves:
    """The clips at `rate_hz`, decoded at most once a machine. Raises `ClipsError` naming files that cannot be read."""
    key = key_of(VERSION, rate_hz, file_hashes(clips), clips.table[["start", "end"]].to_json())

    def read(folder: Path) -> Waves:
        content, samples = json.loads((folder / "clips.json").read_text(encoding="utf-8")), _mapped(folder / _SAMPLES)
        offsets = offsets_of(np.asarray(content["offsets"]), len(clips), len(samples))
        if len(content["contents"]) != len(clips):
            raise ValueError("clips.json tells of other clips")
        odd = {int(clip): warnings for clip, warnings in content["odd"].items()}
        return Waves(samples, offsets, tuple(content["contents"]), rate_hz, key, odd)

    folder = homes.cache_dir() / "decoded" / key
    return entries.entry(folder, lambda place: _decode_into(place, clips, rate_hz), read)


def embed(sound: "Resident", classifier: "TorchClassifier") -> Segments:
    """A frozen network's evidence for every clip, computed at most once a machine, data set and network.

    It is the same to the last bit whether or not a process was killed on the way.
    """

    def read(folder: Path) -> Segments:
        values, offsets = np.load(folder / _VALUES, mmap_mode="r"), np.load(folder / "offsets.npy")
        return Segments(values, offsets_of(offsets, len(sound), len(values)))

    folder = homes.cache_dir() / "embeddings" / key_of(VERSION, sound.key, classifier.fingerprint())
    return entries.entry(folder, lambda place: _embed_into(place, sound, classifier), read)


def offsets_of(values: npt.NDArray[Any], clips: int, rows: int) -> npt.NDArray[np.int64]:
    """Numbers that say where the rows of each of some clips begin and end, checked. Raises ValueError."""
    if values.shape != (clips + 1,) or values.dtype.kind not in "iu":
        raise ValueError(f"its offsets are not {clips + 1} whole numbers")
    offsets = values.astype(np.int64)
    if offsets[0] != 0 or offsets[-1] != rows or (offsets[1:] < offsets[:-1]).any():
        raise ValueError(f"its offsets do not rise from 0 to {rows}")
    return offsets


def outputs(sound: "Resident", classifier: "TorchClassifier", clips: Rows, what: str = "predicting") -> Segments:
    """The classifier's evidence for some clips, batched across them."""
    counts, values = zip(*_groups(sound, classifier, clips, what), strict=True)
    return Segments(np.concatenate(values), np.append(0, np.cumsum(np.concatenate(counts))))


def _groups(
    sound: "Resident", classifier: "TorchClassifier", clips: Rows, what: str
) -> Iterator[tuple[list[int], Array]]:
    """Evidence for as many clips at a time as have so many segments together, and how many each has."""
    pending: list[Array] = []
    for clip in track(clips, what, len(clips)):
        pending.append(sound.cut(clip, classifier))
        if sum(map(len, pending)) >= _SEGMENTS_AT_ONCE:
            yield list(map(len, pending)), classifier.outputs(np.concatenate(pending))
            pending = []
    if pending:
        yield list(map(len, pending)), classifier.outputs(np.concatenate(pending))


def _embed_into(folder: Path, sound: "Resident", classifier: "TorchClassifier") -> None:
    """Group after group, a `.npy` file: its header says from the first how many rows there will be."""
    offsets = np.cumsum([0, *(len(sound.spans(clip, classifier)) for clip in range(len(sound)))])
    with entries.Growing(folder, _VALUES) as sink:
        done = sum(map(len, sink.facts))  # clips; groups begin where they would have begun
        for counts, values in _groups(sound, classifier, np.arange(done, len(sound)), "embedding"):
            if not sink.facts:
                sink.add(_header((int(offsets[-1]), *values.shape[1:])), [])
            sink.add(values, counts)
    np.save(folder / "offsets.npy", offsets)


def _header(shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """What a `.npy` file of float32 begins with."""
    header = io.BytesIO()
    described = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.float32)), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, described)
    return np.frombuffer(header.getvalue(), np.uint8)


def _decode_into(folder: Path, clips: Clips, rate_hz: int) -> None:
    with entries.Growing(folder, _SAMPLES) as sink:
        for facts, wave in _decoded(clips, rate_hz, "decoding", len(sink.facts)):
            sink.add(wave, {**facts, "samples": len(wave)})
    _refuse_unreadable(clips, sink.facts)
    offsets = np.cumsum([0, *(facts["samples"] for facts in sink.facts)]).tolist()
    odd = {clip: facts["warnings"] for clip, facts in enumerate(sink.facts) if facts["warnings"]}
    content = {"offsets": offsets, "contents": [facts["content"] for facts in sink.facts], "odd": odd}
    (folder / "clips.json").write_text(json.dumps(content), encoding="utf-8")


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


def _decoded(clips: Clips, rate_hz: int | None, what: str, first: int = 0) -> Iterator[tuple[dict[str, Any], Array]]:
    """What each clip from the `first` on is, and its wave at `rate_hz` (None: its own), in the table's order."""
    yield from in_threads(lambda row: _read(row.path, row.start, row.end, rate_hz), clips, what, first)


def in_threads(read: Callable[[Any], T], clips: Clips, what: str, first: int = 0) -> Iterator[T]:
    """`read` of each row of the clip table from the `first` on, in its order, on all cores."""
    rows, workers = list(clips.table[first:].itertuples()), processes.cores()
    # A bounded look-ahead: what is finished waits in memory until it is written.
    step = 16 * workers
    with ThreadPoolExecutor(workers) as pool:
        for start in track(range(0, len(rows), step), what):
            yield from pool.map(read, rows[start : start + step])


def _read(path: str, start_s: float, end_s: float, rate_hz: int | None) -> tuple[dict[str, Any], Array]:
    try:
        with audio.open_sound(path, start_s, end_s) as sound:
            wave, own_rate = np.concatenate(list(sound.blocks)), sound.rate_hz
        facts = {
            "seconds": len(wave) / own_rate,
            "rate_hz": own_rate,
            "peak": float(np.abs(wave).max()),
            "content": hashlib.sha256(f"{own_rate}".encode() + wave.tobytes()).hexdigest(),
            "warnings": sound.warnings,
            "error": "",
        }
        return facts, audio.resample(wave, own_rate, rate_hz or own_rate)
    except AudioError as error:
        nothing = {"seconds": 0.0, "rate_hz": 0, "peak": 0.0, "content": "", "warnings": [], "error": str(error)}
        return nothing, np.zeros(0, np.float32)


def file_hashes(clips: Clips) -> str:
    """One hash of all files' bytes; each file is read once however many clips it holds."""
    paths = list(dict.fromkeys(clips.table["path"]))
    with ThreadPoolExecutor(processes.cores()) as pool:
        by_path = dict(zip(paths, pool.map(files.sha256, paths), strict=True))
    return key_of(*(by_path[path] for path in clips.table["path"]))


def key_of(*parts: object) -> str:
    """A name for what is made of `parts` alone."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:32]
