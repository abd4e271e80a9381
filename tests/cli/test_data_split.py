"""hubbub data split: the commands that it prints train, and say which part is reported."""

import json
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from typer.testing import CliRunner

from hubbub.cli.main import app

TINY = ["--set", "network.width=4", "--set", "train.epochs=1", "--set", "data.limit=99", "--set", "windows.length=8000",
        "--set", "windows.hop=8000", "--quick"]  # fmt: skip


@pytest.fixture
def sounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rows = []
    for k in range(40):
        label = "ab"[k % 2]
        tone = np.sin(np.arange(8000) * (0.1 if label == "a" else 0.4) * (1 + k / 400))
        soundfile.write(tmp_path / f"{k}.wav", tone * 0.1, 16_000)
        rows.append({"path": f"{k}.wav", "label": label, "group": f"g{k // 2}{label}"})
    pd.DataFrame(rows).to_csv(tmp_path / "list.csv", index=False)
    return tmp_path


def run(*words: str) -> str:
    done = CliRunner().invoke(app, list(words), env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("asked", [[], ["--test-ratio", "0.25"]])
def test_a_recipe_trains_from_the_lists_by_the_printed_command(sounds: Path, asked: list[str]) -> None:
    printed = run("data", "split", "list.csv", "lists", *asked)
    assert ("a validation figure" in printed) and ("--test-ratio" in printed) == (not asked)
    line = next(line for line in printed.splitlines() if line.startswith("train from them: "))
    words = shlex.split(line.partition("hubbub ")[2].replace("RECIPE", "street-cnn"))
    run(*words, *TINY, "--name", "mine")
    summary = json.loads((sounds / "runs/mine/summary.json").read_text())
    (folder,) = (sounds / "runs/mine").glob("test-*")
    environment = json.loads((sounds / "runs/mine/environment.json").read_text())
    reasons = [reason.partition(":")[0] for reason in summary["why_not_comparable"]]
    reported = pd.read_parquet(next(folder.glob("seed-*/predictions.parquet")))
    listed = pd.read_csv(sounds / "lists" / ("test.csv" if asked else "val.csv"))
    assert set(reported["clip"].str.partition(":")[2]) == set(listed["clip"])
    if asked:
        assert "VALIDATION FIGURE" not in reasons and environment["protocol"].endswith("test opened once")
    else:
        assert "VALIDATION FIGURE" in reasons and environment["protocol"].endswith("no test part")
        assert folder.name == "test-validation"


def test_a_recipe_of_fixed_folds_trains_from_two_lists_too(sounds: Path) -> None:
    """The printed setting clears what a recipe says of its own folds."""
    from hubbub.config.recipe import Recipe

    printed = run("data", "split", "list.csv", "lists")
    words = shlex.split(next(line for line in printed.splitlines() if line.startswith("train from")))
    settings = [word for at, word in enumerate(words) if words[at - 1] == "--set"]
    for name in ("us8k-yamnet-lgbm", "esc50-resnet18-cv", "emodb-resnet50"):
        protocol = Recipe.load(name, settings).protocol
        assert (protocol.kind, protocol.train, protocol.val) == ("csv", ("lists/train.csv",), ("lists/val.csv",))
        assert protocol.test == protocol.folds == ()
