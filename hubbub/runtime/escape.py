"""Names that come from data, as people are shown them: on a terminal, on a page, in a picture, in a spreadsheet.

A label or a file's name may hold anything: codes that move a terminal's cursor, marks that turn the direction of
writing, the beginning of a spreadsheet's formula (https://owasp.org/www-community/attacks/CSV_Injection). Here they
become text. What programs read (JSON, parquet, lists that hubbub reads again) keeps them as they are.
"""

import re
import unicodedata
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import pandas

__all__ = ["cell", "for_people", "one_line", "spelt_out"]

#: Control characters but tab and line ends, halves of characters, what turns the direction of writing or has no width.
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff\ud800-\udfff]"
)
_ENDS = re.compile(r"[\t\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")
_FORMULA = frozenset("=+-@")
Value = TypeVar("Value")


def spelt_out(text: str) -> str:
    """A text whose unseen characters are written as Python writes them, e.g. `\\x1b`."""
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def one_line(name: str) -> str:
    """A name without tabs and line ends, which lists and tables are made of."""
    return _ENDS.sub(" ", name)


def cell(text: str) -> str:
    """A text as a spreadsheet's cell: behind an apostrophe where it would be taken for a formula."""
    return f"'{spelt_out(text)}" if _is_formula(text) else spelt_out(text)


def for_people(table: "pandas.DataFrame") -> "pandas.DataFrame":
    """A table whose texts, in cells and heads, are `cell`s; its numbers stay numbers."""
    return table.map(_cell_of).rename(columns=_cell_of)


def _cell_of(value: Value) -> Value | str:
    return cell(value) if isinstance(value, str) else value


def _is_formula(text: str) -> bool:
    """Whether it begins, after blanks and what is not seen, with a sign that begins formulas, of any width; or with a
    tab or a line end, which some spreadsheets drop. A dash alone, which says that there is nothing, is none."""
    rest = re.sub(r"\s+", "", _UNSEEN.sub("", text))
    if not rest or rest == "-":
        return False
    return text[0] in "\t\r\n" or unicodedata.normalize("NFKC", rest[0]) in _FORMULA
