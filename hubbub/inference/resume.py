"""Results saved file by file, so that a command that was killed continues where it stopped.

Each recording's result is a file of its own, written whole or not at all: in the folder that was asked for, or beside
the one file that was, until all are there to join. `made.json` says how they were made, `origins` from which
recordings.
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

from hubbub.audio.find_files import STDIN
from hubbub.classifier.base import SAVED_IN
from hubbub.data import manifest
from hubbub.data.origins import Origins
from hubbub.errors import HubbubError, examples
from hubbub.inference.formats import Format
from hubbub.inference.result import FileResult
from hubbub.runtime import files, homes, shipped

__all__ = ["ResultFiles", "ResumeError", "model_checksums", "open_results"]

_LONGEST = 255  # bytes of a name


class ResumeError(HubbubError):
    """Results cannot be saved at this place."""


@dataclass
class ResultFiles:
    """Where the results of some paths are saved. `missing` are the paths without one, or whose recording changed;
    `unrelated` are results in the same folder of recordings that are not among the paths."""

    form: Format
    threshold: float
    files: dict[str, Path]
    missing: list[str]
    origins: Origins
    unrelated: list[Path] = field(default_factory=list)
    failed: dict[str, FileResult] = field(default_factory=dict)

    def add(self, result: FileResult) -> None:
        """Save a result. An error is only noted, so that the next run tries again; an earlier result is then removed,
        unless its recording is gone."""
        if result.prediction is None:
            self.failed[result.file] = result
            if result.file == STDIN or os.path.exists(result.file):
                self.files[result.file].unlink(missing_ok=True)
        else:
            self.form.save(self.files[result.file], result, self.threshold)
            self.origins.record(self.files[result.file], result.file)


@contextmanager
def open_results(
    out: Path, form: Format, paths: Sequence[str], arguments: Sequence[str], threshold: float, facts: dict[str, Any]
) -> Iterator[ResultFiles]:
    """Lock a place for the results of `paths`, which were found in the files and folders `arguments`.

    `out` is one file where it has an ending, else a folder with one file a recording. The one file is written when the
    block ends without an error. Raises `ResumeError`, `ManifestError` or `StoreError` where it cannot be.
    """
    out = homes.absolute(out)
    one = bool(out.suffix) and not os.path.isdir(out)
    if one and not form.several and len(paths) > 1:
        raise ResumeError(
            f"{out} can hold one recording's result in this format, and there are {len(paths)}. Give --out a folder."
        )
    place = out.with_name(f"{out.name}.parts") if one else out
    names = [_hash(os.path.abspath(path), 32) for path in paths] if one else _names(paths, arguments, form.ending)
    result_files = {path: place / f"{name}{form.ending}" for path, name in zip(paths, names, strict=True)}
    with manifest.generating(place, {"kind": "answers", "file": [], **facts}) as origins:
        missing = [path for path, file in result_files.items() if path == STDIN or origins.must_write(file, path)]
        results = ResultFiles(form, threshold, result_files, missing, origins)
        if not one:
            related = {*result_files.values(), place / manifest.MANIFEST}
            found = sorted(file for file in place.rglob(f"*{form.ending}") if not file.name.startswith("."))
            results.unrelated = [file for file in found if file not in related]
        yield results
        if one:
            form.join(out, [results.failed.get(path) or file for path, file in result_files.items()])
    if one and not results.failed:
        files.remove_folder(place, place, manifest.MANIFEST)


def model_checksums(model: str) -> dict[str, str]:
    """The checksums of a model's files, which tell it from another of the same name; empty for `yamnet`."""
    path = shipped.FOLDER if model == shipped.SMALL else Path(model)
    if path.is_file():
        return {path.name: files.sha256(path)}
    folder = path / SAVED_IN if (path / SAVED_IN).is_dir() else path
    return {file.name: files.sha256(file) for file in sorted(folder.glob("*")) if file.is_file()}


def _names(paths: Sequence[str], arguments: Sequence[str], ending: str) -> list[str]:
    """A name for each recording's file: its path below the folder among `arguments`, or else its own name."""
    folders = sorted((os.path.abspath(one) for one in arguments if os.path.isdir(one)), key=len)
    found = []
    for path in paths:
        place = os.path.abspath(path)
        above = next((folder for folder in folders if place.startswith(os.path.join(folder, ""))), None)
        name = "stdin" if path == STDIN else os.path.relpath(place, above) if above else os.path.basename(place)
        found.append(name)
    if twice := [name for name, times in Counter(found).items() if times > 1]:
        raise ResumeError(
            f"several recordings are called {examples(sorted(twice))}. Give one folder that holds them all, or "
            "classify them into several."
        )
    same = Counter(map(_case_folded, found))
    return [_valid_name(name, ending, unique=same[_case_folded(name)] == 1) for name in found]


def _case_folded(name: str) -> str:
    """Equal for names that some file systems treat as the same."""
    return unicodedata.normalize("NFC", name).casefold()


def _valid_name(name: str, ending: str, *, unique: bool) -> str:
    """A name that every file system takes with the ending behind it: as it is, or else shortened, without bytes that
    are not text, and with a hash to be unique."""
    *folders, last = (os.fsencode(part).decode("utf-8", "replace") for part in Path(name).parts)
    plain = [*(_cut(folder, _LONGEST) for folder in folders), _cut(last, _LONGEST - len(ending))]
    if unique and str(Path(*plain)) == name:
        return name
    plain[-1] = f"{_cut(last, _LONGEST - len(ending) - 9)}-{_hash(name, 8)}"
    return str(Path(*plain))


def _cut(name: str, most: int) -> str:
    return name.encode()[:most].decode("utf-8", "ignore")


def _hash(name: str, digits: int) -> str:
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:digits]
