"""What is known of an archive's labelled segments: all that people said, put together.

For each segment and class the latest statement counts. A segment with a class in it, or with none of them, was heard
whole: the classes that existed then and were not named are not in it.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["LabelState", "class_names", "label_state"]

#: Class (None: the whole segment), value, number and time of a statement.
Latest = tuple[str | None, str, int, str]


@dataclass(frozen=True)
class LabelState:
    """What is known of the n segments about which something was said, `y` `[n, K]`: 1 (in it), 0 (not in it) or -1
    (unknown), by the order of `classes`.

    `whole` `[n]`: whether it was heard for all classes that existed then; `unsure` `[n]`; `drawn` `[n]`: how many
    segments a random draw stands for, NaN for one that was chosen.
    """

    classes: tuple[str, ...]
    segments: npt.NDArray[np.int64]
    y: npt.NDArray[np.int8]
    whole: npt.NDArray[np.bool_]
    unsure: npt.NDArray[np.bool_]
    drawn: npt.NDArray[np.float64]


def class_names(database: sqlite3.Connection) -> tuple[str, ...]:
    """The classes in the order in which they were added."""
    return tuple(name for (name,) in database.execute("SELECT name FROM classes ORDER BY added, name"))


def label_state(database: sqlite3.Connection) -> LabelState:
    """What all statements together say, for each segment about which there is one that was not taken back."""
    added = dict(database.execute("SELECT name, added FROM classes").fetchall())
    classes = class_names(database)
    column = {name: number for number, name in enumerate(classes)}
    rows = database.execute(
        "SELECT segment, class, value, id, at FROM labels "
        "WHERE id IN (SELECT max(id) FROM labels GROUP BY segment, class)"
    ).fetchall()
    draws = dict(database.execute("SELECT segment, max(weight) FROM labels WHERE how = 'random' GROUP BY segment"))
    by_segment: dict[int, list[Latest]] = {}
    for segment, *said in rows:
        by_segment.setdefault(segment, []).append(tuple(said))
    found, sets, whole, unsure = [], [], [], []
    for segment, said in sorted(by_segment.items()):
        heard = max((at for name, value, _, at in said if value == ("yes" if name else "nothing")), default="")
        y = np.array([0 if added[name] <= heard else -1 for name in classes], np.int8)
        for name, value, _, _ in said:
            if name and value:
                y[column[name]] = value == "yes"
        if is_unsure := _is_unsure(said):
            y[:] = -1
        if is_unsure or heard or (y >= 0).any():
            found.append(segment)
            sets.append(y)
            whole.append(bool(heard) and not is_unsure)
            unsure.append(is_unsure)
    return LabelState(
        classes,
        np.array(found, dtype=np.int64),
        np.stack(sets) if sets else np.zeros((0, len(classes)), np.int8),
        np.array(whole, dtype=bool),
        np.array(unsure, dtype=bool),
        np.array([draws.get(segment) or np.nan for segment in found], dtype=np.float64),
    )


def _is_unsure(said: Sequence[Latest]) -> bool:
    """Whether `unsure` is the latest word on a segment, but for words that were taken back."""
    latest = max((one for one in said if one[1]), key=lambda one: one[2], default=None)
    return latest is not None and latest[1] == "unsure"
