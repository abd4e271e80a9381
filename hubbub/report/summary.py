"""The figures of a run, from its predictions: metrics over folds and seeds, calibration, open-set rejection.

Everything comes from the files of the run folder, so a resumed run ends with the same figures as one that was never
stopped.
"""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import pandas as pd

from hubbub.errors import count
from hubbub.metrics import classification
from hubbub.metrics import multilabel_intervals as of_sets
from hubbub.metrics.intervals import METHOD, share_interval
from hubbub.metrics.intervals import intervals as intervals_of
from hubbub.metrics.thresholds import FALLBACK
from hubbub.report import run_folder
from hubbub.report.as_given import describe_as_given, with_given
from hubbub.report.caveats import few_recordings, left_out, more_recordings, seeds_agree
from hubbub.report.costs import run_seconds
from hubbub.report.headline import NAMES, headline_metric, metric_names
from hubbub.report.level_results import (
    LEVELS,
    ClassScores,
    Figure,
    FoldScores,
    Level,
    LevelCalibration,
    LevelFigures,
    LevelName,
    RawCalibration,
    SetClassScores,
    SetLevel,
)
from hubbub.report.open_set import open_set_figures
from hubbub.report.predicted import (
    Scores,
    Targets,
    Thresholds,
    as_arrays,
    cell_thresholds,
    figures_of,
    has_label_sets,
    row_thresholds,
    uncalibrated,
)
from hubbub.report.results import Environment, Summary, Threads
from hubbub.report.set_summary import classes_left_out, presence_error, set_class_scores, set_intervals

__all__ = [
    "NAMES",
    "OWN_INTERVALS",
    "Scores",
    "Targets",
    "as_arrays",
    "class_scores",
    "describe_interval",
    "evaluate",
    "fold_table",
    "level_figures",
    "summarise",
    "summary_of",
    "uncalibrated",
    "weakest",
]

Value = TypeVar("Value")
#: The metrics that need no probabilities.
OF_DECISIONS = (
    *("accuracy", "balanced_accuracy", "macro_f1"),
    *("macro_precision", "macro_recall", "micro_f1", "micro_precision", "micro_recall"),
)
#: The methods of stored intervals, for people.
INTERVALS = {METHOD: "exact binomial", "mid-p": "exact binomial", None: "bootstrap"}
#: The methods of the intervals that are computed here, of one label and of label sets.
OWN_INTERVALS = (METHOD, of_sets.METHOD)


def summarise(folder: Path) -> Summary:
    """The run's figures from its cells' predictions, written to the summary file and returned."""
    summary = summary_of(folder)
    run_folder.write_summary(folder, summary)
    return summary


def summary_of(folder: Path) -> Summary:
    """The run's figures from its cells' predictions."""
    recipe = run_folder.read_recipe(folder)
    environment = run_folder.read_environment(folder)
    predicted = run_folder.predictions(folder)
    entries, at = [], {level: cell_thresholds(folder, level) for level in LEVELS}
    by_cell = predicted.groupby(level=["fold", "seed"], sort=False)
    for (fold, seed, _), (_, own) in zip(run_folder.cells(folder), by_cell, strict=True):
        clip, segment = (evaluate(own[own["level"] == level], environment, at[level]) for level in LEVELS)
        entries.append(FoldScores(fold=fold, seed=seed, clip=clip, segment=segment))
    reasons = environment.why_not_comparable + _mixed_threads(run_folder.threads(folder))
    clips, segments = (int((predicted["level"] == level).sum()) // len(recipe.train.seeds) for level in LEVELS)
    clip_figures, segment_figures = (
        level_figures(predicted[predicted["level"] == level], environment, at[level]) for level in LEVELS
    )
    of_clips = predicted[predicted["level"] == "clip"]
    classes, recordings = class_scores(of_clips, at["clip"]), predicted["group"].nunique()
    several = recipe.protocol.kind != "time"  # else each stretch of the one recording has a group of its own
    few = few_recordings({one.label: one.recordings for one in classes if one.clips}, recordings) if several else None
    given = _as_given(of_clips, environment, at["clip"])
    on_given = _on_given(environment, clip_figures, given) if given else None
    return Summary(
        recipe=recipe.title or folder.name,
        data=environment.data.name,
        protocol=environment.protocol,
        comparable=not reasons,
        why_not_comparable=reasons,
        caveats=[line for line in (few, seeds_agree(predicted), _left_out(of_clips), on_given) if line],
        clips=clips,
        segments=segments,
        recordings=recordings,
        folds=entries,
        clip=clip_figures,
        segment=segment_figures,
        **({"as_given": given} if given else {}),
        classes=classes,
        unknown=open_set_figures(folder, recipe),
        **_measured(folder, predicted, environment),
        more_recordings=more_recordings(run_folder.read_learning_curve(folder)) if several else None,
    )


def _as_given(clips: pd.DataFrame, environment: Environment, at: Thresholds) -> LevelFigures | None:
    """The figures of clips against the labels before they were corrected; None where none was."""
    corrections = environment.data.corrections
    if corrections is None or not corrections.given:
        return None
    return level_figures(with_given(clips, corrections.given), environment, at)


def _on_given(environment: Environment, corrected: LevelFigures, given: LevelFigures) -> str:
    return describe_as_given(environment.data, *headline_metric(isinstance(given, SetLevel)), corrected, given)


def _measured(folder: Path, predicted: pd.DataFrame, environment: Environment) -> dict[str, Any]:
    """Calibration, times and speed, as far as a run has them: scored predictions have no times, labels no
    calibration."""
    if environment.scored:
        return {} if environment.scored.labels_alone else {"calibration": _calibration(predicted, predicted)}
    places = [place for _, _, place in run_folder.cells(folder)]
    spent = [seconds for place in places if (seconds := run_folder.read_result(place).seconds)]
    return {
        "calibration": _calibration(predicted, uncalibrated(folder, predicted)),
        "seconds": run_seconds(spent, len(environment.test_folds)),
        "segments_per_second": statistics.median(run_folder.read_throughput(p).segments_per_second for p in places),
    }


def evaluate(
    predicted: pd.DataFrame, environment: Environment, thresholds: Thresholds = MappingProxyType({})
) -> dict[str, float | None]:
    """All metrics of rows of a predictions table; None for those that labels alone do not give.

    `thresholds` are for label sets; with any, the rows have the index levels `fold` and `seed`.
    """
    at = row_thresholds(predicted, thresholds) if has_label_sets(predicted) else FALLBACK
    return _known(figures_of(*as_arrays(predicted)[:2], at), environment)


def _left_out(clips: pd.DataFrame) -> str | None:
    return left_out(classes_left_out(clips)) if has_label_sets(clips) else None


def _known(values: Mapping[str, Value], environment: Environment) -> dict[str, Value | None]:
    """Metrics by name; None for those that need probabilities where there are labels alone."""
    alone = environment.scored is not None and environment.scored.labels_alone
    return {name: None if alone and name not in OF_DECISIONS else value for name, value in values.items()}


def _mixed_threads(trained: list[Threads]) -> list[str]:
    """The reason against a run whose networks were not all trained with one number of threads."""
    counts = sorted({count for cell in trained for count in cell.threads})
    if len(counts) < 2:
        return []
    numbers = ", ".join(map(str, counts))
    return [f"MIXED THREADS: trained with {numbers} processor threads; a cell's figures depend on their number"]


def level_figures(
    rows: pd.DataFrame, environment: Environment, thresholds: Thresholds = MappingProxyType({})
) -> LevelFigures:
    """All metrics over folds and seeds, from predictions of one level with the index levels `fold` and `seed`.

    Of label sets, the figures of clips have intervals; those of segments have none.
    """
    cells = [
        {"fold": fold, "seed": seed, **evaluate(own, environment, thresholds)}
        for (fold, seed), own in rows.groupby(level=["fold", "seed"], sort=False)
    ]
    pooled = [evaluate(own, environment, thresholds) for _, own in rows.groupby(level="seed", sort=False)]
    sets, found = has_label_sets(rows), dict[str, tuple[float, float] | None]()
    if not sets:
        targets, scores, _ = as_arrays(rows)
        found = intervals_of(targets, scores, rows["group"])
    elif (rows["level"] == "clip").all():
        found = set_intervals(rows, thresholds)
    intervals = _known({name: found.get(name) for name in metric_names(sets)}, environment)
    figures = classification.aggregate(cells, pooled, intervals, alike=seeds_agree(rows) is not None)
    for figure in figures.values():
        figure["interval"] = OWN_INTERVALS[sets] if figure["ci95"] else None
    return SetLevel.model_validate(figures) if sets else Level.model_validate(figures)


def class_scores(clips: pd.DataFrame, thresholds: Thresholds = MappingProxyType({})) -> Sequence[ClassScores]:
    """Each class's figures over the clip predictions of all cells, in the order of the classes."""
    if has_label_sets(clips):
        return set_class_scores(clips, thresholds)
    targets, scores, labels = as_arrays(clips)
    table, groups = classification.per_class(targets, scores), clips["group"].to_numpy()
    right, found = scores.argmax(axis=1) == targets, list[ClassScores]()
    for k, label in enumerate(labels):
        own = targets == k
        if not own.any():
            found.append(ClassScores(label=label, clips=0, recordings=0))
            continue
        found.append(
            ClassScores(
                label=label,
                clips=int(clips["clip"][own].nunique()),
                recordings=len(set(groups[own])),
                precision=float(table["precision"][k]),
                recall=float(table["recall"][k]),
                f1=float(table["f1"][k]),
                recall_ci95=share_interval(right[own], groups[own]),
            )
        )
    return found


def _calibration(predicted: pd.DataFrame, raw: pd.DataFrame) -> dict[LevelName, LevelCalibration]:
    """Calibration error and log loss of both levels over all test predictions; `raw` are those before scaling."""
    found: dict[LevelName, LevelCalibration] = {}
    for level in LEVELS:
        error, log_loss = _calibration_error(predicted, level)
        raw_error, raw_log_loss = _calibration_error(raw, level)
        before = RawCalibration(error=raw_error, log_loss=raw_log_loss)
        found[level] = LevelCalibration(error=error, log_loss=log_loss, raw=before)
    return found


def _calibration_error(predicted: pd.DataFrame, level: LevelName) -> tuple[float, float | None]:
    rows = predicted[predicted["level"] == level]
    if has_label_sets(rows):
        return presence_error(rows)
    targets, scores, _ = as_arrays(rows)
    error = classification.calibration(targets, scores).error
    return error, classification.evaluate(targets, scores)["log_loss"]


def describe_interval(figure: Figure, recordings: int | None) -> str:
    """`95 % interval 0.890 to 0.983 (exact binomial, 80 recordings)`; "" where the figure has none."""
    if figure.ci95 is None:
        return ""
    method = INTERVALS.get(figure.interval, figure.interval)
    number = "" if recordings is None else f", {count(recordings, 'recording')}"
    return f"95 % interval {figure.ci95[0]:.3f} to {figure.ci95[1]:.3f} ({method}{number})"


def weakest(summary: Summary, most: int = 2) -> str:
    """The classes with the lowest F1, with recall and recordings, or of label sets those with the lowest average
    precision; "" where all decisions were right."""
    sets = [one for one in summary.classes if isinstance(one, SetClassScores) and one.average_precision is not None]
    if sets:
        return ", ".join(
            f"{one.label} (average precision {one.average_precision:.3f}, F1 {one.f1:.3f}, "
            f"{count(one.recordings, 'recording')})"
            for one in sorted(sets, key=lambda one: one.average_precision or 0)[:most]
            if (one.average_precision or 0) < 1
        )
    tested = [one for one in summary.classes if one.f1 is not None and one.recall is not None and one.f1 < 1]
    return ", ".join(
        f"{one.label} (F1 {one.f1:.3f}, recall {one.recall:.3f}, {count(one.recordings, 'recording')})"
        for one in sorted(tested, key=lambda one: one.f1 or 0)[:most]
    )


def fold_table(summary: Summary) -> pd.DataFrame:
    """Fold, seed, and the main figures at both levels, one row a cell."""
    metric, name = headline_metric(summary.multilabel)
    return pd.DataFrame(
        {
            "test fold": entry.fold,
            "seed": entry.seed,
            f"clip {name}": entry.clip[metric],
            "clip macro-F1": entry.clip["macro_f1"],
            f"segment {name}": entry.segment[metric],
            "segment macro-F1": entry.segment["macro_f1"],
        }
        for entry in summary.folds
    )
