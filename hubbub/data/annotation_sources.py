"""Find the recordings that annotations are about.

A table names its recordings, or is named after one (`night.Table.1.selections.txt` is about `night.wav`). Recordings
are looked for by the end of the path that a table gives, since tables hold paths of the machine that wrote them.
"""

import os
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from hubbub.audio.find_files import search
from hubbub.data import values
from hubbub.data.annotations import Annotations
from hubbub.data.clips import ClipsError
from hubbub.data.recordings import without_ending

__all__ = ["Source", "Sounds", "locate", "stems"]

#: Words in the name of a table that are not part of its recording's.
_WORD = re.compile(
    r"[ ._-]+(table([ ._-]*\d+)?|selections?|labels?|annotations?|annotated|events?|birdnet|results?|raven|audacity"
    r"|aoef|detections?|predictions?)$",
    re.IGNORECASE,
)


class Sounds:
    """The recordings below a folder."""

    def __init__(self, base: Path) -> None:
        self.base = base

    @cached_property
    def files(self) -> list[Path]:
        return [Path(path) for path in search(self.base).files]

    @cached_property
    def _by_stem(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        for path in self.files:
            found.setdefault(_key(without_ending(path.name)), []).append(path)
        return found

    def named(self, text: str, table: Path) -> str:
        """The file that a table names, "" if it is not here. Raises `ClipsError` where several may be it."""
        written = [
            part for part in PurePosixPath(text.strip().replace("\\", "/")).parts if part not in ("/", "..", ".")
        ]
        if not written:
            return ""
        for first in range(len(written)):
            for place in dict.fromkeys((table.parent, self.base)):
                path = place.joinpath(*written[first:])
                if path.is_relative_to(self.base) and os.path.isfile(path):
                    return str(path)
        return self._of_stem(without_ending(written[-1]), table)

    def of_table(self, table: Path) -> str:
        """The recording that a table is named after, "" if it is not here."""
        return next(filter(None, (self._of_stem(without_ending(stem), table) for stem in stems(table))), "")

    def _of_stem(self, stem: str, table: Path) -> str:
        there = self._by_stem.get(_key(stem), [])
        beside = [path for path in there if path.parent == table.parent] or there
        if len(beside) > 1:
            raise ClipsError(
                f"{table}: {stem} may be {' or '.join(str(p.relative_to(self.base)) for p in beside[:3])}. Keep one of "
                "them, or write its path from the table's folder into a column named path."
            )
        return str(beside[0]) if beside else ""


@dataclass(frozen=True)
class Source:
    """A table's annotations with the files that they are about: `paths` of its rows ("" if missing), `without`, those
    in which nothing was found, and `regions`, the parts of a file that were searched, if not all of it."""

    given: Annotations
    paths: list[str]
    without: list[str]
    regions: dict[str, list[tuple[float, float]]]

    @property
    def found(self) -> list[str]:
        return list(dict.fromkeys(path for path in (*self.paths, *self.without) if path))


def locate(given: Annotations, sounds: Sounds) -> Source:
    own = sounds.of_table(given.file) if "" in {*given.table["recording"], *given.without} or given.table.empty else ""
    texts = {*given.table["recording"], *given.without, *(path for path, _, _ in given.regions or ())}
    places = {text: sounds.named(text, given.file) if text else own for text in texts}
    values.refuse_undecodable([str(given.file), *places.values()])
    without = [places[text] for text in given.without if places[text]]
    if given.table.empty and not given.without and own:
        without = [own]
    regions: dict[str, list[tuple[float, float]]] = {}
    for text, start, end in given.regions or ():
        regions.setdefault(places[text], []).append((start, end))
    return Source(given, [places[text] for text in given.table["recording"]], without, regions)


def stems(table: Path) -> Iterator[str]:
    """A table's name without its ending, then without the words that are no part of its recording's name."""
    stem, longer = table.stem, ""
    while stem and stem != longer:
        yield stem
        stem, longer = _WORD.sub("", stem), stem


def _key(stem: str) -> str:
    return unicodedata.normalize("NFC", stem).casefold()
