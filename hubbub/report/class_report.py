"""The table of classes that a cell writes, as scikit-learn's `classification_report` has it."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from hubbub.metrics import classification, multilabel
from hubbub.metrics.thresholds import FALLBACK
from hubbub.report.predicted import Scores, Targets

__all__ = ["per_class_table"]


def per_class_table(
    clip_targets: Targets,
    clip_scores: Scores,
    segment_targets: Targets,
    segment_scores: Scores,
    labels: tuple[str, ...],
    thresholds: tuple[npt.ArrayLike, npt.ArrayLike] = (FALLBACK, FALLBACK),
) -> pd.DataFrame:
    """Precision, recall, F1, support and AUC at clip and at segment level: one row a class, then `accuracy` (in the
    column `f1`), `macro avg` and `weighted avg`.

    Of label sets, average precision, AUC, precision, recall and F1 at the `thresholds` of clips and of segments (which
    are a column too), and how many hold the class, do not hold it, or were not annotated; then `macro avg` and
    `micro avg`.
    """
    tables = []
    for level, targets, scores, at in (
        ("clip", clip_targets, clip_scores, thresholds[0]),
        ("segment", segment_targets, segment_scores, thresholds[1]),
    ):
        if targets.ndim == 2:
            table = _label_sets(targets, scores, labels, np.asarray(at, dtype=float))
        else:
            table = pd.DataFrame(classification.per_class(targets, scores), index=list(labels))
            averages = pd.DataFrame.from_dict(classification.averages(targets, scores), orient="index")
            table = pd.concat([table, averages[table.columns].astype(table.dtypes)])
        table = table.rename_axis("class").reset_index()
        table.insert(0, "level", level)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _label_sets(
    targets: Targets, scores: Scores, labels: tuple[str, ...], thresholds: npt.NDArray[np.float64]
) -> pd.DataFrame:
    found = multilabel.evaluate(targets > 0, scores, thresholds, targets >= 0)
    columns = ("average_precision", "roc_auc", "precision", "recall", "f1")
    counts = {name: getattr(found.presence, name) for name in ("present", "absent", "unknown")}
    at = np.broadcast_to(thresholds, len(labels))
    table = pd.DataFrame({name: found.per_class[name] for name in columns} | {"threshold": at} | counts, list(labels))
    rows = {
        f"{kind} avg": {"average_precision": found.figures[f"{kind}_map"]}
        | {name: found.figures[f"{kind}_{name}"] for name in ("precision", "recall", "f1")}
        | {"roc_auc": found.figures["roc_auc"] if kind == "macro" else None}
        for kind in ("macro", "micro")
    }
    averages = pd.DataFrame.from_dict(rows, orient="index", dtype=float)
    return pd.concat([table.astype(dict.fromkeys(counts, "Int64")), averages])
