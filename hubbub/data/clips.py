"""The clip table: one row a clip, whatever it came from.

Columns: `clip` (unique id), `path`, `start` and `end` [s, NaN for the whole file], `label`, `fold`, `group` (the source
recording or speaker: what must never stand on both sides of a split) and `split_hint` ("" or the only part the clip
may stand in; an augmented copy says "train"). Reads any CSV and any folder with one folder a class.
This room knows nothing of particular data sets.
"""

import os
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from hubbub.audio.find_files import search
from hubbub.data import class_folders, text_tables, values
from hubbub.data.recordings import groups, identity, recordings, within_files, without_ending
from hubbub.data.values import ClipsError, clean
from hubbub.errors import count, did_you_mean, examples

__all__ = [
    "COLUMNS",
    "Clips",
    "ClipsError",
    "build",
    "find_sounds",
    "from_csv",
    "from_folder",
    "hold_out",
    "inside",
    "limit",
]

Kind = Literal["sound", "spectrograms", "pictures"]
COLUMNS = ("clip", "path", "start", "end", "label", "fold", "group", "split_hint")
#: What tables of predictions call their own columns: no class can be called so.
TAKEN = frozenset({"clip", "level", "group", "label", "start", "end"})


@dataclass(frozen=True)
class Clips:
    """A data set as hubbub sees it: the table and what must be said beside every figure from it.

    `labels` is the class order of every matrix and probability; `straddling` names groups that the official folds are
    known to split; `notes` go into every result, `left_out` says what else was not taken. `kind` is what a path leads
    to: a sound, a file of spectrograms or a picture of one; `made` the recipe sections `audio`, `windows` and
    `frontend` of what made spectrograms or pictures, where that is known. Example:
    `Clips.table.groupby("fold").size()`.
    """

    name: str
    table: pd.DataFrame
    labels: tuple[str, ...]
    licence: str = "not stated"
    citation: str = "not stated"
    synthetic: bool = False
    listed: int = 0
    missing: tuple[str, ...] = ()
    straddling: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    kind: Kind = "sound"
    made: Mapping[str, Any] | None = None

    def __len__(self) -> int:
        return len(self.table)

    @property
    def folds(self) -> tuple[str, ...]:
        """Fold names, numbers in their own order."""
        names = {str(f) for f in self.table["fold"]} - {""}
        numbers = {name for name in names if values.is_number(name)}
        return (*values.in_order(numbers), *sorted(names - numbers))

    def targets(self) -> np.ndarray:
        """Class index of each clip, `[clips]`; -1 for a class that is held out."""
        return pd.Categorical(self.table["label"], categories=list(self.labels)).codes.astype(np.int64)


def build(
    name: str,
    table: pd.DataFrame,
    *,
    labels: tuple[str, ...] = (),
    allow_missing: bool = False,
    where: str = "",
    **facts: object,
) -> Clips:
    """Rows with possibly absent files (`path` empty) -> checked Clips without them.

    An index called `row` numbers the rows for messages. Raises `ClipsError` on missing files unless allowed, duplicated
    ids, empty or unknown labels, unknown hints.
    """
    table = table.reindex(columns=list(COLUMNS))
    for column in ("clip", "path", "group"):
        table[column] = pd.Series(values.text(table[column]), index=table.index, dtype=str)
    table[["start", "end"]] = table[["start", "end"]].astype(float)
    twice = table["clip"][table["clip"].duplicated()]
    if len(twice):
        raise ClipsError(
            f"{name}: {count(len(twice), 'id')} given twice ({examples(twice)}). Give every clip an id of its own."
        )
    hints = values.hints(name, table)
    named, on_labels = values.labels(name, table)
    folds, on_folds = values.folds(table)
    for column, cells in (("split_hint", hints), ("label", named), ("fold", folds)):
        table[column] = pd.Series(cells, index=table.index, dtype=str)
    labels = tuple(dict.fromkeys(map(clean, labels))) or values.in_order(set(named))
    if taken := sorted(TAKEN & set(labels)):
        raise ClipsError(
            f"{name}: a class is called '{taken[0]}', as a column of every table of predictions is. Rename it "
            f"(not {', '.join(sorted(TAKEN))})."
        )
    unknown = sorted(set(table["label"]) - set(labels))
    if unknown:
        raise ClipsError(f"{name}: unknown label '{unknown[0]}'. {did_you_mean(unknown[0], labels)}")
    absent = table["path"] == ""
    missing = tuple(table["clip"][absent])
    if missing and not allow_missing:
        raise ClipsError(
            f"{name}: {len(missing)} of {len(table)} listed files are missing{' from ' + where if where else ''} "
            f"({examples(missing)}). Fetch them, or go on without them by --allow-missing; every result will say so."
        )
    if len(missing) == len(table):
        raise ClipsError(f"{name}: none of the {len(table)} listed files is there{' in ' + where if where else ''}.")
    clips = Clips(name, table[~absent].reset_index(drop=True), labels, listed=len(table), missing=missing)
    clips = replace(clips, **facts)  # type: ignore[arg-type]
    partial = (f"PARTIAL DATA: {len(missing):,} of {len(table):,} listed clips are missing",) if missing else ()
    return replace(clips, notes=(*clips.notes, *on_labels, *on_folds, *partial))


def limit(clips: Clips, most: int, seed: int = 0) -> Clips:
    """At most `most` clips a class and fold, and as many augmented copies, drawn with `seed`.

    The result says that it is a part.
    """
    order = np.random.default_rng(seed).permutation(len(clips))
    kept = clips.table.iloc[order].groupby(["label", "fold", "split_hint"]).head(most).index
    table = clips.table.loc[sorted(kept)].reset_index(drop=True)
    if len(table) == len(clips):
        return clips
    return replace(clips, table=table, notes=(*clips.notes, f"REDUCED DATA: {len(table):,} of {len(clips):,} clips"))


def hold_out(clips: Clips, labels: tuple[str, ...]) -> Clips:
    """The same clips, with some classes no longer among `labels`. Raises `ClipsError` unless two are left."""
    if not labels:
        return clips
    for label in labels:
        if label not in clips.labels:
            raise ClipsError(f"{clips.name} has no class '{label}' to hold out. {did_you_mean(label, clips.labels)}")
    left = tuple(label for label in clips.labels if label not in labels)
    if len(left) < 2:
        raise ClipsError(f"{clips.name}: held_out leaves {len(left)} classes. Leave two at least.")
    note = (
        f"HELD OUT: {len(set(labels))} of {len(clips.labels)} classes took no part ({examples(sorted(set(labels)))}); "
        f"figures are over the other {len(left)}"
    )
    return replace(clips, labels=left, notes=(*clips.notes, note))


def find_sounds(folder: Path) -> dict[str, Path]:
    """Sound files below a folder by their relative path without extension, so that a list's `.wav` finds a `.flac`."""
    found: dict[str, Path] = {}
    for path in map(Path, search(folder).files):
        found.setdefault(path.relative_to(folder).with_suffix("").as_posix(), path)
    return found


def from_csv(
    file: Path,
    columns: Mapping[str, str] | None = None,
    *,
    root: Path | None = None,
    labels: tuple[str, ...] = (),
    allow_missing: bool = False,
) -> Clips:
    """Any CSV with at least `path` and `label`, under those names or the ones `columns` gives.

    `fold`, `group`, `clip`, `start`, `end` and `split_hint` are used where present. Paths start from `root` (default:
    the CSV's folder) and may not leave it. A file without `group` is taken as a recording of its own, and the result
    says so. Raises `ClipsError` naming the rows that contradict themselves, each other or their files.
    """
    table, not_used = _rows(file, dict(columns or {}))
    base = root or file.parent
    listed, found = _located(file, base, dict(zip(table.index, table["path"], strict=True)))
    for column in ("start", "end"):
        table[column] = _seconds(file, table[column])
    table["clip"] = _ids(table)
    table["path"] = list(found.values())
    table, notes = _one_row_a_clip(file, table)
    at = [listed[row] or found[row] for row in table.index]
    notes += within_files(str(file), table)
    recording = recordings([found[row] or listed[row] for row in table.index])
    given, on_spellings = values.joined(values.text(table["group"]), "GROUPS")
    given, on_overlaps = groups(given, recording, table[["start", "end"]])
    table["group"] = [group or at[recording[row]] for row, group in enumerate(given)]
    if alone := given.count(""):
        note = f"NO GROUPS: {file.name} names no group for {alone:,} clips; each file counts as a recording of its own"
        notes = (note, *notes)
    notes += (*on_spellings, *on_overlaps, *not_used)
    where = f"{base} (the recipe's data.root may name another folder)"
    return build(file.stem, table, labels=labels, allow_missing=allow_missing, where=where, notes=notes)


def from_folder(folder: Path, *, labels: tuple[str, ...] = ()) -> Clips:
    """A folder with one folder a class: the class is the first folder below it (below `train` and `test`, where these
    come first), each file a recording of its own."""
    table, notes, left_out = class_folders.read(folder)
    table, repeated = _one_row_a_clip(folder, table.reindex(columns=list(COLUMNS)))
    ids = list(table["clip"])
    table["group"] = [ids[first] for first in recordings(list(table["path"]))]
    notes = ("NO GROUPS: taken from folders, so each file counts as a recording of its own", *notes, *repeated)
    return build(folder.absolute().name or "root", table, labels=labels, notes=notes, left_out=left_out)


def _rows(file: Path, columns: dict[str, str]) -> tuple[pd.DataFrame, list[str]]:
    """A list's rows under our names, as text, NaN in columns that it has not; and notes on columns that look like a
    split and are not used."""
    unknown = sorted(set(columns) - set(COLUMNS))
    if unknown:
        raise ClipsError(f"{file}: there is no column '{unknown[0]}' to name. {did_you_mean(unknown[0], COLUMNS)}")
    rows = text_tables.read(file)
    for ours in ("path", "label", *columns):
        theirs = columns.get(ours, ours)
        if theirs not in rows.columns:
            text_tables.refuse_annotations(file, list(rows.columns))
            raise ClipsError(
                f"{file} has no column '{theirs}'. {did_you_mean(theirs, rows.columns)} "
                f'Name the right one in [data.columns], e.g. {ours} = "...".'
            )
    if rows.empty:
        raise ClipsError(f"{file} lists no clips. Write one a row.")
    sources = {ours: columns.get(ours, ours) for ours in COLUMNS}
    table = pd.DataFrame({ours: rows[name] for ours, name in sources.items() if name in rows}, index=rows.index)
    if nowhere := [str(row) for row, path in table["path"].items() if not clean(path)]:
        raise ClipsError(f"{file}: {len(nowhere)} rows name no file (row {examples(nowhere)}). Write its path there.")
    not_used = []
    for name in sorted(set(rows.columns) - set(sources.values())):
        cells = set(map(clean, values.text(rows[name])))
        if len({part for part in map(class_folders.part_named, cells) if part.isalpha()}) > 1:
            not_used.append(
                f"NOT USED AS A SPLIT: the column '{name}' ({examples(sorted(cells - {''}))}). To use it, write "
                f'fold = "{name}" in [data.columns], and in [protocol] kind = "fixed" and what trains and tests'
            )
    return table.reindex(columns=list(COLUMNS)), not_used


def _located(file: Path, base: Path, paths: dict[int, str]) -> tuple[dict[int, str], dict[int, str]]:
    """Of each row the path that it lists, and the file found there, "" where there is none.

    A file is also found under another ending, another form of accents, and with backslashes between folders.
    """
    values.refuse_undecodable([str(file), str(base)])
    listed = {row: str(inside(file, base, path)) for row, path in paths.items()}
    if folders := [f"row {row}: {paths[row]}" for row, path in listed.items() if os.path.isdir(path)]:
        raise ClipsError(f"{file}: {len(folders)} rows name a folder ({examples(folders)}). List the files in it.")
    found = {row: path if os.path.isfile(path) else "" for row, path in listed.items()}
    lost = [row for row, path in found.items() if not path]
    sounds = {_composed(stem): path for stem, path in reversed(find_sounds(base).items())} if lost else {}
    for row in lost:
        for text in dict.fromkeys((paths[row], paths[row].strip(), paths[row].strip().replace("\\", "/"))):
            path = str(inside(file, base, text))
            name = Path(os.path.relpath(path, base)).as_posix()
            if os.path.isfile(path):
                listed[row] = found[row] = path
            elif there := sounds.get(_composed(without_ending(name))):
                found[row] = str(there)
            if found[row]:
                break
    values.refuse_undecodable(found.values())
    return listed, found


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _seconds(file: Path, column: pd.Series) -> pd.Series:
    """Text -> seconds, NaN where it is empty."""
    cells = [clean(cell) for cell in values.text(column)]
    seconds = pd.to_numeric(pd.Series(cells, index=column.index, dtype=object), errors="coerce")
    odd = [row for row, cell in zip(column.index, cells, strict=True) if cell and pd.isna(seconds[row])]
    if odd:
        raise ClipsError(
            f"{file}: the {column.name} '{column[odd[0]]}' is not a number of seconds. Write 1.5, or nothing, in "
            f"row {odd[0]}."
        )
    return seconds.astype(float)


def _ids(table: pd.DataFrame) -> pd.Series:
    """The ids that are given, else the path, with the start where a file is cut into several clips, and with the end
    where several start there."""
    starts = table["start"].map(lambda s: "" if pd.isna(s) else f"@{s:g}")
    ids = table["path"] + starts
    spans = table["start"].map(repr) + "-" + table["end"].map(repr)
    exact = (table["path"] + "@" + spans).where(spans.groupby(ids).transform("nunique") > 1, ids)
    given = pd.Series([clean(clip) for clip in values.text(table["clip"])], index=table.index, dtype=object)
    return given.where(given != "", exact)


def _one_row_a_clip(source: Path, table: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """A list without rows that say the same twice, and notes on repeated ones. Raises `ClipsError` where one file, or
    one part of a file, has two labels."""
    part = list(zip(map(identity, table["path"].where(table["path"] != "", table["clip"])),
                    table["start"].fillna(0), table["end"].fillna(np.inf), strict=True))  # fmt: skip
    first: dict[Any, int] = {}
    torn, again, unlike = [], [], []
    labels = [clean(label) for label in values.text(table["label"])]
    for at, label in enumerate(labels):
        before = first.setdefault(part[at], at)
        other = labels[before]
        if label and other and label != other:
            torn.append(f"{values.named(table, [before])} is '{other}' and {values.named(table, [at])} '{label}'")
        elif before != at:
            again.append(at)
    if torn:
        raise ClipsError(
            f"{source}: one file has two labels, {len(torn)} times ({examples(torn)}). A clip has one label here: keep "
            "one of them, or give each the start and end of what it labels."
        )
    text = [column for column in COLUMNS if column not in ("path", "start", "end")]
    cleaned = {column: [clean(cell) for cell in values.text(table[column])] for column in text}
    same = table.assign(**cleaned, path=[first[one] for one in part]).duplicated()  # paths that look alike may be two
    notes = []
    if again_whole := int(same.sum()):
        notes.append(f"REPEATED ROWS: {again_whole:,} rows say again what others say, and count once")
    kept = [at for at in again if not same.iloc[at]]
    for at in kept:
        before = first[part[at]]
        if table["clip"].iloc[before] == table["clip"].iloc[at]:
            differ = (c for c in ("label", "fold", "group", "split_hint") if cleaned[c][before] != cleaned[c][at])
            said = examples(f"{c} '{cleaned[c][before]}' and '{cleaned[c][at]}'" for c in differ)
            unlike.append(f"{values.named(table, [before])} and {values.named(table, [at])}: {said}")
    if unlike:
        raise ClipsError(
            f"{source}: one clip stands in two rows that differ, {count(len(unlike), 'time')} ({examples(unlike)}). "
            "Keep one row, or give each the start and end of its part."
        )
    if kept:
        clips = values.named(table, kept)
        notes.append(f"REPEATED: {len(kept):,} clips are parts listed before under other names ({clips})")
    return table[~same], tuple(notes)


def inside(file: Path, base: Path, path: str) -> Path:
    """The listed path below `base`, by its text alone: links in a user's own folder are the user's business."""
    full = Path(os.path.normpath(base / path))
    if not full.is_relative_to(os.path.normpath(base)):
        raise ClipsError(f"{file}: the path '{path}' leaves {base}. Move the file there, or name another root.")
    return full
