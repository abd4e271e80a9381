"""Corrections of labels: a table beside the data, which stay as they are.

One row a clip: `clip` (its id, file name or path), `given` (the label that the data have), `corrected` (the right
label, `remove`, or nothing where nobody could decide), and who decided, when and why. Corrections that do not fit the
data are errors, so that none is applied to other data than those that were listened to.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from hubbub.data import text_tables
from hubbub.data.clip_names import find_clips
from hubbub.data.clips import NOTHING, Clips, Corrected, describe_label_set
from hubbub.data.values import ClipsError, clean
from hubbub.errors import count, did_you_mean, examples

__all__ = ["COLUMNS", "NEW", "REMOVE", "correct"]

COLUMNS = ("clip", "path", "start", "end", "given", "corrected", "who", "when", "why")
_NEEDED = ("clip", "given", "corrected")
#: What stands in `corrected` for a clip of no class, and before the name of a class that the data do not have.
REMOVE, NEW = "remove", "new:"


@dataclass(frozen=True)
class _Correction:
    """A row of the table: where it stands, the clip's number, the label it was about, and the right one."""

    where: str
    row: int
    given: str
    corrected: str


def correct(clips: Clips, file: Path) -> Clips:
    """The clips with the corrections of a table applied; a note says how many.

    Raises `ClipsError`, naming the rows, for clips that are not in the data or are named twice, for labels that the
    data no longer have, for classes that they do not have (`new:NAME` adds one), and for annotations with times.
    """
    if clips.timed is not None:
        raise ClipsError(f"{clips.name}: its labels have times. Correct them in the annotations, not by {file}.")
    if REMOVE in clips.labels:
        raise ClipsError(
            f"{clips.name} has a class '{REMOVE}', which in a table of corrections removes the clip. Rename the class."
        )
    found = _read(clips, file)
    _refuse_stale(clips, file, found)
    return _applied(clips, file, found)


def _read(clips: Clips, file: Path) -> list[_Correction]:
    table = text_tables.read(file)
    if lost := [name for name in _NEEDED if name not in table]:
        raise ClipsError(
            f"{file} has no column '{lost[0]}'. A table of corrections has the columns {', '.join(COLUMNS)}; the page "
            "of hubbub data audit saves one."
        )
    where = [f"{file}, row {number}" for number in table.index]
    rows = find_clips(clips, list(table["clip"]), where)
    first = dict[int, str]()
    for at, row in zip(where, rows, strict=True):
        if row in first:
            raise ClipsError(
                f"{at}: the clip {clips.table['clip'].iloc[row]} is corrected twice, as in {first[row]}. Keep one row."
            )
        first[row] = at
    cells = zip(where, rows, table["given"], table["corrected"], strict=True)
    return [_Correction(at, row, clean(given), clean(right)) for at, row, given, right in cells]


def _refuse_stale(clips: Clips, file: Path, found: list[_Correction]) -> None:
    """Raises `ClipsError` for corrections of labels that the data do not have (any more)."""
    labels = clips.table["label"].to_numpy()
    stale = [
        f"{one.where}: {clips.table['clip'].iloc[one.row]} is '{labels[one.row]}' and not '{one.given}'"
        for one in found
        if one.given != clean(labels[one.row])
    ]
    if stale:
        raise ClipsError(
            f"{count(len(stale), 'correction')} of {file} do not fit the labels of {clips.name}: "
            f"{examples(stale, 10)}. The data were changed since: listen again, or remove these rows."
        )


def _applied(clips: Clips, file: Path, found: list[_Correction]) -> Clips:
    table, new = clips.table.copy(), dict[str, None]()
    labels, sets = list(table["label"]), list(table["labels"]) if clips.multilabel else []
    removed, given, confirmed, undecided = list[int](), dict[str, str](), 0, 0
    for one in found:
        if not one.corrected or one.corrected == REMOVE:
            undecided += not one.corrected
            removed += [one.row] * bool(one.corrected)
            continue
        names, added = _classes(clips, one)
        new |= dict.fromkeys(added)
        label = describe_label_set(names) if clips.multilabel else names[0]
        if label == one.given:
            confirmed += 1
            continue
        given[str(table["clip"].iloc[one.row])] = str(table["label"].iloc[one.row])
        labels[one.row] = label
        if clips.multilabel:
            sets[one.row] = names
    table["label"] = labels
    if clips.multilabel:
        table["labels"] = pd.Series(sets, index=table.index, dtype=object)
    kept = np.setdiff1d(np.arange(len(table)), removed)
    gone = tuple(table["clip"].iloc[removed])
    left, notes = _labels_left(clips, table.iloc[kept], tuple(new))
    facts = Corrected(file.name, given, gone, confirmed, undecided)
    return replace(
        clips, table=table.iloc[kept].reset_index(drop=True), labels=left, corrected=facts,
        notes=(*clips.notes, *_note(facts), *notes),
    )  # fmt: skip


def _classes(clips: Clips, one: _Correction) -> tuple[tuple[str, ...], list[str]]:
    """The classes of a correction in the order of the data, and those of them that are new."""
    if clips.multilabel and one.corrected == NOTHING:
        return (), []
    names = [one.corrected]
    if clips.multilabel and one.corrected not in clips.labels:
        names = [name for part in one.corrected.split(";") if (name := clean(part))]
    added = [name.removeprefix(NEW).strip() for name in names if name not in clips.labels and name.startswith(NEW)]
    names = [name if name in clips.labels else name.removeprefix(NEW).strip() for name in names]
    for name in names:
        if not name or (name not in clips.labels and name not in added):
            raise ClipsError(
                f"{one.where}: {clips.name} has no class '{name}'. {did_you_mean(name, clips.labels)} A class that is "
                f"new is written {NEW}NAME."
            )
    place = {name: number for number, name in enumerate((*clips.labels, *added))}
    return tuple(sorted(dict.fromkeys(names), key=place.__getitem__)), added


def _labels_left(clips: Clips, table: pd.DataFrame, new: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The classes that still have clips, new ones last, and a note on those that lost all."""
    held = set(table["label"]) if not clips.multilabel else {name for own in table["labels"] for name in own}
    had = {label for label, rows in clips.rows_of_classes().items() if len(rows)}
    lost = [label for label in clips.labels if label in had and label not in held]
    note = (f"NO CLIPS LEFT: the corrections leave no clip of {examples(lost, 10)}, so it is no class any more",)
    return (*(label for label in clips.labels if label not in lost), *new), note if lost else ()


def _note(facts: Corrected) -> Iterator[str]:
    if facts.given or facts.removed:
        yield (
            f"CORRECTED LABELS: {facts.in_words}. Labels that were corrected after looking at a model's predictions "
            "favour that model in the test parts"
        )
