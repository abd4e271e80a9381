"""score: predictions of any program get the figures, page and comparison of a run, and nothing that is made up."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

import hubbub
from hubbub.classifier.base import ClassifierError
from hubbub.config.recipe import RecipeError
from hubbub.data.predictions import PredictionsError
from hubbub.experiment.score import ScoreError
from hubbub.report.compare import compare_runs
from hubbub.report.page import write_page
from hubbub.report.verify import verify
from tests.helpers.files import read_json
from tests.helpers.runs import bare
from tests.helpers.sounds import write_tones

LABELS = ["a", "b"]


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of two classes of tones in four folds; some labels are wrong, so that no figure is perfect."""
    file = write_tones(tmp_path_factory.mktemp("data") / "tones") / "list.csv"
    table = pd.read_csv(file)
    table.loc[::5, "label"] = table["label"][::5].map({"a": "b", "b": "a"})
    table.to_csv(file, index=False)
    return file


@pytest.fixture(scope="module")
@bare()
def run(tones: Path) -> hubbub.Run:
    """A run of hubbub's own on the tones: all folds, two seeds."""
    head = {"head.name": "logreg", "head.pool": "mean", "head.c": [0.01, 0.1]}
    chosen = {"data.name": str(tones), "protocol.kind": "kfold", **head}
    return hubbub.bench("street-cnn", settings=chosen, seeds=[3, 4], out=tones.parent, name="run", quiet=True)


@pytest.fixture(scope="module")
def theirs(tones: Path) -> pd.DataFrame:
    """Another program's probabilities of the tones, named by file, in any order."""
    files = pd.read_csv(tones)["path"].sample(frac=1, random_state=0)
    first = np.random.default_rng(1).uniform(size=len(files))
    return pd.DataFrame({"file": files.to_numpy(), "a": first, "b": 1 - first})


@pytest.fixture(scope="module")
def scored(theirs: pd.DataFrame, tones: Path) -> hubbub.Run:
    """Their probabilities, scored."""
    return hubbub.score(theirs, tones, out=tones.parent, name="theirs", quiet=True)


@pytest.fixture(scope="module")
def decided(theirs: pd.DataFrame, tones: Path) -> hubbub.Run:
    """Their decisions alone, scored."""
    labels = theirs[["file"]].assign(predicted=theirs[LABELS].idxmax(axis=1))
    return hubbub.score(labels, tones, out=tones.parent, name="decided", quiet=True)


def test_a_runs_own_predictions_give_its_own_figures(run: hubbub.Run, tones: Path, tmp_path: Path) -> None:
    assert 0 < run.summary.clip.accuracy.mean < 1
    again = hubbub.score(run.predictions, tones, out=tmp_path, name="again", quiet=True)
    assert again.summary.clip == run.summary.clip and again.summary.segment == run.summary.segment
    assert again.summary.folds == run.summary.folds
    for level, ours in run.summary.calibration.items():
        assert again.summary.calibration[level].error == ours.error
    run.predictions.to_csv(tmp_path / "written.csv", index=False)
    read = hubbub.score(tmp_path / "written.csv", tones, out=tmp_path, quiet=True)
    assert read.folder == tmp_path / "written" and read.summary.clip == run.summary.clip
    pd.testing.assert_frame_equal(read.predictions, run.predictions, check_dtype=False)


def test_the_figures_are_scikit_learns(scored: hubbub.Run, theirs: pd.DataFrame, tones: Path) -> None:
    clip = scored.summary.clip
    rows = theirs.merge(pd.read_csv(tones), left_on="file", right_on="path")
    decided = np.where(rows["a"] >= rows["b"], "a", "b")
    assert clip.accuracy.pooled == pytest.approx(metrics.accuracy_score(rows["label"], decided))
    assert clip.balanced_accuracy.pooled == pytest.approx(metrics.balanced_accuracy_score(rows["label"], decided))
    assert clip.macro_f1.pooled == pytest.approx(metrics.f1_score(rows["label"], decided, average="macro"))
    assert clip.roc_auc.pooled == pytest.approx(metrics.roc_auc_score(rows["label"] == "b", rows["b"]))
    assert clip.log_loss.pooled == pytest.approx(metrics.log_loss(rows["label"], rows[LABELS]), rel=1e-5)
    by_fold = (rows["label"] == decided).groupby(rows["fold"]).mean()
    assert clip.accuracy.mean == pytest.approx(by_fold.mean()) and clip.accuracy.sd == pytest.approx(by_fold.std())


def test_labels_alone_give_no_figure_of_probabilities(decided: hubbub.Run, scored: hubbub.Run) -> None:
    for name in ("accuracy", "balanced_accuracy", "macro_f1"):
        assert decided.summary.clip.figure(name) == scored.summary.clip.figure(name)
    for name in ("top3", "roc_auc", "log_loss"):
        figure = decided.summary.clip.figure(name)
        assert (figure.mean, figure.pooled, figure.ci95) == (None, None, None)
        assert all(one.clip[name] is None for one in decided.summary.folds)
    assert decided.summary.calibration == {} and scored.summary.calibration
    assert not (decided.folder / "roc.png").exists() and (scored.folder / "roc.png").exists()


def test_nothing_is_made_up(scored: hubbub.Run, tones: Path) -> None:
    summary, environment = read_json(scored.folder / "summary.json"), read_json(scored.folder / "environment.json")
    assert not {"seconds", "segments_per_second"} & set(summary) and not summary["comparable"]
    assert summary["why_not_comparable"][0].startswith("PREDICTIONS FROM ELSEWHERE: ")
    assert not {"machine", "libraries", "weights"} & set(environment)
    assert (scored.folder / "recipe.toml").read_text().split() == (
        f'title = "list: predictions of a table in memory" [data] name = "{tones}" [train] seeds = [ 0, ]'.split()
    )
    result = read_json(scored.folder / "test-1" / "seed-0" / "metrics_test.json")
    assert not {"test_opened", "seconds", "choice", "confidence", "threads"} & set(result)
    with pytest.raises(ClassifierError, match="scored predictions"):
        _ = scored.classifier


def test_the_page_has_no_empty_section(scored: hubbub.Run, decided: hubbub.Run) -> None:
    for run, with_roc in ((scored, True), (decided, False)):
        page = run.report.read_text(encoding="utf-8")
        sections = set(re.findall(r'<h2 id="(\w+)"', page))
        assert sections == {"warnings", "figures", "folds", "confusion", "classes", "data", "recipe"} | (
            {"roc"} if with_roc else set()
        )
        assert set(re.findall(r'href="#(\w+)"', page)) - {"content"} <= sections
        assert "temperature" not in page and "segments a second" not in page and "UTC" not in page
        assert "PREDICTIONS FROM ELSEWHERE" in page


def test_it_is_verified_and_compared_like_any_run(run: hubbub.Run, scored: hubbub.Run, decided: hubbub.Run) -> None:
    assert verify(decided.folder) == []
    assert verify(scored.folder) == [] and write_page(scored.folder) == scored.report
    result = compare_runs([run.folder, scored.folder])
    assert result.comparable and result.clips == 32 and {one.name for one in result.runs} == {"run", "theirs"}
    assert any(line.startswith("PREDICTIONS FROM ELSEWHERE") and "(theirs)" in line for line in result.warnings)
    (pair,) = result.pairs
    assert pair.difference > 0 and len(pair.folds) == 4


def test_scored_predictions_are_replaced_and_trained_runs_are_not(
    run: hubbub.Run, theirs: pd.DataFrame, tones: Path, tmp_path: Path
) -> None:
    hubbub.score(theirs, tones, out=tmp_path, name="theirs", quiet=True)
    partial = hubbub.score(theirs[4:], tones, out=tmp_path, name="theirs", allow_missing=True, quiet=True)
    assert partial.summary.clips == 28 and "PARTIAL" in repr(partial)
    with pytest.raises(ScoreError, match="not replaced"):
        hubbub.score(theirs, tones, out=run.folder.parent, name=run.folder.name)
    with pytest.raises(ScoreError, match="name="):
        hubbub.score(theirs, tones, out=tmp_path)
    with pytest.raises(PredictionsError, match="in row 1, row 33"):
        hubbub.score(pd.concat([theirs, theirs[:1]]).reset_index(drop=True), tones, out=tmp_path, name="twice")
    assert not (tmp_path / "twice").exists()


def test_the_data_are_read_as_train_reads_them(theirs: pd.DataFrame, tones: Path, tmp_path: Path) -> None:
    """Other names of columns, another root, a column of groups: the figures stay; the run says how it was read."""
    table = pd.read_csv(tones)
    sites = table.rename(columns={"path": "sound", "label": "kind"}).drop(columns="group", errors="ignore")
    sites.assign(site=[f"s{k % 4}" for k in range(len(sites))]).to_csv(tmp_path / "sites.csv", index=False)
    settings = {"data.root": tones.parent, "data.columns": {"path": "sound", "label": "kind"}}
    read = {"group": "site", "settings": settings, "out": tmp_path, "name": "sites", "quiet": True}
    found = hubbub.score(theirs, tmp_path / "sites.csv", **read)
    assert found.summary.recordings == 4
    plain = hubbub.score(theirs, tones, out=tmp_path, name="plain", quiet=True)
    assert found.summary.clip.accuracy.pooled == plain.summary.clip.accuracy.pooled
    assert 'group = "site"' in (found.folder / "recipe.toml").read_text()
    with pytest.raises(
        RecipeError, match=r"--set train.epochs=3: nothing is trained here, so \[train\] changes nothing"
    ):
        hubbub.score(theirs, tones, settings={"train.epochs": 3}, out=tmp_path, name="no", quiet=True)
