"""The layout of a run folder: every path, reader, writer and mark of completion.

A run folder holds the recipe, the environment, one folder for each cell (`test-FOLD/seed-SEED`), and what all cells
give together: summary, page, plots, gallery and classifier. This module computes no figures.
"""

import os
from pathlib import Path
from typing import Any

import pandas as pd

from hubbub.classifier.base import SAVED_IN
from hubbub.classifier.calibration import Confidence
from hubbub.config.recipe import RECIPE, Recipe, RecipeError
from hubbub.data.findings import DataCheck
from hubbub.report.reading import (
    DATA_CHECK,
    ENVIRONMENT,
    FORMAT,
    SUMMARY,
    ReportError,
    damaged,
    read_json,
    read_table,
    refuse_other_format,
)
from hubbub.report.results import CellResult, Environment, Summary, Threads, Throughput, ValidationResult
from hubbub.runtime import files
from hubbub.runtime.names import name_problem, safe_name

__all__ = [
    *("DEFINING", "LEFTOVERS", "OF_ALL_CELLS", "PREDICTIONS", "SAMPLES", "SHARED", "events_folder"),
    *("belongs_to_a_cell", "calibration_of", "cell_folder", "cells", "class_table_file", "classifier_folder"),
    *("damaged_summary", "finished_runs", "fold_names", "gallery_folder", "has_checkpoint", "is_begun"),
    *("is_checkpoint", "is_done"),
    *("is_finished", "marks_done", "missing_file", "missing_predictions", "page_file", "plot_file", "predictions"),
    *("read_data_check", "read_environment", "read_history", "read_predictions", "read_recipe", "read_result"),
    *("read_samples", "read_summary", "read_throughput", "read_unknown_predictions", "recipe_text", "refit_folder"),
    *("result_files",),
    *("run_name", "run_of", "threads", "write_data_check", "write_environment", "write_history", "write_predictions"),
    *("write_recipe", "write_result", "write_summary", "write_throughput"),
    *("read_learning_curve", "read_validation", "remove_learning_curve", "write_learning_curve"),
]

# Of a run.
_PAGE = "report.html"
_LEARNING_CURVE = "learning_curve.csv"
#: Folders of a run: sample clips with explanations, how well events were found, the training of the final classifier.
GALLERY, EVENTS, _REFIT = "gradcam", "events", "refit"
#: The list of what the gallery shows; it marks the gallery whole.
SAMPLES = "samples.json"
# Of a cell. The test result is written last and marks the cell done.
_TEST, _VALIDATION, _THROUGHPUT = "metrics_test.json", "metrics_val.json", "metrics_throughput.json"
PREDICTIONS, _UNKNOWN, _HISTORY = "predictions.parquet", "predictions_unknown.parquet", "history.csv"
#: The folder that `train` writes checkpoints to.
_CHECKPOINTS = "checkpoints"

#: Files that define a run. All machines that work on it need them.
DEFINING = (RECIPE, ENVIRONMENT)
#: Folders of a run that depend on all its cells. They are removed before a cell is run again.
OF_ALL_CELLS = (GALLERY, EVENTS, SAVED_IN, _REFIT)
#: A file by which machines of a cluster see that they share the run folder.
SHARED = ".shared"
#: What an interrupted start may leave in a folder that is no run yet.
LEFTOVERS = (ENVIRONMENT, DATA_CHECK, SHARED)
#: Columns of every predictions table; the classes follow.
_FACTS = ("clip", "level", "group", "label", "start", "end")


def run_name(name: str, quick: bool = False, given: str | None = None, ending: str = "") -> str:
    """The name of a recipe's or suite's run folder: `given`, else the recipe's name or file, `-quick`, and `ending`.

    Raises `RecipeError` for a name that is not valid for a folder on every system.
    """
    if given is not None:
        if flaw := name_problem(given):
            raise RecipeError(
                f"--name {given!r} cannot name a folder: {flaw}. Use letters, digits, dots and dashes; --out sets the "
                "parent folder."
            )
        return given
    found = Path(name).stem + ("-quick" if quick else "") + ending
    if flaw := name_problem(found):
        raise RecipeError(f"{name!r} cannot name the run's folder: {flaw}. Give --name, or rename the file.")
    return found


def fold_names(fold: str) -> tuple[str, ...]:
    """The folder name of a test fold, then the name that earlier versions used, if it differs and is a valid name."""
    name, before = f"test-{safe_name(fold)}", f"test-{fold}"
    one_name = not {"/", "\\", "\0"} & set(before) and len(os.fsencode(before)) <= 255
    return (name, before) if one_name and before != name else (name,)


def cell_folder(folder: Path, fold: str, seed: int) -> Path:
    """The folder of a cell in a run folder."""
    name, *before = fold_names(fold)
    if before and not (folder / name).is_dir() and (folder / before[0]).is_dir():
        name = before[0]
    return folder / name / f"seed-{seed}"


def run_of(place: Path) -> Path:
    """The run folder of a cell's folder."""
    return place.parents[1]


def cells(folder: Path) -> list[tuple[str, int, Path]]:
    """Test fold, seed and folder of each cell of a run, in the run's order."""
    seeds = read_recipe(folder).train.seeds
    folds = read_environment(folder).test_folds
    return [(fold, seed, cell_folder(folder, fold, seed)) for fold in folds for seed in seeds]


def belongs_to_a_cell(path: str) -> bool:
    """Whether a file of a run, by its relative path, lies in the folder of a cell."""
    return path.startswith("test-")


def is_checkpoint(path: str) -> bool:
    """Whether a file of a run, by its relative path, is a checkpoint."""
    return _CHECKPOINTS in path.split("/")[:-1]


def marks_done(path: str | Path) -> bool:
    """Whether a file marks a cell done. Such a file is copied last."""
    return Path(path).name == _TEST


def is_begun(folder: Path) -> bool:
    """Whether a folder holds a run, finished or not."""
    return os.path.isfile(folder / RECIPE)


def is_finished(folder: Path) -> bool:
    """Whether a run has its summary."""
    return os.path.isfile(folder / SUMMARY)


def finished_runs(folder: Path) -> list[Path]:
    """A finished run itself, or the finished runs in a folder such as a suite's, by name."""
    if is_finished(folder):
        return [folder]
    return sorted(path.parent for path in folder.glob(f"*/{SUMMARY}")) if os.path.isdir(folder) else []


def result_files(folder: Path) -> list[Path]:
    """The page, tables, pictures and figures of a run or a cell, and a run's classifier and gallery: what others want
    to see of it."""
    names = (_PAGE, SUMMARY, RECIPE, ENVIRONMENT, _TEST, _VALIDATION, _THROUGHPUT)
    found = [folder / name for name in names] + sorted([*folder.glob("*.png"), *folder.glob("*.csv")])
    whole = [folder / name for name in (GALLERY, SAVED_IN)] if is_begun(folder) else []
    return [path for path in (*found, *whole) if path.exists()]


def has_checkpoint(place: Path) -> bool:
    """Whether a cell has a training that can be resumed."""
    return (place / _CHECKPOINTS / "last.ckpt").is_file()


def is_done(place: Path) -> bool:
    """Whether a cell has been run to its end."""
    return (place / _TEST).is_file()


def missing_file(folder: Path) -> str | None:
    """The first file that a finished run has and this folder lacks."""
    names = (SUMMARY, ENVIRONMENT, RECIPE)
    return next((name for name in names if not os.path.isfile(folder / name)), None)


def missing_predictions(folder: Path) -> Path | None:
    """The first cell's predictions file that is missing."""
    found = (place / PREDICTIONS for _, _, place in cells(folder))
    return next((path for path in found if not path.is_file()), None)


def page_file(folder: Path) -> Path:
    """The run's page."""
    return folder / _PAGE


def plot_file(folder: Path, name: str) -> Path:
    """A plot of a run or of a cell."""
    return folder / f"{name}.png"


def class_table_file(place: Path, part: str) -> Path:
    """The table of a cell's figures by class, of its `val` or `test` part."""
    return place / f"classification_report_{part}.csv"


def classifier_folder(folder: Path) -> Path:
    """The saved classifier of a run or of a cell."""
    return folder / SAVED_IN


def refit_folder(folder: Path) -> Path:
    """The training of a run's final classifier."""
    return folder / _REFIT


def gallery_folder(folder: Path) -> Path:
    """The sample clips of a run."""
    return folder / GALLERY


def events_folder(folder: Path) -> Path:
    """The folder that says how well a run found events."""
    return folder / EVENTS


def read_recipe(folder: Path) -> Recipe:
    """The recipe of a run. Raises `RecipeError`, and `ReportError` for a run of another format."""
    refuse_other_format(folder)
    return Recipe.load(folder / RECIPE)


def recipe_text(folder: Path) -> str:
    """The text of a run's recipe file."""
    return (folder / RECIPE).read_bytes().decode("utf-8", "replace")


def write_recipe(folder: Path, recipe: str) -> None:
    """Writes the recipe, which marks the run as begun: after the environment."""
    files.write_text(folder / RECIPE, recipe)


def read_environment(folder: Path) -> Environment:
    """The environment of a run. Raises `ReportError`."""
    refuse_other_format(folder)
    return read_json(folder / ENVIRONMENT, Environment)


def write_environment(folder: Path, environment: Environment) -> None:
    """Writes the environment of a run, and the format of its folder."""
    files.write_json(folder / ENVIRONMENT, {"format": FORMAT} | environment.as_json())


def read_data_check(folder: Path) -> DataCheck | None:
    """What was found in the data of a run; None where they were not checked. Raises `ReportError`."""
    return read_json(path, DataCheck) if (path := folder / DATA_CHECK).is_file() else None


def write_data_check(folder: Path, check: DataCheck) -> None:
    """Writes what was found in the data of a run."""
    files.write_json(folder / DATA_CHECK, check.model_dump(mode="json"))


def read_summary(folder: Path) -> Summary:
    """The summary of a run. Raises `ReportError`."""
    refuse_other_format(folder)
    return read_json(folder / SUMMARY, Summary)


def write_summary(folder: Path, summary: Summary) -> None:
    """Writes the summary of a run."""
    files.write_json(folder / SUMMARY, summary.as_json())


def damaged_summary(folder: Path, why: str) -> ReportError:
    """The error for a summary that contradicts the other files of its run."""
    return damaged(folder / SUMMARY, why)


def read_samples(folder: Path) -> list[dict[str, Any]]:
    """The list of the gallery's sample clips; none where there is no list. Raises `ReportError`."""
    return read_json(path, list[dict[str, Any]]) if (path := folder / GALLERY / SAMPLES).is_file() else []


def threads(folder: Path) -> list[Threads]:
    """The numbers of processor threads that each cell's network was trained with: several for a resumed training.

    Heads, trainings on accelerators and runs of versions that did not record them have none.
    """
    found = [(fold, seed, read_result(place).threads) for fold, seed, place in cells(folder)]
    return [Threads(fold=fold, seed=seed, threads=counts) for fold, seed, counts in found if counts]


def predictions(folder: Path) -> pd.DataFrame:
    """All test predictions of a run, clips and segments (`level`); the index levels are `fold` and `seed`."""
    tables = {(fold, seed): read_predictions(place) for fold, seed, place in cells(folder)}
    return pd.concat(tables, names=["fold", "seed", "row"])


def read_result(place: Path) -> CellResult:
    """The test result of a cell. Raises `ReportError`."""
    return read_json(place / _TEST, CellResult)


def read_validation(place: Path) -> ValidationResult:
    """The validation result of a cell. Raises `ReportError`."""
    return read_json(place / _VALIDATION, ValidationResult)


def write_result(place: Path, result: CellResult | ValidationResult) -> None:
    """Writes the result of a cell on one part. The test result marks the cell done: it is written last."""
    name = _TEST if isinstance(result, CellResult) else _VALIDATION
    files.write_json(place / name, result.as_json())


def calibration_of(place: Path) -> Confidence:
    """The calibration of a cell's classifier; the identity for runs made before there were temperatures."""
    stored = read_result(place).confidence
    return Confidence(**dict(stored))


def read_throughput(place: Path) -> Throughput:
    """The speed of a cell's classifier. Raises `ReportError`."""
    return read_json(place / _THROUGHPUT, Throughput)


def write_throughput(place: Path, throughput: Throughput) -> None:
    """Writes the speed of a cell's classifier."""
    files.write_json(place / _THROUGHPUT, throughput.as_json())


def read_predictions(place: Path) -> pd.DataFrame:
    """The test predictions of a cell. Raises `ReportError`."""
    return read_table(place / PREDICTIONS, _FACTS)


def read_unknown_predictions(place: Path) -> pd.DataFrame | None:
    """A cell's predictions of test clips of held-out classes; None where no class is held out. Raises `ReportError`."""
    return read_table(place / _UNKNOWN, _FACTS) if (place / _UNKNOWN).is_file() else None


def write_predictions(place: Path, table: pd.DataFrame, *, unknown: bool = False) -> None:
    """Writes a cell's predictions of its test clips or, with `unknown`, of those of held-out classes."""
    with files.whole_file(place / (_UNKNOWN if unknown else PREDICTIONS)) as temporary:
        table.to_parquet(temporary, index=False)


def read_history(place: Path) -> pd.DataFrame | None:
    """Losses and figures of a training by epoch; None for a head. Raises `ReportError`."""
    return read_table(place / _HISTORY) if (place / _HISTORY).is_file() else None


def write_history(place: Path, history: pd.DataFrame) -> None:
    """Writes losses and figures of a training by epoch."""
    files.write_csv(place / _HISTORY, history)


def read_learning_curve(folder: Path) -> pd.DataFrame | None:
    """Validation figures by the number of training recordings; None where there are none. Raises `ReportError`."""
    path = folder / _LEARNING_CURVE
    return read_table(path) if path.is_file() else None


def remove_learning_curve(folder: Path) -> None:
    """Removes the learning curve of a run whose cells are tested again."""
    (folder / _LEARNING_CURVE).unlink(missing_ok=True)


def write_learning_curve(folder: Path, table: pd.DataFrame) -> None:
    """Writes the validation figures by the number of training recordings."""
    files.write_csv(folder / _LEARNING_CURVE, table)
