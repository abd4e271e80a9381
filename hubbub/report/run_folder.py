"""A run folder: where its files lie, and reading them so that a damaged one is named.

The files are those that `cell`, `steps` and `report` write. This room computes nothing from them.
"""

import json
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from hubbub.classifier import pooling
from hubbub.classifier.calibration import Confidence
from hubbub.config.recipe import Recipe, RecipeError
from hubbub.errors import HubbubError
from hubbub.runtime.names import name_problem, safe_name

__all__ = [
    "DONE",
    "LEVELS",
    "ReportError",
    "UNKNOWN_ROWS",
    "arrays",
    "cells",
    "confidence",
    "damaged",
    "fold_names",
    "place_of",
    "predictions",
    "read_choices",
    "read_history",
    "read_json",
    "read_predictions",
    "run_name",
    "threads",
    "untempered",
]

#: The last file of a cell: it marks the cell done.
DONE = "metrics_test.json"
_FACTS = ("clip", "level", "group", "label", "start", "end")


class ReportError(HubbubError):
    """A run folder that is not whole."""


class _Content(BaseModel):
    """What must be in a JSON file for others to read it; more may be there."""

    model_config = ConfigDict(extra="allow")


class _Figures(_Content):
    mean: float | None
    sd: float | None
    pooled: float | None = None
    ci95: tuple[float, float] | None = None


class _Mean(_Figures):
    mean: float


class _Level(_Content):
    accuracy: _Mean
    balanced_accuracy: _Figures
    macro_f1: _Mean
    top3: _Figures
    roc_auc: _Figures
    log_loss: _Figures


class _Seconds(_Content):
    fit: float
    predict: float


class _AtThreshold(_Content):
    known_kept: _Mean
    unknown_passed: _Mean


class _Unknown(_Content):
    by: str
    clips: int
    classes: list[str]
    max_logit: dict[str, _Mean]
    energy: dict[str, _Mean]
    max_prob: dict[str, _Mean]
    at_threshold: _AtThreshold | None = None


class _Fold(_Content):
    fold: str
    seed: int
    clip: dict[str, float | None]
    segment: dict[str, float | None]


class _Summary(_Content):
    recipe: str
    protocol: str
    comparable: bool
    why_not_comparable: list[str]
    clips: int
    segments: int
    folds: list[_Fold]
    clip: _Level
    segment: _Level
    unknown: _Unknown | None = None
    seconds: _Seconds
    segments_per_second: float


class _Data(_Content):
    name: str
    clips: int
    warnings: list[str]
    manifest: str


class _Environment(_Content):
    machine: dict[str, Any] = {}
    data: _Data
    weights: dict[str, str] = {}
    protocol: str
    test_folds: list[str] = Field(min_length=1)
    why_not_comparable: list[str]


class _Confidence(BaseModel):
    model_config = ConfigDict(extra="forbid")

    segment: float = Field(default=1, gt=0)
    clip: float = Field(default=1, gt=0)
    threshold: float | None = None


class _Test(_Content):
    choice: dict[str, Any]
    clips: int
    trainable_parameters: int | None = None
    test_opened: datetime
    seconds: _Seconds
    confidence: _Confidence = _Confidence()
    threads: list[int] = []


class _Throughput(_Content):
    segments_per_second: float


_CONTENTS: dict[str, TypeAdapter[Any]] = {
    "summary.json": TypeAdapter(_Summary),
    "environment.json": TypeAdapter(_Environment),
    DONE: TypeAdapter(_Test),
    "metrics_throughput.json": TypeAdapter(_Throughput),
    "samples.json": TypeAdapter(list[dict[str, Any]]),
}


def place_of(folder: Path, fold: str, seed: int) -> Path:
    """Where in a run folder a cell writes."""
    name, *before = fold_names(fold)
    if before and not (folder / name).is_dir() and (folder / before[0]).is_dir():
        name = before[0]
    return folder / name / f"seed-{seed}"


def fold_names(fold: str) -> tuple[str, ...]:
    """What the folder of a test fold is called, and what earlier versions called it where that is one name."""
    name, before = f"test-{safe_name(fold)}", f"test-{fold}"
    one_name = not {"/", "\\", "\0"} & set(before) and len(os.fsencode(before)) <= 255
    return (name, before) if one_name and before != name else (name,)


def run_name(name: str, quick: bool = False, given: str | None = None, ending: str = "") -> str:
    """What the run folder of a recipe or suite is called: as `given`, else by its name or file, its reduced form with
    a name of its own, and `ending`. Raises `RecipeError` for what cannot be a folder's name on every system."""
    if given is not None:
        if flaw := name_problem(given):
            raise RecipeError(
                f"--name {given!r} cannot name a folder: {flaw}. Give letters, digits, dots and dashes; --out says "
                "which folder it lies in."
            )
        return given
    found = Path(name).stem + ("-quick" if quick else "") + ending
    if flaw := name_problem(found):
        raise RecipeError(f"{name!r} cannot name the run's folder: {flaw}. Give --name, or rename the file.")
    return found


def cells(folder: Path) -> list[tuple[str, int, Path]]:
    """Test fold, seed and folder of each cell of a run, in the run's order."""
    seeds = Recipe.load(folder / "recipe.toml").train.seeds
    folds = read_json(folder / "environment.json")["test_folds"]
    return [(fold, seed, place_of(folder, fold, seed)) for fold in folds for seed in seeds]


def threads(folder: Path) -> list[dict[str, Any]]:
    """Fold, seed, and the numbers of processor threads that each cell's network was trained with: several where the
    training was resumed with another. None for heads, on accelerators, and for runs that do not say."""
    found = [(fold, seed, read_json(place / DONE).get("threads", [])) for fold, seed, place in cells(folder)]
    return [{"fold": fold, "seed": seed, "threads": counts} for fold, seed, counts in found if counts]


def read_json(path: Path) -> Any:
    """A JSON file's content. Raises `ReportError` where it cannot be read, or lacks what such a file holds."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if model := _CONTENTS.get(path.name):
            model.validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise damaged(path, f"{where}: {first['msg']}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(path, error) from error
    return content


def read_choices(places: Sequence[Path]) -> list[dict[str, Any]]:
    """What validation decided in each of some cells."""
    return [read_json(place / DONE)["choice"] for place in places]


def read_predictions(path: Path) -> pd.DataFrame:
    """A cell's predictions. Raises `ReportError` where they cannot be read."""
    try:
        table = pd.read_parquet(path).reset_index(drop=True)
    except (OSError, ValueError, KeyError) as error:  # pyarrow's errors are ValueErrors, KeyErrors and OSErrors
        raise damaged(path, error) from error
    if missing := [name for name in _FACTS if name not in table.columns]:
        raise damaged(path, f"it has no column {missing[0]}")
    return table


def read_history(path: Path) -> pd.DataFrame:
    """The losses and figures of a training, by epoch. Raises `ReportError` where they cannot be read."""
    try:
        return pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise damaged(path, error) from error


def damaged(path: Path, why: object) -> ReportError:
    """The error that names a file of a run folder, what is wrong with it, and what to do."""
    said = (why.strerror if isinstance(why, OSError) else None) or " ".join(str(why).split()).rstrip(".")
    if path.name == "summary.json":
        then = "The hubbub bench that made the run writes it again, from the cells that are done"
    elif path.name == "environment.json":
        then = "It says what the run was made from: put a copy of it there, or run it again under another --name"
    elif path.parent.name.startswith("seed-"):
        then = f"Remove {path.parent}, and the hubbub bench that made the run makes this cell again"
    else:
        then = f"Remove {path.parent}, and the hubbub bench that made the run writes it again"
    return ReportError(f"{path} is damaged or missing ({said}). {then}.")


Scores = npt.NDArray[np.float32]


Targets = npt.NDArray[np.int64]


LEVELS = ("clip", "segment")


#: A cell's predictions of test clips whose classes are held out.
UNKNOWN_ROWS = "predictions_unknown.parquet"


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
            scores[rows] = pooling.apply_temperature(scores[rows], 1 / getattr(found, level))
    facts = predicted.drop(columns=list(labels))
    return facts.join(pd.DataFrame(scores, columns=list(labels), index=predicted.index))


def arrays(predicted: pd.DataFrame) -> tuple[Targets, Scores, tuple[str, ...]]:
    """Targets, scores and labels of a predictions table: the classes are the columns after `end`."""
    labels = tuple(predicted.columns[list(predicted.columns).index("end") + 1 :])
    targets = pd.Categorical(predicted["label"], categories=list(labels)).codes.astype(np.int64)
    return targets, predicted[list(labels)].to_numpy(), labels
