"""docs/serve.md does what it says: its commands, its Python and its JavaScript, against a server."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import soundfile
from playwright.sync_api import Browser

from hubbub.serve.limits import Limits
from tests.helpers.serving import Server, wave

TEXT = (Path(__file__).parents[2] / "docs" / "serve.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8000"


def block(language: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    assert len(found) == 1
    return found[0]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    soundfile.write(tmp_path / "street.wav", wave(4), 16_000)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands(served: Server, folder: Path) -> None:
    lines = block("sh").strip().splitlines()
    answers = []
    for line in lines:
        words = shlex.split(line.replace(ADDRESS, served.url))
        answers.append(json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout))
    by_form, with_events, explained, about = answers
    assert by_form["file"] == "street.wav"
    assert by_form["scores"] == with_events["scores"]
    assert "events" in with_events
    assert explained["label"] == "siren"
    assert explained["media"]["clip.png"].startswith("data:image/png;base64,")
    assert about["labels"] == list(by_form["scores"])


def test_the_python(served: Server, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exec(block("python").replace(ADDRESS, served.url), {})
    assert capsys.readouterr().out.split()[0] in ("dog", "rain", "siren")


def test_the_javascript(served: Server, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(served.url)
    samples = wave(4)[:, 0].tolist()
    said = page.evaluate(f"samples => {{ {block('js')}; return listen(new Float32Array(samples), 16000); }}", samples)
    page.close()
    kinds = [one["type"] for one in said]
    assert (kinds[0], kinds[-1]) == ("ready", "end")
    assert [one["end"] for one in said if one["type"] == "segment"] == pytest.approx([2.0, 2.5, 3.0, 3.5, 4.0])


def test_the_limits_are_those_of_the_code() -> None:
    limits = Limits()
    for said in (
        f"| {limits.max_mb:g} MB per upload |",
        f"| {limits.max_seconds:g} s per recording,",
        f"| {limits.queue} uploads at once;",
        f"at most {limits.explain_seconds:g} s of sound to explain, {limits.explanations} explanations at once",
        f"{limits.streams} streams",
        f"{limits.max_rate_hz // 1000} kHz, and {limits.max_channels} channels",
        f"sends nothing for {limits.stall_s:g} s",
        f"An upload may take {limits.upload_s:g} s",
        f"for {limits.shutdown_s:g} s at most",
    ):
        assert said in TEXT.replace("\n", " "), said
