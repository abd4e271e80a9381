"""Take the names of a data set's files apart: time stamps, numbers, letters, words, marks of pieces and copies.

The names are those of phones (`PXL_20230514_101500123`), recorders (`SiteA_20230514_101500`), WhatsApp, Freesound and
data sets (`1-100032-A-0`). What they tell about recordings and sessions is decided in `sessions`.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from statistics import median
from typing import Literal

from hubbub.audio.time_stamps import DATE, DAY_FIRST, STAMP, time_of
from hubbub.data import class_folders
from hubbub.data.recordings import without_ending

__all__ = ["GENERIC", "Name", "Token", "join", "shape", "take_apart", "telling", "tokens", "without_marks"]

#: Numbers from here on identify something; smaller ones may be running numbers.
IDENTIFIES = 10_000
_LONGEST = 18  # digits of a number that are compared
_FREESOUND = re.compile(r"\d+__(?P<user>.+?)__.+")

Kind = Literal["time", "date", "offset", "copy", "number", "code", "letter", "word"]
_KINDS: tuple[Kind, ...] = ("time", "date", "copy", "offset", "number", "word")

#: Words that phones, recorders and programs put into every name; alone they identify nothing.
GENERIC = frozenset(
    {
        "audio", "aud", "vid", "video", "img", "image", "mov", "movie", "dsc", "pxl", "whatsapp", "wa", "ptt",
        "voice", "memo", "sprachmemo", "sprachnotiz", "new", "neu", "neue", "neuer", "recording", "recordings",
        "recorded", "record", "rec", "aufnahme", "aufnahmen", "aufzeichnung", "ton", "standard", "untitled",
        "unbenannt", "sound", "sounds", "clip", "clips", "track", "tracks", "file", "files", "datei", "sample",
        "samples", "take", "zoom", "ste", "dr", "voc", "gopro", "enregistrement", "nouvel", "nouveau",
        "grabación", "grabacion", "nueva", "nota", "voz", "registrazione", "nuova", "opname", "nieuwe",
        "nagranie", "copy", "kopie", "mono", "stereo", "wav", "signal", "screenrecording", "call"
    }
)  # fmt: skip
#: Words before the number of a piece that was cut from a recording.
_PIECES = frozenset(
    {
        "part", "pt", "teil", "partie", "parte", "take", "tk", "seg", "segment", "chunk", "slice", "piece",
        "cut", "clip", "split", "crop", "excerpt", "frame", "window", "win"
    }
)  # fmt: skip
_TOKEN = re.compile(
    rf"(?P<time>(?<!\d)(?:{STAMP}))"
    rf"|(?P<date>(?<!\d)(?:{DATE.format('e')}|{DAY_FIRST.format('f')})(?!\d))"
    r"|(?P<copy>\(\d{1,3}\)|\[\d{1,3}\])"
    r"|(?P<offset>(?<![\d.])\d+\.\d+(?![\d.]))"
    r"|(?P<number>\d+)"
    r"|(?P<word>[^\W\d_]+)"
)


@dataclass(frozen=True)
class Token:
    """A part of a name: its kind and text, what separates it from the part before, and a stamp's time.

    A `code` is a number that identifies something, which shows by the names beside it. `shared` marks a part that tells
    nothing, as all names of a class have it.
    """

    kind: Kind
    text: str
    before: str = ""
    at: datetime | None = None
    shared: bool = False


def tokens(name: str) -> list[Token]:
    """The parts of a file's name without ending, in order."""
    name = unicodedata.normalize("NFC", name)
    found: list[Token] = []
    end = 0
    for match in _TOKEN.finditer(name):
        text, before = match.group(), name[end : match.start()]
        kind = next(kind for kind in _KINDS if match[kind] is not None)
        at = time_of(match) if kind == "time" else None
        if kind == "time" and at is None:
            kind = "word"
        starts = before or not found or found[-1].kind == "number"
        if kind == "word" and len(text) == 1 and starts and not name[match.end() : match.end() + 1].isalnum():
            kind = "letter"
        found.append(Token(kind, text, before, at))
        end = match.end()
    return found


def without_marks(parts: Sequence[Token]) -> list[Token]:
    """The parts without the marks of pieces and copies at the end: `(2)`, `copy`, `part 3`, `take B`, `12.5-15.0`."""
    left = list(parts)
    while left:
        last, before = left[-1], left[-2] if len(left) > 1 else None
        word = last.text.casefold()
        is_unit = word == "s" and not last.before and before and before.kind == "offset"
        if last.kind in ("offset", "copy") or is_unit or (before and word in ("copy", "kopie")):
            del left[-1]
        elif before and last.kind in ("number", "letter") and before.text.casefold() in _PIECES and len(left) > 2:
            del left[-2:]
        else:
            break
    return left


def join(parts: Sequence[Token]) -> str:
    """The parts as one text, with their own separators between them."""
    return "".join(part.text if not at else part.before + part.text for at, part in enumerate(parts))


@dataclass(frozen=True)
class Name:
    """A clip's path taken apart: the folders that tell something, the name's parts without those of the class's name,
    and the user in a name from Freesound."""

    id: str
    label: str
    folder: str
    parts: list[Token]
    user: str


def take_apart(labels: Mapping[str, str], pairs: set[tuple[str, str]]) -> list[Name]:
    """The paths taken apart, without what tells nothing: the class, parts of a split, what all of a class share."""
    folders: dict[str, list[str]] = {}
    parts: dict[str, list[Token]] = {}
    words = {label: {_text(part) for part in tokens(label) if part.kind == "word"} for label in labels.values()}
    for clip, label in labels.items():
        *above, name = clip.replace("\\", "/").split("/")
        folders[clip] = [one for one in above if one not in ("", ".") and _plain(one) != _plain(label)]
        folders[clip] = [one for one in folders[clip] if not class_folders.part_named(one)]
        parts[clip] = [p for p in tokens(without_ending(name)) if _text(p) not in words[label]]
    members: dict[str, list[str]] = defaultdict(list)
    for clip, label in sorted(pairs):
        members[label].append(clip)
    inner, marked = dict(folders), dict(parts)
    for own in members.values():
        shared_folders = _shared([list(map(_plain, folders[clip])) for clip in own])
        shared = _shared([list(map(_text, parts[clip])) for clip in own])
        for clip in own:
            alike = _alike(list(map(_plain, folders[clip])), shared_folders)
            inner[clip] = [one for one, same in zip(folders[clip], alike, strict=True) if not same]
            alike = _alike(list(map(_text, parts[clip])), shared)
            marked[clip] = [replace(part, shared=same) for part, same in zip(parts[clip], alike, strict=True)]
    users = {clip: _FREESOUND.fullmatch(without_ending(clip.rpartition("/")[2])) for clip in labels}
    return _with_codes(
        [
            Name(clip, labels[clip], "/".join(inner[clip]), marked[clip], user["user"] if user else "")
            for clip, user in sorted(users.items())
        ]
    )


def _shared(names: list[list[str]]) -> set[tuple[object, str]]:
    """What all names of a class have in common: a part at one place from the start or the end, a word anywhere."""
    common: set[tuple[object, str]] = set()
    for number, name in enumerate(names):
        marks = {mark for at in range(len(name)) for mark in _marks(name, at)}
        common = common & marks if number else marks
    return common if len(names) > 1 else set()


def _marks(name: list[str], at: int) -> list[tuple[object, str]]:
    anywhere: list[tuple[object, str]] = [("anywhere", name[at])] if len(name[at]) > 1 and name[at].isalpha() else []
    return [(at, name[at]), (at - len(name), name[at]), *anywhere]


def _alike(texts: list[str], shared: set[tuple[object, str]]) -> list[bool]:
    return [any(mark in shared for mark in _marks(texts, at)) for at in range(len(texts))]


def _plain(name: str) -> str:
    return "".join(letter for letter in unicodedata.normalize("NFC", name).casefold() if letter.isalnum())


def _text(part: Token) -> str:
    return part.text.casefold()


def _with_codes(names: list[Name]) -> list[Name]:
    """The names, with numbers marked as codes in columns (parts at one place in names of one form) of large numbers."""
    columns: dict[tuple[tuple[str, ...], int], list[int]] = defaultdict(list)
    for name in names:
        left = telling(name.parts)
        for at, part in enumerate(left):
            if part.kind == "number":
                columns[shape(left), at].append(int(part.text[:_LONGEST]))
    most = max(IDENTIFIES, 2 * len(names))
    codes = {column for column, values in columns.items() if median(values) >= most}

    def marked(parts: list[Token]) -> list[Token]:
        left = telling(parts)
        coded = {id(part) for at, part in enumerate(left) if (shape(left), at) in codes}
        return [replace(part, kind="code") if id(part) in coded else part for part in parts]

    return [replace(name, parts=marked(name.parts)) for name in names]


def shape(parts: Sequence[Token]) -> tuple[str, ...]:
    """The form of a name: the kinds of its parts."""
    return tuple(part.kind for part in parts)


def telling(parts: Sequence[Token]) -> list[Token]:
    """The parts that not all names of the class share."""
    return [part for part in parts if not part.shared]
