"""splits: every protocol gives the parts it promises, and no leak passes the audit.

Each guard of the audit has a split that only that guard refuses.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image
from sklearn.model_selection import StratifiedShuffleSplit

from hubbub.config.recipe import Recipe
from hubbub.config.sections import Data, Protocol
from hubbub.data import splits
from hubbub.data.clip_lists import from_folder
from hubbub.data.clips import Clips, ClipsError, build, hold_out
from hubbub.data.datasets import DATASETS
from hubbub.data.leaks import Audit, LeakError, audit
from hubbub.data.open import open_clips, open_data
from hubbub.data.splits import Split, SplitError, make_splits
from tests.helpers.sounds import sounds as noises

Home = Callable[[str, str], Path]


def made(folds: int = 5, labels: int = 3, groups: int = 4, takes: int = 2) -> Clips:
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
    """As `made`, and of every clip a noisy copy."""
    clips = made()
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


def sounds(clips: Clips) -> list[str]:
    """A content hash for each clip, no two alike."""
    return list(clips.table["clip"])


def folds_of(clips: Clips, rows: splits.Rows) -> list[str]:
    return sorted(set(clips.table["fold"].to_numpy()[rows]))


def groups_of(clips: Clips, rows: splits.Rows) -> set[str]:
    return set(clips.table["group"].to_numpy()[rows])


def is_a_partition(clips: Clips, split: Split) -> bool:
    return sorted(np.concatenate([rows for _, rows in split.parts()])) == list(range(len(clips)))


# Rotations


@pytest.mark.parametrize(
    "validation, chosen", [("next", ["2", "3", "4", "5", "1"]), ("previous", ["5", "1", "2", "3", "4"])]
)
def test_kfold_validates_on_the_neighbouring_fold(validation: str, chosen: list[str]) -> None:
    clips = made()
    found = make_splits(clips, Protocol(validation=validation))
    assert [s.name for s in found] == ["1", "2", "3", "4", "5"]
    assert [folds_of(clips, s.test) for s in found] == [[s.name] for s in found]
    assert [folds_of(clips, s.validation) for s in found] == [[fold] for fold in chosen]
    assert all(is_a_partition(clips, s) for s in found)
    assert audit(clips, found, sounds(clips)) == Audit()


def test_kfold_without_validation_trains_on_all_others() -> None:
    clips = made()
    for split in make_splits(clips, Protocol(validation="none")):
        assert len(split.validation) == 0 and folds_of(clips, split.test) == [split.name]
        assert is_a_partition(clips, split) and len(folds_of(clips, split.train)) == 4


def test_folds_rotate_in_the_order_of_their_numbers() -> None:
    clips = made(folds=10, takes=1)
    found = make_splits(clips, Protocol())
    assert [s.name for s in found] == [str(k) for k in range(1, 11)]
    assert folds_of(clips, found[8].validation) == ["10"] and folds_of(clips, found[9].validation) == ["1"]


def test_some_folds_are_run_as_they_would_be_among_all() -> None:
    clips = made()
    found, whole = make_splits(clips, Protocol(folds=("4", "2"))), make_splits(clips, Protocol())
    assert [s.name for s in found] == ["2", "4"]
    np.testing.assert_array_equal(found[0].validation, whole[1].validation)


def test_kfold_rotates_among_the_folds_that_take_part() -> None:
    clips = made()
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


def test_folds_that_take_no_part_are_not_opened_and_every_result_says_so(tmp_path: Path) -> None:
    rows = [f"{fold}{name}.wav,{name},{fold}" for fold in "123" for name in "ab"]
    for row in rows:
        soundfile.write(tmp_path / row.split(",")[0], np.zeros(800), 8000)
    (tmp_path / "list.csv").write_text("\n".join(["path,label,fold", *rows]) + "\n")
    recipe = Recipe(data=Data(name=str(tmp_path / "list.csv")), protocol=Protocol(train=("1", "2"), validation="none"))
    clips = open_clips(recipe)
    assert clips.folds == ("1", "2") and len(clips) == 4
    assert "PART OF THE FOLDS: fold 3 took no part, neither in training nor in testing" in clips.notes
    assert [s.name for s in make_splits(clips, recipe.protocol)] == ["1", "2"]
    whole = open_clips(Recipe(data=recipe.data, protocol=Protocol(train=("1", "2", "3"))))
    assert len(whole) == 6 and not any("PART" in note for note in whole.notes)


def test_logo_leaves_each_group_out_once() -> None:
    table = made(folds=1, labels=3, groups=2, takes=4).table
    speakers = table["clip"].str[-1].map("speaker {}".format)
    clips = build("spoken", table.assign(group=speakers, fold=""))
    found = make_splits(clips, Protocol(kind="logo"))
    assert [s.name for s in found] == ["speaker 0", "speaker 1", "speaker 2", "speaker 3"]
    for split in found:
        assert groups_of(clips, split.test) == {split.name} and len(groups_of(clips, split.validation)) == 1
        assert is_a_partition(clips, split)
    assert audit(clips, found, sounds(clips)) == Audit()


def test_fixed_parts_are_the_folds_that_are_named() -> None:
    clips = made(folds=4)
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
    assert audit(clips, [split], sounds(clips)) == Audit()
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


# Given lists


@pytest.fixture
def lists(tmp_path: Path) -> Callable[..., Recipe]:
    """Writes lists of sounds, `lists(train="ab", test="c")`, and gives the recipe that takes them."""
    rng = np.random.default_rng(0)
    for name in "abcdefgh":
        soundfile.write(tmp_path / f"{name}.wav", rng.normal(0, 0.1, 800), 8000)

    def write(columns: str = "path,label,group", **parts: str) -> Recipe:
        for part, names in parts.items():
            lines = [f"{n}.wav,{'dog' if n in 'aceg' else 'cat'},{n if columns else ''}" for n in names]
            (tmp_path / f"{part}.csv").write_text("\n".join([columns, *lines]) + "\n")
        given = {part: (str(tmp_path / f"{part}.csv"),) for part in parts}
        validation = "next" if "val" in parts else "none"
        return Recipe(data=Data(name="given"), protocol=Protocol(kind="csv", validation=validation, **given))

    return write


def test_csv_parts_are_the_lists_that_are_given(lists: Callable[..., Recipe]) -> None:
    recipe = lists(train="abcd", val="ef", test="gh")
    clips = open_clips(recipe)
    (split,) = make_splits(clips, recipe.protocol)
    names = [[Path(clips.table["path"][row]).stem for row in rows] for _, rows in split.parts()]
    assert names == [["a", "b", "c", "d"], ["e", "f"], ["g", "h"]]
    assert audit(clips, [split], sounds(clips)) == Audit()
    assert clips.labels == ("cat", "dog") and clips.listed == len(clips) == 8


def test_csv_lists_that_share_a_file_leak(lists: Callable[..., Recipe]) -> None:
    recipe = lists(train="abcd", val="ef", test="gha")
    clips = open_clips(recipe)
    with pytest.raises(LeakError, match=r"train and test share 1 source recordings or speakers \(a\)"):
        audit(clips, make_splits(clips, recipe.protocol), sounds(clips))


def test_csv_lists_obey_labels_and_limit(lists: Callable[..., Recipe]) -> None:
    recipe = lists(train="abcd", test="gh")
    ordered = open_clips(recipe.model_copy(update={"data": Data(name="given", labels=("dog", "cat"), limit=1)}))
    assert ordered.labels == ("dog", "cat") and len(ordered) == 4
    assert any(note.startswith("REDUCED DATA") for note in ordered.notes)
    with pytest.raises(Exception, match="unknown label 'cat'"):
        open_clips(recipe.model_copy(update={"data": Data(name="given", labels=("dog",))}))


def test_csv_without_groups_takes_each_file_for_one(lists: Callable[..., Recipe]) -> None:
    recipe = lists("path,label,x", train="abcd", test="gh")
    clips = open_clips(recipe)
    assert audit(clips, make_splits(clips, recipe.protocol), sounds(clips)) == Audit()
    assert [note.split(":")[0] for note in clips.notes] == ["NO GROUPS", "NO GROUPS"]


# What cannot be split


def test_an_unknown_fold_is_refused() -> None:
    with pytest.raises(SplitError, match=r"made has no fold '11'\. .*1.* Name them by --folds or protocol\.folds"):
        make_splits(made(), Protocol(folds=("11",)))
    with pytest.raises(SplitError, match=r"made has no fold '6'"):
        make_splits(made(), Protocol(kind="fixed", train=("1",), val=("2",), test=("6",)))


@pytest.mark.parametrize("left_out", ["train", "val", "test"])
def test_an_empty_part_is_refused(left_out: str) -> None:
    given = {part: fold for part, fold in (("train", ("1",)), ("val", ("2",)), ("test", ("3",))) if part != left_out}
    part = {"val": "validation"}.get(left_out, left_out)
    with pytest.raises(SplitError, match=rf"made, fixed: the {part} part of '.*' is empty"):
        make_splits(made(), Protocol(kind="fixed", **given))


def test_a_label_without_training_clips_is_refused() -> None:
    clips = made()
    clips.table.loc[(clips.table["fold"] != "3") & (clips.table["label"] == "label2"), "label"] = "label1"
    with pytest.raises(SplitError, match=r"no training clip of test fold '2' has the label label2"):
        make_splits(clips, Protocol(folds=("2",)))


def test_too_few_folds_are_refused() -> None:
    with pytest.raises(SplitError, match=r"2 folds are too few for kfold with validation 'next'"):
        make_splits(made(folds=2), Protocol())
    assert len(make_splits(made(folds=2), Protocol(validation="none"))) == 2
    with pytest.raises(SplitError, match=r"kfold needs a fold for every clip, and 1,500 of 1,500 have none"):
        make_splits(ragged(), Protocol())
    some = made(folds=3)
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
    assert audit(clips, found, sounds(clips)) == Audit()
    if protocol.kind != "holdout":  # which counts copies when it draws
        assert [len(s.test) for s in found] == [len(s.test) for s in make_splits(alone, protocol)]


def test_a_fold_of_nothing_but_copies_tests_nothing() -> None:
    clips = with_copies()
    only_copies = clips.table[(clips.table["fold"] != "2") | (clips.table["split_hint"] == "train")]
    with pytest.raises(SplitError, match=r"the validation part of '1' is empty"):
        make_splits(replace(clips, table=only_copies.reset_index(drop=True)), Protocol())


# The audit, guard by guard


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
    clips = made(labels=5)
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
        assert audit(without, [split], sounds(without)) == Audit()
    assert all(not len(split.unknown) for split in make_splits(clips, protocol))


def test_a_held_out_clip_of_a_training_recording_is_a_leak() -> None:
    clips = made()
    clips.table.loc[clips.table["clip"] == "1-0-0-0", "group"] = "3-1-0"
    without = hold_out(clips, ("label0",))
    with pytest.raises(LeakError, match=r"train and held-out classes share 1 source recordings or speakers \(3-1-0\)"):
        audit(without, make_splits(without, Protocol()), sounds(without))


def test_a_speaker_may_say_known_and_unknown_things_in_one_test_part() -> None:
    clips = made(folds=1, labels=3, groups=2, takes=4)
    clips = replace(clips, table=clips.table.assign(group=clips.table["clip"].str[-1], fold=""))
    without = hold_out(clips, ("label2",))
    found = make_splits(without, Protocol(kind="logo"))
    assert audit(without, found, sounds(without)) == Audit()
    assert [groups_of(clips, split.unknown) for split in found] == [{"0"}, {"1"}, {"2"}, {"3"}]


def test_what_cannot_be_held_out_is_refused() -> None:
    with pytest.raises(ClipsError, match="made has no class 'labl1' to hold out"):
        hold_out(made(), ("labl1",))
    with pytest.raises(ClipsError, match="leaves 1 classes"):
        hold_out(made(), ("label1", "label2"))
    clips = made()
    assert hold_out(clips, ()) is clips


def split_of(clips: Clips) -> Split:
    return make_splits(clips, Protocol())[0]


def test_a_recording_in_two_parts_is_a_leak() -> None:
    clips = made()
    clips.table.loc[clips.table["clip"] == "1-0-0-0", "group"] = "3-0-0"
    clips.table.loc[clips.table["clip"] == "2-0-0-0", "group"] = "4-0-0"
    with pytest.raises(LeakError) as caught:
        audit(clips, [split_of(clips)], sounds(clips))
    assert "test fold 1: train and test share 1 source recordings or speakers (3-0-0)" in str(caught.value)
    assert "test fold 1: train and validation share 1 source recordings or speakers (4-0-0)" in str(caught.value)
    assert "--allow-leaky" in str(caught.value) and "identical" not in str(caught.value)


def test_a_recording_in_validation_and_test_is_a_leak() -> None:
    clips = made()
    clips.table.loc[clips.table["clip"] == "1-0-0-0", "group"] = "2-0-0"
    with pytest.raises(LeakError, match=r"test fold 1: validation and test share 1 source recordings or speakers"):
        audit(clips, [split_of(clips)], sounds(clips))


def test_identical_sounds_in_two_parts_are_a_leak() -> None:
    clips = made()
    contents = sounds(clips)
    one, same, other = (contents.index(clip) for clip in ("1-0-0-0", "3-0-0-0", "4-0-0-0"))
    contents[same] = contents[other] = contents[one]  # twice in training: those two are none
    with pytest.raises(LeakError, match=r"train and test hold identical sounds \(3-0-0-0 = 1-0-0-0\)") as caught:
        audit(clips, [split_of(clips)], contents)
    assert "share" not in str(caught.value)


def test_sounds_that_could_not_be_decoded_are_not_identical() -> None:
    clips = made()
    assert audit(clips, make_splits(clips, Protocol()), [""] * len(clips)) == Audit()


@pytest.mark.parametrize("fold, part", [("1", "test"), ("2", "validation")])
def test_an_augmented_copy_outside_training_is_a_leak(fold: str, part: str) -> None:
    clips = made()
    split = split_of(clips)  # as if no copy were known
    clips.table.loc[clips.table["clip"] == f"{fold}-0-0-0", "split_hint"] = "train"
    with pytest.raises(LeakError, match=rf"test fold 1: augmented copies in {part} \({fold}-0-0-0\)") as caught:
        audit(clips, [split], sounds(clips))
    assert "share" not in str(caught.value)
    assert audit(clips, [make_splits(clips, Protocol())[2]], sounds(clips)) == Audit(), "in training it may stand"


def test_a_clip_in_two_parts_is_a_leak() -> None:
    clips = made()
    clips.table["group"] = ""
    split = split_of(clips)
    both = replace(split, train=np.append(split.train, split.test[:2]))
    straddling = replace(clips, straddling=frozenset({""}))  # so that the group does not give it away
    with pytest.raises(LeakError, match=r"train and test share 2 clips \(1-0-0-0, 1-0-0-1\)") as caught:
        audit(straddling, [both], sounds(clips))
    assert "identical" not in str(caught.value) and "recordings" not in str(caught.value)


def test_every_split_is_audited() -> None:
    clips = made()
    clips.table.loc[clips.table["clip"] == "4-0-0-0", "group"] = "5-0-0"
    assert audit(clips, make_splits(clips, Protocol(folds=("2",))), sounds(clips)) == Audit(), "both in training"
    with pytest.raises(LeakError, match="test fold 4: validation and test share"):
        audit(clips, make_splits(clips, Protocol()), sounds(clips))


def test_allow_leaky_lists_what_would_be_raised() -> None:
    clips = made()
    split = split_of(clips)
    clips.table.loc[clips.table["clip"] == "1-0-0-0", ["group", "split_hint"]] = ["3-0-0", "train"]
    contents = sounds(clips)
    contents[contents.index("1-1-0-0")] = "3-1-0-0"
    found = audit(clips, [split], contents, allow_leaky=True)
    assert found.warnings == ("1 sound occurs more than once: 1-1-0-0 = 3-1-0-0",) and len(found.leaks) == 3
    with pytest.raises(LeakError) as caught:
        audit(clips, [split], contents)
    assert all(leak in str(caught.value) for leak in found.leaks)


# Straddling recordings of the official folds


def test_known_straddling_recordings_are_one_warning_with_their_names() -> None:
    known = DATASETS["urbansound8k"].straddling
    clips = made(folds=10)
    for number, group in enumerate(sorted(known)):
        clips.table.loc[clips.table["fold"].isin([str(2 * number + 1), str(2 * number + 2)])
                        & clips.table["clip"].str.endswith("-0-0-0"), "group"] = group  # fmt: skip
    with pytest.raises(LeakError, match=r"share 1 source recordings or speakers \(106905\)"):
        audit(clips, make_splits(clips, Protocol()), sounds(clips))
    official = replace(clips, straddling=known)
    assert audit(official, make_splits(clips, Protocol()), sounds(clips)) == Audit(
        warnings=("the official folds of made straddle source recordings: 106905, 132016, 176638, 180937, 77751",)
    )
    # Any other group is an error still.
    clips.table.loc[clips.table["clip"] == "1-1-1-0", "group"] = "3-1-1"
    with pytest.raises(LeakError, match=r"share 1 source recordings or speakers \(3-1-1\)"):
        audit(official, make_splits(clips, Protocol()), sounds(clips))


@pytest.mark.parametrize(
    "name, warned",
    [
        ("esc50", "131943, 134049, 209698, 234879"),
        ("esc10", ""),
        ("urbansound8k", "132016, 176638"),
        ("emodb", ""),
    ],
)
def test_official_folds_pass_with_their_warning(home: Home, name: str, warned: str) -> None:
    home("data", "urbansound8k/metadata/present.csv" if name == "urbansound8k" else DATASETS[name].folder)
    clips = open_data(name, allow_missing=name == "urbansound8k")
    kind = "logo" if name == "emodb" else "kfold"
    found = audit(clips, make_splits(clips, Protocol(kind=kind)), sounds(clips))
    line = f"the official folds of {name} straddle source recordings: {warned}"
    assert found == Audit(warnings=(line,) if warned else ())


def test_system_as_split_of_urbansound8k(home: Home) -> None:
    home("data", "urbansound8k")
    clips = open_data("urbansound8k", allow_missing=True)
    folds = tuple(str(k) for k in range(1, 9))
    (split,) = make_splits(clips, Protocol(kind="fixed", train=folds, val=("9",), test=("10",)))
    assert len(split.test) == 837 and audit(clips, [split], sounds(clips)).leaks == ()


def test_a_random_split_of_esc50_leaks(home: Home) -> None:
    """What many published figures rest on: stratified, but blind to the source recording."""
    home("data", "esc50")
    clips = open_data("esc50")
    train, rest = next(StratifiedShuffleSplit(1, test_size=0.4, random_state=0).split(clips.table, clips.targets()))
    split = Split("random", train, rest[::2], rest[1::2])
    with pytest.raises(LeakError, match=r"esc50: this split leaks.*test fold random: train and test share \d+ source"):
        audit(clips, [split], sounds(clips))


def test_grouped_holdouts_of_real_data_pass(home: Home) -> None:
    for name in ("esc50", "emodb"):
        home("data", name)
        clips = open_data(name)
        found = make_splits(clips, Protocol(kind="holdout", test_ratio=0.2, val_ratio=0.2))
        assert audit(clips, found, sounds(clips)) == Audit()
        # EmoDB's ten speakers are a coarse measure.
        assert len(found[0].test) / len(clips) == pytest.approx(0.2, abs=0.01 if name == "esc50" else 0.05)


# Written lists


def test_written_lists_share_no_group_and_are_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / "pets" / label).mkdir(parents=True)
        for i in range(20):
            soundfile.write(tmp_path / "pets" / label / f"{i}.wav", rng.normal(0, 0.1, 400), 8000)
    clips = open_data("pets")
    clips.table["group"] = clips.table["label"] + clips.table["clip"].str.extract(r"(\d+)")[0].astype(int).floordiv(
        2
    ).astype(str)
    written, root = splits.write_lists(clips, tmp_path / "lists", 0.3, seed=1)
    assert root == str(tmp_path / "pets")
    assert [path.name for path in written] == ["train.csv", "val.csv"]
    train, val = (pd.read_csv(path) for path in written)
    assert len(train) + len(val) == 40 and len(val) == pytest.approx(12, abs=2)
    assert set(train["group"]).isdisjoint(val["group"]) and set(train["label"]) == set(val["label"]) == {"cat", "dog"}
    assert all((Path(root) / path).is_file() for path in train["path"])
    recipe = Recipe(
        data=Data(name="pets", root=root),
        protocol=Protocol(kind="csv", validation="none", train=(str(written[0]),), test=(str(written[1]),)),
    )
    again = open_clips(recipe)
    (split,) = make_splits(again, recipe.protocol)
    assert (len(split.train), len(split.test)) == (len(train), len(val))
    assert again.notes == clips.notes and again.name == "pets, lists"  # what was known of the whole stays known
    assert audit(again, [split], sounds(again)) == Audit()
    same, _ = splits.write_lists(clips, tmp_path / "again", 0.3, seed=1)
    assert [path.read_bytes() for path in same] == [path.read_bytes() for path in written]


def test_lists_that_cannot_be_are_refused(tmp_path: Path) -> None:
    clips = made()
    clips.table["group"] = "all"
    with pytest.raises(SplitError, match=r"1 source recordings cannot give a validation part of 0\.2"):
        splits.write_lists(clips, tmp_path, 0.2, seed=0)
    assert list(tmp_path.iterdir()) == []


def test_a_hold_out_without_validation_trains_on_all_the_rest() -> None:
    clips = made()
    (split,) = make_splits(clips, Protocol(kind="holdout", validation="none"))
    assert len(split.validation) == 0
    assert len(split.train) + len(split.test) == len(clips)
    with pytest.raises(ValueError, match="leave nothing to train on"):
        Protocol(kind="holdout", test_ratio=0.5, val_ratio=0.5)


def test_copies_stay_copies_in_written_lists(tmp_path: Path) -> None:
    rows = []
    for k in range(12):
        for variant in ("orig", "noisy"):
            soundfile.write(tmp_path / f"{k}_{variant}.wav", np.full(400, 0.01 * (k + 1)), 8000)
            hint = "" if variant == "orig" else "train"
            row = {"path": f"{k}_{variant}.wav", "label": "ab"[k % 2], "group": f"g{k}", "split_hint": hint}
            rows.append(row)
    pd.DataFrame(rows).to_csv(tmp_path / "all.csv", index=False)
    (train, val), root = splits.write_lists(open_data(str(tmp_path / "all.csv")), tmp_path / "lists", 0.3, seed=0)
    again = open_data(str(train), root=root)
    assert (again.table["split_hint"] == "train").sum() == len(again) // 2
    assert set(open_data(str(val), root=root).table["split_hint"]) == {""}
    with pytest.raises(SplitError, match="holds images or sounds that hubbub made"):
        (tmp_path / "made").mkdir()
        (tmp_path / "made" / "made.json").write_text('{"file": "spectrograms.csv"}')
        splits.write_lists(again, tmp_path / "made", 0.3, seed=0)


def test_given_lists_that_share_a_recording_by_a_link_leak(tmp_path: Path) -> None:
    names = [f"{n}.wav" for n in range(4)]
    for number, name in enumerate(names):
        noise = np.random.default_rng(number).normal(0, 0.1, 8000)
        soundfile.write(tmp_path / name, noise, 8000)
    (tmp_path / "3.wav").unlink()
    (tmp_path / "3.wav").symlink_to("0.wav")  # another part of it than the training part
    (tmp_path / "train.csv").write_text("path,label,start,end\n0.wav,a,0,0.6\n1.wav,b,,\n")
    (tmp_path / "test.csv").write_text("path,label,start,end\n3.wav,a,0.4,1\n2.wav,B,,\n")
    train, test = (str(tmp_path / f"{name}.csv") for name in ("train", "test"))
    recipe = Recipe.load("street-cnn", ["data.name=x"])
    protocol = Protocol(kind="csv", validation="none", train=(train,), test=(test,))
    clips = open_clips(recipe.model_copy(update={"protocol": protocol}))
    assert clips.table["group"].nunique() == 3
    assert "SIMILAR LABELS: 'B' and 'b': probably one class; give both one name" in clips.notes
    with pytest.raises(LeakError, match="share 1 source recordings"):
        audit(clips, [splits.Split("csv", np.array([0, 1]), np.array([], int), np.array([2, 3]))], ["", "", "", ""])


@pytest.mark.parametrize("kind", ["kfold", "holdout", "logo"])
def test_one_class_alone_is_refused(kind: str) -> None:
    with pytest.raises(SplitError, match=r"has clips of 1 class \(label0\)\. Two classes are needed"):
        make_splits(made(labels=1), Protocol(kind=kind))
    fewer = made(labels=2)
    alone = replace(fewer, table=fewer.table[fewer.table["label"] == "label1"].reset_index(drop=True))
    with pytest.raises(SplitError, match="Two classes are needed"):
        make_splits(alone, Protocol(kind=kind))


def test_classes_that_are_never_tested_are_named() -> None:
    clips = made()
    lone = clips.table.iloc[:1].assign(clip="x", label="thunder", group="x", fold="1")
    clips = build("made", pd.concat([clips.table, lone], ignore_index=True))
    assert splits.untestable(clips) == ["CANNOT BE TESTED: class 'thunder' (1 clip) is of one recording or speaker"]
    (split,) = make_splits(clips, Protocol(kind="holdout"))
    assert splits.untestable(clips, [split]) == ["NEVER TESTED: class 'thunder' (1 clip) is in no test part"]
    assert splits.untestable(made()) == [] == splits.untestable(made(), make_splits(made(), Protocol()))


def test_classes_of_a_given_test_part_alone_have_no_training_clips(tmp_path: Path) -> None:
    noises(tmp_path, "train/dog/1.wav", "train/siren/2.wav", "test/dog/3.wav", "test/cat/4.wav", "val/cat/5.wav")
    assert splits.untestable(from_folder(tmp_path)) == [
        "NO TRAINING CLIPS: class 'cat' (2 clips) is only in fold test, validation",
        "CANNOT BE TESTED: class 'siren' (1 clip) is of one recording or speaker",
    ]


def test_a_folder_around_the_class_folders_is_named(tmp_path: Path) -> None:
    noises(tmp_path, "data/audio/dog/1.wav", "data/audio/dog/2.wav", "data/audio/cat/3.wav")
    clips = from_folder(tmp_path / "data")
    said = f" If its folders (cat, dog) are the classes, name {tmp_path / 'data' / 'audio'} instead."
    assert splits.untestable(clips) == [f"ONE CLASS ALONE: 'audio'; two classes are needed to train.{said}"]
    with pytest.raises(SplitError, match=re.escape(said)):
        make_splits(clips, Protocol(kind="holdout"))
    assert len(from_folder(tmp_path / "data" / "audio").labels) == 2
    noises(tmp_path, "one/dog/first/1.wav", "one/dog/2.wav")
    assert splits.untestable(from_folder(tmp_path / "one")) == [
        "ONE CLASS ALONE: 'dog'; two classes are needed to train."
    ]


def test_given_lists_of_different_kinds_are_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.full(400, 0.1), 8000)
    pd.DataFrame({"path": ["a.wav"], "label": ["a"], "group": ["g"]}).to_csv(tmp_path / "sound.csv", index=False)
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "a.png")
    pictures = pd.DataFrame({"spec_file_name": ["a.png"], "class": ["a"], "fsID": ["g"], "fold": ["1"]})
    pictures.to_csv(tmp_path / "pictures.csv", index=False)
    train, test = (str(tmp_path / f"{name}.csv") for name in ("sound", "pictures"))
    protocol = Protocol(kind="csv", validation="none", train=(train,), test=(test,))
    with pytest.raises(SplitError, match="hold images and sound, or images made with other settings"):
        open_clips(Recipe(data=Data(name="lists"), protocol=protocol))
