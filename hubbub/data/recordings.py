"""Which rows of a list belong to the same recording, and whether their spans lie within it.

A file may also be listed by a link, a hard link, in another case or with another ending (`0.wav`, `0.WAV`, `0.flac`).
Its parts on both sides of a split would leak.
"""

import os
import unicodedata
from collections.abc import Hashable, Sequence
from functools import lru_cache

import numpy as np
import pandas as pd

from hubbub.audio import decode
from hubbub.data.values import ClipsError, describe_rows
from hubbub.errors import HubbubError, count, examples

__all__ = ["DisjointSets", "groups", "identity", "recordings", "sound_seconds", "within_files", "without_ending"]

#: Annotations are rounded: an end up to this much [s] after the file's end is accepted without a note.
ROUNDED_S = 0.05


class DisjointSets:
    """Disjoint sets; each is represented by its first member."""

    def __init__(self) -> None:
        self._first: dict[Hashable, Hashable] = {}

    def of(self, member: Hashable) -> Hashable:
        self._first.setdefault(member, member)
        while (first := self._first[member]) != member:
            self._first[member] = self._first[first]
            member = first
        return member

    def join(self, one: Hashable, other: Hashable) -> None:
        self._first[self.of(other)] = self.of(one)


def identity(path: str) -> Hashable:
    """Identifies a file: the same for all its links."""
    try:
        facts = os.stat(path)
    except (OSError, ValueError):
        return path
    return (facts.st_dev, facts.st_ino) if facts.st_ino else os.path.realpath(path)


def recordings(paths: Sequence[str]) -> list[int]:
    """For each path the number of the first path of the same recording: the same file by any link, or a name in the
    same folder that differs only in case, form of accents and ending."""
    families, folder = DisjointSets(), lru_cache(maxsize=None)(os.path.realpath)
    for number, path in enumerate(paths):
        real = os.path.realpath(path) if os.path.islink(path) else path
        for token in (identity(path), *(_stem(folder(os.path.dirname(one)), one) for one in {path, real})):
            families.join(families.of(token), number)
    first: dict[Hashable, int] = {}
    return [first.setdefault(families.of(number), number) for number in range(len(paths))]


def without_ending(path: str) -> str:
    """A path without the ending of a sound file; any other text after a dot (`night.2`) is part of the name."""
    stem, ending = os.path.splitext(path)
    return stem if ending.lower() in decode.EXTENSIONS else path


def _stem(folder: str, path: str) -> Hashable:
    stem = without_ending(os.path.basename(path))
    return ("stem", folder, unicodedata.normalize("NFC", stem).casefold())


def groups(given: Sequence[str], recording: Sequence[int], spans: pd.DataFrame) -> tuple[list[str], tuple[str, ...]]:
    """Groups of clips, merged where they hold overlapping parts of one recording, and a note on these.

    A clip without a group gets the group of another part of its recording, or "".
    """
    families = DisjointSets()
    starts, ends = spans["start"].fillna(0).to_numpy(), spans["end"].fillna(np.inf).to_numpy()
    known: dict[int, str] = {}
    reach: dict[int, tuple[float, str]] = {}
    overlapping = []
    for at in np.lexsort((starts, np.asarray(recording))):
        group, where = given[at], recording[at]
        if not group:
            continue
        known.setdefault(where, group)
        end, before = reach.get(where, (-np.inf, group))
        if starts[at] < end and families.of(group) != families.of(before):
            overlapping.append(f"'{before}' and '{group}'")
            families.join(before, group)
        if ends[at] > end:
            reach[where] = ends[at], group
    note = f"GROUPS JOINED: {examples(overlapping)} hold overlapping parts of one recording, so they count as one"
    filled = [group or known.get(where, "") for group, where in zip(given, recording, strict=True)]
    return [str(families.of(group)) if group else "" for group in filled], (note,) if overlapping else ()


def within_files(name: str, table: pd.DataFrame) -> tuple[str, ...]:
    """Check spans against their files' lengths -> a note on ends after a file's end, which are cut.

    Raises `ClipsError` naming the rows without sound: start after the file's end, or end before start.
    """
    timed = np.flatnonzero(table[["start", "end"]].notna().any(axis=1)).tolist()
    lengths = {path: sound_seconds(path) for path in dict.fromkeys(table["path"].iloc[timed])}
    wrong, late = [], []
    spans = list(zip(table["start"], table["end"], table["path"], strict=True))
    for at in timed:
        start, end, path = spans[at]
        length, why = lengths[path], ""
        if np.isinf(start) or np.isinf(end) or start < 0:
            why = f"start {start:g} s, end {end:g} s: neither may be negative or infinite"
        elif end <= (start if start > 0 else 0):
            why = f"end {end:g} s is not after start {0 if np.isnan(start) else start:g} s"
        elif length is not None and start >= length:
            why = f"start {start:g} s is not within the file, which lasts {length:.6g} s"
        elif length is not None and end > length + ROUNDED_S:
            late.append(at)
        if why:
            wrong.append(f"{describe_rows(table, [at])}: {why}")
    if wrong:
        spans_hold = count(len(wrong), "span holds", "spans hold")
        raise ClipsError(f"{name}: {spans_hold} no sound ({examples(wrong)}). Correct or remove these rows.")
    note = f"SPANS CUT: {count(len(late), 'clip ends', 'clips end')} with the file, although listed to end later"
    return (f"{note} ({describe_rows(table, late)})",) if late else ()


def sound_seconds(path: str) -> float | None:
    """A file's length by its header; None if unknown, which decoding then reports."""
    try:
        with decode.open_sound(path) as sound:
            return sound.seconds
    except HubbubError:
        return None
