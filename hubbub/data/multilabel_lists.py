"""The label sets of clips in tables: which columns hold them, and which rows are of one clip.

`clip_lists` reads the rest of a table. AudioSet's and FSD50K's lists are opened here too, with the recordings found.
"""

import re
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hubbub.audio.find_files import search
from hubbub.data import grouping, label_set_layouts, label_sets, values
from hubbub.data.clips import COLUMNS, Clips, ClipsError, build
from hubbub.data.columns import has_label
from hubbub.data.label_sets import Empty, LabelSets
from hubbub.data.locate import located
from hubbub.data.recordings import identity, sound_seconds, within_files
from hubbub.data.values import clean
from hubbub.errors import count, did_you_mean, examples

__all__ = [
    "SINGLE",
    "SetRule",
    "class_cells",
    "class_note",
    "classes_in",
    "from_published",
    "is_published",
    "join_rows",
    "refuse_rule",
    "with_sets",
]

#: The file of AudioSet's class names, beside its lists.
NAMES = "class_labels_indices.csv"
#: A file with a segment of AudioSet: the video's id, where the segment starts [s or ms], and perhaps where it ends.
_PART = re.compile(r"Y?(?P<id>[\w-]{11})[_-](?P<start>\d+(\.\d+)?)([_-]\d+(\.\d+)?)?")
_ID = re.compile(r"Y?(?P<id>[\w-]{11})")
#: A file that lasts so much longer than its segment [s] is the whole video.
_LONGER_S = 1.0


@dataclass(frozen=True)
class SetRule:
    """Whether clips may hold several labels (`data.multilabel`), what separates those in a cell, and what a clip
    without any means."""

    asked: bool = False
    separator: str = ""
    empty: Empty = "refuse"


#: Clips of one label, as long as the data do not say otherwise.
SINGLE = SetRule()


def classes_in(rows: pd.DataFrame, columns: Mapping[str, str], labels: Sequence[str] = ()) -> tuple[str, ...]:
    """The columns of 0 and 1 that are a class each; none where the table has a column of labels, or one such column.

    `labels` names them; else all columns of 0 and 1 are classes but those that are named like sources.
    """
    if "label" in columns or has_label(list(rows.columns)):
        return ()
    rest = rows.drop(columns=[name for name in columns.values() if name in rows])
    sources = grouping.source_columns(rest)
    found = [name for name in label_sets.class_columns(rest) if name not in sources]
    return tuple(labels or found) if len(found) > 1 else ()


def class_note(classes: Sequence[str]) -> tuple[str, ...]:
    """The note on columns that are read as a class each; none without any."""
    named = examples(f"'{name}'" for name in classes)
    note = (
        f"CLASS COLUMNS: {count(len(classes), 'column')} of 0 and 1 ({named}) are read as a class each, as there is no "
        "column of labels"
    )
    return (note,) if classes else ()


def join_rows(
    file: Path, table: pd.DataFrame, marks: pd.DataFrame, labels: Sequence[str], rule: SetRule
) -> tuple[pd.DataFrame, LabelSets]:
    """The clips of rows with their label sets, in `labels` and `unknown`; several rows of one file, or of one part of
    it, are one clip. `marks` are the columns of classes; without any, the cells of `label` hold the labels.

    Raises `ClipsError` where the rows of a clip contradict each other, and where labels cannot be told apart.
    """
    first: dict[Hashable, str] = {}
    paths = [first.setdefault(identity(path), path) for path in table["path"].where(table["path"] != "", table["clip"])]
    keys: dict[str, Any] = {
        "path": paths,
        "start": table["start"].fillna(0).map(repr),
        "end": table["end"].fillna(np.inf).map(repr),
    }
    keyed = table.assign(**keys)
    if len(marks.columns):
        found = label_sets.from_class_columns(keyed.join(marks), str(file), tuple(marks.columns))
    else:
        if not rule.separator and not labels and keyed.duplicated(list(keys)).any():
            _refuse_lists_in_rows(file, table["label"])
        found = label_sets.from_column(keyed, str(file), rule.separator, labels, rule.empty)
    return with_sets(table.loc[found.table.index], found), found


def with_sets(table: pd.DataFrame, found: LabelSets) -> pd.DataFrame:
    """A table with the columns of label sets, and their text as `label`."""
    sets = {column: found.table[column] for column in ("labels", "unknown")}
    return table.assign(**sets, label=["; ".join(sorted(own)) for own in found.table["labels"]])


def class_cells(clip: pd.Series, classes: Sequence[str]) -> dict[str, str]:
    """A clip's label set as cells of a table with one column a class, as `join_rows` reads them."""
    return {name: "1" if name in clip["labels"] else "" if name in clip["unknown"] else "0" for name in classes}


def is_published(file: Path) -> bool:
    """Whether a table is a list of AudioSet's segments or FSD50K's ground truth."""
    return label_set_layouts.is_audioset(file) or label_set_layouts.is_fsd50k(file)


def from_published(file: Path, root: Path | None, labels: tuple[str, ...], allow_missing: bool) -> Clips:
    """The clips of AudioSet's segments, below `root` (default: the list's folder), or of FSD50K's ground truth.

    A file of AudioSet is named by the video's id, with a `Y` before it or the start behind it or not. One that is
    longer than its segment is the whole video. Raises `ClipsError`.
    """
    if label_set_layouts.is_audioset(file):
        base, (found, table, notes) = root or file.parent, _audioset(file, root or file.parent)
        facts = {
            "licence": "CC BY 4.0 (the labels; each video has its own)",
            "citation": "Gemmeke et al. 2017, Audio Set: an ontology and human-labeled dataset for audio events",
        }
    else:
        base, found, table, notes = _fsd50k(file, root)
        facts = {
            "licence": "CC0, CC BY, CC BY-NC or CC Sampling+, by clip",
            "citation": "Fonseca et al. 2022, FSD50K: an open dataset of human-labeled sound events",
        }
    classes = tuple(dict.fromkeys(map(clean, labels))) or found.classes
    if strange := sorted({name for own in found.table["labels"] for name in own} - set(classes)):
        raise ClipsError(f"{file}: unknown label '{strange[0]}'. {did_you_mean(strange[0], classes)}")
    table = with_sets(table, found).reindex(columns=[*COLUMNS, "labels", "unknown"])
    notes = (*within_files(str(file), table), *notes, *found.notes)
    return build(
        file.stem, table, labels=classes, allow_missing=allow_missing, notes=notes, group_source="official",
        fold_source="official" if (table["fold"] != "").any() else "none", where=f"{base} (--set data.root=FOLDER "
        "names another folder)", **facts,
    )  # fmt: skip


def _audioset(file: Path, base: Path) -> tuple[LabelSets, pd.DataFrame, tuple[str, ...]]:
    if not (file.parent / NAMES).is_file():
        raise ClipsError(
            f"{file} names its classes by numbers. Put AudioSet's {NAMES} beside it, which has their names."
        )
    found = label_set_layouts.from_audioset(file, file.parent / NAMES)
    values.refuse_undecodable([str(file), str(base)])
    whole, parts = dict[str, str](), dict[tuple[str, float], str]()
    for path in search(base).files:
        stem = Path(path).stem
        if named := _ID.fullmatch(stem):
            whole.setdefault(named["id"], str(path))
        elif named := _PART.fullmatch(stem):
            start = float(named["start"])
            parts |= {(named["id"], start): str(path), (named["id"], start / 1000): str(path)}
    rows = []
    twice = found.table["path"].duplicated(keep=False)
    for video, start, end, again in zip(
        found.table["path"], found.table["start"].astype(float), found.table["end"].astype(float), twice, strict=True
    ):
        path = parts.get((video, start)) or whole.get(video, "")
        seconds = sound_seconds(path) if path else None
        is_whole = seconds is not None and seconds > end - start + _LONGER_S
        span = (start, end) if is_whole else (np.nan, np.nan)
        rows.append((f"{video}@{start:g}" if again else video, path, *span, "", video, ""))
    columns = ["clip", "path", "start", "end", "fold", "group", "split_hint"]
    return found, pd.DataFrame(rows, columns=columns, index=found.table.index), ()


def _fsd50k(file: Path, root: Path | None) -> tuple[Path, LabelSets, pd.DataFrame, tuple[str, ...]]:
    base, folder = next(_folders(file, root))
    for other, name in _folders(file, root):
        if any((other / name / f"{clip}.wav").is_file() for clip in _first_names(file)):
            base, folder = other, name
            break
    found = label_set_layouts.from_fsd50k(file, folder)
    _, at, moved = located(file, base, dict(zip(found.table.index, found.table["path"], strict=True)))
    names = [Path(path).stem for path in found.table["path"]]
    table = pd.DataFrame({"clip": names, "path": list(at.values()), "group": names}, index=found.table.index)
    return base, found, table.assign(start=np.nan, end=np.nan, fold=found.table["fold"], split_hint=""), moved


def _folders(file: Path, root: Path | None) -> Iterator[tuple[Path, str]]:
    """Where FSD50K's recordings may be: a folder, and the one in it."""
    for base in (root,) if root else (file.parent, file.parent.parent):
        for name in (f"FSD50K.{file.stem}_audio", f"{file.stem}_audio", file.stem, "."):
            yield base, name


def _first_names(file: Path, most: int = 20) -> list[str]:
    lines = file.read_text(encoding="utf-8-sig").splitlines()[1 : most + 1]
    return [line.partition(",")[0].strip().strip('"') for line in lines]


def _refuse_lists_in_rows(file: Path, column: pd.Series) -> None:
    """Raises `ClipsError` for a cell with a separator and a part that is in no other cell, where files have several
    rows: it may be one name, or a list in each row."""
    cells = [clean(cell) for cell in values.text(column)]
    cells_with = Counter(part for cell in set(cells) for part in {clean(part) for part in re.split("[,;|]", cell)})
    for row, cell in zip(column.index, cells, strict=True):
        bare = re.sub(r'"[^"]*"', "", cell)
        sign = next((sign for sign in label_sets.SEPARATORS if sign in bare), "")
        if sign and any(cells_with[clean(part)] == 1 for part in bare.split(sign)):
            other = next(one for one in reversed(label_sets.SEPARATORS) if one != sign)
            raise ClipsError(
                f"{file}: some files have several rows, and the label '{cell}' in row {row} may be one name or "
                f"several. Say what separates labels: --set 'data.separator={sign}', or a sign that is in no label: "
                f"--set 'data.separator={other}'"
            )


def refuse_rule(name: str, rule: SetRule) -> None:
    """Raises `ClipsError` where settings for several labels are given and the clips have one label each."""
    given = [
        setting
        for setting, value in (("--multilabel", rule.asked), ("data.separator", rule.separator),
                               (f"--empty {rule.empty}", rule.empty != "refuse"))
        if value
    ]  # fmt: skip
    if given:
        raise ClipsError(
            f"{name} holds clips of one label, and {examples(given)} is for clips that may hold several: tables, "
            "annotations and hub data sets. Leave it out."
        )
