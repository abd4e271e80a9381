"""The files that a cell writes about its predictions: tables of classes, plots, and the predictions themselves."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hubbub.classifier import event_thresholds
from hubbub.classifier.calibration import Confidence
from hubbub.data.clips import describe_label_set
from hubbub.experiment.part import PartPredictions
from hubbub.experiment.prepare import Prepared
from hubbub.metrics import classification
from hubbub.metrics.multilabel_calibration import presence_calibration
from hubbub.report import plots, run_folder
from hubbub.report.class_report import per_class_table
from hubbub.runtime import files
from hubbub.runtime.escape import escape_table

__all__ = ["draw_decisions", "predictions_table", "write_part", "write_test"]


def write_part(prepared: Prepared, predicted: PartPredictions, place: Path, part: str, confidence: Confidence) -> None:
    """Writes the table of classes of a part and the confusion matrix; of label sets, which classes are decided together
    with which, at the thresholds of `confidence`."""
    labels, targets = prepared.clips.labels, predicted.clip_targets
    clips, segments = (
        np.array(event_thresholds.DEFAULT if at is None else at) for at in (confidence.clips, confidence.events)
    )
    by_class = per_class_table(
        targets, predicted.by_clip, predicted.segment_targets, predicted.by_segment, labels, (clips, segments)
    )
    files.write_csv(run_folder.class_table_file(place, part), escape_table(by_class))
    draw_decisions(targets, predicted.by_clip, clips, labels, place, part)


def draw_decisions(
    targets: npt.NDArray[Any],
    scores: npt.NDArray[np.float32],
    thresholds: npt.ArrayLike,
    labels: tuple[str, ...],
    place: Path,
    part: str,
) -> None:
    """Draws the confusion matrix of clips; of label sets, which classes are decided together with which."""
    if targets.ndim == 2:
        file = run_folder.plot_file(place, f"cooccurrence_{part}")
        plots.cooccurrence(targets, labels, file, scores >= np.asarray(thresholds))
    else:
        plots.confusion(targets, scores, labels, run_folder.plot_file(place, f"confusion_matrix_{part}"))


def write_test(prepared: Prepared, predicted: PartPredictions, place: Path) -> None:
    """Writes predictions, ROC curves and reliability diagram of the test part, and curves of precision against recall
    of label sets."""
    labels, of_clips = prepared.clips.labels, predicted.clip_targets
    run_folder.write_predictions(place, predictions_table(prepared, predicted))
    plots.roc(of_clips, predicted.by_clip, labels, run_folder.plot_file(place, "roc"))
    sets, file = of_clips.ndim == 2, run_folder.plot_file(place, "reliability")
    if sets:
        plots.precision_recall(of_clips, predicted.by_clip, labels, run_folder.plot_file(place, "precision_recall"))
    calibrated = {
        level: presence_calibration(targets > 0, scores, targets >= 0)
        if sets
        else classification.calibration(targets, scores)
        for level, targets, scores in (
            ("clips", of_clips, predicted.by_clip),
            ("segments", predicted.segment_targets, predicted.by_segment),
        )
    }
    plots.reliability(calibrated, file, presence=sets)


def predictions_table(prepared: Prepared, predicted: PartPredictions) -> pd.DataFrame:
    """One row a segment, then one row a clip (`level`), with the truth, the typicality where it is measured, and one
    probability a class."""
    clips, rows = prepared.clips, predicted.rows
    spans = [prepared.frame_spans(row) for row in rows]
    whole = np.array([(times[0, 0], times[-1, 1]) for times in spans])
    of_segments, of_clips = predicted.typicality or (None, None)
    tables = []
    truth = predicted.segment_targets, predicted.clip_targets
    for level, owner, times, scores, typicality, targets in (
        ("segment", predicted.owner, np.concatenate(spans), predicted.by_segment, of_segments, truth[0]),
        ("clip", np.arange(len(rows)), whole, predicted.by_clip, of_clips, truth[1]),
    ):
        facts = clips.table.iloc[rows[owner]][["clip", "group", "label"]].reset_index(drop=True)
        facts.insert(1, "level", level)
        if clips.multilabel:
            facts["labels"], facts["unknown"] = (_names(found, clips.labels) for found in (targets > 0, targets < 0))
            facts["label"] = facts["labels"].map(describe_label_set)
        if typicality is not None:
            facts["typicality"] = typicality
        facts["start"], facts["end"] = times[:, 0], times[:, 1]
        tables.append(pd.concat([facts, pd.DataFrame(scores, columns=list(clips.labels))], axis=1))
    return pd.concat(tables, ignore_index=True)


def _names(flags: npt.NDArray[np.bool_], labels: tuple[str, ...]) -> list[list[str]]:
    """The names of the classes that are marked in each row `[N, K]`."""
    return [[labels[k] for k in np.flatnonzero(row)] for row in flags]
