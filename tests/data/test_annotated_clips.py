"""annotated_clips: annotation tables and folders of annotated recordings are data sets."""

import os
import random
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from hubbub.audio import decode
from hubbub.classifier.prediction import Event, Prediction
from hubbub.data.clips import Clips, ClipsError
from hubbub.data.open import open_data
from hubbub.data.write_lists import write_lists
from hubbub.errors import HubbubError
from hubbub.inference.formats import FORMATS
from hubbub.inference.result import FileResult
from tests.helpers.sounds import rows, sounds

AOEF = Path(__file__).parents[1] / "files" / "annotations" / "aoef.json"
HEAD = "Selection\tView\tBegin Time (s)\tEnd Time (s)\tSpecies"
CALLS = (("1", 2.0, 3.5, "beep"), ("2", 6.0, 7.5, "hiss"), ("3", 10.0, 11.5, "beep"))
RAVEN = (HEAD, *(f"{n}\t{view} 1\t{a}\t{b}\t{c}" for n, a, b, c in CALLS for view in ("Waveform", "Spectrogram")))
TRACK = tuple(line for _, a, b, c in CALLS for line in (f"{a}\t{b}\t{c}", "\\\t200\t3000"))


@pytest.fixture
def night(tmp_path: Path) -> Path:
    """A folder with `night.wav`, 20 s of faint noise with a tone at each beep and loud noise at each hiss."""
    folder = tmp_path / "field"
    folder.mkdir()
    write(folder / "night.wav")
    return folder


def write(file: Path, seed: int = 0) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    rng, times = np.random.default_rng(seed), np.arange(20 * 8000) / 8000
    wave = 0.001 * rng.standard_normal(len(times))
    for _, start, end, label in CALLS:
        at = (times >= start) & (times < end)
        wave[at] += (
            0.3 * np.sin(2 * np.pi * 900 * times[at]) if label == "beep" else 0.1 * rng.standard_normal(at.sum())
        )
    soundfile.write(file, wave, 8000)


def spans(clips: Clips) -> list[tuple[str, float, float, str]]:
    cells = clips.table[["path", "start", "end", "label"]].itertuples(index=False)
    return [(Path(path).name, round(start, 3), round(end, 3), label) for path, start, end, label in cells]


def note(clips: Clips, begin: str) -> str:
    return next((text for text in clips.notes if text.startswith(begin)), "")


EXPECTED = [("night.wav", a, round(a + 1.935, 3), c) for _, a, _, c in CALLS]


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("night.Table.1.selections.txt", RAVEN),
        ("night.txt", TRACK),
        ("Night_labels.txt", TRACK),
        ("night.wav.txt", TRACK),
        ("all.csv", ("file,start,end,label", *(f"C:\\rec\\night.WAV,{a},{b},{c}" for _, a, b, c in CALLS))),
        ("all.csv", ("path,start,end,label", *(f"/data/night.flac,{a},{b},{c}" for _, a, b, c in CALLS))),
    ],
)
def test_a_table_is_a_data_set_by_its_name_and_by_that_of_its_folder(
    night: Path, name: str, lines: tuple[str, ...]
) -> None:
    file = rows(night / name, *lines)
    for what in (file, night):
        clips = open_data(str(what))
        assert spans(clips) == EXPECTED and clips.labels == ("beep", "hiss")
        assert set(clips.table["group"]) == {"night.wav"} and clips.group_source == "file"
        assert note(clips, "ANNOTATIONS") == (
            "ANNOTATIONS: 3 in 1 recording gave 3 clips of 5.8 s in all; windows of 0.975 s every 0.48 s have the "
            "label that fills 0.5 of them"
        )
        assert len(clips.notes) == 1


def test_clips_hold_the_sound_that_their_label_names(night: Path) -> None:
    rows(night / "night.txt", *TRACK)
    clips = open_data(str(night), background=True)
    assert set(clips.labels) == {"background", "beep", "hiss"}
    for _, path, start, end, label in clips.table[["path", "start", "end", "label"]].itertuples():
        wave, rate_hz = decode.decode(path, start, end)
        power = np.abs(np.fft.rfft(wave[: rate_hz // 2])) ** 2
        tonal = power[round(900 / rate_hz * (rate_hz // 2))] / power.sum() > 0.5
        loud = float(np.sqrt(np.mean(wave**2))) > 0.01
        assert (tonal, loud) == {"beep": (True, True), "hiss": (False, True), "background": (False, False)}[label]


def test_background_is_at_most_as_much_as_the_largest_class(night: Path) -> None:
    rows(night / "night.txt", *TRACK)
    clips = open_data(str(night), background=True)
    assert note(clips, "BACKGROUND").startswith(
        "BACKGROUND: 6 of 19 windows without annotations, from 1 of 1 recording;"
    )
    ordered = open_data(str(night), background=True, labels=("hiss", "beep"))
    assert ordered.labels == ("hiss", "beep", "background")
    rows(night / "night.txt", *TRACK, "15\t16\tbackground")
    with pytest.raises(ClipsError, match="a class is called 'background' already"):
        open_data(str(night), background=True)
    assert "background" in open_data(str(night)).labels


def test_background_needs_annotations(night: Path) -> None:
    sounds(night, "dog/a.wav", "cat/b.wav")
    with pytest.raises(ClipsError, match="is not annotated, so no background can be taken"):
        open_data(str(night), background=True)


def test_an_empty_table_means_a_recording_with_nothing_in_it(night: Path) -> None:
    write(night / "day.wav", 1)
    rows(night / "night.txt", *TRACK)
    left_out = open_data(str(night), background=True)
    assert note(left_out, "LEFT OUT").startswith("LEFT OUT: 1 recording without annotations (day.wav); an empty table")
    assert "from 1 of 1 recording;" in note(left_out, "BACKGROUND")
    rows(night / "day.txt", HEAD)
    clips = open_data(str(night), background=True)
    assert note(clips, "WITHOUT") == "WITHOUT ANNOTATIONS: nothing is marked in 1 recording (day.wav)"
    assert "from 2 of 2 recordings;" in note(clips, "BACKGROUND") and not note(clips, "LEFT OUT")


def test_only_what_was_searched_is_background(tmp_path: Path) -> None:
    for seed, name in enumerate(("night.wav", "day.wav")):
        write(tmp_path / name, seed)
    shutil.copy(AOEF, tmp_path / "a.json")
    clips = open_data(str(tmp_path), background=True)
    found = clips.table[clips.table["label"] == "background"]
    assert set(found["group"]) == {"night.wav", "day.wav"}
    assert found.loc[found["group"] == "night.wav", "end"].max() <= 18 - 0.4875
    assert note(clips, "LEFT OUT") == "LEFT OUT: 1 label of a.json at a point in time (row 4: owl)"


# Folders


def test_tables_in_a_folder_of_their_own_find_their_recordings(tmp_path: Path) -> None:
    for seed, place in enumerate(("north/1", "south/1", "south/2")):
        write(tmp_path / "audio" / f"{place}.wav", seed)
        (tmp_path / "labels").mkdir(exist_ok=True)
        name = place.replace("/", "_")
        rows(tmp_path / "labels" / f"{name}.csv", "file,onset,offset,event_label", f"../audio/{place}.wav,2,3.5,beep",
             f"../audio/{place}.wav,6,7.5,hiss")  # fmt: skip
    clips = open_data(str(tmp_path))
    found = {Path(path).relative_to(tmp_path / "audio").as_posix() for path in clips.table["path"]}
    assert found == {"north/1.wav", "south/1.wav", "south/2.wav"}
    assert len(clips) == 6
    rows(tmp_path / "labels" / "south_2.csv", "file,onset,offset,event_label", "1.wav,2,3.5,beep")
    with pytest.raises(ClipsError, match=r"1 may be audio/north/1.wav or audio/south/1.wav"):
        open_data(str(tmp_path))


def test_two_tables_about_one_recording_are_refused_by_name(night: Path) -> None:
    rows(night / "night.txt", *TRACK)
    rows(night / "night.Table.1.selections.txt", *RAVEN)
    with pytest.raises(
        ClipsError, match=r"night.wav is annotated by night.Table.1.selections.txt and by night.txt. Name"
    ):
        open_data(str(night))
    assert len(open_data(str(night / "night.txt"))) == 3


def test_a_folder_of_classes_with_stray_texts_stays_one(tmp_path: Path) -> None:
    sounds(tmp_path, "dog/1.wav", "dog/2.wav", "cat/1.wav", "cat/2.wav")
    rows(tmp_path / "dog" / "readme.txt", "Recorded in May.")
    rows(tmp_path / "other.txt", *TRACK)
    rows(tmp_path / "list.csv", "path,label", "dog/1.wav,dog")
    rows(tmp_path / "notes.json", '{"a": 1}')
    (tmp_path / "cat" / "3.txt").touch()
    clips = open_data(str(tmp_path))
    assert clips.labels == ("cat", "dog") and len(clips) == 4


def test_classes_and_annotations_mixed_are_refused_with_both_named(tmp_path: Path) -> None:
    sounds(tmp_path, "dog/1.wav", "dog/2.wav", "cat/1.wav", "cat/2.wav", seconds=3)
    rows(tmp_path / "dog" / "1.txt", "0.5\t2\tbark")
    with pytest.raises(ClipsError, match=r"holds annotations \(dog/1.txt\) and 3 recordings without.*\(cat, dog\)"):
        open_data(str(tmp_path))


def test_a_folder_whose_only_table_is_wrong_says_what_is_wrong(night: Path) -> None:
    rows(night / "night.csv", "start,end,Vogel", "2,3,Amsel")
    with pytest.raises(ClipsError, match="no column that is known to hold labels"):
        open_data(str(night))
    assert open_data(str(night), columns={"label": "Vogel"}).labels == ("Amsel",)


def test_tables_of_recordings_that_are_elsewhere_are_named(night: Path) -> None:
    rows(night / "night.txt", *TRACK)
    rows(night / "gone.txt", *TRACK)
    assert note(open_data(str(night)), "LEFT OUT") == "LEFT OUT: 1 table whose recordings are not here: gone.txt"


# Rows


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("-1,1,dog", r"row 3: night.wav: start -1 s"),
        ("3,2,dog", r"row 3: night.wav: end 2 s is not after start 3 s"),
        ("25,26,dog", r"row 3: night.wav: start 25 s is not within the file, which lasts 20 s"),
        ("0,inf,dog", r"row 3: night.wav: start 0 s, end inf s"),
        ("nan,2,dog", r"'nan' is not a number of seconds"),
    ],
)
def test_spans_without_sound_are_refused_by_row(night: Path, line: str, message: str) -> None:
    rows(night / "night.csv", "start,end,label", "1,2,dog", line)
    with pytest.raises(ClipsError, match=message):
        open_data(str(night))


def test_an_end_after_the_files_end_is_cut_and_told(night: Path) -> None:
    rows(night / "night.csv", "start,end,label", "18,20.02,dog", "18,25,dog")
    clips = open_data(str(night))
    assert spans(clips) == [("night.wav", 18.0, 19.935, "dog")]
    assert note(clips, "SPANS CUT").endswith("(row 3: night.wav)")


def test_contradictions_repeats_and_points_are_counted_by_name(night: Path) -> None:
    rows(night / "night.csv", "start,end,label", "0,10,rain", "4,5,dog", "15,16,dog", "15,16,dog", "18,18,dog")
    clips = open_data(str(night))
    assert [row[3] for row in spans(clips)] == ["rain", "rain", "dog"]
    assert note(clips, "CONTRADICTORY") == (
        "CONTRADICTORY: 4 windows left out, which another label fills too (night.csv row 2: rain and dog, night.csv "
        "row 3: dog and rain); nothing is left of 1 annotation; --multilabel keeps them, with both labels"
    )
    assert note(clips, "REPEATED") == "REPEATED ROWS: 1 row of night.csv like others; each counts once"
    assert note(clips, "LEFT OUT") == "LEFT OUT: 1 label of night.csv at a point in time (row 6: dog)"
    rows(night / "night.csv", "start,end,label", "4,5,dog", "4,5,rain")
    with pytest.raises(ClipsError, match=r"no clip is left of 2 annotations\. CONTRADICTORY: 4 windows"):
        open_data(str(night))


def test_recordings_that_are_missing_need_to_be_allowed(night: Path) -> None:
    file = rows(night / "all.csv", "file,start,end,label", "night.wav,2,3.5,beep", "gone.wav,2,3.5,beep")
    with pytest.raises(ClipsError, match=r"1 of 2 listed files are missing .*gone.wav"):
        open_data(str(file))
    clips = open_data(str(file), allow_missing=True)
    assert len(clips) == 1 and note(clips, "PARTIAL DATA") == "PARTIAL DATA: 1 of 2 listed clips are missing"


def test_a_table_without_its_recording_says_which_name_is_looked_for(night: Path, tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    file = rows(tmp_path / "labels" / "night.labels.txt", *TRACK)
    with pytest.raises(ClipsError, match=r"names no recording, and below .*labels none is called night\. Put"):
        open_data(str(file))
    assert spans(open_data(str(file), root=str(night))) == EXPECTED


def test_a_recording_by_two_names_is_one_group(night: Path) -> None:
    os.link(night / "night.wav", night / "copy.wav")
    file = rows(night / "all.csv", "file,start,end,label", "night.wav,2,3.5,beep", "copy.wav,6,7.5,hiss")
    clips = open_data(str(file))
    assert clips.table["group"].nunique() == 1 and len(clips) == 2


def test_a_column_of_groups_is_used_where_it_is_named(night: Path) -> None:
    write(night / "day.wav", 1)
    lines = ("file,start,end,label,site", "night.wav,2,3.5,beep,north", "day.wav,6,7.5,hiss,north")
    clips = open_data(str(rows(night / "all.csv", *lines)), columns={"group": "site"})
    assert list(clips.table["group"]) == ["north", "north"] and clips.group_source == "given"
    for group, expected in (("site", ["north"]), ("file", ["day.wav", "night.wav"]), ("([dn])[a-z]+", ["d", "n"])):
        clips = open_data(str(night / "all.csv"), group=group)
        assert sorted(set(clips.table["group"])) == expected


def test_groups_of_a_table_are_kept_and_background_gets_that_of_its_recording(night: Path) -> None:
    write(night / "day.wav", 1)
    lines = ("path,start,end,label,group", "night.wav,2,3.5,beep,Ann", "night.wav,6,7.5,hiss,Bo", "day.wav,2,3.5,beep,")
    clips = open_data(str(rows(night / "all.csv", *lines)), background=True)
    found = clips.table.groupby(["path", "label"])["group"].unique()
    assert [list(found[str(night / "night.wav"), label]) for label in ("beep", "hiss")] == [["Ann"], ["Bo"]]
    assert set(clips.table.loc[clips.table["path"] == str(night / "day.wav"), "group"]) == {"day.wav"}
    assert set(clips.table.loc[clips.table["label"] == "background", "group"]) <= {"Ann", "Bo", "day.wav"}


def test_lists_of_a_split_keep_the_clips_as_they_are(night: Path, tmp_path: Path) -> None:
    for seed in range(3):
        write(night / f"{seed}.wav", seed)
        rows(night / f"{seed}.txt", *TRACK)
    rows(night / "night.txt", *TRACK)
    clips = open_data(str(night), background=True)
    lists, root = write_lists(clips, tmp_path / "lists", 0.3, seed=0)
    again = [row for file in lists for row in spans(open_data(str(file), root=root))]
    assert sorted(again) == sorted(spans(clips)) and len(again) > 12


def test_what_a_folder_holds_besides_is_counted_aloud(night: Path) -> None:
    rows(night / "night.txt", *TRACK)
    rows(night / "readme.txt", "Recorded in May.")
    rows(night / "picture.png", "")
    rows(night / ".hidden.csv", "")
    (night / "gone.wav").symlink_to("nowhere")
    clips = open_data(str(night))
    assert clips.left_out == (
        "1 hidden file or folder: .hidden.csv",
        "1 file with another ending (.png): picture.png",
        "1 text or table without annotations: readme.txt",
    )
    assert note(clips, "LEFT OUT") == "LEFT OUT: 1 broken link: gone.wav"


# What hubbub writes it also reads


@pytest.mark.parametrize("form", FORMATS)
def test_what_hubbub_writes_it_also_reads(night: Path, form: str) -> None:
    events = tuple(Event(label, start, end, 0.75) for _, start, end, label in CALLS)
    nothing = np.zeros((0, 2))
    prediction = Prediction(
        {"beep": 0.6, "hiss": 0.4}, 20.0, nothing, nothing.astype(int), nothing.astype("f4"), events
    )
    FORMATS[form].save(
        night / f"night{FORMATS[form].ending}", FileResult("elsewhere/night.wav", prediction, model="m"), 0.0
    )
    for what in (night / f"night{FORMATS[form].ending}", *([night] if form != "parquet" else [])):
        clips = open_data(str(what))
        assert spans(clips) == EXPECTED
        assert bool(note(clips, "MACHINE LABELS")) == (form != "audacity")


def test_labels_that_look_like_formulas_come_back(night: Path) -> None:
    events = (Event("=1+1", 2.0, 3.5, 0.75), Event("'quoted", 6.0, 7.5, 0.75))
    nothing = np.zeros((0, 2))
    prediction = Prediction({"=1+1": 1.0}, 20.0, nothing, nothing.astype(int), nothing.astype("f4"), events)
    FORMATS["csv"].save(night / "a.csv", FileResult("night.wav", prediction, model="m"), 0.0)
    assert open_data(str(night / "a.csv")).labels == ("'quoted", "=1+1")
    table = pd.read_csv(night / "a.csv")
    assert list(table.pop("clock").isna()) == [True, True]
    table.to_csv(night / "a.csv", index=False)  # as before there was a clock
    assert open_data(str(night / "a.csv")).labels == ("'quoted", "=1+1")


def test_no_annotation_table_ends_in_a_traceback(night: Path) -> None:
    odd = ("", " ", "night.wav", "/etc/passwd", "..", "x" * 300, "a\x00", "nan", "-1", "1e999", "1,5", "\\", "\u200b",
           "[", "2.0", "3.5", "19.9", "dog", "=1", '"', "background", "label", "C:\\night.wav", "../night")  # fmt: skip
    good = (("night.wav", "1", "2.5", "dog"), ("night.wav", "5", "7", "cat"))
    opened = refused = 0
    for seed in range(150):
        chance = random.Random(seed)
        oddness, separator = chance.choice((0.0, 0.05, 0.3)), chance.choice(",;\t")
        lines = [["file", "start", "end", "label"]] * chance.choice((0, 1, 1, 1))
        lines += [
            [chance.choice(odd) if chance.random() < oddness else cell for cell in chance.choice(good)]
            for _ in range(chance.choice((0, 2, 6)))
        ]
        file = rows(night / f"night{chance.choice(('.csv', '.txt', '.tsv'))}", *map(separator.join, lines))
        try:
            clips = open_data(str(chance.choice((file, night))), background=chance.random() < 0.5)
        except HubbubError:
            refused += 1
        else:
            opened += 1
            assert (clips.table["end"] <= 20).all() and (clips.table["start"] >= 0).all()
            assert (clips.table["end"] > clips.table["start"]).all()
        file.unlink()
    assert opened > 20 and refused > 20, "the tables are neither all wrong nor all right"
