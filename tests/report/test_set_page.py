"""The page of label sets in a real browser, and its plots and tables against counts of the predictions."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn import metrics as reference
from typer.testing import CliRunner

from hubbub.cli.main import app
from hubbub.experiment import suite
from hubbub.metrics import multilabel
from hubbub.report import page, plots, run_folder
from hubbub.report.class_report import per_class_table
from hubbub.report.predicted import as_arrays
from hubbub.report.roc_choice import precision_recall_choice
from tests.helpers.browsing import CONTRAST, VIEWS, Show
from tests.helpers.label_set_runs import LABELS, clip_table, write_label_set_run
from tests.report.test_compare import GOOD, run

AT = np.array([0.6, 0.5, 0.4, 0.3])
MANY = tuple(f"A rather long name of a class, number {k}" for k in range(40))


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_label_set_run(tmp_path_factory.mktemp("runs") / "few", seeds=(1, 2), thresholds=AT)
    page.write_page(folder)
    return folder


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    clips = clip_table(360, MANY, shares=np.linspace(0.25, 0.02, 40))
    folder = write_label_set_run(tmp_path_factory.mktemp("runs") / "many", clips=clips, labels=MANY)
    page.write_page(folder)
    return folder


def clips_of(folder: Path) -> pd.DataFrame:
    return run_folder.predictions(folder).query("level == 'clip'")


def rows_of(shown: object, caption: str) -> list[list[str]]:
    table = shown.get_by_role("region", name=caption).locator("tbody tr")
    assert table.count() > 0, f"there is no table {caption}"
    return [table.nth(k).locator("th, td").all_inner_texts() for k in range(table.count())]


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("which", ["few", "many"])
def test_it_is_whole_in_every_view(which: str, view: str, show: Show, request: pytest.FixtureRequest) -> None:
    shown = show(request.getfixturevalue(which), view)
    sizes = shown.eval_on_selector_all("img", "images => images.map(i => i.complete ? i.naturalWidth : 0)")
    assert len(sizes) == {"few": 5, "many": 3}[which] and min(sizes) > 0
    assert shown.evaluate("document.scrollingElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
    levels = shown.eval_on_selector_all("h1, h2, h3, h4", "all => all.map(h => Number(h.tagName[1]))")
    assert levels.count(1) == 1 and all(after <= before + 1 for before, after in pairwise(levels))
    ratios = [(name, ratio) for name, ratio in shown.evaluate(CONTRAST) if not name.startswith("text")]
    assert [pair for pair in ratios if pair[1] < 4.5] == [], "text of an SVG has its colour as a fill"
    headings = shown.locator("#content h2").evaluate_all("all => all.map(h => h.id)")
    assert headings == shown.locator("nav a").evaluate_all("all => all.map(a => a.hash.slice(1))")


def test_it_says_macro_map_and_no_confusion(few: Path, show: Show) -> None:
    shown, summary = show(few), run_folder.read_summary(few)
    text = shown.locator("body").inner_text()
    assert shown.locator(".number").inner_text() == f"{summary.clip.figure('macro_map').mean:.3f}"
    assert "clip macro mAP, mean and standard deviation over 3 folds; 95 % interval" in text
    assert "(bootstrap over recordings, 120 recordings)" in text
    figures = text.partition("The recipe with all its fields")[0]
    assert "accuracy" not in figures and "onfusion" not in figures
    assert "Segments count with the labels of their clip." in text
    assert not (few / "confusion_matrix.png").exists()


def test_classes_are_counted_the_weakest_first(few: Path, show: Show) -> None:
    rows, summary = rows_of(show(few), "The lowest average precision"), run_folder.read_summary(few)
    assert [float(row[5]) for row in rows] == sorted(float(row[5]) for row in rows)
    by_label = {one.label: one for one in summary.classes}
    for label, with_it, without, unknown, recordings, *figures in rows:
        one = by_label[label]
        counts = (one.clips, one.without, one.unknown, one.recordings)
        assert (with_it, without, unknown, recordings) == tuple(map(str, counts))
        known = (one.average_precision, one.roc_auc, one.precision, one.recall, one.f1, one.threshold)
        assert figures == [f"{value:.3f}" for value in known]


def test_pairs_of_mistakes_are_counted(few: Path, show: Show) -> None:
    rows, clips = rows_of(show(few), "The most frequent pairs of mistakes"), clips_of(few)
    counts = {}
    for row in clips.itertuples(index=False):
        decided = {label for label, at in zip(LABELS, AT, strict=True) if row[clips.columns.get_loc(label)] >= at}
        for missed in set(row.labels) - decided:
            for false in decided - set(row.labels) - set(row.unknown):
                counts[missed, false] = counts.get((missed, false), 0) + 1
    assert {(missed, false): int(number) for missed, false, number, _ in rows} == counts
    assert [int(row[2]) for row in rows] == sorted(counts.values(), reverse=True)
    held = sum(rows[0][0] in labels for labels in clips["labels"])
    assert rows[0][3] == f"{100 * int(rows[0][2]) / held:.0f} %"


def test_every_curve_of_many_classes_can_be_chosen(many: Path, show: Show) -> None:
    shown = show(many)
    visible = "all => all.map(e => getComputedStyle(e).visibility == 'visible')"
    for name in ("ROC", "Precision-recall"):
        form = shown.get_by_role("form", name=f"{name} curves")
        assert form.locator(".curve").evaluate_all(visible) == [True] * 5 + [False] * 35
        form.get_by_label("all classes").check()
        assert all(form.locator(".curve").evaluate_all(visible))
    assert shown.locator(".sets th[scope=row]").first.bounding_box()["width"] > 150, "a name has room for its words"


def test_the_area_below_the_steps_is_the_average_precision(many: Path) -> None:
    found = precision_recall_choice(*as_arrays(clips_of(many)))
    assert found is not None and len(found.curves) == 40
    for curve in found.curves:
        x, y = np.array([point.split(",") for point in curve.points.split()], float).T
        assert np.trapezoid(1 - y / 1000, x / 1000) == pytest.approx(curve.area, abs=5e-3)
    held = as_arrays(clips_of(many))[0]
    areas = multilabel.average_precision(held > 0, as_arrays(clips_of(many))[1], held >= 0)
    assert [curve.area for curve in found.curves] == sorted(areas.tolist())


def test_matrices_count_what_is_together(tmp_path: Path) -> None:
    targets = np.array([[1, 1, 0], [1, 0, -1], [0, 1, 1], [1, 1, 1]], np.int8)
    decided = np.array([[1, 0, 1], [1, 1, 1], [0, 1, 0], [0, 0, 1]], bool)
    present, known = targets > 0, targets >= 0
    assert multilabel.cooccurrence(present, known).tolist() == [[3, 2, 1], [2, 3, 2], [1, 2, 2]]
    assert multilabel.decided_with(present, decided, known).tolist() == [[2, 1, 2], [1, 1, 2], [0, 1, 1]]
    assert multilabel.wrong_pairs(present, decided, known).tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 0]]
    for name, chosen in (("truth", None), ("decided", decided)):
        plots.cooccurrence(targets, ("a", "b", "$\\frac{"), tmp_path / f"{name}.png", chosen)
        assert Image.open(tmp_path / f"{name}.png").size > (100, 100)


def test_the_table_of_a_cell_is_as_scikit_learn_has_it(few: Path) -> None:
    targets, scores, labels = as_arrays(clips_of(few))
    table = per_class_table(targets, scores, targets[:40], scores[:40], labels, (AT, 0.5)).set_index(["level", "class"])
    for k, label in enumerate(labels):
        own, row = targets[:, k] >= 0, table.loc[("clip", label)]
        hits, of_class = targets[own, k] > 0, scores[own, k]
        assert row["average_precision"] == pytest.approx(reference.average_precision_score(hits, of_class))
        assert row["roc_auc"] == pytest.approx(reference.roc_auc_score(hits, of_class))
        assert row["f1"] == pytest.approx(reference.f1_score(hits, of_class >= AT[k]))
        assert (row["threshold"], row["present"], row["unknown"]) == (AT[k], hits.sum(), (~own).sum())
    known = targets >= 0
    micro = table.loc[("clip", "micro avg")]
    assert micro["average_precision"] == pytest.approx(
        reference.average_precision_score((targets > 0)[known], scores[known])
    )
    assert micro["f1"] == pytest.approx(reference.f1_score((targets > 0)[known], (scores >= AT)[known]))
    macro = table.loc[("clip", "macro avg")]
    assert macro["recall"] == pytest.approx(table.loc["clip"].loc[list(labels), "recall"].mean())


def test_the_command_prints_macro_map_and_a_table_for_each_kind(few: Path, tmp_path: Path) -> None:
    run(few.parent / "one", {1: GOOD})
    summary = run_folder.read_summary(few)
    said = CliRunner().invoke(app, ["report", "--verify", str(few), str(few.parent / "one")])
    assert said.exit_code == 0, said.output
    text = " ".join(said.output.split())
    assert f"clip macro mAP {summary.clip.figure('macro_map').mean:.3f}, 95 % interval" in text
    assert "weakest: Dog (average precision" in text and "verified: the summary agrees" in text
    assert "macro mAP and macro-F1 of clips, macro mAP of segments" in text
    assert "accuracy and macro-F1 of clips, accuracy of segments" in text
    assert max(map(len, said.output.splitlines())) < 200
    table = suite.overview([few, few.parent / "one"]).set_index("run")
    assert table.at["few", "clip macro mAP"] == f"{summary.clip.figure('macro_map').mean:.4f}"
    assert (table.at["few", "clip accuracy"], table.at["one", "segment macro mAP"]) == ("-", "-")
