"""recordings: parts of one recording are one group however it is listed, and spans lie in their files."""

import os
from pathlib import Path

import pytest

from hubbub.data.clip_lists import from_csv
from hubbub.data.clips import Clips, ClipsError
from tests.helpers.sounds import rows, sounds


@pytest.fixture
def place(tmp_path: Path) -> Path:
    sounds(tmp_path, "0.wav", "0.flac", "1.wav", "deep/0.wav", seconds=2)
    sounds(tmp_path, "0.WAV", seconds=2)
    os.symlink("1.wav", tmp_path / "linked.wav")
    os.symlink("deep", tmp_path / "other")
    return tmp_path


def groups(clips: Clips) -> list[int]:
    """Numbers of the groups, in the order in which they come."""
    return list(clips.table["group"].map({group: n for n, group in enumerate(clips.table["group"].unique())}))


def test_one_recording_under_several_names_is_one_group(place: Path) -> None:
    names = ("0.wav,0,1", "0.WAV,0.5,1.5", "0.flac,1,2", "./0.wav,1.5,2", "1.wav,0,1", "linked.wav,0.5,1.5",
             "deep/0.wav,0,1", "other/0.wav,1,2")  # fmt: skip
    clips = from_csv(rows(place / "l.csv", "path,start,end,label", *(f"{name},dog" for name in names)))
    assert groups(clips) == [0, 0, 0, 0, 1, 1, 2, 2]
    assert not any(note.startswith("REPEATED") for note in clips.notes), "no part stands twice in one file"


def test_a_part_without_group_takes_that_of_its_recording(place: Path) -> None:
    clips = from_csv(rows(place / "l.csv", "path,start,end,label,group", "1.wav,0,1,dog,", "linked.wav,1,2,cat,night"))
    assert clips.table["group"].tolist() == ["night", "night"] and clips.notes == ()


def test_overlapping_parts_in_two_groups_are_joined_and_others_are_not(place: Path) -> None:
    header = "path,start,end,label,group"
    clips = from_csv(rows(place / "l.csv", header, "0.wav,0,1.2,dog,a", "0.flac,1,2,cat,b", "1.wav,,,cat,c"))
    assert clips.table["group"].tolist() == ["a", "a", "c"]
    assert clips.notes == ("GROUPS JOINED: 'a' and 'b' hold overlapping parts of one recording, so they count as one",)
    apart = from_csv(rows(place / "l.csv", header, "0.wav,0,1,dog,a", "0.wav,1,2,cat,b"))
    assert apart.table["group"].tolist() == ["a", "b"] and apart.notes == ()


def test_one_part_with_two_labels_is_refused(place: Path) -> None:
    message = r"one file has two labels, 1 time \(row 2: 1\.wav is 'dog' and row 4: .*'cat'\)\. A clip has one label"
    for other in ("1.wav", "linked.wav", "./1.wav"):
        with pytest.raises(ClipsError, match=message):
            from_csv(rows(place / "l.csv", "path,label", "1.wav,dog", "0.wav,cat", f"{other},cat"))
    clips = from_csv(rows(place / "l.csv", "path,label,start,end", "1.wav,dog,0,1", "1.wav,cat,0,2"))
    assert clips.table["clip"].tolist() == ["1.wav@0.0-1.0", "1.wav@0.0-2.0"], "parts that overlap may differ"


def test_repeated_rows_count_once_and_repeated_parts_are_named(place: Path) -> None:
    clips = from_csv(
        rows(place / "l.csv", "path,label", "1.wav,dog", "0.wav,cat", "1.wav,dog ", "1.wav,dog", "linked.wav,dog")
    )
    assert clips.table["clip"].tolist() == ["1.wav", "0.wav", "linked.wav"] and groups(clips) == [0, 1, 0]
    assert "REPEATED ROWS: 2 rows like others; each counts once" in clips.notes
    assert "REPEATED: 1 clip is a part listed before under other names (row 6: linked.wav)" in clips.notes


@pytest.mark.parametrize(
    ("span", "message"),
    [
        ("7,9", r"row 2: 1\.wav@7: start 7 s is not within the file, which lasts 2 s"),
        ("2,", "start 2 s is not within the file"),
        ("1.5,0.5", r"end 0\.5 s is not after start 1\.5 s"),
        ("1,1", "end 1 s is not after start 1 s"),
        (",0", "end 0 s is not after start 0 s"),
        ("-1,1", "neither may be negative or infinite"),
        ("0,inf", "neither may be negative or infinite"),
    ],
)
def test_spans_that_hold_no_sound_are_refused(place: Path, span: str, message: str) -> None:
    with pytest.raises(ClipsError, match=rf"1 span holds no sound \(.*{message}"):
        from_csv(rows(place / "l.csv", "path,label,start,end", f"1.wav,dog,{span}", "0.wav,cat,,"))


def test_an_end_behind_the_file_s_is_the_file_s_and_every_result_says_so(place: Path) -> None:
    clips = from_csv(rows(place / "l.csv", "path,label,group,start,end", "1.wav,dog,a,1,60", "0.wav,cat,b,0,2.01"))
    assert clips.notes == ("SPANS CUT: 1 clip ends with the file, although listed to end later (row 2: 1.wav@1)",)


def test_numbers_behind_a_dot_are_no_ending(tmp_path: Path) -> None:
    sounds(tmp_path, "night.1.wav", "night.2.wav", "night.wav", "05.wav", "06.wav")
    for day in ("05", "06"):
        os.rename(tmp_path / f"{day}.wav", tmp_path / f"2024.01.{day}")
    listed = ("night.1,a", "night.2,b", "night,a", "2024.01.05,b", "2024.01.06,a")
    clips = from_csv(rows(tmp_path / "l.csv", "path,label", *listed), group="file")
    found = [Path(path).name for path in clips.table["path"]]
    assert found == ["night.1.wav", "night.2.wav", "night.wav", "2024.01.05", "2024.01.06"]
    assert groups(clips) == [0, 1, 2, 3, 4]
    with pytest.raises(ClipsError, match=r"1 of 2 listed files are missing .*night\.3"):
        from_csv(rows(tmp_path / "l.csv", "path,label", "night.3,a", "night.2,b"))
