"""When a recording began, by its metadata or its file's name.

Metadata are chunks of WAV files: GUANO (https://guano-md.org), the comment that AudioMoth recorders write
(https://github.com/OpenAcousticDevices/AudioMoth-Firmware-Basic), and BWF's `bext` (EBU Tech 3285). The time at which a
file was last changed is never used: copying a file changes it. Only headers are read.
"""

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice
from typing import BinaryIO

from hubbub.audio import framing
from hubbub.audio.byte_reader import ByteReader
from hubbub.audio.records import Order
from hubbub.audio.time_stamps import STAMP, time_of

__all__ = ["Recorded", "when_recorded"]

#: What is trusted, first to last.
_SOURCES = {"GUANO": "GUANO metadata", "AudioMoth": "AudioMoth comment", "BWF": "BWF metadata", "name": "file name"}
#: How far [s] two sources may differ: names often give no seconds.
TOLERANCE_S = 60
#: A clock that was never set begins at 1904 or 1970; later years keep sums of times valid.
_YEARS = range(1971, 2101)
#: The years of names that may also be other numbers: hexadecimal ones, and dates of six digits.
_SURE_YEARS = range(2017, 2036)
_EAST, _WEST = timedelta(hours=14), timedelta(hours=-12)
_QUARTER = timedelta(minutes=15)
_MOST_CHUNKS, _MOST_BYTES = 500, 2**16
_ALL_ONES = 2**32 - 1
_BEXT_DATE, _BEXT_BYTES = 320, 18
_GUANO = re.compile(
    r"^[ \t]*Timestamp[ \t]*:[ \t]*([0-9-]{8,10}[T ][0-9:.,Z+-]{4,30}?)[\s\0]*$", re.MULTILINE | re.ASCII
)
#: Firmware 1.0 writes no zone; its clock is UTC.
_AUDIOMOTH = re.compile(
    r"Recorded at (\d\d:\d\d:\d\d(?:\.\d{1,6})?) (\d\d)/(\d\d)/(\d{4}) "
    r"(?:by AudioMoth|\(UTC(?:(?P<sign>[+-])(?P<h>\d{1,2})(?::(?P<m>[ \d]\d))?)?\))",
    re.ASCII,
)
_BEXT = re.compile(r"(\d{4})[-_:. ](\d\d)[-_:. ](\d\d)(\d\d)[-_:. ](\d\d)[-_:. ](\d\d)", re.ASCII)
_NAME = re.compile(
    rf"(?<!\d)(?:{STAMP})(?:[.,]\d{{1,6}})?"
    r"(?:(?P<zulu>Z(?![A-Za-z]))|(?P<sign>[+-])(?P<h>\d\d)(?:[:_-]?(?P<m>\d\d))?(?!\d))?",
    re.ASCII,
)
_HEXADECIMAL = re.compile(r"(?=[0-9]*[A-F])([0-9A-F]{8})\.(?i:wav)", re.ASCII)


@dataclass(frozen=True)
class Recorded:
    """When a recording began: the time of day at its place, and how far that is from UTC (None: not known).

    `source` is `GUANO`, `AudioMoth`, `BWF` or `name`. `warning` is a sentence where another source contradicts it.
    """

    at: datetime
    offset: timedelta | None
    source: str
    warning: str = ""

    def clock(self, seconds: float = 0.0) -> str:
        """The time `seconds` after the beginning, in ISO 8601: `2024-05-14T10:15:00.000+02:00`, without a zone where it
        is not known."""
        zone = None if self.offset is None else timezone(self.offset)
        return (self.at + timedelta(seconds=seconds)).replace(tzinfo=zone).isoformat(timespec="milliseconds")

    def contradicts(self, other: "Recorded") -> bool:
        """Whether the two differ by more than a minute. Where one has no zone, its time may be local or UTC."""
        gaps = {self.at - other.at}
        if self.offset is not None and other.offset is not None:
            gaps = {(self.at - self.offset) - (other.at - other.offset)}
        elif self.offset is not None:
            gaps.add(self.at - self.offset - other.at)
        elif other.offset is not None:
            gaps.add(other.at - other.offset - self.at)
        return all(abs(gap.total_seconds()) > TOLERANCE_S for gap in gaps)


def when_recorded(path: str, stream: BinaryIO | None = None) -> Recorded | None:
    """When the recording in a file, or in a stream with this name, began; None where nothing says so.

    GUANO is trusted most, then AudioMoth's comment, BWF and the name; where another source contradicts the one that is
    used, `warning` says so. A zone that only another source gives is used if their times of day agree. Leaves a
    stream's position anywhere.
    """
    with ExitStack() as stack:
        found: list[Recorded] = []
        try:
            if stream is None and os.path.isfile(path):  # a pipe would lose what is read
                stream = stack.enter_context(open(path, "rb"))
            if stream:
                found = list(_in_metadata(ByteReader(stream, stream.seek(0, os.SEEK_END))))
        except (OSError, ValueError):  # a NUL in the path; the name is left
            pass
    found.sort(key=lambda one: list(_SOURCES).index(one.source))
    found += _in_name(os.path.basename(path))
    if not found:
        return None
    first, *others = found
    if wrong := next((one for one in others if first.contradicts(one)), None):
        return replace(
            first,
            warning=f"Its {_SOURCES[first.source]} and its {_SOURCES[wrong.source]} disagree about when it was "
            f"recorded ({_shown(first)} and {_shown(wrong)}). The first is used.",
        )
    agree = (one.offset for one in others if abs((one.at - first.at).total_seconds()) <= TOLERANCE_S)
    zone = next((offset for offset in agree if offset is not None), None)
    return replace(first, offset=zone) if first.offset is None else first


def _shown(one: Recorded) -> str:
    return (one.at if one.offset is None else one.at.replace(tzinfo=timezone(one.offset))).isoformat(" ", "seconds")


def _recorded(at: datetime, offset: timedelta | None, source: str) -> Iterator[Recorded]:
    """The time, where year and zone are possible."""
    if at.year in _YEARS and (offset is None or _WEST <= offset <= _EAST):
        yield Recorded(at, offset, source)


# Metadata


def _in_metadata(data: ByteReader) -> Iterator[Recorded]:
    for name, at, size in islice(_wav_chunks(data), _MOST_CHUNKS):
        if name == b"guan":
            yield from _guano(data.at(at, min(size, _MOST_BYTES)))
        elif name == b"LIST" and data.at(at, 4) == b"INFO":
            yield from _audiomoth(data.at(at + 4, min(size - 4, _MOST_BYTES)))
        elif name == b"bext" and size >= _BEXT_DATE + _BEXT_BYTES:
            yield from _bext(data.at(at + _BEXT_DATE, _BEXT_BYTES))


def _wav_chunks(data: ByteReader) -> Iterator[tuple[bytes, int, int]]:
    """Name, offset and size of the chunks of a WAV file, RF64 and BW64 among them; none for other files."""
    head = data.at(0, 12)
    if head[:4] not in (b"RIFF", b"RIFX", b"RF64", b"BW64") or head[8:] != b"WAVE":
        return
    order: Order = "big" if head[:4] == b"RIFX" else "little"
    large = 0
    for name, at, size in framing.chunks(data, 12, order):
        if name == b"ds64":
            large = int.from_bytes(data.at(at + 8, 8), order)
        if name == b"data" and size == _ALL_ONES and large:
            yield from framing.chunks(data, at + large + large % 2, order)
            return
        yield name, at, size


def _guano(content: bytes) -> Iterator[Recorded]:
    text = content.decode("utf-8", "replace").removeprefix("\ufeff").replace("\r", "\n")
    if match := _GUANO.search(text):
        try:
            at = datetime.fromisoformat(match[1].replace(",", "."))
        except ValueError:
            return
        yield from _recorded(at.replace(tzinfo=None), at.utcoffset(), "GUANO")


def _audiomoth(content: bytes) -> Iterator[Recorded]:
    """Looks in the whole list for the comment, whose chunk has no other text of this form."""
    if match := _AUDIOMOTH.search(content.decode("latin-1")):
        clock, day, month, year = match.group(1, 2, 3, 4)
        try:
            at = datetime.fromisoformat(f"{year}-{month}-{day}T{clock}")
        except ValueError:
            return
        yield from _recorded(at, _zone(match) or timedelta(0), "AudioMoth")


def _bext(content: bytes) -> Iterator[Recorded]:
    if match := _BEXT.fullmatch(content.decode("latin-1")):
        try:
            at = datetime(*map(int, match.groups()))  # type: ignore[arg-type]
        except ValueError:
            return
        yield from _recorded(at, None, "BWF")


def _zone(match: re.Match[str]) -> timedelta | None:
    """The offset from UTC in a match with the groups `sign`, `h` and `m`; None where it has none."""
    if not match["sign"]:
        return None
    offset = timedelta(hours=int(match["h"]), minutes=int(match["m"] or 0))
    return -offset if match["sign"] == "-" else offset


# Names


def _in_name(name: str) -> list[Recorded]:
    """The earliest time in a file's name, with its zone; or that of old AudioMoth names, UNIX seconds as 8 digits."""
    if match := _HEXADECIMAL.fullmatch(name):
        begin = datetime.fromtimestamp(int(match[1], 16), UTC).replace(tzinfo=None)
        return [Recorded(begin, timedelta(0), "name")] if begin.year in _SURE_YEARS else []
    found: list[Recorded] = []
    for match in _NAME.finditer(name):
        at = time_of(match)
        is_short = match["cy"] is not None
        if at and (not is_short or (match["cc"] and at.year in _SURE_YEARS)):
            found += _recorded(at, _zone_in_name(match), "name")
    return [min(found, key=lambda one: one.at)] if found else []


def _zone_in_name(match: re.Match[str]) -> timedelta | None:
    """The zone behind a stamp. A number after a hyphen may be a running number: it is a zone only as four digits after
    a stamp with a T; and zones are whole quarters of an hour."""
    if match["zulu"]:
        return timedelta(0)
    offset = _zone(match)
    if offset is None or offset % _QUARTER or not _WEST <= offset <= _EAST:
        return None
    is_iso = re.search(r"\dT\d", match.group()) and match["m"]
    return offset if match["sign"] == "+" or is_iso else None
