"""Clip tables without files, and what tests ask of their splits."""

from dataclasses import replace

import numpy as np
import pandas as pd

from hubbub.data import splits
from hubbub.data.clips import Clips, build
from hubbub.data.splits import Split


def clip_table(folds: int = 5, labels: int = 3, groups: int = 4, takes: int = 2) -> Clips:
    """Every fold and label with `groups` recordings of `takes` clips each, no recording in two folds."""
    table = pd.DataFrame(
        [
            (f"{f}-{k}-{g}-{t}", f"/{f}-{k}-{g}-{t}.wav", f"label{k}", str(f), f"{f}-{k}-{g}")
            for f in range(1, folds + 1)
            for k in range(labels)
            for g in range(groups)
            for t in range(takes)
        ],
        columns=["clip", "path", "label", "fold", "group"],
    )
    return build("made", table)


def with_copies() -> Clips:
    """As `clip_table`, and of every clip a noisy copy."""
    clips = clip_table()
    copies = clips.table.assign(clip=clips.table["clip"] + "_noisy", split_hint="train")
    return replace(clips, table=pd.concat([clips.table, copies], ignore_index=True))


def ragged(seed: int = 0) -> Clips:
    """1,500 clips of six unequal classes in recordings of 1 to 8 clips."""
    rng = np.random.default_rng(seed)
    rows: list[tuple[str, str, str, str]] = []
    while len(rows) < 1500:
        label, group = f"label{rng.choice(6, p=[0.3, 0.25, 0.2, 0.1, 0.1, 0.05])}", f"group{len(rows)}"
        rows += [(f"{len(rows) + i}", f"/{len(rows) + i}.wav", label, group) for i in range(rng.integers(1, 9))]
    return build("ragged", pd.DataFrame(rows, columns=["clip", "path", "label", "group"]))


def contents_of(clips: Clips) -> list[str]:
    """A content hash for each clip, no two alike."""
    return list(clips.table["clip"])


def folds_of(clips: Clips, rows: splits.Rows) -> list[str]:
    return sorted(set(clips.table["fold"].to_numpy()[rows]))


def groups_of(clips: Clips, rows: splits.Rows) -> set[str]:
    return set(clips.table["group"].to_numpy()[rows])


def is_a_partition(clips: Clips, split: Split) -> bool:
    return sorted(np.concatenate([rows for _, rows in split.parts()])) == list(range(len(clips)))
