"""The source recording of each clip: as a column says, as the user asks, or guessed from the file names."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from hubbub.data import sessions, values
from hubbub.data.clips import Clips, GroupSource
from hubbub.data.values import ClipsError, clean
from hubbub.errors import count, did_you_mean

__all__ = ["FILE", "Grouping", "assign", "regroup", "source_columns", "straddling"]

#: What to ask for so that each file counts as a recording of its own.
FILE = "file"
#: Names of columns that tell a clip's source, without case and separators; the coarser ones first.
_SOURCES = (
    "group", "speaker", "speakerid", "session", "sessionid", "srcfile", "sourcefile", "fsid", "freesoundid",
    "recording", "recordingid", "originalfile", "originalfilename", "origfile", "origfilename", "source", "sourceid",
    "videoid", "youtubeid", "ytid",
)  # fmt: skip


@dataclass(frozen=True)
class Grouping:
    """The recording of each clip, "" for a recording of its own; where that comes from; and notes for every result.

    `column` names what has the groups, where clips without one are gaps in it.
    """

    groups: list[str]
    source: GroupSource
    notes: tuple[str, ...] = ()
    column: str = ""

    def notes_on(self, groups: Sequence[str]) -> tuple[str, ...]:
        """The notes, with one on the gaps that are left in these groups."""
        if not self.column or not (ungrouped := list(groups).count("")):
            return self.notes
        gaps = (
            f"NO GROUPS: {self.column} names no group for {count(ungrouped, 'clip')}; each such file counts as a "
            "recording of its own. Fill these cells where several files are of one recording"
        )
        return (*self.notes, gaps)


def assign(
    ids: Sequence[str], labels: Sequence[str], given: Sequence[str], columns: pd.DataFrame, group: str = ""
) -> Grouping:
    """The recording of each clip, by its relative path, its class, what the column of groups says, and other columns.

    `group` asks for a column, for `file`, or for a pattern; "" takes the given groups, else a column that names
    sources, else a guess. Raises `ClipsError` for a `group` that is none of these.
    """
    if group == FILE:
        note = "GROUPS BY FILE: each file counts as a recording of its own, as asked"
        return Grouping([""] * len(ids), "file", (note,))
    if group in columns:
        return _given(values.text(columns[group]), f"the column '{group}'")
    if group:
        try:
            groups, notes = sessions.by_pattern(ids, group)
        except ClipsError as error:
            near = did_you_mean(group, map(str, columns)) if len(columns.columns) else ""
            raise ClipsError(f"{error} {f'No column has this name either. {near}' if near else ''}".strip()) from error
        return Grouping(_without_own(groups, ids), "given", notes)
    if any(map(clean, given)):
        return _given(given, "the column 'group'")
    unused = []
    for column in source_columns(columns):
        cells = values.text(columns[column])
        if _parts_classes(cells, labels):
            note = (
                f"GROUPS FROM A COLUMN: '{column}' says which clips are of one recording. To overrule this, give "
                "--group file, or --group and another column"
            )
            return _given(cells, f"the column '{column}'", note)
        unused.append(f"NOT USED AS GROUPS: the column '{column}' has one value for all clips of a class")
    guess = sessions.guess(ids, labels)
    source: GroupSource = "guessed" if guess.pattern else "file"
    return Grouping(_without_own(guess.groups, ids), source, (guess.note, *unused))


def regroup(clips: Clips, group: str = "") -> Clips:
    """Annotated clips with the recordings that `group` asks for, or sessions of recordings guessed from their names."""
    if clips.group_source == "given" and not group:
        return clips
    paths = [os.path.realpath(path) for path in clips.table["path"]]
    base = os.path.commonpath([os.path.dirname(path) for path in paths])
    names = [os.path.relpath(path, base).replace(os.sep, "/") for path in paths]
    found = assign(names, list(clips.table["label"]), [""] * len(names), pd.DataFrame(index=clips.table.index), group)
    if found.source == "file" and not group:
        return clips
    groups = [one or name for one, name in zip(found.groups, names, strict=True)]
    table = clips.table.assign(group=groups)
    return replace(clips, table=table, group_source=found.source, notes=(*found.notes, *clips.notes))


def straddling(table: pd.DataFrame) -> frozenset[str]:
    """The groups of a clip table that are in more than one fold."""
    with_fold = table[table["fold"] != ""]
    folds = with_fold.groupby("group")["fold"].nunique()
    return frozenset(map(str, folds.index[folds > 1]))


def _given(cells: Sequence[str], column: str, *notes: str) -> Grouping:
    groups, on_spellings = values.merge_spellings(list(cells), "GROUPS")
    return Grouping(groups, "given", (*notes, *on_spellings), column)


def _without_own(groups: Sequence[str], ids: Sequence[str]) -> list[str]:
    return ["" if group == clip else group for group, clip in zip(groups, ids, strict=True)]


def source_columns(columns: pd.DataFrame) -> list[str]:
    """The columns that are named like one of sources, in the order of `_SOURCES`."""
    plain = {re.sub(r"[\W_]+", "", str(name)).casefold(): str(name) for name in columns.columns}
    return [plain[name] for name in _SOURCES if name in plain]


def _parts_classes(cells: Sequence[str], labels: Sequence[str]) -> bool:
    """Whether a column has two values at least in (nearly) every class of two clips."""
    rows = pd.DataFrame({"label": labels, "cell": [clean(cell) for cell in cells]})
    classes = rows[rows["cell"] != ""].groupby("label")["cell"].agg(["size", "nunique"])
    classes = classes[classes["size"] > 1]
    return not len(classes) or bool((classes["nunique"] == 1).mean() <= sessions.ONE_SESSION)
