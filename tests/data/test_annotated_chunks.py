"""annotated_chunks: annotated recordings with `data.multilabel` become chunks with label sets and timed labels."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hubbub.config.data import Protocol
from hubbub.data.annotated_chunks import chunks_of
from hubbub.data.annotation_windows import Length
from hubbub.data.clips import Clips, ClipsError
from hubbub.data.open import data_recipe, open_clips, open_data
from hubbub.data.splits import SplitError, make_splits
from hubbub.data.timed_labels import segment_targets, unplaced
from hubbub.data.write_lists import write_lists
from tests.helpers.sounds import rows, sounds

HEAD = "start,end,label"


@pytest.fixture
def night(tmp_path: Path) -> Path:
    """A folder with `night.wav` of 25 s."""
    sounds(tmp_path, "night.wav", seconds=25)
    return tmp_path


def opened(folder: Path, *lines: str, **settings: object) -> Clips:
    rows(folder / "night.csv", HEAD, *lines)
    return open_data(str(folder), multilabel=True, **settings)  # type: ignore[arg-type]


def spans(clips: Clips) -> list[tuple[float, float, tuple[str, ...]]]:
    return list(clips.table[["start", "end", "labels"]].itertuples(index=False, name=None))


def noted(clips: Clips, tag: str) -> str:
    return next((note for note in clips.notes if note.startswith(tag)), "")


def test_a_recording_is_cut_into_chunks_that_hold_the_classes_of_their_events(night: Path) -> None:
    clips = opened(night, "1,2,dog", "9.8,12,rain", "19,20.9,dog")
    assert spans(clips) == [(0, 10, ("dog",)), (10, 20, ("dog", "rain")), (20, 25, ("dog",))]
    assert clips.table["clip"].tolist()[0] == "night.wav@0.000-10.000" and set(clips.table["group"]) == {"night.wav"}
    assert clips.labels == ("dog", "rain") and (clips.table["unknown"].map(len) == 0).all()
    assert noted(clips, "ANNOTATIONS: 3 in 1 recording, cut into 3 clips of 10 s, 0 of which hold none")
    assert clips.timed is not None
    assert clips.timed[["start", "end", "label"]].to_numpy().tolist() == [
        [1, 2, "dog"], [9.8, 12, "rain"], [19, 20.9, "dog"]
    ]  # fmt: skip
    windows = segment_targets(clips, 1, np.arange(10)[:, None] + [0, 1], 0.5)
    assert windows.T.tolist() == [[0] * 9 + [1], [1, 1] + [0] * 8], "dog from 19 s, rain until 12 s"


@pytest.mark.parametrize(
    "seconds, chunk_s, expected",
    [
        (25.0, 10, [0, 10, 20, 25]),
        (20.4, 10, [0, 10, 20.4]),  # shorter than half a window
        (20.5, 10, [0, 10, 20, 20.5]),
        (0.2, 10, [0, 0.2]),
        (20.0, 10, [0, 10, 20]),
    ],
)
def test_the_last_chunk_is_shorter_or_joined_to_the_one_before(
    seconds: float, chunk_s: float, expected: list[float]
) -> None:
    found = chunks_of(Length(seconds, 8000), [], chunk_s, 0.975)
    assert found.ravel().tolist() == pytest.approx([t for pair in pairwise(expected) for t in pair])
    assert (found * 8000 == np.round(found * 8000)).all(), "whole samples"


def test_parts_that_nobody_searched_are_no_clips(night: Path) -> None:
    found = chunks_of(Length(60.0, 8000), [(30.0, 45.0), (2.0, 13.5), (5.0, 14.0), (58.0, 70.0)], 10, 0.975)
    assert found.tolist() == [[2, 12], [12, 14], [30, 40], [40, 45], [58, 60]]


def test_ends_beyond_the_file_are_cut_and_starts_beyond_it_refused(night: Path) -> None:
    clips = opened(night, "1,2,dog", "24,31,rain")
    assert clips.timed is not None and clips.timed["end"].max() == 25 and noted(clips, "SPANS CUT: 1 clip ends with")
    with pytest.raises(ClipsError, match=r"start 26 s is not within the file, which lasts 25 s"):
        opened(night, "26,27,dog")
    with pytest.raises(ClipsError, match=r"end 1 s is not after start 2 s"):
        opened(night, "2,1,dog")


def test_overlapping_annotations_of_one_class_count_as_one(night: Path) -> None:
    clips = opened(night, "1,3,dog", "2,4,dog", "3.5,5,dog", "3,4,rain")
    assert clips.timed is not None
    assert clips.timed[["start", "end", "label"]].to_numpy().tolist() == [[1, 5, "dog"], [3, 4, "rain"]]
    assert "; 2 annotations joined to others of the same class" in noted(clips, "ANNOTATIONS: 4 in")


def test_a_row_without_times_is_somewhere_in_its_recording(night: Path) -> None:
    clips = opened(night, "1,2,dog", ",,rain", ",,dog", chunk_s=25.0)
    assert spans(clips) == [(0, 25, ("dog", "rain"))] and clips.table["unknown"].tolist() == [()]
    assert noted(clips, "WITHOUT TIMES: 2 labels of 1 recording").endswith("recording")
    windows = segment_targets(clips, 0, np.arange(25)[:, None] + [0, 1], 0.5)
    assert windows.T.tolist() == [[0, 1] + [0] * 23, [1] * 25], "dog when its times say, rain everywhere"
    assert unplaced(clips, 0).tolist() == [False, True]


def test_in_each_clip_of_a_longer_recording_it_is_unknown(night: Path) -> None:
    clips = opened(night, "1,2,dog", ",,rain")
    assert spans(clips) == [(0, 10, ("dog",)), (10, 20, ()), (20, 25, ())]
    assert clips.table["unknown"].tolist() == [("rain",)] * 3 and clips.labels == ("dog", "rain")
    assert "1 recording of several clips" in noted(clips, "WITHOUT TIMES") and "data.chunk_s" in noted(clips, "WITHOUT")


def test_half_a_time_is_refused_and_so_is_none_for_clips_of_one_label(night: Path) -> None:
    with pytest.raises(ClipsError, match=r"1 annotation without end \(row 3\)"):
        opened(night, "1,2,dog", "3,,rain")
    rows(night / "night.csv", HEAD, "1,2,dog", ",,rain")
    with pytest.raises(ClipsError, match=r"without start \(row 3\).*With --multilabel"):
        open_data(str(night))


def test_points_in_time_are_left_out(night: Path) -> None:
    clips = opened(night, "1,2,dog", "5,5,rain", "12,13,rain")
    assert noted(clips, "LEFT OUT: 1 label of night.csv at a point in time (row 3: rain)")
    assert clips.table["labels"].tolist() == [("dog",), ("rain",), ()]
    assert noted(clips, "ANNOTATIONS: 2 in 1 recording") and "joined" not in noted(clips, "ANNOTATIONS")


def test_times_may_be_clocks_or_have_decimal_commas(night: Path) -> None:
    rows(night / "night.csv", "start;end;label", "0:00:01;0:00:02;dog", "3,25;4,5;rain", "9,5;11;dog", "20;21;dog")
    clips = open_data(str(night), multilabel=True)
    assert clips.timed is not None
    assert clips.timed[["start", "end"]].to_numpy().tolist() == [[1, 2], [3.25, 4.5], [9.5, 11], [20, 21]]


def test_an_empty_table_says_that_nothing_is_there_and_files_without_one_are_left_out_or_empty(night: Path) -> None:
    sounds(night, "quiet.wav", "unheard.wav", seconds=8)
    rows(night / "quiet.csv", HEAD)
    clips = opened(night, "1,2,dog", "15,16,rain")
    assert {Path(path).name for path in clips.table["path"]} == {"night.wav", "quiet.wav"}
    assert noted(clips, "WITHOUT ANNOTATIONS: nothing is marked in 1 recording (quiet.wav)")
    assert "1 recording without annotations (unheard.wav)" in noted(clips, "LEFT OUT")
    assert "--empty none" in noted(clips, "LEFT OUT")
    every = opened(night, "1,2,dog", "15,16,rain", empty="none")
    by_file = every.table.groupby(every.table["path"].map(lambda path: Path(path).name))["labels"].sum()
    assert by_file["unheard.wav"] == () and by_file["quiet.wav"] == () and not noted(every, "LEFT OUT")
    assert len(opened(night, "1,2,dog", "15,16,rain", empty="unlabelled")) == len(clips)


def test_tables_of_missing_recordings(night: Path) -> None:
    name = rows(night / "all.csv", "file,start,end,label", "night.wav,1,2,dog", "gone.wav,1,2,dog", "gone.wav,3,4,rain")
    with pytest.raises(ClipsError, match=r"1 of 4 listed files are missing .*gone\.wav"):
        open_data(str(name), multilabel=True)
    clips = open_data(str(name), multilabel=True, allow_missing=True)
    assert len(clips) == 3 and noted(clips, "PARTIAL DATA") and clips.labels == ("dog",)


def test_nothing_annotated_is_refused_and_so_is_background(night: Path) -> None:
    with pytest.raises(ClipsError, match=r"no event is left of 0 annotations"):
        opened(night)
    with pytest.raises(ClipsError, match=r"Leave --background \(data\.background\) out"):
        opened(night, "1,2,dog", background=True)


def test_classes_in_every_chunk_or_in_none_are_noted(night: Path) -> None:
    clips = opened(night, "0,25,wind", "3,4,dog", labels=("dog", "wind", "owl"))
    assert clips.labels == ("dog", "wind", "owl")
    assert "'owl'" in noted(clips, "NEVER PRESENT") and "'wind'" in noted(clips, "ALWAYS PRESENT")
    with pytest.raises(ClipsError, match="unknown label 'dog'"):
        opened(night, "3,4,dog", labels=("wind", "owl"))


def test_groups_of_annotations_are_those_of_their_recordings(tmp_path: Path) -> None:
    sounds(tmp_path, "a.wav", "b.wav", "c.wav", seconds=12)
    lines = ("a.wav,1,2,dog,x", "a.wav,3,4,rain,y", "b.wav,1,2,dog,y", "c.wav,1,2,dog,z")
    clips = open_data(str(rows(tmp_path / "all.csv", "file,start,end,label,group", *lines)), multilabel=True)
    group = dict(zip(clips.table["path"].map(lambda path: Path(path).name), clips.table["group"], strict=True))
    assert group["a.wav"] == group["b.wav"] != group["c.wav"] and clips.group_source == "given"
    assert "GROUPS JOINED: 'x' and 'y' are in one recording" in noted(clips, "GROUPS JOINED")


def test_without_the_setting_contradictions_name_it(night: Path) -> None:
    rows(night / "night.csv", HEAD, "1,5,dog", "2,4,rain", "10,12,dog", "15,18,rain")
    clips = open_data(str(night))
    assert not clips.multilabel and "--multilabel keeps them" in noted(clips, "CONTRADICTORY")


def test_chunks_of_recordings_are_split_by_recording_and_those_of_one_by_time(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for n in range(6):
        soundfile.write(tmp_path / f"{n}.wav", rng.normal(0, 0.1, 20 * 1000), 1000)
        rows(tmp_path / f"{n}.csv", HEAD, *("1,3,dog" if n % 2 else "2,5,rain", "12,13,dog", "14,18,rain"))
    recipe = data_recipe(str(tmp_path), ["data.multilabel=true", "data.chunk_s=5", "data.group=file"])
    clips = open_clips(recipe)
    assert len(clips) == 24
    for split in make_splits(clips, Protocol(kind="auto")):
        parts = [set(clips.table["path"].to_numpy()[rows]) for _, rows in split.parts()]
        assert not (parts[0] & parts[1] | parts[0] & parts[2] | parts[1] & parts[2])
        assert (clips.targets()[split.train] > 0).any(axis=0).all()
    rows(tmp_path / "1.csv", HEAD, "1,3,dog", "2,5,rain", "12,13,dog", "14,18,rain")
    one = open_data(str(tmp_path / "1.csv"), multilabel=True, chunk_s=2)
    assert {split.name for split in make_splits(one, Protocol(kind="time", k=2, gap_s=0))} == {"1", "2"}
    with pytest.raises(SplitError, match="lists would lose the times of the labels"):
        write_lists(clips, tmp_path / "lists", 0.2, 0)
