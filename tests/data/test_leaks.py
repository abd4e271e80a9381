"""leaks: no leak passes the audit; each of its guards has a split that only that guard refuses."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import StratifiedShuffleSplit

from hubbub.config.data import Protocol
from hubbub.data.clips import Clips
from hubbub.data.datasets import DATASETS
from hubbub.data.leaks import Audit, LeakError, audit
from hubbub.data.near_duplicates import NearDuplicate
from hubbub.data.open import open_data
from hubbub.data.splits import Split, make_splits
from tests.helpers.tables import clip_table, contents_of

Home = Callable[[str, str], Path]


def split_of(clips: Clips) -> Split:
    return make_splits(clips, Protocol())[0]


def test_a_recording_in_two_parts_is_a_leak() -> None:
    clips = clip_table()
    clips.table.loc[clips.table["clip"] == "1-0-0-0", "group"] = "3-0-0"
    clips.table.loc[clips.table["clip"] == "2-0-0-0", "group"] = "4-0-0"
    with pytest.raises(LeakError) as caught:
        audit(clips, [split_of(clips)], contents_of(clips))
    assert "test fold 1: train and test share 1 source recordings or speakers (3-0-0)" in str(caught.value)
    assert "test fold 1: train and validation share 1 source recordings or speakers (4-0-0)" in str(caught.value)
    assert "--allow-leaky" in str(caught.value) and "identical" not in str(caught.value)


def test_a_recording_in_validation_and_test_is_a_leak() -> None:
    clips = clip_table()
    clips.table.loc[clips.table["clip"] == "1-0-0-0", "group"] = "2-0-0"
    with pytest.raises(LeakError, match=r"test fold 1: validation and test share 1 source recordings or speakers"):
        audit(clips, [split_of(clips)], contents_of(clips))


def test_identical_sounds_in_two_parts_are_a_leak() -> None:
    clips = clip_table()
    contents = contents_of(clips)
    one, same, other = (contents.index(clip) for clip in ("1-0-0-0", "3-0-0-0", "4-0-0-0"))
    contents[same] = contents[other] = contents[one]  # twice in training: those two are none
    with pytest.raises(LeakError, match=r"train and test hold identical sounds \(3-0-0-0 = 1-0-0-0\)") as caught:
        audit(clips, [split_of(clips)], contents)
    assert "share" not in str(caught.value)


def near_pair(clips: Clips, one: str, other: str) -> NearDuplicate:
    ids = list(clips.table["clip"])
    return NearDuplicate(*sorted((ids.index(one), ids.index(other))), shift_s=-0.312, similarity=0.9)


def test_nearly_identical_sounds_in_two_parts_are_a_leak_of_given_folds() -> None:
    clips = clip_table()
    apart, together = near_pair(clips, "1-0-0-0", "3-0-0-0"), near_pair(clips, "3-1-0-0", "4-1-0-0")
    with pytest.raises(LeakError) as caught:
        audit(clips, [split_of(clips)], contents_of(clips), [apart, together])
    said = str(caught.value)
    assert "train and test hold nearly identical sounds (1-0-0-0 ~ 3-0-0-0 (shifted by 0.31 s))." in said
    assert "delete all but one, or give them the same group" in said and "Split by group" not in said
    assert audit(clips, [split_of(clips)], contents_of(clips), [together]) == Audit(), "both in training"
    contents = contents_of(clips)
    contents[apart.second] = contents[apart.first]
    with pytest.raises(LeakError) as caught:
        audit(clips, [split_of(clips)], contents, [apart])
    assert "hold identical sounds" in str(caught.value) and "nearly" not in str(caught.value)


def test_nearly_identical_sounds_in_official_folds_are_one_warning() -> None:
    clips = replace(clip_table(), fold_source="official")
    pair = near_pair(clips, "1-0-0-0", "3-0-0-0")
    found = audit(clips, make_splits(clips, Protocol()), contents_of(clips), [pair])
    line = "1 pair of nearly identical sounds in different parts: 1-0-0-0 ~ 3-0-0-0 (shifted by 0.31 s)"
    assert found == Audit(warnings=(f"the official folds of made hold {line}",))


def test_the_advice_follows_the_kind_of_leak() -> None:
    clips = clip_table()
    pair = near_pair(clips, "1-0-0-0", "3-1-0-0")  # of two labels
    with pytest.raises(LeakError, match="Where one sound has two labels, correct the wrong one") as caught:
        audit(clips, [split_of(clips)], contents_of(clips), [pair])
    assert "delete" not in str(caught.value)
    clips.table.loc[clips.table["clip"] == "1-0-0-0", "group"] = "3-0-0"
    with pytest.raises(LeakError, match="Split by group: hubbub train does so by itself") as caught:
        audit(clips, [split_of(clips)], contents_of(clips))
    assert "delete" not in str(caught.value) and "labels" not in str(caught.value)


def test_sounds_that_could_not_be_decoded_are_not_identical() -> None:
    clips = clip_table()
    assert audit(clips, make_splits(clips, Protocol()), [""] * len(clips)) == Audit()


@pytest.mark.parametrize("fold, part", [("1", "test"), ("2", "validation")])
def test_an_augmented_copy_outside_training_is_a_leak(fold: str, part: str) -> None:
    clips = clip_table()
    split = split_of(clips)  # as if no copy were known
    clips.table.loc[clips.table["clip"] == f"{fold}-0-0-0", "split_hint"] = "train"
    with pytest.raises(LeakError, match=rf"test fold 1: augmented copies in {part} \({fold}-0-0-0\)") as caught:
        audit(clips, [split], contents_of(clips))
    assert "share" not in str(caught.value)
    assert audit(clips, [make_splits(clips, Protocol())[2]], contents_of(clips)) == Audit(), "in training it may stand"


def test_a_clip_in_two_parts_is_a_leak() -> None:
    clips = clip_table()
    clips.table["group"] = ""
    split = split_of(clips)
    both = replace(split, train=np.append(split.train, split.test[:2]))
    straddling = replace(clips, straddling=frozenset({""}))  # so that the group does not give it away
    with pytest.raises(LeakError, match=r"train and test share 2 clips \(1-0-0-0, 1-0-0-1\)") as caught:
        audit(straddling, [both], contents_of(clips))
    assert "identical" not in str(caught.value) and "recordings" not in str(caught.value)


def test_every_split_is_audited() -> None:
    clips = clip_table()
    clips.table.loc[clips.table["clip"] == "4-0-0-0", "group"] = "5-0-0"
    assert audit(clips, make_splits(clips, Protocol(folds=("2",))), contents_of(clips)) == Audit(), "both in training"
    with pytest.raises(LeakError, match="test fold 4: validation and test share"):
        audit(clips, make_splits(clips, Protocol()), contents_of(clips))


def test_allow_leaky_lists_what_would_be_raised() -> None:
    clips = clip_table()
    split = split_of(clips)
    clips.table.loc[clips.table["clip"] == "1-0-0-0", ["group", "split_hint"]] = ["3-0-0", "train"]
    contents = contents_of(clips)
    contents[contents.index("1-1-0-0")] = "3-1-0-0"
    found = audit(clips, [split], contents, allow_leaky=True)
    assert found.warnings == ("1 sound occurs more than once: 1-1-0-0 = 3-1-0-0",) and len(found.leaks) == 3
    with pytest.raises(LeakError) as caught:
        audit(clips, [split], contents)
    assert all(leak in str(caught.value) for leak in found.leaks)


# Straddling recordings of the official folds


def test_known_straddling_recordings_are_one_warning_with_their_names() -> None:
    known = DATASETS["urbansound8k"].straddling
    clips = clip_table(folds=10)
    for number, group in enumerate(sorted(known)):
        clips.table.loc[clips.table["fold"].isin([str(2 * number + 1), str(2 * number + 2)])
                        & clips.table["clip"].str.endswith("-0-0-0"), "group"] = group  # fmt: skip
    with pytest.raises(LeakError, match=r"share 1 source recordings or speakers \(106905\)"):
        audit(clips, make_splits(clips, Protocol()), contents_of(clips))
    official = replace(clips, straddling=known)
    assert audit(official, make_splits(clips, Protocol()), contents_of(clips)) == Audit(
        warnings=("the official folds of made straddle source recordings: 106905, 132016, 176638, 180937, 77751",)
    )
    # Any other group is an error still.
    clips.table.loc[clips.table["clip"] == "1-1-1-0", "group"] = "3-1-1"
    with pytest.raises(LeakError, match=r"share 1 source recordings or speakers \(3-1-1\)"):
        audit(official, make_splits(clips, Protocol()), contents_of(clips))


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
    found = audit(clips, make_splits(clips, Protocol(kind=kind)), contents_of(clips))
    line = f"the official folds of {name} straddle source recordings: {warned}"
    assert found == Audit(warnings=(line,) if warned else ())


def test_system_as_split_of_urbansound8k(home: Home) -> None:
    home("data", "urbansound8k")
    clips = open_data("urbansound8k", allow_missing=True)
    folds = tuple(str(k) for k in range(1, 9))
    (split,) = make_splits(clips, Protocol(kind="fixed", train=folds, val=("9",), test=("10",)))
    assert len(split.test) == 837 and audit(clips, [split], contents_of(clips)).leaks == ()


def test_a_random_split_of_esc50_leaks(home: Home) -> None:
    """What many published figures rest on: stratified, but blind to the source recording."""
    home("data", "esc50")
    clips = open_data("esc50")
    train, rest = next(StratifiedShuffleSplit(1, test_size=0.4, random_state=0).split(clips.table, clips.targets()))
    split = Split("random", train, rest[::2], rest[1::2])
    with pytest.raises(LeakError, match=r"esc50: this split leaks.*test fold random: train and test share \d+ source"):
        audit(clips, [split], contents_of(clips))


def test_grouped_holdouts_of_real_data_pass(home: Home) -> None:
    for name in ("esc50", "emodb"):
        home("data", name)
        clips = open_data(name)
        found = make_splits(clips, Protocol(kind="holdout", test_ratio=0.2, val_ratio=0.2))
        assert audit(clips, found, contents_of(clips)) == Audit()
        # EmoDB's ten speakers are a coarse measure.
        assert len(found[0].test) / len(clips) == pytest.approx(0.2, abs=0.01 if name == "esc50" else 0.05)
