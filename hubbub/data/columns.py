"""Which columns of a table hold the path and the label, where they are not called `path` and `label`."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from hubbub.data.clips import COLUMNS
from hubbub.data.values import ClipsError
from hubbub.errors import did_you_mean

__all__ = ["has_label", "match"]

#: Other names of columns, without case and separators.
_OTHERS = {
    "path": (
        "path", "file", "filename", "filepath", "audio", "audiofile", "audiofilename", "audiopath", "wav", "wavfile",
        "soundfile", "soundfilename", "recording", "clippath", "clipname",
    ),
    "label": ("label", "labels", "class", "classname", "category", "species", "tag", "classlabel"),
}  # fmt: skip


def has_label(names: list[str]) -> bool:
    """Whether a column is called as columns of labels are."""
    return any(_plain(name) in _OTHERS["label"] for name in names)


def match(
    file: Path, names: list[str], columns: Mapping[str, str], needed: tuple[str, ...] = ("path", "label")
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Our names of columns -> the table's, for those that it has; and a note on those that it calls otherwise.

    `columns` says what some are called. Else a column of our name is taken, then one that differs by case alone, then
    for path and label the only one with another usual name. Raises `ClipsError` where one that is `needed` cannot be
    told.
    """
    found, notes = dict(columns), []
    taken = set(columns.values())
    for ours in COLUMNS:
        if ours in found:
            continue
        if ours in names:
            found[ours] = ours
            continue
        near = [name for name in names if name not in taken and name.casefold() == ours]
        if not near and ours in _OTHERS:
            near = [name for name in names if name not in taken and _plain(name) in _OTHERS[ours]]
            near = [name for name in near if name not in found.values()]
        if len(near) == 1:
            found[ours] = near[0]
            notes.append(f"'{near[0]}' is read as {ours}")
        elif len(near) > 1 and ours in _OTHERS:
            raise ClipsError(
                f"{file} has no column '{ours}', and {' or '.join(map(repr, near))} may be it. Rename the right one to "
                f"{ours}, or name it: --set {shlex.quote(f'data.columns.{ours}={near[0]}')}"
            )
    for ours in (*needed, *columns):
        if found.get(ours) not in names:
            theirs = found.get(ours, ours)
            raise ClipsError(
                f"{file} has no column '{theirs}'. {did_you_mean(theirs, names)} Its first row must name the columns. "
                f"Rename the right one to {ours}, or name it: --set data.columns.{ours}=NAME"
            )
    return found, (f"COLUMNS: {', '.join(notes)}",) if notes else ()


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()
