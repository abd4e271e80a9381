"""The figure that a run is known by, and the names of all metrics for people: accuracy or, of label sets, macro mAP."""

from collections.abc import Mapping

from hubbub.report.level_results import Figure, LevelName
from hubbub.report.results import CellScores, Summary

__all__ = ["NAMES", "SET_NAMES", "describe_cell", "describe_headline", "headline", "headline_metric", "metric_names"]

NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "top3": "top-3 accuracy",
    "roc_auc": "ROC AUC",
    "log_loss": "log loss",
}
#: The names of `multilabel.METRICS`.
SET_NAMES = {
    "macro_map": "macro mAP",
    "micro_map": "micro mAP",
    "lwlrap": "lwlrap",
    "roc_auc": "ROC AUC",
    "macro_f1": "macro-F1",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "micro_f1": "micro-F1",
    "micro_precision": "micro precision",
    "micro_recall": "micro recall",
}


def metric_names(multilabel: bool) -> Mapping[str, str]:
    """The metrics of each level and their names for people, in their order."""
    return SET_NAMES if multilabel else NAMES


def headline_metric(multilabel: bool) -> tuple[str, str]:
    """The metric that runs are known by, and its name for people: `("accuracy", "accuracy")` or
    `("macro_map", "macro mAP")`."""
    return next(iter(metric_names(multilabel).items()))


def headline(summary: Summary, level: LevelName = "clip") -> tuple[str, Figure]:
    """The name of the metric that a run is known by, and its figure at a level."""
    metric, name = headline_metric(summary.multilabel)
    return name, summary.level(level).figure(metric)


def describe_headline(summary: Summary) -> str:
    """`clip accuracy 0.9005`, or `clip macro mAP 0.8120`."""
    name, figure = headline(summary)
    return f"clip {name} {_number(figure.mean)}"


def describe_cell(result: CellScores) -> str:
    """`clip accuracy 0.9005, segment 0.8120`, or the same with macro mAP."""
    metric, name = headline_metric(result.multilabel)
    clip, segment = (_number(result.figure(level, metric)) for level in ("clip", "segment"))
    return f"clip {name} {clip}, segment {segment}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
