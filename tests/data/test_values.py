"""values: what counts as no label, one label, one recording, one fold; and every repair is told."""

from pathlib import Path

import pandas as pd
import pytest

from hubbub.data.clip_lists import from_csv
from hubbub.data.clips import Clips, ClipsError, build
from tests.helpers.sounds import rows, sounds


def labelled(*labels: object, **columns: list[object]) -> Clips:
    number = range(len(labels))
    return build("pets", pd.DataFrame({"clip": [f"c{n}" for n in number], "path": [f"{n}.wav" for n in number],
                                       "label": list(labels), **columns}))  # fmt: skip


EMPTY = ("", "  ", "\xa0", "\u200b", "\ufeff \t", "\u3164", "\u2800", float("nan"), None, pd.NA)


@pytest.mark.parametrize("empty", EMPTY)
def test_cells_that_look_empty_are_no_label(empty: object) -> None:
    with pytest.raises(ClipsError, match=r"1 clip has no label \(c1\)"):
        labelled("dog", empty)


def test_blanks_and_invisible_characters_are_no_part_of_a_label() -> None:
    clips = labelled("dog", "dog ", "\ufeffdog", "d\u200bog", "\xa0dog", "kra\u0308he", "krähe")
    assert clips.labels == ("dog", "krähe") and len(clips.notes) == 1
    assert clips.notes[0].startswith("LABELS REPAIRED: ") and "in 5 labels" in clips.notes[0]
    assert labelled("dog", "cat").notes == ()


@pytest.mark.parametrize("other", ["Hiss", "hi ss", "hí ss", "hi_ss", "HI-SS", "\uff48iss"])
def test_labels_that_are_probably_one_are_named(other: str) -> None:
    (note,) = labelled("hiss", other, "dog").notes
    assert note.startswith("SIMILAR LABELS: ") and f"'{other}'" in note and "'dog'" not in note


DIFFERENT = (("1 2", "12"), ("1-2", "12"), ("a1-2", "a12"), ("dog", "dogs"), ("C+", "C"), ("か", "が"), ("-1", "1"))


@pytest.mark.parametrize("labels", DIFFERENT)
def test_labels_that_differ_are_not_called_alike(labels: tuple[str, ...]) -> None:
    assert labelled(*labels).notes == ()


def test_a_number_with_and_without_a_fraction_is_probably_one_label() -> None:
    assert labelled("1.0", "1", "2").notes == ("SIMILAR LABELS: '1' and '1.0': probably one class; give both one name",)


def test_lists_of_labels_in_a_cell_are_named() -> None:
    (note,) = labelled("dog;cat", "dog", "cat").notes
    assert note.startswith("SEVERAL LABELS IN ONE CELL: 1 clip ('dog;cat'); a clip has one label here")
    assert labelled("speech, child", "dog").notes == ()


def test_what_programs_write_for_an_empty_cell_is_named() -> None:
    assert labelled("nan", "dog").notes == (
        "LABELS THAT MAY BE GAPS: 1 clip of the class 'nan', as programs write an empty cell",
    )
    assert labelled("NA", "None", "dog").notes == ()


@pytest.mark.parametrize("label", ["a\nb", "a\0b", "x" * 300])
def test_what_is_no_name_is_no_label(label: str) -> None:
    with pytest.raises(ClipsError, match="A class's name is one line of at most 255 characters"):
        labelled("dog", label)


def test_classes_that_are_numbers_stand_in_their_order() -> None:
    assert labelled("0", "1", "10", "2").labels == ("0", "1", "2", "10")
    assert labelled("10", "2", "x").labels == ("10", "2", "x")


def test_spellings_of_one_fold_are_one_fold() -> None:
    clips = labelled("a", "a", "b", "b", "b", fold=["1", "1.0", "\xa0", "Two", "two "])
    assert clips.table["fold"].tolist() == ["1", "1", "", "Two", "Two"] and clips.folds == ("1", "Two")
    assert clips.notes == (
        "FOLDS JOINED: spellings that differ by case, blanks, invisible characters or outer zeros alone count as one "
        "('1' = '1.0', 'Two' = 'two ')",
        "NO FOLD: 1 clip of 5 has none (c2)",
    )
    assert labelled("a", "b", "b", "a", fold=["01", "1", "10", "0"]).folds == ("0", "1", "10")
    assert labelled("a", "b", fold=["²", "9" * 5000]).folds == ("9" * 5000, "²")
    assert labelled("a", "b", "c", fold=["1", "nan", float("nan")]).folds == ("1",)


def test_clips_without_a_fold_among_those_that_have_one_are_named() -> None:
    assert labelled("a", "b", "c", fold=["1", "nan", float("nan")]).notes == (
        "NO FOLD: 2 clips of 3 have none (c1, c2)",
    )
    assert labelled("a", "b", fold=["1", ""]).notes == ("NO FOLD: 1 clip of 2 has none (c1)",)
    assert labelled("a", "b", fold=["", " "]).notes == ()


def test_spellings_of_one_group_are_one_group(tmp_path: Path) -> None:
    sounds(tmp_path, *(f"{n}.wav" for n in range(5)))
    spellings = ("Take 1", "take 1 ", "take\u200b 1", "take 2", "7.0")
    file = rows(tmp_path / "l.csv", "path,label,group", *(f"{n}.wav,dog,{group}" for n, group in enumerate(spellings)))
    clips = from_csv(file)
    assert clips.table["group"].tolist() == ["Take 1"] * 3 + ["take 2", "7.0"]
    assert len(clips.notes) == 1 and clips.notes[0].startswith("GROUPS JOINED: ")


@pytest.mark.parametrize(("hint", "near"), [("Train", "'train'"), ("augmented", ""), ("test", ""), ("tran", "'train'")])
def test_unknown_hints_are_refused_by_row(tmp_path: Path, hint: str, near: str) -> None:
    sounds(tmp_path, "a.wav", "b.wav")
    with pytest.raises(ClipsError, match=rf"unknown split_hint '{hint}' \(row 3: b\.wav\).*{near}.*leave it empty"):
        from_csv(rows(tmp_path / "l.csv", "path,label,split_hint", "a.wav,dog,train", f"b.wav,cat,{hint}"))


# Labels of -1


@pytest.mark.parametrize("others", [("dog", "cat"), ("0", "1"), ("0", "7", "dog")])
def test_clips_with_the_label_minus_one_are_left_out_and_counted(tmp_path: Path, others: tuple[str, ...]) -> None:
    labels = [*others, "-1", others[0], " -1"]
    sounds(tmp_path, *(f"{n}.wav" for n in range(len(labels))))
    lines = [f"{n}.wav,{label}" for n, label in enumerate(labels)]
    clips = from_csv(rows(tmp_path / "l.csv", "path,label", *lines))
    assert set(clips.labels) == set(others) and len(clips) == len(others) + 1
    row = len(others) + 2
    assert clips.notes[-1] == (
        f"UNLABELLED: 2 clips of {len(labels)} with the label -1, which means no label, left out "
        f"(row {row}: {row - 2}.wav, row {row + 2}: {row}.wav)"
    )


@pytest.mark.parametrize("labels", [("-1", "1", "1"), ("-1", "-2", "dog"), ("-1", "-1", "dog")])
def test_minus_one_may_be_a_class(tmp_path: Path, labels: tuple[str, ...]) -> None:
    sounds(tmp_path, "0.wav", "1.wav", "2.wav")
    clips = from_csv(rows(tmp_path / "l.csv", "path,label", *(f"{n}.wav,{label}" for n, label in enumerate(labels))))
    assert set(clips.labels) == set(labels) and len(clips) == 3


def test_minus_one_is_a_class_if_the_recipe_names_it(tmp_path: Path) -> None:
    sounds(tmp_path, "0.wav", "1.wav", "2.wav")
    file = rows(tmp_path / "l.csv", "path,label", "0.wav,-1", "1.wav,0", "2.wav,1")
    assert len(from_csv(file, labels=("-1", "0", "1"))) == 3
