"""splits: every protocol gives the parts it promises."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hubbub.config.data import Protocol
from hubbub.data import splits
from hubbub.data.clip_lists import from_folder
from hubbub.data.clips import ClipsError, build, hold_out
from hubbub.data.leaks import Audit, LeakError, audit
from hubbub.data.splits import SplitError, make_splits
from tests.helpers.sounds import sounds
from tests.helpers.tables import clip_table, contents_of, folds_of, groups_of, is_a_partition, ragged, with_copies

# Rotations


@pytest.mark.parametrize(
    "validation, chosen", [("next", ["2", "3", "4", "5", "1"]), ("previous", ["5", "1", "2", "3", "4"])]
)
def test_kfold_validates_on_the_neighbouring_fold(validation: str, chosen: list[str]) -> None:
    clips = clip_table()
    found = make_splits(clips, Protocol(validation=validation))
    assert [s.name for s in found] == ["1", "2", "3", "4", "5"]
    assert [folds_of(clips, s.test) for s in found] == [[s.name] for s in found]
    assert [folds_of(clips, s.validation) for s in found] == [[fold] for fold in chosen]
    assert all(is_a_partition(clips, s) for s in found)
    assert audit(clips, found, contents_of(clips)) == Audit()


def test_kfold_without_validation_trains_on_all_others() -> None:
    clips = clip_table()
    for split in make_splits(clips, Protocol(validation="none")):
        assert len(split.validation) == 0 and folds_of(clips, split.test) == [split.name]
        assert is_a_partition(clips, split) and len(folds_of(clips, split.train)) == 4


def test_folds_rotate_in_the_order_of_their_numbers() -> None:
    clips = clip_table(folds=10, takes=1)
    found = make_splits(clips, Protocol())
    assert [s.name for s in found] == [str(k) for k in range(1, 11)]
    assert folds_of(clips, found[8].validation) == ["10"] and folds_of(clips, found[9].validation) == ["1"]


def test_some_folds_are_run_as_they_would_be_among_all() -> None:
    clips = clip_table()
    found, whole = make_splits(clips, Protocol(folds=("4", "2"))), make_splits(clips, Protocol())
    assert [s.name for s in found] == ["2", "4"]
    np.testing.assert_array_equal(found[0].validation, whole[1].validation)


def test_kfold_rotates_among_the_folds_that_take_part() -> None:
    clips = clip_table()
    found = make_splits(clips, Protocol(train=("1", "2", "3", "4")))
    assert [s.name for s in found] == ["1", "2", "3", "4"]
    assert [folds_of(clips, s.validation) for s in found] == [["2"], ["3"], ["4"], ["1"]]
    assert folds_of(clips, found[3].train) == ["2", "3"]
    alone = make_splits(clips, Protocol(train=("1", "2", "3", "4"), validation="none"))
    assert [folds_of(clips, s.train) for s in alone] == [
        ["2", "3", "4"],
        ["1", "3", "4"],
        ["1", "2", "4"],
        ["1", "2", "3"],
    ]
    with pytest.raises(SplitError, match=r"made has no fold '6'"):
        make_splits(clips, Protocol(train=("1", "6")))


def test_logo_leaves_each_group_out_once() -> None:
    table = clip_table(folds=1, labels=3, groups=2, takes=4).table
    speakers = table["clip"].str[-1].map("speaker {}".format)
    clips = build("spoken", table.assign(group=speakers, fold=""))
    found = make_splits(clips, Protocol(kind="logo"))
    assert [s.name for s in found] == ["speaker 0", "speaker 1", "speaker 2", "speaker 3"]
    for split in found:
        assert groups_of(clips, split.test) == {split.name} and len(groups_of(clips, split.validation)) == 1
        assert is_a_partition(clips, split)
    assert audit(clips, found, contents_of(clips)) == Audit()


def test_fixed_parts_are_the_folds_that_are_named() -> None:
    clips = clip_table(folds=4)
    (split,) = make_splits(clips, Protocol(kind="fixed", train=("1", "2"), val=("3",), test=("4",)))
    assert split.name == "4" and folds_of(clips, split.train) == ["1", "2"]
    assert folds_of(clips, split.validation) == ["3"] and folds_of(clips, split.test) == ["4"]
    (two,) = make_splits(clips, Protocol(kind="fixed", validation="none", train=("1", "2"), test=("3", "4")))
    assert two.name == "3+4" and len(two.validation) == 0


# Hold-outs


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("test_ratio, val_ratio", [(0.2, 0.2), (0.1, 0.3), (0.5, 0.25)])
def test_a_holdout_keeps_groups_whole_and_classes_in_proportion(test_ratio: float, val_ratio: float, seed: int) -> None:
    clips = ragged()
    (split,) = make_splits(clips, Protocol(kind="holdout", test_ratio=test_ratio, val_ratio=val_ratio, seed=seed))
    assert is_a_partition(clips, split)
    assert audit(clips, [split], contents_of(clips)) == Audit()
    shares = np.bincount(clips.targets()) / len(clips)
    for rows, ratio in ((split.test, test_ratio), (split.validation, val_ratio)):
        assert len(rows) / len(clips) == pytest.approx(ratio, abs=0.02)
        np.testing.assert_allclose(np.bincount(clips.targets()[rows], minlength=6) / len(rows), shares, atol=0.03)


def test_a_holdout_is_drawn_by_its_seed() -> None:
    clips = ragged()
    drawn = [make_splits(clips, Protocol(kind="holdout", seed=seed))[0] for seed in (0, 0, 1)]
    np.testing.assert_array_equal(drawn[0].test, drawn[1].test)
    np.testing.assert_array_equal(drawn[0].validation, drawn[1].validation)
    assert set(drawn[0].test) != set(drawn[2].test)


# What cannot be split


def test_an_unknown_fold_is_refused() -> None:
    with pytest.raises(
        SplitError, match=r"made has no fold '11'\. .*1.* Name them by --fold \(train\), --folds \(bench\) or"
    ):
        make_splits(clip_table(), Protocol(folds=("11",)))
    with pytest.raises(SplitError, match=r"made has no fold '6'"):
        make_splits(clip_table(), Protocol(kind="fixed", train=("1",), val=("2",), test=("6",)))


@pytest.mark.parametrize("left_out", ["train", "test"])
def test_an_empty_part_is_refused(left_out: str) -> None:
    given = {part: fold for part, fold in (("train", ("1",)), ("val", ("2",)), ("test", ("3",))) if part != left_out}
    with pytest.raises(SplitError, match=rf"made, fixed: the {left_out} part of '.*' is empty"):
        make_splits(clip_table(), Protocol(kind="fixed", **given))


def test_without_validation_folds_a_part_of_the_training_recordings_validates() -> None:
    clips = clip_table(groups=10)
    (split,) = make_splits(clips, Protocol(kind="fixed", train=("1", "2"), test=("3",)))
    assert folds_of(clips, split.test) == ["3"]
    assert folds_of(clips, np.append(split.train, split.validation)) == ["1", "2"]
    assert not groups_of(clips, split.train) & groups_of(clips, split.validation)
    assert len(split.validation) == pytest.approx(0.2 * 120, abs=6) and len(split.train) + len(split.validation) == 120
    assert set(clips.table["label"].iloc[split.validation]) == set(clips.labels)


def test_three_clips_name_the_classes_that_need_more() -> None:
    table = clip_table().table.iloc[[0, 8, 16]].assign(fold="")
    with pytest.raises(SplitError, match=r"class 'label0' has 1, class 'label1' has 1, .* and needs 3: one recording"):
        make_splits(build("few", table), Protocol(kind="holdout"))


def test_a_label_without_training_clips_is_refused() -> None:
    clips = clip_table()
    clips.table.loc[(clips.table["fold"] != "3") & (clips.table["label"] == "label2"), "label"] = "label1"
    with pytest.raises(SplitError, match=r"no training clip of test fold '2' has the label label2"):
        make_splits(clips, Protocol(folds=("2",)))


def test_too_few_folds_are_refused() -> None:
    with pytest.raises(SplitError, match=r"2 folds are too few for kfold with validation 'next'"):
        make_splits(clip_table(folds=2), Protocol())
    assert len(make_splits(clip_table(folds=2), Protocol(validation="none"))) == 2
    with pytest.raises(SplitError, match=r"kfold needs a fold for every clip, and 1,500 of 1,500 have none"):
        make_splits(ragged(), Protocol())
    some = clip_table(folds=3)
    some.table.loc[:1, "fold"] = ""
    first, second = some.table["clip"][:2]
    with pytest.raises(SplitError, match=rf"2 of {len(some)} have none \({first}, {second}\)\. Write it in their rows"):
        make_splits(some, Protocol())


# Augmented copies


@pytest.mark.parametrize(
    "protocol",
    [
        Protocol(),
        Protocol(validation="previous"),
        Protocol(validation="none"),
        Protocol(kind="fixed", train=("1", "2", "3"), val=("4",), test=("5",)),
        Protocol(kind="holdout"),
        Protocol(kind="logo"),
    ],
    ids=lambda p: f"{p.kind}-{p.validation}",
)
def test_copies_train_and_neither_choose_nor_test(protocol: Protocol) -> None:
    clips = with_copies()
    copies, originals = (np.flatnonzero((clips.table["split_hint"] == hint).to_numpy()) for hint in ("train", ""))
    alone = replace(clips, table=clips.table.iloc[originals].reset_index(drop=True))
    found = make_splits(clips, protocol)
    for split in found:
        assert np.isin(copies, split.train).any()
        assert not np.isin(split.validation, copies).any() and not np.isin(split.test, copies).any()
        assert not groups_of(clips, split.train) & groups_of(clips, split.test), "nor do copies of what is tested train"
    assert audit(clips, found, contents_of(clips)) == Audit()
    if protocol.kind != "holdout":  # which counts copies when it draws
        assert [len(s.test) for s in found] == [len(s.test) for s in make_splits(alone, protocol)]


def test_copies_do_not_choose_where_folds_validate_in_turn() -> None:
    clips = with_copies()
    (first, *_), parts = make_splits(clips, Protocol()), ("train", "validation")
    inside, turns = splits.restrict(clips, first, Protocol(), parts, ("3", "4"))
    hints = inside.table["split_hint"].to_numpy()
    for turn, fold in zip(turns, ("3", "4"), strict=True):
        assert set(inside.table["fold"].iloc[turn.validation]) == {fold}
        assert (hints[turn.validation] == "").all() and (hints[turn.train] == "train").any()


def test_a_fold_of_nothing_but_copies_tests_nothing() -> None:
    clips = with_copies()
    only_copies = clips.table[(clips.table["fold"] != "2") | (clips.table["split_hint"] == "train")]
    with pytest.raises(SplitError, match=r"the validation part of '1' is empty"):
        make_splits(replace(clips, table=only_copies.reset_index(drop=True)), Protocol())


# Classes that are held out


@pytest.mark.parametrize(
    "protocol",
    [
        Protocol(),
        Protocol(validation="none"),
        Protocol(kind="fixed", train=("1", "2"), val=("3",), test=("4", "5")),
        Protocol(kind="holdout", test_ratio=0.3, val_ratio=0.3),
    ],
    ids=lambda p: f"{p.kind} {p.validation}",
)
def test_held_out_classes_are_in_no_part_and_their_test_clips_beside_it(protocol: Protocol) -> None:
    clips = clip_table(labels=5)
    without = hold_out(clips, ("label1", "label3"))
    assert without.labels == ("label0", "label2", "label4") and len(without) == len(clips)
    assert without.notes == ("HELD OUT: 2 of 5 classes took no part (label1, label3); figures are over the other 3",)
    strange = without.targets() == -1
    assert set(clips.table["label"][strange]) == {"label1", "label3"}
    for split in make_splits(without, protocol):
        for _, rows in split.parts():
            assert not strange[rows].any()
        assert strange[split.unknown].all() and len(split.unknown)
        if protocol.kind == "holdout":
            assert len(split.unknown) / strange.sum() == pytest.approx(protocol.test_ratio, abs=0.05)
        else:
            there = clips.table["fold"].isin(folds_of(clips, split.test)) & strange
            assert list(split.unknown) == list(np.flatnonzero(there))
        assert audit(without, [split], contents_of(without)) == Audit()
    assert all(not len(split.unknown) for split in make_splits(clips, protocol))


def test_a_held_out_clip_of_a_training_recording_is_a_leak() -> None:
    clips = clip_table()
    clips.table.loc[clips.table["clip"] == "1-0-0-0", "group"] = "3-1-0"
    without = hold_out(clips, ("label0",))
    with pytest.raises(LeakError, match=r"train and held-out classes share 1 source recordings or speakers \(3-1-0\)"):
        audit(without, make_splits(without, Protocol()), contents_of(without))


def test_a_speaker_may_say_known_and_unknown_things_in_one_test_part() -> None:
    clips = clip_table(folds=1, labels=3, groups=2, takes=4)
    clips = replace(clips, table=clips.table.assign(group=clips.table["clip"].str[-1], fold=""))
    without = hold_out(clips, ("label2",))
    found = make_splits(without, Protocol(kind="logo"))
    assert audit(without, found, contents_of(without)) == Audit()
    assert [groups_of(clips, split.unknown) for split in found] == [{"0"}, {"1"}, {"2"}, {"3"}]


def test_what_cannot_be_held_out_is_refused() -> None:
    with pytest.raises(ClipsError, match="made has no class 'labl1' to hold out"):
        hold_out(clip_table(), ("labl1",))
    with pytest.raises(ClipsError, match="leaves 1 classes"):
        hold_out(clip_table(), ("label1", "label2"))
    clips = clip_table()
    assert hold_out(clips, ()) is clips


# Written lists


def test_two_lists_report_the_validation_part() -> None:
    clips = clip_table()
    hints = np.where(clips.table["fold"] == "1", "validation", "train")
    clips = replace(clips, table=clips.table.assign(split_hint=hints))
    (split,) = make_splits(clips, Protocol(kind="csv", train=("t",), val=("v",)))
    assert split.without_test and split.name == "validation"
    assert split.test.tolist() == split.validation.tolist() == np.flatnonzero(hints == "validation").tolist()
    own = replace(clips, table=clips.table.assign(split_hint=""))
    assert audit(own, [split], [str(n) for n in range(len(clips))]) == Audit()  # the part itself is no leak
    inside, (opened,) = splits.restrict(own, split, Protocol(kind="csv"), ("train", "validation"))
    assert len(inside) == len(clips) and not len(opened.test)


def test_a_hold_out_without_validation_trains_on_all_the_rest() -> None:
    clips = clip_table()
    (split,) = make_splits(clips, Protocol(kind="holdout", validation="none"))
    assert len(split.validation) == 0
    assert len(split.train) + len(split.test) == len(clips)
    with pytest.raises(ValueError, match="leave nothing to train on"):
        Protocol(kind="holdout", test_ratio=0.5, val_ratio=0.5)


@pytest.mark.parametrize("kind", ["kfold", "holdout", "logo"])
def test_one_class_alone_is_refused(kind: str) -> None:
    with pytest.raises(SplitError, match=r"has clips of 1 class \(label0\)\. Two classes are needed"):
        make_splits(clip_table(labels=1), Protocol(kind=kind))
    fewer = clip_table(labels=2)
    alone = replace(fewer, table=fewer.table[fewer.table["label"] == "label1"].reset_index(drop=True))
    with pytest.raises(SplitError, match="Two classes are needed"):
        make_splits(alone, Protocol(kind=kind))


def test_classes_that_are_never_tested_are_named() -> None:
    clips = clip_table()
    lone = clips.table.iloc[:1].assign(clip="x", label="thunder", group="x", fold="1")
    clips = build("made", pd.concat([clips.table, lone], ignore_index=True))
    assert splits.untestable(clips) == ["CANNOT BE TESTED: class 'thunder' (1 clip) is of one recording or speaker"]
    (split,) = make_splits(clips, Protocol(kind="holdout"))
    assert splits.untestable(clips, [split]) == [
        "NEVER TESTED: class 'thunder' (1 clip) is in no test part; it has one recording only"
    ]
    assert (
        splits.untestable(clip_table()) == [] == splits.untestable(clip_table(), make_splits(clip_table(), Protocol()))
    )


def test_classes_of_a_given_test_part_alone_have_no_training_clips(tmp_path: Path) -> None:
    sounds(tmp_path, "train/dog/1.wav", "train/siren/2.wav", "test/dog/3.wav", "test/cat/4.wav", "val/cat/5.wav")
    assert splits.untestable(from_folder(tmp_path)) == [
        "NO TRAINING CLIPS: class 'cat' (2 clips) is only in fold test, validation",
        "CANNOT BE TESTED: class 'siren' (1 clip) is of one recording or speaker",
    ]


def test_a_folder_around_the_class_folders_is_named(tmp_path: Path) -> None:
    sounds(tmp_path, "data/audio/dog/1.wav", "data/audio/dog/2.wav", "data/audio/cat/3.wav")
    clips = from_folder(tmp_path / "data")
    said = f" If its folders (cat, dog) are the classes, name {tmp_path / 'data' / 'audio'} instead."
    assert splits.untestable(clips) == [f"ONE CLASS ALONE: 'audio'; two classes are needed to train.{said}"]
    with pytest.raises(SplitError, match=re.escape(said)):
        make_splits(clips, Protocol(kind="holdout"))
    assert len(from_folder(tmp_path / "data" / "audio").labels) == 2
    sounds(tmp_path, "one/dog/first/1.wav", "one/dog/2.wav")
    assert splits.untestable(from_folder(tmp_path / "one")) == [
        "ONE CLASS ALONE: 'dog'; two classes are needed to train."
    ]
