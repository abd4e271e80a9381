"""What the page of a run shows of clips with label sets in place of what it shows of clips of one label each.

There is no confusion matrix, as no decision replaces another: classes that are present together, or decided together
with present ones, are shown instead, and curves of precision against recall.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hubbub.metrics import multilabel
from hubbub.report import plots, run_folder
from hubbub.report.level_results import ClassScores, SetClassScores
from hubbub.report.predicted import Flags, Predicted, Thresholds, as_arrays, row_thresholds
from hubbub.report.results import Summary
from hubbub.report.roc_choice import precision_recall_choice
from hubbub.report.tables import Table

__all__ = ["draw_label_sets", "label_set_facts", "set_class_table", "wrong_pair_table"]

PAIRS = 20


def label_set_facts(predicted: pd.DataFrame, classes: Sequence[ClassScores], thresholds: Thresholds) -> dict[str, Any]:
    """The values that the page of label sets has in place of those of one label each."""
    rows = predicted[predicted["level"] == "clip"]
    clips, decided = as_arrays(rows), _decided(rows, thresholds)
    seeds = predicted.index.get_level_values("seed").nunique()
    return {
        "classes": set_class_table(classes, _describe_seeds(seeds)),
        "confusions": wrong_pair_table(clips, decided),
        "precision_recalls": precision_recall_choice(*clips),
        "segments_have_their_own": _differ(predicted),
    }


def _describe_seeds(seeds: int) -> str:
    return f"; {seeds} seeds, whose predictions count together" if seeds > 1 else ""


def _decided(rows: pd.DataFrame, thresholds: Thresholds) -> Flags:
    return np.asarray(as_arrays(rows)[1] >= row_thresholds(rows, thresholds))


def _differ(predicted: pd.DataFrame) -> bool:
    """Whether segments have other labels than their clips."""
    clip = predicted["level"] == "clip"
    of_clips = predicted[clip].drop_duplicates("clip").set_index("clip")["label"]
    segments = predicted[~clip]
    return bool((segments["clip"].map(of_clips) != segments["label"]).any())


def set_class_table(classes: Sequence[ClassScores], repeated: str = "") -> Table:
    """One row a class of label sets, the lowest average precision first; classes without figures come last."""
    sets = [one for one in classes if isinstance(one, SetClassScores)]
    known = sorted(
        (one for one in sets if one.average_precision is not None), key=lambda one: one.average_precision or 0
    )
    rows = []
    for one in [*known, *(one for one in sets if one.average_precision is None)]:
        counts = (f"{number:,}" for number in (one.clips, one.without, one.unknown, one.recordings))
        figures = (one.average_precision, one.roc_auc, one.precision, one.recall, one.f1)
        texts = ("-" if figure is None else f"{figure:.3f}" for figure in figures)
        rows.append((one.label, *counts, *texts, f"{one.threshold:.3f}"))
    heads = (
        *("class", "with it", "without", "not annotated", "recordings"),
        *("AP", "AUC", "precision", "recall", "F1", "threshold"),
    )
    caption = (
        "The lowest average precision (AP) first: clips with the class, without it, and those in which it was not "
        f"annotated, of all test folds together{repeated}; recordings with it"
    )
    return Table(caption, heads, rows)


def wrong_pair_table(clips: Predicted, decided: Flags) -> Table:
    """The most frequent pairs of a class that was missed and another one that was decided in the same clip, which does
    not hold it."""
    targets, _, labels = clips
    counts = multilabel.wrong_pairs(targets > 0, decided, targets >= 0)
    support, order = (targets > 0).sum(axis=0), np.argsort(-counts, axis=None, kind="stable")[:PAIRS]
    rows = [
        (labels[true], labels[other], f"{counts[true, other]:,}", f"{100 * counts[true, other] / support[true]:.0f} %")
        for true, other in zip(*np.unravel_index(order, counts.shape), strict=True)
        if counts[true, other]
    ]
    heads = ("missed", "decided, but absent", "clips", "share of the missed class")
    return Table("The most frequent pairs of mistakes in one clip", heads, rows, words=(1,))


def draw_label_sets(folder: Path, predicted: pd.DataFrame, thresholds: Thresholds, summary: Summary) -> dict[str, str]:
    """Draws the plots of label sets into the run folder, and returns the text alternative of each."""
    rows = predicted[predicted["level"] == "clip"]
    targets, scores, labels = as_arrays(rows)
    decided = _decided(rows, thresholds)
    once = ~rows["clip"].duplicated().to_numpy()
    plots.cooccurrence(targets[once], labels, run_folder.plot_file(folder, "cooccurrence"))
    plots.cooccurrence(targets, labels, run_folder.plot_file(folder, "cooccurrence_decided"), decided)
    plots.precision_recall(targets, scores, labels, run_folder.plot_file(folder, "precision_recall"))
    several = int(((targets[once] > 0).sum(axis=1) > 1).sum())
    figure = summary.clip.figure("macro_map").pooled
    area = "" if figure is None else f", mean average precision {figure:.3f}"
    return {
        "cooccurrence": f"Co-occurrence of {len(labels)} classes: {several:,} of {int(once.sum()):,} clips hold "
        "several.",
        "cooccurrence_decided": f"Which of {len(labels)} classes are decided where each is present. The table "
        "beside it lists the most frequent pairs of mistakes.",
        "precision_recall": f"Precision against recall of {len(labels)} classes{area}. Each class's average precision "
        "is in the table of classes.",
    }
