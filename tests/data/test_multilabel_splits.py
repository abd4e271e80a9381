"""Folds and splits of clips with label sets: whole groups, every class trained, and what is refused."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from hubbub.config.data import Protocol
from hubbub.data.clips import Clips, build
from hubbub.data.folds import FoldError, make_folds
from hubbub.data.leaks import Audit, audit
from hubbub.data.splits import SplitError, make_splits, restrict, untestable
from tests.helpers.tables import contents_of

GROUPED = Protocol(kind="grouped")


def clips_of(
    sets: list[tuple[str, ...]], groups: list[str] | None = None, labels: tuple[str, ...] = (), **columns: object
) -> Clips:
    names = [f"{n}.wav" for n in range(len(sets))]
    table = pd.DataFrame({"clip": names, "path": names, "group": groups or names, **columns})
    table["labels"], table["unknown"] = pd.Series(sets, dtype=object), [()] * len(sets)
    return build("sets", table, labels=labels)


def drawn(seed: int = 0, clips: int = 600, groups: int = 120) -> Clips:
    """Clips of eight classes, from one in two clips to one in fifty, in recordings of several clips."""
    rng = np.random.default_rng(seed)
    held = rng.random((clips, 8)) < np.geomspace(0.5, 0.02, 8)
    sets = [tuple(f"c{k}" for k in np.flatnonzero(row)) for row in held]
    return clips_of(sets, [f"g{n}" for n in rng.integers(0, groups, clips)], tuple(f"c{k}" for k in range(8)))


@pytest.mark.parametrize("seed", range(4))
def test_folds_keep_recordings_whole_and_train_and_test_every_class(seed: int) -> None:
    clips, protocol = make_folds(drawn(seed), GROUPED)
    assert protocol.k == 5 and clips.table.groupby("group")["fold"].nunique().max() == 1
    found = make_splits(clips, protocol)
    assert audit(clips, found, contents_of(clips)) == Audit() and untestable(clips, found) == []
    present = clips.targets() > 0
    shares = np.array([present[split.test].sum(axis=0) / present.sum(axis=0) for split in found])
    assert shares[:, :4].min() > 0.12 and shares[:, :4].max() < 0.28, "of a fifth each"
    assert all(present[split.train].any(axis=0).all() for split in found)
    again = make_splits(clips, protocol)
    assert all((a.test == b.test).all() for a, b in zip(found, again, strict=True))


def test_clips_that_hold_nothing_are_spread_too() -> None:
    clips = clips_of([("a",), ("b",), (), (), ("a", "b")] * 20)
    for split in make_splits(clips, GROUPED):
        assert (clips.table["label"].to_numpy()[split.test] == "(none)").sum() in range(5, 12)


def test_a_class_of_one_recording_trains_always_and_is_said_never_to_be_tested() -> None:
    clips = clips_of([("a",), ("b",), ("a", "b")] * 10 + [("a", "rare")])
    found = make_splits(clips, GROUPED)
    assert all(30 in split.train for split in found)
    (line,) = untestable(clips, found)
    assert line == "NEVER TESTED: class 'rare' (1 clip) is in no test part; it has one recording only"
    assert untestable(clips) == ["CANNOT BE TESTED: class 'rare' (1 clip) is of one recording or speaker"]


def test_a_class_of_two_recordings_is_never_without_training_clips() -> None:
    for seed in range(5):
        clips = clips_of([("a",), ("b",), ("a", "b")] * 10 + [("a", "rare"), ("b", "rare")])
        found = make_splits(clips, Protocol(kind="grouped", seed=seed))
        assert all((clips.targets()[split.train, clips.labels.index("rare")] > 0).any() for split in found)


def test_few_recordings_give_fewer_folds_and_one_gives_an_error() -> None:
    clips = clips_of([("a",), ("b",), ("a", "b"), ()] * 3, ["x", "y", "z"] * 4)
    assert make_folds(clips, GROUPED)[1].k == 3
    with pytest.raises(FoldError, match=r"no class can be both trained and tested, as that takes recordings with and"):
        make_folds(clips_of([("a",), ("b",)], ["x", "x"]), GROUPED)
    with pytest.raises(FoldError, match=r"\(a: 1 recording, b: 1 recording\)"):
        make_folds(clips_of([("a",), ("b",)]), GROUPED)


def test_one_class_is_enough_where_some_clips_are_without_it() -> None:
    clips = clips_of([("a",), ()] * 10)
    assert len(make_splits(clips, GROUPED)) == 5
    for sets in ([("a",)] * 10, [()] * 10):
        with pytest.raises(SplitError, match="there is nothing to tell apart"):
            make_splits(clips_of(sets, labels=("a",)), GROUPED)


def test_a_holdout_samples_every_class_by_recording() -> None:
    clips = drawn(3)
    (split,) = make_splits(clips, Protocol(kind="holdout", test_ratio=0.25, val_ratio=0.25))
    assert sorted(np.concatenate([rows for _, rows in split.parts()])) == list(range(len(clips)))
    assert audit(clips, [split], contents_of(clips)) == Audit()
    present = clips.targets() > 0
    for rows in (split.test, split.validation):
        shares = present[rows].sum(axis=0) / present.sum(axis=0)
        assert (np.abs(shares - 0.25) < 0.12).all() and abs(len(rows) / len(clips) - 0.25) < 0.05


def test_a_sampled_validation_part_takes_no_class_its_only_training_recording() -> None:
    sets = [("a",), ("b",), ("a", "b"), ()] * 10 + [("rare", "a")]
    folds = ["train"] * 41 + ["test"] * 2
    clips = clips_of([*sets, ("a",), ("rare", "b")], fold=folds)
    (split,) = make_splits(clips, Protocol(kind="fixed", train=("train",), test=("test",)))
    assert 40 in split.train and 0 < len(split.validation) < 15 and split.test.tolist() == [41, 42]


def test_a_class_without_training_clips_is_refused() -> None:
    clips = clips_of([("a",), ("b",), ("a", "b"), ("rare",)], fold=["1", "1", "2", "3"])
    with pytest.raises(SplitError, match=r"no training clip of test fold '3' has the label rare"):
        make_splits(clips, Protocol(kind="kfold", validation="none"))


def test_copies_are_not_tested_and_parts_can_be_restricted() -> None:
    clips = clips_of([("a",), ("b",), ("a", "b")] * 10, split_hint=["", "train", ""] * 10)
    found = make_splits(clips, GROUPED)
    hints = clips.table["split_hint"].to_numpy()
    assert all((hints[np.concatenate([split.test, split.validation])] == "").all() for split in found)
    folded, protocol = make_folds(clips, GROUPED)
    inside, _ = restrict(folded, found[0], protocol, ("train", "validation"))
    assert inside.multilabel and len(inside) == len(found[0].train) + len(found[0].validation)


def test_a_sound_with_two_label_sets_is_a_contradiction() -> None:
    clips = clips_of([("a",), ("a", "b"), ("b",), ("b",)])
    warnings = audit(clips, [], ["same", "same", "twice", "twice"]).warnings
    assert "one sound, two labels, 1 time: 0.wav 'a' = 1.wav 'a; b'" in warnings
    assert any(line.startswith("1 sound occurs more than once") for line in warnings)


def test_a_class_that_nobody_annotated_is_no_contradiction_to_learn_from() -> None:
    clips = clips_of([("a",), ("b",), ("a",), ("b",)] * 4, labels=("a", "b"))
    unknown = replace(clips, table=clips.table.assign(unknown=[("b",), (), (), ("a",)] * 4))
    assert unknown.targets()[:2].tolist() == [[1, -1], [0, 1]]
    assert len(make_splits(unknown, Protocol(kind="grouped", k=2))) == 2
