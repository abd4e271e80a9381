"""Escapes text from data that people read: on a terminal, on a page, in a plot, in a spreadsheet.

A label or a file name may hold anything: terminal codes, marks that reverse the direction of text, the start of a
spreadsheet formula (https://owasp.org/www-community/attacks/CSV_Injection). Here they become visible text. Files for
programs (JSON, parquet, lists that hubbub reads again) keep them as they are.
"""

import re
import unicodedata
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import pandas

__all__ = ["escape_cell", "escape_control", "escape_markdown", "escape_table", "single_line"]

#: Control characters except tab and line ends, surrogates, direction marks and characters without width.
_INVISIBLE = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff\ud800-\udfff]"
)
_LINE_ENDS = re.compile(r"[\t\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")
_FORMULA = frozenset("=+-@")
Value = TypeVar("Value")


def escape_control(text: str) -> str:
    """A text with invisible characters as Python escapes, e.g. `\\x1b`."""
    return _INVISIBLE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def single_line(text: str) -> str:
    """A text with a blank in place of tabs and line ends, which separate the fields of lists and tables."""
    return _LINE_ENDS.sub(" ", text)


def escape_markdown(text: str) -> str:
    """A text on one line of Markdown, or in a cell of a table there: no markup of HTML, no end of the cell."""
    return escape_control(single_line(text)).replace("|", r"\|").replace("<", "&lt;")


def escape_cell(text: str) -> str:
    """A text for a spreadsheet cell: with an apostrophe in front if a spreadsheet would read it as a formula."""
    return f"'{escape_control(text)}" if _is_formula(text) else escape_control(text)


def escape_table(table: "pandas.DataFrame") -> "pandas.DataFrame":
    """A table with `escape_cell` applied to the texts in its cells and heads; numbers stay numbers."""
    return table.map(_cell_of).rename(columns=_cell_of)


def _cell_of(value: Value) -> Value | str:
    return escape_cell(value) if isinstance(value, str) else value


def _is_formula(text: str) -> bool:
    """Whether a text begins with a formula's sign (after blanks and invisible characters, of any width), or with a tab
    or line end, which some spreadsheets drop. A dash alone stands for an empty cell."""
    rest = re.sub(r"\s+", "", _INVISIBLE.sub("", text))
    if not rest or rest == "-":
        return False
    return text[0] in "\t\r\n" or unicodedata.normalize("NFKC", rest[0]) in _FORMULA
