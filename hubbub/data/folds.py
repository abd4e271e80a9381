"""Make folds where a data set has none: stratified over groups, or over the time of a single recording.

A class with one group only cannot be both trained and tested: its clips get no fold and train in every split. Where
clips may hold several labels, so do those of a class with so few groups that some split could not train on any of it.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from hubbub.config.data import Protocol
from hubbub.data import class_folders
from hubbub.data.clips import Clips
from hubbub.data.stratified_folds import FoldError, multilabel_folds
from hubbub.data.values import in_order
from hubbub.errors import count, examples

__all__ = ["FoldError", "JOINED", "MADE", "decide", "far_from", "make_folds"]

Flags = npt.NDArray[np.bool_]
#: Protocols whose folds are made here.
MADE = ("grouped", "time")
#: Protocols that split by group here, so that near-duplicates can be kept in one group.
JOINED = ("grouped", "holdout")
_TRIALS = 20


def decide(clips: Clips, protocol: Protocol) -> Protocol:
    """The protocol that `auto` stands for with these clips; any other protocol unchanged.

    Folders or columns of parts (train, validation, test) are used as they are; so are folds. Without folds they are
    made: over time for the parts of a single recording, over groups for all others.
    """
    if protocol.kind != "auto":
        return protocol
    parts = {class_folders.part_named(fold) for fold in clips.folds}
    if parts and all(map(str.isalpha, parts)) and "train" in parts and len(parts) > 1:
        return _of_named_parts(clips, protocol)
    if len(clips.folds) > 1:
        two = len(clips.folds) == 2 and protocol.validation != "none"
        return protocol.model_copy(update={"kind": "kfold", **({"validation": "none"} if two else {})})
    spans = clips.table[["start", "end"]].notna().any(axis=1).all()
    one = clips.table["path"].nunique() == 1 and spans
    return protocol.model_copy(update={"kind": "time" if one else "grouped"})


def make_folds(clips: Clips, protocol: Protocol) -> tuple[Clips, Protocol]:
    """The clips with the folds of `grouped` or `time`, and the protocol with the number of folds that the clips allow.

    With two folds there is no validation part. Under `time`, each stretch of the recording becomes a group. Clips that
    have such folds already keep them. Raises `FoldError` where no class can be both trained and tested.
    """
    if protocol.kind not in MADE:
        return clips, protocol
    if clips.fold_source != "made":
        folds = _timed(clips, protocol) if protocol.kind == "time" else _of_groups(clips, protocol)
        clips = replace(clips, table=clips.table.assign(fold=folds), fold_source="made")
        if protocol.kind == "time":  # each stretch counts as a recording, so that what it shares with others is no leak
            clips.table["group"] += " " + clips.table["fold"].map("stretch {}".format)
    k = len(clips.folds)
    return clips, protocol.model_copy(update={"k": k, **({"validation": "none"} if k == 2 else {})})


def far_from(table: pd.DataFrame, rows: npt.NDArray[np.intp], others: npt.NDArray[np.intp], gap_s: float) -> Flags:
    """For each of `rows` whether it is at least `gap_s` [s] away from all of `others`, parts of one recording."""
    starts, ends = table["start"].fillna(0).to_numpy(), table["end"].fillna(np.inf).to_numpy()
    far = np.ones(len(rows), dtype=bool)
    for other in others:
        far &= (starts[rows] >= ends[other] + gap_s) | (ends[rows] <= starts[other] - gap_s)
    return far


def _of_named_parts(clips: Clips, protocol: Protocol) -> Protocol:
    """The protocol `fixed` of folds named like parts; without a test part, the validation part is tested."""
    by_part: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
    for fold in clips.folds:
        by_part[class_folders.part_named(fold)].append(fold)
    test, validation = by_part["test"], by_part["validation"]
    if not test:
        test, validation = validation, []
    parts = {"train": tuple(by_part["train"]), "val": tuple(validation), "test": tuple(test)}
    return Protocol.model_validate(protocol.model_dump() | {"kind": "fixed", "folds": ()} | parts)


def _of_groups(clips: Clips, protocol: Protocol) -> list[str]:
    return _of_label_sets(clips, protocol) if clips.multilabel else _grouped(clips, protocol)


def _of_label_sets(clips: Clips, protocol: Protocol) -> list[str]:
    """A fold for each clip: whole groups, each class spread evenly (`multilabel_folds`).

    The groups of a class that some training part would lack get no fold. Raises `FoldError` where fewer than two groups
    are left, or no class that some of their clips hold and others do not.
    """
    targets, originals = clips.targets(), clips.table["split_hint"].to_numpy() != "train"
    present, groups = targets > 0, np.unique(clips.table["group"], return_inverse=True)[1]
    of_group = np.zeros((groups.max() + 1, present.shape[1]), dtype=bool)
    np.logical_or.at(of_group, groups[originals], present[originals])
    tested = np.isin(np.arange(len(of_group)), groups[originals])
    tested &= ~of_group[:, of_group.sum(axis=0) == 1].any(axis=1)
    while tested.sum() > 1:
        rows = np.flatnonzero(tested[groups])
        if not ((targets[rows] > 0).any(axis=0) & (targets[rows] == 0).any(axis=0)).any():
            break
        k, found, lacking = min(protocol.k, int(tested.sum())), np.full(len(clips), "", dtype=object), list[int]()
        for trial in range(_TRIALS):
            folds = np.full(len(clips), "", dtype=object)
            folds[rows] = multilabel_folds(present[rows], groups[rows], k, protocol.seed + trial).astype(str)
            lost = list(dict.fromkeys(_lacking(present, folds, protocol)))
            if not trial or len(lost) < len(lacking):
                found, lacking = folds, lost
            if not lacking:
                return list(found)
        tested &= ~of_group[:, lacking].any(axis=1)
    each = examples(f"{label}: {count(int(of_group[:, k].sum()), 'recording')}" for k, label in enumerate(clips.labels))
    raise FoldError(
        f"{clips.name}: no class can be both trained and tested, as that takes recordings with and without it, three "
        f"at least with it ({each}). Add recordings"
        f"{', or use --group file if each file is a recording of its own' * (clips.group_source == 'guessed')}."
    )


def _grouped(clips: Clips, protocol: Protocol) -> list[str]:
    """A fold for each clip: whole groups, stratified by class (scikit-learn's `StratifiedGroupKFold`)."""
    from sklearn.model_selection import StratifiedGroupKFold

    labels, groups = clips.table["label"].to_numpy(), clips.table["group"].to_numpy()
    originals = clips.table["split_hint"].to_numpy() != "train"
    tested = _testable(labels, groups, originals)
    if len(set(labels[tested])) < 2:
        by_class = pd.Series(groups[originals]).groupby(labels[originals]).nunique()
        each = examples(f"{name}: {count(n, 'recording')}" for name, n in by_class.items())
        advice = ", or use --group file if each file is a recording of its own" * (clips.group_source == "guessed")
        raise FoldError(
            f"{clips.name}: fewer than two classes can be both trained and tested, as that takes two recordings of a "
            f"class ({each}). "
            f"Add recordings{advice}."
        )
    rows = np.flatnonzero(tested)
    counts = pd.Series(groups[tested & originals]).groupby(labels[tested & originals]).nunique()
    k = min(protocol.k, int(counts.min()))
    for trial in range(_TRIALS):
        found = np.full(len(clips), "", dtype=object)
        seed = protocol.seed + trial
        splitter = StratifiedGroupKFold(k, shuffle=True, random_state=seed)
        for number, (_, test) in enumerate(splitter.split(rows, labels[rows], groups[rows]), 1):
            found[rows[test]] = str(number)
        if k == 2 or next(_untrained(clips, found, protocol), None) is None:
            return list(found)
    missing = examples(_untrained(clips, found, protocol))
    raise FoldError(
        f"{clips.name}: in {k} folds some training part lacks the class {missing}, as its recordings also hold other "
        "classes. Ask for fewer folds (--folds 2), or add recordings of it."
    )


def _testable(labels: npt.NDArray[np.object_], groups: npt.NDArray[np.object_], originals: Flags) -> Flags:
    """Clips whose group may be tested: every class in it has another group."""
    tested = np.ones(len(labels), dtype=bool)
    while True:
        left = pd.Series(groups[tested & originals]).groupby(labels[tested & originals]).nunique()
        single = set(labels) - set(left.index[left > 1])
        now = tested & ~np.isin(groups, np.unique(groups[np.isin(labels, sorted(single))]))
        if (now == tested).all():
            return tested
        tested = now


def _untrained(clips: Clips, folds: npt.NDArray[np.object_], protocol: Protocol) -> Iterator[str]:
    """The classes that are missing from the training part of some split."""
    by_class = {label: rows for label, rows in sorted(clips.rows_of_classes().items()) if len(rows)}
    present = np.zeros((len(clips), len(by_class)), dtype=bool)
    for k, rows in enumerate(by_class.values()):
        present[rows, k] = True
    names = list(by_class)
    yield from (names[k] for k in _lacking(present, folds, protocol))


def _lacking(present: Flags, folds: npt.NDArray[np.object_], protocol: Protocol) -> Iterator[int]:
    """The classes `present` in some clip `[N, K]` that the training part of some split lacks."""
    names = in_order(set(folds) - {""})
    step = {"next": 1, "previous": -1, "none": 0}[protocol.validation] if len(names) > 2 else 0
    there = present.any(axis=0)
    for number, name in enumerate(names):
        out = {name, names[(number + step) % len(names)]}
        yield from np.flatnonzero(there & ~present[~np.isin(folds, sorted(out))].any(axis=0)).tolist()


def _timed(clips: Clips, protocol: Protocol) -> list[str]:
    """A fold for each clip of one recording: consecutive blocks of about as many clips, in the order of time."""
    order = np.argsort(clips.table["start"].to_numpy(), kind="stable")
    folds = np.full(len(clips), "", dtype=object)
    for k in range(min(protocol.k, len(clips)), 1, -1):
        for number, rows in enumerate(np.array_split(order, k), 1):
            folds[rows] = str(number)
        if next(_untrained(clips, folds, protocol), None) is None:
            return list(folds)
    raise FoldError(
        f"{clips.name}: one recording, and some class occurs in one stretch of it only "
        f"({examples(dict.fromkeys(_untrained(clips, folds, protocol)))}), so it cannot be both trained and tested. "
        "Annotate another recording, or another stretch with that class."
    )
