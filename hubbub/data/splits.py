"""Protocols: which clips train, which choose, which test; and the audit that no split escapes.

Each protocol yields `Split(name, train, validation, test)`, arrays of row numbers. `audit` raises `LeakError` where a
source recording, identical sound or an augmented copy would make the figure wrong. `hubbub` writes no result from a
split that has not passed it. This room does not know what is trained.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from hubbub.data import class_folders, made, recordings, values
from hubbub.data.clips import Clips
from hubbub.data.opening import open_section
from hubbub.errors import HubbubError, count, did_you_mean, examples
from hubbub.files import write_csv
from hubbub.recipe import Recipe
from hubbub.settings import Protocol

__all__ = [
    "Audit",
    "LeakError",
    "Split",
    "SplitError",
    "audit",
    "make",
    "open_clips",
    "part_of_groups",
    "repeated",
    "seal",
    "untestable",
    "write",
]

Rows = npt.NDArray[np.intp]
PARTS = ("train", "validation", "test")
_NO_TRAINING = {"validation", "test"}
_DRAWS = 20


class SplitError(HubbubError):
    """A protocol that these clips cannot follow."""


class LeakError(HubbubError):
    """A split whose test or validation part is not independent of training."""


@dataclass(frozen=True)
class Split:
    """Row numbers of the clips that train, choose and test; `name` is the test fold's.

    `unknown` are clips of the test fold whose classes are held out: they are in no part.
    """

    name: str
    train: Rows
    validation: Rows
    test: Rows
    unknown: Rows = field(default_factory=lambda: np.zeros(0, dtype=np.intp))

    def parts(self) -> Iterable[tuple[str, Rows]]:
        return zip(PARTS, (self.train, self.validation, self.test), strict=True)


@dataclass(frozen=True)
class Audit:
    """What the audit has to say: `warnings` to print, `leaks` that make every figure NOT COMPARABLE."""

    warnings: tuple[str, ...] = ()
    leaks: tuple[str, ...] = ()


def make(clips: Clips, protocol: Protocol) -> list[Split]:
    """The protocol's splits of these clips, in the order of their test folds. Raises `SplitError`.

    A clip whose `split_hint` is "train", as an augmented copy's, is left out of the parts that choose and test; files
    given by `csv` are taken as they are. A class that is not among `clips.labels` is held out of all parts.
    """
    present = sorted(set(clips.labels) & set(clips.table["label"]))
    if len(present) < 2:
        raise SplitError(
            f"{clips.name} has clips of {len(present)} class{'' if len(present) == 1 else 'es'} ({examples(present)}). "
            "Two classes are needed: a classifier of one is always right. Add recordings of what else is heard."
            + _wrapped(clips)
        )
    if protocol.kind in ("kfold", "logo"):
        splits = _rotate(clips, protocol)
    elif protocol.kind == "fixed":
        splits = [_fixed(clips, protocol)]
    elif protocol.kind == "holdout":
        splits = [_holdout(clips, protocol)]
    else:
        splits = [_given(clips)]
    if protocol.kind != "csv":
        splits = [
            replace(s, validation=_originals(clips, s.validation), test=_originals(clips, s.test)) for s in splits
        ]
    splits = [_without_held_out(clips, split) for split in splits]
    for split in splits:
        _refuse_empty(clips, split, protocol)
    return splits


def audit(clips: Clips, splits: Sequence[Split], contents: Sequence[str], *, allow_leaky: bool = False) -> Audit:
    """Hold every pair of parts of every split against each other.

    `contents` is one hash of the decoded sound a clip, "" where it could not be decoded. Groups that the official folds
    are known to straddle give one warning with their names; anything else raises `LeakError`, or is listed in `leaks`
    where `allow_leaky` is set.
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
            + ". Split by group (hubbub data split does), or see what it gives by --allow-leaky: everything written "
            "will say NOT COMPARABLE."
        )  # fmt: skip
    warnings = repeated(clips.table, hashes, clips.kind)
    if straddled:
        named = ", ".join(sorted(straddled))
        warnings.insert(0, f"the official folds of {clips.name} straddle source recordings: {named}")
    return Audit(tuple(warnings), tuple(leaks))


def seal(
    clips: Clips, split: Split, protocol: Protocol, parts: Sequence[str], validate: Sequence[str] = ()
) -> tuple[Clips, list[Split]]:
    """The clips of some parts of a split and no others, and the split of them; the other parts of it are empty.

    With `validate`, folds (groups under `logo`) of those clips validate in turn, trained on all the rest: one split
    each. Raises `SplitError` where a clip stands in a part of each kind and the protocol does not allow leaks.
    """
    given = dict(split.parts())
    kept = np.unique(np.concatenate([given[part] for part in parts]))
    closed = np.concatenate([rows for part, rows in split.parts() if part not in parts])
    if len(np.intersect1d(kept, closed)) and not protocol.allow_leaky:
        raise SplitError(f"{clips.name}: clips of {' and '.join(parts)} are also in a part that must stay closed.")
    inside = replace(clips, table=clips.table.iloc[kept].reset_index(drop=True))
    none = np.zeros(0, dtype=np.intp)
    if not validate:
        opened = {part: np.searchsorted(kept, rows) if part in parts else none for part, rows in split.parts()}
        return inside, [Split(split.name, **opened)]
    if protocol.kind not in ("kfold", "logo"):
        raise SplitError(f"{clips.name}: folds validate in turn under kfold and logo, not {protocol.kind}.")
    values = inside.table["fold" if protocol.kind == "kfold" else "group"].to_numpy()
    if split.name in validate:
        raise SplitError(f"{clips.name}: '{split.name}' is the test part, so it cannot validate. Name other folds.")
    _refuse_unknown(clips, validate, sorted(set(values)))
    turns = [(np.flatnonzero(values != fold), np.flatnonzero(values == fold)) for fold in validate]
    return inside, [Split(split.name, train, _originals(inside, chosen), none) for train, chosen in turns]


def untestable(clips: Clips, splits: Sequence[Split] = ()) -> list[str]:
    """The classes that no test part holds, one line each; without splits, those that no split can train and test: all
    their clips are of one recording or in a given test part, or there is no other class."""
    labels, lines = clips.table["label"], []
    if len(present := set(labels)) == 1:
        return [f"ONE CLASS ALONE: '{present.pop()}'; two classes are needed to train.{_wrapped(clips)}"]
    tested = set(labels.iloc[np.concatenate([split.test for split in splits])]) if splits else set()
    copies = clips.table["split_hint"] == "train"
    for label in clips.labels:
        own = clips.table[(labels == label) & ~copies]
        folds = examples(sorted(set(own["fold"])))
        if splits and label not in tested:
            lines.append(f"NEVER TESTED: class '{label}' ({count(len(own), 'clip')}) is in no test part")
        elif not splits and len(own) and {class_folders.part_named(fold) for fold in own["fold"]} <= _NO_TRAINING:
            lines.append(f"NO TRAINING CLIPS: class '{label}' ({count(len(own), 'clip')}) is only in fold {folds}")
        elif not splits and len(own) and (own["group"] != "").all() and own["group"].nunique() == 1:
            lines.append(
                f"CANNOT BE TESTED: class '{label}' ({count(len(own), 'clip')}) is of one recording or speaker"
            )
    return lines


def repeated(table: pd.DataFrame, contents: Iterable[str], kind: str) -> list[str]:
    """Which clips of a table are there more than once by their content, a line for those of one label and one for those
    of several; none where all differ. "" is not known."""
    what, by_content = kind.rstrip("s"), dict[str, list[tuple[str, str]]]()
    for clip, label, content in zip(table["clip"], table["label"], contents, strict=True):
        by_content.setdefault(content, []).append((clip, label))
    several = [clips for content, clips in by_content.items() if content and len(clips) > 1]
    torn = [" = ".join(f"{c} '{label}'" for c, label in clips) for clips in several if len({of for _, of in clips}) > 1]
    same = [" = ".join(clip for clip, _ in clips) for clips in several if len({of for _, of in clips}) == 1]
    lines = [f"one {what}, two labels, {count(len(torn), 'time')}: {examples(torn)}"] if torn else []
    stand = "stands" if len(same) == 1 else "stand"
    return [*lines, f"{count(len(same), what)} {stand} more than once: {examples(same)}"] if same else lines


def part_of_groups(labels: npt.NDArray[np.int64], groups: npt.ArrayLike, ratio: float, seed: int) -> Rows:
    """Rows of about `ratio` of the clips, whole groups only, each class in proportion.

    Groups are visited in a drawn order and taken where that brings the class counts nearer to what is asked; of
    several such parts the nearest is kept.
    """
    _, codes = np.unique(np.asarray(groups), return_inverse=True)
    counts = np.zeros((codes.max() + 1, labels.max() + 1))
    np.add.at(counts, (codes, labels), 1)
    rng = np.random.default_rng(seed)
    nearest, best = np.inf, np.zeros(len(counts), dtype=bool)
    for _ in range(_DRAWS):
        lacking, taken = counts.sum(axis=0) * ratio, np.zeros(len(counts), dtype=bool)
        for group in rng.permutation(len(counts)):
            if np.square(lacking - counts[group]).sum() < np.square(lacking).sum():
                taken[group], lacking = True, lacking - counts[group]
        if np.square(lacking).sum() < nearest:
            nearest, best = np.square(lacking).sum(), taken
    return np.flatnonzero(best[codes])


def open_clips(recipe: Recipe) -> Clips:
    """The recipe's clips; under `csv`, those of its split files, `split_hint` saying which file each came from.

    A clip that stands in two files keeps both rows, so that the audit finds it.
    """
    data, protocol = recipe.data, recipe.protocol
    opened = partial(open_section, data)
    if protocol.kind == "fixed":
        return _of_folds(opened(), {*protocol.train, *protocol.val, *protocol.test})
    if protocol.kind == "kfold" and protocol.train:
        clips = opened()
        out = [fold for fold in clips.folds if fold not in protocol.train]
        note = f"PART OF THE FOLDS: fold {', '.join(out)} took no part, neither in training nor in testing"
        return _of_folds(replace(clips, notes=(*clips.notes, note) if out else clips.notes), set(protocol.train))
    if protocol.kind != "csv":
        return opened()
    given = {
        part: names for part, names in zip(PARTS, (protocol.train, protocol.val, protocol.test), strict=True) if names
    }
    parts = {part: opened(names[0]) for part, names in given.items()}
    tables = [c.table.assign(split_hint=part, clip=part + ":" + c.table["clip"]) for part, c in parts.items()]
    first = next(iter(parts.values()))
    kinds, known = {c.kind for c in parts.values()}, [c.made for c in parts.values() if c.made is not None]
    if kinds - {"sound", "pictures"} or len(kinds) > 1 or any(made_of != known[0] for made_of in known):
        raise SplitError(
            f"{first.name}: the files given hold {' and '.join(sorted(kinds))}, or pictures made with other settings. "
            "Give lists of sounds, or of pictures of one making."
        )
    table = pd.concat(tables, ignore_index=True)
    joined, spelt = values.joined(list(table["group"]), "GROUPS")
    table["group"], torn = recordings.groups(
        joined, recordings.recordings(list(table["path"])), table[["start", "end"]]
    )
    warned = [*spelt, *torn, *values.similar(set(table["label"]))]
    copies = {part: int((c.table["split_hint"] == "train").sum()) for part, c in parts.items() if part != "train"}
    warned += [f"AUGMENTED COPIES: {count:,} in the {part} file" for part, count in copies.items() if count]
    return replace(
        first,
        table=table,
        made=first.made if len(known) == len(parts) else None,
        labels=data.labels or tuple(sorted({label for clips in parts.values() for label in clips.labels})),
        listed=sum(clips.listed for clips in parts.values()),
        missing=tuple(clip for clips in parts.values() for clip in clips.missing),
        notes=tuple(dict.fromkeys([*warned, *(note for clips in parts.values() for note in clips.notes)])),
    )


def write(clips: Clips, folder: Path, val_ratio: float, seed: int) -> tuple[list[Path], str]:
    """Grouped, stratified `train.csv` and `val.csv`: no source recording or speaker stands in both.

    Augmented copies stand in `train.csv` alone. Paths in the lists start from the folder that holds all the files,
    which is returned beside the lists: `protocol.kind = "csv"` takes them with it as `data.root`.
    """
    if clips.kind == "spectrograms":
        raise SplitError(f"{clips.name} holds spectrograms, which no list names. Split the sounds they were made of.")
    if made.holds_files(folder):
        raise SplitError(f"{folder} holds pictures or sounds that hubbub made. Write the lists to another folder.")
    val = part_of_groups(clips.targets(), clips.table["group"].to_numpy(), val_ratio, seed)
    train, val = np.setdiff1d(np.arange(len(clips)), val), _originals(clips, val)
    if not len(val) or not len(train):
        raise SplitError(
            f"{clips.name}: {clips.table['group'].nunique()} source recordings cannot give a validation part of "
            f"{val_ratio:g}. Ask for another ratio."
        )
    root = os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in clips.table["path"]])
    written = []
    for name, rows in (("train", train), ("val", val)):
        table = clips.table.iloc[rows]
        paths = [Path(os.path.relpath(path, root)).as_posix() for path in table["path"]]
        table = table.assign(path=paths)
        if clips.kind == "pictures":
            table = table.rename(columns={"path": "spec_file_name", "label": "class", "group": "source"})
            table["augmentation"] = np.where(table.pop("split_hint") == "train", "augmented", "original")
        write_csv(folder / f"{name}.csv", table)
        written.append(folder / f"{name}.csv")
    made.write_lists(clips, folder, [path.name for path in written])
    return written, root


def _of_folds(clips: Clips, named: set[str]) -> Clips:
    """The clips of the named folds: what takes no part need not be decoded. All of them where a name is unknown."""
    kept = clips.table["fold"].isin(named) | (not named <= set(clips.folds))
    return replace(clips, table=clips.table[kept].reset_index(drop=True))


def _rotate(clips: Clips, protocol: Protocol) -> list[Split]:
    column = "fold" if protocol.kind == "kfold" else "group"
    values = clips.table[column].to_numpy()
    if protocol.kind == "kfold":
        if (without := values == "").any():
            raise SplitError(
                f"{clips.name}: kfold needs a fold for every clip, and {without.sum():,} of {len(clips):,} have none "
                f"({examples(clips.table['clip'][without])}). Write it in their rows, name its column in "
                "[data.columns], or use holdout or logo."
            )
        _refuse_unknown(clips, protocol.train, list(clips.folds))
        folds = [fold for fold in clips.folds if not protocol.train or fold in protocol.train]
    else:
        folds = sorted(set(values))
    if len(folds) < 2 + (protocol.validation != "none"):
        raise SplitError(
            f"{clips.name}: {len(folds)} {column}s are too few for {protocol.kind} with validation "
            f"'{protocol.validation}'. Use holdout, or validation = 'none'."
        )
    if closed := [fold for fold in protocol.folds if protocol.train and fold not in protocol.train]:
        raise SplitError(f"protocol.train leaves out fold {', '.join(closed)} of protocol.folds. Name it in both.")
    _refuse_unknown(clips, protocol.folds, folds, " Name them by --folds or protocol.folds.")
    step = {"next": 1, "previous": -1, "none": 0}[protocol.validation]
    splits, taking_part = [], np.isin(values, folds)
    for index, fold in enumerate(folds):
        if protocol.folds and fold not in protocol.folds:
            continue
        test = values == fold
        chosen = values == folds[(index + step) % len(folds)] if step else np.zeros(len(values), dtype=bool)
        splits.append(
            Split(fold, np.flatnonzero(taking_part & ~test & ~chosen), np.flatnonzero(chosen), np.flatnonzero(test))
        )  # fmt: skip
    return splits


def _fixed(clips: Clips, protocol: Protocol) -> Split:
    for part in (protocol.train, protocol.val, protocol.test):
        _refuse_unknown(clips, part, list(clips.folds))
    train, val, test = (
        np.flatnonzero(clips.table["fold"].isin(part)) for part in (protocol.train, protocol.val, protocol.test)
    )
    return Split("+".join(protocol.test), train, val, test)


def _holdout(clips: Clips, protocol: Protocol) -> Split:
    # Held-out classes together are drawn from as one more.
    labels, groups = clips.targets() % (len(clips.labels) + 1), clips.table["group"].to_numpy()
    test = part_of_groups(labels, groups, protocol.test_ratio, protocol.seed)
    rest = np.setdiff1d(np.arange(len(clips)), test)
    share = 0.0 if protocol.validation == "none" else protocol.val_ratio / (1 - protocol.test_ratio)
    val = rest[part_of_groups(labels[rest], groups[rest], share, protocol.seed + 1)]
    return Split("holdout", np.setdiff1d(rest, val), val, test)


def _given(clips: Clips) -> Split:
    hints = clips.table["split_hint"].to_numpy()
    return Split("csv", *(np.flatnonzero(hints == part) for part in PARTS))


def _without_held_out(clips: Clips, split: Split) -> Split:
    known = clips.targets() >= 0
    parts = {part: rows[known[rows]] for part, rows in split.parts()}
    return Split(split.name, **parts, unknown=split.test[~known[split.test]])


def _originals(clips: Clips, rows: Rows) -> Rows:
    """Rows that are no augmented copies."""
    return rows[clips.table["split_hint"].to_numpy()[rows] != "train"]


def _refuse_unknown(clips: Clips, asked: Iterable[str], folds: list[str], advice: str = "") -> None:
    for fold in asked:
        if fold not in folds:
            raise SplitError(f"{clips.name} has no fold '{fold}'. {did_you_mean(fold, folds)}{advice}")


def _wrapped(clips: Clips) -> str:
    """What to do where the folders within the one class's folder may be the classes; "" where there are none."""
    places = [clip.split("/") for clip in clips.table["clip"]]
    inner = sorted({place[1] for place in places if len(place) > 2})
    if len(inner) < 2 or len({place[0] for place in places}) > 1:
        return ""
    path, clip = clips.table["path"].iloc[0], clips.table["clip"].iloc[0]
    if not path.endswith(clip):
        return ""
    return f" If its folders ({examples(inner)}) are the classes, name {path.removesuffix(clip)}{places[0][0]} instead."


def _refuse_empty(clips: Clips, split: Split, protocol: Protocol) -> None:
    for part, rows in split.parts():
        if not len(rows) and not (part == "validation" and protocol.validation == "none"):
            raise SplitError(
                f"{clips.name}, {protocol.kind}: the {part} part of '{split.name}' is empty. Name its clips."
            )
    labels = clips.table["label"].to_numpy()
    unlearnt = sorted(set(clips.labels) & set(labels) - set(labels[split.train]))
    if unlearnt:
        raise SplitError(
            f"{clips.name}: no training clip of test fold '{split.name}' has the label {examples(unlearnt)}. "
            "Give training clips of every class."
        )
