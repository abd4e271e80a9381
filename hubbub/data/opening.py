"""The way in to every data set: by a known name, a list, a folder, pictures, features, or a name on a hub.

This room only asks who can read it.
"""

import os
from pathlib import Path

from hubbub.data import hub, made, npz, text_tables
from hubbub.data.clips import Clips, ClipsError, from_csv, from_folder, limit
from hubbub.data.images import lists_pictures, open_pictures
from hubbub.data.sets import DATASETS, open_known
from hubbub.errors import did_you_mean
from hubbub.find_files import near
from hubbub.settings import Data

__all__ = ["open_data", "open_section"]


def open_section(data: Data, name: str = "") -> Clips:
    """What a recipe's `[data]` says -> Clips; `name` in place of its own."""
    return open_data(
        name or data.name, columns=data.columns, root=data.root, labels=data.labels, allow_missing=data.allow_missing,
        most=data.limit,
    )  # fmt: skip


def open_data(
    name: str,
    *,
    columns: dict[str, str] | None = None,
    root: str = "",
    labels: tuple[str, ...] = (),
    allow_missing: bool = False,
    most: int | None = None,
) -> Clips:
    """A known data set's name, a table, features, a hub data set or a folder with one folder a class -> Clips.

    `most` keeps at most that many clips a class and fold. Raises `ClipsError` or `StoreError`.
    """
    if not name:
        raise ClipsError("the data set has no name. Give a known one (hubbub data list), a CSV file or a folder.")
    if name in DATASETS:
        clips = open_known(name, labels, allow_missing=allow_missing)
    elif Path(name).suffix.lower() == ".npz":
        clips = npz.open_features(Path(name), labels=labels)
    elif Path(name).suffix.lower() in text_tables.ENDINGS:
        clips = _open_csv(Path(name), columns, Path(root) if root else None, labels, allow_missing)
    elif hub.is_one(name):
        clips = hub.open(name, labels=labels, allow_missing=allow_missing)
    elif os.path.isdir(name):
        clips = from_folder(Path(name), labels=labels)
    elif os.path.exists(name):
        raise ClipsError(
            f"{name} is no table of clips and no folder of them. Tables end in {', '.join(text_tables.ENDINGS)}: "
            "save it as a CSV with the columns path and label."
        )
    else:
        beside, known = near(name), did_you_mean(name, DATASETS)
        raise ClipsError(
            f"'{name}' is not a data set, a CSV file, a file of features or a folder. "
            f"{beside if beside.startswith('Did you mean') else known}"
        )
    return limit(clips, most) if most else clips


def _open_csv(
    file: Path, columns: dict[str, str] | None, root: Path | None, labels: tuple[str, ...], allow_missing: bool
) -> Clips:
    """A list of sounds or of pictures, with what `made.json` tells where hubbub made them."""
    if lists_pictures(file):
        if columns:
            raise ClipsError(f"{file} lists pictures, whose columns have fixed names. Leave [data.columns] out.")
        return open_pictures(file, root=root, labels=labels, allow_missing=allow_missing)
    facts = made.beside(file)
    labels = labels or (tuple(facts["labels"]) if facts else ())
    return made.told(from_csv(file, columns, root=root, labels=labels, allow_missing=allow_missing), facts)
