"""clip_lists: any CSV and any folder become a clip table, or an error that says what is wrong with them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hubbub.data.clip_lists import from_csv, from_folder
from hubbub.data.clips import COLUMNS, Clips, ClipsError
from hubbub.data.locate import find_sounds
from hubbub.data.open import open_data
from tests.helpers.sounds import rows, sounds


@pytest.fixture
def listed(tmp_path: Path) -> Callable[..., Path]:
    """Writes a CSV of the given lines beside a.wav and b.wav."""
    sounds(tmp_path, "a.wav", "b.wav")

    def write(*lines: str) -> Path:
        (tmp_path / "list.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return tmp_path / "list.csv"

    return write


def names(clips: Clips) -> list[str]:
    """The files of a table, without their folder."""
    return [Path(path).name for path in clips.table["path"]]


# CSV


def test_a_csv_with_every_column(tmp_path: Path, listed: Callable[..., Path]) -> None:
    clips = from_csv(
        listed(
            "clip,path,start,end,label,fold,group,split_hint",
            "1,a.wav,,,dog,1,take 1,",
            "2,b.wav,0,0.05,cat,2,take 2,train",
        )
    )
    assert tuple(clips.table.columns) == COLUMNS and clips.name == "list" and clips.labels == ("cat", "dog")
    assert clips.table["clip"].tolist() == ["1", "2"] and names(clips) == ["a.wav", "b.wav"]
    assert all(Path(path).is_file() for path in clips.table["path"])
    np.testing.assert_array_equal(clips.table[["start", "end"]], [[np.nan, np.nan], [0, 0.05]])
    assert clips.table["fold"].tolist() == ["1", "2"] and clips.table["group"].tolist() == ["take 1", "take 2"]
    assert clips.table["split_hint"].tolist() == ["", "train"]
    assert clips.targets().tolist() == [1, 0] and clips.targets().dtype == np.int64
    assert clips.listed == len(clips) == 2 and clips.missing == () and clips.notes == ()


def test_columns_under_other_names(tmp_path: Path, listed: Callable[..., Path]) -> None:
    file = listed("file,class,speaker", "a.wav,dog,x", "b.wav,cat,y")
    clips = from_csv(file, {"path": "file", "label": "class", "group": "speaker"})
    assert clips.table["label"].tolist() == ["dog", "cat"] and clips.table["group"].tolist() == ["x", "y"]
    with pytest.raises(ClipsError, match=r"no column 'groupe' to name\. Did you mean 'group'"):
        from_csv(file, {"groupe": "speaker"})
    with pytest.raises(ClipsError, match=r"no column 'speakers'\. Did you mean 'speaker'"):
        from_csv(file, {"path": "file", "label": "class", "group": "speakers"})


def test_paths_start_from_the_root_that_is_given(tmp_path: Path, listed: Callable[..., Path]) -> None:
    sounds(tmp_path / "elsewhere", "c.wav")
    file = listed("path,label", "c.wav,dog")
    assert from_csv(file, root=tmp_path / "elsewhere").table["path"].tolist() == [str(tmp_path / "elsewhere" / "c.wav")]
    with pytest.raises(ClipsError, match="1 of 1 listed files are missing"):
        from_csv(file)


@pytest.mark.parametrize("header, missing, near", [("sound,label", "path", ""), ("path,lable", "label", "'lable'")])
def test_a_missing_column_is_named_with_the_near_one(
    listed: Callable[..., Path], header: str, missing: str, near: str
) -> None:
    with pytest.raises(
        ClipsError, match=rf"list\.csv has no column '{missing}'\. .*{near}.*--set data\.columns\.{missing}=NAME"
    ):
        from_csv(listed(header, "a.wav,dog"))


def test_duplicated_ids_are_refused(listed: Callable[..., Path]) -> None:
    with pytest.raises(ClipsError, match=r"1 id given twice \(one\)\. Give every clip an id of its own"):
        from_csv(listed("clip,path,label", "one,a.wav,dog", "one,b.wav,cat"))


@pytest.mark.parametrize("label", ["", "  "])
def test_empty_labels_are_refused(listed: Callable[..., Path], label: str) -> None:
    with pytest.raises(ClipsError, match=r"1 clip has no label \(row 3: b\.wav\)\. Label or remove them"):
        from_csv(listed("path,label", "a.wav,dog", f"b.wav,{label}"))


@pytest.mark.parametrize(
    ("second", "differ"),
    [
        ("2,b", "fold '1' and '2', group 'a' and 'b'"),
        ("1,", "group 'a' and ''"),
        ("", "fold '1' and '', group 'a' and ''"),
    ],
)
def test_a_row_that_repeats_a_clip_but_not_its_fold_or_group_is_named(
    listed: Callable[..., Path], second: str, differ: str
) -> None:
    file = listed("path,label,fold,group", "a.wav,dog,1,a", "b.wav,cat,1,b", f"a.wav,dog,{second}".rstrip(","))
    with pytest.raises(ClipsError, match="one clip is in two rows that differ, 1 time") as told:
        from_csv(file)
    assert f"(row 2: a.wav and row 4: a.wav: {differ}). Keep one row" in str(told.value)


def test_an_unknown_label_is_named_with_the_near_one(listed: Callable[..., Path]) -> None:
    file = listed("path,label", "a.wav,dogg", "b.wav,cat")
    with pytest.raises(ClipsError, match=r"unknown label 'dogg'\. Did you mean 'dog'"):
        from_csv(file, labels=("cat", "dog"))
    # The order that is asked for is the order of every matrix, also of classes without a clip.
    clips = from_csv(file, labels=("dogg", "cow", "cat"))
    assert clips.labels == ("dogg", "cow", "cat") and clips.targets().tolist() == [0, 2]


@pytest.mark.parametrize("path", ["../x.wav", "deep/../../x.wav", "/etc/x.wav"])
def test_a_path_may_not_leave_its_folder(tmp_path: Path, listed: Callable[..., Path], path: str) -> None:
    sounds(tmp_path.parent, "x.wav")
    with pytest.raises(ClipsError, match=rf"the path '{path}' leaves .*or name another root"):
        from_csv(listed("path,label", f"{path},dog"))


def test_a_path_within_its_folder_may_be_written_in_any_way(tmp_path: Path, listed: Callable[..., Path]) -> None:
    clips = from_csv(listed("path,label", "./deep/../a.wav,dog", f"{tmp_path}/b.wav,cat"))
    assert clips.table["path"].tolist() == [str(tmp_path / "a.wav"), str(tmp_path / "b.wav")]


@pytest.mark.parametrize("extension", ["flac", "ogg", "WAV"])
def test_a_listed_wav_is_found_in_another_format(tmp_path: Path, listed: Callable[..., Path], extension: str) -> None:
    sounds(tmp_path, f"deep/one.two.{extension}")
    clips = from_csv(listed("path,label", "a.wav,dog", "deep/one.two.wav,cat"))
    assert names(clips) == ["a.wav", f"one.two.{extension}"]


def test_missing_files_are_counted_and_named(listed: Callable[..., Path]) -> None:
    lines = ["path,label", "a.wav,dog", *(f"gone{i}.wav,cat" for i in range(5))]
    with pytest.raises(ClipsError) as caught:
        from_csv(listed(*lines))
    assert "5 of 6 listed files are missing" in str(caught.value) and "--allow-missing" in str(caught.value)
    assert "(gone0.wav, gone1.wav, gone2.wav and 2 more)" in str(caught.value)
    clips = from_csv(listed(*lines), allow_missing=True)
    assert names(clips) == ["a.wav"] and clips.listed == 6 and len(clips.missing) == 5
    assert clips.labels == ("cat", "dog")
    assert "PARTIAL DATA: 5 of 6 listed clips are missing" in clips.notes
    with pytest.raises(ClipsError, match="none of the 1 listed files is there"):
        from_csv(listed("path,label", "gone.wav,cat"), allow_missing=True)


def test_without_groups_each_file_is_one_and_it_says_so(tmp_path: Path, listed: Callable[..., Path]) -> None:
    clips = from_csv(listed("path,label", "a.wav,dog", "b.wav,cat"))
    assert clips.table["group"].nunique() == 2 and clips.group_source == "file"
    (note,) = clips.notes
    assert note.startswith(
        "NO GROUPS: the file names do not show which clips are of one recording, so each file counts"
    )
    assert "--group PATTERN" in note and note.endswith("or a table with a column group")
    some = from_csv(listed("path,label,group", "a.wav,dog,", "b.wav,cat,take 1"))
    assert some.table["group"].tolist() == [str(tmp_path / "a.wav"), "take 1"]
    assert some.group_source == "given" and some.notes == (
        "NO GROUPS: the column 'group' names no group for 1 clip; each such file counts as a recording of its own. "
        "Fill these cells where several files are of one recording",
    )


def test_files_of_one_name_in_two_folders_are_two_recordings(tmp_path: Path) -> None:
    groups = set()
    for part in ("train", "val"):
        sounds(tmp_path / part, "1.wav")
        (tmp_path / part / "list.csv").write_text("path,label\n1.wav,dog\n")
        groups |= set(from_csv(tmp_path / part / "list.csv").table["group"])
    assert len(groups) == 2


def test_several_clips_of_one_file(listed: Callable[..., Path]) -> None:
    clips = from_csv(listed("path,label,start,end", "a.wav,dog,0,0.05", "a.wav,cat,0.05,0.1", "b.wav,dog,,"))
    assert clips.table["clip"].tolist() == ["a.wav@0", "a.wav@0.05", "b.wav"]
    assert clips.table["group"].nunique() == 2, "clips of one file are one recording"
    np.testing.assert_array_equal(clips.table["end"], [0.05, 0.1, np.nan])


def test_times_with_hours_are_read(listed: Callable[..., Path]) -> None:
    clips = from_csv(listed("path;label;start;end", "a.wav;dog;0:00:00,05;0:00:00.1", "b.wav;dog;;"))
    np.testing.assert_allclose(clips.table["start"], [0.05, np.nan])
    np.testing.assert_allclose(clips.table["end"], [0.1, np.nan])


def test_a_start_that_is_not_a_number_is_refused(listed: Callable[..., Path]) -> None:
    """Read as nothing, it would make the whole file of a part."""
    with pytest.raises(ClipsError, match=r"the start '0:05' is not a number of seconds\. Write 1\.5"):
        from_csv(listed("path,label,start", "a.wav,dog,0:05"))


def test_a_list_that_cannot_be_read_is_refused(tmp_path: Path, listed: Callable[..., Path]) -> None:
    with pytest.raises(ClipsError, match=r"absent\.csv is not there"):
        from_csv(tmp_path / "absent.csv")
    (tmp_path / "empty.csv").touch()
    with pytest.raises(ClipsError, match=r"empty\.csv cannot be read as a CSV"):
        from_csv(tmp_path / "empty.csv")
    (tmp_path / "sound.csv").write_bytes((tmp_path / "a.wav").read_bytes())
    with pytest.raises(ClipsError, match=r"sound\.csv"):
        from_csv(tmp_path / "sound.csv")
    with pytest.raises(ClipsError, match=r"list\.csv lists no clips"):
        from_csv(listed("path,label"))


# Folders


def test_a_folder_with_one_folder_a_class(tmp_path: Path) -> None:
    root = tmp_path / "pets"
    sounds(root, "dog/2.wav", "dog/1.flac", "cat/deep/1.wav", "lonely.wav")
    (root / "dog" / "notes.txt").write_text("not a sound")
    clips = from_folder(root)
    assert clips.name == "pets" and clips.labels == ("cat", "dog")
    assert clips.table["clip"].tolist() == ["cat/deep/1.wav", "dog/1.flac", "dog/2.wav"]
    assert clips.table["label"].tolist() == ["cat", "dog", "dog"]
    assert clips.table["group"].is_unique and "NO GROUPS" in clips.notes[0]


def test_sounds_of_one_name_in_two_formats_are_both_kept(tmp_path: Path) -> None:
    sounds(tmp_path, "dog/1.wav", "dog/1.flac", "dog/1.ogg")
    assert len(from_folder(tmp_path)) == 3


def test_a_folder_named_by_a_dot_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pets").mkdir()
    sounds(tmp_path / "pets", "dog/1.wav")
    monkeypatch.chdir(tmp_path / "pets")
    assert from_folder(Path()).name == "pets"


def test_a_folder_without_sounds_in_folders_is_refused(tmp_path: Path) -> None:
    sounds(tmp_path, "lonely.wav")
    with pytest.raises(ClipsError, match="holds no sound files in folders"):
        from_folder(tmp_path)


def test_find_sounds_goes_by_the_relative_path_without_extension(tmp_path: Path) -> None:
    sounds(tmp_path, "fold1/a.b.wav", "c.ogg")
    found = find_sounds(tmp_path)
    assert found == {"c": tmp_path / "c.ogg", "fold1/a.b": tmp_path / "fold1" / "a.b.wav"}


@pytest.mark.parametrize("column", ["split", "Subset", "my set"])
def test_a_column_of_parts_of_a_split_has_the_folds(tmp_path: Path, column: str) -> None:
    sounds(tmp_path, "a.wav", "b.wav")
    file = rows(tmp_path / "l.csv", f"path,label,group,{column}", "a.wav,dog,1,Training", "b.wav,cat,2,dev")
    clips = from_csv(file)
    assert list(clips.table["fold"]) == ["train", "validation"] and clips.fold_source == "given"
    assert clips.notes == (
        f"FOLDS FROM A COLUMN: the column '{column}' (train, validation) is the given split. To have folds made "
        "instead, give --set protocol.kind=grouped",
    )
    named = from_csv(file, {"fold": column})
    assert named.notes == () and named.folds == ("Training", "dev")


@pytest.mark.parametrize(
    ("columns", "cells", "folds"),
    [
        (("split",), ("train", "test", "plane"), ()),  # one cell is no part of a split
        (("split", "fold"), ("train,1", "test,2", "test,2"), ("1", "2")),  # there are folds
        (("split", "subset"), ("train,dev", "test,train", "test,dev"), ()),  # two columns may be it
    ],
)
def test_a_column_that_looks_like_a_split_is_named_where_it_is_not_used(
    tmp_path: Path, columns: tuple[str, ...], cells: tuple[str, ...], folds: tuple[str, ...]
) -> None:
    sounds(tmp_path, "a.wav", "b.wav", "c.wav")
    listed = (f"{clip}.wav,{clip},{clip},{own}" for clip, own in zip("abc", cells, strict=True))
    clips = from_csv(rows(tmp_path / "l.csv", f"path,label,group,{','.join(columns)}", *listed))
    assert clips.folds == folds
    for note, name in zip(clips.notes, (one for one in columns if one != "fold"), strict=True):
        assert note.startswith(f"NOT USED AS A SPLIT: the column '{name}' (")
        assert note.endswith(f"). To use it, give --set data.columns.fold={name}")


def test_a_table_of_spans_with_a_split_is_a_list_and_no_annotations(tmp_path: Path) -> None:
    sounds(tmp_path, "a.wav", "b.wav")
    lines = ("a.wav,dog,0.02,0.06,train", "b.wav,cat,0.02,0.06,test")
    clips = open_data(str(rows(tmp_path / "l.csv", "path,label,start,end,split", *lines)))
    assert clips.folds == ("test", "train") and list(clips.table["end"]) == [0.06, 0.06]


def test_columns_of_other_words_are_no_split(tmp_path: Path) -> None:
    sounds(tmp_path, "a.wav", "b.wav")
    for one, other in (("train", "plane"), ("fold1", "fold2"), ("train", "train"), ("1", "2")):
        clips = from_csv(
            rows(tmp_path / "l.csv", "path,label,group,kind", f"a.wav,dog,1,{one}", f"b.wav,cat,2,{other}")
        )
        assert clips.notes == () and clips.folds == ()


def test_parts_of_a_split_below_the_classes_are_named(tmp_path: Path) -> None:
    sounds(tmp_path, "dog/train/1.wav", "dog/test/2.wav", "cat/train/3.wav")
    assert from_folder(tmp_path).notes[1:] == (
        "NOT USED AS A SPLIT: the folders test, train within those of the classes. To use them, put them above the "
        "classes (train/dog, test/dog), or write a CSV with the columns path, label and fold",
    )


# Groups


KITCHEN = ("dog/kitchen_1.wav", "dog/kitchen_2.wav", "dog/yard_1.wav", "cat/kitchen_3.wav", "cat/hall_1.wav")
GUESSED = ["hall", "kitchen", "kitchen", "kitchen", "yard"]


def test_sessions_of_folders_and_tables_are_guessed_from_relative_paths(tmp_path: Path) -> None:
    root = tmp_path / "my_recordings_2"
    sounds(root, *KITCHEN)
    folder = from_folder(root)
    table = from_csv(rows(root / "l.csv", "path,label", *(f"{name},{name[:3]}" for name in sorted(KITCHEN))))
    for clips in (folder, table):
        assert clips.table["group"].tolist()[1:4] == GUESSED[1:4] and clips.group_source == "guessed"
        assert clips.notes[0].startswith("GUESSED GROUPS: clips are of one recording by what comes before a running")
        assert "3 clips named like 'cat/kitchen_3.wav' count as one recording 'kitchen'" in clips.notes[0]
        assert clips.table["group"].nunique() == 3


def test_each_file_is_its_own_or_grouped_by_a_pattern_if_asked(tmp_path: Path) -> None:
    sounds(tmp_path, *KITCHEN)
    alone = from_folder(tmp_path, group="file")
    assert alone.table["group"].tolist() == sorted(KITCHEN) and alone.group_source == "file"
    assert alone.notes == ("GROUPS BY FILE: each file counts as a recording of its own, as asked",)
    named = from_folder(tmp_path, group=r"_\d")
    assert named.table["group"].tolist() == ["_1", "_3", "_1", "_2", "_1"] and named.group_source == "given"
    with pytest.raises(ClipsError, match=r"--group \(: this is no regular expression"):
        from_folder(tmp_path, group="(")


def test_one_file_by_two_links_stays_one_recording_however_it_is_grouped(tmp_path: Path) -> None:
    sounds(tmp_path, "dog/yard_1.wav", "dog/hall_1.wav", "dog/hall_2.wav", "cat/yard_1.wav", "cat/hall_3.wav")
    (tmp_path / "dog" / "attic_7.wav").hardlink_to(tmp_path / "dog" / "hall_2.wav")
    for group in ("", "file", "hall_|yard_"):
        table = from_folder(tmp_path, group=group).table.set_index("clip")["group"]
        assert table["dog/attic_7.wav"] == table["dog/hall_2.wav"], group


def test_a_column_of_sources_groups_a_table(listed: Callable[..., Path]) -> None:
    lines = ("a.wav,dog,x1,k", "b.wav,cat,x1,m")
    clips = from_csv(listed("path,label,Src_File,place", *lines))
    assert clips.table["group"].tolist() == ["x1", "x1"] and clips.group_source == "given"
    assert clips.notes[0].startswith("GROUPS FROM A COLUMN: 'Src_File' says which clips are of one recording")
    clips = from_csv(listed("path,label,src_file,place", *lines), group="place")
    assert clips.table["group"].tolist() == ["k", "m"] and clips.notes == ()
    with pytest.raises(
        ClipsError, match=r"no clip's path matches.*No column has this name either\. Did you mean 'place'"
    ):
        from_csv(listed("path,label,src_file,place", *lines), group="plac")


def test_a_source_that_is_the_same_for_a_class_is_no_group(tmp_path: Path) -> None:
    sounds(tmp_path, *KITCHEN)
    file = rows(tmp_path / "l.csv", "path,label,source", *(f"{name},{name[:3]},freesound" for name in KITCHEN))
    clips = from_csv(file)
    assert clips.group_source == "guessed" and clips.table["group"].nunique() == 3
    assert clips.notes[1] == "NOT USED AS GROUPS: the column 'source' has one value for all clips of a class"


def test_guessed_groups_that_given_folds_part_are_named_not_refused(tmp_path: Path) -> None:
    sounds(tmp_path, *(f"{part}/{name}" for part in ("train", "test") for name in KITCHEN))
    clips = from_folder(tmp_path)
    assert clips.straddling == {"kitchen", "yard", "hall"} and clips.folds == ("test", "train")
