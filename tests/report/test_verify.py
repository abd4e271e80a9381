"""verify: every file of a run says what the predictions give, and what is otherwise on this machine is named."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from hubbub.cli.main import app
from hubbub.report import run_folder
from hubbub.report.results import Environment, Machine
from hubbub.report.verify import changes_since, verify
from tests.test_stored import STORED


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return shutil.copytree(STORED / "run", tmp_path / "run")


def test_a_changed_figure_of_a_cell_is_found(run: Path) -> None:
    assert verify(run) == []
    (_, _, place) = run_folder.cells(run)[0]
    file = place / "metrics_test.json"
    held = json.loads(file.read_text())
    true = held["segment_macro_f1"]
    file.write_text(json.dumps(held | {"segment_macro_f1": true + 1e-6}))
    (line,) = verify(run)
    assert line == f"test-1/seed-42.segment_macro_f1 is {true + 1e-6}; the predictions give {true}"


def test_a_changed_prediction_is_found_in_the_cell_and_in_the_summary(run: Path) -> None:
    (_, _, place) = run_folder.cells(run)[0]
    table = run_folder.read_predictions(place)
    labels = list(table.columns[list(table.columns).index("end") + 1 :])
    row = int(np.flatnonzero(table["level"] == "clip")[0])
    table.loc[row, labels] = np.roll(table.loc[row, labels].to_numpy(), 1)
    run_folder.write_predictions(place, table)
    names = {line.partition(" is ")[0] for line in verify(run)}
    assert {"clip.log_loss.mean", "test-1/seed-42.clip_log_loss"} <= names


def test_other_versions_and_another_machine_are_named(run: Path) -> None:
    held = json.loads((run / "environment.json").read_text())
    held |= {"hubbub": "0.0.9", "libraries": {"numpy": "1.0", "gone-library": "2.0"}}
    held["machine"]["processor"] = "Brand A 9"
    (run / "environment.json").write_text(json.dumps(held))
    lines = changes_since(run_folder.read_environment(run))
    assert {line.partition(",")[0] for line in lines} >= {"hubbub 0.0.9", "numpy 1.0", "processor Brand A 9"}
    assert "gone-library 2.0, here not installed" in lines
    done = CliRunner().invoke(app, ["report", str(run), "--verify"])
    assert done.exit_code == 0 and "other than in the run: numpy 1.0, here " in done.output


def test_what_was_not_recorded_is_no_difference(run: Path) -> None:
    facts = run_folder.read_environment(run).model_dump() | {"hubbub": "", "python": "", "libraries": {}}
    assert changes_since(Environment.model_validate(facts | {"machine": Machine()})) == []
