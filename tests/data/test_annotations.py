"""annotations: one recording's annotations are the same, whichever program wrote them."""

import json
from pathlib import Path

import pytest

from hubbub.data.annotations import Annotations, read
from hubbub.data.values import ClipsError
from tests.helpers.sounds import rows

AOEF = Path(__file__).parents[1] / "files" / "annotations" / "aoef.json"
SPANS = [(0.5, 1.25, "wren"), (2.0, 4.0, "owl")]
RAVEN_HEAD = (
    "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tBegin File\tSpecies"
)
BIRDNET_RAVEN = (
    "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tCommon Name\tSpecies Code\t"
    "Confidence\tBegin Path\tFile Offset (s)"
)
TABLES: dict[str, tuple[str, ...]] = {
    "raven.selections.txt": (
        RAVEN_HEAD,
        *(f"{n}\t{v} 1\t1\t{a}\t{b}\t0\t8000\tnight.wav\t{c}"
          for n, (a, b, c) in enumerate(SPANS) for v in ("Waveform", "Spectrogram")),
    ),
    "night.labels.txt": tuple(line for a, b, c in SPANS for line in (f"{a:.6f}\t{b:.6f}\t{c}", "\\\t200.0\t7000.0")),
    "dcase.tsv": ("filename\tonset\toffset\tevent_label", *(f"night.wav\t{a}\t{b}\t{c}" for a, b, c in SPANS)),
    "usual.csv": ("Recording;Start (s);End (s);Class", *(f"night.wav;{a};{b};{c}" for a, b, c in SPANS)),
    "list.csv": ("path,start,end,label", *(f"night.wav,{a},{b},{c}" for a, b, c in SPANS)),
    "duration.csv": ("file,begin,duration,call type", *(f"night.wav,{a},{b - a},{c}" for a, b, c in SPANS)),
    "kaleidoscope.csv": (
        "INDIR,FOLDER,IN FILE,OFFSET,DURATION,scientific_name,common_name,confidence",
        *(f"/d,x,night.wav,{a},{b - a},X {c},{c},0.9" for a, b, c in SPANS),
    ),
    "birdnet.csv": (
        "Start (s),End (s),Scientific name,Common name,Confidence,File",
        *(f"{a},{b},X {c},{c},0.9,night.wav" for a, b, c in SPANS),
    ),
    "night.BirdNET.selection.table.txt": (
        BIRDNET_RAVEN, *(f"{n}\tSpectrogram 1\t1\t{a}\t{b}\t0\t9\t{c}\tx\t0.9\tnight.wav\t{a}"
                         for n, (a, b, c) in enumerate(SPANS)),
    ),
    "night.BirdNET.results.txt": tuple(f"{a}\t{b}\t{c}\t0.9000" for a, b, c in SPANS),
}  # fmt: skip
MACHINE = {"kaleidoscope.csv", "birdnet.csv", "night.BirdNET.selection.table.txt", "night.BirdNET.results.txt"}


def known(file: Path, columns: dict[str, str] | None = None) -> Annotations:
    found = read(file, columns)
    assert found is not None and found.problem is None, found
    return found


def spans(found: Annotations) -> list[tuple[float, float, str]]:
    cells = found.table[["start", "end", "label"]].itertuples(index=False)
    return [(round(start, 6), round(end, 6), label) for start, end, label in cells]


def problem(file: Path, columns: dict[str, str] | None = None) -> str:
    found = read(file, columns)
    assert found is not None and found.problem is not None, found
    return str(found.problem)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", TABLES)
def test_every_format_gives_the_same_annotations(tmp_path: Path, name: str, encoding: str) -> None:
    found = known(rows(tmp_path / name, *TABLES[name], encoding=encoding))
    assert spans(found) == SPANS
    assert set(found.table["recording"]) <= {"night.wav", ""}
    assert found.is_machine == (name in MACHINE)


def test_rows_are_counted_as_a_spreadsheet_does(tmp_path: Path) -> None:
    assert list(known(rows(tmp_path / "a.txt", *TABLES["raven.selections.txt"])).table.index) == [2, 4]
    assert list(known(rows(tmp_path / "b.txt", "", *TABLES["night.labels.txt"])).table.index) == [2, 4]


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("a.csv", ("path,label", "a.wav,dog")),
        ("a.csv", ("path,label,start,end", "a.wav,dog,,", "b.wav,dog,0,1")),
        ("a.csv", ("clip,path,label,start,end", "1,a.wav,dog,0,1")),
        ("a.csv", ("path,label,start,end,fold", "a.wav,dog,0,1,1")),
        ("a.txt", ("These are notes.", "Nothing else.")),
        ("a.txt", ("1.5\tnotes", "2.5\tmore")),
        ("a.csv", ("1.0\t2.0\tdog",)),
        ("a.txt", ("\\\t200.0\t7000.0",)),
        ("a.json", ('{"file": "a.wav", "segments": []}',)),
        ("a.json", ('{"data": {"collection_type": "recording_set", "recordings": []}}',)),
        ("a.json", ("[" * 100_000,)),
        ("a.parquet", ("no parquet",)),
    ],
)
def test_what_is_no_annotation_table_is_left_to_others(tmp_path: Path, name: str, lines: tuple[str, ...]) -> None:
    assert read(rows(tmp_path / name, *lines)) is None


def test_times_of_a_sequence_of_files_count_from_the_start_of_each(tmp_path: Path) -> None:
    head = "Selection\tBegin Time (s)\tEnd Time (s)\tBegin File\tFile Offset (s)\tSpecies"
    file = rows(tmp_path / "a.txt", head, "1\t10\t12\tone.wav\t10\twren", "2\t305\t308\ttwo.wav\t5\towl")
    assert spans(known(file)) == [(10, 12, "wren"), (5, 8, "owl")]
    without = [line.rsplit("\t", 2)[0] + "\t" + line.rsplit("\t", 1)[1] for line in file.read_text().splitlines()]
    assert "add raven's column 'file offset (s)'" in problem(rows(tmp_path / "b.txt", *without)).lower()
    overlapping = [*without, "3\t2\t3\ttwo.wav\towl"]
    assert len(known(rows(tmp_path / "c.txt", *overlapping)).table) == 3, "no sequence: the files' times overlap"


def test_the_column_of_labels_is_never_guessed_and_the_advice_can_be_followed(tmp_path: Path) -> None:
    lines = ["Begin Time (s)\tEnd Time (s)\tBegin File\tSpecies\tCall", "0\t1\ta.wav\twren\tsong"]
    several = rows(tmp_path / "a.txt", *lines)
    assert "the label may be in the columns 'Species' or 'Call'" in problem(several)
    advice = problem(several).partition("--set data.columns.label=")[2]
    assert spans(known(several, {"label": advice})) == [(0, 1, "song")]
    unknown = rows(tmp_path / "b.txt", lines[0].replace("Species\tCall", "Vogel"), "0\t1\ta.wav\tAmsel")
    assert "no column that is known to hold labels" in problem(unknown)
    advice = problem(unknown).partition("--set data.columns.label=")[2]
    assert spans(known(unknown, {"label": advice})) == [(0, 1, "Amsel")]
    named = rows(tmp_path / "label.csv", "file,start,end,label,type", "a.wav,0,1,wren,song")
    assert spans(known(named)) == [(0, 1, "wren")], "a column that is called label is the label"
    empty = rows(tmp_path / "c.txt", lines[0], "0\t1\ta.wav\twren\t")
    assert spans(known(empty)) == [(0, 1, "wren")], "an empty column is no candidate"
    with pytest.raises(ClipsError, match=r"Leave \[data.columns\] out"):
        read(rows(tmp_path / "d.txt", *TABLES["night.labels.txt"]), {"label": "Species"})


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("file,start,end,label", "a.wav,0,1,", "a.wav,1,2,\u200b"), r"2 annotations have no label (row 2, row 3)"),
        (("file,start,end,label", "a.wav,,1,dog"), r"1 annotation without start (row 2)"),
        (("file,start,end,label", "a.wav,0,soon,dog"), r"'soon' is not a number of seconds"),
        (("file,start,end,label", "a.wav,0,,dog"), r"1 annotation without end (row 2)"),
    ],
)
def test_rows_that_cannot_be_used_are_named(tmp_path: Path, lines: tuple[str, ...], message: str) -> None:
    assert message in problem(rows(tmp_path / "a.csv", *lines))


def test_nothing_found_is_told_from_nothing_known(tmp_path: Path) -> None:
    nothing = rows(tmp_path / "a.txt", BIRDNET_RAVEN, "1\tSpectrogram 1\t1\t0\t3\t0\t9\tnocall\tnocall\t1\tn.wav\t0")
    assert known(nothing).table.empty and known(nothing).without == ("n.wav",)
    assert known(rows(tmp_path / "b.txt", RAVEN_HEAD)).table.empty
    (tmp_path / "c.labels.txt").touch()
    assert known(tmp_path / "c.labels.txt").table.empty


def test_answers_of_hubbub_are_read_by_line(tmp_path: Path) -> None:
    events = [{"start": a, "end": b, "label": c, "score": 0.9} for a, b, c in SPANS]
    plain = {"file": "night.wav", "segments": events[:1], "model": "m"}
    lines = [
        plain,
        {**plain, "events": events},
        {**plain, "file": "b.wav", "events": []},
        {"file": "c.wav", "error": "x"},
    ]
    found = known(rows(tmp_path / "a.jsonl", *map(json.dumps, lines)))
    assert spans(found) == [SPANS[0], *SPANS] and list(found.table.index) == [1, 2, 2]
    assert found.without == ("b.wav",) and found.is_machine
    assert found.notes == ("LEFT OUT: 1 recording that a.jsonl could not read: c.wav",)


def test_soundevents_own_file_is_read() -> None:
    found = known(AOEF)
    assert spans(found) == [(2, 3.5, "wren"), (6, 8, "owl"), (10, 12, "wren"), (15, 15, "owl")]
    assert set(found.table["recording"]) == {"night.wav"} and found.without == ("day.wav",)
    assert found.regions == (("night.wav", 0, 18), ("day.wav", 0, 20)) and not found.is_machine


def test_tags_of_several_kinds_need_the_key_of_the_label(tmp_path: Path) -> None:
    content = json.loads(AOEF.read_text())
    data = content["data"]
    key = data["tags"][0]["key"]
    data["tags"].append({"id": 7, "key": "quality", "value": "good"})
    for one in data["sound_event_annotations"]:
        one["tags"].append(7)
    file = tmp_path / "a.json"
    file.write_text(json.dumps(content))
    assert f"any of its tags ({key}, quality)" in problem(file)
    assert spans(known(file, {"label": key})) == spans(known(AOEF))
    assert {label for *_, label in spans(known(file, {"label": "quality"}))} == {"good"}
    assert "may be any of its tags" in problem(file, {"label": "mood"})


def test_an_aoef_file_that_does_not_fit_says_so(tmp_path: Path) -> None:
    file, content = tmp_path / "a.json", json.loads(AOEF.read_text())
    content["data"]["sound_event_annotations"][0]["tags"] = []
    file.write_text(json.dumps(content))
    assert "1 annotation without exactly one tag" in problem(file)
    content["data"]["recordings"][0]["time_expansion"] = 10
    file.write_text(json.dumps(content))
    assert "expanded in time by 10" in problem(file)
    content["data"]["sound_events"].clear()
    file.write_text(json.dumps(content))
    with pytest.raises(ClipsError, match="a part of it is missing"):
        read(file)


@pytest.mark.parametrize("odd", [[0.0], None, "soon", float("nan"), float("inf")])
def test_an_annotated_clip_whose_times_are_no_numbers_is_refused(tmp_path: Path, odd: object) -> None:
    file, content = tmp_path / "a.json", json.loads(AOEF.read_text())
    content["data"]["clips"][0]["start_time"] = odd
    file.write_text(json.dumps(content))
    with pytest.raises(ClipsError, match="a part of it is missing or does not fit"):
        read(file)
