"""Splits by the protocols `kfold`, `grouped`, `time`, `logo`, `holdout`, `fixed` and `csv`: row numbers for training,
validation, test.

`leaks.audit` checks every split before anything is trained on it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from hubbub.config.data import Protocol
from hubbub.data import class_folders
from hubbub.data.clips import Clips
from hubbub.data.folds import MADE, decide, far_from, make_folds
from hubbub.errors import HubbubError, count, did_you_mean, examples

__all__ = [
    *("Split", "SplitError", "make_splits", "refuse_one_class", "restrict", "sample_groups", "untestable"),
    "without_copies",
]

Rows = npt.NDArray[np.intp]
PARTS = ("train", "validation", "test")
_NO_TRAINING = {"validation", "test"}
#: Protocols whose folds are the test part in turn.
ROTATING = ("kfold", *MADE, "logo")
_TRIALS = 20


class SplitError(HubbubError):
    """The protocol does not fit these clips."""


@dataclass(frozen=True)
class Split:
    """Row numbers of the training, validation and test clips; `name` is the test fold's.

    `unknown` are test clips of held-out classes, for open-set evaluation. They are in no part. Lists without a test
    part report the validation part: then `test` holds the same rows.
    """

    name: str
    train: Rows
    validation: Rows
    test: Rows
    unknown: Rows = field(default_factory=lambda: np.zeros(0, dtype=np.intp))

    def parts(self) -> Iterable[tuple[str, Rows]]:
        return zip(PARTS, (self.train, self.validation, self.test), strict=True)

    @property
    def without_test(self) -> bool:
        """Whether the validation part is reported, as there is no test part."""
        return len(self.test) > 0 and np.array_equal(self.validation, self.test)


def make_splits(clips: Clips, protocol: Protocol) -> list[Split]:
    """The protocol's splits of these clips, in the order of their test folds. Raises `SplitError`.

    Clips with the `split_hint` "train", such as augmented copies, are left out of validation and test, except under
    `csv`, whose lists are used as they are. Classes that are not in `clips.labels` are held out of all parts. Folds
    that are missing are made (`folds.make_folds`).
    """
    refuse_one_class(clips)
    clips, protocol = make_folds(clips, decide(clips, protocol))
    if protocol.kind in ROTATING:
        splits = _rotating(clips, protocol)
    elif protocol.kind == "fixed":
        splits = [_fixed(clips, protocol)]
    elif protocol.kind == "holdout":
        splits = [_holdout(clips, protocol)]
    else:
        splits = [_from_lists(clips)]
    if protocol.kind != "csv":
        splits = [
            replace(s, validation=without_copies(clips, s.validation), test=without_copies(clips, s.test))
            for s in splits
        ]
    splits = [_without_held_out(clips, split) for split in splits]
    for split in splits:
        _refuse_empty(clips, split, protocol)
    return splits


def refuse_one_class(clips: Clips) -> None:
    """Raises `SplitError` for clips of fewer than two classes; for clips with label sets where no class is in some of
    them and not in others."""
    if clips.multilabel:
        _refuse_nothing_to_tell(clips)
        return
    present = sorted(set(clips.labels) & set(clips.table["label"]))
    if len(present) < 2:
        raise SplitError(
            f"{clips.name} has clips of {len(present)} class{'' if len(present) == 1 else 'es'} ({examples(present)}). "
            "Two classes are needed: a classifier of one is always right. Add recordings of another class."
            + _wrapped(clips)
        )


def restrict(
    clips: Clips, split: Split, protocol: Protocol, parts: Sequence[str], validate: Sequence[str] = ()
) -> tuple[Clips, list[Split]]:
    """Only the clips of these parts of a split, and the split among them, whose other parts are empty.

    With `validate`, each of these folds (groups under `logo`) validates in turn, with all the rest for training: one
    split per fold. Raises `SplitError` where a clip is also in another part and the protocol does not allow leaks.
    """
    none = np.zeros(0, dtype=np.intp)
    if split.without_test:
        split = replace(split, test=none)
    by_part = dict(split.parts())
    rows_in = np.unique(np.concatenate([by_part[part] for part in parts]))
    closed = np.concatenate([rows for part, rows in split.parts() if part not in parts])
    if len(np.intersect1d(rows_in, closed)) and not protocol.allow_leaky:
        raise SplitError(f"{clips.name}: clips of {' and '.join(parts)} are also in a part that must stay unseen.")
    inside = replace(clips, table=clips.table.iloc[rows_in].reset_index(drop=True))
    if not validate:
        opened = {part: np.searchsorted(rows_in, rows) if part in parts else none for part, rows in split.parts()}
        return inside, [Split(split.name, **opened)]
    if protocol.kind not in ROTATING:
        raise SplitError(f"{clips.name}: folds validate in turn under {', '.join(ROTATING)}, not {protocol.kind}.")
    values = inside.table["group" if protocol.kind == "logo" else "fold"].to_numpy()
    if split.name in validate:
        raise SplitError(f"{clips.name}: '{split.name}' is the test part, so it cannot validate. Name other folds.")
    _refuse_unknown(clips, validate, sorted(set(values)))
    turns = [(np.flatnonzero(values != fold), np.flatnonzero(values == fold)) for fold in validate]
    return inside, [Split(split.name, train, without_copies(inside, chosen), none) for train, chosen in turns]


def untestable(clips: Clips, splits: Sequence[Split] = ()) -> list[str]:
    """One line per class that is in no test part. Without splits, one per class that no split can both train and test:
    all its clips are from one recording or in a fixed test part, or there is no other class."""
    table, lines = clips.table, list[str]()
    if not splits and clips.table["path"].nunique() == 1 and clips.table["start"].notna().all():
        return [
            "ONE RECORDING: training and test parts can only be stretches of it, so figures say nothing about other "
            "recordings. Annotate several"
        ]
    if not clips.multilabel and len(present := set(table["label"])) == 1:
        return [f"ONE CLASS ALONE: '{present.pop()}'; two classes are needed to train.{_wrapped(clips)}"]
    by_class, copies = clips.rows_of_classes(), table["split_hint"].to_numpy() == "train"
    tested = np.unique(np.concatenate([split.test for split in splits])) if splits else np.zeros(0, dtype=np.intp)
    for label in (label for label in clips.labels if not np.isin(by_class[label], tested).any()):
        rows = by_class[label]
        own = table.iloc[rows[~copies[rows]]]
        folds = examples(sorted(set(own["fold"])))
        if splits:
            one = "; it has one recording only" if own["group"].nunique() == 1 and (own["group"] != "").all() else ""
            lines.append(f"NEVER TESTED: class '{label}' ({count(len(own), 'clip')}) is in no test part{one}")
        elif len(own) and {class_folders.part_named(fold) for fold in own["fold"]} <= _NO_TRAINING:
            lines.append(f"NO TRAINING CLIPS: class '{label}' ({count(len(own), 'clip')}) is only in fold {folds}")
        elif len(own) and (own["group"] != "").all() and own["group"].nunique() == 1:
            lines.append(
                f"CANNOT BE TESTED: class '{label}' ({count(len(own), 'clip')}) is of one recording or speaker"
            )
    return lines


def sample_groups(targets: npt.NDArray[np.integer], groups: npt.ArrayLike, ratio: float, seed: int) -> Rows:
    """Rows of about `ratio` of the clips: whole groups only, stratified by class; `targets` are those of the clips.

    Groups are visited in random order and taken if that brings the class counts nearer to the target. The best of
    `_TRIALS` such samples is returned. `StratifiedGroupKFold` only makes parts of 1/k and would change every split.
    Of label sets `[clips, classes]`, rare classes weigh as much as frequent ones, and all clips as much as a class.
    """
    _, codes = np.unique(np.asarray(groups), return_inverse=True)
    if targets.ndim == 2:
        held = np.column_stack([targets > 0, np.ones(len(targets), dtype=bool)])
        counts = np.zeros((codes.max() + 1, held.shape[1]))
        np.add.at(counts, codes, held)
        counts /= np.sqrt(np.maximum(counts.sum(axis=0), 1))
    else:
        counts = np.zeros((codes.max() + 1, targets.max() + 1))
        np.add.at(counts, (codes, targets), 1)
    rng = np.random.default_rng(seed)
    nearest, best = np.inf, np.zeros(len(counts), dtype=bool)
    for _ in range(_TRIALS):
        lacking, taken = counts.sum(axis=0) * ratio, np.zeros(len(counts), dtype=bool)
        for group in rng.permutation(len(counts)):
            if np.square(lacking - counts[group]).sum() < np.square(lacking).sum():
                taken[group], lacking = True, lacking - counts[group]
        if np.square(lacking).sum() < nearest:
            nearest, best = np.square(lacking).sum(), taken
    return np.flatnonzero(best[codes])


def _rotating(clips: Clips, protocol: Protocol) -> list[Split]:
    column = "group" if protocol.kind == "logo" else "fold"
    values = clips.table[column].to_numpy()
    if protocol.kind == "kfold":
        if (without := values == "").any():
            raise SplitError(
                f"{clips.name}: kfold needs a fold for every clip, and {without.sum():,} of {len(clips):,} have none "
                f"({examples(clips.table['clip'][without])}). Write it in their rows, name another column (--set "
                "data.columns.fold=NAME), or have folds made: --set protocol.kind=grouped"
            )
        _refuse_unknown(clips, protocol.train, list(clips.folds))
        folds = [fold for fold in clips.folds if not protocol.train or fold in protocol.train]
    else:
        folds = sorted(set(values)) if protocol.kind == "logo" else list(clips.folds)
    if len(folds) < 2 + (protocol.validation != "none"):
        raise SplitError(
            f"{clips.name}: {len(folds)} {column}s are too few for {protocol.kind} with validation "
            f"'{protocol.validation}'. Use holdout, or validation = 'none'."
        )
    if closed := [fold for fold in protocol.folds if protocol.train and fold not in protocol.train]:
        raise SplitError(f"protocol.train leaves out fold {', '.join(closed)} of protocol.folds. Name it in both.")
    _refuse_unknown(clips, protocol.folds, folds, " Name them by --fold (train), --folds (bench) or protocol.folds.")
    step = {"next": 1, "previous": -1, "none": 0}[protocol.validation]
    splits, taking_part = [], np.isin(values, folds) | (values == "")  # made folds: no fold trains always
    for index, fold in enumerate(folds):
        if protocol.folds and fold not in protocol.folds:
            continue
        test = values == fold
        chosen = values == folds[(index + step) % len(folds)] if step else np.zeros(len(values), dtype=bool)
        train, validation = np.flatnonzero(taking_part & ~test & ~chosen), np.flatnonzero(chosen)
        if protocol.kind == "time":
            train = train[far_from(clips.table, train, np.flatnonzero(test | chosen), protocol.gap_s)]
            validation = validation[far_from(clips.table, validation, np.flatnonzero(test), protocol.gap_s)]
        splits.append(Split(fold, train, validation, np.flatnonzero(test)))
    return splits


def _fixed(clips: Clips, protocol: Protocol) -> Split:
    for part in (protocol.train, protocol.val, protocol.test):
        _refuse_unknown(clips, part, list(clips.folds))
    train, val, test = (
        np.flatnonzero(clips.table["fold"].isin(part)) for part in (protocol.train, protocol.val, protocol.test)
    )
    if not protocol.val and protocol.validation != "none":
        val = train[_sampled(clips, train, protocol.val_ratio, protocol.seed)]
        train = np.setdiff1d(train, val)
    return Split("+".join(protocol.test), train, val, test)


def _sampled(clips: Clips, rows: Rows, ratio: float, seed: int) -> Rows:
    """Positions in `rows` of about `ratio` of these clips: whole groups, stratified, none with a class's only group."""
    table, targets = clips.table.iloc[rows], _classes_of(clips)[rows]
    if clips.multilabel:
        present, codes = targets > 0, table.groupby("group", sort=False).ngroup().to_numpy()
        of_group = np.zeros((codes.max(initial=-1) + 1, present.shape[1]), dtype=bool)
        np.logical_or.at(of_group, codes, present)
        alone = np.asarray(of_group[:, of_group.sum(axis=0) == 1].any(axis=1))
        free = np.flatnonzero(~alone[codes])
    else:
        several = table.groupby("label")["group"].transform("nunique") > 1
        free = np.flatnonzero(several.groupby(table["group"]).transform("all"))
    if not len(free):
        return free
    return free[sample_groups(targets[free], table["group"].to_numpy()[free], ratio, seed)]


def _classes_of(clips: Clips) -> npt.NDArray[np.integer]:
    """The targets that a sample is stratified by: all held-out classes together are one more class."""
    targets = clips.targets()
    return targets if clips.multilabel else targets % (len(clips.labels) + 1)


def _holdout(clips: Clips, protocol: Protocol) -> Split:
    targets, groups = _classes_of(clips), clips.table["group"].to_numpy()
    test = sample_groups(targets, groups, protocol.test_ratio, protocol.seed)
    rest = np.setdiff1d(np.arange(len(clips)), test)
    share = 0.0 if protocol.validation == "none" else protocol.val_ratio / (1 - protocol.test_ratio)
    val = rest[sample_groups(targets[rest], groups[rest], share, protocol.seed + 1)]
    return Split("holdout", np.setdiff1d(rest, val), val, test)


def _from_lists(clips: Clips) -> Split:
    hints = clips.table["split_hint"].to_numpy()
    train, validation, test = (np.flatnonzero(hints == part) for part in PARTS)
    return Split("csv", train, validation, test) if len(test) else Split("validation", train, validation, validation)


def _without_held_out(clips: Clips, split: Split) -> Split:
    if clips.multilabel:
        return split
    known = clips.targets() >= 0
    parts = {part: rows[known[rows]] for part, rows in split.parts()}
    return Split(split.name, **parts, unknown=split.test[~known[split.test]])


def without_copies(clips: Clips, rows: Rows) -> Rows:
    """Rows that are not augmented copies."""
    return rows[clips.table["split_hint"].to_numpy()[rows] != "train"]


def _refuse_unknown(clips: Clips, asked: Iterable[str], folds: list[str], advice: str = "") -> None:
    for fold in asked:
        if fold not in folds:
            raise SplitError(f"{clips.name} has no fold '{fold}'. {did_you_mean(fold, folds)}{advice}")


def _refuse_nothing_to_tell(clips: Clips) -> None:
    """Raises `SplitError` where each class is in all clips for which it was annotated, or in none."""
    targets = clips.targets()
    if not ((targets > 0).any(axis=0) & (targets == 0).any(axis=0)).any():
        raise SplitError(
            f"{clips.name}: no class is in some of its clips and absent from others, so there is nothing to tell "
            "apart. Add recordings with and without it."
        )


def _wrapped(clips: Clips) -> str:
    """Advice where the folders inside the only class's folder may be the classes, else ""."""
    places = [clip.split("/") for clip in clips.table["clip"]]
    alike: list[str] = []
    for parts in zip(*(place[:-1] for place in places), strict=False):
        if len(set(parts)) > 1:
            break
        alike.append(parts[0])
    inner = sorted({place[len(alike)] for place in places if len(place) > len(alike) + 1})
    path, clip = clips.table["path"].iloc[0], clips.table["clip"].iloc[0]
    if len(inner) < 2 or not alike or not path.endswith(clip):
        return ""
    outer = path.removesuffix(clip) + "/".join(alike)
    return f" If its folders ({examples(inner)}) are the classes, name {outer} instead."


def _too_few(clips: Clips, needed: int) -> str:
    """Which classes have fewer recordings than parts, and what to do; "" where there are none."""
    groups = clips.table["group"]
    found = {label: groups.iloc[rows].nunique() for label, rows in clips.rows_of_classes().items() if len(rows)}
    few = [f"class '{label}' has {number}" for label, number in sorted(found.items()) if number < needed]
    return f"{examples(few)} and needs {needed}: one recording for each part. Add recordings." if few else ""


def _refuse_empty(clips: Clips, split: Split, protocol: Protocol) -> None:
    for part, rows in split.parts():
        if not len(rows) and not (part == "validation" and protocol.validation == "none"):
            raise SplitError(
                f"{clips.name}, {protocol.kind}: the {part} part of '{split.name}' is empty. "
                + (_too_few(clips, 2 + (protocol.validation != "none")) if protocol.kind == "holdout" else "")
                or "Name its clips."
            )
    by_class = clips.rows_of_classes()
    unlearnt = sorted(
        label for label in clips.labels if len(by_class[label]) and not np.isin(by_class[label], split.train).any()
    )
    if unlearnt:
        raise SplitError(
            f"{clips.name}: no training clip of test fold '{split.name}' has the label {examples(unlearnt)}. "
            "Give training clips of every class."
        )
