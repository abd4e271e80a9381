"""Read annotations: which label each part of a recording has, as programs and people write it.

Read are Raven's selection tables, Audacity's label tracks, tables with columns for start, end and label under their
usual names (DCASE's among them), BirdNET's results, and what `hubbub classify` writes. `annotation_json` reads JSON.
Nothing here looks for recordings.
"""

import math
import re
import shlex
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from hubbub.data import annotation_json, text_tables, values
from hubbub.data.annotation_json import Annotations
from hubbub.data.clip_lists import seconds, split_columns
from hubbub.data.values import ClipsError, clean
from hubbub.errors import count, did_you_mean, examples
from hubbub.runtime.escape import escape_cell

__all__ = ["ENDINGS", "Annotations", "read"]

#: File endings of annotations.
ENDINGS = (*text_tables.ENDINGS, *annotation_json.ENDINGS, ".parquet")
#: Names of columns in lower case, without signs; earlier ones are preferred.
_NAMES = {
    "path": (
        "begin path", "filepath", "file path", "path", "audio path", "begin file", "file", "filename", "file name",
        "audio", "audio file", "audiofile", "audio filename", "audiofilename", "sound file", "soundfile", "wav",
        "wav file", "wavfile", "recording", "in file",
    ),
    "start": (
        "begin time s", "start", "start s", "start sec", "start seconds", "start time", "start time s", "starttime",
        "begin", "begin s", "begin time", "begintime", "onset", "onset s", "onset seconds", "onset time", "event onset",
        "event start", "t start", "tstart", "tmin", "t0", "time start", "from",
    ),
    "end": (
        "end time s", "end", "end s", "end sec", "end seconds", "end time", "endtime", "stop", "stop s", "stop time",
        "offset", "offset s", "offset seconds", "offset time", "event offset", "event end", "t end", "tend", "tmax",
        "t1", "time end", "to",
    ),
    "duration": ("duration", "duration s", "duration seconds", "length s", "event duration"),
    "label": (
        "label", "labels", "event label", "class", "class name", "classname", "species", "annotation", "call",
        "call type", "type", "sound", "sound type", "category", "tag", "event", "event class", "common name",
        "scientific name", "species code",
    ),
}  # fmt: skip
_SCORES = ("score", "confidence", "probability")
#: Columns that only a list of clips has, and a list of images: its rows are clips as they are.
_OF_LISTS = {"clip", "fold", "split_hint", "spec_file_name"}
#: What `hubbub classify` writes; its earlier versions wrote no clock.
_OURS = ("file", "start", "end", "label", "score", "clock")
_MINE = ("path", "start", "end", "label", "group")
#: What BirdNET writes for a recording in which it finds nothing.
_NOTHING = "nocall"
_FREQUENCIES = "\\"


def read(
    file: Path, columns: Mapping[str, str] | None = None, group: str = "", *, untimed: bool = False
) -> Annotations | None:
    """A file's annotations; None where it is no annotation table, and a list of clips among others.

    `columns` maps `path`, `start`, `end`, `label` and `group` to names in the table; `group` may be the name of the
    column of groups, which a table need not have. Rows may be `untimed` in a table with a header: with neither start
    nor end, which are NaN then, what they name is somewhere in the recording. Where times or labels cannot be used,
    `problem` says why, with the rows. Raises `ClipsError` where `columns` do not fit.
    """
    columns = dict(columns or {})
    if file.suffix.lower() == ".parquet":
        return _parquet(file, columns)
    if file.suffix.lower() in annotation_json.ENDINGS:
        return annotation_json.read(file, columns)
    try:
        lines = text_tables.lines(file)
    except ClipsError:
        return None
    if (track := _label_track(file, lines)) is not None:
        if columns:
            raise ClipsError(f"{file} is a label track, whose columns have no names. Leave [data.columns] out.")
        return track
    try:
        rows = text_tables.read(file)
    except ClipsError:
        return None
    return _table(file, rows, {**columns, "group": group} if group in rows.columns else columns, untimed)


def _label_track(file: Path, lines: list[tuple[int, str]]) -> Annotations | None:
    """Audacity's label track: start, end, label without a header, where all lines fit; else None.

    A line that begins with a backslash holds frequencies. A fourth column is BirdNET's score. A text file without lines
    is a track without labels.
    """
    if file.suffix.lower() != ".txt":
        return None
    cells = [(number, line.split("\t")) for number, line in lines]
    spans = [(number, row) for number, row in cells if row[0] != _FREQUENCIES]
    if not all(2 <= len(row) <= 4 and all(map(_is_time, row[:2])) for _, row in spans) or (cells and not spans):
        return None
    rows = [("", float(row[0]), float(row[1]), clean(row[2]) if row[2:] else "", "") for _, row in spans]
    table = annotation_json.table_of(rows, [number for number, _ in spans])
    return _labelled(Annotations(file, "Audacity", table, is_machine=any(row[3:] for _, row in spans)))


def _table(file: Path, rows: pd.DataFrame, columns: dict[str, str], untimed: bool) -> Annotations | None:
    """A table with a header."""
    if unknown := sorted(set(columns) - set(_MINE)):
        if unknown[0] not in _OF_LISTS:
            raise ClipsError(f"{file}: there is no column '{unknown[0]}' to name. {did_you_mean(unknown[0], _MINE)}")
        return None
    if any(clean(name) in _OF_LISTS for name in rows.columns) or split_columns(rows):
        return None
    names = {_plain(name): name for name in reversed(rows.columns)}
    found = {role: _first(names, role) for role in ("path", "start", "end", "duration")}
    found["group"] = "group" if "group" in rows.columns else ""
    for role, name in columns.items():
        if name not in rows.columns:
            return None
        found[role] = name
    if not found["start"] and found["duration"] and found["end"] and "offset" in _plain(found["end"]):
        found["start"], found["end"] = found["end"], ""  # Kaleidoscope: OFFSET and DURATION
    if not found["start"] or not (found["end"] or found["duration"]):
        return None
    empty = [values.text(rows[found[role]]) for role in ("start", "end") if found[role]]
    if (
        found["path"] == "path"
        and "label" in rows.columns
        and not all(clean(cell) for cells in empty for cell in cells)
    ):
        return None  # a list of clips, some of which are whole files
    birdnet = "common name" in names and "confidence" in names
    table = pd.DataFrame(index=rows.index)
    table["recording"] = rows[found["path"]] if found["path"] else ""
    try:
        chosen = found.get("label") or (names["common name"] if birdnet else _label(file, rows, names))
        timed = rows[_timed(rows, found)] if untimed else rows
        start, end = _times(file, timed, found)
    except ClipsError as problem:
        return annotation_json.unusable(file, list(table["recording"]), problem)
    table["start"], table["end"] = start.reindex(rows.index), end.reindex(rows.index)
    table["label"] = [clean(cell) for cell in values.text(rows[chosen])] if chosen else ""
    table["group"] = values.text(rows[found["group"]]) if found["group"] else ""
    is_ours = tuple(rows.columns) in (_OURS[:-1], _OURS)
    if is_ours:
        for column in ("recording", "label"):
            table[column] = [_unescaped(cell) for cell in table[column]]
    if "view" in names and "selection" in names:  # one selection in several views is one annotation
        table = table[~table.drop(columns="group").assign(number=rows[names["selection"]]).duplicated()]
    table, nothing = table[table["label"] != _NOTHING], table[table["label"] == _NOTHING]
    program = "BirdNET" if birdnet else "Raven" if "begin time s" in names else "hubbub" if is_ours else "a table"
    is_machine = birdnet or any(score in names for score in _SCORES)
    return _labelled(
        Annotations(
            file, program, table, tuple(dict.fromkeys(nothing["recording"])), is_machine=is_machine,
            columns=tuple(rows.columns),
        )
    )  # fmt: skip


def _parquet(file: Path, columns: dict[str, str]) -> Annotations | None:
    """The Parquet file that `hubbub classify` writes, with the columns of its CSV."""
    from pyarrow import ArrowException, parquet

    try:
        rows = parquet.read_table(file).to_pandas()
    except (ArrowException, OSError):
        return None
    if not {"file", "start", "end", "label"} <= set(rows.columns):
        return None
    if columns:
        raise ClipsError(f"{file}: a Parquet file needs the columns file, start, end, label. Leave [data.columns] out.")
    rows = rows.dropna(subset=["start", "end"])  # a recording that could not be read
    cells = zip(rows["file"].astype(str), rows["start"], rows["end"], rows["label"].astype(str), strict=True)
    table = annotation_json.table_of([(*row, "") for row in cells], list(range(1, len(rows) + 1)))
    return _labelled(Annotations(file, "hubbub", table, is_machine="score" in rows))


def _first(names: Mapping[str, str], role: str) -> str:
    return next((names[name] for name in _NAMES[role] if name in names), "")


def _label(file: Path, rows: pd.DataFrame, names: Mapping[str, str]) -> str:
    """The column of labels; "" where the table has no rows. Raises `ClipsError` where none is it, or several may be."""
    usual = [names[name] for name in _NAMES["label"] if name in names]
    filled = [name for name in usual if any(map(clean, values.text(rows[name])))] or usual
    distinct = {tuple(values.text(rows[name])): name for name in reversed(filled)}
    if rows.empty:
        return ""
    if len(distinct) == 1 or "label" in filled:
        return "label" if "label" in filled else filled[0]
    name = (filled or list(rows.columns))[-1]
    told = f"Name the right one: --set {shlex.quote(f'data.columns.label={name}')}"
    if filled:
        raise ClipsError(f"{file}: the label may be in the columns {' or '.join(map(repr, filled))}. {told}")
    raise ClipsError(
        f"{file} has no column that is known to hold labels (its columns: {', '.join(rows.columns)}). {told}"
    )


def _times(file: Path, rows: pd.DataFrame, found: Mapping[str, str]) -> tuple[pd.Series, pd.Series]:
    """Start and end in each recording [s]. Raises `ClipsError` for empty times, and for those of several recordings
    where it is not clear from which start they count."""
    start = _filled(file, rows, found["start"])
    length = _filled(file, rows, found["end"]) - start if found["end"] else _filled(file, rows, found["duration"])
    offset = next((name for name in rows.columns if _plain(name) == "file offset s"), "")
    if offset and any(map(clean, values.text(rows[offset]))):
        start = _filled(file, rows, offset)
    elif _plain(found["start"]) == "begin time s" and found["path"]:
        extent = pd.DataFrame({"file": rows[found["path"]], "start": start, "end": start + length}).groupby("file")
        order = extent.agg({"start": "min", "end": "max"}).sort_values("start")
        if len(order) > 1 and (order["start"].to_numpy()[1:] >= order["end"].to_numpy()[:-1]).all():
            raise ClipsError(
                f"{file} covers {len(order)} recordings, and its times may count from the start of the first or of "
                "each. Add Raven's column 'File Offset (s)', or save one table for each recording."
            )
    return start, start + length


def _timed(rows: pd.DataFrame, found: Mapping[str, str]) -> pd.Series:
    """Which rows have any time."""
    cells = zip(*(values.text(rows[found[role]]) for role in ("start", "end", "duration") if found[role]), strict=True)
    return pd.Series([any(map(clean, row)) for row in cells], index=rows.index, dtype=bool)


def _filled(file: Path, rows: pd.DataFrame, column: str) -> pd.Series:
    found = seconds(file, rows[column])
    if found.isna().any():
        empty = [f"row {row}" for row in found.index[found.isna()]]
        raise ClipsError(
            f"{file}: {count(len(empty), 'annotation')} without {column} ({examples(empty)}). Write it there. With "
            "--multilabel, what has neither start nor end is somewhere in its recording."
        )
    return found


def _labelled(given: Annotations) -> Annotations:
    """The annotations; with a problem where some have no label."""
    table = given.table
    if empty := [f"row {row}" for row in table.index[table["label"] == ""]]:
        have = "has" if len(empty) == 1 else "have"
        problem = f"{count(len(empty), 'annotation')} {have} no label ({examples(empty)}). Label or remove them."
        return annotation_json.unusable(given.file, list(table["recording"]), ClipsError(f"{given.file}: {problem}"))
    return given


def _plain(name: str) -> str:
    """A column's name in lower case, without signs: `Begin Time (s)` -> `begin time s`."""
    return " ".join(re.findall(r"[^\W_]+", name.casefold()))


def _is_time(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def _unescaped(cell: str) -> str:
    """A cell as it was before `escape_cell`."""
    return cell[1:] if cell.startswith("'") and escape_cell(cell[1:]) == cell else cell
