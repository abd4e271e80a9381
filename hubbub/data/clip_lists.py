"""Clips from a CSV list or from a folder with one folder per class.

A list may name files by another ending, other slashes or another form of accents. Rows that contradict themselves, each
other or their files are refused with their numbers.
"""

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hubbub.data import class_folders, grouping, text_tables, values
from hubbub.data.clips import COLUMNS, Clips, ClipsError, build
from hubbub.data.columns import match
from hubbub.data.locate import located
from hubbub.data.multilabel_lists import SINGLE, SetRule, class_note, classes_in, join_rows
from hubbub.data.recordings import groups, identity, recordings, within_files
from hubbub.data.values import clean
from hubbub.errors import count, did_you_mean, examples

__all__ = ["from_csv", "from_folder", "seconds", "split_columns"]

#: A time with hours: two parts alone may be hours and minutes, or minutes and seconds.
_CLOCK = re.compile(r"(?P<hours>\d{1,3}):(?P<minutes>[0-5]\d):(?P<seconds>[0-5]\d([.,]\d+)?)")


def from_csv(
    file: Path,
    columns: Mapping[str, str] | None = None,
    *,
    root: Path | None = None,
    labels: tuple[str, ...] = (),
    allow_missing: bool = False,
    group: str = "",
    sets: SetRule = SINGLE,
) -> Clips:
    """Clips from a CSV with at least the columns `path` and `label`, or the names that `columns` maps them to; or with
    `path` and one column of 0 and 1 for each class. `sets` says whether cells of labels and rows of a file are sets.

    `fold`, `group`, `clip`, `start`, `end` and `split_hint` are used if present. Without `fold`, the only column that
    names parts of a split (train, test ...) has the folds. Paths are relative to `root` (default: the CSV's folder) and
    may not leave it. `group` asks for groups as `grouping.assign` does, and a note says how. Raises `ClipsError` naming
    the rows that contradict themselves, each other or their files.
    """
    table, others, marks, on_columns = _rows(file, dict(columns or {}), labels)
    base = root or file.parent
    listed, found, moved = located(file, base, dict(zip(table.index, table["path"], strict=True)))
    for column in ("start", "end"):
        table[column] = seconds(file, table[column])
    table["clip"] = _ids(table)
    table["path"] = list(found.values())
    table, unlabelled = values.without_unlabelled(table) if values.UNLABELLED not in labels else (table, ())
    if sets.asked or len(marks.columns):
        table, joined = join_rows(file, table, marks, labels, sets)
        notes, labels = joined.notes, joined.classes
    else:
        table, notes = _unique_clips(file, table)
    at = [listed[row] or found[row] for row in table.index]
    notes += within_files(str(file), table)
    recording = recordings([found[row] or listed[row] for row in table.index])
    names = [Path(os.path.relpath(path, base)).as_posix() for path in at]
    others = others.loc[table.index]
    found_groups = grouping.assign(names, values.text(table["label"]), values.text(table["group"]), others, group)
    given, on_overlaps = groups(found_groups.groups, recording, table[["start", "end"]])
    table["group"] = [one or at[recording[row]] for row, one in enumerate(given)]
    notes = (*found_groups.notes_on(given), *notes, *on_overlaps, *on_columns, *moved, *unlabelled)
    where = f"{base} (--set data.root=FOLDER names another folder)"
    return _built(file.stem, table, found_groups, labels=labels, allow_missing=allow_missing, where=where, notes=notes)


def from_folder(folder: Path, *, labels: tuple[str, ...] = (), group: str = "") -> Clips:
    """Clips from a folder with one folder per class, or with `train` and `test` above those.

    Recordings are told as `group` asks (`grouping.assign`), and a note says how.
    """
    table, notes, left_out = class_folders.read(folder)
    table, repeated = _unique_clips(folder, table.reindex(columns=list(COLUMNS)))
    ids, recording = list(table["clip"]), recordings(list(table["path"]))
    found = grouping.assign(ids, values.text(table["label"]), [""] * len(ids), pd.DataFrame(index=table.index), group)
    given, _ = groups(found.groups, recording, table[["start", "end"]])
    table["group"] = [one or ids[recording[row]] for row, one in enumerate(given)]
    name, notes = folder.absolute().name or "root", (*found.notes, *notes, *repeated)
    clips = _built(name, table, found, labels=labels, notes=notes, left_out=left_out)
    return replace(clips, fold_source="folders" if clips.folds else "none")


def _built(name: str, table: pd.DataFrame, found: grouping.Grouping, **facts: Any) -> Clips:
    """The clips; guessed groups that given folds part are named, not refused."""
    clips = build(name, table, group_source=found.source, **facts)
    return replace(clips, straddling=grouping.straddling(clips.table)) if found.source == "guessed" else clips


def _rows(
    file: Path, columns: dict[str, str], labels: tuple[str, ...]
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, list[str]]:
    """A list's rows under our column names, as text, absent columns as NaN; its other columns; those of 0 and 1 that
    are a class each; and notes on columns with other names, of classes, and that are a split or look like one."""
    unknown = sorted(set(columns) - set(COLUMNS))
    if unknown:
        raise ClipsError(f"{file}: there is no column '{unknown[0]}' to name. {did_you_mean(unknown[0], COLUMNS)}")
    rows = text_tables.read(file)
    classes = list(classes_in(rows, columns, labels))
    sources, notes = match(file, list(rows.columns), columns, ("path",) if classes else ("path", "label"))
    if rows.empty:
        raise ClipsError(f"{file} lists no clips. Write one per row.")
    table = pd.DataFrame({ours: rows[name] for ours, name in sources.items() if name in rows}, index=rows.index)
    if nowhere := [str(row) for row, path in table["path"].items() if not clean(path)]:
        rows_name = "1 row names" if len(nowhere) == 1 else f"{len(nowhere):,} rows name"
        raise ClipsError(f"{file}: {rows_name} no file (row {examples(nowhere)}). Write its path there.")
    if lost := [name for name in classes if name not in rows]:
        raise ClipsError(f"{file} has no column '{lost[0]}'. {did_you_mean(lost[0], map(str, rows.columns))}")
    notes += class_note(classes)
    others = rows.drop(columns=[name for name in (*sources.values(), *classes) if name in rows])
    splits = split_columns(others)
    only = next(iter(splits)) if len(splits) == 1 and "fold" not in sources else ""
    if only and all(splits[only].values()):
        table["fold"] = [splits[only].get(clean(cell), "") for cell in values.text(others[only])]
        parts = ", ".join(values.in_order(set(table["fold"]) - {""}))
        on_split = [
            f"FOLDS FROM A COLUMN: the column '{only}' ({parts}) is the given split. To have folds made instead, give "
            "--set protocol.kind=grouped"
        ]
        others = others.drop(columns=only)
    else:
        on_split = [
            f"NOT USED AS A SPLIT: the column '{name}' ({examples(cells)}). To use it, give --set "
            + shlex.quote(f"data.columns.fold={name}")
            for name, cells in splits.items()
        ]
    return table.reindex(columns=list(COLUMNS)), others, rows[classes], [*notes, *on_split]


def split_columns(rows: pd.DataFrame) -> dict[str, dict[str, str]]:
    """The columns that name two parts of a split (train, test ...): each cell and the part that it names, else ""."""
    found = {}
    for name in sorted(rows.columns):
        cells = {clean(cell) for cell in values.text(rows[name])} - {""}
        parts = {cell: part for cell in sorted(cells) if not (part := class_folders.part_named(cell)).isdigit()}
        if len(set(parts.values()) - {""}) > 1:
            found[name] = parts
    return found


def seconds(file: Path, column: pd.Series) -> pd.Series:
    """Text, numbers or `hours:minutes:seconds` -> seconds; empty cells become NaN. Raises `ClipsError`."""
    cells = [clean(cell) for cell in values.text(column)]
    if not any("." in cell for cell in cells):  # a comma is a decimal point in most of Europe
        cells = [re.sub(r"^([+-]?\d+),(\d+)$", r"\1.\2", cell) for cell in cells]
    clocks = [_CLOCK.fullmatch(cell) for cell in cells]
    cells = [
        str(3600 * int(at["hours"]) + 60 * int(at["minutes"]) + float(at["seconds"].replace(",", "."))) if at else cell
        for cell, at in zip(cells, clocks, strict=True)
    ]
    found = pd.to_numeric(pd.Series(cells, index=column.index, dtype=object), errors="coerce")
    odd = [row for row, cell in zip(column.index, cells, strict=True) if cell and pd.isna(found[row])]
    if odd:
        raise ClipsError(
            f"{file}: the {column.name} '{column[odd[0]]}' is not a number of seconds. Write 1.5, or 0:00:01.5 "
            f"(hours, minutes and seconds), or nothing, in row {odd[0]}."
        )
    return found.astype(float)


def _ids(table: pd.DataFrame) -> pd.Series:
    """The given ids; else the path, plus the start for a part of a file, plus the end where parts share a start."""
    starts = table["start"].map(lambda s: "" if pd.isna(s) else f"@{s:g}")
    ids = table["path"] + starts
    spans = table["start"].map(repr) + "-" + table["end"].map(repr)
    exact = (table["path"] + "@" + spans).where(spans.groupby(ids).transform("nunique") > 1, ids)
    given = pd.Series([clean(clip) for clip in values.text(table["clip"])], index=table.index, dtype=object)
    return given.where(given != "", exact)


def _unique_clips(source: Path, table: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """A list without repeated rows, and notes on these. Raises `ClipsError` where one file, or one part of a file, has
    two labels."""
    part = list(zip(map(identity, table["path"].where(table["path"] != "", table["clip"])),
                    table["start"].fillna(0), table["end"].fillna(np.inf), strict=True))  # fmt: skip
    first: dict[Any, int] = {}
    conflicting, again, unlike = [], [], []
    labels = [clean(label) for label in values.text(table["label"])]
    for at, label in enumerate(labels):
        before = first.setdefault(part[at], at)
        other = labels[before]
        if label and other and label != other:
            first_row, this_row = (values.describe_rows(table, [row]) for row in (before, at))
            conflicting.append(f"{first_row} is '{other}' and {this_row} '{label}'")
        elif before != at:
            again.append(at)
    if conflicting:
        raise ClipsError(
            f"{source}: one file has two labels, {count(len(conflicting), 'time')} ({examples(conflicting)}). A clip "
            "has one label here: keep one of them, or give each the start and end of what it labels. In a table, "
            "--multilabel reads several rows of a file as one clip with several labels."
        )
    text = [column for column in COLUMNS if column not in ("path", "start", "end")]
    cleaned = {column: [clean(cell) for cell in values.text(table[column])] for column in text}
    same = table.assign(**cleaned, path=[first[one] for one in part]).duplicated()  # similar paths may be two files
    notes = []
    if again_whole := int(same.sum()):
        notes.append(f"REPEATED ROWS: {count(again_whole, 'row')} like others; each counts once")
    differing = [at for at in again if not same.iloc[at]]
    for at in differing:
        before = first[part[at]]
        if table["clip"].iloc[before] == table["clip"].iloc[at]:
            differ = (c for c in ("label", "fold", "group", "split_hint") if cleaned[c][before] != cleaned[c][at])
            differences = examples(f"{c} '{cleaned[c][before]}' and '{cleaned[c][at]}'" for c in differ)
            unlike.append(
                f"{values.describe_rows(table, [before])} and {values.describe_rows(table, [at])}: {differences}"
            )
    if unlike:
        raise ClipsError(
            f"{source}: one clip is in two rows that differ, {count(len(unlike), 'time')} ({examples(unlike)}). "
            "Keep one row, or give each the start and end of its part."
        )
    if differing:
        clips = values.describe_rows(table, differing)
        are_parts = count(len(differing), "clip is a part", "clips are parts")
        notes.append(f"REPEATED: {are_parts} listed before under other names ({clips})")
    return table[~same], tuple(notes)
