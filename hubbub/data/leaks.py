"""Audit of splits: no clip, recording, sound or augmented copy may be both in training and in a test part.

Nor may a nearly identical sound (`near_duplicates`). Published folds cannot be changed, so there it is a warning.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NoReturn

import numpy as np
import numpy.typing as npt
import pandas as pd

from hubbub.config.sections import Network
from hubbub.data import trained_before
from hubbub.data.clips import Clips
from hubbub.data.near_duplicates import NearDuplicate
from hubbub.data.splits import Rows, Split
from hubbub.errors import HubbubError, count, examples

__all__ = ["Audit", "LeakError", "audit", "duplicates"]


class LeakError(HubbubError):
    """A split whose test or validation part is not independent of training."""


#: What to do about a leak, by its kind.
_ADVICE = _ONE_LABEL, _ONE_COPY, _BY_GROUP, _ORIGINALS, _OTHER_NETWORK, _BY_FOLD = (
    "Where one sound has two labels, correct the wrong one.",
    "Of clips with the same sound delete all but one, or give them the same group.",
    "Split by group: hubbub train does so by itself where the data have no folds, and hubbub data split writes such a "
    "split.",
    "Keep augmented copies in the training part.",
    "Take another network: hubbub train --backbone yamnet, or --from-scratch.",
    "Split scenes by the folds that they were made with: --set protocol.kind=kfold.",
)


@dataclass(frozen=True)
class Audit:
    """The result of an audit: `warnings` to print, and `leaks`, which make every figure NOT COMPARABLE."""

    warnings: tuple[str, ...] = ()
    leaks: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Leak:
    text: str
    advice: frozenset[str]


def audit(
    clips: Clips,
    splits: Sequence[Split],
    contents: Sequence[str],
    near: Sequence[NearDuplicate] = (),
    *,
    network: Network | None = None,
    allow_leaky: bool = False,
) -> Audit:
    """Compare all pairs of parts of every split.

    `contents` holds one hash of the decoded sound per clip, "" if undecodable; `near` the pairs of clips with nearly
    identical sounds. Groups that the official folds are known to straddle give one warning with their names, and
    nearly identical sounds in different official folds another. Any other leak raises `LeakError`, or is listed in
    `leaks` with `allow_leaky`; clips that the recipe's `network` has been trained on before are such a leak.
    """
    hashes, ids = np.asarray(contents), clips.table["clip"].to_numpy()
    near = [pair for pair in near if not hashes[pair.first] or hashes[pair.first] != hashes[pair.second]]
    official = clips.fold_source == "official"
    groups, copies = clips.table["group"].to_numpy(), clips.table["split_hint"].to_numpy() == "train"
    straddled, parted, leaks = set[str](), dict[str, None](), list[_Leak]()
    if network is not None:
        texts = trained_before.refused(clips, splits, network)
        leaks += [_Leak(text, frozenset({_OTHER_NETWORK})) for text in texts]
    for split in splits:
        parts, unknown = list(split.parts())[: 2 if split.without_test else 3], ("held-out classes", split.unknown)
        for (one, a), (other, b) in (*combinations(parts, 2), *((part, unknown) for part in parts[:2])):
            where, alike = f"test fold {split.name}: {one} and {other}", _parted(near, a, b, len(clips))
            leaks += _shared(clips, where, a, b)
            leaks += _identical(clips, hashes, where, a, b)
            if official:
                parted |= dict.fromkeys(_describe(pair, ids) for pair in alike)
            elif alike:
                found = examples(_describe(pair, ids) for pair in alike)
                advice = _advice(clips, [(pair.first, pair.second) for pair in alike])
                leaks.append(_Leak(f"{where} hold nearly identical sounds ({found})", advice))
            straddled |= set(groups[a]) & set(groups[b]) & clips.straddling
        for part, rows in parts:
            if part != "train" and copies[rows].any():
                line = f"test fold {split.name}: augmented copies in {part} ({examples(ids[rows][copies[rows]])})"
                leaks.append(_Leak(line, frozenset({_ORIGINALS})))
    if leaks and not allow_leaky:
        _refuse(clips.name, leaks)
    warnings = []
    if straddled:
        guessed = clips.group_source == "guessed"
        what = "recordings, as guessed from file names" if guessed else "source recordings"
        folds = f"the {'given' if guessed else 'official'} folds of {clips.name}"
        warnings.append(f"{folds} straddle {what}: {', '.join(sorted(straddled))}")
    if parted:
        hold = f"hold {count(len(parted), 'pair')} of nearly identical sounds in different parts"
        warnings.append(f"the official folds of {clips.name} {hold}: {examples(parted)}")
    known = [] if network is None else trained_before.shared(clips, splits, network)
    return Audit((*warnings, *duplicates(clips.table, hashes, clips.kind)), (*(leak.text for leak in leaks), *known))


def _refuse(name: str, leaks: Sequence[_Leak]) -> NoReturn:
    advice = frozenset[str]().union(*(leak.advice for leak in leaks))
    raise LeakError(
        f"{name}: this split leaks, so its figure would be too good. {'; '.join(leak.text for leak in leaks[:5])}. "
        f"{' '.join(line for line in _ADVICE if line in advice)} Or run it all the same with --allow-leaky: all "
        "results will say NOT COMPARABLE."
    )


def _shared(clips: Clips, where: str, a: Rows, b: Rows) -> Iterator[_Leak]:
    """Leaks of clips, groups and sources of scenes in both parts."""
    ids, groups = clips.table["clip"].to_numpy(), clips.table["group"].to_numpy()
    twice = sorted(ids[np.intersect1d(a, b)])
    if twice:
        yield _Leak(f"{where} share {len(twice)} clips ({examples(twice)})", frozenset({_BY_GROUP}))
    names = sorted((set(groups[a]) & set(groups[b])) - clips.straddling)
    if names:
        what = f"{where} share {len(names)} source recordings or speakers ({examples(names)})"
        yield _Leak(what, frozenset({_BY_GROUP}))
    if clips.mixed:
        paths = clips.table["path"].to_numpy()
        used = [{source for path in set(paths[rows]) for _, source in clips.mixed[path]} for rows in (a, b)]
        if both := sorted(used[0] & used[1]):
            what = f"{where} are scenes mixed from {count(len(both), 'recording')} in both ({examples(both)})"
            yield _Leak(what, frozenset({_BY_FOLD}))


def _identical(clips: Clips, hashes: npt.NDArray[np.str_], where: str, a: Rows, b: Rows) -> Iterator[_Leak]:
    """The leak of the same content in both parts, unless a clip is in both."""
    ids, same = clips.table["clip"].to_numpy(), sorted(set(hashes[a]) & set(hashes[b]) - {""})
    if same and not len(np.intersect1d(a, b)):
        pairs = [(int(a[hashes[a] == h][0]), int(b[hashes[b] == h][0])) for h in same]
        found = examples(f"{ids[one]} = {ids[other]}" for one, other in pairs)
        yield _Leak(f"{where} hold identical sounds ({found})", _advice(clips, pairs))


def _parted(near: Sequence[NearDuplicate], a: Rows, b: Rows, clips: int) -> list[NearDuplicate]:
    """The pairs with a clip in each part."""
    in_a, in_b = (np.isin(np.arange(clips), rows) for rows in (a, b))
    return [p for p in near if (in_a[p.first] and in_b[p.second]) or (in_b[p.first] and in_a[p.second])]


def _advice(clips: Clips, pairs: Sequence[tuple[int, int]]) -> frozenset[str]:
    labels = clips.table["label"].to_numpy()
    return frozenset(_ONE_COPY if labels[one] == labels[other] else _ONE_LABEL for one, other in pairs)


def _describe(pair: NearDuplicate, ids: npt.NDArray[np.object_]) -> str:
    shifted = f" (shifted by {abs(pair.shift_s):.2f} s)" if abs(pair.shift_s) >= 0.005 else ""
    return f"{ids[pair.first]} ~ {ids[pair.second]}{shifted}"


def duplicates(table: pd.DataFrame, contents: Iterable[str], kind: str) -> list[str]:
    """Clips with the same content: one line for those with the same label, one for those with several labels, none if
    all contents differ. Contents of "" are skipped."""
    what, by_content = kind.rstrip("s"), dict[str, list[tuple[str, str]]]()
    for clip, label, content in zip(table["clip"], table["label"], contents, strict=True):
        by_content.setdefault(content, []).append((clip, label))
    several = [clips for content, clips in by_content.items() if content and len(clips) > 1]
    conflicting = [
        " = ".join(f"{c} '{label}'" for c, label in clips) for clips in several if len({of for _, of in clips}) > 1
    ]
    same = [" = ".join(clip for clip, _ in clips) for clips in several if len({of for _, of in clips}) == 1]
    lines = (
        [f"one {what}, two labels, {count(len(conflicting), 'time')}: {examples(conflicting)}"] if conflicting else []
    )
    occur = "occurs" if len(same) == 1 else "occur"
    return [*lines, f"{count(len(same), what)} {occur} more than once: {examples(same)}"] if same else lines
