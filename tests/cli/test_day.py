"""`hubbub classify --overview` as it is typed, with the classifier that comes with hubbub."""

import csv
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.command_line import run_hubbub
from tests.helpers.dated_wav import comment, guano, wav

CLOCKS = {
    "a.wav": "2024-05-14T05:59:57.000+02:00",
    "5EB0C1A2.WAV": "2020-05-05T01:30:10.000+00:00",
    "20240514_101500.wav": "2024-05-14T10:15:00.000",
    "moth.WAV": "2019-04-06T19:17:30.000+05:30",
    "undated.wav": "",
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    chunks = {
        "a.wav": (guano("Timestamp: 2024-05-14T05:59:57+02:00"),),
        "moth.WAV": (comment("Recorded at 19:17:30 06/04/2019 (UTC+5:30) by AudioMoth 0FE081F80FE081F0"),),
    }
    (tmp_path / "night").mkdir()
    for name in CLOCKS:
        rain = np.random.default_rng(len(name)).normal(0, 0.1, 6 * 16_000)
        (tmp_path / "night" / name).write_bytes(wav(*chunks.get(name, ()), rate_hz=16_000, wave=rain))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def classify(*words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = run_hubbub("classify", *words)
    assert done.returncode == status, done.stderr
    return done


EVENTS = ("night", "--events", "--threshold", "0.01")


def test_a_folder_becomes_a_picture_and_tables_with_clocks(place: Path) -> None:
    done = classify(*EVENTS, "--csv", "--overview", "day.png")
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert {Path(row["file"]).name for row in rows} == set(CLOCKS)  # else the classifier finds nothing here
    for row in rows:
        assert (row["clock"] == CLOCKS[Path(row["file"]).name]) == (row["start"] == "0.0" or not row["clock"])
    assert "overview: day.png" in done.stderr and Image.open("day.png").width > 1_000


def test_an_overview_goes_on_with_the_answers_of_an_earlier_run(place: Path) -> None:
    (place / "later").mkdir()
    (place / "night" / "a.wav").rename(place / "later" / "a.wav")
    classify(*EVENTS, "--out", "answers", "--json")
    (place / "later" / "a.wav").rename(place / "night" / "a.wav")
    done = classify(*EVENTS, "--out", "answers", "--json", "--overview", "day.svg")
    assert "4 of 5 have answers from an earlier run" in done.stderr
    answers = [json.loads(file.read_text()) for file in Path("answers").glob("[!.]*.jsonl")]
    assert {Path(one["file"]).name: one.get("recorded", "") for one in answers} == CLOCKS
    picture = Path("day.svg").read_text(encoding="utf-8")
    assert "2019-04-06 to 2024-05-14: 4 recordings with a known time, 1 without" in picture
    assert "hour of the clock (UTC, UTC+2, UTC+5:30, zone not known)" in picture

    damaged = sorted(Path("answers").glob("[!.]*.jsonl"))[0]
    damaged.write_text("{}")
    done = classify(*EVENTS, "--out", "answers", "--json", "--overview", "other.png", status=2)
    assert f"{damaged} is no answer of" in done.stderr and "Delete it" in done.stderr

    classify(*EVENTS, "--out", "rows", "--csv")
    (place / "night" / "20240515_101500.wav").write_bytes((place / "night" / "a.wav").read_bytes())
    done = classify(*EVENTS, "--out", "rows", "--csv", "--overview", "other.png", status=2)
    assert "which .csv does not hold, and 5 answers are from an earlier run" in done.stderr
    assert not Path("other.png").exists()


def test_what_cannot_be_drawn_is_refused(place: Path) -> None:
    for words, why in (
        (("night", "--overview", "day.png"), "--overview shows when events occur. Add --events."),
        ((*EVENTS, "--overview", "day.csv"), "--overview day.csv is not the name of a picture."),
        ((*EVENTS, "--overview", "day.png", "--engine", "ray", "--out", "x"), "Leave --engine ray out"),
    ):
        done = classify(*words, status=2)
        assert why in done.stderr and not done.stdout
    done = classify("night/undated.wav", "--events", "--json", "--overview", "day.png", status=2)
    assert "--overview draws nothing: of 1 recording none says when it began." in done.stderr
    assert json.loads(done.stdout)["file"] == "night/undated.wav"  # its answer is there all the same
    assert not Path("day.png").exists()
