"""The clip table: one row a clip, whatever it came from.

Columns: `clip` (unique id), `path`, `start` and `end` [s, NaN for the whole file], `label`, `fold`, `group` (the source
recording or speaker: what must never stand on both sides of a split) and `split_hint` ("" or the only part the clip
may stand in; an augmented copy says "train"). Reads any CSV and any folder with one folder a class.
This room knows nothing of particular data sets.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from hubbub.audio import EXTENSIONS
from hubbub.errors import HubbubError, did_you_mean, examples

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


class ClipsError(HubbubError):
    """A list of clips that contradicts itself, its folder or its data set."""


@dataclass(frozen=True)
class Clips:
    """A data set as hubbub sees it: the table and what must be said beside every figure from it.

    `labels` is the class order of every matrix and probability; `straddling` names groups that the official folds are
    known to split; `notes` go into every result. `kind` is what a path leads to: a sound, a file of spectrograms or a
    picture of one; `made` the recipe sections `audio`, `windows` and `frontend` of what made spectrograms or pictures,
    where that is known. Example: `Clips.table.groupby("fold").size()`.
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
    kind: Kind = "sound"
    made: Mapping[str, Any] | None = None

    def __len__(self) -> int:
        return len(self.table)

    @property
    def folds(self) -> tuple[str, ...]:
        """Fold names, numbers in their own order."""
        names = {str(f) for f in self.table["fold"]} - {""}
        return tuple(sorted(names, key=lambda f: (not f.isdigit(), int(f) if f.isdigit() else 0, f)))

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

    Raises `ClipsError` on missing files unless allowed, duplicated ids, empty or unknown labels.
    """
    table = table.reindex(columns=list(COLUMNS)).reset_index(drop=True)
    table[["fold", "group", "split_hint"]] = table[["fold", "group", "split_hint"]].fillna("").astype(str)
    table[["start", "end"]] = table[["start", "end"]].astype(float)
    twice = table["clip"][table["clip"].duplicated()]
    if len(twice):
        raise ClipsError(f"{name}: {len(twice)} ids stand twice ({examples(twice)}). Give every clip an id of its own.")
    unlabelled = table["clip"][table["label"].isna() | (table["label"].astype(str).str.strip() == "")]
    if len(unlabelled):
        raise ClipsError(
            f"{name}: {len(unlabelled)} clips have no label ({examples(unlabelled)}). Label or remove them."
        )
    table["label"] = table["label"].astype(str)
    labels = labels or tuple(sorted(table["label"].unique()))
    if taken := sorted(TAKEN & set(labels)):
        raise ClipsError(
            f"{name}: a class is called '{taken[0]}', as a column of every table of predictions is. Rename it "
            f"(not {', '.join(sorted(TAKEN))})."
        )
    unknown = sorted(set(table["label"]) - set(labels))
    if unknown:
        raise ClipsError(f"{name}: unknown label '{unknown[0]}'. {did_you_mean(unknown[0], labels)}")
    absent = table["path"].isna() | (table["path"] == "")
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
    if missing:
        note = f"PARTIAL DATA: {len(missing):,} of {len(table):,} listed clips are missing"
        clips = replace(clips, notes=(*clips.notes, note))
    return clips


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
    for path in _sounds(folder):
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
    says so.
    """
    columns = dict(columns or {})
    unknown = sorted(set(columns) - set(COLUMNS))
    if unknown:
        raise ClipsError(f"{file}: there is no column '{unknown[0]}' to name. {did_you_mean(unknown[0], COLUMNS)}")
    try:
        rows = pd.read_csv(file, dtype=str, keep_default_na=False)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ClipsError(f"{file} cannot be read as a CSV: {error}.") from error
    for ours in ("path", "label", *columns):
        theirs = columns.get(ours, ours)
        if theirs not in rows.columns:
            raise ClipsError(
                f"{file} has no column '{theirs}'. {did_you_mean(theirs, rows.columns)} "
                f'Name the right one in [data.columns], e.g. {ours} = "...".'
            )
    if rows.empty:
        raise ClipsError(f"{file} lists no clips. Write one a row.")
    rows = rows.rename(columns={theirs: ours for ours, theirs in columns.items()})
    base = root or file.parent
    paths = [inside(file, base, path) for path in rows["path"]]
    sounds = find_sounds(base) if not all(p.is_file() for p in paths) else {}
    table = rows.reindex(columns=list(COLUMNS))
    for column in ("start", "end"):
        table[column] = _seconds(file, table[column])
    if "clip" not in rows:
        table["clip"] = _default_ids(rows["path"], table)
    relative = [Path(os.path.relpath(p, base)).with_suffix("").as_posix() for p in paths]
    table["path"] = [
        str(p) if p.is_file() else str(sounds.get(stem, "")) for p, stem in zip(paths, relative, strict=True)
    ]
    alone = table["group"].fillna("") == ""
    table["group"] = table["group"].mask(alone, [str(p) for p in paths])
    note = (
        f"NO GROUPS: {file.name} names no group for {alone.sum():,} clips; each file counts as a recording of its own"
    )
    notes = (note,) if alone.any() else ()
    return build(file.stem, table, labels=labels, allow_missing=allow_missing, where=str(base), notes=notes)


def from_folder(folder: Path, *, labels: tuple[str, ...] = ()) -> Clips:
    """A folder with one folder a class: the class is the first folder below it, each file a recording of its own."""
    sounds = [path for path in _sounds(folder) if path.parent != folder]
    if not sounds:
        raise ClipsError(
            f"{folder} holds no sound files in folders. Put each class's recordings in a folder named after it."
        )
    ids = [path.relative_to(folder).as_posix() for path in sounds]
    table = pd.DataFrame(
        {"clip": ids, "path": [str(p) for p in sounds], "label": [i.split("/")[0] for i in ids], "group": ids}
    )
    note = "NO GROUPS: taken from folders, so each file counts as a recording of its own"
    return build(folder.absolute().name, table, labels=labels, notes=(note,))


def _seconds(file: Path, column: pd.Series) -> pd.Series:
    """Text -> seconds, NaN where it is empty."""
    seconds = pd.to_numeric(column, errors="coerce")
    odd = column[seconds.isna() & (column.fillna("") != "")]
    if len(odd):
        raise ClipsError(
            f"{file}: the {column.name} '{odd.iloc[0]}' is not a number of seconds. Write 1.5, or nothing."
        )
    return seconds


def _default_ids(paths: pd.Series, table: pd.DataFrame) -> pd.Series:
    """The path, with the start where a file is cut into several clips."""
    starts = table["start"].map(lambda s: "" if pd.isna(s) else f"@{s:g}")
    return paths + starts


def _sounds(folder: Path) -> Iterator[Path]:
    """Sound files below a folder, in order."""
    for directory, folders, files in os.walk(folder):
        folders.sort()
        yield from (Path(directory, file) for file in sorted(files) if Path(file).suffix.lower() in EXTENSIONS)


def inside(file: Path, base: Path, path: str) -> Path:
    """The listed path below `base`, by its text alone: links in a user's own folder are the user's business."""
    full = Path(os.path.normpath(base / path))
    if not full.is_relative_to(os.path.normpath(base)):
        raise ClipsError(f"{file}: the path '{path}' leaves {base}. Move the file there, or name another root.")
    return full
