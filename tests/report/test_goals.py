"""The comparison of system A's goals as files."""

from pathlib import Path

import pandas as pd
from typer.testing import CliRunner

from hubbub.cli.main import app
from hubbub.report.goals import GOALS, goals_table, write_goals
from tests.helpers.files import read_json

TABLE = pd.DataFrame(
    {
        "A1": {"run": "us8k-yamnet-lgbm", "clip accuracy": "0.8020", "segments a second": "1,220", "best epoch": "-"},
        "A2": {"run": "=a|b", "clip accuracy": "-", "segments a second": "-", "best epoch": "12"},
    }
)


def test_figures_are_numbers_in_csv_and_json_and_texts_in_markdown(tmp_path: Path) -> None:
    names = [path.name for path in write_goals(TABLE, tmp_path)]
    assert names == ["goals.csv", "goals.json", "goals.md"]
    table = pd.read_csv(tmp_path / "goals.csv", index_col="goal")
    assert table.loc["A1", "clip accuracy"] == 0.802
    assert table.loc["A1", "segments a second"] == 1220
    assert pd.isna(table.loc["A1", "best epoch"])
    assert table.loc["A2", "run"] == "'=a|b", "no formula for a spreadsheet"
    assert read_json(tmp_path / "goals.json") == {
        "A1": {"run": "us8k-yamnet-lgbm", "clip accuracy": 0.802, "segments a second": 1220, "best epoch": None},
        "A2": {"run": "=a|b", "clip accuracy": None, "segments a second": None, "best epoch": 12},
    }
    lines = (tmp_path / "goals.md").read_text("utf-8").splitlines()
    assert lines[:2] == ["|  | A1 | A2 |", "| --- | --- | --- |"]
    assert lines[2] == r"| run | us8k-yamnet-lgbm | =a\|b |"
    assert lines[3] == "| clip accuracy | 0.8020 | - |"


def test_the_command_writes_them_where_the_runs_are(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["report", "--goals", "--out", str(tmp_path)], catch_exceptions=False)
    assert done.exit_code == 0
    assert list(read_json(tmp_path / "goals.json")) == list(GOALS) == list(goals_table(tmp_path))
    assert str(tmp_path / "goals.md") in done.output.replace("\n", "")


def test_the_command_prints_names_whole_and_the_table_within_80_columns(tmp_path: Path) -> None:
    lines = CliRunner().invoke(app, ["report", "--goals", "--out", str(tmp_path)]).output.splitlines()
    for goal, recipe in GOALS.items():
        assert f"{goal}: not yet: hubbub bench {recipe}" in lines
    table = lines[: lines.index(f"A1: not yet: hubbub bench {GOALS['A1']}")]
    assert any(line.split()[:3] == ["trainable", "parameters", "-"] for line in table)
    assert all(len(line) <= 80 for line in table)
