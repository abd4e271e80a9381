"""formats: what each program reads, read back."""

import csv
import io
import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hubbub.audio.recorded import Recorded
from hubbub.classifier.prediction import Event, Prediction
from hubbub.inference.formats import FORMATS, name_of, readable, rows
from hubbub.inference.result import FileResult

LABELS = ("dog", 'a "quoted",\tlabel')
EVENTS = (Event("dog", 0.0, 1.5, 0.75), Event(LABELS[1], 1.0, 2.25, 0.5))
ODD = 'a\tb\nc,d;"é.wav'


def answer(file: str = "a.wav", events: tuple[Event, ...] | None = None) -> FileResult:
    """Two segments of a second, the second one of which is surer of class 1."""
    scores = np.array([[0.75, 0.25], [0.375, 0.625]], np.float32)
    prediction = Prediction(
        dict(zip(LABELS, map(float, scores.mean(axis=0)), strict=True)),
        1.5,
        np.array([[0, 1], [0.5, 1.5]]),
        np.array([[0, 1], [1, 0]]),
        -np.sort(-scores, axis=1),
        events,
    )
    return FileResult(file, prediction, model="m", highest_hz=8000.0)


REFUSED = FileResult("bad.wav", None, "bad.wav is not a sound.")


def test_rows_are_events_where_asked_for_else_the_best_classes_above_the_threshold() -> None:
    found = [(e.start, e.label, e.score) for e in rows(answer())]
    assert found == [(0, "dog", 0.75), (0, LABELS[1], 0.25), (0.5, LABELS[1], 0.625), (0.5, "dog", 0.375)]
    assert [e.score for e in rows(answer(), 0.5)] == [0.75, 0.625]
    assert tuple(rows(answer(events=EVENTS), 0.9)) == EVENTS
    assert list(rows(answer(events=()))) == list(rows(REFUSED)) == []


def test_json_lines_hold_events_only_where_asked_for() -> None:
    body = FORMATS["json"].body
    assert "events" not in json.loads(body(answer(), 0))
    content = json.loads(body(answer(ODD, EVENTS), 0))
    assert content["file"] == ODD
    assert content["events"][1] == {"start": 1.0, "end": 2.25, "label": LABELS[1], "score": 0.5}
    assert body(answer(ODD), 0).count("\n") == 1
    assert json.loads(body(REFUSED, 0)) == {"file": "bad.wav", "error": "bad.wav is not a sound."}


def test_csv_is_read_back_whatever_a_file_is_called() -> None:
    form = FORMATS["csv"]
    text = form.header + form.body(answer(ODD, EVENTS), 0) + form.body(REFUSED, 0)
    found = list(csv.reader(io.StringIO(text, newline="")))
    assert found == [
        ["file", "start", "end", "label", "score", "clock"],
        [ODD, "0.0", "1.5", "dog", "0.75", ""],
        [ODD, "1.0", "2.25", LABELS[1], "0.5", ""],
    ]


def test_rows_have_the_time_of_day_at_which_they_begin(tmp_path: Path) -> None:
    recorded = Recorded(datetime(2024, 5, 14, 23, 59, 59), timedelta(hours=2), "GUANO")
    dated = replace(answer(events=EVENTS), recorded=recorded)
    times = ["2024-05-14T23:59:59.000+02:00", "2024-05-15T00:00:00.000+02:00"]
    assert [line.split(",")[-1] for line in FORMATS["csv"].body(dated, 0).splitlines()] == times
    FORMATS["parquet"].save(tmp_path / "a.parquet", dated, 0)
    assert list(pd.read_parquet(tmp_path / "a.parquet")["clock"]) == times
    body = json.loads(FORMATS["json"].body(dated, 0))
    assert body["recorded"] == times[0] and list(body)[:2] == ["file", "recorded"]
    assert "recorded" not in json.loads(FORMATS["json"].body(answer(), 0))
    for plain in ("audacity", "raven"):
        assert FORMATS[plain].body(dated, 0) == FORMATS[plain].body(answer(events=EVENTS), 0)


def test_audacity_gets_one_line_an_event() -> None:
    lines = FORMATS["audacity"].body(answer(ODD, EVENTS), 0).splitlines()
    assert lines == ["0.000000\t1.500000\tdog", '1.000000\t2.250000\ta "quoted", label']


def test_raven_gets_a_selection_table_of_the_band_that_was_heard(tmp_path: Path) -> None:
    form = FORMATS["raven"]
    form.save(tmp_path / "a.txt", answer(f"deep/{ODD}", EVENTS), 0)
    table = pd.read_csv(tmp_path / "a.txt", sep="\t", quoting=csv.QUOTE_NONE)
    assert list(table["Selection"]) == [1, 2]
    assert list(table["Begin Time (s)"]) == [0, 1] and list(table["End Time (s)"]) == [1.5, 2.25]
    assert set(table["High Freq (Hz)"]) == {8000} and set(table["Low Freq (Hz)"]) == {0}
    assert set(table["Begin File"]) == {'a b c,d;"é.wav'}
    assert list(table["Label"]) == ["dog", 'a "quoted", label'] and list(table["Score"]) == [0.75, 0.5]


@pytest.mark.parametrize("name", ["json", "csv", "parquet"])
def test_saved_answers_become_one_file(name: str, tmp_path: Path) -> None:
    form = FORMATS[name]
    parts = []
    for k in range(3):
        parts.append(tmp_path / f"{k}{form.ending}")
        form.save(parts[-1], answer(f"{k} {ODD}", EVENTS[:k]), 0)
    form.join(tmp_path / "all", [parts[0], REFUSED, *parts[1:]])
    if name == "json":
        found = [json.loads(line) for line in (tmp_path / "all").read_text().splitlines()]
        assert [len(one.get("events", "-")) for one in found] == [0, 1, 1, 2]
        assert found[1]["error"] == REFUSED.error
        return
    table = pd.read_parquet(tmp_path / "all") if name == "parquet" else pd.read_csv(tmp_path / "all")
    assert list(table.columns) == ["file", "start", "end", "label", "score", "clock"] and table["clock"].isna().all()
    assert list(table["file"]) == [f"1 {ODD}", f"2 {ODD}", f"2 {ODD}"]
    assert list(table["label"]) == ["dog", "dog", LABELS[1]] and list(table["score"]) == [0.75, 0.75, 0.5]


def test_names_that_are_no_text_are_spelt_out() -> None:
    assert readable("a\udcff.wav") == "a\\udcff.wav"
    assert name_of("a\r\n\u2028b\tc") == "a b c"
    assert "a\\udcff.wav" in FORMATS["csv"].body(answer("a\udcff.wav"), 0)
    assert json.loads(FORMATS["json"].body(answer("a\udcff.wav"), 0))["file"] == "a\udcff.wav"


def test_formulas_stand_behind_an_apostrophe_in_csv_and_nowhere_else(tmp_path: Path) -> None:
    name, label = "=cmd|' /C calc'!A0.wav", "-2+3"
    heard = answer(name, (Event(label, 0.0, 1.5, 0.75), Event("a-b", 0.0, 1.0, 0.5)))
    table = FORMATS["csv"].header + FORMATS["csv"].body(heard, 0)
    assert list(csv.reader(io.StringIO(table)))[1:] == [
        ["'" + name, "0.0", "1.5", "'-2+3", "0.75", ""],
        ["'" + name, "0.0", "1.0", "a-b", "0.5", ""],
    ]
    exact = json.loads(FORMATS["json"].body(heard, 0))
    assert (exact["file"], exact["events"][0]["label"]) == (name, label)
    FORMATS["parquet"].save(tmp_path / "a.parquet", heard, 0)
    found = pd.read_parquet(tmp_path / "a.parquet")
    assert (found["file"][0], found["label"][0]) == (name, label)
    assert FORMATS["audacity"].body(heard, 0).startswith("0.000000\t1.500000\t-2+3\n")


def test_codes_for_a_terminal_are_spelt_out_in_lists() -> None:
    heard = answer("\x1b[2J\u202e.wav", (Event("\x1b]0;x\x07", 0.0, 1.5, 0.75),))
    for name in ("csv", "audacity", "raven"):
        assert not set("\x1b\x07\u202e") & set(FORMATS[name].body(heard, 0))
    assert FORMATS["audacity"].body(heard, 0) == "0.000000\t1.500000\t\\x1b]0;x\\x07\n"
