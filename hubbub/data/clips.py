"""The clip table: one row per clip, whatever its source.

Columns: `clip` (unique id), `path`, `start` and `end` [s, NaN for the whole file], `label`, `fold`, `group` (the source
recording or speaker, which must never be on both sides of a split) and `split_hint` ("train" for clips that may only
train, such as augmented copies, else "").
Clips that may hold several classes or none have two more columns: `labels`, a tuple of the classes that a clip holds,
and `unknown`, a tuple of those that nobody annotated in it; `label` is then text for people, such as "Rain; Wind".
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from hubbub.data import values
from hubbub.data.event_index import Times, events_by_class
from hubbub.data.values import ClipsError, clean
from hubbub.errors import count, did_you_mean, examples

__all__ = [
    "COLUMNS",
    "NOTHING",
    "Clips",
    "ClipsError",
    "Corrected",
    "SET_COLUMNS",
    "build",
    "describe_label_set",
    "hold_out",
    "label_set_targets",
    "limit",
    "refuse_label_sets",
]

Kind = Literal["sound", "spectrograms", "images"]
#: Where folds come from: published with the data set, given by the user, folders, made by `folds`, or none.
FoldSource = Literal["official", "given", "folders", "made", "none"]
#: Where groups come from; `file`: each file counts as a recording of its own.
GroupSource = Literal["official", "given", "guessed", "file"]
COLUMNS = ("clip", "path", "start", "end", "label", "fold", "group", "split_hint")
#: The further columns of clips with label sets.
SET_COLUMNS = ("labels", "unknown")
#: The text of a clip that holds none of the classes.
NOTHING = "(none)"
#: Columns of prediction tables, which no class may be named after; in clips with label sets all those of lists too.
TAKEN = frozenset({"clip", "level", "group", "label", "typicality", "start", "end"})
_TAKEN_OF_SETS = TAKEN | {*COLUMNS, *SET_COLUMNS}


@dataclass(frozen=True)
class Corrected:
    """What a table of corrections, `file`, changed: the label that each corrected clip had (`given`), the clips that
    were `removed`, how many labels were `confirmed`, and how many clips nobody could decide on."""

    file: str
    given: Mapping[str, str]
    removed: tuple[str, ...]
    confirmed: int = 0
    undecided: int = 0

    @property
    def in_words(self) -> str:
        """`12 labels corrected and 3 clips removed by corrections.csv; 5 labels confirmed`."""
        confirmed = f"; {count(self.confirmed, 'label')} confirmed" if self.confirmed else ""
        return (
            f"{count(len(self.given), 'label')} corrected and {count(len(self.removed), 'clip')} removed by {self.file}"
            f"{confirmed}"
        )


@dataclass(frozen=True)
class Clips:
    """A data set: the clip table, its facts, and the caveats that go with every figure from it.

    `labels` is the class order of every matrix and probability. `straddling` names groups that the official folds are
    known to split. `notes` are caveats for every result, `left_out` lists files that were skipped. `read_as` says as
    which known data set a folder was read. `kind` says what the
    paths lead to: sounds, spectrograms or images of spectrograms; `settings` are the recipe sections `audio`, `windows`
    and `frontend` that these were computed with, None if unknown. `fold_source` and `group_source` say where folds and
    groups come from. `mixed` says of the path of a made scene which clips it was mixed from, each with its source
    recording. `timed` are the annotated events of recordings that were cut into clips with label sets: `path`, `start`,
    `end` [s], `label`. `corrected` says how a table of corrections changed the labels.
    Example: `clips.table.groupby("fold").size()`.
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
    read_as: str = ""
    kind: Kind = "sound"
    settings: Mapping[str, Any] | None = None
    fold_source: FoldSource = "none"
    group_source: GroupSource = "given"
    mixed: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    timed: pd.DataFrame | None = None
    corrected: Corrected | None = None

    def __len__(self) -> int:
        return len(self.table)

    @property
    def folds(self) -> tuple[str, ...]:
        """Fold names, numbers in numerical order."""
        names = {str(f) for f in self.table["fold"]} - {""}
        numbers = {name for name in names if values.is_number(name)}
        return (*values.in_order(numbers), *sorted(names - numbers))

    @property
    def multilabel(self) -> bool:
        """Whether a clip may hold several classes, or none."""
        return "labels" in self.table

    def targets(self) -> np.ndarray:
        """Class index of each clip, `[clips]`; -1 for a held-out class. Of clips with label sets `[clips, classes]`:
        1 for a class that the clip holds, 0 for one that it does not hold, -1 for one that nobody annotated."""
        if self.multilabel:
            return label_set_targets(self.table["labels"], self.table["unknown"], self.labels)
        return pd.Categorical(self.table["label"], categories=list(self.labels)).codes.astype(np.int64)

    def rows_of_classes(self) -> dict[str, npt.NDArray[np.intp]]:
        """The rows of the clips that hold each class: `labels` in their order, then held-out classes."""
        if not self.multilabel:
            found = {str(label): rows for label, rows in self.table.groupby("label").indices.items()}
            return {
                label: np.asarray(found.get(label, []), dtype=np.intp)
                for label in dict.fromkeys([*self.labels, *sorted(found)])
            }
        present = self.targets() > 0
        return {label: np.flatnonzero(present[:, k]) for k, label in enumerate(self.labels)}

    @cached_property
    def events(self) -> Mapping[str, Mapping[str, Times]]:
        """The timed labels by path and class: starts and ends [s] in order, those that overlap as one."""
        return {} if self.timed is None else events_by_class(self.timed)


def build(
    name: str,
    table: pd.DataFrame,
    *,
    labels: tuple[str, ...] = (),
    allow_missing: bool = False,
    where: str = "",
    **facts: object,
) -> Clips:
    """Checked Clips from rows; rows with an empty `path` are missing files and are left out.

    An index named `row` numbers the rows for messages. Label sets need no column `label`. Raises `ClipsError` for
    missing files unless `allow_missing`, duplicate ids, empty or unknown labels, unknown hints.
    """
    table = table.reindex(columns=[*COLUMNS, *(name for name in SET_COLUMNS if name in table)])
    for column in ("clip", "path", "group"):
        table[column] = pd.Series(values.text(table[column]), index=table.index, dtype=str)
    table[["start", "end"]] = table[["start", "end"]].astype(float)
    twice = table["clip"][table["clip"].duplicated()]
    if len(twice):
        raise ClipsError(
            f"{name}: {count(len(twice), 'id')} given twice ({examples(twice)}). Give every clip an id of its own."
        )
    hints = values.check_hints(name, table)
    labels, on_labels = tuple(dict.fromkeys(map(clean, labels))), tuple[str, ...]()
    if "labels" in table:
        named, used = _in_order(table, labels)
        reserved = _TAKEN_OF_SETS
    else:
        named, on_labels = values.clean_labels(name, table)
        used, reserved = set(named), TAKEN
    folds, on_folds = values.clean_folds(table)
    for column, cells in (("split_hint", hints), ("label", named), ("fold", folds)):
        table[column] = pd.Series(cells, index=table.index, dtype=str)
    labels = labels or values.in_order(used)
    if taken := sorted(reserved & set(labels)):
        raise ClipsError(
            f"{name}: a class is called '{taken[0]}', as a column of prediction tables is. Rename it "
            f"(not {', '.join(sorted(reserved))})."
        )
    if unknown := sorted(used - set(labels)):
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
    clips = replace(clips, fold_source="given" if any(folds) else "none")
    clips = replace(clips, **facts)  # type: ignore[arg-type]
    partial = (f"PARTIAL DATA: {len(missing):,} of {len(table):,} listed clips are missing",) if missing else ()
    return replace(clips, notes=(*clips.notes, *on_labels, *on_folds, *partial))


def _in_order(table: pd.DataFrame, labels: Sequence[str]) -> tuple[list[str], set[str]]:
    """Puts the label sets of a table in the order of the classes; the text of each clip, and the labels that occur."""
    used = {str(name) for own in table["labels"] for name in own}
    place = {name: k for k, name in enumerate([*labels, *values.in_order(used - set(labels))])}
    for column in SET_COLUMNS:
        sets = table[column] if column in table else [()] * len(table)
        ordered = [tuple(sorted(own, key=lambda name: place.get(name, len(place)))) for own in sets]
        table[column] = pd.Series(ordered, index=table.index, dtype=object)
    return [describe_label_set(own) for own in table["labels"]], used


def refuse_label_sets(clips: Clips, what: str) -> None:
    """Raises `ClipsError` where clips may hold several labels and `what` is for clips of one label."""
    if clips.multilabel:
        raise ClipsError(f"{clips.name}: its clips may hold several labels, and {what} is for clips of one label.")


def limit(clips: Clips, most: int, seed: int = 0) -> Clips:
    """At most `most` clips per class and fold and as many augmented copies, sampled with `seed`; a note says so.

    A clip with several labels is taken if fewer than `most` clips with one of them are there yet, so that a frequent
    class may have more; of clips that hold none of the classes there are `most` too.
    """
    order = np.random.default_rng(seed).permutation(len(clips))
    if clips.multilabel:
        sample = _first_of_each(clips.table.iloc[order], most)
    else:
        sample = list(clips.table.iloc[order].groupby(["label", "fold", "split_hint"]).head(most).index)
    table = clips.table.loc[sorted(sample)].reset_index(drop=True)
    if len(table) == len(clips):
        return clips
    return replace(clips, table=table, notes=(*clips.notes, f"REDUCED DATA: {len(table):,} of {len(clips):,} clips"))


def _first_of_each(table: pd.DataFrame, most: int) -> list[int]:
    """The rows that are among the first `most` of a class that they hold, of their fold and their hint."""
    taken: Counter[tuple[str, str, str]] = Counter()
    rows = []
    for row, held, fold, hint in table[["labels", "fold", "split_hint"]].itertuples(name=None):
        kinds = [(name, fold, hint) for name in held or ("",)]
        if any(taken[kind] < most for kind in kinds):
            taken.update(kinds)
            rows.append(int(row))
    return rows


def describe_label_set(names: Iterable[str]) -> str:
    """`Rain; Wind`; `(none)` for an empty set."""
    return "; ".join(names) or NOTHING


def label_set_targets(
    held: Iterable[Iterable[str]], unknown: Iterable[Iterable[str]], labels: Sequence[str]
) -> npt.NDArray[np.int8]:
    """The targets `[N, K]` of label sets: 1 present, 0 absent, -1 not annotated; other names than `labels` are left
    out."""
    number, held, unknown = {name: k for k, name in enumerate(labels)}, list(held), list(unknown)
    targets = np.zeros((len(held), len(labels)), dtype=np.int8)
    for value, sets in ((-1, unknown), (1, held)):
        for row, names in enumerate(sets):
            targets[row, [number[name] for name in names if name in number]] = value
    return targets


def hold_out(clips: Clips, labels: tuple[str, ...]) -> Clips:
    """The same clips with some classes removed from `labels`. Raises `ClipsError` unless two classes are left."""
    if not labels:
        return clips
    refuse_label_sets(clips, "data.held_out")
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
