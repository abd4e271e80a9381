"""learning_curve: subsets of whole recordings, and the curve that a run leaves, from validation parts alone."""

from pathlib import Path

import numpy as np

from hubbub.experiment import learning_curve
from hubbub.experiment.learning_curve import nested_subsets
from hubbub.report import run_folder
from tests.helpers.runs import bare_run, tiny_recipe

SHARES = (1 / 8, 1 / 4, 1 / 2)


def test_subsets_are_nested_hold_whole_groups_and_every_class() -> None:
    rng = np.random.default_rng(1)
    groups = np.array([f"g{k:02}" for k in np.sort(rng.integers(0, 60, 300))], dtype=object)
    targets = np.array([int(group[1:]) % 3 for group in groups])
    rows = np.flatnonzero(rng.random(300) < 0.8)
    subsets = nested_subsets(targets, groups, rows, SHARES, 0)
    assert len(subsets) == 3
    for smaller, larger in zip(subsets, [*subsets[1:], rows], strict=True):
        assert set(smaller) < set(larger)
    for subset, share in zip(subsets, SHARES, strict=True):
        taken = set(groups[subset])
        assert sorted(subset) == [row for row in rows if groups[row] in taken], "recordings come whole"
        for k in range(3):
            own = {group for group in groups[rows] if int(group[1:]) % 3 == k}
            assert len(taken & own) == np.ceil(share * len(own))


def test_a_class_keeps_a_recording_and_repeated_subsets_are_left_out() -> None:
    groups = np.array(["a", "b", "c", "d"], dtype=object)
    subsets = nested_subsets(np.array([0, 0, 1, 1]), groups, np.arange(4), SHARES, 0)
    assert [len(subset) for subset in subsets] == [2]
    assert nested_subsets(np.array([0, 1]), groups[:2], np.arange(2), SHARES, 0) == []


def test_a_run_of_a_head_has_a_curve_that_ends_with_its_validation_figure(tmp_path: Path) -> None:
    recipe = tiny_recipe("head.name=logreg", "head.c=[1.0]", 'protocol.folds=["1","2"]', "data.limit=4")
    summary = bare_run(recipe, tmp_path / "run", refit=False)
    curve = run_folder.read_learning_curve(tmp_path / "run")
    assert curve is not None and list(dict.fromkeys(curve["fold"].astype(str))) == ["1", "2"]
    for fold, _, place in run_folder.cells(tmp_path / "run"):
        own = curve[curve["fold"].astype(str) == fold]
        assert own["recordings"].is_monotonic_increasing and len(own) > 1
        assert own["clip_accuracy"].iloc[-1] == run_folder.read_validation(place).clip_accuracy
    assert summary.more_recordings is not None
    page = run_folder.page_file(tmp_path / "run").read_text(encoding="utf-8")
    assert "Would more recordings help?" in page and summary.more_recordings in page


def test_a_finished_run_keeps_its_curve_until_a_cell_is_tested_again(tmp_path: Path, monkeypatch) -> None:
    recipe = tiny_recipe("head.name=logreg", "head.c=[1.0]", 'protocol.folds=["1","2"]', "data.limit=4")
    bare_run(recipe, tmp_path / "run", refit=False)
    first = run_folder.read_learning_curve(tmp_path / "run")
    fitted: list[str] = []
    fit = learning_curve.fit
    monkeypatch.setattr(learning_curve, "fit", lambda *words, **more: fitted.append("") or fit(*words, **more))
    bare_run(recipe, tmp_path / "run", refit=False)
    assert not fitted and first is not None and first.equals(run_folder.read_learning_curve(tmp_path / "run"))
    (run_folder.cell_folder(tmp_path / "run", "1", recipe.train.seeds[0]) / "metrics_test.json").unlink()
    bare_run(recipe, tmp_path / "run", refit=False)
    assert fitted and first.equals(run_folder.read_learning_curve(tmp_path / "run"))


def test_trained_networks_and_slow_heads_have_none(tmp_path: Path) -> None:
    assert "none" not in learning_curve.QUICK_HEADS and "lightgbm" not in learning_curve.QUICK_HEADS
    bare_run(tiny_recipe("train.epochs=1", 'protocol.folds=["1"]'), tmp_path / "run", refit=False)
    assert run_folder.read_learning_curve(tmp_path / "run") is None
