"""Read CSV tables as text: commas, semicolons, tabs or bars; UTF-8 or UTF-16; blank rows anywhere.

Every cell stays text: `NA` is a name, not a missing value.
"""

import csv
import io
import os
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections import Counter
from pathlib import Path

import pandas as pd

from hubbub.data.values import ClipsError, clean

__all__ = ["ENDINGS", "lines", "read"]

#: File endings that are read as tables.
ENDINGS = (".csv", ".tsv", ".tab", ".txt")
_SEPARATORS = ",;\t|"
#: The first bytes of Excel's files, and of zip and gzip archives.
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"\x1f\x8b")
_ENCODINGS = {BOM_UTF8: "utf-8-sig", BOM_UTF16_LE: "utf-16", BOM_UTF16_BE: "utf-16"}


def read(file: Path) -> pd.DataFrame:
    """A table's cells as text, one column per name in the header; the index `row` counts rows as a spreadsheet does.

    Blank rows and unnamed columns are left out; missing cells at a row's end are empty. Raises `ClipsError` where it is
    no table.
    """
    content = _content(file)
    try:
        rows = list(csv.reader(io.StringIO(content, newline=""), delimiter=_separator(content), strict=True))
    except csv.Error as error:
        raise _unreadable(file, f"{error}: look for a quotation mark that is not closed") from error
    numbered = [(number, row) for number, row in enumerate(rows, 1) if any(clean(cell) for cell in row)]
    if numbered and numbered[0][1][0].startswith("sep="):  # Excel writes it above the header
        del numbered[0]
    if not numbered:
        raise _unreadable(file, "it is empty")
    header = [clean(name) for name in numbered[0][1]]
    if twice := [name for name, count in Counter(header).items() if name and count > 1]:
        raise ClipsError(f"{file} has two columns called '{twice[0]}'. Rename one of them.")
    for number, row in numbered[1:]:
        if any(map(clean, row[len(header) :])):
            raise _unreadable(
                file, f"row {number} has {len(row)} cells and row {numbered[0][0]} has {len(header)}: remove lines "
                "above the header, and quote cells that hold a separator"
            )  # fmt: skip
    cells = [row[: len(header)] + [""] * (len(header) - len(row)) for _, row in numbered[1:]]
    table = pd.DataFrame(cells, columns=header, index=[number for number, _ in numbered[1:]], dtype=object)
    return table.loc[:, [name != "" for name in header]].rename_axis(index="row")


def lines(file: Path) -> list[tuple[int, str]]:
    """The lines of a text that are not blank, with their numbers. Raises `ClipsError` where it is no text."""
    return [(number, line) for number, line in enumerate(_content(file).splitlines(), 1) if clean(line)]


def _content(file: Path) -> str:
    if not os.path.isfile(file):
        raise ClipsError(f"{file} is not there, or is a pipe or device. Name a table.")
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise _unreadable(file, error.strerror or str(error)) from error
    if raw.startswith(_WORKBOOKS):
        raise _unreadable(file, "it is a spreadsheet or an archive: open it and save it as CSV in UTF-8")
    encoding = next((name for mark, name in _ENCODINGS.items() if raw.startswith(mark)), "utf-8")
    try:
        content = raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise _unreadable(
            file, f"byte {error.start:,} is no {encoding} text: save it as CSV in UTF-8 (Excel: CSV UTF-8)"
        ) from error
    if "\0" in content:
        raise _unreadable(file, "it holds NUL characters: save it as CSV in UTF-8")
    return content


def _separator(content: str) -> str:
    """The separator: the most frequent one in the first row outside quotation marks; a comma if there is none."""
    first = next((line for line in content.splitlines() if clean(line)), "")
    if first.startswith("sep=") and first[4:5] in tuple(_SEPARATORS):
        return first[4]
    unquoted = "".join(first.split('"')[::2])
    return max(_SEPARATORS, key=unquoted.count)


def _unreadable(file: Path, why: str) -> ClipsError:
    return ClipsError(f"{file} cannot be read as a CSV: {why.rstrip('.')}. Its first row names the columns, each row "
                      "after it is one clip.")  # fmt: skip
