"""compare, of label sets: the paired bootstrap of macro mAP against a loop, refusals, page and command line."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score
from typer.testing import CliRunner

from hubbub.cli.main import app
from hubbub.metrics import significance
from hubbub.report import compare_page, run_folder
from hubbub.report.compare import CompareError, compare_runs
from hubbub.report.compare_results import Comparison
from hubbub.report.compare_sets import set_pairs
from tests.helpers.browsing import Show
from tests.helpers.label_set_runs import LABELS, clip_table, write_label_set_run
from tests.report.test_compare import GOOD, run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    write_label_set_run(folder / "good", skill=2.5)
    write_label_set_run(folder / "near", skill=2.5, seeds=(2, 3))
    write_label_set_run(folder / "poor", skill=1.0)
    return folder


@pytest.fixture(scope="module")
def result(runs: Path) -> Comparison:
    return compare_runs([runs / "poor", runs / "good", runs / "near"])


def macro_map(rows: pd.DataFrame) -> float:
    found = []
    for label in LABELS:
        own = rows[[label not in names for names in rows["unknown"]]]
        hits = np.array([label in names for names in own["labels"]])
        if 0 < hits.sum() < len(hits):
            found.append(average_precision_score(hits, own[label]))
    return float(np.mean(found))


def clips_of(folder: Path) -> pd.DataFrame:
    return run_folder.predictions(folder).query("level == 'clip'")


def test_the_better_run_is_found_and_noise_is_called_noise(runs: Path, result: Comparison) -> None:
    standings = {one.name: one.standing for one in result.runs}
    assert standings["poor"] == "behind" and list(standings.values())[:2] == ["highest", "within noise of the highest"]
    best, second, _ = result.runs
    assert compare_page.headline(result) == (
        f"{best.name} has the highest clip macro mAP; {second.name} is within noise of it; poor is behind by more than "
        "noise."
    )
    assert (result.multilabel, result.metric, result.clips, result.recordings) == (True, "macro mAP", 240, 120)
    for one in result.runs:
        summary = run_folder.read_summary(runs / one.name)
        assert one.clip.as_json() == summary.clip.as_json()


def test_the_difference_is_that_of_macro_map(runs: Path, result: Comparison) -> None:
    for pair in result.pairs:
        first, second = (clips_of(runs / name) for name in (pair.first, pair.second))
        of_seeds = [one.groupby(level="seed").apply(macro_map).mean() for one in (first, second)]
        assert pair.difference == pytest.approx(of_seeds[0] - of_seeds[1])
        for fold, difference in pair.folds.items():
            values = [
                one.xs(fold, level="fold").groupby(level="seed").apply(macro_map).mean() for one in (first, second)
            ]
            assert difference == pytest.approx(values[0] - values[1])
        assert (pair.tests["mcnemar"], pair.only_first, pair.only_second) == (None, None, None)
        assert pair.ci95 is not None and pair.ci95[0] < pair.difference < pair.ci95[1]
        expected = significance.corrected_t(list(pair.folds.values()), 80 / 160)
        assert pair.tests["corrected_t"].p == pytest.approx(expected)


def test_both_runs_share_the_draws(runs: Path) -> None:
    """Against a loop that repeats the clips of drawn recordings."""
    predicted = {name: clips_of(runs / name) for name in ("good", "poor")}
    groups = predicted["good"].drop_duplicates("clip").set_index("clip")["group"]
    (pair,) = set_pairs(predicted, groups, None, 20)
    names, codes = np.unique(groups, return_inverse=True)
    weights = np.random.default_rng(0).multinomial(len(names), np.full(len(names), 1 / len(names)), size=20)
    for draw, found in zip(weights, pair.resampled, strict=True):
        times = pd.Series(draw[codes], index=groups.index)
        one, other = (macro_map(rows.loc[rows.index.repeat(rows["clip"].map(times))]) for rows in predicted.values())
        assert found == pytest.approx(one - other)
    assert pair.by_fold == {}


def test_a_run_does_not_differ_from_itself(runs: Path, tmp_path: Path) -> None:
    write_label_set_run(tmp_path / "again", skill=2.5)
    found = compare_runs([runs / "good", tmp_path / "again"])
    (pair,) = found.pairs
    assert (pair.difference, pair.ci95, pair.tests["bootstrap"].p, pair.within_noise) == (0, (0, 0), 1, True)
    assert compare_page.headline(found) in (
        "good and again have the same clip macro mAP.", "again and good have the same clip macro mAP.",
    )  # fmt: skip


def test_runs_of_one_label_and_of_label_sets_are_not_compared(runs: Path, tmp_path: Path) -> None:
    run(tmp_path / "one", {1: GOOD})
    with pytest.raises(CompareError, match=r"of good have label sets and the clips of one have one label each"):
        compare_runs([tmp_path / "one", runs / "good"], anyway=True)


def test_runs_of_other_classes_or_truths_are_not_compared(runs: Path, tmp_path: Path) -> None:
    write_label_set_run(tmp_path / "more", labels=(*LABELS, "Cat"), clips=clip_table())
    with pytest.raises(CompareError, match=r"good and more have different classes \(Cat\)"):
        compare_runs([runs / "good", tmp_path / "more"], anyway=True)
    clips = clip_table()
    clips.at[4, "unknown"] = [*clips.at[4, "unknown"], "Dog"]
    write_label_set_run(tmp_path / "other", clips=clips)
    with pytest.raises(CompareError, match=r"clip c0004 is '.*' in good and '.*not annotated: .*Dog.*' in other"):
        compare_runs([runs / "good", tmp_path / "other"], anyway=True)


def test_the_page_and_the_command_say_macro_map(runs: Path, tmp_path: Path, show: Show) -> None:
    out = tmp_path / "c.html"
    said = CliRunner().invoke(app, ["compare", str(runs / "good"), str(runs / "poor"), "--out", str(out)])
    assert said.exit_code == 0, said.output
    assert "good has the highest clip macro mAP; poor is behind by more than noise." in said.output
    assert "alone right" not in said.output and "McNemar" not in said.output
    shown = show(out)
    text = shown.locator("body").inner_text()
    assert "Clip macro mAP and its 95" in text and "Macro mAP is computed again for each resample" in text
    assert "accuracy" not in text and "McNemar" not in text
