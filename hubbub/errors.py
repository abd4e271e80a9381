"""The root of hubbub's exceptions, and helpers for their messages.

Modules define their own exceptions under `HubbubError`. A message says what was given, what the rule is and what to do
next; the command line prints it without a traceback.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

__all__ = ["HubbubError", "count", "did_you_mean", "examples", "listed"]


class HubbubError(Exception):
    """An error that the user can mend, with a message for the user."""


def count(number: int, what: str, plural: str = "") -> str:
    """`1 clip`, `2 clips`, `1,000 clips`; `plural` is for nouns whose plural does not just add `s`."""
    return f"{number:,} {what if number == 1 else plural or what + 's'}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`Did you mean 'x'?` if a known name is similar, else the list of known names."""
    names = sorted(known)
    near = get_close_matches(name, names, n=3, cutoff=0.6)
    if near:
        return "Did you mean " + " or ".join(f"'{n}'" for n in near) + "?"
    return "Known: " + ", ".join(names) + "."


def examples(items: Iterable[object], most: int = 3) -> str:
    """The first few items, and how many more there are."""
    listed = [str(i) for i in items]
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
