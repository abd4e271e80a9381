"""open: a recipe's clips, whether of one data set, of some of its folds, or of a list for each part."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image

from hubbub.config.data import Data, Protocol
from hubbub.config.recipe import Recipe
from hubbub.data import splits
from hubbub.data.leaks import Audit, LeakError, audit
from hubbub.data.open import open_clips
from hubbub.data.splits import SplitError, make_splits
from tests.helpers.tables import contents_of


def test_folds_that_take_no_part_are_not_opened_and_every_result_says_so(tmp_path: Path) -> None:
    rows = [f"{fold}{name}.wav,{name},{fold}" for fold in "123" for name in "ab"]
    for row in rows:
        soundfile.write(tmp_path / row.split(",")[0], np.zeros(800), 8000)
    (tmp_path / "list.csv").write_text("\n".join(["path,label,fold", *rows]) + "\n")
    recipe = Recipe(data=Data(name=str(tmp_path / "list.csv")), protocol=Protocol(train=("1", "2"), validation="none"))
    clips = open_clips(recipe)
    assert clips.folds == ("1", "2") and len(clips) == 4
    assert "PART OF THE FOLDS: fold 3 took no part, neither in training nor in testing" in clips.notes
    assert [s.name for s in make_splits(clips, recipe.protocol)] == ["1", "2"]
    whole = open_clips(Recipe(data=recipe.data, protocol=Protocol(train=("1", "2", "3"))))
    assert len(whole) == 6 and not any("PART" in note for note in whole.notes)


# Given lists


@pytest.fixture
def lists(tmp_path: Path) -> Callable[..., Recipe]:
    """Writes lists of sounds, `lists(train="ab", test="c")`, and gives the recipe that takes them."""
    rng = np.random.default_rng(0)
    for name in "abcdefgh":
        soundfile.write(tmp_path / f"{name}.wav", rng.normal(0, 0.1, 800), 8000)

    def write(columns: str = "path,label,group", **parts: str) -> Recipe:
        for part, names in parts.items():
            lines = [f"{n}.wav,{'dog' if n in 'aceg' else 'cat'},{n if columns else ''}" for n in names]
            (tmp_path / f"{part}.csv").write_text("\n".join([columns, *lines]) + "\n")
        given = {part: (str(tmp_path / f"{part}.csv"),) for part in parts}
        validation = "next" if "val" in parts else "none"
        return Recipe(data=Data(name="given"), protocol=Protocol(kind="csv", validation=validation, **given))

    return write


def test_csv_parts_are_the_lists_that_are_given(lists: Callable[..., Recipe]) -> None:
    recipe = lists(train="abcd", val="ef", test="gh")
    clips = open_clips(recipe)
    (split,) = make_splits(clips, recipe.protocol)
    names = [[Path(clips.table["path"][row]).stem for row in rows] for _, rows in split.parts()]
    assert names == [["a", "b", "c", "d"], ["e", "f"], ["g", "h"]]
    assert audit(clips, [split], contents_of(clips)) == Audit()
    assert clips.labels == ("cat", "dog") and clips.listed == len(clips) == 8


def test_csv_lists_that_share_a_file_leak(lists: Callable[..., Recipe]) -> None:
    recipe = lists(train="abcd", val="ef", test="gha")
    clips = open_clips(recipe)
    with pytest.raises(LeakError, match=r"train and test share 1 source recordings or speakers \(a\)"):
        audit(clips, make_splits(clips, recipe.protocol), contents_of(clips))


def test_csv_lists_obey_labels_and_limit(lists: Callable[..., Recipe]) -> None:
    recipe = lists(train="abcd", test="gh")
    ordered = open_clips(recipe.model_copy(update={"data": Data(name="given", labels=("dog", "cat"), limit=1)}))
    assert ordered.labels == ("dog", "cat") and len(ordered) == 4
    assert any(note.startswith("REDUCED DATA") for note in ordered.notes)
    with pytest.raises(Exception, match="unknown label 'cat'"):
        open_clips(recipe.model_copy(update={"data": Data(name="given", labels=("dog",))}))


def test_csv_without_groups_takes_each_file_for_one(lists: Callable[..., Recipe]) -> None:
    recipe = lists("path,label,x", train="abcd", test="gh")
    clips = open_clips(recipe)
    assert audit(clips, make_splits(clips, recipe.protocol), contents_of(clips)) == Audit()
    assert [note.split(":")[0] for note in clips.notes] == ["NO GROUPS"]


def test_given_lists_that_share_a_recording_by_a_link_leak(tmp_path: Path) -> None:
    names = [f"{n}.wav" for n in range(4)]
    for number, name in enumerate(names):
        noise = np.random.default_rng(number).normal(0, 0.1, 8000)
        soundfile.write(tmp_path / name, noise, 8000)
    (tmp_path / "3.wav").unlink()
    (tmp_path / "3.wav").symlink_to("0.wav")  # another part of it than the training part
    (tmp_path / "train.csv").write_text("path,label,start,end\n0.wav,a,0,0.6\n1.wav,b,,\n")
    (tmp_path / "test.csv").write_text("path,label,start,end\n3.wav,a,0.4,1\n2.wav,B,,\n")
    train, test = (str(tmp_path / f"{name}.csv") for name in ("train", "test"))
    recipe = Recipe.load("street-cnn", ["data.name=x"])
    protocol = Protocol(kind="csv", validation="none", train=(train,), test=(test,))
    clips = open_clips(recipe.model_copy(update={"protocol": protocol}))
    assert clips.table["group"].nunique() == 3
    assert "SIMILAR LABELS: 'B' and 'b': probably one class; give both one name" in clips.notes
    with pytest.raises(LeakError, match="share 1 source recordings"):
        audit(clips, [splits.Split("csv", np.array([0, 1]), np.array([], int), np.array([2, 3]))], ["", "", "", ""])


def test_given_lists_of_different_kinds_are_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.full(400, 0.1), 8000)
    pd.DataFrame({"path": ["a.wav"], "label": ["a"], "group": ["g"]}).to_csv(tmp_path / "sound.csv", index=False)
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "a.png")
    pictures = pd.DataFrame({"spec_file_name": ["a.png"], "class": ["a"], "fsID": ["g"], "fold": ["1"]})
    pictures.to_csv(tmp_path / "pictures.csv", index=False)
    train, test = (str(tmp_path / f"{name}.csv") for name in ("sound", "pictures"))
    protocol = Protocol(kind="csv", validation="none", train=(train,), test=(test,))
    with pytest.raises(SplitError, match="hold images and sound, or images made with other settings"):
        open_clips(Recipe(data=Data(name="lists"), protocol=protocol))
