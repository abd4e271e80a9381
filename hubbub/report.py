"""Runs to figures and tables.

Everything here is made from the files of a run folder, so it can be made again, and a resumed run ends with the same
figures as one that was never stopped. This room does not know how a page shows them.
"""

import math
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hubbub import files, metrics, windows
from hubbub.confidence import UNKNOWN, Confidence, Unknown, familiarity
from hubbub.recipe import Recipe
from hubbub.run_folder import ReportError, cells, read_json, read_predictions, threads

__all__ = [
    "LEVELS",
    "NAMES",
    "STRANGERS",
    "ReportError",
    "arrays",
    "cells",
    "classes",
    "confidence",
    "fold_table",
    "goals",
    "predictions",
    "read_json",
    "summarise",
    "threads",
    "untempered",
    "verify",
]


Scores = npt.NDArray[np.float32]
Targets = npt.NDArray[np.int64]
LEVELS = ("clip", "segment")
#: A cell's predictions of test clips whose classes are held out.
STRANGERS = "predictions_unknown.parquet"
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
#: System A's goals and the recipes that pursue them.
GOALS = {
    "A1": "us8k-yamnet-lgbm",
    "A1-V5": "us8k-yamnet-ensemble",
    "A2": "us8k-esresnext",
    "A3": "us8k-audioclip",
}
_GOAL_ROWS = [
    *("run", "segment accuracy", "segment macro-F1", "clip accuracy", "clip macro-F1", "segments a second"),
    *("seconds of training", "best epoch", "trainable parameters", "GPU needed", "read first"),
]


def predictions(folder: Path) -> pd.DataFrame:
    """All test predictions of a run, `level` telling clips from segments; the index levels are `fold` and `seed`."""
    tables = {(fold, seed): read_predictions(place / "predictions.parquet") for fold, seed, place in cells(folder)}
    return pd.concat(tables, names=["fold", "seed", "row"])


def confidence(place: Path) -> Confidence:
    """How sure the classifier of a cell may be; a run made before there were temperatures has none."""
    return Confidence(**read_json(place / "metrics_test.json").get("confidence", {}))


def untempered(folder: Path, predicted: pd.DataFrame) -> pd.DataFrame:
    """The predictions of a run as they would have been without temperatures."""
    _, scores, labels = arrays(predicted)
    scores = scores.copy()
    folds, seeds = (predicted.index.get_level_values(key) for key in ("fold", "seed"))
    for fold, seed, place in cells(folder):
        found = confidence(place)
        for level in LEVELS:
            rows = (folds == fold) & (seeds == seed) & (predicted["level"] == level).to_numpy()
            scores[rows] = windows.temper(scores[rows], 1 / getattr(found, level))
    facts = predicted.drop(columns=list(labels))
    return facts.join(pd.DataFrame(scores, columns=list(labels), index=predicted.index))


def arrays(predicted: pd.DataFrame) -> tuple[Targets, Scores, tuple[str, ...]]:
    """Targets, scores and labels of a predictions table: the classes are the columns after `end`."""
    labels = tuple(predicted.columns[list(predicted.columns).index("end") + 1 :])
    targets = pd.Categorical(predicted["label"], categories=list(labels)).codes.astype(np.int64)
    return targets, predicted[list(labels)].to_numpy(), labels


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
        levels = {level: metrics.evaluate(*arrays(own[own["level"] == level])[:2]) for level in LEVELS}
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
    pooled = [metrics.evaluate(targets[at], scores[at]) for at in by_seed]
    intervals = metrics.bootstrap(targets, scores, rows["group"], recipe.evaluate.resamples)
    return metrics.aggregate([{"fold": e["fold"], "seed": e["seed"], **e[level]} for e in entries], pooled, intervals)


def _calibration(predicted: pd.DataFrame, raw: pd.DataFrame) -> dict[str, Any]:
    """Calibration error and log loss at both levels over all test predictions, and `raw`, without temperatures."""
    return {level: _sureness(predicted, level) | {"raw": _sureness(raw, level)} for level in LEVELS}


def _sureness(predicted: pd.DataFrame, level: str) -> dict[str, Any]:
    targets, scores, _ = arrays(predicted[predicted["level"] == level])
    error, loss = metrics.calibration(targets, scores).error, metrics.evaluate(targets, scores)["log_loss"]
    return {"error": error, "log_loss": loss}


def _unknown(folder: Path, recipe: Recipe) -> dict[str, Any] | None:
    """How well known test clips are told from those of held-out classes: mean and sd over folds, seeds averaged first;
    None where no class is held out. `at_threshold` is where validation put the threshold."""
    folds, rows, clips = [], [], set[str]()
    for fold, _, place in cells(folder):
        if not (place / STRANGERS).is_file():
            continue
        strange, threshold = read_predictions(place / STRANGERS), confidence(place).threshold
        own = read_predictions(place / "predictions.parquet")
        figures: dict[tuple[str, str], float] = {}
        for how in UNKNOWN:
            known, unknown = _familiar(own, how), _familiar(strange, how)
            figures |= {(how, name): value for name, value in metrics.detection(known, unknown).items()}
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
        table = pd.DataFrame(metrics.per_class(targets, scores))
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


def goals(runs: Path) -> pd.DataFrame:
    """System A's comparison table from the run folders in `runs`: a column a goal, a row a fact, all as text.

    A goal whose recipe has no finished run there says how to run it; a quick run stands in for a full one, marked.
    """
    return pd.DataFrame({goal: _goal(runs, recipe) for goal, recipe in GOALS.items()})


def _goal(runs: Path, recipe: str) -> pd.Series:
    done = [runs / name for name in (recipe, f"{recipe}-quick") if (runs / name / "summary.json").is_file()]
    if not done:
        return pd.Series({"run": f"not yet: hubbub bench {recipe}"}, index=_GOAL_ROWS).fillna("-")
    summary, settings = read_json(done[0] / "summary.json"), Recipe.load(done[0] / "recipe.toml")
    test = read_json(next(done[0].glob("test-*/seed-*/metrics_test.json")))
    facts = {
        f"{level} {NAMES[metric]}": f"{summary[level][metric]['mean']:.4f}"
        for level in ("segment", "clip")
        for metric in ("accuracy", "macro_f1")
    }
    trained, epoch = test.get("trainable_parameters"), test["choice"].get("epoch")
    fine_tuned = settings.head.name == "none" and settings.network.mode == "finetune"
    facts |= {
        "run": done[0].name,
        "segments a second": f"{summary['segments_per_second']:,.0f}",
        "seconds of training": f"{summary['seconds']['fit']:,.0f}",
        "best epoch": "-" if epoch is None else str(epoch),
        "trainable parameters": "-" if trained is None else f"{trained:,}",
        "GPU needed": "yes" if fine_tuned else "no",
        "read first": "; ".join(reason.partition(":")[0] for reason in summary["why_not_comparable"]),
    }
    return pd.Series(facts, index=_GOAL_ROWS)
