"""Which clips are of one recording, guessed from file names or by a pattern.

Pieces of one recording, and recordings of one session, share their background. On both sides of a split they make a
figure too good. People name such files alike: what comes before a running number or a time stamp is the session, and
a folder within a class's folder is one. The guess is one rule for the whole data set; it does not depend on the order
of the clips, and where it is in doubt it takes the coarser groups.
"""

import json
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from hubbub.data import file_names
from hubbub.data.file_names import GENERIC, Name, Token, shape, take_apart, telling
from hubbub.data.values import ClipsError
from hubbub.errors import count, examples

__all__ = ["Guess", "by_pattern", "guess"]

#: Recordings whose time stamps are at most this far apart belong to one session.
APART = timedelta(minutes=10)
#: The share of classes that may have all clips in one session; a rule that gives more of them is not taken.
ONE_SESSION = 0.2
#: The share of sessions that an identifying number must tell apart to be the session's whole name.
ALONE = 0.98
#: A pattern must be matched with all names within this time [s].
PATTERN_S = 10.0
_Keys = tuple[dict[str, str], str]


@dataclass(frozen=True)
class Guess:
    """The recording or session of each clip; a clip of no session has its own id. `pattern` says in words by what the
    sessions were told, "" where nothing could be told; `alone` names classes whose clips all looked like one session
    and count as recordings of their own."""

    groups: tuple[str, ...]
    pattern: str = ""
    examples: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """The guess, for every result, and how to overrule it."""
        if not self.pattern:
            return (
                "NO GROUPS: the file names do not show which clips are of one recording, so each file counts as a "
                "recording of its own. If several files were cut from one recording, say so: --group PATTERN (a "
                "regular expression that finds the recording's name in a clip's path), or a table with a column group"
            )
        alone = (
            f". The names of {examples(f'all {label!r}' for label in self.alone)} are alike, so each file there counts "
            "as a recording of its own"
        )
        return (
            f"GUESSED GROUPS: clips are of one recording by {self.pattern}: {', '.join(self.examples)}"
            f"{alone if self.alone else ''}. To overrule this, give --group file (each file is a recording of its own) "
            "or --group PATTERN (a regular expression that finds the recording's name in a clip's path)"
        )


def guess(ids: Sequence[str], labels: Sequence[str]) -> Guess:
    """The sessions of clips, by their relative paths (`dog/20230514_101500.wav`) and classes."""
    names = take_apart(dict(zip(ids, labels, strict=True)), set(zip(ids, labels, strict=True)))
    classes: dict[str, set[str]] = defaultdict(set)
    for clip, label in zip(ids, labels, strict=True):
        classes[label].add(clip)
    for rule in (_by_folder, _by_user, _by_prefix, _by_long_prefix, _by_prefix_and_time, _by_piece):
        keys, words = rule(names)
        if found := _accepted(keys, classes, names):
            keys, alone = found
            return Guess(tuple(keys.get(clip) or clip for clip in ids), words, _examples(keys), alone)
    return Guess(tuple(ids))


def by_pattern(ids: Sequence[str], pattern: str) -> tuple[list[str], tuple[str, ...]]:
    """The recording of each clip: a regular expression's first group, or its whole match, in the clip's path.

    A note counts clips that do not match, which are recordings of their own. Raises `ClipsError` for a pattern that is
    none, matches nothing, or gives one recording for all.
    """
    advice = (
        r"For clips like 'dog/kitchen_01.wav' the pattern ([^/]+)_\d+\. gives 'kitchen'. 'file' makes each file a "
        "recording of its own."
    )
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ClipsError(f"--group {pattern}: this is no regular expression ({error}). {advice}") from error
    found = _matched(list(ids), pattern, advice)
    matched = {name for name in found if name}
    if not matched:
        raise ClipsError(f"--group {pattern}: no clip's path matches, e.g. {examples(sorted(ids))}. {advice}")
    if len(matched) == 1 and all(found) and len(set(ids)) > 1:
        raise ClipsError(
            f"--group {pattern}: all {len(set(ids)):,} files would be one recording, '{matched.pop()}', so nothing "
            f"could be tested. {advice}"
        )
    without = sorted({clip for clip, name in zip(ids, found, strict=True) if not name})
    do = "does" if len(without) == 1 else "do"
    note = (
        f"NO GROUP: {count(len(without), 'file')} of {len(set(ids)):,} {do} not match --group {pattern} "
        f"({examples(without)}); each counts as a recording of its own"
    )
    return [name or clip for clip, name in zip(ids, found, strict=True)], (note,) if without else ()


def _matched(ids: list[str], pattern: str, advice: str) -> list[str]:
    """The matches, found in a process of their own, since a pattern may need longer than anyone can wait."""
    code = (
        "import json, re, sys\n"
        "pattern, names = json.load(sys.stdin)\n"
        "found = [re.search(pattern, name) for name in names]\n"
        "json.dump([(m[1 if m.re.groups else 0] or '') if m else '' for m in found], sys.stdout)\n"
    )
    try:
        run = subprocess.run(
            [sys.executable, "-I", "-S", "-W", "ignore", "-c", code],
            input=json.dumps([pattern, ids]), capture_output=True, text=True, timeout=PATTERN_S, check=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise ClipsError(
            f"--group {pattern}: matching takes more than {PATTERN_S:g} s. Leave out repetitions of repetitions, "
            f"as in (a+)+. {advice}"
        ) from error
    return [str(name) for name in json.loads(run.stdout)]


# Rules, from coarse to fine: each gives a session, or nothing, for every clip, and says in words what it goes by


def _by_folder(names: list[Name]) -> _Keys:
    keys = {name.id: name.folder for name in names if name.folder}
    inner, words = _by_prefix([name for name in names if not name.folder]) if keys else ({}, "")
    return {**inner, **keys}, "the folders that they are in" + (f", and {words}" if inner else "")


def _by_user(names: list[Name]) -> _Keys:
    keys = {name.id: name.user for name in names if name.user}
    inner, words = _by_prefix([name for name in names if not name.user]) if keys else ({}, "")
    return {**inner, **keys}, "the Freesound users in their names" + (f", and {words}" if inner else "")


def _by_prefix(names: list[Name]) -> _Keys:
    return _by_name(names, _without_all)


def _by_long_prefix(names: list[Name]) -> _Keys:
    return _by_name(names, _without_last)


def _by_prefix_and_time(names: list[Name]) -> _Keys:
    return _by_name(names, _without_all, times=True)


def _by_piece(names: list[Name]) -> _Keys:
    return _by_name(names, file_names.without_marks)


def _without_last(parts: list[Token]) -> list[Token]:
    """The parts without marks of pieces, or else without the last running number or letter."""
    left = file_names.without_marks(parts)
    return left[:-1] if len(left) == len(parts) and left and left[-1].kind in ("number", "letter") else left


def _without_all(parts: list[Token]) -> list[Token]:
    """The same, and without numbers that run within a number: `7_3_12` -> `7`, but `rec7_3_12` -> `rec7`."""
    left = _without_last(parts)
    while len(left) > 1 and left[-1].kind in ("number", "letter") and left[-2].kind in ("number", "letter", "code"):
        left = left[:-1]
    return left


def _by_name(names: list[Name], strip: Callable[[list[Token]], list[Token]], *, times: bool = False) -> _Keys:
    """The session by what `strip` leaves of a name; with `times`, or where that is nothing, also by time stamps."""
    keys: dict[str, str] = {}
    stamped: dict[str, list[Name]] = defaultdict(list)
    forms: dict[tuple[str, ...], list[tuple[Name, list[Token]]]] = defaultdict(list)
    for name in names:
        parts = telling(name.parts)
        left = strip(parts)
        has_time = any(part.kind == "time" for part in parts)
        counted = len(left) < len(parts) or (bool(name.parts) and name.parts[-1].shared and _counts(name.parts[-1]))
        prefix = [part for part in left if part.kind != "time"]
        tells = any(map(_tells, prefix)) and (has_time or counted)
        if has_time and (times or not tells):
            stamped["/".join(filter(None, (name.folder, _key(name, prefix) if tells else "")))].append(name)
        elif tells:
            forms[shape(parts)].append((name, prefix))
    for members in forms.values():
        keys |= _keys(members)
    known = {_fold(key) for key in keys.values()}
    for name in names:  # a recording and its pieces: rec7.wav, rec7_1.wav
        whole = _key(name, file_names.without_marks(telling(name.parts)))
        if _fold(whole) in known:
            keys[name.id] = whole
    one = {_fold(key): key for key in sorted(keys.values(), reverse=True)}
    keys = {clip: one[_fold(key)] for clip, key in keys.items()}
    words = ["what comes before a running number or a time stamp in their names"] if keys else []
    words += ["time stamps that follow each other within 10 minutes"] if stamped else []
    for prefix_, those in stamped.items():
        keys |= _clusters(prefix_, those)
    return keys, " and ".join(words)


def _keys(members: list[tuple[Name, list[Token]]]) -> dict[str, str]:
    """The keys of names of one form. A code that alone tells (nearly) all sessions apart is the session's name, so
    that a fold's number before it does not part clips of one source."""
    whole = {name.id: _key(name, left) for name, left in members}
    for column in range(min(len(left) for _, left in members)):
        if all(left[column].kind == "code" for _, left in members):
            alone = {name.id: _key(name, [left[column]]) for name, left in members}
            if len(set(alone.values())) >= ALONE * len(set(whole.values())):
                return alone
    return whole


def _key(name: Name, parts: Sequence[Token]) -> str:
    """A session's name. A number keeps the word before it, also one that the whole class shares; small numbers and
    letters without one are counted anew in each class."""
    kept = {id(part) for part in parts}
    shown, own = list[Token](), True
    for before, part in zip([None, *name.parts], name.parts, strict=False):
        if id(part) not in kept or part.kind == "time":
            continue
        if before and before.shared and before.kind == "word" and part.kind in ("number", "letter", "code"):
            shown.append(before)
            own = False
        shown.append(part)
        own = own and part.kind in ("number", "letter")
    if any(part.kind == "date" for part in shown):  # AUD-20230514-WA0007, VID-20230514-WA0008
        shown = [part for part in shown if _text(part) not in GENERIC]
    text = file_names.join(shown)
    return f"{name.label}/{text}" if own and text else text


def _fold(key: str) -> str:
    return re.sub(r"[\W_]+", "_", key.casefold())


def _counts(part: Token) -> bool:
    return part.kind in ("number", "letter", "copy", "offset")


def _text(part: Token) -> str:
    return part.text.casefold()


def _tells(part: Token) -> bool:
    return part.kind in ("number", "code", "letter", "date") or (part.kind == "word" and _text(part) not in GENERIC)


def _clusters(prefix: str, stamped: list[Name]) -> dict[str, str]:
    """Sessions of recordings whose time stamps are at most `APART` from the next, named by their first stamp."""
    timed = sorted((part.at, name.id) for name in stamped for part in name.parts if part.at is not None)
    keys: dict[str, str] = {}
    first = before = timed[0][0]
    for at, clip in timed:
        if at - before > APART:
            first = at
        before = at
        keys.setdefault(clip, "/".join(filter(None, (prefix, f"{first:%Y-%m-%d %H:%M}"))))
    return keys


# Is a rule worth taking?


def _accepted(
    keys: dict[str, str], classes: Mapping[str, set[str]], names: list[Name]
) -> tuple[dict[str, str], tuple[str, ...]] | None:
    """The sessions by a rule, and the classes whose names look like one session, where each file counts as its own;
    None where there are too many such classes, or no session has two clips."""
    keys = {clip: key for clip, key in keys.items() if key}
    if len(set(keys.values())) == len(keys):
        return None
    several = {label: clips for label, clips in classes.items() if len(clips) > 1}
    alone = [label for label, clips in several.items() if len({keys.get(clip) or clip for clip in clips}) == 1]
    loose = [label for label, clips in several.items() if not keys.keys() & clips]
    alone += [label for label in loose if _is_one([name for name in names if name.id in classes[label]])]
    if len(alone) > ONE_SESSION * len(several):
        return None
    lone = {clip for label in alone for clip in classes[label]}
    kept = {clip: key for clip, key in keys.items() if clip not in lone}
    return (kept, tuple(sorted(alone))) if max(Counter(kept.values()).values(), default=0) > 1 else None


def _is_one(names: list[Name]) -> bool:
    """Whether a class's names would be of one session, if all that they share told something."""
    bare = [replace(name, parts=[replace(part, shared=False) for part in name.parts]) for name in names]
    keys, _ = _by_prefix(bare)
    return len(keys) == len(names) and len(set(keys.values())) == 1


def _examples(keys: dict[str, str]) -> tuple[str, ...]:
    """Three sessions in words, the largest first."""
    members: dict[str, list[str]] = defaultdict(list)
    for clip, key in sorted(keys.items()):
        members[key].append(clip)
    largest = sorted(members.items(), key=lambda item: (-len(item[1]), item[0]))[:3]
    return tuple(
        f"{len(clips):,} clips named like '{clips[0]}' count as one recording '{key}'"
        for key, clips in largest
        if len(clips) > 1
    )
