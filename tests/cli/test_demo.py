"""`hubbub demo`, on a machine that has neither data, weights nor a network."""

import json
import re
from pathlib import Path

import pytest

from hubbub.cli.demo import run_demo
from hubbub.runtime import download


def run(tmp_path: Path, settings: list[str], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("HUBBUB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "user"))
    monkeypatch.setattr(download, "get", lambda name: pytest.fail(f"{name} was downloaded"))
    said: list[str] = []
    run_demo(tmp_path, settings, said.append)
    return "\n".join(said)


def test_it_synthesises_evaluates_and_classifies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = run(tmp_path, ["data.limit=2"], monkeypatch)
    assert "street, ten classes of city sound, generated here" in said
    assert "small, which comes with hubbub, frozen" in said
    assert re.search(
        r"by the model that was not trained on that fold:\n.*\n  predicted: \w+ \(\d\.\d\d\); label: \w+", said
    )
    assert re.findall(r"^  hubbub (\w+)", said, re.MULTILINE) == ["classify", "explain", "report", "recipes"]
    summary = json.loads((tmp_path / "demo" / "summary.json").read_text())
    assert any(reason.startswith("SYNTHETIC") for reason in summary["why_not_comparable"])
    assert (tmp_path / "demo" / "report.html").is_file()


@pytest.mark.slow
def test_the_whole_demo_is_far_above_chance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten classes: chance is .1."""
    run(tmp_path, [], monkeypatch)
    summary = json.loads((tmp_path / "demo" / "summary.json").read_text())
    assert len(summary["folds"]) == 5 and summary["clip"]["accuracy"]["mean"] > 0.7
