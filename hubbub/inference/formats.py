"""Results as text and tables: JSON lines, CSV, Audacity's labels, Raven's selection tables, parquet.

Rows are events where they were asked for, else segments with their best classes. `clock` is the time at which a row
begins, empty where it is not known when the recording began. JSON and parquet hold names as they are. In CSV, which
people open in spreadsheets, a name that looks like a formula is preceded by an apostrophe, and names with tabs or line
ends are quoted; Audacity and Raven, which know no quoting, get blanks in their place.
"""

import csv
import io
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubbub.classifier.prediction import Event
from hubbub.inference.result import FileResult
from hubbub.runtime import files
from hubbub.runtime.escape import escape_cell, escape_control, single_line

if TYPE_CHECKING:
    import pyarrow

__all__ = ["FORMATS", "Format", "name_of", "readable", "rows", "schema"]

COLUMNS = ("file", "start", "end", "label", "score", "clock")
#: https://www.ravensoundsoftware.com/knowledge-base/
RAVEN = ("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)",
         "Begin File", "Label", "Score")  # fmt: skip


def rows(result: FileResult, threshold: float = 0.0) -> Iterator[Event]:
    """The events of a result, or else its segments' best classes that score `threshold` or more (only those that a
    segment holds, where it may hold several or none); none for an error."""
    prediction = result.prediction
    if prediction is not None and prediction.events is not None:
        yield from prediction.events
    elif prediction is not None:
        for segment in prediction.held_by_segment():
            yield from (best for best in segment if best.score >= threshold)


def readable(name: str) -> str:
    """A file's name as text; bytes that are not text are escaped."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


@dataclass(frozen=True)
class Format:
    """A text format: the ending of its files, the header of each, and the text of one result.

    `several`: whether one file may hold the results of several recordings.
    """

    ending: str
    body: Callable[[FileResult, float], str]
    header: str = ""
    several: bool = True

    def save(self, file: Path, result: FileResult, threshold: float) -> None:
        """Write a result as a file of its own, whole or not at all."""
        files.write_text(file, self.header + self.body(result, threshold))

    def join(self, file: Path, parts: Sequence[Path | FileResult]) -> None:
        """Join saved results and errors to one file, written whole or not at all."""
        with files.whole_file(file) as temporary, temporary.open("wb") as whole:
            whole.write(self.header.encode())
            for part in parts:
                if isinstance(part, FileResult):
                    whole.write(self.body(part, 0.0).encode())
                    continue
                with part.open("rb") as saved:
                    saved.seek(len(self.header.encode()))
                    shutil.copyfileobj(saved, whole)


class Parquet(Format):
    """The columns of CSV (https://parquet.apache.org)."""

    def save(self, file: Path, result: FileResult, threshold: float) -> None:
        from pyarrow import parquet

        with files.whole_file(file) as temporary:
            parquet.write_table(_table(result, threshold), temporary)

    def join(self, file: Path, parts: Sequence[Path | FileResult]) -> None:
        from pyarrow import parquet

        with files.whole_file(file) as temporary, parquet.ParquetWriter(temporary, schema()) as whole:
            for part in parts:
                if isinstance(part, Path):
                    whole.write_table(parquet.read_table(part, schema=schema()))


def schema() -> "pyarrow.Schema":
    """The columns of Parquet files and their types."""
    import pyarrow

    string, number = pyarrow.string(), pyarrow.float64()
    kinds = (string, number, number, string, pyarrow.float32(), string)
    return pyarrow.schema(list(zip(COLUMNS, kinds, strict=True)))


def _table(result: FileResult, threshold: float) -> "pyarrow.Table":
    import pyarrow

    found = list(rows(result, threshold))
    columns: list[list[Any]] = [[readable(result.file)] * len(found)]
    columns += [[getattr(event, name) for event in found] for name in COLUMNS[1:-1]]
    columns += [[result.clock(event.start) or None for event in found]]
    return pyarrow.table(columns, schema=schema())


def _json(result: FileResult, threshold: float) -> str:
    return result.to_json() + "\n"


def _csv(result: FileResult, threshold: float) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(
        (escape_cell(result.file), e.start, e.end, escape_cell(e.label), e.score, result.clock(e.start))
        for e in rows(result, threshold)
    )
    return text.getvalue()


def _audacity(result: FileResult, threshold: float) -> str:
    """A label track (https://manual.audacityteam.org/man/importing_and_exporting_labels.html)."""
    return "".join(f"{e.start:.6f}\t{e.end:.6f}\t{name_of(e.label)}\n" for e in rows(result, threshold))


def _raven(result: FileResult, threshold: float) -> str:
    if result.prediction is None:
        return ""
    name, band = name_of(Path(result.file).name), f"0\t{result.highest_hz:g}"
    return "".join(
        f"{number}\tSpectrogram 1\t1\t{e.start:.6f}\t{e.end:.6f}\t{band}\t{name}\t{name_of(e.label)}\t{e.score:.6f}\n"
        for number, e in enumerate(rows(result, threshold), 1)
    )


def name_of(text: str) -> str:
    """A name in a list: on one line, with invisible characters escaped."""
    return escape_control(single_line(text))


FORMATS: Mapping[str, Format] = {
    "json": Format(".jsonl", _json),
    "csv": Format(".csv", _csv, ",".join(COLUMNS) + "\n"),
    "audacity": Format(".labels.txt", _audacity, several=False),
    "raven": Format(".selections.txt", _raven, "\t".join(RAVEN) + "\n", several=False),
    "parquet": Parquet(".parquet", _csv),
}
