"""The root of hubbub's exceptions, and how a message names what was probably meant.

Each room defines its own exceptions under `HubbubError`. A message says what was given, what the rule is and
what to do next; the command line prints it without a traceback.
"""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["HubbubError", "count", "did_you_mean", "examples"]


class HubbubError(Exception):
    """Anything hubbub refuses, with a message meant for the person who asked."""


def count(number: int, what: str, plural: str = "") -> str:
    """`1 clip`, `2 clips`, `1,000 clips`; `plural` is for other plurals than that of `s`."""
    return f"{number:,} {what if number == 1 else plural or what + 's'}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`Did you mean 'x'?` when a known name is near, else the list of known names."""
    names = sorted(known)
    near = get_close_matches(name, names, n=3, cutoff=0.6)
    if near:
        return "Did you mean " + " or ".join(f"'{n}'" for n in near) + "?"
    return "Known: " + ", ".join(names) + "."


def examples(items: Iterable[object], most: int = 3) -> str:
    """The first few items in words, and how many more there are."""
    listed = [str(i) for i in items]
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more
