"""Reads the files of a run folder. The error for a damaged one says how to get it back."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from hubbub.errors import HubbubError

__all__ = [
    *("DATA_CHECK", "ENVIRONMENT", "FORMAT", "SUMMARY"),
    *("ReportError", "damaged", "read_json", "read_table", "refuse_other_format"),
]

#: The format of a run folder, which its environment names. Runs that name none are of format 1.
FORMAT = 1
ENVIRONMENT, SUMMARY, DATA_CHECK = "environment.json", "summary.json", "data_check.json"
_Content = TypeVar("_Content")


class ReportError(HubbubError):
    """A run folder that is incomplete or damaged."""


def refuse_other_format(folder: Path) -> None:
    """Raises `ReportError` where a run is of a format that this version cannot read. A damaged environment passes:
    whoever reads it says so."""
    try:
        content = dict(json.loads((folder / ENVIRONMENT).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return
    if (found := content.get("format", 1)) != FORMAT:
        raise ReportError(
            f"{folder} is a run of format {str(found)[:80]}, written by hubbub {str(content.get('hubbub', '?'))[:80]}, "
            f"and this version reads format {FORMAT}. Update hubbub: pip install --upgrade hubbub"
        )


def read_json(path: Path, content: type[_Content]) -> _Content:
    """A JSON file's content. Raises `ReportError` where it cannot be read or lacks a key."""
    try:
        return TypeAdapter(content).validate_python(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise damaged(path, f"{where}: {first['msg']}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(path, error) from error


def read_table(path: Path, columns: Sequence[str] = ()) -> pd.DataFrame:
    """The content of a table, CSV or Parquet. Raises `ReportError` where it cannot be read or lacks one of these
    `columns`."""
    try:
        table = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path).reset_index(drop=True)
    except (OSError, ValueError, KeyError) as error:  # pyarrow's errors are ValueErrors, KeyErrors and OSErrors
        raise damaged(path, error) from error
    if missing := [name for name in columns if name not in table.columns]:
        raise damaged(path, f"it has no column {missing[0]}")
    return table


def damaged(path: Path, why: object) -> ReportError:
    """The error that names a file of a run folder, its flaw, and the remedy."""
    reason = (why.strerror if isinstance(why, OSError) else None) or " ".join(str(why).split()).rstrip(".")
    if path.name == SUMMARY:
        remedy = "The hubbub bench that made the run writes it again, from the cells that are done"
    elif path.name == ENVIRONMENT:
        remedy = "It records what the run was made from: put a copy of it there, or run it again under another --name"
    elif path.name == DATA_CHECK:
        remedy = "Only the page shows it: remove it to go on without it"
    elif path.parent.name.startswith("seed-"):
        remedy = f"Remove {path.parent}, and the hubbub bench that made the run makes this cell again"
    else:
        remedy = f"Remove {path.parent}, and the hubbub bench that made the run writes it again"
    return ReportError(f"{path} is damaged or missing ({reason}). {remedy}.")
