"""The files of a folder of scenes, and what is added to its annotations when they are opened.

`write_scenes` writes such a folder. `events.csv` is an annotation table as any other; `made.json` beside it says the
fold of each folder of scenes, and `sources.csv` the clips that each scene was mixed from.
"""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from hubbub.data import manifest
from hubbub.data.clips import Clips, ClipsError

__all__ = ["EVENTS", "KIND", "README", "SCENES", "SOURCES", "table_in", "with_sources"]

KIND = "scenes"
EVENTS, SCENES, SOURCES, README = "events.csv", "scenes.csv", "sources.csv", "README.md"


def table_in(place: Path) -> Path | None:
    """The annotations of a folder of scenes, which `place` is, or whose table it is; None for all others."""
    table = place / EVENTS if os.path.isdir(place) else place  # a name that is too long is no folder
    if table.name != EVENTS or not os.path.isfile(table.parent / manifest.MANIFEST):
        return None
    facts = manifest.read_beside(table)
    if facts is None or facts["kind"] != KIND:
        return None
    if not table.is_file():
        raise ClipsError(f"{place} holds scenes without {EVENTS}: they are not finished. Run hubbub data scenes again.")
    return table


def with_sources(clips: Clips, table: Path, base: Path) -> Clips:
    """The clips of the scenes below `base` with their folds, the facts of the data set that they were made of, and
    what each was mixed from."""
    facts, file = manifest.read_beside(table) or {}, table.parent / SOURCES
    folds: Mapping[str, str] = facts.get("folds", {})
    try:
        used = pd.read_csv(file, dtype=str, keep_default_na=False)
        mixed: dict[str, dict[tuple[str, str], None]] = {}
        for name, clip, source in zip(used["file"], used["clip"], used["source"], strict=True):
            mixed.setdefault(name, {})[clip, source] = None
    except (OSError, ValueError, KeyError) as error:
        raise ClipsError(f"{file} cannot be read ({error}). Make the scenes again: hubbub data scenes.") from error
    files = [Path(os.path.relpath(path, base)).as_posix() for path in clips.table["path"]]
    lost = sorted({name for name in files if os.path.dirname(name) not in folds or name not in mixed})
    if lost:
        raise ClipsError(f"{table}: {lost[0]} is no scene of this folder. Make the scenes again: hubbub data scenes.")
    rows = clips.table.assign(fold=[folds[os.path.dirname(name)] for name in files])
    of_path = {path: tuple(mixed[name]) for path, name in zip(rows["path"], files, strict=True)}
    return manifest.with_manifest(replace(clips, table=rows, fold_source="given", mixed=of_path), facts)
