"""Clips with a set of labels each, from tables: several labels in a cell, one column a class, several rows a file.

The functions take tables under our column names (`path`, `label`, and `start`, `end`, `group`, `fold` where known) with
cells of text, as `text_tables.read` gives them; the index numbers the rows for messages. `label_set_layouts` reads the
tables of AudioSet and FSD50K.
"""

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from hubbub.data import values
from hubbub.data.values import ClipsError, clean
from hubbub.errors import count, did_you_mean, examples

__all__ = [
    "SEPARATORS",
    "Empty",
    "LabelSets",
    "build",
    "class_columns",
    "from_class_columns",
    "from_column",
    "from_rows",
    "on_classes",
]

Flags = npt.NDArray[np.bool_]
#: What may separate the labels of a cell, where none is named.
SEPARATORS = (",", ";", "|")
#: What a clip without any label means: refuse it, it holds none of the classes, or nobody labelled it.
Empty = Literal["refuse", "none", "unlabelled"]
_FACTS = ("path", "start", "end", "group", "fold")
_PRESENT, _ABSENT = {"1", "1.0", "true", "yes"}, {"0", "0.0", "false", "no"}
#: Cells that say that a class was not annotated for a clip.
_UNKNOWN = {"", "?", values.UNLABELLED, "-1.0", "nan", "n/a", "na"}
#: The fewest clips in which two parts of cells must be together to look like one name.
_TOGETHER = 3


@dataclass(frozen=True)
class LabelSets:
    """One row per clip with the labels it holds.

    `table` has the columns `path`, `start`, `end`, `group` and `fold` ("" where not known), `labels` (a frozenset of
    names) and `unknown` (a frozenset of the classes that were not annotated for the clip). `classes` is the order of
    the columns of `targets` and `known`. `notes` are caveats for every result.
    """

    table: pd.DataFrame
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def targets(self) -> Flags:
        """Whether each clip holds each class, `[N, K]`."""
        return _flags(self.table["labels"], self.classes)

    def known(self) -> Flags:
        """Whether each class was annotated for each clip, `[N, K]`."""
        return ~_flags(self.table["unknown"], self.classes)


def build(
    source: str,
    rows: pd.DataFrame,
    classes: Sequence[str] = (),
    *,
    empty: Empty = "refuse",
    notes: Sequence[str] = (),
) -> LabelSets:
    """Label sets of rows with the columns `path`, `labels` (iterables of names) and perhaps `unknown`.

    Rows of one file, or of one part of it, become one clip that holds the labels of all. `classes` are the classes that
    there may be, in order (default: the labels that occur). Raises `ClipsError` for labels that are not among them, for
    rows of one clip in two groups or folds, and for clips without labels unless `empty` says what they mean.
    """
    if rows.empty:
        raise ClipsError(f"{source} lists no clips. Write one per row.")
    table, repeated = _one_row_a_clip(source, rows)
    used = _checked_names(source, table)
    order = tuple(dict.fromkeys(map(clean, classes))) or values.in_order(used)
    if strange := sorted(used - set(order)):
        at = next(row for row, labels in table["labels"].items() if strange[0] in labels)
        raise ClipsError(f"{source}: unknown label '{strange[0]}' in row {at}. {did_you_mean(strange[0], order)}")
    if not order:
        raise ClipsError(f"{source}: no row has a label. Write them into the column of labels.")
    blank = table["unknown"].map(frozenset(order).issubset)
    bare = (table["labels"].map(len) == 0) & ~blank
    if bare.any() and empty == "refuse":
        raise ClipsError(
            f"{source}: {count(int(bare.sum()), 'clip has', 'clips have')} no label (row "
            f"{examples(table.index[bare])}). Say whether such clips hold none of the classes (--empty none) or nobody "
            "labelled them (--empty unlabelled), or remove them."
        )
    said = [*notes, *repeated]
    if bare.any() and empty == "none":
        said.append(f"WITHOUT LABELS: {count(int(bare.sum()), 'clip')} of {len(table):,} held none of the classes")
    if (unlabelled := blank | bare if empty == "unlabelled" else blank).any():
        named = examples(f"row {row}" for row in table.index[unlabelled])
        said.append(f"UNLABELLED: {count(int(unlabelled.sum()), 'clip')} that nobody labelled, left out ({named})")
        table = table[~unlabelled]
    if table.empty:
        raise ClipsError(f"{source}: no clip is labelled. Label some.")
    found = LabelSets(table, order)
    return LabelSets(table, order, (*said, *on_classes(found), *values.similar(set(order))))


def from_column(
    table: pd.DataFrame, source: str, separator: str = "", classes: Sequence[str] = (), empty: Empty = "refuse"
) -> LabelSets:
    """Label sets of a column `label` whose cells hold several labels; a file may have several rows.

    `separator` (default: the only one of `SEPARATORS` in the cells) stands between labels. A label with the separator
    in its name is quoted inside the cell: `"Rain, heavy",Wind`. Raises `ClipsError` where more than one separator may
    be meant, and where an unquoted name holds it.
    """
    if len(separator) > 1:
        raise ClipsError(
            f"{source}: the separator '{separator}' has {len(separator)} signs. Name one sign; blanks beside it do not "
            "count."
        )
    cells = [clean(cell) for cell in values.text(table["label"])]
    between = separator or _separator(source, cells, classes)
    parts = [_split(source, row, cell, between) for row, cell in zip(table.index, cells, strict=True)]
    if between:
        _refuse_split_names(source, list(table.index), cells, parts, between, classes)
    notes = _always_together(parts, between) if between and not classes else []
    labels = [[name for part in own if (name := clean(part))] for own in parts]
    return build(source, table.assign(labels=_cells(table, labels)), classes, empty=empty, notes=notes)


def from_rows(table: pd.DataFrame, source: str, classes: Sequence[str] = (), empty: Empty = "refuse") -> LabelSets:
    """Label sets of a column `label` with one label a row, whatever signs are in it, and several rows a file."""
    labels = [[name] if (name := clean(cell)) else [] for cell in values.text(table["label"])]
    return build(source, table.assign(labels=_cells(table, labels)), classes, empty=empty)


def class_columns(table: pd.DataFrame) -> tuple[str, ...]:
    """The columns that look like one class each: some 0 or 1, true or false, yes or no, and else only gaps."""
    found = []
    for name in (str(name) for name in table.columns if name not in (*_FACTS, "clip", "label", "split_hint")):
        cells = {clean(cell).casefold() for cell in values.text(table[name])}
        if cells & (_PRESENT | _ABSENT) and cells <= _PRESENT | _ABSENT | _UNKNOWN:
            found.append(name)
    return tuple(found)


def from_class_columns(table: pd.DataFrame, source: str, classes: Sequence[str] = ()) -> LabelSets:
    """Label sets of one column a class (default: `class_columns`): 1, true or yes where a clip holds it, 0, false or no
    where not, and an empty cell, ? or -1 where nobody said.

    A clip may hold none of the classes. Raises `ClipsError` for cells of any other kind, and for a class that one row
    of a file has and another excludes.
    """
    names = tuple(classes) or class_columns(table)
    if missing := [name for name in names if name not in table]:
        raise ClipsError(f"{source} has no column '{missing[0]}'. {did_you_mean(missing[0], map(str, table.columns))}")
    if not names:
        raise ClipsError(f"{source} has no column of 0 and 1. Write one for each class, named after it.")
    states = {name: [clean(cell).casefold() for cell in values.text(table[name])] for name in names}
    for name, cells in states.items():
        if odd := [at for at, cell in enumerate(cells) if cell not in _PRESENT | _ABSENT | _UNKNOWN]:
            raise ClipsError(
                f"{source}: the class column '{name}' has '{cells[odd[0]]}' in row {table.index[odd[0]]}. Write 1 "
                "where a clip holds the class, 0 where not, and nothing where nobody said."
            )
    rows = range(len(table))
    marked = {
        column: _cells(table, [[clean(name) for name in names if states[name][at] in kind] for at in rows])
        for column, kind in (("labels", _PRESENT), ("unknown", _UNKNOWN), ("absent", _ABSENT))
    }
    return build(source, table.assign(**marked), names, empty="none")


def _one_row_a_clip(source: str, rows: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The rows of each clip joined; its index is the first row's."""
    names = (*_FACTS, "split_hint")
    facts = {name: values.text(rows[name]) if name in rows else [""] * len(rows) for name in names}
    marks = {name: list(rows[name]) if name in rows else [()] * len(rows) for name in ("labels", "unknown", "absent")}
    first: dict[tuple[str, ...], int] = {}
    sets: dict[str, dict[int, set[str]]] = {name: defaultdict(set) for name in marks}
    seen: dict[int, set[str]] = defaultdict(set)
    again = 0
    for at, row in enumerate(rows.index):
        if not clean(facts["path"][at]):
            raise ClipsError(f"{source}: row {row} names no file. Write its path there.")
        one = first.setdefault(tuple(clean(facts[name][at]) for name in ("path", "start", "end")), at)
        for column in ("group", "fold", "split_hint"):
            if clean(facts[column][one]) != clean(facts[column][at]):
                raise ClipsError(
                    f"{source}: rows {rows.index[one]} and {row} are of one clip, and have the {column} "
                    f"'{facts[column][one]}' and '{facts[column][at]}'. Write one of them in all rows of the clip."
                )
        own = set(marks["labels"][at])
        again += one != at and bool(own) and own <= seen[one]
        seen[one] |= own
        for name, cells in marks.items():
            sets[name][one] |= set(cells[at])
    for one, absent in sets["absent"].items():
        if both := sorted(absent & sets["labels"][one]):
            raise ClipsError(
                f"{source}: one row of the clip '{facts['path'][one]}' has the class '{both[0]}' and another excludes "
                "it. Correct one of them."
            )
    places = sorted(first.values())
    table = rows.iloc[places].reindex(columns=[name for name in _FACTS if name in rows])
    table = table.assign(**{name: "" for name in _FACTS if name not in rows})[list(_FACTS)]
    held = [frozenset(sets["labels"][one]) for one in places]
    said = (sets["labels"][one] | sets["absent"][one] for one in places)
    unknown = [frozenset(sets["unknown"][one] - own) for one, own in zip(places, said, strict=True)]
    for column, cells in (("labels", held), ("unknown", unknown)):
        table[column] = _cells(table, cells)
    repeat = count(again, "row repeats", "rows repeat")
    note = f"REPEATED LABELS: {repeat} labels that other rows of the same clip have; each counts once"
    return table, [note] if again else []


def _checked_names(source: str, table: pd.DataFrame) -> set[str]:
    """The labels of all clips. Raises `ClipsError` for those that are no names of classes."""
    first: dict[str, object] = {}
    for row, labels in table["labels"].items():
        for name in labels:
            first.setdefault(name, row)
    rows = pd.Index(list(first.values()), name="row", dtype=object)
    values.clean_labels(source, pd.DataFrame({"label": list(first), "clip": list(first)}, index=rows, dtype=object))
    return set(first)


def _cells(table: pd.DataFrame, cells: Sequence[object]) -> pd.Series:
    """A column of lists or sets."""
    return pd.Series(cells, index=table.index, dtype=object)


def _flags(sets: pd.Series, classes: Sequence[str]) -> Flags:
    return np.array([[name in own for name in classes] for own in sets], dtype=bool).reshape(len(sets), len(classes))


def _separator(source: str, cells: Sequence[str], classes: Sequence[str]) -> str:
    """The only separator in the cells, quoted names and known classes aside; "" where there is none."""
    bare = [re.sub(r'"[^"]*"', "", cell) for cell in cells if cell not in set(classes)]
    found = [sign for sign in SEPARATORS if any(sign in cell for cell in bare)]
    if len(found) > 1:
        signs = " and ".join(f"'{sign}'" for sign in found)
        raise ClipsError(
            f"{source}: the labels may be separated by {signs}, as both are in its cells. Name the separator (--set "
            "'data.separator=;'), or write quotation marks around a label that holds one: \"Rain, heavy\"."
        )
    return found[0] if found else ""


def _split(source: str, row: object, cell: str, separator: str) -> list[str]:
    """The labels of a cell as written, blanks before them kept; quotation marks hold one together."""
    if not separator or '"' not in cell:
        return cell.split(separator) if separator else [cell]
    try:
        return next(csv.reader([cell], delimiter=separator, skipinitialspace=True, strict=True), [])
    except csv.Error as error:
        raise ClipsError(
            f"{source}: the labels {cell!r} in row {row} cannot be told apart ({error}). Close the quotation marks."
        ) from error


def _refuse_split_names(
    source: str,
    index: Sequence[object],
    cells: Sequence[str],
    parts: Sequence[Sequence[str]],
    separator: str,
    classes: Sequence[str],
) -> None:
    """Raise `ClipsError` for a name that holds the separator without quotation marks: a known class that does, or
    `Rain, heavy,Wind`, where only some separators have a blank after them and what follows it occurs nowhere else."""
    advice = (
        f"A label that holds the separator '{separator}' is written with quotation marks inside the cell, or another "
        "separator is used for all cells."
    )
    holding = [name for name in classes if separator in name]
    for at, cell in enumerate(cells):
        if name := next((name for name in holding if name in re.sub(r'"[^"]*"', "", cell)), ""):
            raise ClipsError(f"{source}: row {index[at]} holds the label '{name}' without quotation marks. {advice}")
    bare = [(at, own) for at, own in enumerate(parts) if '"' not in cells[at]]
    after = [(at, before, part) for at, own in bare for before, part in pairwise(own) if clean(part)]
    spaced = [one for one in after if one[2].startswith(" ") and not one[1].endswith(" ")]
    if classes or not spaced or len(spaced) == len(after):
        return
    elsewhere = {clean(part) for own in parts for k, part in enumerate(own) if not (k and part.startswith(" "))}
    for at, before, part in spaced:
        if clean(part) not in elsewhere:
            name = f"{clean(before)}{separator} {clean(part)}"
            raise ClipsError(
                f"{source}: '{name}' in row {index[at]} may be one label or two, as other separators have no blank "
                f"after them. {advice}"
            )


def _always_together(parts: Sequence[Sequence[str]], separator: str) -> list[str]:
    """A note on pairs of labels that never occur without each other and always in one order: perhaps one name."""
    named = [[clean(part) for part in own] for own in parts]
    each = Counter(name for own in named for name in own)
    pairs = Counter(pair for own in named for pair in pairwise(own))
    alike = [pair for pair, n in pairs.items() if n >= _TOGETHER and n == each[pair[0]] == each[pair[1]]]
    quoted = examples(f"'{one}{separator} {other}'" for one, other in sorted(alike))
    return (
        [
            f"ALWAYS TOGETHER: labels that occur only together, in this order: {quoted}; if that is one name, write "
            "quotation marks around it inside the cells"
        ]
        if alike
        else []
    )


def on_classes(found: LabelSets) -> Iterable[str]:
    """Notes on classes that no clip holds, and on those that all hold."""
    targets, known = found.targets(), found.known()
    never = [name for k, name in enumerate(found.classes) if not targets[:, k].any()]
    always = [name for k, name in enumerate(found.classes) if known[:, k].any() and targets[known[:, k], k].all()]
    if never:
        yield (
            f"NEVER PRESENT: no clip holds the class {_quoted(never)}; nothing can be learnt of it: add clips, or "
            "leave it out"
        )
    if always:
        yield (
            f"ALWAYS PRESENT: every clip for which it was annotated holds the class {_quoted(always)}; add clips "
            "without it, or leave it out"
        )


def _quoted(names: Iterable[str]) -> str:
    return examples(f"'{name}'" for name in names)
