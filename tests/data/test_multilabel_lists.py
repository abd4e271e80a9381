"""multilabel_lists: tables of clips with several labels give clips with label sets, or say what to write."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from hubbub.cli.main import app
from hubbub.config.data import Protocol
from hubbub.config.recipe import Recipe
from hubbub.data.check import check_data
from hubbub.data.clips import Clips, ClipsError, hold_out
from hubbub.data.open import clip_settings, data_recipe, open_clips, open_data
from hubbub.data.splits import make_splits
from hubbub.data.write_augmented import write as write_augmented
from hubbub.data.write_lists import write_lists
from tests.helpers.sounds import rows, sounds

NAMES = [f"{n}.wav" for n in range(8)]
SETS = ["dog;rain", "dog", "rain;wind", "wind", "dog;rain;wind", "rain", "dog;wind", "rain"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    sounds(tmp_path, *NAMES)
    return tmp_path


def sets(clips: Clips) -> dict[str, tuple[str, ...]]:
    return {Path(path).name: held for path, held in zip(clips.table["path"], clips.table["labels"], strict=True)}


def table(folder: Path, *lines: str, name: str = "list.csv") -> str:
    return str(rows(folder / name, *lines))


def noted(clips: Clips, tag: str) -> str:
    return next((note for note in clips.notes if note.startswith(f"{tag}: ")), "")


EXPECTED = {name: tuple(cell.split(";")) for name, cell in zip(NAMES, SETS, strict=True)}


def separated(folder: Path) -> str:
    return table(folder, "path,label", *(f"{name},{cell}" for name, cell in zip(NAMES, SETS, strict=True)))


# One data set, three forms


def test_several_labels_in_a_cell(folder: Path) -> None:
    clips = open_data(separated(folder), multilabel=True)
    assert clips.multilabel and clips.labels == ("dog", "rain", "wind") and sets(clips) == EXPECTED
    assert clips.table["label"].tolist()[:2] == ["dog; rain", "dog"] and clips.timed is None
    assert clips.targets().dtype == np.int8
    assert clips.targets().tolist()[:3] == [[1, 1, 0], [1, 0, 0], [0, 1, 1]]


def test_several_rows_a_file(folder: Path) -> None:
    lines = [f"{name},{label}" for name, cell in zip(NAMES, SETS, strict=True) for label in cell.split(";")]
    clips = open_data(table(folder, "path,label", *lines), multilabel=True)
    assert sets(clips) == EXPECTED and clips.table["clip"].tolist() == NAMES


def test_one_column_a_class_needs_no_setting_and_a_note_says_how_it_was_read(folder: Path) -> None:
    cells = [",".join(str(int(label in cell)) for label in ("wind", "dog", "rain")) for cell in SETS]
    lines = [f"{name},{cell},{n % 2},{n // 2}" for n, (name, cell) in enumerate(zip(NAMES, cells, strict=True))]
    clips = open_data(table(folder, "file,wind,dog,rain,source,group", *lines))
    assert clips.labels == ("wind", "dog", "rain"), "in the order of the columns; a source of 0 and 1 is no class"
    assert {name: set(held) for name, held in sets(clips).items()} == {n: set(held) for n, held in EXPECTED.items()}
    assert noted(clips, "CLASS COLUMNS").startswith("CLASS COLUMNS: 3 columns of 0 and 1 ('wind', 'dog', 'rain') are")
    assert clips.table["group"].tolist() == [str(n // 2) for n in range(8)]
    chosen = open_data(str(folder / "list.csv"), labels=("rain", "dog"))
    assert chosen.labels == ("rain", "dog") and sets(chosen)["3.wav"] == ()


def test_a_gap_in_a_class_column_is_unknown_and_a_row_of_zeros_holds_nothing(folder: Path) -> None:
    clips = open_data(table(folder, "path,dog,rain", "0.wav,1,", "1.wav,0,0", "2.wav,,1", "3.wav,1,0"))
    assert clips.targets().tolist() == [[1, -1], [0, 0], [-1, 1], [1, 0]]
    assert clips.table["unknown"].tolist() == [("rain",), (), ("dog",), ()]
    assert clips.table["label"].tolist() == ["dog", "(none)", "rain", "dog"]


def test_parts_of_a_file_are_clips_whose_times_may_be_clocks_or_have_decimal_commas(folder: Path) -> None:
    lines = ('0.wav,0:00:00,"0,05",dog', '0.wav,0,"0,05",rain', '0.wav,0:00:00.05,"0,1",rain', '1.wav,,,"dog,rain"')
    clips = open_data(table(folder, "path,start,end,label", *lines), multilabel=True)
    assert clips.table[["start", "end"]].fillna(-1).to_numpy().tolist() == [[0, 0.05], [0.05, 0.1], [-1, -1]]
    assert clips.table["labels"].tolist() == [("dog", "rain"), ("rain",), ("dog", "rain")]
    assert clips.table["group"].nunique() == 2, "parts of one file are one recording"


def test_groups_folds_and_hints_stay_and_rows_of_a_clip_may_not_contradict_each_other(folder: Path) -> None:
    head = "path,label,group,fold,split_hint"
    clips = open_data(table(folder, head, "0.wav,dog,a,1,", "0.wav,rain,a,1,", "1.wav,rain,b,2,train"), multilabel=True)
    assert clips.table[["group", "fold", "split_hint"]].to_numpy().tolist() == [["a", "1", ""], ["b", "2", "train"]]
    for row in ("0.wav,rain,b,1,", "0.wav,rain,a,2,", "0.wav,rain,a,1,train"):
        with pytest.raises(ClipsError, match="rows 2 and 3 are of one clip, and have the"):
            open_data(table(folder, head, "0.wav,dog,a,1,", row), multilabel=True)


def test_a_file_by_two_names_is_one_clip(folder: Path) -> None:
    (folder / "link.wav").symlink_to(folder / "0.wav")
    clips = open_data(table(folder, "path,label", "0.wav,dog", "link.wav,rain", "1.wav,rain"), multilabel=True)
    assert clips.table["labels"].tolist() == [("dog", "rain"), ("rain",)]


# Bad input


def test_clips_without_labels_are_refused_empty_or_unlabelled_as_asked(folder: Path) -> None:
    name = table(folder, "path,label", "0.wav,dog;rain", "1.wav,", "2.wav,dog", "3.wav,-1")
    with pytest.raises(ClipsError, match=r"1 clip has no label \(row 3\).*--empty none.*--empty unlabelled"):
        open_data(name, multilabel=True)
    empty = open_data(name, multilabel=True, empty="none")
    assert sets(empty) == {"0.wav": ("dog", "rain"), "1.wav": (), "2.wav": ("dog",)}
    assert noted(empty, "WITHOUT LABELS").startswith("WITHOUT LABELS: 1 clip of 3 ")
    assert noted(empty, "UNLABELLED").startswith("UNLABELLED: 1 clip of 4 with the label -1")
    left = open_data(name, multilabel=True, empty="unlabelled")
    assert len(left) == 2 and any("that nobody labelled, left out (row 3)" in note for note in left.notes)
    with pytest.raises(ClipsError, match=r"Label or remove them\. With --multilabel a clip may hold several labels"):
        open_data(table(folder, "path,label", "0.wav,dog;rain", "1.wav,", "2.wav,dog", "3.wav,rain"))


def test_labels_with_the_separator_in_their_name(folder: Path) -> None:
    name = table(folder, "path,label", '0.wav,"""Rain, heavy"",dog"', "1.wav,dog", '2.wav,"""Rain, heavy"""')
    assert sets(open_data(name, multilabel=True))["0.wav"] == ("Rain, heavy", "dog")
    spaced = table(folder, "path,label", '0.wav,"Rain, heavy,dog"', '1.wav,"dog,cat"')
    with pytest.raises(ClipsError, match=r"'Rain, heavy' in row 2 may be one label or two"):
        open_data(spaced, multilabel=True)
    mixed = table(folder, "path,label", '0.wav,"Rain, heavy;dog"', "1.wav,cat;dog")
    with pytest.raises(ClipsError, match=r"may be separated by ',' and ';'.*--set 'data\.separator=;'"):
        open_data(mixed, multilabel=True)
    assert sets(open_data(mixed, multilabel=True, separator=";"))["0.wav"] == ("Rain, heavy", "dog")


def test_rows_of_one_file_whose_labels_hold_a_separator_are_refused_unless_it_is_named(folder: Path) -> None:
    name = table(folder, "path,label", '0.wav,"Rain, heavy"', "0.wav,dog", "1.wav,dog")
    with pytest.raises(ClipsError, match=r"'Rain, heavy' in row 2 may be one name or several.*data\.separator=\|'"):
        open_data(name, multilabel=True)
    assert sets(open_data(name, multilabel=True, separator="|"))["0.wav"] == ("Rain, heavy", "dog")
    assert sets(open_data(name, multilabel=True, separator=","))["0.wav"] == ("Rain", "dog", "heavy")
    ordered = open_data(name, multilabel=True, labels=("dog", "Rain, heavy"))
    assert sets(ordered)["0.wav"] == ("dog", "Rain, heavy")


def test_classes_never_and_always_present_are_warned_of(folder: Path) -> None:
    lines = [f"{name},{int(n < 3)},1,0" for n, name in enumerate(NAMES)]
    found = check_data(table(folder, "path,dog,rain,owl", *lines))
    warnings = {finding.kind: finding.text for finding in found.of("warning")}
    assert "'owl'" in warnings["never present"] and "'rain'" in warnings["always present"]
    assert [one.clips for one in found.classes] == [3, 8, 0]


def test_a_label_that_is_none_of_the_classes_is_refused_and_similar_ones_are_noted(folder: Path) -> None:
    name = table(folder, "path,label", "0.wav,dog;Dog", "1.wav,rain")
    with pytest.raises(ClipsError, match=r"unknown label 'Dog' in row 2\. Did you mean 'dog'"):
        open_data(name, multilabel=True, labels=("dog", "rain"))
    assert "'Dog' and 'dog'" in noted(open_data(name, multilabel=True), "SIMILAR LABELS")
    for taken in ("path", "unknown", "level"):
        with pytest.raises(ClipsError, match=f"a class is called '{taken}'"):
            open_data(table(folder, "path,label", f"0.wav,dog;{taken}", "1.wav,dog"), multilabel=True)


def test_missing_files_are_refused_or_left_out_with_a_caveat(folder: Path) -> None:
    name = table(folder, "path,label", "0.wav,dog;rain", "gone.wav,dog", "gone.wav,rain", "1.wav,rain")
    with pytest.raises(ClipsError, match=r"1 of 3 listed files are missing .*gone\.wav"):
        open_data(name, multilabel=True)
    clips = open_data(name, multilabel=True, allow_missing=True)
    assert len(clips) == 2 and noted(clips, "PARTIAL DATA") and clips.missing == ("gone.wav",)


def test_single_label_data_that_look_like_sets_name_the_option(folder: Path) -> None:
    with pytest.raises(ClipsError, match=r"one file has two labels.*--multilabel reads several rows of a file as one"):
        open_data(table(folder, "path,label", "0.wav,dog", "0.wav,rain", "1.wav,dog"))
    clips = open_data(table(folder, "path,label", "0.wav,dog;rain", "1.wav,dog", "2.wav,rain", "3.wav,dog"))
    assert "--multilabel reads them as several" in noted(clips, "SEVERAL LABELS IN ONE CELL") and not clips.multilabel


def test_data_of_one_label_take_no_settings_of_label_sets(folder: Path) -> None:
    sounds(folder / "classes", "dog/0.wav", "cat/0.wav")
    with pytest.raises(ClipsError, match=r"holds clips of one label, and --multilabel is for clips that may hold"):
        open_data(str(folder / "classes"), multilabel=True)
    with pytest.raises(ClipsError, match=r"data\.separator is for clips"):
        open_data(table(folder, "path,label", "0.wav,dog", "1.wav,cat"), separator=";")
    with pytest.raises(ClipsError, match=r"--empty none is for clips"):
        open_data(str(folder / "list.csv"), empty="none")


# What the data are used for


def test_the_check_shows_classes_pairs_and_what_nobody_annotated(folder: Path) -> None:
    lines = ["0.wav,1,1,0", "1.wav,1,1,", "2.wav,0,0,0", "3.wav,0,1,1", "4.wav,1,0,1"]
    found = check_data(table(folder, "path,dog,rain,wind", *lines))
    assert found.sets is not None and found.clips == 5 and found.seconds == pytest.approx(0.5)
    assert found.sets.without == 1 and found.sets.unknown == {"wind": 1}
    assert found.sets.pairs == (("dog", "rain", 2), ("dog", "wind", 1), ("rain", "wind", 1))
    assert [one.clips for one in found.classes] == [3, 3, 2] and found.classes[0].seconds == pytest.approx(0.3)
    assert "sets" in found.model_dump() and not found.properties
    result = CliRunner().invoke(app, ["data", "check", str(folder / "list.csv")])
    assert "most often together: dog and rain (2)" in result.output and "wind (1)" in result.output
    assert "1.60 classes a clip on average; 1 clip with none of them" in result.output


def test_the_check_of_single_labels_writes_nothing_about_sets(folder: Path) -> None:
    found = check_data(table(folder, "path,label", *(f"{n},{'ab'[k % 2]}" for k, n in enumerate(NAMES))))
    assert found.sets is None and "sets" not in found.model_dump() and "sets" not in found.model_dump_json()


def test_options_become_settings(folder: Path) -> None:
    settings = clip_settings(multilabel=True, empty="none")
    recipe = data_recipe(separated(folder), settings)
    assert recipe.data.multilabel and recipe.data.empty == "none" and open_clips(recipe).multilabel
    result = CliRunner().invoke(app, ["data", "check", str(folder / "list.csv"), "--multilabel", "--empty", "none"])
    assert "8 clips of 3 classes" in result.output


def test_splits_written_as_lists_are_read_back(folder: Path) -> None:
    clips = open_data(separated(folder), multilabel=True, group="file")
    lists, root = write_lists(clips, folder / "lists", 0.25, 0, 0.25)
    protocol = Protocol(kind="csv", **{part.stem: (str(part),) for part in lists})
    recipe = Recipe.of(
        {"title": "a", "data": {"name": "a", "root": root}, "protocol": protocol.model_dump(exclude_defaults=True)}
    )
    opened = open_clips(recipe)
    assert opened.multilabel and set(opened.labels) == {"dog", "rain", "wind"}
    assert {name: set(held) for name, held in sets(opened).items()} == {n: set(held) for n, held in EXPECTED.items()}
    (split,) = make_splits(opened, protocol)
    assert sorted(np.concatenate([split.train, split.validation, split.test])) == list(range(8))


def test_augmented_copies_keep_their_label_sets(folder: Path) -> None:
    lines = ["0.wav,1,1,0", "1.wav,1,0,", "2.wav,0,0,0", "3.wav,0,1,1"]
    name = table(folder, "path,dog,rain,wind", *lines)
    copies = open_data(str(write_augmented(name, folder / "more", "orig,noisy")))
    assert copies.multilabel and len(copies) == 8 and copies.labels == ("dog", "rain", "wind")
    by_row = {Path(path).stem: row for path, row in zip(copies.table["path"], copies.targets().tolist(), strict=True)}
    assert by_row["0_orig"] == by_row["0_noisy"] == [1, 1, 0] and by_row["1_noisy"] == [1, 0, -1]


def test_what_is_for_clips_of_one_label_refuses_sets(folder: Path) -> None:
    clips = open_data(separated(folder), multilabel=True)
    with pytest.raises(ClipsError, match=r"may hold several labels, and data\.held_out is for clips of one label"):
        hold_out(clips, ("dog",))


def test_a_limit_keeps_some_clips_of_every_class_and_of_none(folder: Path) -> None:
    name = table(folder, "path,label", *(f"{n},{s}" for n, s in zip(NAMES, [*SETS[:6], "", ""], strict=True)))
    few = open_data(name, multilabel=True, empty="none", most=1)
    held = [label for own in few.table["labels"] for label in own]
    assert set(held) == {"dog", "rain", "wind"} and (few.table["label"] == "(none)").sum() == 1 and len(few) <= 4
    assert noted(few, "REDUCED DATA")


def test_test_data_without_a_class_say_nothing_about_it(folder: Path) -> None:
    here, there = separated(folder), table(folder, "path,dog,rain", "0.wav,1,0", "1.wav,0,1", name="there.csv")
    recipe = data_recipe(here, ["data.multilabel=true", f"data.test={there}"])
    clips = open_clips(recipe)
    assert clips.table["fold"].tolist() == ["train"] * 8 + ["test"] * 2
    assert clips.targets()[-2:].tolist() == [[1, 0, -1], [0, 1, -1]] and "wind" in noted(clips, "NOT ANNOTATED")
    one = table(folder, "path,label", "0.wav,dog", "1.wav,rain", name="one.csv")
    with pytest.raises(ClipsError, match=r"may hold several labels, and those of one do not"):
        open_clips(data_recipe(table(folder, "path,dog,rain,wind", "0.wav,1,0,1", "2.wav,0,1,0"), [f"data.test={one}"]))
