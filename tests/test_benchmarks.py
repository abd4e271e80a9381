"""The benchmarks' own arithmetic: medians of turns, memory of a child alone, ratios, the table."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.measure import Cost, cost_of, costs, emit, machine, median_seconds, ratio
from benchmarks.run_all import SCRIPTS, table

ROOT = Path(__file__).parents[1]


def test_works_take_turns_and_each_is_called_once_more_to_warm_up() -> None:
    called: list[str] = []
    found = median_seconds({"a": lambda: called.append("a"), "b": lambda: called.append("b")}, repeats=3)
    assert "".join(called) == "ab" + "ab" + "ba" + "ab"
    assert set(found) == {"a", "b"} and min(found.values()) >= 0


def test_the_peak_memory_is_that_of_the_child_alone(tmp_path: Path) -> None:
    here = np.ones(50_000_000)  # 400 MB of this process, which a child must not count
    commands = {str(mb): [sys.executable, "-c", f"x = b'1' * {mb}_000_000"] for mb in (1, 100)}
    found = costs(commands, tmp_path, repeats=1, warm=False)
    assert here.sum() and found["1"].peak_mb < 60
    assert found["100"].peak_mb - found["1"].peak_mb == pytest.approx(99, abs=10)


def test_a_command_that_fails_stops_the_benchmark_with_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"status 1.*no such thing"):
        cost_of([sys.executable, "-c", "raise SystemExit('no such thing')"], tmp_path)
    assert isinstance(cost_of([sys.executable, "-c", "pass"], tmp_path), Cost)


def test_a_ratio_above_one_means_that_hubbub_is_better() -> None:
    assert ratio("s", 2.0, 4.0) == ratio("MB", 50, 100) == ratio("segments/s", 200, 100) == 2


def test_the_table_shows_rows_peers_and_what_was_not_measured(capsys: pytest.CaptureFixture[str]) -> None:
    emit("folder", "a folder", "s", {"hubbub": 2.0, "script": 1.0}, threads=2, repeats=5)
    rows = [json.loads(capsys.readouterr().out), {"row": "x", "work": "Keras", "skipped": "not installed"}]
    text = table(rows, machine())
    assert "| a folder | s | 2 | script 1 | 0.50 | 2 | 5 |" in text.splitlines()
    assert "- not measured: Keras: not installed" in text


def test_every_benchmark_of_the_table_is_a_module_with_help() -> None:
    assert all((ROOT / "benchmarks" / f"{name}.py").is_file() for name in SCRIPTS)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.run_all", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert all(name in done.stdout for name in SCRIPTS)
