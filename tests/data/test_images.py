"""images: system B's list and folders as a data set; duplicate images are found by name and by content."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, PngImagePlugin

from hubbub.audio.image_files import read_image
from hubbub.config.data import Protocol
from hubbub.data import leaks, splits
from hubbub.data.check import check_data
from hubbub.data.clips import ClipsError
from hubbub.data.images import content, open_images
from hubbub.data.open import open_data
from hubbub.data.write_lists import write_lists

CLASSES = (
    "dog_bark", "children_playing", "car_horn", "air_conditioner", "street_music", "gun_shot", "engine_idling",
    "jackhammer", "drilling", "ambulance", "firetruck", "police", "traffic",
)  # fmt: skip
COLUMNS = ["spec_file_name", "orig_file_name", "fsID", "fold", "classID", "class", "augmentation"]


def noise(seed: int, height: int = 20, width: int = 50, channels: int = 4) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    if channels == 4:
        pixels[..., 3] = 255
    return pixels


def made(folder: Path, height: int = 20, width: int = 50) -> pd.DataFrame:
    """As system B has it: 13 classes in 3 folds, one recording each, its original and a noisy copy, RGBA."""
    rows = []
    for number, label in enumerate(CLASSES):
        for fold in (1, 2, 3):
            for augmentation in ("original", "noise_5db"):
                source = f"{100 * fold + number}"
                name = f"{source}-{number}-{augmentation}.png"
                path = folder / "spectrograms" / f"fold{fold}" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(noise(len(rows), height, width)).save(path)
                rows.append((name, f"{source}.wav", source, fold, number, label, augmentation))
    return listed(folder, pd.DataFrame(rows, columns=COLUMNS))


def listed(folder: Path, table: pd.DataFrame) -> pd.DataFrame:
    table.to_csv(folder / "list.csv", index=False)
    return table


def save(path: Path, image: Image.Image, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


# The data set


def test_system_bs_list_and_folders_are_a_data_set(tmp_path: Path) -> None:
    made(tmp_path)
    clips = open_data(str(tmp_path / "list.csv"))
    assert clips.kind == "images" and clips.settings is None and clips.notes == ()
    assert clips.labels == tuple(sorted(CLASSES)) and clips.folds == ("1", "2", "3") and len(clips) == 78
    assert clips.table["clip"][0] == "spectrograms/fold1/100-0-original.png"
    assert clips.table["group"][0] == "100" and list(clips.table["split_hint"][:2]) == ["", "train"]
    for protocol in (
        Protocol(validation="previous"),
        Protocol(kind="fixed", train=("1",), val=("2",), test=("3",)),
        Protocol(kind="logo", validation="none"),
    ):
        found = splits.make_splits(clips, protocol)
        for split in found:
            held = clips.table["clip"].iloc[np.append(split.validation, split.test)]
            assert len(held) and held.str.endswith("original.png").all()
        assert leaks.audit(clips, found, list(clips.table["clip"])) == leaks.Audit()


@pytest.mark.parametrize("place", ["spectrograms/fold1/x.png", "fold1/x.png", "x.png", "deeper/x.png"])
def test_files_are_found_where_such_data_sets_keep_them(tmp_path: Path, place: str) -> None:
    save(tmp_path / "pictures" / place, Image.fromarray(noise(0)))
    name = "deeper/x.png" if "deeper" in place else "x.png"
    listed(tmp_path, pd.DataFrame([{"spec_file_name": name, "class": "dog", "fold": "1", "fsID": "7"}]))
    clips = open_images(tmp_path / "list.csv", root=tmp_path / "pictures")
    assert list(clips.table["path"]) == [str(tmp_path / "pictures" / place)]


@pytest.mark.parametrize("word", ["original", "Orig", "NONE", ""])
def test_originals_are_told_by_any_word_for_them(tmp_path: Path, word: str) -> None:
    save(tmp_path / "x.png", Image.fromarray(noise(0)))
    listed(tmp_path, pd.DataFrame([{"spec_file_name": "x.png", "class": "dog", "augmentation": word}]))
    assert list(open_images(tmp_path / "list.csv").table["split_hint"]) == [""]


def test_a_picture_is_original_where_no_column_says_otherwise(tmp_path: Path) -> None:
    row = {"spec_file_name": "x.png", "class": "dog", "variant": "orig", "augmentation": "noise"}
    save(tmp_path / "x.png", Image.fromarray(noise(0)))
    listed(tmp_path, pd.DataFrame([row]))
    assert list(open_images(tmp_path / "list.csv").table["split_hint"]) == ["train"]


def test_without_a_source_copies_stay_with_the_sound_they_are_of(tmp_path: Path) -> None:
    table = made(tmp_path)
    listed(tmp_path, table.assign(fsID=table["fsID"].where(table["class"] != "police", "")))
    clips = open_data(str(tmp_path / "list.csv"))
    sirens = clips.table[clips.table["label"] == "police"]
    assert set(sirens["group"]) == {"111.wav", "211.wav", "311.wav"}
    assert [note.split(" names")[0] for note in clips.notes] == ["NO GROUPS: list.csv"]
    assert "6 images" in clips.notes[0]


def test_missing_files_and_columns_are_named(tmp_path: Path) -> None:
    table = made(tmp_path)
    (tmp_path / "spectrograms/fold1/100-0-original.png").unlink()
    with pytest.raises(ClipsError, match=r"1 of 78 listed files are missing .*fold1/100-0-original\.png"):
        open_data(str(tmp_path / "list.csv"))
    clips = open_data(str(tmp_path / "list.csv"), allow_missing=True)
    assert len(clips) == 77 and clips.notes == ("PARTIAL DATA: 1 of 78 listed clips are missing",)
    listed(tmp_path, table.rename(columns={"class": "klass"}))
    with pytest.raises(ClipsError, match=r"no column 'class'\. Did you mean"):
        open_data(str(tmp_path / "list.csv"))
    listed(tmp_path, table.assign(spec_file_name="../../../x.png"))
    with pytest.raises(ClipsError, match="leaves"):
        open_data(str(tmp_path / "list.csv"))
    listed(tmp_path, table)
    with pytest.raises(ClipsError, match=r"Leave \[data\.columns\] out"):
        open_data(str(tmp_path / "list.csv"), columns={"path": "spec_file_name"})


# Names that collide


def test_slices_that_overwrote_each_other_are_one_clip_and_named(tmp_path: Path) -> None:
    table = made(tmp_path)
    slices = table.iloc[[0, 1, 1]].assign(orig_file_name="another-slice.wav")
    listed(tmp_path, pd.concat([table, slices]))
    clips = open_data(str(tmp_path / "list.csv"))
    assert len(clips) == 78 and clips.table["clip"].is_unique
    assert clips.notes == (
        "COLLIDING NAMES: 5 rows share 2 files (100-0-original.png, 100-0-noise_5db.png); each is one clip",
    )


@pytest.mark.parametrize(
    "column, value, said", [("class", "police", "classes"), ("fsID", "999", "sources"), ("fold", 1, "folds")]
)
def test_rows_that_are_no_one_clip_may_not_share_a_file(tmp_path: Path, column: str, value: object, said: str) -> None:
    save(tmp_path / "x.png", Image.fromarray(noise(0)))
    row = {"spec_file_name": "x.png", "class": "dog_bark", "fsID": "1", "fold": 2}
    listed(tmp_path, pd.DataFrame([row, row | {column: value}]))
    with pytest.raises(ClipsError, match=rf"rows of different {said} name one file, 1 times \(x\.png: "):
        open_data(str(tmp_path / "list.csv"))


def test_names_that_differ_by_case_alone_share_the_file_that_is_there(tmp_path: Path) -> None:
    save(tmp_path / "Dog.png", Image.fromarray(noise(0)))
    row = {"spec_file_name": "Dog.png", "class": "dog", "fsID": "1"}
    listed(tmp_path, pd.DataFrame([row, row | {"spec_file_name": "dog.png"}]))
    clips = open_data(str(tmp_path / "list.csv"))
    assert len(clips) == 1 and clips.notes[0].startswith("COLLIDING NAMES: 2 rows share 1 files (Dog.png)")
    listed(tmp_path, pd.DataFrame([row, row | {"spec_file_name": "dog.png", "class": "cat"}]))
    with pytest.raises(ClipsError, match="rows of different classes name one file"):
        open_data(str(tmp_path / "list.csv"))


# Contents


def test_duplicates_are_found_by_what_they_show(tmp_path: Path) -> None:
    made(tmp_path)
    assert check_data(str(tmp_path / "list.csv")).of("wrong") == ()
    info = PngImagePlugin.PngInfo()
    info.add_text("title", "another file, the same picture")
    pixels = Image.open(tmp_path / "spectrograms/fold1/100-0-original.png").convert("RGB")
    pixels.save(tmp_path / "spectrograms/fold2/201-1-original.png", pnginfo=info)
    (finding,) = (one.text for one in check_data(str(tmp_path / "list.csv")).of("wrong"))
    assert finding == (
        "one image, two labels, 1 time: spectrograms/fold1/100-0-original.png 'dog_bark' = "
        "spectrograms/fold2/201-1-original.png 'children_playing'"
    )
    clips = open_data(str(tmp_path / "list.csv"))
    contents = [content(read_image(path)) for path in clips.table["path"]]
    with pytest.raises(leaks.LeakError, match="identical"):
        leaks.audit(clips, splits.make_splits(clips, Protocol()), contents)


def test_grey_in_colours_shows_the_same(tmp_path: Path) -> None:
    grey = Image.fromarray(noise(0, channels=1)[..., 0])
    one = read_image(save(tmp_path / "a.png", grey))
    three = read_image(save(tmp_path / "b.png", grey.convert("RGBA")))
    assert (len(one), len(three)) == (1, 3) and content(one) == content(three)
    assert content(one) != content(one[:, ::-1])


def test_check_names_what_is_wrong_with_pictures(tmp_path: Path) -> None:
    made(tmp_path)
    folder = tmp_path / "spectrograms" / "fold1"
    assert check_data(str(tmp_path / "list.csv")).of("wrong") == ()
    (folder / "100-0-original.png").write_bytes((folder / "100-0-original.png").read_bytes()[:300])
    save(folder / "101-1-original.png", Image.new("RGB", (50, 20), "red"))
    save(folder / "102-2-original.png", Image.fromarray(noise(999, 30, 50)))
    save(folder / "103-3-original.png", Image.open(folder / "104-4-original.png"))
    broken, sizes, constant, same = (one.text for one in check_data(str(tmp_path / "list.csv")).of("wrong"))
    assert broken.startswith("1 file cannot be used: ") and "100-0-original.png cannot be read as an image" in broken
    assert sizes == "images differ in height and width: 76 of 20 x 50, 1 of 30 x 50"
    assert constant == "1 images are of one colour: spectrograms/fold1/101-1-original.png"
    assert same.startswith("one image, two labels, 1 time: spectrograms/fold1/103-3-original.png '")


def test_pictures_are_split_into_lists_that_are_read_back(tmp_path: Path) -> None:
    made(tmp_path)
    clips = open_data(str(tmp_path / "list.csv"))
    (train, val), root = write_lists(clips, tmp_path / "lists", 0.4, seed=0)
    parts = [open_data(str(path), root=root) for path in (train, val)]
    assert all(part.kind == "images" for part in parts)
    assert not set(parts[0].table["group"]) & set(parts[1].table["group"])
    assert parts[1].table["clip"].str.endswith("original.png").all()
    assert parts[0].table["clip"].str.endswith("noise_5db.png").any()
