"""Time stamps in names of files, as phones, recorders and people write them: `20230514_101500`, `2024-05-14T10:15:00`.

`DATE` and `DAY_FIRST` are patterns with a place (`{0}`) for the first letter of their groups' names, `STAMP` is that of
a date with a time of day, whose match `time_of` reads.
"""

import re
from datetime import datetime, timedelta

__all__ = ["DATE", "DAY_FIRST", "STAMP", "time_of"]

DATE = r"(?P<{0}y>(?:19|20)\d\d)[-_.]?(?P<{0}mo>0[1-9]|1[0-2])[-_.]?(?P<{0}d>0[1-9]|[12]\d|3[01])"
DAY_FIRST = r"(?P<{0}d>0[1-9]|[12]\d|3[01])[-_.](?P<{0}mo>0[1-9]|1[0-2])[-_.](?P<{0}y>(?:19|20)\d\d)"
_SHORT = r"(?P<{0}y>\d\d)(?P<{0}mo>0[1-9]|1[0-2])(?P<{0}d>0[1-9]|[12]\d|3[01])"
_H, _M = r"(?:[01]\d|2[0-3])", r"[0-5]\d"
#: The time of day, as six digits and a fraction or with separators; hours and minutes alone need a separator.
_CLOCK = (
    rf"(?:(?P<{{0}}c>{_H}{_M}{_M})\d{{{{0,6}}}}|(?P<{{0}}h>{_H})[-_.:h ](?P<{{0}}mi>{_M})"
    rf"(?:[-_.:m ](?P<{{0}}s>{_M}))?)(?!\d)(?:[ _]?(?P<{{0}}half>[AP]M)\b)?"
)
_BETWEEN = r"(?:[-_. T]|[-_. ]+[A-Za-z]{{1,3}}[-_. ]+|, | )?"
STAMP = "|".join(
    (
        (DATE + _BETWEEN + _CLOCK).format("a"),
        (DAY_FIRST + r"[-_. ,]+" + _CLOCK).format("b"),
        (_SHORT + r"[-_T]" + _CLOCK).format("c"),
    )
)
_PARTS = {"y", "mo", "d", "c", "h", "mi", "s", "half"}


def time_of(match: re.Match[str]) -> datetime | None:
    """The time that a match of `STAMP` gives; None for a day that no month has."""
    at = {name[1:]: text for name, text in match.groupdict().items() if text and name[1:] in _PARTS}
    clock = at.get("c") or at["h"] + at["mi"] + at.get("s", "00")
    year = at["y"] if len(at["y"]) == 4 else "20" + at["y"]
    try:
        found = datetime.strptime(year + at["mo"] + at["d"] + clock, "%Y%m%d%H%M%S")
    except ValueError:  # 31 February
        return None
    half = at.get("half", "")
    if half == "PM" and found.hour < 12:
        found += timedelta(hours=12)
    elif half == "AM" and found.hour == 12:
        found -= timedelta(hours=12)
    return found
