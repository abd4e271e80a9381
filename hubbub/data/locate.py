"""Find the files that a table lists: by another ending, slashes, accents or case, and where the folders moved."""

import os
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import takewhile
from pathlib import Path

from hubbub.audio.find_files import search
from hubbub.data import values
from hubbub.data.recordings import without_ending
from hubbub.data.values import ClipsError
from hubbub.errors import examples

__all__ = ["find_sounds", "inside", "located"]

#: The share of a list's files that must be there, for its folders to count as moved.
MOST = 0.5
#: A list of fewer files does not show that its folders moved.
FEWEST = 2


def find_sounds(folder: Path) -> dict[str, Path]:
    """Sound files below a folder by relative path without extension, so that a listed `.wav` finds a `.flac`."""
    found: dict[str, Path] = {}
    for path in map(Path, search(folder).files):
        found.setdefault(path.relative_to(folder).with_suffix("").as_posix(), path)
    return found


def inside(file: Path, base: Path, path: str) -> Path:
    """The listed path below `base`. Raises `ClipsError` where it leaves `base` by its text; links may lead out.

    An absolute path may be below `base` by another way to write it: an absolute one, or a link.
    """
    full = Path(os.path.normpath(base / path))
    same = full.is_relative_to(os.path.normpath(base))
    if not same and os.path.isabs(path):
        same = any(Path(way(full)).is_relative_to(way(base)) for way in (os.path.abspath, os.path.realpath))
    if not same:
        raise ClipsError(
            f"{file}: the path '{path}' leaves {base}. Move the file there, or name another root (data.root)."
        )
    return full


def located(file: Path, base: Path, paths: Mapping[int, str]) -> tuple[dict[int, str], dict[int, str], tuple[str, ...]]:
    """For each row the listed path, and the file found for it or ""; and a note where the folders moved.

    A file is also found under another ending, in another case or form of accents, with backslashes between folders; and
    where no file is in its place, below other folders that are the same for all.
    """
    values.refuse_undecodable([str(file), str(base)])
    direct = {row: os.path.normpath(base / path) for row, path in paths.items()}
    names_in = lru_cache(maxsize=None)(_sounds_in)
    found = {row: path if os.path.isfile(path) else _beside(path, names_in) for row, path in direct.items()}
    lost = [row for row, path in found.items() if not path]
    index = find_sounds(base) if lost else {}
    sounds = {_composed(stem): path for stem, path in reversed(index.items())}
    for row in lost:
        for text in dict.fromkeys((paths[row], paths[row].strip(), paths[row].strip().replace("\\", "/"))):
            path = os.path.normpath(base / text)
            name = Path(os.path.relpath(path, base)).as_posix()
            if os.path.isfile(path):
                direct[row] = found[row] = path
            elif there := sounds.get(_composed(without_ending(name))):
                found[row] = str(there)
            if found[row]:
                break
    names = {row: paths[row].strip().replace("\\", "/") for row in lost if not found[row]}
    found |= {row: str(sounds[stem]) for row, stem in _in_another_case(names, list(sounds)).items()}
    moved: tuple[str, ...] = ()
    if names and not any(found.values()) and (stems := _moved(names, list(sounds))):
        found |= {row: str(sounds[stem]) for row, stem in stems.items()}
        direct |= {row: found[row] for row in stems}
        row = next(iter(stems))
        moved = (f"PATHS: the listed files are not where the list says; '{paths[row]}' is read from {found[row]}",)
    for row, path in paths.items():
        if not (moved and found[row]):
            inside(file, base, path)
            inside(file, base, path.strip().replace("\\", "/"))
    listed = {row: path if found[row] else os.path.normpath(base / paths[row]) for row, path in direct.items()}
    if folders := [f"row {row}: {paths[row]}" for row, path in listed.items() if os.path.isdir(path)]:
        raise ClipsError(f"{file}: {len(folders)} rows name a folder ({examples(folders)}). List the files in it.")
    values.refuse_undecodable(found.values())
    return listed, found, moved


def _sounds_in(folder: str) -> dict[str, str]:
    """The sounds of a folder, by name without ending."""
    try:
        there = sorted(os.listdir(folder), reverse=True)
    except (OSError, ValueError):
        return {}
    return {_composed(without_ending(name)): name for name in there if without_ending(name) != name}


def _beside(path: str, names_in: Callable[[str], dict[str, str]]) -> str:
    """The sound of this name with another ending in the same folder, or ""."""
    folder, name = os.path.split(path)
    there = names_in(folder).get(_composed(without_ending(name)), "")
    return os.path.join(folder, there) if there and os.path.isfile(os.path.join(folder, there)) else ""


def _moved(names: Mapping[int, str], stems: Sequence[str]) -> dict[int, str]:
    """The sounds, by relative path without ending, that the names mean below other folders; empty where no change of
    the first folders, the same for all names, gives most of them, or where two do."""
    split = {row: _composed(without_ending(name)).split("/") for row, name in names.items()}
    parts = {row: [part for part in own if part not in ("", ".")] for row, own in split.items()}
    if len(set(names.values())) < FEWEST or not all(own and ".." not in own for own in parts.values()):
        return {}
    columns = zip(*(own[:-1] for own in parts.values()), strict=False)
    shared = sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))
    by_name: dict[str, list[str]] = defaultdict(list)
    for stem in stems:
        by_name[stem.rpartition("/")[2]].append(stem)
    there = set(stems)
    starts: Counter[tuple[int, str]] = Counter()
    for own in list(parts.values())[:100]:
        for drop in range(shared + 1):
            tail = "/".join(own[drop:])
            starts.update(
                (drop, stem[: len(stem) - len(tail)])
                for stem in by_name[own[-1]]
                if stem == tail or stem.endswith(f"/{tail}")
            )
    readings: dict[tuple[tuple[int, str], ...], int] = {}
    for drop, start in starts:
        found = {row: stem for row, own in parts.items() if (stem := start + "/".join(own[drop:])) in there}
        readings[tuple(found.items())] = len(found)
    best = max(readings.values(), default=0)
    chosen = [reading for reading, size in readings.items() if size == best]
    return dict(chosen[0]) if len(chosen) == 1 and best >= MOST * len(names) else {}


def _in_another_case(names: Mapping[int, str], stems: Sequence[str]) -> dict[int, str]:
    """The sounds that the names mean if case does not count; none where it tells two sounds apart."""
    folded: dict[str, list[str]] = defaultdict(list)
    for stem in stems:
        folded[stem.casefold()].append(stem)
    found = {row: folded[_composed(without_ending(name)).casefold()] for row, name in names.items()}
    return {row: there[0] for row, there in found.items() if len(there) == 1}


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)
