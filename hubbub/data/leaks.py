"""Audit of splits: no clip, recording, sound or augmented copy may be both in training and in a test part."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from hubbub.data.clips import Clips
from hubbub.data.splits import Split
from hubbub.errors import HubbubError, count, examples

__all__ = ["Audit", "LeakError", "audit", "duplicates"]


class LeakError(HubbubError):
    """A split whose test or validation part is not independent of training."""


@dataclass(frozen=True)
class Audit:
    """The result of an audit: `warnings` to print, and `leaks`, which make every figure NOT COMPARABLE."""

    warnings: tuple[str, ...] = ()
    leaks: tuple[str, ...] = ()


def audit(
    clips: Clips,
    splits: Sequence[Split],
    contents: Sequence[str],
    near: Sequence[object] = (),
    *,
    allow_leaky: bool = False,
) -> Audit:
    """Compare all pairs of parts of every split.

    `contents` holds one hash of the decoded sound per clip, "" if undecodable. Groups that the official folds are known
    to straddle give one warning with their names. Any other leak raises `LeakError`, or is listed in `leaks` with
    `allow_leaky`.
    """
    straddled: set[str] = set()
    leaks = []
    ids, groups, hashes = clips.table["clip"].to_numpy(), clips.table["group"].to_numpy(), np.asarray(contents)
    copies = clips.table["split_hint"].to_numpy() == "train"
    for split in splits:
        parts, unknown = list(split.parts()), ("held-out classes", split.unknown)
        for (one, a), (other, b) in (*combinations(parts, 2), *((part, unknown) for part in parts[:2])):
            where = f"test fold {split.name}: {one} and {other}"
            twice = sorted(ids[np.intersect1d(a, b)])
            if twice:
                leaks.append(f"{where} share {len(twice)} clips ({examples(twice)})")
            shared = set(groups[a]) & set(groups[b])
            straddled |= shared & clips.straddling
            names = sorted(shared - clips.straddling)
            if names:
                leaks.append(f"{where} share {len(names)} source recordings or speakers ({examples(names)})")
            same = sorted(set(hashes[a]) & set(hashes[b]) - {""})
            if same and not twice:
                pairs = [f"{ids[a][hashes[a] == h][0]} = {ids[b][hashes[b] == h][0]}" for h in same]
                leaks.append(f"{where} hold identical sounds ({examples(pairs)})")
        for part, rows in split.parts():
            if part != "train" and copies[rows].any():
                leaks.append(
                    f"test fold {split.name}: augmented copies in {part} ({examples(ids[rows][copies[rows]])})"
                )
    if leaks and not allow_leaky:
        raise LeakError(
            f"{clips.name}: this split leaks, so its figure would be too good. " + "; ".join(leaks[:5])
            + ". Split by group (hubbub data split does this), or run it all the same with --allow-leaky: all results "
            "will say NOT COMPARABLE."
        )  # fmt: skip
    warnings = duplicates(clips.table, hashes, clips.kind)
    if straddled:
        named = ", ".join(sorted(straddled))
        warnings.insert(0, f"the official folds of {clips.name} straddle source recordings: {named}")
    return Audit(tuple(warnings), tuple(leaks))


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
