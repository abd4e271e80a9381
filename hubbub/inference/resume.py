"""Answers kept in files, so that a killed command goes on where it was.

Each recording's answer is a file of its own, written whole or not at all: in the folder that was asked for, or beside
the one file that was, until all are there to make it of. `made.json` says what they were made with, `origins` of what.
"""

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hubbub.classifier.base import SAVED_IN
from hubbub.data import manifest
from hubbub.data.origins import Origins
from hubbub.errors import HubbubError, examples
from hubbub.inference.answer import Answer
from hubbub.inference.formats import Format
from hubbub.inference.predict import STDIN
from hubbub.runtime import files, homes

__all__ = ["Kept", "KeptError", "identity", "keeping"]

_LONGEST = 255  # bytes of a name


class KeptError(HubbubError):
    """A place where answers cannot be kept."""


@dataclass
class Kept:
    """Where the answers of some paths are kept; `left` are those that have none yet, or one of another recording;
    `others` are answers in the same folder of recordings that are not among the paths."""

    form: Format
    threshold: float
    files: dict[str, Path]
    left: list[str]
    origins: Origins
    others: list[Path] = field(default_factory=list)
    failed: dict[str, Answer] = field(default_factory=dict)

    def add(self, answer: Answer) -> None:
        """Keep an answer. One that says why there is none is kept in mind only: the next run tries again; an answer of
        what was under this name before goes, that of a recording that is away stays."""
        if answer.heard is None:
            self.failed[answer.file] = answer
            if answer.file == STDIN or os.path.exists(answer.file):
                self.files[answer.file].unlink(missing_ok=True)
        else:
            self.form.save(self.files[answer.file], answer, self.threshold)
            self.origins.note(self.files[answer.file], answer.file)


@contextmanager
def keeping(
    out: Path, form: Format, paths: Sequence[str], given: Sequence[str], threshold: float, facts: dict[str, Any]
) -> Iterator[Kept]:
    """Hold a place for the answers of `paths`, found in the files and folders `given`.

    `out` is one file where it has an ending, else a folder with one file a recording. When the block ends without an
    error, the one file is made. Raises `KeptError`, `MadeError` or `StoreError` where it cannot be.
    """
    out = homes.absolute(out)
    one = bool(out.suffix) and not os.path.isdir(out)
    if one and not form.several and len(paths) > 1:
        raise KeptError(
            f"{out} can hold one recording's answer in this format, and there are {len(paths)}. Give --out a folder."
        )
    place = out.with_name(f"{out.name}.parts") if one else out
    names = [_hash(os.path.abspath(path), 32) for path in paths] if one else _names(paths, given, form.ending)
    there = {path: place / f"{name}{form.ending}" for path, name in zip(paths, names, strict=True)}
    with manifest.making(place, {"kind": "answers", "file": [], **facts}) as origins:
        left = [path for path, file in there.items() if path == STDIN or origins.missing(file, path)]
        kept = Kept(form, threshold, there, left, origins)
        if not one:
            given_now = {*there.values(), place / manifest.MADE}
            answers = sorted(file for file in place.rglob(f"*{form.ending}") if not file.name.startswith("."))
            kept.others = [file for file in answers if file not in given_now]
        yield kept
        if one:
            form.join(out, [kept.failed.get(path) or file for path, file in there.items()])
    if one and not kept.failed:
        files.remove_folder(place, place, manifest.MADE)


def identity(model: str) -> dict[str, str]:
    """What a model is, to tell it from another of the same name: the checksums of its files, where it is files."""
    path = Path(model)
    if path.is_file():
        return {path.name: files.sha256(path)}
    folder = path / SAVED_IN if (path / SAVED_IN).is_dir() else path
    return {file.name: files.sha256(file) for file in sorted(folder.glob("*")) if file.is_file()}


def _names(paths: Sequence[str], given: Sequence[str], ending: str) -> list[str]:
    """A name for each recording's file: its path below the folder that was given, or else its own name."""
    folders = sorted((os.path.abspath(one) for one in given if os.path.isdir(one)), key=len)
    found = []
    for path in paths:
        place = os.path.abspath(path)
        above = next((folder for folder in folders if place.startswith(os.path.join(folder, ""))), None)
        name = "stdin" if path == STDIN else os.path.relpath(place, above) if above else os.path.basename(place)
        found.append(name)
    if twice := [name for name, times in Counter(found).items() if times > 1]:
        raise KeptError(
            f"several recordings are called {examples(sorted(twice))}. Give one folder that holds them all, or "
            "classify them into several."
        )
    alike = Counter(map(_folded, found))
    return [_fitting(name, ending, alone=alike[_folded(name)] == 1) for name in found]


def _folded(name: str) -> str:
    """What some file systems take for the same name."""
    return unicodedata.normalize("NFC", name).casefold()


def _fitting(name: str, ending: str, *, alone: bool) -> str:
    """A name that every file system takes with the ending behind it: as it is, or else shortened, without bytes that
    are no text, and told from others by a hash."""
    *folders, last = (os.fsencode(part).decode("utf-8", "replace") for part in Path(name).parts)
    plain = [*(_cut(folder, _LONGEST) for folder in folders), _cut(last, _LONGEST - len(ending))]
    if alone and str(Path(*plain)) == name:
        return name
    plain[-1] = f"{_cut(last, _LONGEST - len(ending) - 9)}-{_hash(name, 8)}"
    return str(Path(*plain))


def _cut(name: str, most: int) -> str:
    return name.encode()[:most].decode("utf-8", "ignore")


def _hash(name: str, digits: int) -> str:
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:digits]
