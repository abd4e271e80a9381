"""Runs to figures and tables.

Everything here is made from the files of a run folder, so it can be made again, and a resumed run ends with the same
figures as one that was never stopped. This room does not know how a page shows them.
"""

import math
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from hubbub.classifier.calibration import UNKNOWN, Unknown, familiarity
from hubbub.config.recipe import Recipe
from hubbub.metrics import classification
from hubbub.report.run_folder import (
    LEVELS,
    UNKNOWN_ROWS,
    ReportError,
    Scores,
    Targets,
    arrays,
    cells,
    confidence,
    predictions,
    read_json,
    read_predictions,
    threads,
    untempered,
)
from hubbub.runtime import files

__all__ = ["NAMES", "ReportError", "cells", "classes", "fold_table", "read_json", "summarise", "threads", "verify"]


#: Figures that differ by less are the same: sums of floats, added in another order.
ROUNDING = 1e-9
NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "top3": "top-3 accuracy",
    "roc_auc": "ROC AUC",
    "log_loss": "log loss",
}


def summarise(folder: Path) -> dict[str, Any]:
    """The run's figures from its cells' predictions, written to `summary.json` and returned."""
    summary = _summary(folder)
    files.write_json(folder / "summary.json", summary)
    return summary


def verify(folder: Path) -> list[str]:
    """What `summary.json` says otherwise than the run's predictions do, a line a figure; empty where they agree."""
    return list(_differences("", read_json(folder / "summary.json"), _summary(folder)))


def _differences(name: str, said: Any, found: Any) -> Iterator[str]:
    if isinstance(said, dict) and isinstance(found, dict):
        for key in {**said, **found}:
            yield from _differences(f"{name}.{key}".lstrip("."), said.get(key), found.get(key))
    elif isinstance(said, list) and isinstance(found, list) and len(said) == len(found):
        for number, pair in enumerate(zip(said, found, strict=True)):
            yield from _differences(f"{name}[{number}]", *pair)
    elif isinstance(said, float) and isinstance(found, float):
        if not math.isclose(said, found, rel_tol=ROUNDING, abs_tol=ROUNDING):
            yield f"{name} is {said}; the predictions give {found}"
    elif said != found:
        yield f"{name} is {said}; the predictions give {found}"


def _summary(folder: Path) -> dict[str, Any]:
    recipe = Recipe.load(folder / "recipe.toml")
    environment = read_json(folder / "environment.json")
    predicted = predictions(folder)
    entries, speeds = [], []
    seconds = {"fit": 0.0, "predict": 0.0}
    by_cell = predicted.groupby(level=["fold", "seed"], sort=False)
    for (fold, seed, place), (_, own) in zip(cells(folder), by_cell, strict=True):
        speeds.append(read_json(place / "metrics_throughput.json")["segments_per_second"])
        spent = read_json(place / "metrics_test.json")["seconds"]
        seconds = {key: total + spent[key] for key, total in seconds.items()}
        levels = {level: classification.evaluate(*arrays(own[own["level"] == level])[:2]) for level in LEVELS}
        entries.append({"fold": fold, "seed": seed, **levels})
    reasons = environment["why_not_comparable"] + _mixed(threads(folder))
    return {
        "recipe": recipe.title or folder.name,
        "protocol": environment["protocol"],
        "comparable": not reasons,
        "why_not_comparable": reasons,
        **{f"{level}s": int((predicted["level"] == level).sum()) // len(recipe.train.seeds) for level in LEVELS},
        "folds": entries,
        **{level: _over_folds(predicted, level, entries, recipe) for level in LEVELS},
        "calibration": _calibration(predicted, untempered(folder, predicted)),
        "unknown": _unknown(folder, recipe),
        "seconds": seconds,
        "segments_per_second": statistics.median(speeds),
    }


def _mixed(trained: list[dict[str, Any]]) -> list[str]:
    """What is to be said of a run whose networks were not all trained with one number of threads."""
    counts = sorted({count for one in trained for count in one["threads"]})
    if len(counts) < 2:
        return []
    said = ", ".join(map(str, counts))
    return [f"MIXED THREADS: trained with {said} processor threads; a cell's figures depend on their number"]


def _over_folds(predicted: pd.DataFrame, level: str, entries: list[dict[str, Any]], recipe: Recipe) -> dict[str, Any]:
    rows = predicted[predicted["level"] == level]
    targets, scores, _ = arrays(rows)
    by_seed = [rows.index.get_level_values("seed") == seed for seed in recipe.train.seeds]
    pooled = [classification.evaluate(targets[at], scores[at]) for at in by_seed]
    intervals = classification.bootstrap(targets, scores, rows["group"], recipe.evaluate.resamples)
    return classification.aggregate(
        [{"fold": e["fold"], "seed": e["seed"], **e[level]} for e in entries], pooled, intervals
    )


def _calibration(predicted: pd.DataFrame, raw: pd.DataFrame) -> dict[str, Any]:
    """Calibration error and log loss at both levels over all test predictions, and `raw`, without temperatures."""
    return {level: _sureness(predicted, level) | {"raw": _sureness(raw, level)} for level in LEVELS}


def _sureness(predicted: pd.DataFrame, level: str) -> dict[str, Any]:
    targets, scores, _ = arrays(predicted[predicted["level"] == level])
    error, loss = (
        classification.calibration(targets, scores).error,
        classification.evaluate(targets, scores)["log_loss"],
    )
    return {"error": error, "log_loss": loss}


def _unknown(folder: Path, recipe: Recipe) -> dict[str, Any] | None:
    """How well known test clips are told from those of held-out classes: mean and sd over folds, seeds averaged first;
    None where no class is held out. `at_threshold` is where validation put the threshold."""
    folds, rows, clips = [], [], set[str]()
    for fold, _, place in cells(folder):
        if not (place / UNKNOWN_ROWS).is_file():
            continue
        strange, threshold = read_predictions(place / UNKNOWN_ROWS), confidence(place).threshold
        own = read_predictions(place / "predictions.parquet")
        figures: dict[tuple[str, str], float] = {}
        for how in UNKNOWN:
            known, unknown = _familiar(own, how), _familiar(strange, how)
            figures |= {(how, name): value for name, value in classification.detection(known, unknown).items()}
            if how == recipe.evaluate.unknown and threshold is not None:
                figures["at_threshold", "known_kept"] = float((known >= threshold).mean())
                figures["at_threshold", "unknown_passed"] = float((unknown >= threshold).mean())
        folds.append(fold)
        rows.append(figures)
        clips |= set(strange["clip"])
    if not rows:
        return None
    by_fold = pd.DataFrame(rows, index=folds).groupby(level=0, sort=False).mean()
    told: dict[str, Any] = {"classes": list(recipe.data.held_out), "clips": len(clips), "by": recipe.evaluate.unknown}
    for group, name in rows[0]:
        values = by_fold[group, name]
        sd = float(values.std(ddof=1)) if len(values) > 1 else None
        told.setdefault(group, {})[name] = {"mean": float(values.mean()), "sd": sd}
    return told


def _familiar(predicted: pd.DataFrame, how: Unknown) -> Scores:
    """Each clip's familiarity, that of its most familiar segment."""
    segments = predicted[predicted["level"] == "segment"]
    each = pd.Series(familiarity(arrays(segments)[1], how))
    return each.groupby(segments["clip"].to_numpy(), sort=False).max().to_numpy()


def classes(
    clip_targets: Targets,
    clip_scores: Scores,
    segment_targets: Targets,
    segment_scores: Scores,
    labels: tuple[str, ...],
) -> pd.DataFrame:
    """Precision, recall, F1, support and AUC of each class, at clip and at segment level."""
    tables = []
    for level, targets, scores in (("clip", clip_targets, clip_scores), ("segment", segment_targets, segment_scores)):
        table = pd.DataFrame(classification.per_class(targets, scores))
        table.insert(0, "class", labels)
        table.insert(0, "level", level)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def fold_table(summary: dict[str, Any]) -> pd.DataFrame:
    """Fold, seed, and the main figures at both levels, as the summary holds them."""
    return pd.DataFrame(
        {
            "test fold": entry["fold"],
            "seed": entry["seed"],
            "clip accuracy": entry["clip"]["accuracy"],
            "clip macro-F1": entry["clip"]["macro_f1"],
            "segment accuracy": entry["segment"]["accuracy"],
            "segment macro-F1": entry["segment"]["macro_f1"],
        }
        for entry in summary["folds"]
    )
