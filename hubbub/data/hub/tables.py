"""Read parquet files, and arrow files that `datasets` saved; sounds and spectrograms become cached files, one per row.

Formats: https://huggingface.co/docs/hub/datasets-data-files-configuration and https://arrow.apache.org/docs/format.
Large columns are read a few rows at a time, so memory is bounded by a row group or less.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hubbub.audio.decode import EXTENSIONS
from hubbub.data import entries
from hubbub.data.clips import ClipsError
from hubbub.errors import HubbubError
from hubbub.runtime import files, homes
from hubbub.runtime.progress import track

__all__ = ["AUDIO", "MEL", "Unpacked", "rows_of", "schema_of", "splits_of", "tables", "unpack"]

AUDIO, MEL = "audio", "mel_spectrogram"
#: Part of every key: increase it when unpacking changes.
VERSION = 1
_NAMES = ("slice_file_name", "file_name", "clip")
_ROWS_AT_ONCE = 16
_READ_BYTES = 1 << 20
_LIST = "rows.json"

#: A folder, and for each row a unique name and its file there ("" if the row has none).
Unpacked = tuple[Path, list[tuple[str, str]]]
Cell = dict[str, Any]


def tables(folder: Path) -> list[Path]:
    """The parquet files in a folder and its subfolders, sorted; if there are none, the arrow files that `datasets`
    saved (without its caches)."""
    for suffix in ("parquet", "arrow"):
        found = [*folder.glob(f"*.{suffix}"), *folder.glob(f"[!.]*/*.{suffix}")]
        found = [path for path in found if path.is_file() and not path.name.startswith((".", "cache-"))]
        if found:
            return sorted(found)
    return []


def schema_of(found: list[Path]) -> pa.Schema:
    """The schema of all files. Raises `ClipsError` where they differ or cannot be read."""
    schemas, names = [], []
    for file in found:
        with _readable(file):
            schemas.append(pq.read_schema(file) if file.suffix == ".parquet" else _arrow(file).schema)
            names.append(schemas[-1].names)  # decoded only here, and perhaps not text
    for file, theirs in zip(found, names, strict=True):
        if theirs != names[0]:
            raise ClipsError(
                f"{file} has other columns ({', '.join(theirs)}) than {found[0].name} ({', '.join(names[0])}). Put "
                "each data set into a folder of its own."
            )
    return schemas[0]


def rows_of(found: list[Path], schema: pa.Schema, lists: tuple[str, ...] = ()) -> pd.DataFrame:
    """The plain columns of all files, and the columns `lists`; sounds, spectrograms and other nested columns are not
    read."""
    plain = [
        field.name
        for field in schema
        if field.name in lists or (not pa.types.is_nested(field.type) and field.name not in (AUDIO, MEL))
    ]
    parts = []
    for file in found:
        with _readable(file):
            table = pq.read_table(file, columns=plain) if file.suffix == ".parquet" else _arrow(file).read_all()
            table = table.select(plain)
            table.validate(full=True)  # else arrow would follow bad offsets out of bounds
            # Else integers in a column with missing values would become 1.0, 2.0.
            parts.append(table.to_pandas(integer_object_nulls=True).astype(object))
    return pd.concat(parts, ignore_index=True)


def splits_of(found: list[Path]) -> list[str]:
    """The split of each row: `train-00000-of-00016-1a2b.parquet` -> train; of an arrow file the name of its folder."""
    splits: list[str] = []
    for file in found:
        stem = re.sub(r"[-_.]?\d+(-of-\d+(-[0-9a-f]+)?)?$", "", file.stem) if file.suffix == ".parquet" else ""
        with _readable(file):
            rows = pq.read_metadata(file).num_rows if file.suffix == ".parquet" else _arrow(file).read_all().num_rows
        splits += [stem or file.parent.name] * rows
    return splits


def unpack(name: str, found: list[Path], column: str, rows: pd.DataFrame) -> Unpacked:
    """A column's sounds or spectrograms as files in the cache, one per row, written once per machine.

    Sounds keep their bytes; a spectrogram becomes a `.npy` of float32 `[bands, frames]`. Raises `ClipsError` naming the
    row of an invalid spectrogram; sounds are checked when they are decoded.
    """
    digests = [files.sha256(file) for file in track(found, "reading", len(found))]
    key = hashlib.sha256("\n".join([str(VERSION), column, *digests]).encode()).hexdigest()[:32]

    def fill(folder: Path) -> None:
        named = next((named for named in _NAMES if named in rows), None)
        given = rows[named].fillna("").astype(str).tolist() if named else [""] * len(rows)
        used = {_LIST, *entries.RESERVED}
        listed: list[tuple[str, str]] = []
        for cell in track(_cells(found, column), "unpacking", len(rows)):
            if len(listed) == len(rows):
                raise ClipsError(f"{name}: '{column}' has more rows than the other columns. Fetch or save it again.")
            path = given[len(listed)] or str(cell.get("path") or "")
            stem = _unique(path, len(listed), used)
            listed.append((stem, _write(folder / stem, path, cell, f"{name}, row {len(listed) + 1}")))
        if len(listed) < len(rows):
            raise ClipsError(f"{name}: '{column}' has fewer rows than the other columns. Fetch or save it again.")
        (folder / _LIST).write_text(json.dumps(listed), encoding="utf-8")

    def read(folder: Path) -> Unpacked:
        listed = [(stem, file) for stem, file in json.loads((folder / _LIST).read_text(encoding="utf-8"))]
        if len(listed) != len(rows):
            raise ValueError(f"{_LIST} is about other rows")
        return folder, listed

    return entries.entry(homes.cache_dir() / "hub" / key, fill, read)


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    try:
        yield
    except HubbubError:
        raise
    except Exception as error:  # damage may show anywhere: in arrow, in a column's name, in pandas
        why = (str(error) or type(error).__name__).split("\n")[0].rstrip(".")
        raise ClipsError(f"{file} cannot be read: {why}. Fetch or save it again.") from error


def _arrow(file: Path) -> Any:
    """A reader for arrow's stream format (of `datasets`) or file format."""
    mapped = pa.memory_map(str(file))
    is_file = mapped.read(6) == b"ARROW1"
    mapped.seek(0)
    return pa.ipc.open_file(mapped) if is_file else pa.ipc.open_stream(mapped)


def _batches(file: Path, column: str) -> Iterator[pa.Array]:
    """A column, a few rows at a time."""
    if file.suffix == ".parquet":
        with pq.ParquetFile(file, buffer_size=_READ_BYTES, pre_buffer=False) as parquet:
            for batch in parquet.iter_batches(_ROWS_AT_ONCE, columns=[column]):
                yield batch.column(column)
        return
    for chunk in _arrow(file).read_all().column(column).chunks:  # memory-mapped, so nothing is read yet
        for start in range(0, len(chunk), _ROWS_AT_ONCE):
            yield chunk.slice(start, _ROWS_AT_ONCE)


def _cells(found: list[Path], column: str) -> Iterator[Cell]:
    """`{"bytes", "path"}` of a sound or `{"values"}` of a spectrogram; an empty dict if a row has none."""
    for file in found:
        with _readable(file):
            for batch in _batches(file, column):
                batch.validate(full=True)
                if column == MEL:
                    yield from ({"values": cell.values} if cell.is_valid else {} for cell in batch)
                    continue
                if not (pa.types.is_struct(batch.type) and batch.type.get_field_index("bytes") >= 0):
                    raise ClipsError(
                        f"{file}: the column '{AUDIO}' holds {batch.type}, not the bytes of sound files. Save the data "
                        "set with its sounds inside."
                    )
                yield from (cell or {} for cell in batch.to_pylist())


def _unique(path: str, row: int, used: set[str]) -> str:
    """A unique file name for a row, from the last part of its path: only letters, digits, dots and dashes."""
    last = PurePosixPath(path.replace("\\", "/")).name
    stem = re.sub(r"[^\w.-]", "_", last.rpartition(".")[0] or last, flags=re.ASCII).strip("._-")[:100]
    stem = stem or f"row{row:06d}"
    while stem.casefold() in used:
        stem = f"{stem}-row{row:06d}"
    used.add(stem.casefold())
    return stem


def _write(target: Path, path: str, cell: Cell, what: str) -> str:
    """Write a cell to a file -> the file's name, "" for an empty cell."""
    if "values" in cell:
        np.save(target.with_name(f"{target.name}.npy"), _spectrogram(cell["values"], what))
        return f"{target.name}.npy"
    if cell.get("bytes") is None:
        return ""
    suffix = PurePosixPath(path).suffix.lower()
    file = target.name + (suffix if suffix in EXTENSIONS else "")
    target.with_name(file).write_bytes(cell["bytes"])
    return file


def _spectrogram(bands: pa.Array, what: str) -> npt.NDArray[np.float32]:
    """`[bands][frames]` -> float32 `[bands, frames]`, checked."""
    kind = bands.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        raise ClipsError(f"{what}: '{MEL}' is not a list of bands, each a list of numbers. Save it as [bands][frames].")
    lengths = set(pc.list_value_length(bands).to_pylist())
    if len(lengths) != 1 or lengths <= {None, 0}:
        raise ClipsError(f"{what}: the bands of '{MEL}' differ in length, or are empty. Save it as [bands][frames].")
    values = bands.flatten()
    if not pa.types.is_floating(values.type) and not pa.types.is_integer(values.type):
        raise ClipsError(f"{what}: '{MEL}' holds {values.type}, not numbers. Save it as [bands][frames].")
    with np.errstate(over="ignore", invalid="ignore"):  # refused below
        spectrogram = values.to_numpy(zero_copy_only=False).astype(np.float32).reshape(len(bands), -1)
    if not np.isfinite(spectrogram).all():
        raise ClipsError(f"{what}: '{MEL}' holds values that are not finite. Save it again without them.")
    return spectrogram
