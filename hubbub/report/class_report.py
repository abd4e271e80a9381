"""The table of classes that a cell writes, as scikit-learn's `classification_report` has it."""

import pandas as pd

from hubbub.metrics import classification
from hubbub.report.summary import Scores, Targets

__all__ = ["per_class_table"]


def per_class_table(
    clip_targets: Targets,
    clip_scores: Scores,
    segment_targets: Targets,
    segment_scores: Scores,
    labels: tuple[str, ...],
) -> pd.DataFrame:
    """Precision, recall, F1, support and AUC at clip and at segment level: one row a class, then `accuracy` (in the
    column `f1`), `macro avg` and `weighted avg`."""
    tables = []
    for level, targets, scores in (("clip", clip_targets, clip_scores), ("segment", segment_targets, segment_scores)):
        table = pd.DataFrame(classification.per_class(targets, scores), index=list(labels))
        averages = pd.DataFrame.from_dict(classification.averages(targets, scores), orient="index")
        table = pd.concat([table, averages[table.columns].astype(table.dtypes)]).rename_axis("class").reset_index()
        table.insert(0, "level", level)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)
