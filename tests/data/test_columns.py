"""columns: the usual names of the path and the label are understood where only one column can be meant."""

import re
from pathlib import Path

import pytest

from hubbub.data.clip_lists import from_csv
from hubbub.data.clips import ClipsError
from tests.helpers.sounds import rows, sounds


@pytest.mark.parametrize(
    ("header", "read"),
    [
        ("Path,Label", "'Path' is read as path, 'Label' is read as label"),
        ("filename,class", "'filename' is read as path, 'class' is read as label"),
        ("File Name,Category", "'File Name' is read as path, 'Category' is read as label"),
        ("file_path,species", "'file_path' is read as path, 'species' is read as label"),
        ("path,class_name", "'class_name' is read as label"),
    ],
)
def test_other_names_of_columns_are_understood_and_noted(tmp_path: Path, header: str, read: str) -> None:
    sounds(tmp_path, "a.wav", "b.wav")
    clips = from_csv(rows(tmp_path / "l.csv", f"{header},Fold", "a.wav,dog,1", "b.wav,cat,2"), group="file")
    assert clips.table["label"].tolist() == ["dog", "cat"] and clips.folds == ("1", "2")
    assert f"COLUMNS: {read}, 'Fold' is read as fold" in clips.notes


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (
            "filename,class,category",
            "has no column 'label', and 'class' or 'category' may be it. Rename the right one to",
        ),
        ("file,filename,label", "has no column 'path', and 'file' or 'filename' may be it"),
        ("a.wav,dog,x", "has no column 'path'. Known: a.wav, dog, x. Its first row must name the columns. Rename"),
        ("path,dog,cat", "has no column 'label'. Known: cat, dog, path"),
    ],
)
def test_columns_that_are_not_sure_are_asked_for(tmp_path: Path, header: str, why: str) -> None:
    sounds(tmp_path, "a.wav", "b.wav")
    file = rows(tmp_path / "l.csv", header, "a.wav,dog,1", "b.wav,cat,2")
    with pytest.raises(ClipsError, match=re.escape(why)):
        from_csv(file)


def test_our_own_names_go_first(tmp_path: Path) -> None:
    sounds(tmp_path, "a.wav", "b.wav")
    clips = from_csv(rows(tmp_path / "l.csv", "path,label,class,filename", "a.wav,dog,x,1", "b.wav,cat,y,2"))
    assert clips.labels == ("cat", "dog") and not any(note.startswith("COLUMNS") for note in clips.notes)
    clips = from_csv(tmp_path / "l.csv", {"label": "class"})
    assert clips.labels == ("x", "y")


@pytest.mark.parametrize("cells", ['"0,5","1,25"', "0.5,1.25"])
def test_decimal_commas_are_decimal_points(tmp_path: Path, cells: str) -> None:
    sounds(tmp_path, "a.wav", "b.wav", seconds=2)
    file = rows(tmp_path / "l.csv", "clip,path,label,start,end", f"1,a.wav,dog,{cells}", "2,b.wav,cat,,")
    assert from_csv(file).table[["start", "end"]].iloc[0].tolist() == [0.5, 1.25]


def test_commas_beside_points_are_not_decimal(tmp_path: Path) -> None:
    sounds(tmp_path, "a.wav", "b.wav", seconds=2)
    file = rows(tmp_path / "l.csv", "path,label,start", 'a.wav,dog,"1,5"', "b.wav,cat,1.5")
    with pytest.raises(ClipsError, match="the start '1,5' is not a number of seconds"):
        from_csv(file)
