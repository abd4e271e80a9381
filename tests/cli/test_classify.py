"""`hubbub classify` as it is typed: where answers go, what is refused, and that the commands of its page run."""

import csv
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from typer.testing import CliRunner, Result

from hubbub.classifier.calibration import Confidence
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.cli.main import app
from hubbub.config.recipe import Recipe
from hubbub.errors import HubbubError
from hubbub.runtime.progress import bar
from tests.helpers.spectrogram_checkpoints import save_clap

RATE = 16_000
PAGE = Path(__file__).parents[2] / "docs" / "classify.md"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the page has it: runs/demo, street.wav, recordings/, night/, and of day.wav the beginning."""
    recipe = Recipe.load("street-cnn", ["network.width=2", "windows.length=16000", "windows.hop=8000"])
    TorchClassifier(recipe, ("dog", "rain"), seed=0).save(tmp_path / "runs" / "demo" / "classifier")
    noise = np.random.default_rng(0).normal(0, 0.1, (4, 2 * RATE))
    (tmp_path / "recordings" / "deep").mkdir(parents=True)
    (tmp_path / "night").mkdir()
    soundfile.write(tmp_path / "night" / "20240514_041500.wav", noise[0], RATE)
    for name, wave in zip(
        ("street.wav", "recordings/a.wav", "recordings/deep/b\nc.wav", "day.wav"), noise, strict=True
    ):
        soundfile.write(tmp_path / name, wave, RATE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def classify(*words: str, stdin: bytes = b"", status: int = 0) -> Result:
    done = CliRunner().invoke(
        app, ["classify", *words, *(() if "--model" in words else ("--model", "runs/demo"))], stdin
    )
    if not isinstance(done.exception, HubbubError):  # main() prints it
        assert done.exit_code == status, done.output
    return done


def refused(*words: str) -> str:
    return str(classify(*words).exception)


def test_the_table_names_every_file_on_one_line(place: Path) -> None:
    header, *lines = classify("street.wav", "recordings", "--top", "2").stdout.splitlines()
    assert header.split() == ["seconds", "class", "score", "file", "(next)"]
    assert [line.split("  ")[-2] for line in lines] == ["street.wav", "recordings/a.wav", "recordings/deep/b c.wav"]
    assert re.match(r" +2\.00  (dog|rain) +[01]\.\d\d  street\.wav  \((dog|rain) [01]\.\d\d\)$", lines[0])
    assert "  -  " in classify("street.wav", "--threshold", "1").stdout.replace(" " * 20, "")


def test_events_and_the_decision_on_the_file_agree(place: Path) -> None:
    """What the table says is probably none of the classes has no events in any format."""
    model = TorchClassifier.load("runs/demo/classifier")
    model.confidence = Confidence(threshold=1e9)
    model.save("runs/strict/classifier")
    asked = ("street.wav", "--model", "runs/strict")
    assert "(probably none of the classes; " in classify(*asked).stdout
    events = (*asked, "--events", "--threshold", "0.01")
    (line,) = classify(*events).stdout.splitlines()[1:]
    assert line.split("  ")[-2:] == ["street.wav", "(probably none of the classes)"]
    assert json.loads(classify(*events, "--json").stdout)["events"] == []
    assert classify(*asked, "--audacity", "--threshold", "0.01").stdout == ""
    soundfile.write("silence.wav", np.zeros(10 * RATE), RATE)
    (line,) = classify("silence.wav", "--events", "--threshold", "0.01").stdout.splitlines()[1:]
    assert line.endswith("silence.wav  (no events)")


def test_events_reach_the_classifiers_own_thresholds(place: Path) -> None:
    """Saved with it, and overruled by `--threshold`."""
    model = TorchClassifier.load("runs/demo/classifier")
    model.confidence = Confidence(events=(1.0, 1e-6))
    model.save("runs/own/classifier")
    asked = ("street.wav", "--model", "runs/own", "--events", "--csv")
    rows = list(csv.DictReader(io.StringIO(classify(*asked).stdout)))
    assert {row["label"] for row in rows} == {model.labels[1]}
    both = list(csv.DictReader(io.StringIO(classify(*asked, "--threshold", "0.000001").stdout)))
    assert {row["label"] for row in both} == set(model.labels)


def test_rows_have_as_many_classes_as_asked_for(place: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(classify("recordings", "--csv", "--top", "2").stdout, newline="")))
    assert len(rows) == 2 * 3 * 2 and rows[-1]["file"] == "recordings/deep/b\nc.wav"
    above = list(
        csv.DictReader(io.StringIO(classify("recordings", "--csv", "--top", "2", "--threshold", "0.5").stdout))
    )
    assert above and all(float(row["score"]) >= 0.5 for row in above) and len(above) < len(rows)


def test_standard_input_and_a_broken_file(place: Path) -> None:
    Path("bad.wav").write_text("text")
    done = classify("bad.wav", "-", "--json", stdin=Path("street.wav").read_bytes(), status=1)
    bad, heard = map(json.loads, done.stdout.splitlines())
    assert set(bad) == {"file", "error"} and (heard["file"], heard["seconds"]) == ("-", 2.0)
    done = classify("bad.wav", "street.wav", "--csv", status=1)
    assert "error: bad.wav cannot be read as audio" in done.stderr and "street.wav" in done.stdout
    assert "the stream is empty" in classify("-", "--json", status=1).stdout


def test_events_in_every_format(place: Path) -> None:
    asked = ("street.wav", "--events", "--threshold", "0.01", "--release", "0.01")
    (whole, *_), header = classify(*asked).stdout.splitlines()[1:], classify(*asked).stdout.splitlines()[0]
    assert header.split() == ["start", "end", "class", "score", "file"]
    assert whole.split()[:2] == ["0.00", "2.00"]
    events = json.loads(classify(*asked, "--json").stdout)["events"]
    assert {(e["start"], e["end"]) for e in events} == {(0, 2)} and {e["label"] for e in events} == {"dog", "rain"}
    assert len(classify(*asked, "--csv").stdout.splitlines()) == 1 + len(events)
    assert len(classify(*asked, "--audacity").stdout.splitlines()) == len(events)
    assert len(classify(*asked, "--raven").stdout.splitlines()) == 1 + len(events)
    assert "answers: heard.parquet" in classify(*asked, "--out", "heard.parquet").stdout
    assert list(pd.read_parquet("heard.parquet")["label"]) == [e["label"] for e in events]


def test_what_is_left_out_is_named_and_a_path_without_recordings_fails(place: Path) -> None:
    for name in ("notes.txt", "sheet.pdf", ".hidden.wav"):
        (place / "recordings" / name).touch()
    (place / "recordings" / "gone.wav").symlink_to("nowhere")
    done = classify("recordings", "--json")
    assert len([json.loads(line) for line in done.stdout.splitlines()]) == 2
    assert done.stderr.splitlines() == [
        "left out: 1 hidden file or folder: recordings/.hidden.wav",
        "left out: 1 broken link: recordings/gone.wav",
        "left out: 2 files with other endings (.txt, .pdf): recordings/notes.txt, recordings/sheet.pdf",
    ]
    (place / "bare").mkdir()
    for out in ([], ["--out", "heard"]):
        done = classify("bare", "recordings", "--json", *out, status=1)
        assert "error: bare holds no recordings. Leave it out, or give the right path." in done.stderr.splitlines()
    assert "nothing to classify in bare" in refused("bare")
    assert "recordings/gone.wav is a link that leads nowhere. Did" in classify("recordings/gone.wav", status=1).stderr


def test_answers_are_kept_and_not_asked_for_twice(place: Path) -> None:
    classify("recordings", "--raven", "--out", "heard")
    assert sorted(p.name for p in Path("heard").rglob("*.txt")) == ["a.wav.selections.txt", "b\nc.wav.selections.txt"]
    assert "2 of 2 have answers from an earlier run" in classify("recordings", "--raven", "--out", "heard").stderr
    classify("recordings", "--out", "heard.jsonl")
    assert [json.loads(line)["file"] for line in Path("heard.jsonl").read_text().splitlines()] == [
        "recordings/a.wav",
        "recordings/deep/b\nc.wav",
    ]
    assert "top is 1 there and 2 now" in refused("recordings", "--raven", "--out", "heard", "--top", "2")


def test_what_cannot_be_done_is_refused_before_anything_is_heard(place: Path) -> None:
    assert "--json and --csv were given. Choose one" in refused("street.wav", "--json", "--csv")
    assert "--parquet is not text" in refused("street.wav", "--parquet")
    assert "--audacity is one file a recording, and there are 2" in refused("recordings", "--audacity")
    assert "--out heard.xlsx does not say the format" in refused("street.wav", "--out", "heard.xlsx")
    assert "Add --events" in refused("street.wav", "--gap", "1")
    assert "the release not above the threshold" in refused("street.wav", "--events", "--release", "0.9")
    assert "nothing matches *.flac" in refused("*.flac")


def test_a_bar_is_quiet_where_there_is_no_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with bar("listening", 3) as reach:
        reach(2)
    assert capfd.readouterr() == ("", "")


def commands() -> list[str]:
    return re.findall(r"^    ((?:cat \S+ \| )?hubbub classify [^#\n]*)", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("command", commands())
def test_the_commands_of_the_page_run(place: Path, command: str, home, monkeypatch: pytest.MonkeyPatch) -> None:
    words = shlex.split(command)
    piped = Path(words[1]).read_bytes() if words[0] == "cat" else b""
    to = words[words.index(">") + 1] if ">" in words else ""
    words = words[words.index("classify") + 1 : words.index(">") if to else None]
    if "--model" not in words:
        home("weights", "yamnet.h5")
        words += ["--model", "yamnet"]
    if "hf:me/birds" in words:  # tests/experiment/test_publish.py has a hub
        words[words.index("hf:me/birds")] = "small"
    if "--labels" in words:
        words[words.index("--model") + 1] = str(place / "clap")
        save_clap(place / "clap")
    done = classify(*words, stdin=piped)
    assert done.exception is None and done.stdout.strip()
    if "--out" in words:
        assert Path(words[words.index("--out") + 1]).exists()


def test_the_page_has_commands() -> None:
    assert len(commands()) >= 8


@pytest.mark.slow
def test_names_from_data_are_only_shown(place: Path) -> None:
    """On the command's own outputs: codes for a terminal, markup, what begins a formula."""
    labels = ("=cmd|' /C calc'!A0", "\x1b[31mred\x1b[0m [bold]x[/bold]")
    TorchClassifier(Recipe.load("street-cnn", ["network.width=4"]), labels, seed=0).save(place / "evil")
    names = ["\x1b[2J\u202egnp.wav", "@SUM(1).wav", "[red]x[bold].wav"]
    for name in names:
        shutil.copy("street.wav", name)
    Path("\x1b]0;title\x07.wav").write_text("no sound")
    command = [sys.executable, "-m", "hubbub.cli", "classify", "--model", "evil"]
    environment = os.environ | {"FORCE_COLOR": "1", "TERM": "xterm-256color"}

    def printed(*words: str) -> tuple[str, str]:
        done = subprocess.run([*command, *words], capture_output=True, env=environment, check=False)
        return done.stdout.decode(), done.stderr.decode()

    for words in (names, [*names, "--events", "--threshold", "0.001"], [*names, "--csv", "--top", "2"]):
        said, error = printed(*words)
        assert said, error
        assert not set("\x1b\x07\u202e") & set(said)
        assert r"\x1b[2J\u202egnp.wav" in said and "[red]x[bold].wav" in said and r"\x1b[31mred" in said
    rows = list(csv.DictReader(io.StringIO(said)))
    assert {row["file"] for row in rows} == {r"\x1b[2J\u202egnp.wav", "'@SUM(1).wav", "[red]x[bold].wav"}
    assert {row["label"] for row in rows} == {"'" + labels[0], r"\x1b[31mred\x1b[0m [bold]x[/bold]"}
    assert all(0 <= float(row["score"]) <= 1 for row in rows)
    exact, error = printed(*names, "\x1b]0;title\x07.wav", "--json")
    found = [json.loads(line) for line in exact.splitlines()]
    assert [one["file"] for one in found[:3]] == names and set(found[0]["scores"]) == set(labels)
    assert "\x1b]" not in error and "\x1b[2J" not in error
    for words in (["\x1b]0;title\x07.wav"], ["no\x1b]there.wav"], ["no\x1b[2Jthere.wav"]):
        _, error = printed(*words)
        assert r"\x1b" in error and "\x1b]" not in error and "\x1b[2J" not in error
