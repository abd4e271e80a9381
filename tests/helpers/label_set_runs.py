"""Run folders of clips with label sets, whose truth and scores are known: as a finished run leaves them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hubbub.config.recipe import Recipe
from hubbub.report import run_folder
from hubbub.report.summary import summarise

__all__ = ["LABELS", "clip_table", "predictions", "write_label_set_run"]

LABELS = ("Rain", "Wind", "<i>Siren</i>", "Dog")
PROTOCOL = "3 folds, each the test part once; test opened once"


def clip_table(
    clips: int = 240, labels: Sequence[str] = LABELS, folds: int = 3, shares: Sequence[float] | None = None
) -> pd.DataFrame:
    """Clips, two of each recording, recordings dealt out to folds; each class is held by its share of the clips, and in
    a tenth of the clips nobody annotated it."""
    rng, recording = np.random.default_rng(7), np.arange(clips) // 2
    given = np.linspace(0.5, 0.1, len(labels)) if shares is None else np.asarray(shares)
    held = rng.random((clips, len(labels))) < given
    unknown = rng.random(held.shape) < 0.1
    table = pd.DataFrame(
        {
            "clip": [f"c{k:04d}" for k in range(clips)],
            "group": [f"r{r}" for r in recording],
            "fold": (recording % folds + 1).astype(str),
            "labels": [[labels[k] for k in np.flatnonzero(row)] for row in held & ~unknown],
            "unknown": [[labels[k] for k in np.flatnonzero(row)] for row in unknown],
        }
    )
    return table.assign(label=table["labels"].map(lambda names: "; ".join(names) or "(none)"))


def predictions(
    clips: pd.DataFrame, labels: Sequence[str], skill: float, rng: np.random.Generator, level: str
) -> pd.DataFrame:
    """Predictions whose logits are `skill` higher where the class is held."""
    held = np.array([[label in names for label in labels] for names in clips["labels"]])
    logits = rng.normal(-1, 1, held.shape) + skill * held
    facts = clips[["clip", "group", "label", "labels", "unknown"]].reset_index(drop=True).assign(start=0.0, end=1.0)
    facts.insert(1, "level", level)
    scores = (1 / (1 + np.exp(-logits))).astype(np.float32)
    return pd.concat([facts, pd.DataFrame(scores, columns=list(labels))], axis=1)


def write_label_set_run(
    folder: Path,
    skill: float = 2.0,
    seeds: Sequence[int] = (1,),
    clips: pd.DataFrame | None = None,
    labels: Sequence[str] = LABELS,
    thresholds: npt.ArrayLike | None = None,
    **environment: Any,
) -> Path:
    """A finished run. `thresholds` are those of clips; those of segments are half as high. Without any there was no
    validation part, and the scores are not calibrated."""
    table = clip_table(labels=labels) if clips is None else clips
    recipe = Recipe.load("street-cnn", [f"train.seeds={list(seeds)}"])
    data = {"name": "sounds", "clips": len(table), "warnings": [], "manifest": "a" * 64}
    facts = {"data": data, "protocol": PROTOCOL, "test_folds": sorted(table["fold"].unique()), "why_not_comparable": []}
    folder.mkdir(parents=True)
    (folder / "recipe.toml").write_text(recipe.to_toml())
    (folder / "environment.json").write_text(json.dumps(facts | environment))
    confidence = {} if thresholds is None else calibration(np.asarray(thresholds))
    for number, (fold, seed, cell) in enumerate(run_folder.cells(folder)):
        cell.mkdir(parents=True)
        rng, own = np.random.default_rng([number, seed]), table[table["fold"] == fold]
        levels = [
            predictions(rows, labels, skill, rng, level)
            for level, rows in (("segment", own.loc[own.index.repeat(2)]), ("clip", own))
        ]
        pd.concat(levels, ignore_index=True).to_parquet(cell / "predictions.parquet")
        (cell / "metrics_throughput.json").write_text('{"segments_per_second": 9.0}')
        about = {"choice": {}, "clips": len(own), "test_opened": "2026-01-31T12:34:56+00:00", "confidence": confidence}
        (cell / "metrics_test.json").write_text(json.dumps(about | {"seconds": {"fit": 1.0, "predict": 1.0}}))
    summarise(folder)
    return folder


def calibration(thresholds: npt.NDArray[np.float64]) -> dict[str, Any]:
    scaling = [[2.0, 0.5]] * len(thresholds)
    return {"segment": scaling, "clip": scaling, "clips": thresholds.tolist(), "events": (thresholds / 2).tolist()}
