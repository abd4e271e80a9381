"""The figures of a run, from its predictions: metrics over folds and seeds, calibration, open-set rejection.

Everything comes from the files of the run folder, so a resumed run ends with the same figures as one that was never
stopped.
"""

import math
import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from hubbub.classifier import pooling
from hubbub.classifier.calibration import DISTANCE, UNKNOWN, Confidence, familiarity, pool_familiarity
from hubbub.classifier.calibration import Unknown as Method
from hubbub.config.recipe import Recipe
from hubbub.errors import count
from hubbub.metrics import classification
from hubbub.metrics.intervals import METHOD, share_interval
from hubbub.metrics.intervals import intervals as intervals_of
from hubbub.report import run_folder
from hubbub.report.caveats import few_recordings, more_recordings, seeds_agree
from hubbub.report.costs import run_seconds
from hubbub.report.headline import NAMES
from hubbub.report.level_results import (
    LEVELS,
    ClassScores,
    Figure,
    FoldScores,
    Level,
    LevelCalibration,
    LevelName,
    RawCalibration,
    Unknown,
)
from hubbub.report.results import Environment, Summary, Threads

__all__ = [
    "NAMES",
    "Scores",
    "Targets",
    "as_arrays",
    "class_scores",
    "describe_interval",
    "evaluate",
    "fold_table",
    "has_other_intervals",
    "level_figures",
    "summarise",
    "uncalibrated",
    "verify",
    "weakest",
]

Scores = npt.NDArray[np.float32]
Targets = npt.NDArray[np.int64]
Value = TypeVar("Value")
#: The metrics that need no probabilities.
OF_DECISIONS = ("accuracy", "balanced_accuracy", "macro_f1")
#: Figures that differ by less are the same: sums of floats, added in another order.
ROUNDING = 1e-9
#: The methods of stored intervals, for people.
INTERVALS = {METHOD: "exact binomial", "mid-p": "exact binomial", None: "bootstrap"}


def as_arrays(predicted: pd.DataFrame) -> tuple[Targets, Scores, tuple[str, ...]]:
    """Targets, scores and labels of a predictions table: the classes are the columns after `end`."""
    labels = tuple(predicted.columns[list(predicted.columns).index("end") + 1 :])
    targets = pd.Categorical(predicted["label"], categories=list(labels)).codes.astype(np.int64)
    return targets, predicted[list(labels)].to_numpy(), labels


def uncalibrated(folder: Path, predicted: pd.DataFrame) -> pd.DataFrame:
    """The predictions of a run before temperature scaling."""
    _, scores, labels = as_arrays(predicted)
    scores = scores.copy()
    folds, seeds = (predicted.index.get_level_values(key) for key in ("fold", "seed"))
    for fold, seed, place in run_folder.cells(folder):
        calibration = run_folder.calibration_of(place)
        for level in LEVELS:
            rows = (folds == fold) & (seeds == seed) & (predicted["level"] == level).to_numpy()
            scores[rows] = pooling.apply_temperature(scores[rows], 1 / getattr(calibration, level))
    facts = predicted.drop(columns=list(labels))
    return facts.join(pd.DataFrame(scores, columns=list(labels), index=predicted.index))


def summarise(folder: Path) -> Summary:
    """The run's figures from its cells' predictions, written to the summary file and returned."""
    summary = _summary(folder)
    run_folder.write_summary(folder, summary)
    return summary


def verify(folder: Path) -> list[str]:
    """The figures of the summary file that differ from those of the predictions, a line each; empty if all agree.

    Compared are the figures that the file has: earlier versions wrote fewer. Intervals are compared where both are of
    one method; `has_other_intervals` says whether any are not.
    """
    return list(_differences("", run_folder.read_summary(folder).as_json(), _summary(folder).as_json()))


def has_other_intervals(summary: Summary) -> bool:
    """Whether a summary has intervals of another method than this version's."""
    figures = (summary.level(level).figure(metric) for level in LEVELS for metric in NAMES)
    return any(figure.ci95 is not None and figure.interval != METHOD for figure in figures)


def _differences(name: str, written: Any, found: Any) -> Iterator[str]:
    if isinstance(written, dict) and isinstance(found, dict):
        skipped = {"ci95", "interval"} if written.get("ci95") and written.get("interval") != METHOD else set()
        if written.get("sd_seeds") == 0 and found.get("sd_seeds") is None:
            skipped.add("sd_seeds")  # seeds that gave the same predictions, in the file of an earlier version
        for key in (key for key in written if key not in skipped):
            yield from _differences(f"{name}.{key}".lstrip("."), written[key], found.get(key))
    elif isinstance(written, list) and isinstance(found, list) and len(written) == len(found):
        for number, pair in enumerate(zip(written, found, strict=True)):
            yield from _differences(f"{name}[{number}]", *pair)
    elif isinstance(written, float) and isinstance(found, float):
        if not math.isclose(written, found, rel_tol=ROUNDING, abs_tol=ROUNDING):
            yield f"{name} is {written}; the predictions give {found}"
    elif written != found:
        yield f"{name} is {written}; the predictions give {found}"


def _summary(folder: Path) -> Summary:
    recipe = run_folder.read_recipe(folder)
    environment = run_folder.read_environment(folder)
    predicted = run_folder.predictions(folder)
    entries = []
    by_cell = predicted.groupby(level=["fold", "seed"], sort=False)
    for (fold, seed, _), (_, own) in zip(run_folder.cells(folder), by_cell, strict=True):
        clip, segment = (evaluate(own[own["level"] == level], environment) for level in LEVELS)
        entries.append(FoldScores(fold=fold, seed=seed, clip=clip, segment=segment))
    reasons = environment.why_not_comparable + _mixed_threads(run_folder.threads(folder))
    clips, segments = (int((predicted["level"] == level).sum()) // len(recipe.train.seeds) for level in LEVELS)
    clip_figures, segment_figures = (
        level_figures(predicted[predicted["level"] == level], environment) for level in LEVELS
    )
    classes, recordings = class_scores(predicted[predicted["level"] == "clip"]), predicted["group"].nunique()
    several = recipe.protocol.kind != "time"  # else each stretch of the one recording has a group of its own
    few = few_recordings({one.label: one.recordings for one in classes if one.clips}, recordings) if several else None
    return Summary(
        recipe=recipe.title or folder.name,
        data=environment.data.name,
        protocol=environment.protocol,
        comparable=not reasons,
        why_not_comparable=reasons,
        caveats=[line for line in (few, seeds_agree(predicted)) if line],
        clips=clips,
        segments=segments,
        recordings=recordings,
        folds=entries,
        clip=clip_figures,
        segment=segment_figures,
        classes=classes,
        unknown=_unknown(folder, recipe),
        **_measured(folder, predicted, environment),
        more_recordings=more_recordings(run_folder.read_learning_curve(folder)) if several else None,
    )


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


def evaluate(predicted: pd.DataFrame, environment: Environment) -> dict[str, float | None]:
    """All metrics of rows of a predictions table; None for those that labels alone do not give."""
    return _known(classification.evaluate(*as_arrays(predicted)[:2]), environment)


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


def level_figures(rows: pd.DataFrame, environment: Environment) -> Level:
    """All metrics over folds and seeds, from predictions of one level with the index levels `fold` and `seed`."""
    targets, scores, _ = as_arrays(rows)
    cells = [
        {"fold": fold, "seed": seed, **evaluate(own, environment)}
        for (fold, seed), own in rows.groupby(level=["fold", "seed"], sort=False)
    ]
    pooled = [evaluate(own, environment) for _, own in rows.groupby(level="seed", sort=False)]
    intervals = _known(intervals_of(targets, scores, rows["group"]), environment)
    figures = classification.aggregate(cells, pooled, intervals, alike=seeds_agree(rows) is not None)
    for figure in figures.values():
        figure["interval"] = METHOD if figure["ci95"] else None
    return Level.model_validate(figures)


def class_scores(clips: pd.DataFrame) -> list[ClassScores]:
    """Each class's figures over the clip predictions of all cells, in the order of the classes."""
    targets, scores, labels = as_arrays(clips)
    table, groups = classification.per_class(targets, scores), clips["group"].to_numpy()
    right, found = scores.argmax(axis=1) == targets, []
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
    targets, scores, _ = as_arrays(predicted[predicted["level"] == level])
    error = classification.calibration(targets, scores).error
    return error, classification.evaluate(targets, scores)["log_loss"]


def _unknown(folder: Path, recipe: Recipe) -> Unknown | None:
    """Open-set rejection: mean and sd over folds, seeds averaged first; None where no class is held out."""
    folds, rows, clips = [], [], set[str]()
    for fold, _, place in run_folder.cells(folder):
        held_out = run_folder.read_unknown_predictions(place)
        if held_out is None:
            continue
        confidence, own = run_folder.calibration_of(place), run_folder.read_predictions(place)
        threshold, scaled = confidence.threshold, confidence.typicality_weight is not None
        figures: dict[tuple[str, str], float] = {}
        for method in (*UNKNOWN, DISTANCE) if scaled else UNKNOWN:
            known, unknown = (_clip_familiarity(table, method, confidence) for table in (own, held_out))
            figures |= {(method, name): value for name, value in classification.detection(known, unknown).items()}
            if method == recipe.evaluate.unknown and threshold is not None:
                figures["at_threshold", "known_kept"] = float((known >= threshold).mean())
                figures["at_threshold", "unknown_passed"] = float((unknown >= threshold).mean())
        folds.append(fold)
        rows.append(figures)
        clips |= set(held_out["clip"])
    if not rows:
        return None
    by_fold = pd.DataFrame(rows, index=folds).groupby(level=0, sort=False).mean()
    found: dict[str, Any] = {"classes": recipe.data.held_out, "clips": len(clips), "by": recipe.evaluate.unknown}
    for group, name in rows[0]:
        values = by_fold[group, name]
        sd = float(values.std(ddof=1)) if len(values) > 1 else None
        found.setdefault(group, {})[name] = {"mean": float(values.mean()), "sd": sd}
    return Unknown.model_validate(found)


def _clip_familiarity(predicted: pd.DataFrame, method: Method, confidence: Confidence) -> npt.NDArray[np.float64]:
    """Each clip's familiarity."""
    segments = predicted[predicted["level"] == "segment"]
    typicality = segments["typicality"].to_numpy() if method == DISTANCE else None
    each = familiarity(as_arrays(segments)[1], method, typicality, confidence.typicality_weight)
    counts = segments.groupby("clip", sort=False).size().to_numpy()  # those of a clip stand together
    return pool_familiarity(each, np.cumsum(counts) - counts, method)


def describe_interval(figure: Figure, recordings: int | None) -> str:
    """`95 % interval 0.890 to 0.983 (exact binomial, 80 recordings)`; "" where the figure has none."""
    if figure.ci95 is None:
        return ""
    method = INTERVALS.get(figure.interval, figure.interval)
    number = "" if recordings is None else f", {count(recordings, 'recording')}"
    return f"95 % interval {figure.ci95[0]:.3f} to {figure.ci95[1]:.3f} ({method}{number})"


def weakest(summary: Summary, most: int = 2) -> str:
    """The classes with the lowest F1, with recall and recordings; "" where all decisions were right."""
    tested = [one for one in summary.classes if one.f1 is not None and one.recall is not None and one.f1 < 1]
    return ", ".join(
        f"{one.label} (F1 {one.f1:.3f}, recall {one.recall:.3f}, {count(one.recordings, 'recording')})"
        for one in sorted(tested, key=lambda one: one.f1 or 0)[:most]
    )


def fold_table(summary: Summary) -> pd.DataFrame:
    """Fold, seed, and the main figures at both levels, one row a cell."""
    return pd.DataFrame(
        {
            "test fold": entry.fold,
            "seed": entry.seed,
            "clip accuracy": entry.clip["accuracy"],
            "clip macro-F1": entry.clip["macro_f1"],
            "segment accuracy": entry.segment["accuracy"],
            "segment macro-F1": entry.segment["macro_f1"],
        }
        for entry in summary.folds
    )
