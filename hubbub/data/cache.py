"""The cache: decoded audio and frozen embeddings, computed once and memory-mapped.

An entry's name is a hash of the sound files' bytes and of every setting that affects the result, so it is never stale.
`entries` checks each entry and fills it again if it is damaged. The whole cache may be deleted at any time. After a
killed process, decoding and embedding go on where it stopped.
"""

import hashlib
import io
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from hubbub.audio import decode
from hubbub.audio.decode import AudioError
from hubbub.data import entries
from hubbub.data.clips import Clips, ClipsError
from hubbub.data.inputs import Embedder, Inputs, Mapped, Segmenter
from hubbub.data.properties import Clipping, Properties, measure
from hubbub.errors import examples
from hubbub.runtime import files, homes
from hubbub.runtime.processes import cores
from hubbub.runtime.progress import track

__all__ = [
    "Segments",
    "UnreadableError",
    "Waves",
    "decode_clips",
    "embed",
    "outputs",
    "file_hashes",
    "in_threads",
    "inspect_sounds",
    "key_of",
    "offsets_of",
    "rows_of",
]

Array = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]
T = TypeVar("T")
#: Part of every key: increase it when decoding, resampling or what is measured changes.
VERSION = 5
#: The same of the embeddings' keys, for when the entry holds something else.
EMBEDDED = 5
SEGMENTS_AT_ONCE = 256
#: What is measured of each clip while it is decoded.
FACTS = ("seconds", "rate_hz", "channels", "coding", "peak", *Properties().as_dict())
_SAMPLES, _VALUES, _COST = "samples.f32", "values.npy", "cost.json"


class UnreadableError(ClipsError):
    """Sounds that cannot be decoded. `found` is the table of `inspect_sounds`."""

    def __init__(self, message: str, found: pd.DataFrame) -> None:
        super().__init__(message)
        self.found = found


@dataclass(frozen=True)
class Waves(Mapped):
    """The decoded clips of a data set at one rate: `wave(i)` is clip i, `contents` a hash of each decoded sound.

    `warnings` holds the decoder's warnings by clip number. `facts` is a table of each clip's `FACTS`, which were
    measured at the file's own rate; empty for waves that are from no file.
    """

    samples: Array
    offsets: npt.NDArray[np.int64]
    contents: tuple[str, ...]
    rate_hz: int
    key: str
    warnings: dict[int, list[str]] = field(default_factory=dict)
    facts: pd.DataFrame = field(default_factory=pd.DataFrame)

    def __len__(self) -> int:
        return len(self.contents)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Samples of each clip, `[clips]`."""
        return np.diff(self.offsets)

    def wave(self, clip: int) -> Array:
        """Clip number -> wave `[T]`, a view of the memory map."""
        return self.samples[self.offsets[clip] : self.offsets[clip + 1]]

    def cut(self, clip: int, segmenter: Segmenter) -> Array:
        """Clip number -> its segments `[S, N]`."""
        return segmenter.cut(self.wave(clip))

    def spans(self, clip: int, segmenter: Segmenter) -> npt.NDArray[np.float64]:
        """Clip number -> start and end of each segment [s], `[S, 2]`."""
        return segmenter.spans(int(self.offsets[clip + 1] - self.offsets[clip]))


@dataclass(frozen=True)
class Segments:
    """One row of `values` `[S, D]` per segment; clip i has the rows `offsets[i] : offsets[i + 1]`.

    Embeddings of the cache took `seconds` to compute, at the time `computed`.
    """

    values: Array
    offsets: npt.NDArray[np.int64]
    seconds: float = 0.0
    computed: datetime | None = None

    @cached_property
    def clip(self) -> Rows:
        """The clip of each segment, `[S]`."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    def of(self, clips: Rows) -> "Segments":
        """The segments of these clips, in their order."""
        rows, counts = rows_of(self.offsets, clips)
        offsets = np.append(0, np.cumsum(counts))
        return Segments(self.values[rows], offsets, self.seconds_of(clips), self.computed)

    def seconds_of(self, clips: Rows) -> float:
        """The time that the embeddings of these clips took to compute [s]: their share of all segments."""
        segments = int((self.offsets[clips + 1] - self.offsets[clips]).sum())
        return self.seconds * segments / max(len(self.values), 1)


def rows_of(offsets: npt.NDArray[np.int64], clips: Rows) -> tuple[Rows, npt.NDArray[np.int64]]:
    """The row numbers of the segments of these clips, in their order, and the number of segments of each clip."""
    starts, stops = offsets[clips], offsets[clips + 1]
    rows = np.concatenate([np.arange(a, b) for a, b in zip(starts, stops, strict=True)] or [np.arange(0)])
    return rows, stops - starts


def inspect_sounds(clips: Clips) -> pd.DataFrame:
    """Decode every clip -> `clip`, its `FACTS`, `content` (hash), `warnings`, `error` ("" if none)."""
    return _as_table(clips, [facts for facts, _ in _decoded(clips, None, "checking")])


def _as_table(clips: Clips, found: list[dict[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame(found)
    table.insert(0, "clip", clips.table["clip"])
    return table


def decode_clips(clips: Clips, rate_hz: int) -> Waves:
    """The clips decoded at `rate_hz`, once per machine. Raises `UnreadableError` naming the files that cannot be."""
    key = key_of(VERSION, rate_hz, file_hashes(clips), clips.table[["start", "end"]].to_json())

    def read(folder: Path) -> Waves:
        content, samples = json.loads((folder / "clips.json").read_text(encoding="utf-8")), _mapped(folder / _SAMPLES)
        offsets = offsets_of(np.asarray(content["offsets"]), len(clips), len(samples))
        if len(content["contents"]) != len(clips):
            raise ValueError("clips.json is about other clips")
        odd = {int(clip): warnings for clip, warnings in content["odd"].items()}
        facts = pd.DataFrame(content["facts"], columns=FACTS)
        if len(facts) != len(clips):
            raise ValueError("clips.json has the facts of other clips")
        return Waves(samples, offsets, tuple(content["contents"]), rate_hz, key, odd, facts)

    folder = homes.cache_dir() / "decoded" / key
    return entries.entry(folder, lambda place: _decode_into(place, clips, rate_hz), read)


def embed(inputs: Inputs, model: Embedder) -> Segments:
    """A frozen network's embeddings of all segments, computed once per machine, data set and network.

    They are identical to the last bit whether or not a process was killed in between. The time that they took is kept
    with them.
    """

    def read(folder: Path) -> Segments:
        values, offsets = np.load(folder / _VALUES, mmap_mode="r"), np.load(folder / "offsets.npy")
        cost = json.loads((folder / _COST).read_text(encoding="utf-8"))
        computed = datetime.fromisoformat(cost["computed"])
        return Segments(values, offsets_of(offsets, len(inputs), len(values)), float(cost["seconds"]), computed)

    folder = homes.cache_dir() / "embeddings" / key_of(EMBEDDED, inputs.key, model.fingerprint())
    return entries.entry(folder, lambda place: _embed_into(place, inputs, model), read)


def offsets_of(values: npt.NDArray[Any], clips: int, rows: int) -> npt.NDArray[np.int64]:
    """`values` as int64, checked to rise from 0 to `rows` in `clips` steps. Raises ValueError."""
    if values.shape != (clips + 1,) or values.dtype.kind not in "iu":
        raise ValueError(f"its offsets are not {clips + 1} whole numbers")
    offsets = values.astype(np.int64)
    if offsets[0] != 0 or offsets[-1] != rows or (offsets[1:] < offsets[:-1]).any():
        raise ValueError(f"its offsets do not rise from 0 to {rows}")
    return offsets


def outputs(inputs: Inputs, model: Embedder, clips: Rows, what: str = "predicting") -> Segments:
    """The model's outputs (embeddings or logits) for these clips, batched across clips."""
    counts, values = zip(*_groups(inputs, model, clips, what), strict=True)
    return Segments(np.concatenate(values), np.append(0, np.cumsum(np.concatenate(counts))))


def _groups(inputs: Inputs, model: Embedder, clips: Rows, what: str) -> Iterator[tuple[list[int], Array]]:
    """Segments per clip and outputs, for groups of clips that together have at least `SEGMENTS_AT_ONCE` segments."""
    pending: list[Array] = []
    for clip in track(clips, what, len(clips)):
        pending.append(inputs.cut(clip, model))
        if sum(map(len, pending)) >= SEGMENTS_AT_ONCE:
            yield list(map(len, pending)), model.outputs(np.concatenate(pending))
            pending = []
    if pending:
        yield list(map(len, pending)), model.outputs(np.concatenate(pending))


def _embed_into(folder: Path, inputs: Inputs, model: Embedder) -> None:
    """Write a `.npy` file group by group; its header holds the final number of rows from the start."""
    offsets = np.cumsum([0, *(len(inputs.spans(clip, model)) for clip in range(len(inputs)))])
    with entries.JournalledFile(folder, _VALUES) as sink:
        done = sum(facts["clips"] for facts in sink.facts)  # groups start where an uninterrupted run would start them
        began = time.perf_counter()
        for counts, values in _groups(inputs, model, np.arange(done, len(inputs)), "embedding"):
            seconds = time.perf_counter() - began
            if not sink.facts:
                sink.add(_header((int(offsets[-1]), *values.shape[1:])), {"clips": 0, "seconds": 0.0})
            sink.add(values, {"clips": len(counts), "seconds": seconds})
            began = time.perf_counter()
    np.save(folder / "offsets.npy", offsets)
    spent, now = sum(facts["seconds"] for facts in sink.facts), datetime.now(UTC).replace(microsecond=0)
    (folder / _COST).write_text(json.dumps({"seconds": spent, "computed": now.isoformat()}), encoding="utf-8")


def _header(shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """The header of a float32 `.npy` file, as bytes."""
    header = io.BytesIO()
    described = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.float32)), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, described)
    return np.frombuffer(header.getvalue(), np.uint8)


def _decode_into(folder: Path, clips: Clips, rate_hz: int) -> None:
    with entries.JournalledFile(folder, _SAMPLES) as sink:
        for facts, wave in _decoded(clips, rate_hz, "decoding", len(sink.facts)):
            sink.add(wave, {**facts, "samples": len(wave)})
    _refuse_unreadable(clips, sink.facts)
    offsets = np.cumsum([0, *(facts["samples"] for facts in sink.facts)]).tolist()
    odd = {clip: facts["warnings"] for clip, facts in enumerate(sink.facts) if facts["warnings"]}
    measured = [[facts[name] for name in FACTS] for facts in sink.facts]
    contents = [facts["content"] for facts in sink.facts]
    content = {"offsets": offsets, "contents": contents, "odd": odd, "facts": measured}
    (folder / "clips.json").write_text(json.dumps(content), encoding="utf-8")


def _mapped(path: Path) -> Array:
    """A copy-on-write memory map: torch accepts it, and the file never changes."""
    return np.memmap(path, dtype=np.float32, mode="c")


def _refuse_unreadable(clips: Clips, found: list[dict[str, Any]]) -> None:
    errors = [f["error"] for f in found if f["error"]]
    if errors:
        raise UnreadableError(
            f"{clips.name}: {len(errors)} of {len(found)} sounds cannot be used. "
            f"{examples(error.rstrip('.') for error in errors)}. Repair or remove them (hubbub data check lists all).",
            _as_table(clips, found),
        )


def _decoded(clips: Clips, rate_hz: int | None, what: str, first: int = 0) -> Iterator[tuple[dict[str, Any], Array]]:
    """Facts about each clip from number `first` on, and its wave at `rate_hz` (None: its own), in the table's order."""
    yield from in_threads(lambda row: _read(row.path, row.start, row.end, rate_hz), clips, what, first)


def in_threads(read: Callable[[Any], T], clips: Clips, what: str, first: int = 0) -> Iterator[T]:
    """`read(row)` for each row of the clip table from number `first` on, in its order, in one thread per core."""
    rows, workers = list(clips.table[first:].itertuples()), cores()
    # Bounded: finished results wait in memory until they are written.
    step = 16 * workers
    with ThreadPoolExecutor(workers) as pool:
        for start in track(range(0, len(rows), step), what):
            yield from pool.map(read, rows[start : start + step])


def _read(path: str, start_s: float, end_s: float, rate_hz: int | None) -> tuple[dict[str, Any], Array]:
    try:
        with decode.open_sound(path, start_s, end_s) as sound:
            clipping = Clipping(sound.coding)
            sound.watchers.append(clipping.feed)
            blocks, own_rate = list(sound.blocks), sound.rate_hz
            wave = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
        facts = {
            "seconds": len(wave) / own_rate,
            "rate_hz": own_rate,
            "channels": sound.channels,
            "coding": sound.coding,
            "peak": max(-float(wave.min()), float(wave.max())),
            **measure(wave, own_rate, clipping.samples).as_dict(),
            "content": _content(own_rate, wave),
            "warnings": sound.warnings,
            "error": "",
        }
        return facts, decode.resample(wave, own_rate, rate_hz or own_rate)
    except AudioError as error:
        nothing = dict.fromkeys(FACTS, 0) | {"coding": "", "content": "", "warnings": [], "error": str(error)}
        return nothing, np.zeros(0, np.float32)


def _content(rate_hz: int, wave: Array) -> str:
    digest = hashlib.sha256(f"{rate_hz}".encode())
    digest.update(np.ascontiguousarray(wave).data)
    return digest.hexdigest()


def file_hashes(clips: Clips) -> str:
    """One hash of all files' bytes; a file with several clips is read once."""
    paths = list(dict.fromkeys(clips.table["path"]))
    with ThreadPoolExecutor(cores()) as pool:
        by_path = dict(zip(paths, pool.map(files.sha256, paths), strict=True))
    return key_of(*(by_path[path] for path in clips.table["path"]))


def key_of(*parts: object) -> str:
    """A hash of `parts`, for the name of an entry that depends on them alone."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:32]
