"""layouts: a known data set is recognised in any folder that holds it, and never read as folders of classes."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from hubbub.config.recipe import Recipe
from hubbub.data.check import check_data
from hubbub.data.clips import Clips, ClipsError
from hubbub.data.open import data_settings, open_data, open_section
from hubbub.experiment.own import plan
from tests.data.test_datasets import (
    EMODB_FILES,
    ESC50,
    ESC50_FILES,
    US8K,
    US8K_FILES,
    lay_out,
    relative,
    rows,
    under,
)

Home = Callable[[str, str], Path]

ESC50_ROWS = [
    ("1-100032-A-0", "dog", "1", "100032"),
    ("2-200-A-14", "chirping_birds", "2", "200"),
    ("2-200-B-14", "chirping_birds", "2", "200"),
]
US8K_ROWS = [
    ("100032-3-0-0", "dog_bark", "5", "100032"),
    ("100263-2-0-117", "children_playing", "10", "100263"),
    ("100263-2-0-121", "children_playing", "10", "100263"),
]
EMODB_ROWS = [
    ("03a01Fa", "happiness", "03", "03"),
    ("03a01Nc", "neutral", "03", "03"),
    ("16b10Wb", "anger", "16", "16"),
]


@pytest.mark.parametrize(
    "names, lists, expected, title",
    [
        (under("audio", ESC50_FILES), {"meta/esc50.csv": ESC50}, ESC50_ROWS, "ESC-50"),
        (ESC50_FILES, {"esc50.csv": ESC50}, ESC50_ROWS, "ESC-50"),
        (under("audio/audio", ESC50_FILES), {"esc50.csv": ESC50}, ESC50_ROWS, "ESC-50"),  # a mirror's archive
        (under("ESC-50-master/audio", ESC50_FILES), {"ESC-50-master/meta/esc50.csv": ESC50}, ESC50_ROWS, "ESC-50"),
        (under("audio", ESC50_FILES), {"list.csv": ESC50}, ESC50_ROWS, "ESC-50"),  # told by its columns
        (under("audio", US8K_FILES), {"metadata/UrbanSound8K.csv": US8K}, US8K_ROWS, "UrbanSound8K"),
        (US8K_FILES, {"UrbanSound8K.csv": US8K}, US8K_ROWS, "UrbanSound8K"),
        (under("US8K/audio", US8K_FILES), {"US8K/metadata/UrbanSound8K.csv": US8K}, US8K_ROWS, "UrbanSound8K"),
        ([Path(name).name for name in US8K_FILES], {"UrbanSound8K.csv": US8K}, US8K_ROWS, "UrbanSound8K"),
    ],
)  # fmt: skip
def test_a_listed_data_set_is_recognised_wherever_it_lies(
    tmp_path: Path, names: list[str], lists: dict[str, str], expected: list[tuple[str, ...]], title: str
) -> None:
    lay_out(tmp_path, names, lists)
    clips = open_data(str(tmp_path), allow_missing=True)
    assert rows(clips) == expected and sorted(relative(clips, tmp_path)) == sorted(names)
    assert clips.name == title.lower().replace("-", "") and clips.fold_source == "official"
    assert clips.read_as == f"{tmp_path} is {title}: official folds and groups"
    assert clips.notes[0].startswith("PARTIAL DATA: 3 of ") and not clips.left_out


@pytest.mark.parametrize("folder", ["wav", ".", "EmoDB/wav"])
def test_emodb_is_recognised_by_its_file_names(tmp_path: Path, folder: str) -> None:
    lay_out(tmp_path, under(folder, EMODB_FILES))
    clips = open_data(str(tmp_path), allow_missing=True)
    assert clips.name == "emodb" and rows(clips) == EMODB_ROWS
    assert clips.read_as == f"{tmp_path / folder} is EmoDB: official folds and groups"


def test_the_published_list_stands_for_its_data_set(tmp_path: Path) -> None:
    lay_out(tmp_path, under("audio", ESC50_FILES), {"meta/esc50.csv": ESC50})
    assert rows(open_data(str(tmp_path / "meta/esc50.csv"), allow_missing=True)) == ESC50_ROWS


def test_folders_of_classes_stay_that(tmp_path: Path) -> None:
    """Clips of known data sets that somebody sorted by class have no list, and are not read as a whole."""
    lay_out(tmp_path, ["dog/1-100032-A-0.wav", "birds/2-200-A-14.wav", "birds/2-200-B-14.wav"])
    assert open_data(str(tmp_path)).labels == ("birds", "dog")
    lay_out(tmp_path / "emo", ["happy/03a01Fa.wav", "happy/08a01Fa.wav", "angry/16b10Wb.wav", "angry/16b10Wa.wav"])
    assert open_data(str(tmp_path / "emo")).labels == ("angry", "happy")


@pytest.mark.parametrize("place", ["", "audio/"])
def test_fold_folders_without_the_list_are_refused(tmp_path: Path, place: str) -> None:
    lay_out(tmp_path, [place + name for name in US8K_FILES])
    with pytest.raises(ClipsError, match=r"named as those of UrbanSound8K: put its list, UrbanSound8K\.csv, beside"):
        open_data(str(tmp_path), allow_missing=True)


def test_a_list_whose_files_are_not_there_is_refused(tmp_path: Path) -> None:
    lay_out(tmp_path, US8K_FILES[:1], {"UrbanSound8K.csv": US8K})
    with pytest.raises(ClipsError, match=r"3 clips are listed in .*, 8732 were published.*--allow-missing"):
        open_data(str(tmp_path))
    clips = open_data(str(tmp_path), allow_missing=True)
    assert clips.missing == ("100263-2-0-117", "100263-2-0-121")
    lay_out(tmp_path / "other", [f"fold4/{Path(US8K_FILES[0]).name}"], {"UrbanSound8K.csv": US8K})
    with pytest.raises(ClipsError, match="none of the 3 listed files is there"):  # fold 4, where the list says 5
        open_data(str(tmp_path / "other"), allow_missing=True)


def test_a_pipe_named_like_a_table_is_not_opened(tmp_path: Path) -> None:
    lay_out(tmp_path, ESC50_FILES, {"meta/esc50.csv": ESC50})
    os.mkfifo(tmp_path / "other.csv")
    assert rows(open_data(str(tmp_path), allow_missing=True)) == ESC50_ROWS


def test_recordings_that_the_list_does_not_name_are_said(tmp_path: Path) -> None:
    lay_out(tmp_path, [*under("audio", ESC50_FILES), "mine/bell.wav"], {"meta/esc50.csv": ESC50})
    clips = open_data(str(tmp_path), allow_missing=True)
    assert rows(clips) == ESC50_ROWS and clips.left_out == ("1 recording that the list does not name: mine/bell",)
    check = check_data(str(tmp_path), ["data.allow_missing=true"])
    assert check.read_as == clips.read_as and check.left_out == clips.left_out


def test_groups_of_a_known_data_set_cannot_be_changed(tmp_path: Path) -> None:
    lay_out(tmp_path, ESC50_FILES, {"esc50.csv": ESC50})
    with pytest.raises(ClipsError, match=r"says which clips are of one recording\. Leave --group"):
        open_data(str(tmp_path), group="file", allow_missing=True)


# Data for a recipe


def several(folder: Path) -> None:
    lay_out(folder / "esc", under("audio", ESC50_FILES), {"meta/esc50.csv": ESC50})
    lay_out(folder / "us8k", US8K_FILES, {"UrbanSound8K.csv": US8K})


def opened(recipe: str, data: Path | str) -> tuple[Recipe, Clips]:
    found = Recipe.load(recipe, [*data_settings(Recipe.load(recipe), data), "data.allow_missing=true"])
    return found, open_section(found)


def test_a_folder_of_several_data_sets_is_refused_unless_a_recipe_says_which(tmp_path: Path) -> None:
    several(tmp_path)
    with pytest.raises(ClipsError, match=r"holds 2 known data sets: ESC-50 in \S+esc, UrbanSound8K in \S+us8k\. Name"):
        open_data(str(tmp_path))
    for recipe, name, expected in (
        ("us8k-resnet18", "urbansound8k", US8K_ROWS),
        ("esc50-yamnet", "esc50", ESC50_ROWS),
        ("esc10-yamnet", "esc10", ESC50_ROWS[:1]),
    ):
        found, clips = opened(recipe, tmp_path)
        assert rows(clips) == expected and found.data.name == clips.name == name
        assert found.protocol == Recipe.load(recipe).protocol and found.title == Recipe.load(recipe).title


def test_other_data_are_evaluated_by_the_protocol_that_they_allow(tmp_path: Path) -> None:
    lay_out(tmp_path / "pets", ["dog/1.wav", "cat/1.wav"])
    found, clips = opened("us8k-yamnet-lgbm", tmp_path / "pets")  # its own protocol names folds
    assert clips.labels == ("cat", "dog") and found.protocol.kind == "auto" and found.protocol.train == ()
    several(tmp_path / "known")
    found, clips = opened("us8k-yamnet-lgbm", tmp_path / "known/esc/meta/esc50.csv")
    assert found.data.name == "esc50" and rows(clips) == ESC50_ROWS and found.protocol.kind == "auto"
    held_out = Recipe.load("esc50-yamnet-open", data_settings(Recipe.load("esc50-yamnet-open"), "emodb")).data
    assert held_out.name == "emodb" and held_out.held_out == ()


def test_train_takes_a_known_data_set_by_its_folder(tmp_path: Path) -> None:
    several(tmp_path)
    found = plan(str(tmp_path / "us8k"), ["data.allow_missing=true"], from_scratch=True)
    assert found.name == "urbansound8k" and rows(open_section(found.recipe)) == US8K_ROWS


# The real ones, by links


def test_real_data_sets_by_a_folder_are_those_of_a_data_home(tmp_path: Path, home: Home) -> None:
    home("data", "urbansound8k/metadata/present.csv")
    source = home("data", "urbansound8k")
    for fold in ("fold1", "fold2"):
        (tmp_path / "flat").mkdir(exist_ok=True)
        (tmp_path / "flat" / fold).symlink_to(source / "audio" / fold)
    shutil.copy(source / "metadata/UrbanSound8K.csv", tmp_path / "flat")
    for name, place in (
        ("esc50", home("data", "esc50")),
        ("emodb", home("data", "emodb")),
        ("urbansound8k", tmp_path / "flat"),
    ):
        here, there = (open_data(one, allow_missing=True) for one in (str(place), name))
        table = there.table[there.table["fold"].isin(here.folds)].drop(columns="path").reset_index(drop=True)
        pd.testing.assert_frame_equal(here.table.drop(columns="path"), table)
        assert here.labels == there.labels and here.straddling == there.straddling and here.name == name
