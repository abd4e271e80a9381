"""Find the clips of a data set that other programs name: by id, file name or path, with or without ending."""

from collections.abc import Iterable, Sequence

from hubbub.audio.decode import EXTENSIONS
from hubbub.data.clips import Clips, ClipsError
from hubbub.data.values import clean, text
from hubbub.errors import count, examples

__all__ = ["find_clips"]

#: The most folders of a path that tell its clip from others.
_DEEPEST = 4


def find_clips(clips: Clips, names: Sequence[str], where: Sequence[str]) -> list[int]:
    """The row number of the clip that each name means; `where` says where each name stands, for messages.

    A name is a clip's id, or the end of its path: the file name, or some folders and the file name. Endings of sound
    files do not count. A file name in another folder is taken only where the ids of the data set hold no folders.
    Raises `ClipsError` for names of no clip, and for those of several.
    """
    index = _Index(clips)
    found = {name: index.rows(name) for name in dict.fromkeys(names)}
    if unknown := [f"{at}: {name or 'empty'}" for name, at in zip(names, where, strict=True) if not found[name]]:
        raise ClipsError(
            f"{count(len(unknown), 'name')} of no clip of {clips.name} ({examples(unknown)}). Its clips are called "
            f"{examples(clips.table['clip'])}; file names and paths are taken, too."
        )
    for name, at in zip(names, where, strict=True):
        if len(rows := found[name]) > 1:
            raise ClipsError(
                f"{at}: {name} names {len(rows):,} clips of {clips.name} "
                f"({examples(clips.table['clip'].iloc[sorted(rows)])}). Give each clip's id, or more of its path."
            )
    return [next(iter(found[name])) for name in names]


class _Index:
    """The clips of a data set by every name that they may have."""

    def __init__(self, clips: Clips) -> None:
        ids = [clean(clip) for clip in text(clips.table["clip"])]
        self._flat = not any("/" in clip for clip in ids)
        self._ids: dict[str, set[int]] = {}
        self._ends: dict[str, set[int]] = {}
        for row, (clip, path) in enumerate(zip(ids, text(clips.table["path"]), strict=True)):
            for name in (clip, _stem(clip)):
                self._ids.setdefault(name, set()).add(row)
            for end in _ends(clean(path.replace("\\", "/"))):
                self._ends.setdefault(_stem(end), set()).add(row)

    def rows(self, name: str) -> set[int]:
        name = clean(name).replace("\\", "/").removeprefix("./")
        if found := self._ids.get(name) or self._ids.get(_stem(name)):
            return found
        for end in _ends(name):
            inside = "/" in end or "/" not in name or self._flat
            if inside and (found := self._ends.get(_stem(end))):
                return found
        return set()


def _ends(path: str) -> Iterable[str]:
    """`a/b/c.wav` -> `a/b/c.wav`, `b/c.wav`, `c.wav`."""
    parts = [part for part in path.split("/") if part]
    return ("/".join(parts[-depth:]) for depth in range(min(len(parts), _DEEPEST), 0, -1))


def _stem(name: str) -> str:
    """A name without the ending of a sound file."""
    base, dot, ending = name.rpartition(".")
    return base if base and f"{dot}{ending}".lower() in EXTENSIONS else name
