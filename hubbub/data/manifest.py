"""Manifests of generated folders: `made.json` records from which clips and with which settings the files were made.

Files are written whole or not at all, so an interrupted run goes on where it stopped; a run with other settings is
refused. The list of the files is written last. This module does not depend on the kind of files.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from hubbub.audio.decode import EXTENSIONS, AudioError
from hubbub.data.clips import Clips, ClipsError
from hubbub.data.datasets import DATASETS
from hubbub.data.origins import Origins
from hubbub.data.variants import VARIANTS
from hubbub.errors import HubbubError, examples
from hubbub.runtime import files, leftovers
from hubbub.runtime.names import safe_name
from hubbub.runtime.processes import cores
from hubbub.runtime.progress import track

__all__ = [
    "MANIFEST",
    "ManifestError",
    "read_beside",
    "file_names",
    "fold_folder",
    "holds_generated_files",
    "in_parallel",
    "generating",
    "manifest_of",
    "sources",
    "with_manifest",
    "write_for_lists",
]

Manifest = dict[str, Any]
T = TypeVar("T")

MANIFEST = "made.json"
_REQUIRED = ("file", "name", "kind", "labels", "licence", "citation", "synthetic", "straddling", "notes")


class ManifestError(HubbubError):
    """The folder holds other files, or files of other settings."""


def manifest_of(clips: Clips, kind: str, file: str, variants: Sequence[str], seed: int) -> Manifest:
    """The manifest of files generated from clips and listed in `file`; the caller adds its settings."""
    listed = clips.table.drop(columns="path").assign(group=sources(clips)).to_csv(index=False)
    return {
        "kind": kind,
        "file": file,
        "name": clips.name,
        "licence": clips.licence,
        "citation": clips.citation,
        "synthetic": clips.synthetic,
        "labels": list(clips.labels),
        "clips": len(clips),
        "listed": clips.listed,
        "missing": len(clips.missing),
        "notes": list(clips.notes),
        "straddling": sorted(clips.straddling),
        "manifest": hashlib.sha256(listed.encode()).hexdigest(),
        "variants": {name: VARIANTS[name].model_dump(mode="json", exclude_none=True) for name in variants},
        "seed": seed,
        "hubbub": metadata.version("hubbub"),
    }


def read_beside(csv: Path) -> Manifest | None:
    """The manifest beside a list; None where there is none, or it is about another list."""
    file = csv.parent / MANIFEST
    if not file.is_file():
        return None
    try:
        facts = dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ClipsError(f"{file} cannot be read ({error}). Make the folder again, or remove it.") from error
    if absent := [name for name in _REQUIRED if name not in facts]:
        raise ClipsError(f"{file} does not say '{absent[0]}'. Make the folder again, or remove it.")
    listed = (facts["labels"], facts["straddling"], facts["notes"])
    if not all(isinstance(names, list) and all(isinstance(name, str) for name in names) for names in listed):
        raise ClipsError(f"{file}: labels, straddling and notes must be lists of texts. Make the folder again.")
    return facts if csv.name in (facts["file"] if isinstance(facts["file"], list) else [facts["file"]]) else None


def holds_generated_files(folder: Path) -> bool:
    """Whether a folder's manifest is about generated files, not only about lists."""
    try:
        return not isinstance(json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["file"], list)
    except FileNotFoundError:
        return False
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return True


def write_for_lists(clips: Clips, folder: Path, names: Sequence[str]) -> None:
    """Write a manifest beside lists of some clips, so that these keep the data set's licence, citation and notes."""
    kind = "pictures" if clips.kind == "images" else "lists"
    facts = {name: getattr(clips, name) for name in ("licence", "citation", "synthetic", "labels", "notes")}
    name = clips.name.removesuffix(f", {kind}")
    facts |= {"file": list(names), "name": name, "kind": kind, "straddling": sorted(clips.straddling)}
    files.write_json(folder / MANIFEST, facts | dict(clips.settings or {}))


def with_manifest(clips: Clips, facts: Manifest | None) -> Clips:
    """Clips with the facts of the data set that they were generated from; unchanged without a manifest."""
    if facts is None:
        return clips
    return replace(
        clips,
        name=f"{facts['name']}, {facts['kind']}",
        licence=facts["licence"],
        citation=facts["citation"],
        synthetic=facts["synthetic"],
        straddling=frozenset(facts["straddling"]),
        fold_source="official" if facts["name"] in DATASETS else clips.fold_source,
        notes=(*facts["notes"], *clips.notes),
    )


@contextmanager
def generating(folder: Path, facts: Manifest) -> Iterator[Origins]:
    """Lock a folder, write its manifest, and yield the `Origins` of its files. Raises `ManifestError` where the folder
    holds other files, or files of other settings."""
    facts = json.loads(json.dumps(facts))
    there = _visible(folder)
    if there and MANIFEST not in there:
        raise ManifestError(f"{folder} holds other files ({examples(there)}). Give an empty or a new folder.")
    with files.lock_folder(folder):
        _refuse_other(folder / MANIFEST, facts)
        leftovers.remove_below(folder)
        files.write_json(folder / MANIFEST, facts)
        yield Origins(folder)


def _visible(folder: Path) -> list[str]:
    """The names in a folder that are not hidden; empty if there is no folder yet."""
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ManifestError(
            f"{str(folder)!r} cannot be a folder of files: {why}. Give an empty or a new folder."
        ) from error


def _refuse_other(file: Path, facts: Manifest) -> None:
    if not file.is_file():
        return
    try:
        differing = list(_differences(json.loads(file.read_text(encoding="utf-8")), facts))
    except (OSError, ValueError, RecursionError) as error:
        raise ManifestError(f"{file} cannot be read ({error}). Give a new folder.") from error
    if differing:
        raise ManifestError(
            f"{file.parent} was made with other settings: {examples(differing)}. Give a new folder, or the settings it "
            "was made with."
        )


def _differences(before: Any, now: Any, where: str = "") -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*before, *now]):
            yield from _differences(before.get(key), now.get(key), f"{where}.{key}" if where else key)
    elif before != now:
        yield f"{where} is {_short(before)} there and {_short(now)} now"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:39] + "…"


def in_parallel(work: Callable[[int], T], clips: Clips, what: str) -> list[T]:
    """`work(row)` for each clip in threads -> the results in the table's order.

    Raises one `ClipsError` at the end for all sounds that cannot be decoded. On two cores threads were about as fast as
    processes, which each take seconds to start.
    """
    import torch

    def guarded(row: int) -> T | AudioError:
        try:
            return work(row)
        except AudioError as error:
            return error

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # one core per worker; and results do not depend on the number of cores
    try:
        with ThreadPoolExecutor(cores()) as pool:
            done = list(track(pool.map(guarded, range(len(clips))), what, len(clips)))
    finally:
        torch.set_num_threads(threads)
    if errors := [one for one in done if isinstance(one, AudioError)]:
        raise ClipsError(
            f"{clips.name}: {len(errors)} of {len(clips)} sounds cannot be used. {examples(errors)} Repair "
            "them (hubbub data check lists all) and run again; without them, start in a new folder."
        )
    return [one for one in done if not isinstance(one, AudioError)]


def file_names(clips: Clips) -> list[str]:
    """A file name without suffix for each clip: `safe_name` of its id, plus a hash where two names differ at most in
    case, which some file systems ignore."""
    ids = list(clips.table["clip"].astype(str))
    plain = [_plain(one) for one in ids]
    seen = pd.Series([name.casefold() for name in plain], dtype=str).duplicated(keep=False)
    return [f"{p}-{_hash(i)}" if twice else p for p, i, twice in zip(plain, ids, seen, strict=True)]


def _plain(clip: str) -> str:
    stem = clip[: -len(Path(clip).suffix)] if Path(clip).suffix.lower() in EXTENSIONS else clip
    # Names that end like a segment number or a hash also get a hash.
    return f"{safe_name(stem)}-{_hash(clip)}" if re.search(r"-s\d+$|-[0-9a-f]{8}$", stem) else safe_name(stem)


def _hash(clip: str) -> str:
    return hashlib.sha256(os.fsencode(clip)).hexdigest()[:8]


def fold_folder(folder: Path, fold: str) -> Path:
    """The folder for the files of a fold: `foldN`, or `folder` itself without folds."""
    if not fold:
        return folder
    place, before = folder / f"fold{safe_name(fold)}", re.sub(r"[^A-Za-z0-9._-]+", "-", f"fold{fold}")
    # Earlier versions kept dots and long names.
    return folder / before if len(before) < 250 and not place.exists() and (folder / before).is_dir() else place


def sources(clips: Clips) -> list[str]:
    """The source of each clip: its group; a group that is a path is made relative to the folder of all sounds."""
    root = os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in clips.table["path"]])
    return [Path(os.path.relpath(g, root)).as_posix() if os.path.isabs(g) else g for g in clips.table["group"]]
