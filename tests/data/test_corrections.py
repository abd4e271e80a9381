"""corrections: a table is applied as it says, or refused with the rows that do not fit."""

from pathlib import Path

import pandas as pd
import pytest

from hubbub.data.clips import Clips, build
from hubbub.data.corrections import correct
from hubbub.data.open import data_recipe, open_clips
from hubbub.data.splits import SplitError
from hubbub.data.values import ClipsError
from tests.helpers.sounds import rows, sounds

HEAD = "clip,path,start,end,given,corrected,who,when,why"


def clips(**columns: object) -> Clips:
    table = {"clip": ["a", "b", "c", "d"], "path": ["x/a.wav", "x/b.wav", "x/c.wav", "x/d.wav"], "group": list("abcd")}
    return build("mine", pd.DataFrame(table | {"label": ["dog", "dog", "rain", "rain"]} | columns))


def sets() -> Clips:
    return clips(labels=[("dog", "rain"), ("dog",), ("rain",), ()])


def table(folder: Path, *lines: str) -> Path:
    return rows(folder / "corrections.csv", HEAD, *lines)


def test_labels_are_corrected_removed_and_confirmed_and_a_note_says_so(tmp_path: Path) -> None:
    before = clips()
    file = table(
        tmp_path, "a,,,,dog,rain,me,now,", "b.wav,,,,dog,remove,,,", "c,,,,rain,rain,,,", "d,,,,rain,,,,unsure"
    )
    after = correct(before, file)
    assert after.table[["clip", "label"]].to_numpy().tolist() == [["a", "rain"], ["c", "rain"], ["d", "rain"]]
    assert after.corrected is not None and after.corrected.given == {"a": "dog"}
    assert (after.corrected.removed, after.corrected.confirmed, after.corrected.undecided) == (("b",), 1, 1)
    said = "CORRECTED LABELS: 1 label corrected and 1 clip removed by corrections.csv; 1 label confirmed"
    assert any(note.startswith(said) for note in after.notes)
    assert after.labels == ("rain",) and any("NO CLIPS LEFT" in note and "dog" in note for note in after.notes)
    assert before.table["label"].tolist() == ["dog", "dog", "rain", "rain"]


def test_a_new_class_must_be_said(tmp_path: Path) -> None:
    with pytest.raises(ClipsError, match=r"row 2: mine has no class 'rian'. Did you mean 'rain'\?.*new:NAME"):
        correct(clips(), table(tmp_path, "a,,,,dog,rian,,,"))
    assert correct(clips(), table(tmp_path, "a,,,,dog,new:siren,,,")).labels == ("dog", "rain", "siren")


def test_label_sets_are_corrected_as_sets(tmp_path: Path) -> None:
    after = correct(sets(), table(tmp_path, "a,,,,dog; rain,rain,,,", "c,,,,rain,rain;dog,,,", "d,,,,(none),(none),,,"))
    assert after.table["labels"].tolist() == [("rain",), ("dog",), ("dog", "rain"), ()]
    assert after.table["label"].tolist() == ["rain", "dog", "dog; rain", "(none)"]
    assert correct(sets(), table(tmp_path, "b,,,,dog,(none),,,")).table["labels"].tolist()[1] == ()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a,,,,rain,dog,,,", "b,,,,cat,dog,,,"], r"2 corrections .*row 2: a is 'dog' and not 'rain'.*row 3"),
        (["nobody,,,,dog,rain,,,"], r"1 name of no clip of mine \(.*row 2: nobody\)"),
        (["a,,,,dog,rain,,,", "a.wav,,,,dog,remove,,,"], r"row 3: the clip a is corrected twice, as in .*row 2"),
    ],
)  # fmt: skip
def test_corrections_that_do_not_fit_the_data_are_refused(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(ClipsError, match=message):
        correct(clips(), table(tmp_path, *lines))


def test_a_table_without_the_columns_and_a_class_called_remove_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ClipsError, match="has no column 'given'"):
        correct(clips(), rows(tmp_path / "c.csv", "clip,corrected", "a,dog"))
    with pytest.raises(ClipsError, match="has a class 'remove'"):
        correct(clips(label=["remove", "dog", "dog", "rain"]), table(tmp_path, "a,,,,remove,dog,,,"))


def test_they_are_applied_when_data_are_opened_before_clips_are_left_out(tmp_path: Path) -> None:
    sounds(tmp_path / "mine", *(f"{name}/{name} {k}.wav" for name in ("dog", "rain") for k in range(4)))
    file = table(tmp_path, *(f"dog/dog {k}.wav,,,,dog,rain,,," for k in range(3)))
    opened = open_clips(data_recipe(str(tmp_path / "mine"), [f"data.corrections={file}", "data.limit=1"]))
    assert sorted(opened.table["label"]) == ["dog", "rain"] and opened.corrected is not None
    assert len(opened.corrected.given) == 3
    assert len(open_clips(data_recipe(str(tmp_path / "mine")))) == 8


def test_lists_of_parts_are_corrected_themselves(tmp_path: Path) -> None:
    recipe = data_recipe(str(tmp_path), [f"data.corrections={tmp_path / 'c.csv'}"])
    protocol = recipe.protocol.model_copy(update={"kind": "csv", "train": ("a.csv",)})
    with pytest.raises(SplitError, match="Correct the labels in these lists"):
        open_clips(recipe.model_copy(update={"protocol": protocol}))
