"""summary of label sets: every figure against scikit-learn or a loop over the predictions."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from sklearn import metrics as reference

from hubbub.metrics import multilabel
from hubbub.metrics.multilabel_calibration import log_loss, presence_calibration
from hubbub.report import run_folder
from hubbub.report.level_results import SetClassScores, SetLevel
from hubbub.report.results import Summary
from hubbub.report.run import Run
from hubbub.report.summary import (
    as_arrays,
    describe_interval,
    fold_table,
    summarise,
    uncalibrated,
    weakest,
)
from hubbub.report.verify import has_other_intervals, verify
from tests.helpers.files import read_json
from tests.helpers.label_set_runs import LABELS, clip_table, write_label_set_run

AT = np.array([0.6, 0.5, 0.4, 0.3])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_label_set_run(tmp_path_factory.mktemp("runs") / "sets", seeds=(1, 2), thresholds=AT)


@pytest.fixture(scope="module")
def summary(folder: Path) -> Summary:
    return run_folder.read_summary(folder)


def arrays(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What is held, the scores, and what is annotated, read without the code under test."""
    held = np.array([[label in names for label in LABELS] for names in rows["labels"]])
    unknown = np.array([[label in names for label in LABELS] for names in rows["unknown"]])
    return held, rows[list(LABELS)].to_numpy(), ~unknown


def macro_map(rows: pd.DataFrame) -> float:
    held, scores, known = arrays(rows)
    own = [reference.average_precision_score(held[known[:, k], k], scores[known[:, k], k]) for k in range(4)]
    return float(np.mean(own))


def macro_f1(rows: pd.DataFrame, at: np.ndarray) -> float:
    held, scores, known = arrays(rows)
    own = [reference.f1_score(held[known[:, k], k], scores[known[:, k], k] >= at[k]) for k in range(4)]
    return float(np.mean(own))


def of_level(folder: Path, level: str) -> pd.DataFrame:
    found = run_folder.predictions(folder)
    return found[found["level"] == level]


def test_targets_are_those_of_the_table(folder: Path) -> None:
    rows = of_level(folder, "clip")
    targets, scores, labels = as_arrays(rows)
    held, own, known = arrays(rows)
    assert (targets.dtype, labels) == (np.int8, LABELS)
    assert np.array_equal(targets, np.where(known, held, -1)) and np.array_equal(scores, own)


@pytest.mark.parametrize(("level", "at"), [("clip", AT), ("segment", AT / 2)])
def test_figures_are_means_over_folds_of_the_seeds_means(
    folder: Path, summary: Summary, level: str, at: np.ndarray
) -> None:
    rows, found = of_level(folder, level), summary.level(level)
    assert isinstance(found, SetLevel)
    for name, compute in (("macro_map", macro_map), ("macro_f1", lambda own: macro_f1(own, at))):
        cells = rows.groupby(level=["fold", "seed"]).apply(compute)
        by_fold, by_seed = cells.groupby("fold").mean(), cells.groupby("seed").mean()
        figure = found.figure(name)
        assert figure.mean == pytest.approx(by_fold.mean()) and figure.sd == pytest.approx(by_fold.std())
        assert figure.sd_seeds == pytest.approx(by_seed.std())
        assert figure.pooled == pytest.approx(rows.groupby(level="seed").apply(compute).mean())
        entry = summary.folds[1]
        assert getattr(entry, level)[name] == pytest.approx(cells[entry.fold, entry.seed])


def test_pooled_decisions_are_at_each_cells_own_thresholds(folder: Path, tmp_path: Path) -> None:
    other = shutil.copytree(folder, tmp_path / "run")
    (_, _, first), *_ = run_folder.cells(other)
    result = read_json(first / "metrics_test.json")
    result["confidence"]["clips"] = [0.9, 0.8, 0.7, 0.6]
    (first / "metrics_test.json").write_text(json.dumps(result))
    found, rows = summarise(other), of_level(other, "clip")
    held, scores, known = arrays(rows)
    cells = list(zip(rows.index.get_level_values("fold"), rows.index.get_level_values("seed"), strict=True))
    at = np.array([[0.9, 0.8, 0.7, 0.6] if cell == cells[0] else AT for cell in cells])
    expected = []
    for seed in (1, 2):
        own = rows.index.get_level_values("seed") == seed
        pair = own[:, None] & known
        expected.append(reference.f1_score(held[pair], (scores >= at)[pair]))
    assert found.clip.figure("micro_f1").pooled == pytest.approx(np.mean(expected))
    assert found.classes[0].threshold == pytest.approx((0.9 + 5 * 0.6) / 6)


def test_without_thresholds_a_class_is_decided_from_a_half_up(tmp_path: Path) -> None:
    folder = write_label_set_run(tmp_path / "run")
    rows = of_level(folder, "clip")
    expected = rows.groupby(level="fold").apply(lambda own: macro_f1(own, np.full(4, 0.5))).mean()
    found = run_folder.read_summary(folder)
    assert found.clip.figure("macro_f1").mean == pytest.approx(expected)
    assert {one.threshold for one in found.classes} == {0.5}


def test_clips_have_intervals_and_segments_none(summary: Summary) -> None:
    for name in multilabel.METRICS:
        figure = summary.clip.figure(name)
        if name in ("macro_map", "micro_map", "roc_auc", "macro_f1"):
            low, high = figure.ci95
            assert low < figure.pooled < high and high - low < 0.2
            assert figure.interval == "bootstrap over recordings"
        else:
            assert (figure.ci95, figure.interval) == (None, None)
        assert summary.segment.figure(name).ci95 is None
    said = describe_interval(summary.clip.figure("macro_map"), summary.recordings)
    assert said.endswith("(bootstrap over recordings, 120 recordings)")


def test_classes_are_counted_and_scored(folder: Path, summary: Summary) -> None:
    rows = of_level(folder, "clip")
    held, scores, known = arrays(rows)
    once = ~rows["clip"].duplicated().to_numpy()
    for k, found in enumerate(summary.classes):
        assert isinstance(found, SetClassScores)
        assert (found.label, found.clips) == (LABELS[k], (held & known)[once, k].sum())
        assert (found.without, found.unknown) == ((~held & known)[once, k].sum(), (~known)[once, k].sum())
        assert found.recordings == rows["group"][held[:, k] & known[:, k]].nunique()
        own, hits = known[:, k], held[:, k]
        assert found.f1 == pytest.approx(reference.f1_score(hits[own], scores[own, k] >= AT[k]))
        assert found.recall == pytest.approx(reference.recall_score(hits[own], scores[own, k] >= AT[k]))
        assert found.average_precision == pytest.approx(reference.average_precision_score(hits[own], scores[own, k]))
    assert weakest(summary).startswith("Dog (average precision 0.")


def test_calibration_is_undone_class_by_class(folder: Path, summary: Summary) -> None:
    rows = of_level(folder, "clip")
    held, scores, known = arrays(rows)
    before = arrays(uncalibrated(folder, run_folder.predictions(folder)).query("level == 'clip'"))[1]
    assert before == pytest.approx(expit((logit(scores.astype(float)) - 0.5) * 2), abs=1e-5)
    found = summary.calibration["clip"]
    assert found.error == pytest.approx(presence_calibration(held, scores, known).error)
    assert found.log_loss == pytest.approx(log_loss(held, scores, known))
    assert found.raw.error == pytest.approx(presence_calibration(held, before, known).error, abs=1e-5)


def test_verify_finds_changed_figures_and_intervals(folder: Path, tmp_path: Path) -> None:
    assert verify(folder) == []
    other = shutil.copytree(folder, tmp_path / "run")
    written = read_json(other / "summary.json")
    assert not has_other_intervals(run_folder.read_summary(other))
    written["clip"]["macro_map"]["ci95"] = [0.1, 0.2]
    written["segment"]["lwlrap"]["mean"] = 0.5
    (other / "summary.json").write_text(json.dumps(written))
    assert [line.partition(" ")[0] for line in verify(other)] == [
        "clip.macro_map.ci95[0]", "clip.macro_map.ci95[1]", "segment.lwlrap.mean",
    ]  # fmt: skip


def test_classes_that_no_clip_of_a_fold_holds_are_named(tmp_path: Path) -> None:
    clips = clip_table()
    gone = clips["fold"] == "2"
    clips.loc[gone, "labels"] = clips["labels"][gone].map(lambda names: [name for name in names if name != "Dog"])
    found = run_folder.read_summary(write_label_set_run(tmp_path / "run", clips=clips))
    assert (
        "CLASSES LEFT OUT: macro means are without the classes that no clip of a test part holds, or every clip: "
        "Dog (test fold 2)"
    ) in found.caveats
    assert found.folds[1].clip["macro_map"] == pytest.approx(
        np.mean(
            [
                reference.average_precision_score(held[known], scores[known])
                for held, scores, known in (
                    (part[:, k] for part in arrays(of_level(tmp_path / "run", "clip").xs("2", level="fold")))
                    for k in range(3)
                )
            ]
        )
    )


def test_a_class_that_nobody_holds_has_no_figures(tmp_path: Path) -> None:
    clips = clip_table(shares=(0.5, 0.3, 0.2, 0.0))
    found = run_folder.read_summary(write_label_set_run(tmp_path / "run", clips=clips))
    dog = found.classes[3]
    assert (dog.clips, dog.recordings, dog.average_precision, dog.f1) == (0, 0, None, None)
    assert found.clip.figure("macro_map").pooled is not None


def test_the_main_figures_of_cells_are_macro_map_and_f1(summary: Summary) -> None:
    assert list(fold_table(summary).columns) == [
        "test fold", "seed", "clip macro mAP", "clip macro-F1", "segment macro mAP", "segment macro-F1",
    ]  # fmt: skip


def test_a_run_says_its_macro_map(folder: Path, summary: Summary) -> None:
    figure = summary.clip.figure("macro_map")
    low, high = figure.ci95
    assert f"clip macro mAP {figure.mean:.3f}, 95 % interval {low:.3f} to {high:.3f}" in repr(Run(folder))
