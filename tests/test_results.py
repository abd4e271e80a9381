"""docs/results.md shows the rows of docs/results/, and their figures are those of the decisions that are kept."""

import gzip
import re
import runpy
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hubbub.config.recipe import Recipe, shipped
from hubbub.errors import HubbubError
from hubbub.metrics import classification
from hubbub.metrics.intervals import METHOD, intervals
from hubbub.report import run_folder
from hubbub.report.summary import summarise
from tests.helpers.command_line import parsed

ROOT = Path(__file__).parents[1]
RESULTS, PAGE = ROOT / "docs" / "results", ROOT / "docs" / "results.md"
STORED = ROOT / "tests" / "files" / "stored" / "run"
MAKE = runpy.run_path(str(ROOT / "docs" / "make_results.py"), run_name="make_results")
ROWS = MAKE["rows"]()
KEPT = [name for name, row in ROWS.items() if row.predictions]


def rescored(path: Path) -> tuple[dict[tuple[str, int], dict[str, Any]], dict[str, dict[str, Any]]]:
    """The figures of each fold and seed, and those over all, from a file of decisions."""
    table = pd.read_csv(path, dtype={"fold": str, "group": str, "clip": str, "label": str, "predicted": str})
    classes = pd.Index(sorted({*table["label"], *table["predicted"]}))
    targets = classes.get_indexer(table["label"]).astype(np.int64)
    scores = np.eye(len(classes))[classes.get_indexer(table["predicted"])]
    cells = {
        key: classification.evaluate(targets[at], scores[at]) | {"fold": key[0], "seed": key[1]}
        for key, at in table.groupby(["fold", "seed"], sort=False).indices.items()
    }
    pooled = [classification.evaluate(targets[at], scores[at]) for at in table.groupby("seed").indices.values()]
    return cells, classification.aggregate(list(cells.values()), pooled, intervals(targets, scores, table["group"]))


@pytest.mark.parametrize("name", KEPT)
def test_the_figures_of_a_row_are_those_of_its_decisions(name: str) -> None:
    row = ROWS[name]
    cells, whole = rescored(RESULTS / row.predictions)
    assert [(one.fold, one.seed) for one in row.folds] == list(cells)
    assert list(dict.fromkeys(one.fold for one in row.folds)) == row.test_folds
    for metric in ("accuracy", "macro_f1"):
        for one in row.folds:
            assert one.clip[metric] == pytest.approx(cells[one.fold, one.seed][metric], abs=1e-9), one.fold
        written, found = row.clip[metric], whole[metric]
        for key in ("mean", "sd", "pooled"):
            assert getattr(written, key) == pytest.approx(found[key], abs=1e-9), key
        assert written.interval == METHOD
        assert written.ci95 == pytest.approx(found["ci95"], abs=1e-9)


@pytest.mark.parametrize("name", KEPT)
def test_the_decisions_of_a_row_are_small_and_complete(name: str) -> None:
    row, path = ROWS[name], RESULTS / ROWS[name].predictions
    assert path.stat().st_size <= 200_000
    table = pd.read_csv(path, dtype={"fold": str, "group": str})
    assert len(table) == row.clips * len({one.seed for one in row.folds})
    assert not table.duplicated(["clip", "seed"]).any()
    assert table["group"].nunique() == row.recordings
    assert table["probability"].between(0, 1).all()


def test_the_table_is_current() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == MAKE["page"](text), "docs/results/ has changed: run make docs"


def test_each_file_belongs_to_a_row_and_each_row_stands_in_the_table() -> None:
    assert {path.name for path in RESULTS.glob("*.csv.gz")} == {row.predictions for row in ROWS.values()} - {None}
    text = PAGE.read_text(encoding="utf-8")
    assert all(f"](results/{name}.json)" in text for name in ROWS)


@pytest.mark.parametrize("name", ROWS)
def test_the_command_of_a_row_can_be_typed(name: str) -> None:
    row = ROWS[name]
    if row.recipe not in shipped():
        return
    _, given = parsed(row.command)
    named = [*(given.get("names") or []), *(value for value in given.values() if isinstance(value, str))]
    assert row.recipe in named
    Recipe.load(row.recipe, given.get("settings") or [])


def test_within_a_task_the_best_row_comes_first() -> None:
    lines = [line.split(" | ") for line in MAKE["table"]().splitlines()[2:]]
    tasks = [re.sub(r" \(.+", "", cells[0].removeprefix("| ")) for cells in lines]
    assert list(dict.fromkeys(tasks)) == [task for task in MAKE["TASKS"] if task in tasks]
    for task in set(tasks):
        figures = [float(re.search(r"\d\.\d+", c[1])[0]) for t, c in zip(tasks, lines, strict=True) if t == task]  # type: ignore[index]
        assert figures == sorted(figures, reverse=True), task
    assert len(lines) == len({tuple(cells) for cells in lines})


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run with the figures of this version."""
    folder = shutil.copytree(STORED, tmp_path / "street-run")
    summarise(folder)
    return folder


def test_a_run_becomes_a_row(run: Path, tmp_path: Path) -> None:
    command = "hubbub bench street-cnn --quick"
    facts = {"task": "ESC-50", "command_seconds": 61.0, "note": "to try"}
    file = MAKE["add"](run, command, results=tmp_path, **facts)
    row, summary = MAKE["rows"](tmp_path)["street-run"], run_folder.read_summary(run)
    assert file.name == "street-run.json"
    assert (row.recipe, row.command, row.task, row.note) == ("street-cnn", command, "ESC-50", "to try")
    assert row.clip["accuracy"].as_json() == summary.clip.accuracy.as_json()
    assert row.segment["macro_f1"].as_json() == summary.segment.macro_f1.as_json()
    assert row.why_not_comparable == summary.why_not_comparable != []
    assert row.unknown == summary.unknown
    assert row.trained_parameters > 0
    assert row.date == run_folder.read_result(run_folder.cells(run)[0][2]).test_opened.date()  # type: ignore[union-attr]
    cells, whole = rescored(tmp_path / row.predictions)
    assert whole["accuracy"]["ci95"] == pytest.approx(summary.clip.accuracy.ci95)
    assert [cells[one.fold, one.seed]["macro_f1"] for one in row.folds] == pytest.approx(
        [one.clip["macro_f1"] for one in summary.folds]
    )


def test_the_same_run_gives_the_same_bytes(run: Path, tmp_path: Path) -> None:
    kept = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        MAKE["add"](run, "hubbub bench street-cnn", name="row", results=tmp_path / name, task="ESC-50")
        kept.append([(tmp_path / name / f"row.{ending}").read_bytes() for ending in ("json", "csv.gz")])
    assert kept[0] == kept[1]
    assert gzip.decompress(kept[0][1]).startswith(b"clip,fold,seed,group,label,predicted,probability\n")


def test_a_run_without_a_task_or_with_other_figures_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(HubbubError, match="--task"):
        MAKE["add"](run, "hubbub bench street-cnn", results=tmp_path)
    summary = run_folder.read_summary(run)
    summary.clip.accuracy.mean += 0.01
    run_folder.write_summary(run, summary)
    with pytest.raises(HubbubError, match=r"clip\.accuracy\.mean is .* the predictions give"):
        MAKE["add"](run, "hubbub bench street-cnn", results=tmp_path, task="ESC-50")
    assert not list(tmp_path.glob("*.json")) + list(tmp_path.glob("*.gz"))


def test_decisions_that_are_too_large_are_not_kept(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MAKE["add"].__globals__, "LARGEST", 10)
    MAKE["add"](run, "hubbub bench street-cnn", results=tmp_path, task="ESC-50")
    assert MAKE["rows"](tmp_path)["street-run"].predictions is None
    assert not list(tmp_path.glob("*.gz"))
