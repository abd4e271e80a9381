"""Recognise known data sets in a folder, by their lists and by the names of their files, wherever they lie in it.

ESC-50 and UrbanSound8K come with a list, EmoDB with file names that say speaker and emotion. Archives, mirrors and
cloned repositories put them at different depths; folders are searched to a depth of 3.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hubbub.audio.find_files import is_hidden
from hubbub.data.recordings import without_ending
from hubbub.data.values import ClipsError

__all__ = [
    "EMODB_NAME",
    "ESC50_NAME",
    "LISTS",
    "URBANSOUND8K_NAME",
    "home_of",
    "known_in",
    "list_of",
    "named_like",
    "of_list",
]

#: UrbanSound8K's file names: the Freesound recording, the class number, and two counters.
URBANSOUND8K_NAME = r"^(?P<fsID>\d+)-(?P<classID>\d+)-\d+-\d+\."
#: ESC-50's file names: the fold, the Freesound recording, its take, and the class number.
ESC50_NAME = r"^(?P<fold>\d)-(?P<src_file>[^-]+)-(?P<take>[A-Z])-(?P<target>\d+)\."
#: EmoDB's file names: the speaker, the sentence, the emotion, and the take.
EMODB_NAME = r"^(03|08|09|1[0-6])[ab]\d\d[WLEAFTN][a-z]\."

#: The published lists: their file names and columns.
LISTS = {
    "esc50": ("esc50.csv", ("filename", "fold", "target", "category", "esc10", "src_file", "take")),
    "urbansound8k": ("UrbanSound8K.csv", ("slice_file_name", "fsID", "fold", "classID", "class")),
}
_NAMES = {"esc50": ESC50_NAME, "urbansound8k": URBANSOUND8K_NAME, "emodb": EMODB_NAME}
#: Folders that hold a data set's list beside the folder of its sounds.
_BESIDE = ("meta", "metadata")
_DEPTH = 3
#: The most tables in a folder whose columns are looked at.
_TABLES = 20
#: The share of a folder's recordings that must be named as a data set names them, and the fewest that show it.
_MOST, _FEWEST = 0.5, 2


@dataclass(frozen=True)
class _Place:
    """A folder: its tables, and the names of its recordings."""

    folder: Path
    tables: list[Path] = field(default_factory=list)
    sounds: list[str] = field(default_factory=list)


def known_in(folder: Path) -> dict[str, list[Path]]:
    """The known data sets that a folder holds: name -> the folders of its copies. A single data set with a list is
    looked for in all of `folder`."""
    places = list(_places(folder))
    found: dict[str, list[Path]] = {}
    for name in LISTS:
        homes = {home_of(table) for table in _lists(places, name)}
        if homes:
            found[name] = sorted(homes)
    listed = [home for homes in found.values() for home in homes]
    rest = [place for place in places if place.sounds and not any(map(place.folder.is_relative_to, listed))]
    if len(rest) == 1 and _mostly(EMODB_NAME, rest[0].sounds):  # in several folders, these are the classes
        found["emodb"] = [rest[0].folder]
    alone = [name for name in found if name in LISTS and len(found) == len(found[name]) == 1]
    return found | {name: [folder] for name in alone}


def list_of(name: str, folder: Path) -> Path:
    """The list of ESC-50 or UrbanSound8K in a folder. Raises `ClipsError` where there is none, or more than one."""
    published, _ = LISTS[name]
    found = _lists(list(_places(folder)), name)
    if not found:
        raise ClipsError(
            f"{folder} has none of {_BESIDE[name != 'esc50']}/{published}, {published}. Unpack the data set there as "
            "published."
        )
    if len({home_of(table) for table in found}) > 1:
        raise ClipsError(f"{folder} holds several lists of {name} ({found[0]}, {found[-1]}). Name the folder of one.")
    return found[-1]


def of_list(file: Path) -> tuple[str, Path] | None:
    """The known data set whose published list a file is, and its folder; None for any other file."""
    for name, (published, columns) in LISTS.items():
        if file.name.casefold() == published.casefold() and set(columns) <= _head(file):
            return name, home_of(file)
    return None


def home_of(table: Path) -> Path:
    """The folder of the data set with this list: the list's own, or the one above `meta` and `metadata`."""
    place = table.parent
    return Path(os.path.normpath(place / "..")) if place.name.casefold() in _BESIDE else place


def named_like(names: Sequence[str]) -> str:
    """The known data set whose file names these recordings have, else ""."""
    return next((name for name, pattern in _NAMES.items() if _mostly(pattern, names)), "")


def _lists(places: Sequence[_Place], name: str) -> list[Path]:
    """The lists of a data set: those with its published name, else any with its columns."""
    published, columns = LISTS[name]
    tables = [table for place in places for table in place.tables]
    named = [table for table in tables if table.name.casefold() == published.casefold()]
    few = (place.tables for place in places if len(place.tables) <= _TABLES)  # more are annotations, one a recording
    return named or [table for some in few for table in some if set(columns) <= _head(table)]


def _head(table: Path) -> set[str]:
    try:
        with table.open("rb") as file:
            line = file.readline(10_000)
    except OSError:
        return set()
    return {cell.strip().strip('"') for cell in line.decode("utf-8-sig", "replace").split(",")}


def _mostly(pattern: str, names: Sequence[str]) -> bool:
    alike = sum(re.match(pattern, name) is not None for name in names)
    return alike >= _FEWEST and alike >= _MOST * len(names)


def _places(folder: Path) -> Iterator[_Place]:
    """The folder and those below it, the upper ones first, each once."""
    seen, waiting = set(), [(folder, 0)]
    while waiting:
        at, depth = waiting.pop(0)
        try:
            facts = os.stat(at)
            with os.scandir(at) as entries:
                items = sorted((entry for entry in entries if not is_hidden(entry.name)), key=lambda one: one.name)
        except (OSError, ValueError):
            continue
        if (facts.st_dev, facts.st_ino) in seen:
            continue
        seen.add((facts.st_dev, facts.st_ino))
        place = _Place(at)
        for entry in items:
            if without_ending(entry.name) != entry.name:
                place.sounds.append(entry.name)
            elif entry.name.lower().endswith(".csv") and os.path.isfile(entry.path):  # opening a pipe would block
                place.tables.append(Path(entry.path))
            elif depth < _DEPTH and os.path.isdir(entry.path):
                waiting.append((Path(entry.path), depth + 1))
        yield place
