"""Read a folder with one folder per class; links, empty classes and a split above the classes are handled."""

import os
import re
from pathlib import Path

import pandas as pd

from hubbub.audio.find_files import LOST, Found, describe, is_hidden, search
from hubbub.data import layouts
from hubbub.data.text_tables import ENDINGS as _TABLES
from hubbub.data.values import ClipsError, in_order, refuse_undecodable
from hubbub.errors import count, examples

__all__ = ["part_named", "read"]

_PARTS = {
    "train": "train", "val": "validation", "dev": "validation", "test": "test", "eval": "test", "held": "test",
}  # fmt: skip
_PART = re.compile(
    r"(?:\d+[ ._-]+)?(?:(train|test)(?:ing|s)?|(val)(?:id|idate|idation)?|(dev)(?:el|elopment)?|(eval)(?:uation)?"
    r"|(hold|held)[ _-]?out)(?:[ _-]?(?:set|data|split|part|files|clips|audio))?|(?:fold|split)[ _-]?(\d+)",
    re.IGNORECASE | re.ASCII,
)


def read(folder: Path) -> tuple[pd.DataFrame, tuple[str, ...], tuple[str, ...]]:
    """`clip`, `path`, `label`, `fold` of each recording; notes for every result; and a list of what was left out.

    The class is the first folder below; or the second, if the first ones are parts of a split (`train` and `test`,
    `fold1` ...), which become the folds. Raises `ClipsError` where there are no recordings in folders, or where classes
    and parts of a split cannot be distinguished.
    """
    found = search(folder)
    refuse_undecodable([os.fspath(folder), *found.files])
    ids = [os.path.relpath(path, folder).replace(os.sep, "/") for path in found.files]
    table = pd.DataFrame({"clip": ids, "path": [str(Path(path)) for path in found.files]}, dtype=object)
    places = [name.split("/") for name in ids]
    parts = {place[0]: part_named(place[0]) for place in places if len(place) > 1}
    if not parts:
        raise _without_classes(folder, found)
    depth = 1 if _is_split(folder, places, parts) else 0
    if len({place[depth] for place in places if len(place) > depth + 1}) == 1 and (hint := _unlisted(places)):
        raise ClipsError(f"{folder} holds the recordings of one class only, if its folders are classes.{hint}")
    in_class = [len(place) > depth + 1 for place in places]
    table["label"] = [place[depth] if keep else "" for place, keep in zip(places, in_class, strict=True)]
    table["fold"] = [parts.get(place[0], "") if depth else "" for place in places]
    above = [folder / part for part in parts] if depth else [folder]
    notes = _notes(found, table, in_class, above)
    inner = {name: part_named(name) for place in places for name in place[depth + 1 : -1]}
    if len({part for part in inner.values() if part}) > 1:
        named = examples(in_order(name for name, part in inner.items() if part))
        notes += (
            f"NOT USED AS A SPLIT: the folders {named} within those of the classes. To use them, put them above the "
            "classes (train/dog, test/dog), or write a CSV with the columns path, label and fold",
        )
    return table[in_class].reset_index(drop=True), notes, tuple(_plain(found))


def _without_classes(folder: Path, found: Found) -> ClipsError:
    lie = "lies" if len(found.files) == 1 else "lie"
    there = f"{count(len(found.files), 'recording')} {lie} in it directly. " if found.files else ""
    tables = sorted(name for names in found.left_out.values() for name in names if name.lower().endswith(_TABLES))
    if tables:
        instead = f"If {tables[0]} lists them, name it: {folder / tables[0]}. "
    else:
        instead = f"If it is the folder of one class, name the folder above it: {folder.parent}. "
    left_out = " ".join(f"Left out: {line}." for line in describe(found.left_out))
    return ClipsError(
        f"{folder} holds no sound files in folders. {there}Put each class's recordings in a folder named after it, or "
        f"write a CSV with the columns path and label. {instead * bool(found.files)}{left_out}".rstrip()
    )


def part_named(name: str) -> str:
    """The part of a split that a name stands for (`train`, `fold 1` ...), else ""."""
    match = _PART.fullmatch(name.strip())
    if not match:
        return ""
    return match[6] or _PARTS[next(word for word in match.groups() if word).lower().replace("hold", "held")]


def _is_split(folder: Path, places: list[list[str]], parts: dict[str, str]) -> bool:
    """Whether the first folders are parts of a split, not classes; "train" alone may be a class."""
    named = [name for name, part in parts.items() if part]
    nested = {place[0] for place in places if len(place) > 2 and parts[place[0]]}
    if len(named) == len(parts) and nested == set(named):
        return True
    if len({parts[name] for name in named}) < 2:
        return False
    raise ClipsError(
        f"{folder} holds folders named like parts of a split ({examples(named)})"
        + (f" beside others ({examples(n for n in parts if n not in named)})" if len(named) < len(parts) else "")
        + ", so classes cannot be distinguished. Give each part one folder per class (train/dog, test/dog), or write a "
        f"CSV with the columns path, label and fold.{_unlisted(places)}"
    )


def _unlisted(places: list[list[str]]) -> str:
    """Advice where recordings are named as those of a known data set whose list is not there, else ""."""
    name = layouts.named_like([place[-1] for place in places])
    if name not in layouts.LISTS:
        return ""
    published, _ = layouts.LISTS[name]
    return f" The files are named as those of {published.removesuffix('.csv')}: put its list, {published}, beside them."


def _notes(found: Found, table: pd.DataFrame, in_class: list[bool], above: list[Path]) -> tuple[str, ...]:
    notes = []
    if folds := in_order(set(table["fold"]) - {""}):
        notes.append(f"FOLDS FROM FOLDERS: the folders above the classes ({examples(folds, 10)}) are the given split")
    full = set(table["label"][in_class])
    if empty := sorted({name for place in above for name in _folders(place)} - full):
        notes.append(f"LEFT OUT: {count(len(empty), 'class folder')} without recordings: {examples(empty)}")
    if outside := [clip for clip, keep in zip(table["clip"], in_class, strict=True) if not keep]:
        notes.append(f"LEFT OUT: {count(len(outside), 'recording')} outside the class folders: {examples(outside)}")
    return (*notes, *(f"LEFT OUT: {line}" for line in describe(found.left_out, LOST)))


def _plain(found: Found) -> list[str]:
    return describe({reason: names for reason, names in found.left_out.items() if reason not in LOST})


def _folders(place: Path) -> list[str]:
    with os.scandir(place) as entries:
        return [entry.name for entry in entries if not is_hidden(entry.name) and os.path.isdir(entry.path)]
