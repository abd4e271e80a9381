"""sets: the published data sets are read as published, in the original layout and in their mirrors', or refused."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from hubbub.data import datasets
from hubbub.data.clips import Clips, ClipsError
from hubbub.data.datasets import DATASETS
from hubbub.data.open import open_data
from hubbub.runtime import homes
from tests.helpers.amount import amount

Home = Callable[[str, str], Path]

# Tiny data sets, each as its publisher lays it out: a list where there is one, and sounds.

ESC50 = """filename,fold,target,category,esc10,src_file,take
1-100032-A-0.wav,1,0,dog,True,100032,A
2-200-A-14.wav,2,14,chirping_birds,False,200,A
2-200-B-14.wav,2,14,chirping_birds,False,200,B
"""
US8K = """slice_file_name,fsID,start,end,salience,fold,classID,class
100032-3-0-0.wav,100032,0.0,0.317551,1,5,3,dog_bark
100263-2-0-117.wav,100263,58.5,62.5,1,10,2,children_playing
100263-2-0-121.wav,100263,60.5,64.5,1,10,2,children_playing
"""
ESC50_FILES = ["1-100032-A-0.wav", "2-200-A-14.wav", "2-200-B-14.wav"]
US8K_FILES = ["fold5/100032-3-0-0.wav", "fold10/100263-2-0-117.wav", "fold10/100263-2-0-121.wav"]
EMODB_FILES = ["03a01Fa.wav", "03a01Nc.wav", "16b10Wb.wav"]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of this test's own; gives its `data` folder."""
    monkeypatch.setenv("HUBBUB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "user"))
    return tmp_path / "home" / "data"


def lay_out(folder: Path, names: list[str], lists: dict[str, str] | None = None) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, np.zeros(800), 8000)
    for name, text in (lists or {}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def under(folder: str, names: list[str]) -> list[str]:
    return [f"{folder}/{name}" for name in names]


def rows(clips: Clips) -> list[tuple[str, ...]]:
    return list(clips.table[["clip", "label", "fold", "group"]].itertuples(index=False, name=None))


def relative(clips: Clips, folder: Path) -> list[str]:
    return [Path(path).relative_to(folder).as_posix() for path in clips.table["path"]]


# As published, and as mirrors give it


@pytest.mark.parametrize(
    "names, table",
    [(under("audio", ESC50_FILES), "meta/esc50.csv"), (ESC50_FILES, "esc50.csv")],
    ids=["original", "flat"],
)
def test_esc50_in_both_layouts(own: Path, names: list[str], table: str) -> None:
    lay_out(own / "esc50", names, {table: ESC50})
    clips = open_data("esc50", allow_missing=True)
    assert rows(clips) == [
        ("1-100032-A-0", "dog", "1", "100032"),
        ("2-200-A-14", "chirping_birds", "2", "200"),
        ("2-200-B-14", "chirping_birds", "2", "200"),
    ]
    assert relative(clips, own / "esc50") == names
    assert rows(open_data("esc10", allow_missing=True)) == rows(clips)[:1]


@pytest.mark.parametrize(
    "names, table",
    [(under("audio", US8K_FILES), "metadata/UrbanSound8K.csv"), (US8K_FILES, "UrbanSound8K.csv")],
    ids=["original", "flat"],
)
def test_urbansound8k_in_both_layouts(own: Path, names: list[str], table: str) -> None:
    lay_out(own / "urbansound8k", names, {table: US8K})
    clips = open_data("urbansound8k", allow_missing=True)
    assert rows(clips) == [
        ("100032-3-0-0", "dog_bark", "5", "100032"),
        ("100263-2-0-117", "children_playing", "10", "100263"),
        ("100263-2-0-121", "children_playing", "10", "100263"),
    ]
    assert relative(clips, own / "urbansound8k") == names


@pytest.mark.parametrize("names", [under("wav", EMODB_FILES), EMODB_FILES], ids=["original", "flat"])
def test_emodb_in_both_layouts(own: Path, names: list[str]) -> None:
    lay_out(own / "emodb", names)
    clips = open_data("emodb", allow_missing=True)
    assert rows(clips) == [
        ("03a01Fa", "happiness", "03", "03"),
        ("03a01Nc", "neutral", "03", "03"),
        ("16b10Wb", "anger", "16", "16"),
    ]
    assert relative(clips, own / "emodb") == names


def test_a_listed_wav_is_found_as_ogg(own: Path) -> None:
    names = [f"audio/{Path(name).stem}.ogg" for name in ESC50_FILES]
    lay_out(own / "esc50", names, {"meta/esc50.csv": ESC50})
    assert relative(open_data("esc50", allow_missing=True), own / "esc50") == names


def test_the_fold_is_part_of_where_urbansound8k_looks(own: Path) -> None:
    lay_out(own / "urbansound8k", ["audio/fold4/100032-3-0-0.wav", *under("audio", US8K_FILES[1:])])
    lay_out(own / "urbansound8k", [], {"metadata/UrbanSound8K.csv": US8K})
    assert open_data("urbansound8k", allow_missing=True).missing == ("100032-3-0-0",)


# Refused


@pytest.mark.parametrize("name", ["esc50", "urbansound8k", "emodb"])
def test_a_part_of_a_data_set_is_refused_or_said_to_be_one(own: Path, name: str) -> None:
    lay_out(own / "esc50", under("audio", ESC50_FILES), {"meta/esc50.csv": ESC50})
    lay_out(own / "urbansound8k", under("audio", US8K_FILES), {"metadata/UrbanSound8K.csv": US8K})
    lay_out(own / "emodb", under("wav", EMODB_FILES))
    published = f"{DATASETS[name].clips}"
    with pytest.raises(ClipsError, match=rf"{name}: 3 clips are listed in .*, {published} were published.*--allow-mis"):
        open_data(name)
    notes = open_data(name, allow_missing=True).notes
    assert notes[0] == f"PARTIAL DATA: 3 of {DATASETS[name].clips:,} published clips are listed"
    # The three sounds of this test are equally long, which EmoDB's are not.
    assert [note.partition(":")[0] for note in notes[1:]] == (["ANOTHER VERSION"] if name == "emodb" else [])


@pytest.mark.parametrize(
    "name, table, text", [("esc50", "esc50.csv", ESC50), ("urbansound8k", "UrbanSound8K.csv", US8K)]
)
def test_a_fold_that_is_not_official_is_refused(own: Path, name: str, table: str, text: str) -> None:
    """Somebody's own split of a known data set must not pass for the published protocol."""
    changed = text.replace("2-200", "6-200").replace(".wav,2,", ".wav,6,").replace("1,10,2", "1,11,2")
    lay_out(own / name, [*(n.replace("2-200", "6-200") for n in ESC50_FILES), *US8K_FILES], {table: changed})
    with pytest.raises(ClipsError, match=rf"{name}: fold '(6|11)' is not an official fold \(1, 2, 3"):
        open_data(name, allow_missing=True)


@pytest.mark.parametrize(
    "name, table, text, right, wrong",
    [
        ("esc50", "esc50.csv", ESC50, "A-0.wav,1,0", "A-0.wav,2,0"),  # fold
        ("esc50", "esc50.csv", ESC50, "True,100032", "True,100033"),  # source
        ("esc50", "esc50.csv", ESC50, "A-0.wav,1,0", "A-0.wav,1,1"),  # class
        ("urbansound8k", "UrbanSound8K.csv", US8K, ",5,3,", ",5,2,"),  # class
        ("urbansound8k", "UrbanSound8K.csv", US8K, ".wav,100032", ".wav,100263"),  # source
    ],
)
def test_a_file_name_that_disagrees_with_its_row_is_refused(
    own: Path, name: str, table: str, text: str, right: str, wrong: str
) -> None:
    assert text.count(right) == 1
    lay_out(own / name, [*ESC50_FILES, *US8K_FILES], {table: text.replace(right, wrong)})
    with pytest.raises(ClipsError, match=rf"{name}: 1 file names disagree with their row \(1\S+\.wav\)"):
        open_data(name, allow_missing=True)


def test_a_list_without_a_column_names_it(own: Path) -> None:
    lay_out(own / "esc50", ESC50_FILES, {"esc50.csv": ESC50.replace("src_file", "source_file")})
    with pytest.raises(ClipsError, match=r"no column 'src_file'\. Did you mean 'source_file'"):
        open_data("esc50", allow_missing=True)


def test_a_folder_without_its_list_is_refused(own: Path) -> None:
    lay_out(own / "esc50", ESC50_FILES)
    with pytest.raises(ClipsError, match=r"has none of meta/esc50\.csv, esc50\.csv\. Unpack the data set"):
        open_data("esc50", allow_missing=True)


@pytest.mark.parametrize("odd", ["03a01Xa.wav", "xxa01Fa.wav", "03a01F.wav", "notes/03a01Fa.wav"])
def test_a_file_not_named_as_emodb_names_them_is_refused(own: Path, odd: str) -> None:
    lay_out(own / "emodb", [*EMODB_FILES, odd])
    with pytest.raises(ClipsError, match=rf"1 files are not named as EmoDB names them \({Path(odd).with_suffix('')}\)"):
        open_data("emodb", allow_missing=True)


def test_an_unknown_name_names_the_near_one() -> None:
    with pytest.raises(ClipsError, match=r"'esc-50' is not a data set, .* folder\. Did you mean 'esc50'"):
        open_data("esc-50")


@pytest.mark.parametrize("name", ["esc50", "esc10", "urbansound8k", "emodb"])
def test_a_data_set_not_at_hand_is_not_fetched_in_passing(own: Path, name: str) -> None:
    folder = DATASETS[name].folder
    with pytest.raises(ClipsError) as caught:
        open_data(name, allow_missing=True)
    said = str(caught.value)
    assert str(own.parent) in said and f"hubbub data get {folder}" in said and "HUBBUB_HOME" in said
    assert f"data/{folder}" in said and not own.exists()


# Anything of one's own


def test_a_csv_and_a_folder_are_opened_by_their_path(tmp_path: Path) -> None:
    lay_out(tmp_path / "pets", ["dog/1.wav", "dog/2.wav", "cat/1.wav"], {"list.csv": "file,label\ndog/1.wav,dog\n"})
    assert open_data(str(tmp_path / "pets")).labels == ("cat", "dog")
    listed = open_data(str(tmp_path / "pets" / "list.csv"), columns={"path": "file"})
    assert listed.table["label"].tolist() == ["dog"]
    shutil.move(tmp_path / "pets" / "list.csv", tmp_path / "list.csv")
    moved = open_data(str(tmp_path / "list.csv"), columns={"path": "file"}, root=str(tmp_path / "pets"))
    assert moved.table["path"].tolist() == listed.table["path"].tolist()
    fewer = open_data(str(tmp_path / "pets"), labels=("dog", "cat"), most=1)
    assert len(fewer) == 2 and fewer.labels == ("dog", "cat") and "REDUCED DATA: 2 of 3 clips" in fewer.notes


# The real ones


def test_esc50_is_whole(home: Home) -> None:
    home("data", "esc50")
    clips = open_data("esc50")
    assert len(clips) == clips.listed == 2000 and len(clips.labels) == 50 and clips.folds == ("1", "2", "3", "4", "5")
    assert (clips.table.groupby("fold").size() == 400).all()
    assert (clips.table.groupby(["fold", "label"]).size() == 8).all()
    sources = clips.table["clip"].str.split("-").str[1]
    assert (clips.table["group"] == sources).all() and sources.nunique() < 2000
    assert clips.notes == () and clips.licence.startswith("CC BY-NC") and "Piczak" in clips.citation
    assert all(Path(path).is_file() for path in clips.table["path"])


def test_esc10_is_its_open_part(home: Home) -> None:
    home("data", "esc50")
    clips, whole = open_data("esc10"), open_data("esc50")
    assert len(clips) == 400 and len(clips.labels) == 10 and clips.licence.startswith("CC BY 3")
    assert (clips.table.groupby(["fold", "label"]).size() == 8).all()
    assert set(clips.table["clip"]) < set(whole.table["clip"])


def test_urbansound8k_says_what_is_missing(home: Home) -> None:
    home("data", "urbansound8k/metadata/present.csv")  # the part that is lent for development says so by this file
    with pytest.raises(ClipsError, match=r"4817 of 8732 listed files are missing from .*\(.* and 4814 more\)"):
        open_data("urbansound8k")
    clips = open_data("urbansound8k", allow_missing=True)
    assert clips.listed == 8732 and len(clips) == 3915 and len(clips.missing) == 4817 and len(clips.labels) == 10
    assert clips.notes == ("PARTIAL DATA: 4,817 of 8,732 listed clips are missing",)
    assert clips.folds == tuple(str(k) for k in range(1, 11))
    assert clips.table.groupby("fold").size()[["1", "2", "10"]].tolist() == [873, 888, 837]
    assert (clips.table["group"] == clips.table["clip"].str.split("-").str[0]).all()
    assert all(
        Path(path).parent.name == f"fold{f}" for path, f in zip(clips.table["path"], clips.table["fold"], strict=True)
    )


def test_emodb_is_whole(home: Home) -> None:
    home("data", "emodb")
    clips = open_data("emodb")
    assert len(clips) == 535 and len(clips.labels) == 7 and len(clips.folds) == 10
    assert (clips.table["group"] == clips.table["clip"].str[:2]).all()
    # Burkhardt et al. 2005, table of what was kept.
    assert clips.table["label"].value_counts().to_dict() == {
        "anger": 127, "boredom": 81, "neutral": 79, "happiness": 71, "fear": 69, "sadness": 62, "disgust": 46,
    }  # fmt: skip


def test_known_straddling_groups_do_straddle(home: Home) -> None:
    """The lists that excuse a warning name exactly the recordings that the official folds split, and no others."""
    for name, table, group, folder in (
        ("esc50", "meta/esc50.csv", "src_file", "esc50"),
        ("urbansound8k", "metadata/UrbanSound8K.csv", "fsID", "urbansound8k"),
    ):
        listed = pd.read_csv(home("data", folder) / table, dtype=str)
        spread = listed.groupby(group)["fold"].nunique()
        assert set(spread[spread > 1].index) == DATASETS[name].straddling
    listed = listed[listed["fsID"].isin(DATASETS["urbansound8k"].straddling)]
    assert len(listed) == 152


# The synthesised one


def test_street_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clips = open_data("street")
    assert len(clips) == 400 and len(clips.labels) == 10 and clips.folds == ("1", "2", "3", "4", "5")
    assert clips.synthetic and clips.notes == ("SYNTHETIC: sounds made by hubbub, not recorded",)
    assert clips.licence == "CC0"
    assert all(Path(path).is_relative_to(homes.cache_dir()) for path in clips.table["path"])
    assert (clips.table.groupby("group")["fold"].nunique() == 1).all()
    before = {path: Path(path).stat().st_mtime_ns for path in clips.table["path"]}
    monkeypatch.setattr(datasets.synthetic, "write", None)
    again = open_data("street")
    pd.testing.assert_frame_equal(again.table, clips.table)
    assert {path: Path(path).stat().st_mtime_ns for path in again.table["path"]} == before


@pytest.mark.slow
@pytest.mark.parametrize("harm", ["changed", "gone", "list", "checksums", "folder", "empty", "cut"][: amount(4, 7)])
def test_street_is_made_again_where_a_file_of_it_is_not_whole(
    harm: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole, clips = datasets.synthetic.write, open_data("street")
    sound = Path(clips.table["path"][7])
    content, made = sound.read_bytes(), []

    def write(folder: Path, **given: object) -> Path:
        made.append(folder)
        return whole(folder, **given)

    monkeypatch.setattr(datasets.synthetic, "write", write)
    folder = sound.parents[1]
    file = {"list": folder / "street.csv", "checksums": folder / "entry.json"}.get(harm, sound)
    if harm == "folder":
        shutil.rmtree(folder / "audio")
    elif harm == "changed":
        sound.write_bytes(content[:-100] + bytes(100))
    elif harm in ("gone", "list", "checksums"):
        file.unlink()
    else:
        sound.write_bytes(content[:500] if harm == "cut" else b"")
    again = open_data("street")
    assert len(made) == 1 and "made again" in caplog.text
    pd.testing.assert_frame_equal(again.table, clips.table)
    assert sound.read_bytes() == content
    open_data("street")
    assert len(made) == 1
