"""Open data sets in the Hugging Face hub's formats: downloaded ones, saved folders, and those that hubbub builds.

A row holds a sound as the bytes of its file (column `audio`, as in `danavery/urbansound8K`) or its spectrogram (column
`mel_spectrogram`, `[bands][frames]`, as in `EthanGLEdwards/urbansounds_melspectrograms` and from `hub.build`). The
order of rows is never used as a signal. `hub.transfer` downloads.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError

from hubbub.config import sections
from hubbub.data import grouping, values
from hubbub.data.clips import Clips, ClipsError, build
from hubbub.data.datasets import DATASETS, check_names, check_published
from hubbub.data.hub.label_lists import class_names, list_column, sets_of
from hubbub.data.hub.tables import AUDIO, MEL, rows_of, schema_of, splits_of, tables, unpack
from hubbub.data.layouts import LISTS, URBANSOUND8K_NAME
from hubbub.data.multilabel_lists import SINGLE, SetRule, classes_in, with_sets
from hubbub.runtime import homes
from hubbub.runtime.hub import NAME, SOURCE

__all__ = [
    "CARD",
    "FACTS",
    "Facts",
    "SpectrogramSettings",
    "find_folder",
    "read_facts",
    "is_hub_name",
    "open_hub",
    "folder_name",
]

#: Files beside the tables: the data card, and the facts from `hub.build`.
CARD, FACTS = "README.md", "hubbub.json"
_LABELS = ("class", "label", "category")


class SpectrogramSettings(sections.Section):
    """The recipe sections that spectrograms were computed with."""

    audio: sections.AudioSettings
    windows: sections.Windows
    frontend: sections.FrontEnd


class Facts(BaseModel):
    """`hubbub.json`: the facts and caveats of a data set that hubbub built, as in `Clips`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    made_from: str
    licence: str
    citation: str
    synthetic: bool
    labels: tuple[str, ...]
    listed: int
    missing: tuple[str, ...]
    straddling: tuple[str, ...]
    notes: tuple[str, ...]
    made: SpectrogramSettings


def is_hub_name(name: str) -> bool:
    """Whether a name means a hub data set: a folder with its files, or OWNER/NAME if there is no such path."""
    return bool(tables(Path(name))) if os.path.isdir(name) else not os.path.exists(name) and bool(NAME.fullmatch(name))


def open_hub(
    name: str,
    *,
    labels: tuple[str, ...] = (),
    allow_missing: bool = False,
    group: str = "",
    sets: SetRule = SINGLE,
) -> Clips:
    """OWNER/NAME in a data home, or a folder of parquet or arrow files -> Clips of kind "sound" or "spectrograms".

    Labels are the column `class`, `label` or `category`; folds `fold`, else the names of the splits; groups as `group`
    asks, else a column that names sources, else a guess by the names (`grouping.assign`). Rows without a sound or
    spectrogram count as missing. Lists of labels, and cells with several, are read as `sets` says. Raises `ClipsError`.
    """
    folder = Path(name) if Path(name).is_dir() else find_folder(name)
    name = folder.absolute().name if folder == Path(name) else name
    found = tables(folder)
    if not found:
        raise ClipsError(f"{folder} holds no parquet or arrow files. Give a folder that datasets or hubbub saved.")
    schema = schema_of(found)
    column = AUDIO if AUDIO in schema.names else MEL
    if column not in schema.names:
        raise ClipsError(
            f"{name} has no column '{AUDIO}' or '{MEL}'. It has {', '.join(schema.names)}. Choose a data set of sounds."
        )
    listing = list_column(schema)
    rows, splits = rows_of(found, schema, (listing,) if listing and sets.asked else ()), splits_of(found)
    if not splits:
        raise ClipsError(f"{name} has no rows. Fetch or save it again.")
    table, label = _table(name, rows, schema, splits, listing if sets.asked else "")
    facts = _facts(name, folder, rows, allow_missing)
    unpacked, listed = unpack(name, found, column, rows)
    table["path"] = [str(unpacked / file) if file else "" for _, file in listed]
    if "clip" not in table:
        table["clip"] = [stem for stem, _ in listed]
    known_column = "fsID" if set(LISTS["urbansound8k"][1]) <= set(rows) else "group"
    is_numbered = any(class_names(schema, column) for column in _LABELS)
    known = facts.pop("labels", ())
    if sets.asked or not label:
        held = sets_of(name, rows, table, label, class_names(schema, label), labels or known, sets)
        table, unlabelled = with_sets(table.loc[held.table.index], held), held.notes
        known = held.classes
    else:
        table, unlabelled = values.without_unlabelled(table, always=is_numbered)
    rows = rows.loc[table.index]
    ids, own = list(table["clip"]), values.text(rows[known_column]) if known_column in rows else [""] * len(rows)
    others = rows.drop(columns=[c for c in ("group", "fold", "clip", "split_hint", label) if c in rows])
    sources = grouping.assign(ids, list(table["label"]), own, others, group)
    table["group"] = [one or clip for one, clip in zip(sources.groups, ids, strict=True)]
    facts["notes"] = (*facts.get("notes", ()), *sources.notes_on(sources.groups), *unlabelled)
    facts["group_source"] = sources.source
    facts["kind"] = "sound" if column == AUDIO else "spectrograms"
    return build(name, table, labels=labels or known, allow_missing=allow_missing, where=str(folder), **facts)


def folder_name(name: str) -> str:
    """OWNER/NAME -> its folder below `data` in a data home."""
    if not NAME.fullmatch(name):
        raise ClipsError(f"'{name}' is not a name on the hub. Write OWNER/NAME, for example danavery/urbansound8K.")
    return f"hub/{name.replace('/', '--')}"


def find_folder(name: str) -> Path:
    """The folder of OWNER/NAME in a data home; only `hubbub data hub get` downloads it. Raises `ClipsError`."""
    found = homes.find("data", folder_name(name))
    if found is None:
        raise ClipsError(
            f"{name} is neither a folder nor in one of the data homes {', '.join(map(str, homes.homes()))}. "
            f"Fetch it from the Hugging Face hub: hubbub data hub get {name}"
        )
    return found


def read_facts(folder: Path) -> Facts:
    """The folder's `hubbub.json`. Raises `ClipsError` where it is missing or invalid."""
    try:
        return Facts.model_validate_json((folder / FACTS).read_bytes())
    except OSError as error:
        raise ClipsError(f"{folder} has no {FACTS}. Make such a folder: hubbub data hub build RECIPE FOLDER") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "content"
        raise ClipsError(
            f"{folder / FACTS} is not as this version of hubbub writes it ({where}: {first['msg']}). "
            "Build the data set again, or update hubbub."
        ) from error


def _table(
    name: str, rows: pd.DataFrame, schema: pa.Schema, splits: list[str], listing: str
) -> tuple[pd.DataFrame, str]:
    """The clip table's columns, from those of the rows, and the column of labels: `listing` holds lists of them; "" for
    one column a class."""
    label = listing or next((column for column in _LABELS if column in rows), "")
    if not label and not classes_in(rows, {}):
        if several := list_column(schema):
            raise ClipsError(f"{name}: the column '{several}' holds several labels a clip. Read them by --multilabel.")
        raise ClipsError(
            f"{name} has none of the columns {', '.join(_LABELS)}, so the classes are unknown. "
            f"It has {', '.join(schema.names)}. Rename the column of classes."
        )
    names = class_names(schema, label) if label else []
    given = _label_names(name, rows[label], names) if label and not listing else pd.Series("", index=rows.index)
    table = pd.DataFrame({"label": given})
    for column in ("fold", "clip", "split_hint"):
        if column in rows:
            table[column] = values.text(rows[column])
    if "fold" not in table and len(set(splits)) > 1:
        table["fold"] = splits
    return table, label


def _label_names(name: str, column: pd.Series, names: list[str]) -> pd.Series:
    """Class numbers as names, if there are names; missing values are empty, and -1 stays, as it is no label."""
    if not names:
        return pd.Series(values.text(column), index=column.index, dtype=str)
    odd = sorted({value for value in column.dropna() if not (isinstance(value, int) and -1 <= value < len(names))})
    if odd:
        raise ClipsError(f"{name}: the label {odd[0]} is none of its {len(names)} classes. Fetch or save it again.")
    return column.map(lambda value: "" if pd.isna(value) else names[value] if value >= 0 else values.UNLABELLED)


def _facts(name: str, folder: Path, rows: pd.DataFrame, allow_missing: bool) -> dict[str, Any]:
    """The facts about the data set: from `hubbub.json`, UrbanSound8K's, or from its card."""
    if (folder / FACTS).is_file():
        facts = read_facts(folder)
        given = facts.model_dump(exclude={"made_from", "made"})
        return {**given, "straddling": frozenset(facts.straddling), "settings": facts.made.model_dump(mode="json")}
    where = ""
    if (folder / SOURCE).is_file():
        try:
            source = json.loads((folder / SOURCE).read_text(encoding="utf-8"))
            where = f"{source['url']}, revision {source['revision']}"
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise ClipsError(
                f"{folder / SOURCE} does not say where the data are from ({error!r}). Fetch the data set again."
            ) from error
    if set(LISTS["urbansound8k"][1]) <= set(rows):
        return _urbansound8k(name, where, rows, allow_missing)
    card = (folder / CARD).read_text(encoding="utf-8", errors="replace") if (folder / CARD).is_file() else ""
    header = card.split("\n---", 1)[0] if card.startswith("---") else ""
    licence = re.search(r"^license:\s*(?:\n\s*-\s*)?([^\n#]+)", header, re.MULTILINE)
    return {"licence": licence.group(1).strip("'\" ") if licence else "not stated", "citation": where or "not stated"}


def _urbansound8k(name: str, where: str, rows: pd.DataFrame, allow_missing: bool) -> dict[str, Any]:
    """UrbanSound8K's licence, citation and straddling recordings; its rows are checked like its own list."""
    known = DATASETS["urbansound8k"]
    advice = "Fetch the data set again; if it is not UrbanSound8K, rename its columns."
    check_names(name, rows, "slice_file_name", URBANSOUND8K_NAME, advice)
    notes = check_published(known, name, rows, where or "it", allow_missing=allow_missing)
    citation = f"{known.citation}; {where}" if where else known.citation
    return {"licence": known.licence, "citation": citation, "straddling": known.straddling, "notes": notes}
