"""Spectrogram images as a data set: a CSV in system B's columns and the image files it names.

Columns: `spec_file_name`, `class`, `fold`; `source` or `fsID` for the recording; `variant` or `augmentation` separates
original clips from augmented copies, which only train. Duplicate images are found by file name and by content.
"""

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hubbub.audio import image_files
from hubbub.audio.image_files import ImageError, Pixels
from hubbub.data import cache, manifest, text_tables, values
from hubbub.data.clips import Clips, ClipsError, build
from hubbub.data.locate import inside
from hubbub.errors import did_you_mean, examples

__all__ = ["content", "inspect_images", "lists_images", "open_images"]

_NAME = "spec_file_name"
_COLUMNS = (
    _NAME, "class", "fold", "source", "fsID", "orig_file_name", "variant", "augmentation", "clip", "start", "end",
)  # fmt: skip
_PLURALS = {"label": "classes", "group": "sources", "fold": "folds"}
_ORIGINAL = {"", "none", "orig", "original"}


def content(pixels: Pixels) -> str:
    """A hash of an image's content, the same for grey images stored in colours; "" for an image of a single colour,
    which any silence gives."""
    if (pixels == pixels[:, :1, :1]).all():
        return ""
    grey = pixels[:1] if (pixels == pixels[:1]).all() else pixels
    return hashlib.sha256(f"{grey.shape}".encode() + grey.tobytes()).hexdigest()


def lists_images(csv: Path) -> bool:
    """Whether a CSV lists images."""
    try:
        return _NAME in text_tables.read(csv).columns
    except ClipsError:
        return False  # reading it as a list of sounds reports what is wrong


def open_images(
    csv: Path, *, root: Path | None = None, labels: tuple[str, ...] = (), allow_missing: bool = False
) -> Clips:
    """A CSV of images -> Clips of kind `images`, one clip per image; augmented copies only train.

    `start` and `end` [s] are the part of the recording that an image shows, if known. Files are looked for in
    `spectrograms/foldN`, `foldN` and as named, below `root` (default: the CSV's folder). Rows that share a file become
    one clip; raises `ClipsError` where their class, source or fold differ.
    """
    rows, facts, base = _rows(csv), manifest.read_beside(csv), root or csv.parent
    source = rows["source"].where(rows["source"] != "", rows["fsID"])
    group = source.where(source != "", rows["orig_file_name"])
    spellings, joined = values.merge_spellings(list(group), "GROUPS")
    group = pd.Series(spellings, index=rows.index, dtype=object)
    marks = rows[["variant", "augmentation"]].apply(lambda column: column.str.strip().str.lower())
    table = pd.DataFrame(
        {
            "clip": rows[_NAME],
            "path": _paths(csv, base, rows),
            "start": pd.to_numeric(rows["start"], errors="coerce"),
            "end": pd.to_numeric(rows["end"], errors="coerce"),
            "label": rows["class"],
            "fold": rows["fold"],
            "group": group.where(group != "", rows[_NAME]),
            "split_hint": np.where(marks.isin(_ORIGINAL).all(axis=1), "", "train"),
        }
    )
    found = table["path"] != ""
    table["clip"] = [
        Path(os.path.relpath(path, base)).as_posix() if path else f"fold{fold}/{name}"
        for path, fold, name in zip(table["path"], table["fold"], table["clip"], strict=True)
    ]
    table, notes = _unique_files(csv, table.rename_axis(index="row"))
    notes = (*joined, *notes)
    if ungrouped := int((source == "").sum()):
        notes += (
            f"NO GROUPS: {csv.name} names no source for {ungrouped:,} images; each counts as a recording of its own",
        )
    if (found & (rows["clip"] != "") & rows[["clip", "variant"]].duplicated()).any():
        notes += ("SEGMENTS AS CLIPS: some sounds gave several images, and each is scored as a clip of its own",)
    order = labels or (tuple(facts["labels"]) if facts else ())
    where = f"{base} (--set data.root=FOLDER names another folder)"
    clips = build(csv.stem, table, labels=order, allow_missing=allow_missing, where=where, notes=notes)
    sections = {name: (facts or {}).get(name) for name in ("audio", "windows", "frontend")}
    return replace(
        manifest.with_manifest(clips, facts), kind="images", settings=sections if all(sections.values()) else None
    )


def inspect_images(clips: Clips) -> pd.DataFrame:
    """Read every image -> `clip`, `height`, `width`, `constant`, `content` (hash), `error` ("" if none)."""
    found = pd.DataFrame(cache.in_threads(lambda row: _facts(row.path), clips, "checking"))
    found.insert(0, "clip", clips.table["clip"])
    return found


def _facts(path: str) -> dict[str, Any]:
    try:
        pixels = image_files.read_image(path)
    except ImageError as error:
        return {"height": 0, "width": 0, "constant": False, "content": "", "error": str(error)}
    _, height, width = pixels.shape
    constant = bool((pixels == pixels[:, :1, :1]).all())
    return {"height": height, "width": width, "constant": constant, "content": content(pixels), "error": ""}


def _rows(csv: Path) -> pd.DataFrame:
    """The list's rows as text; absent columns are empty."""
    rows = text_tables.read(csv)
    for column in (_NAME, "class"):
        if column not in rows:
            raise ClipsError(f"{csv} has no column '{column}'. {did_you_mean(column, rows.columns)}")
    if rows.empty:
        raise ClipsError(f"{csv} lists no images. Write one per row.")
    return rows.reindex(columns=[*_COLUMNS], fill_value="")


def _paths(csv: Path, base: Path, rows: pd.DataFrame) -> list[str]:
    """The file of each row, or ""."""
    folders: dict[Path, dict[str, str]] = {}

    def find(path: Path) -> str:
        """The file, or one whose name differs only in case."""
        if path.parent not in folders:
            there = sorted(os.listdir(path.parent)) if os.path.isdir(path.parent) else []
            folders[path.parent] = {name.casefold(): name for name in there} | {name: name for name in there}
        names = folders[path.parent]
        name = names.get(path.name) or names.get(path.name.casefold())
        return str(path.parent / name) if name and os.path.isfile(path.parent / name) else ""

    found = []
    for name, fold in zip(rows[_NAME], rows["fold"], strict=True):
        places = [manifest.fold_folder(base / "spectrograms", fold), manifest.fold_folder(base, fold), base]
        found.append(next((path for place in places if (path := find(inside(csv, place, name)))), ""))
    return found


def _unique_files(csv: Path, table: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Rows that share a file merged into one, and a note. Raises `ClipsError` where they differ."""
    # Missing files are compared by name.
    table = table.assign(file=table["clip"].str.casefold().where(table["path"] == "", table["path"]))
    shared = table[table["file"].duplicated(keep=False)]
    for what in ("label", "group", "fold"):
        kinds = shared.groupby("file")[what].nunique()
        if len(conflicting := list(kinds.index[kinds > 1])):
            first = " and ".join(shared[what][shared["file"] == conflicting[0]].unique()[:2])
            raise ClipsError(
                f"{csv}: rows of different {_PLURALS[what]} name one file, {len(conflicting):,} times "
                f"({Path(conflicting[0]).name}: {first}). One image has overwritten the other: make the images "
                "again under unique names."
            )
    if shared.empty:
        return table, ()
    names = [Path(file).name for file in shared["file"].unique()]
    note = f"COLLIDING NAMES: {len(shared):,} rows share {len(names):,} files ({examples(names)}); each is one clip"
    # Where rows differ here, the image may be of an augmented copy.
    hints = table.groupby("file")["split_hint"].transform("max")
    return table.assign(split_hint=hints).drop_duplicates("file"), (note,)
