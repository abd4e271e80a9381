"""Run and bench: a recipe from Python, and the finished run as an object."""

from pathlib import Path

import pandas as pd
import pytest
import yaml

import hubbub
from hubbub.config.recipe import Recipe, RecipeError
from hubbub.report.model_card import model_card
from hubbub.report.reading import ReportError
from tests.helpers.files import read_json
from tests.helpers.runs import bare

SMALL = {"data.limit": 2, "head.name": "logreg", "head.pool": "mean", "head.c": [0.01, 0.1]}


@pytest.fixture(scope="module")
@bare()
def run(tmp_path_factory: pytest.TempPathFactory) -> hubbub.Run:
    """A small run of a head on frozen features: two folds, two seeds."""
    return hubbub.bench(
        "street-cnn", settings=SMALL, folds=[1, 2], seeds=(3, 4), out=tmp_path_factory.mktemp("runs"), quiet=True
    )


def test_a_run_has_what_its_folder_has(run: hubbub.Run) -> None:
    assert run.folder.name == "street-cnn"
    assert run.summary.as_json() == read_json(run.folder / "summary.json")
    assert [(one.fold, one.seed) for one in run.summary.folds] == [("1", 3), ("1", 4), ("2", 3), ("2", 4)]
    assert run.report.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert len(run.classifier.labels) == 10
    again = hubbub.Run(str(run.folder))
    pd.testing.assert_frame_equal(again.predictions, run.predictions)


def test_the_predictions_give_the_summarys_accuracy(run: hubbub.Run) -> None:
    clips = run.predictions.query("level == 'clip'")
    right = clips[list(run.classifier.labels)].idxmax(axis=1) == clips["label"]
    by_cell = right.groupby([clips["fold"], clips["seed"]]).mean()
    assert [one.clip["accuracy"] for one in run.summary.folds] == pytest.approx(by_cell.tolist())
    assert list(run.predictions.columns[:8]) == ["fold", "seed", "clip", "level", "group", "label", "start", "end"]


def test_a_run_says_its_figure_with_its_interval(run: hubbub.Run) -> None:
    first, second, third = repr(run).splitlines()
    accuracy = run.summary.clip.accuracy
    assert first == f"Run {run.folder}: {run.summary.recipe}"
    assert f"{accuracy.mean:.3f}" in second and accuracy.ci95 and f"{accuracy.ci95[1]:.3f}" in second
    assert "4 tests" in second and "SYNTHETIC" in third


def test_its_card_has_its_figures_below_its_caveats(run: hubbub.Run) -> None:
    text = model_card(run.folder, "me/street")
    accuracy, top = run.summary.clip.accuracy, text.partition("## Use")[0]
    assert accuracy.ci95 and f"Clip accuracy **{accuracy.mean:.3f}**, 95 % interval {accuracy.ci95[0]:.3f}" in text
    assert "- SYNTHETIC: " in top and "- PART OF THE FOLDS: " in top
    assert yaml.safe_load(text.split("---")[1])["license"] == "cc0-1.0"
    for one in run.summary.classes:
        assert f"| {one.label} | {one.clips:,} | {one.recordings:,} | {one.recall:.3f} | " in text


@bare()
def test_the_same_call_reads_the_finished_run(run: hubbub.Run, capsys: pytest.CaptureFixture[str]) -> None:
    again = hubbub.bench("street-cnn", settings=SMALL, folds=["1", "2"], seeds=[3, 4], out=run.folder.parent)
    assert "4 of 4 cells done before" in capsys.readouterr().err
    assert again.summary.clip == run.summary.clip


@bare()
def test_a_recipe_object_needs_a_name_and_gives_the_same_run(run: hubbub.Run, tmp_path: Path) -> None:
    recipe = Recipe.load("street-cnn")
    with pytest.raises(RecipeError, match="Give name="):
        hubbub.bench(recipe, out=tmp_path)
    other = hubbub.bench(
        recipe, settings=SMALL, folds=[1, 2], seeds=[3, 4], out=tmp_path, name="mine", quiet=True, refit=False
    )
    assert other.folder == tmp_path / "mine" and other.summary.clip == run.summary.clip
    with pytest.raises(hubbub.HubbubError, match="classifier"):
        _ = other.classifier


def test_a_folder_without_a_summary_is_not_a_run(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="not a finished run"):
        hubbub.Run(tmp_path)
