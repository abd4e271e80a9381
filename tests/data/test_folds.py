"""folds: whole groups, every class trained in every split, and what is done where that cannot be."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from hubbub.config.data import Protocol
from hubbub.data.clips import Clips, build, hold_out
from hubbub.data.folds import FoldError, decide, far_from, make_folds
from hubbub.data.leaks import Audit, audit
from hubbub.data.splits import make_splits
from tests.helpers.tables import contents_of

GROUPED = Protocol(kind="grouped")


def clips_of(recordings: dict[str, list[int]], name: str = "mine", **columns: object) -> Clips:
    """For each class a recording for each number, which is its number of clips."""
    rows = [
        {"clip": f"{label}/{r}-{n}.wav", "path": f"{label}/{r}-{n}.wav", "label": label, "group": f"{label}{r}"}
        for label, sizes in recordings.items()
        for r, size in enumerate(sizes)
        for n in range(size)
    ]
    return build(name, pd.DataFrame(rows).assign(**columns))


def annotated(labels: str, seconds: float = 10) -> Clips:
    """One recording with a span of each label (a letter), every `seconds`, 2 s long."""
    rows = [
        {"clip": f"night@{k}", "path": "night.wav", "label": label, "group": "night.wav", "start": seconds * k,
         "end": seconds * k + 2} for k, label in enumerate(labels)
    ]  # fmt: skip
    return build("night", pd.DataFrame(rows))


# What auto stands for


@pytest.mark.parametrize(
    "folds, kind, changes",
    [
        (None, "grouped", {}),
        (["1", "2", "3"], "kfold", {"validation": "next"}),
        (["1", "2"], "kfold", {"validation": "none"}),
        (["train", "test"], "fixed", {"train": ("train",), "val": (), "test": ("test",)}),
        (["train", "val", "test"], "fixed", {"train": ("train",), "val": ("val",), "test": ("test",)}),
        (["Training", "validation"], "fixed", {"train": ("Training",), "val": (), "test": ("validation",)}),
        (["monday", "tuesday", "friday"], "kfold", {}),
    ],
)
def test_auto_takes_what_the_data_give(folds: list[str] | None, kind: str, changes: dict[str, object]) -> None:
    clips = clips_of({"a": [1] * 6, "b": [1] * 6})
    if folds:
        clips = replace(clips, table=clips.table.assign(fold=[folds[k % len(folds)] for k in range(12)]))
    found = decide(clips, Protocol(kind="auto"))
    assert found.kind == kind
    assert {name: getattr(found, name) for name in changes} == changes


def test_auto_splits_one_annotated_recording_in_time_and_several_by_recording() -> None:
    one = annotated("abababab")
    assert decide(one, Protocol(kind="auto")).kind == "time"
    several = replace(one, table=one.table.assign(path=[f"{k % 3}.wav" for k in range(8)]))
    assert decide(several, Protocol(kind="auto")).kind == "grouped"


def test_any_other_protocol_stays() -> None:
    assert decide(clips_of({"a": [1], "b": [1]}), Protocol(kind="logo")) == Protocol(kind="logo")


# Folds over groups


def test_no_recording_is_in_two_folds_and_classes_are_spread_evenly() -> None:
    clips = clips_of({"a": [1, 2, 3] * 10, "b": [2] * 20, "c": [1] * 15})
    made, protocol = make_folds(clips, GROUPED)
    assert made.fold_source == "made" and made.folds == ("1", "2", "3", "4", "5") and protocol.k == 5
    assert (made.table.groupby("group")["fold"].nunique() == 1).all()
    counts = made.table.groupby(["label", "fold"]).size().unstack()
    assert (counts.loc["a"].between(10, 14)).all() and (counts.loc["b"] == 8).all() and (counts.loc["c"] == 3).all()
    splits = make_splits(clips, GROUPED)
    assert [s.name for s in splits] == list(made.folds)
    assert audit(made, splits, contents_of(made)) == Audit()


def test_the_seed_decides_and_nothing_else() -> None:
    clips = clips_of({"a": [1] * 20, "b": [1] * 20})
    folds = [list(make_folds(clips, GROUPED.model_copy(update={"seed": seed}))[0].table["fold"]) for seed in (0, 0, 1)]
    assert folds[0] == folds[1] != folds[2]


@pytest.mark.parametrize("fewest, k, validation", [(7, 5, "next"), (4, 4, "next"), (3, 3, "next"), (2, 2, "none")])
def test_there_are_no_more_folds_than_the_smallest_class_has_recordings(fewest: int, k: int, validation: str) -> None:
    made, protocol = make_folds(clips_of({"a": [1] * 12, "b": [2] * fewest}), GROUPED)
    assert (len(made.folds), protocol.k, protocol.validation) == (k, k, validation)
    for split in make_splits(made, protocol):
        assert {*made.table["label"].iloc[split.train]} == {*made.table["label"].iloc[split.test]} == {"a", "b"}


def test_a_class_of_one_recording_trains_in_every_split_and_is_never_tested() -> None:
    clips = clips_of({"a": [1] * 6, "b": [1] * 6, "thunder": [3]})
    for split in make_splits(clips, GROUPED):
        labels = clips.table["label"].to_numpy()
        assert (labels[split.train] == "thunder").sum() == 3
        assert "thunder" not in labels[np.append(split.test, split.validation)]
        assert set(labels[split.test]) == {"a", "b"}


def test_recordings_that_hold_the_only_clips_of_a_class_always_train_as_a_whole() -> None:
    clips = clips_of({"a": [1] * 6, "b": [1] * 6, "c": [2]})
    groups = clips.table["group"].mask(clips.table["label"] == "c", "a0")
    made, _ = make_folds(replace(clips, table=clips.table.assign(group=groups)), GROUPED)
    assert set(made.table["fold"][made.table["group"] == "a0"]) == {""}


def test_classes_of_one_recording_each_are_refused_with_what_they_need() -> None:
    clips = clips_of({"a": [8], "b": [9]})
    with pytest.raises(FoldError, match=r"two recordings of a class \(a: 1 recording, b: 1 recording\)\. Add record"):
        make_folds(clips, GROUPED)
    with pytest.raises(FoldError, match="or use --group file if each file is a recording of its own"):
        make_folds(replace(clips, group_source="guessed"), GROUPED)


def test_copies_do_not_count_as_recordings_and_are_not_tested() -> None:
    clips = clips_of({"a": [1] * 6, "b": [1] * 6, "c": [1, 1]})
    hints = ["train" if clip == "c/1-0.wav" else "" for clip in clips.table["clip"]]
    made, _ = make_folds(replace(clips, table=clips.table.assign(split_hint=hints)), GROUPED)
    assert set(made.table["fold"][made.table["label"] == "c"]) == {""}


def test_held_out_classes_are_spread_over_the_folds_too() -> None:
    clips = hold_out(clips_of({"a": [1] * 10, "b": [1] * 10, "odd": [1] * 10}), ("odd",))
    assert [len(split.unknown) for split in make_splits(clips, GROUPED)] == [2] * 5


def test_folds_that_are_made_are_not_made_again() -> None:
    made, protocol = make_folds(clips_of({"a": [1] * 9, "b": [1] * 9}), GROUPED)
    assert make_folds(made, protocol) == (made, protocol)
    few, reduced = make_folds(clips_of({"a": [1] * 9, "b": [1] * 3}), GROUPED)
    assert make_folds(few, GROUPED) == (few, reduced) and reduced.k == 3, "the number of folds is that of the clips"


# Folds over time


def test_one_recording_is_cut_into_stretches_that_keep_their_distance() -> None:
    clips = annotated("ab" * 15)
    splits = make_splits(clips, Protocol(kind="time", gap_s=12))
    starts, ends = clips.table["start"].to_numpy(), clips.table["end"].to_numpy()
    assert len(splits) == 5 and sorted(np.concatenate([s.test for s in splits])) == list(range(30))
    for split in splits:
        assert np.ptp(starts[split.test]) == 50  # six clips in a row
        for one, other in ((split.train, split.test), (split.train, split.validation), (split.validation, split.test)):
            gaps = [max(starts[j] - ends[i], starts[i] - ends[j]) for i in one for j in other]
            assert min(gaps) >= 12
        assert len(split.train) >= 12


def test_there_are_fewer_stretches_where_a_class_needs_it() -> None:
    made, protocol = make_folds(annotated("bbbbaabbbb"), Protocol(kind="time"))
    assert (protocol.k, protocol.validation) == (2, "none")
    assert set(made.table["group"]) == {f"night.wav stretch {k}" for k in made.folds}


def test_a_class_in_one_stretch_only_is_refused() -> None:
    with pytest.raises(FoldError, match="occurs in one stretch of it only"):
        make_folds(annotated("a" + "b" * 9), Protocol(kind="time"))


def test_distance_counts_on_both_sides() -> None:
    table = pd.DataFrame({"start": [0.0, 10.0, 20.0], "end": [2.0, 12.0, 22.0]})
    rows, others = np.array([0, 2]), np.array([1])
    assert far_from(table, rows, others, 8.0).tolist() == [True, True]
    assert far_from(table, rows, others, 8.1).tolist() == [False, False]
