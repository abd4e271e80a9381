"""class_folders: folders as people have them give their classes, and what is empty or left out is named."""

import os
from pathlib import Path

import pytest

from hubbub.audio import decode
from hubbub.config.data import Protocol
from hubbub.data.clip_lists import from_folder
from hubbub.data.clips import Clips, ClipsError
from hubbub.data.splits import make_splits
from tests.helpers.sounds import sounds

DOGS_AND_CATS = tuple(f"{kind}/{number}.wav" for kind in ("cat", "dog") for number in range(3))


def noted(clips: Clips, start: str) -> list[str]:
    return [note for note in clips.notes if note.startswith(start)]


def test_hidden_files_are_no_recordings_and_are_counted(tmp_path: Path) -> None:
    sounds(tmp_path, *DOGS_AND_CATS, ".Trashes/501/old.wav")
    for name in DOGS_AND_CATS:
        (tmp_path / name).with_name("._" + Path(name).name).write_bytes(b"\0\5\x16\7")
    clips = from_folder(tmp_path)
    assert len(clips) == 6 and clips.labels == ("cat", "dog") and len(clips.notes) == 1
    assert clips.left_out[0].startswith("7 hidden files and folders: .Trashes, ")


def test_a_given_split_above_the_classes_gives_folds(tmp_path: Path) -> None:
    sounds(tmp_path, *(f"{part}/{name}" for part in ("Train", "valid", "test set") for name in DOGS_AND_CATS))
    clips = from_folder(tmp_path)
    assert clips.labels == ("cat", "dog") and clips.folds == ("test", "train", "validation") and len(clips) == 18
    assert (clips.table["fold"] == "train").sum() == 6 and len(noted(clips, "FOLDS FROM FOLDERS")) == 1
    (split,) = make_splits(clips, Protocol(kind="fixed", train=("train",), val=("validation",), test=("test",)))
    assert [set(clips.table["fold"].iloc[rows]) for _, rows in split.parts()] == [{"train"}, {"validation"}, {"test"}]


def test_numbered_folds_above_the_classes_are_folds(tmp_path: Path) -> None:
    sounds(tmp_path, *(f"fold{fold}/{name}" for fold in (1, 2, 10) for name in DOGS_AND_CATS))
    clips = from_folder(tmp_path)
    assert clips.labels == ("cat", "dog") and clips.folds == ("1", "2", "10")


def test_one_part_alone_above_the_classes_is_no_class(tmp_path: Path) -> None:
    sounds(tmp_path, *(f"train/{name}" for name in DOGS_AND_CATS))
    assert from_folder(tmp_path).labels == ("cat", "dog")


@pytest.mark.parametrize("names", [("train/a.wav", "test/a.wav"), ("train/dog/a.wav", "test/dog/a.wav", "cat/a.wav")])
def test_parts_of_a_split_are_never_classes(tmp_path: Path, names: tuple[str, ...]) -> None:
    sounds(tmp_path, *names)
    with pytest.raises(ClipsError, match=r"named like parts of a split \(.*train.*classes cannot be distinguished"):
        from_folder(tmp_path)


def test_trains_are_a_class_beside_others(tmp_path: Path) -> None:
    sounds(tmp_path, "train/steam/1.wav", "train/2.wav", "bus/1.wav")
    assert from_folder(tmp_path).labels == ("bus", "train") and from_folder(tmp_path).folds == ()


def test_linked_classes_and_linked_files_are_taken(tmp_path: Path) -> None:
    sounds(tmp_path / "elsewhere", *DOGS_AND_CATS)
    sounds(tmp_path / "pets", "cow/1.wav")
    os.symlink(tmp_path / "elsewhere" / "cat", tmp_path / "pets" / "cat")
    (tmp_path / "pets" / "dog").mkdir()
    for number in range(3):
        os.symlink(tmp_path / "elsewhere" / "dog" / f"{number}.wav", tmp_path / "pets" / "dog" / f"{number}.wav")
    clips = from_folder(tmp_path / "pets")
    assert clips.table["label"].value_counts().to_dict() == {"cat": 3, "dog": 3, "cow": 1}


def test_what_was_probably_meant_is_named_in_every_result(tmp_path: Path) -> None:
    sounds(tmp_path, *DOGS_AND_CATS, "lonely.wav")
    (tmp_path / "rain").mkdir()
    (tmp_path / "wind").mkdir()
    (tmp_path / "wind" / "notes.txt").touch()
    os.symlink("gone.wav", tmp_path / "dog" / "x.wav")
    os.mkfifo(tmp_path / "dog" / "pipe.wav")
    clips = from_folder(tmp_path)
    assert noted(clips, "LEFT OUT") == [
        "LEFT OUT: 2 class folders without recordings: rain, wind",
        "LEFT OUT: 1 recording outside the class folders: lonely.wav",
        "LEFT OUT: 1 pipe, device or socket, not a file: dog/pipe.wav",
        "LEFT OUT: 1 broken link: dog/x.wav",
    ]
    assert clips.left_out == ("1 empty folder: rain", "1 file with another ending (.txt): wind/notes.txt")


def test_one_file_in_two_classes_is_refused(tmp_path: Path) -> None:
    sounds(tmp_path, *DOGS_AND_CATS)
    os.symlink("../cat/0.wav", tmp_path / "dog" / "x.wav")
    with pytest.raises(
        ClipsError, match=r"one file has two labels, 1 time \(cat/0\.wav is 'cat' and dog/x\.wav 'dog'\)"
    ):
        from_folder(tmp_path)


def test_one_recording_in_two_formats_or_by_a_link_is_one_group(tmp_path: Path) -> None:
    sounds(tmp_path, *DOGS_AND_CATS, "cat/0.flac", "cat/1.WAV")
    os.symlink("0.wav", tmp_path / "dog" / "again.wav")
    os.link(tmp_path / "dog" / "1.wav", tmp_path / "dog" / "hard.wav")
    table = from_folder(tmp_path).table.set_index("clip")["group"]
    assert table["cat/0.flac"] == table["cat/0.wav"] and table["cat/1.WAV"] == table["cat/1.wav"]
    assert table["dog/again.wav"] == table["dog/0.wav"] and table["dog/hard.wav"] == table["dog/1.wav"]
    assert table.nunique() == 6


def test_names_that_are_no_text_are_refused(tmp_path: Path) -> None:
    sounds(tmp_path, *DOGS_AND_CATS)
    os.rename(tmp_path / "cat" / "0.wav", tmp_path / os.fsdecode(b"cat/gr\xfcn.wav"))
    with pytest.raises(ClipsError, match=r"cat/gr\\udcfcn\.wav: this name is not UTF-8 text\. Rename the file"):
        from_folder(tmp_path)


def test_classes_whose_names_look_alike_keep_all_their_recordings(tmp_path: Path) -> None:
    names = [f"{kind}/{n}.wav" for kind in ("Ka\u0308uz", "K\u00e4uz", "dog", "dog\u200b") for n in range(3)]
    sounds(tmp_path, *names)
    clips = from_folder(tmp_path)
    assert sorted(clips.table["clip"]) == sorted(names) and clips.labels == ("K\u00e4uz", "dog")
    assert noted(clips, "LABELS REPAIRED") and not noted(clips, "REPEATED ROWS")


def test_what_was_left_out_is_named_once(tmp_path: Path) -> None:
    sounds(tmp_path, *DOGS_AND_CATS)
    os.symlink("gone", tmp_path / "dog" / "x.wav")
    clips = from_folder(tmp_path)
    assert noted(clips, "LEFT OUT") == ["LEFT OUT: 1 broken link: dog/x.wav"] and clips.left_out == ()


@pytest.mark.parametrize(
    ("names", "folds"),
    [
        (("Training", "TEST", "dev"), ("test", "train", "validation")),
        (("train", "validation_set", "test_set"), ("test", "train", "validation")),
        (("01_train", "02_val", "03_test"), ("test", "train", "validation")),
        (("train", "holdout"), ("test", "train")),
        (("trainset", "tests"), ("test", "train")),
        (("Train Data", "Held-out data"), ("test", "train")),
        (("split1", "split2"), ("1", "2")),
    ],
)
def test_parts_of_a_split_spelled_otherwise_are_folds(tmp_path: Path, names: tuple[str, ...], folds: object) -> None:
    sounds(tmp_path, *(f"{part}/{name}" for part in names for name in DOGS_AND_CATS))
    clips = from_folder(tmp_path)
    assert clips.folds == folds and clips.labels == ("cat", "dog") and clips.fold_source == "folders"


def test_numbers_before_the_names_of_classes_stay(tmp_path: Path) -> None:
    sounds(tmp_path, "01-dog/a.wav", "02-cat/b.wav", "003 - cow/c.wav", "dog./d.wav")
    assert from_folder(tmp_path).labels == ("003 - cow", "01-dog", "02-cat", "dog.")


def test_links_in_circles_add_nothing_and_are_named(tmp_path: Path) -> None:
    sounds(tmp_path, *DOGS_AND_CATS)
    os.symlink(tmp_path, tmp_path / "dog" / "again")
    os.symlink(tmp_path / "cat", tmp_path / "dog" / "cats")
    clips = from_folder(tmp_path)
    assert clips.table["clip"].tolist() == list(DOGS_AND_CATS)
    assert clips.left_out == ("2 links to folders that were already searched: dog/again, dog/cats",)


def test_recordings_without_folders_are_counted_and_a_table_beside_them_is_named(tmp_path: Path) -> None:
    sounds(tmp_path, "a.wav", "b.wav")
    with pytest.raises(ClipsError, match=r"2 recordings lie in it directly\. Put each class's recordings in a folder"):
        from_folder(tmp_path)
    (tmp_path / "labels.csv").touch()
    with pytest.raises(ClipsError) as told:
        from_folder(tmp_path)
    assert f"If labels.csv lists them, name it: {tmp_path / 'labels.csv'}. Left out:" in str(told.value)


@pytest.mark.parametrize("ending", decode.EXTENSIONS)
def test_every_ending_that_the_decoder_reads_is_found_in_any_case(tmp_path: Path, ending: str) -> None:
    for name in (f"dog/a{ending}", f"cat/b{ending.upper()}"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    clips = from_folder(tmp_path)
    assert len(clips) == 2 and clips.left_out == ()
