"""Folders that hold no final classifier: the message says what is there and what to do."""

from pathlib import Path

import pytest

from hubbub.classifier.base import ClassifierError
from hubbub.classifier.load import load


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run whose classifier was left out, with one finished fold."""
    folder = tmp_path / "runs" / "mine"
    (folder / "test-1" / "seed-42" / "classifier").mkdir(parents=True)
    (folder / "recipe.toml").write_text("", "utf-8")
    return folder


def test_a_run_without_a_final_classifier_names_that_of_a_fold(run: Path) -> None:
    with pytest.raises(ClassifierError, match="has no final classifier: --no-refit left it out") as refused:
        load(run)
    assert str(refused.value).endswith(f"the classifier of one test fold is in {run / 'test-1' / 'seed-42'}.")


def test_a_run_without_a_finished_fold_says_so(run: Path) -> None:
    (run / "test-1" / "seed-42" / "classifier").rmdir()
    with pytest.raises(ClassifierError, match="no test fold is finished either"):
        load(run)


def test_a_folder_of_runs_names_them(run: Path) -> None:
    (run / "classifier").mkdir()
    with pytest.raises(ClassifierError, match=r"holds 1 run, and is none\. Give one: .*mine"):
        load(run.parent)


def test_any_other_folder_is_no_classifier(tmp_path: Path) -> None:
    with pytest.raises(ClassifierError, match="not a saved classifier"):
        load(tmp_path)
