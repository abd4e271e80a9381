"""`hubbub demo`, on a machine that has nothing and on one that has everything."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from hubbub.cli.demo import run_demo
from hubbub.runtime import download

FAST = ["train.epochs=1", "network.width=2", "data.limit=2"]


def run(tmp_path: Path, settings: list[str]) -> str:
    said: list[str] = []
    run_demo(tmp_path, settings, said.append)
    return "\n".join(said)


def test_with_nothing_at_hand_it_synthesises_and_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUBBUB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "user"))
    gone = replace(download.ASSETS["yamnet"], url="http://127.0.0.1:9/yamnet.h5")
    monkeypatch.setitem(download.ASSETS, "yamnet", gone)
    said = run(tmp_path, FAST)
    assert "street, generated here: ESC-50 is not installed" in said
    assert "a small CNN: YAMNet's weights are not installed" in said
    assert re.search(
        r"by the model that was not trained on that fold:\n.*\n  predicted: \w+ \(\d\.\d\d\); label: \w+", said
    )
    assert re.findall(r"^  hubbub (\w+)", said, re.MULTILINE) == ["classify", "explain", "report", "recipes"]
    summary = json.loads((tmp_path / "demo" / "summary.json").read_text())
    assert any(reason.startswith("SYNTHETIC") for reason in summary["why_not_comparable"])
    assert (tmp_path / "demo" / "report.html").is_file()


@pytest.mark.slow
def test_with_esc50_and_yamnet_it_gives_the_published_order_of_figure(home, tmp_path: Path) -> None:
    """Human listeners: .957. A frozen YAMNet is a little above; much above would be a leak, much below a bug."""
    home("data", "esc50")
    home("weights", "yamnet.h5")
    said = run(tmp_path, [])
    assert "data: ESC-10" in said
    assert "YAMNet, with the weights" in said
    fold = re.search(r"a clip of fold (\d)", said).group(1)
    clip = Path(re.search(r"fold:\n  (\S+)", said).group(1)).name
    assert clip.startswith(f"{fold}-")
    summary = json.loads((tmp_path / "demo" / "summary.json").read_text())
    assert summary["comparable"]
    assert summary["clips"] == 400
    assert 0.95 < summary["clip"]["accuracy"]["mean"] < 0.995
