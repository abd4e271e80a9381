"""Two or more data sets as one: a test part from elsewhere, and what parts of one data set must have in common."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from hubbub.data.clips import Clips, ClipsError
from hubbub.errors import count, did_you_mean, examples

__all__ = ["of_folds", "refuse_mixed", "timed_of", "with_test"]


def with_test(clips: Clips, test: Clips) -> Clips:
    """Two data sets as one, the folds `train` and `test`. Raises `ClipsError` where they do not fit together."""
    if clips.kind != test.kind:
        raise ClipsError(f"{clips.name} holds {clips.kind}, and the test data {test.name} {test.kind}. Give one kind.")
    if new := [label for label in test.labels if label not in clips.labels]:
        raise ClipsError(
            f"{test.name}: {count(len(new), 'class', 'classes')} of the test data cannot be learnt from {clips.name} "
            f"({examples(new)}). {did_you_mean(new[0], clips.labels)} Name the classes alike, or leave these out."
        )
    refuse_mixed([clips, test])
    notes, tables = [], []
    if clips.multilabel and (lost := [label for label in clips.labels if label not in test.labels]):
        # Nobody may have listened for them there, so they do not count as absent.
        unknown = [(*own, *lost) for own in test.table["unknown"]]
        test = replace(test, table=test.table.assign(unknown=pd.Series(unknown, index=test.table.index, dtype=object)))
        notes.append(
            f"NOT ANNOTATED: {count(len(lost), 'class', 'classes')} of {clips.name} not in the test data {test.name} "
            f"({examples(lost)}): nothing is said about them there. If they were sought, name all classes: --set "
            "data.labels=[...]"
        )
    for fold, one in (("train", clips), ("test", test)):
        own = one.group_source in ("file", "guessed")  # names from files, which may repeat in another folder
        groups = f"{fold}: " + one.table["group"] if own else one.table["group"]
        tables.append(one.table.assign(fold=fold, clip=f"{fold}/" + one.table["clip"], group=groups))
    if clips.folds:
        notes.append(f"FOLDS NOT USED: all clips of {clips.name} train, as {test.name} is the test part")
    return replace(
        clips,
        table=pd.concat(tables, ignore_index=True),
        listed=clips.listed + test.listed,
        missing=(*clips.missing, *test.missing),
        mixed={**clips.mixed, **test.mixed},
        timed=timed_of([clips, test]),
        notes=tuple(dict.fromkeys((*notes, *clips.notes, *test.notes))),
        left_out=(*clips.left_out, *test.left_out),
        fold_source="given",
    )


def refuse_mixed(parts: Sequence[Clips]) -> None:
    """Raises `ClipsError` where only some of these data have clips with several labels, or times of them."""
    for several, what in (
        ([one.multilabel for one in parts], "may hold several labels"),
        ([one.timed is not None for one in parts], "are parts of annotated recordings"),
    ):
        if any(several) and not all(several):
            one, other = parts[several.index(True)].name, parts[several.index(False)].name
            raise ClipsError(f"the clips of {one} {what}, and those of {other} do not. Give data of one kind.")


def timed_of(parts: Sequence[Clips]) -> pd.DataFrame | None:
    """The timed labels of all parts; None where they have none."""
    tables = [one.timed for one in parts if one.timed is not None]
    return pd.concat(tables, ignore_index=True).drop_duplicates(ignore_index=True) if tables else None


def of_folds(clips: Clips, named: set[str]) -> Clips:
    """The clips of these folds, so that others need not be decoded; all clips if a name is unknown."""
    rows = clips.table["fold"].isin(named) | (not named <= set(clips.folds))
    return replace(clips, table=clips.table[rows].reset_index(drop=True))
