"""docs/own-recordings.md: its commands and its Python, typed in its order in a folder of synthesised recordings."""

import json
import re
import shlex
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from typer.testing import CliRunner, Result

from hubbub.cli.main import app
from tests.helpers.runs import bare
from tests.test_readme import commands

PAGE = (Path(__file__).parents[1] / "docs" / "own-recordings.md").read_text(encoding="utf-8")
RATE_HZ = 16_000
CLASSES = ("dog", "rain", "siren")
#: Never end by themselves; tests/serve and tests/cli/test_listen.py run them.
ENDLESS = ("serve", "listen")


def _sound(label: str, number: int, seconds: float = 1.0) -> np.ndarray:
    """A low pulsed tone, noise, or a high tone, each a little different."""
    rng = np.random.default_rng([number, len(label)])
    times = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    noise = rng.normal(0, 0.01, len(times))
    if label == "rain":
        return 10 * noise
    hz = {"dog": 300, "siren": 2000}[label] * rng.uniform(0.9, 1.1)
    return noise + 0.3 * np.sin(2 * np.pi * hz * times) * (np.sin(2 * np.pi * rng.uniform(2, 5) * times) > 0)


def _write(file: Path, wave: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(file, wave, RATE_HZ)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Callable[[str, str], Path]) -> Path:
    """What the page takes for granted: recordings, a table of them, annotated nights, and a test folder."""
    home("weights", "yamnet.h5")
    for label in CLASSES:
        for place, number in ((place, number) for place in range(5) for number in (1, 2)):
            name = f"{label}/{'abcde'[place]}_{number:02}.wav"
            _write(tmp_path / "recordings" / name, _sound(label, 10 * place + number))
        _write(tmp_path / "elsewhere" / label / "other.wav", _sound(label, 100))
    _write(tmp_path / "street.wav", _sound("siren", 200))
    files = sorted((tmp_path / "recordings").rglob("*.wav"))
    table = pd.DataFrame({"path": [str(file.relative_to(tmp_path)) for file in files]})
    table["label"] = [file.parent.name for file in files]
    table["site"] = [file.name[0] for file in files]
    table.to_csv(tmp_path / "labels.csv", index=False)
    others = pd.DataFrame({"clip": table["path"].str.removeprefix("recordings/"), "prediction": table["label"]})
    others.to_csv(tmp_path / "predictions-of-others.csv", index=False)
    for number, night in enumerate(("may", "june", "july")):
        calls = [(2 + 5 * n, label) for n, label in enumerate(CLASSES)]
        wave = np.random.default_rng(number).normal(0, 0.001, 18 * RATE_HZ)
        for start, label in calls:
            wave[start * RATE_HZ : (start + 2) * RATE_HZ] += _sound(label, 300 + 50 * number + start, 2)
        _write(tmp_path / "nights" / f"{night}.wav", wave)
        lines = [f"{start}\t{start + 2}\t{label}" for start, label in calls]
        (tmp_path / "nights" / f"{night}.labels.txt").write_text("\n".join(lines) + "\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _type(line: str) -> Result:
    words = shlex.split(line)[1:]
    if words[0] == "train":
        words += ["--jobs", "1"]  # in this process: nothing is imported again
    variant = words[0] == "train" and len(words) > 4 and "--name" not in words  # only to see that it runs
    if variant:
        words += ["--set", "protocol.k=2", "--set", "train.epochs=1"]
    with bare() if variant else nullcontext():
        done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, f"{line}: {done.output}\n{done.exception}"
    return done


def test_the_first_three_commands(folder: Path) -> None:
    check, train, classify = commands(PAGE)[:3]
    assert "30 clips of 3 classes" in _type(check).output
    trained = _type(train).output
    assert "clip accuracy" in trained and "hubbub classify" in trained
    assert trained.count("what comes before a running number") == 1, "the sessions a to e are guessed, said once"
    assert "read first: GUESSED GROUPS (in full on the page)" in trained
    assert "siren" in _type(classify).output


@pytest.mark.slow
def test_the_whole_page(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    typed = [line for line in commands(PAGE) if line.split()[1] not in ENDLESS]
    assert len(typed) >= 18
    said = {line: _type(line).output for line in typed}
    assert "background" in said["hubbub train nights --background"]
    assert "GROUPS BY FILE" in said["hubbub train recordings --group file"]
    runs = {place.name for place in (folder / "runs").iterdir()}
    assert {"recordings", "recordings-2", "labels", "nights", "lda"} <= runs
    summary = json.loads((folder / "runs" / "recordings" / "summary.json").read_text())
    assert summary["clip"]["accuracy"]["ci95"][0] < 1, "thirty clips prove no perfect classifier"
    done = folder / "runs" / "recordings" / "test-1" / "seed-42" / "metrics_test.json"
    finished = done.stat().st_mtime_ns
    exec("".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)), {})
    assert "siren" in capsys.readouterr().out
    assert done.stat().st_mtime_ns == finished, "read, not trained again"
