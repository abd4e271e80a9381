"""Scores the predictions of any program by the protocol of a data set: the same figures, intervals, page and
comparison as for a run of hubbub's own.

The run folder has no classifier, no times and no training settings, as hubbub trained nothing.
"""

import hashlib
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tomli_w

from hubbub.classifier import event_thresholds
from hubbub.config.data import Data
from hubbub.config.recipe import RECIPE, Recipe
from hubbub.config.run_options import common_settings
from hubbub.config.titles import data_title
from hubbub.data.clips import Clips
from hubbub.data.open import clip_settings, data_recipe, open_clips
from hubbub.data.predictions import Predictions, PredictionsError, match_predictions, read_predictions
from hubbub.errors import HubbubError, count, examples
from hubbub.experiment.bench import print_line
from hubbub.experiment.cell_files import draw_decisions
from hubbub.experiment.prepare import Log
from hubbub.experiment.provenance import data_facts
from hubbub.report import run_folder
from hubbub.report.class_report import per_class_table
from hubbub.report.page import write_page
from hubbub.report.results import LEVELS, CellResult, Environment, Scored
from hubbub.report.run import Run
from hubbub.report.summary import as_arrays, evaluate, summarise
from hubbub.runtime import files
from hubbub.runtime.escape import escape_table
from hubbub.runtime.names import colliding_names

__all__ = ["ScoreError", "score", "score_predictions"]

ELSEWHERE = (
    "PREDICTIONS FROM ELSEWHERE: hubbub did not train this model and cannot know that each test clip was unseen in "
    "training"
)


class ScoreError(HubbubError):
    """Predictions that cannot be scored into this folder."""


def score(
    predictions: str | Path | pd.DataFrame,
    data: str | Path,
    *,
    logits: bool = False,
    group: str | None = None,
    allow_missing: bool = False,
    settings: Mapping[str, Any] | None = None,
    out: str | Path = "runs",
    name: str | None = None,
    quiet: bool = False,
) -> Run:
    """Scores predictions of a data set, and returns them as a finished `Run`.

    `predictions` is a table, or a CSV, parquet or JSON-lines file: one row a clip or segment, with a column `clip` (its
    id, file name or path) and either a column `prediction` (a class) or one column of probabilities a class. Columns
    `start` and `end` [s] make rows segments; `fold` and `seed` are optional. `data` is a known data set, a table of
    files and labels, or a folder. `group` says which clips are of one recording, as in `hubbub.train`; `settings` says
    how the data are read, e.g. `{"data.root": "sounds", "data.columns": {"path": "file"}}`. The run's folder is
    `out`/`name`, by default the file's name. Raises `PredictionsError` for anything unknown, missing or given twice.
    """
    given = common_settings(settings, None, None, None, False, False)
    opened = data_recipe(str(data), [*clip_settings(group, allow_missing=allow_missing), *given])
    return score_predictions(predictions, opened, logits=logits, out=out, name=name, quiet=quiet)


def score_predictions(
    predictions: str | Path | pd.DataFrame,
    data: Recipe,
    *,
    logits: bool = False,
    out: str | Path = "runs",
    name: str | None = None,
    quiet: bool = False,
) -> Run:
    """`score` for the data of a recipe (`open.data_recipe`)."""
    if isinstance(predictions, pd.DataFrame):
        if name is None:
            raise ScoreError("a table has no file name to call the run's folder by. Give name=, e.g. name='theirs'.")
        table, source = predictions, "a table in memory"
        digest = hashlib.sha256(table.to_csv(index=False).encode()).hexdigest()
    else:
        table, source = read_predictions(Path(predictions)), Path(predictions).name
        digest = files.sha256(predictions)
    folder = Path(out) / run_folder.run_name(source, given=name)
    _refuse_trained(folder)
    clips = open_clips(data)
    found = match_predictions(
        table, clips, logits=logits, allow_missing=data.data.allow_missing, overlap=data.data.overlap
    )
    log: Log = (lambda line: None) if quiet else print_line
    log(_understood(found, clips))
    for line in (*found.remarks, *(f"warning: {note}" for note in (*found.notes, *clips.notes))):
        log(line)
    with files.whole_folder(folder, RECIPE) as place:
        _write(place, found, clips, data.data, Scored(file=source, sha256=digest, labels_alone=found.labels_alone))
    return Run(folder)


def _refuse_trained(folder: Path) -> None:
    """Raises `ScoreError` for a folder that holds a run that hubbub trained: only scored predictions are replaced."""
    if run_folder.is_begun(folder) and run_folder.read_environment(folder).scored is None:
        raise ScoreError(
            f"{folder} holds a run that hubbub trained, which is not replaced. Give another --name (name=)."
        )


def _understood(found: Predictions, clips: Clips) -> str:
    """What the table was taken for, in one line."""
    table = found.table
    segments = int((table["level"] == "segment").sum())
    folds = examples(dict.fromkeys(table["fold"]), 10)
    return (
        f"{clips.name}: {table['clip'].nunique():,} of {len(clips):,} clips, {count(segments, 'segment')}, "
        f"{'a label' if found.labels_alone else 'probabilities'} each, {count(len(clips.labels), 'class', 'classes')}, "
        f"{count(table['seed'].nunique(), 'seed')}, test folds {folds}"
    )


def _write(place: Path, found: Predictions, clips: Clips, data: Data, scored: Scored) -> None:
    """Writes the run's folder: what it is, its cells, the summary and the page."""
    table = found.table
    named = dict.fromkeys(table["fold"])
    folds = [fold for fold in clips.folds if fold in named] if found.folds == "data" else list(named)
    seeds = list(dict.fromkeys(table["seed"]))
    if alike := colliding_names(folds):
        raise PredictionsError(f"the folds {alike[0]!r} and {alike[1]!r} differ only in case. Write them alike.")
    of_sets = {"multilabel": True} if clips.multilabel else {}
    settings = {
        "title": f"{data_title(data.name)}: predictions of {scored.file}",
        "data": data.model_dump(mode="json", exclude_defaults=True) | of_sets,
        "train": {"seeds": [int(seed) for seed in seeds]},
    }
    Recipe.of(settings)
    run_folder.write_environment(place, _environment(found, clips, folds, scored))
    run_folder.write_recipe(place, tomli_w.dumps(settings))
    environment = run_folder.read_environment(place)
    for fold in folds:
        for seed in seeds:
            own = table[(table["fold"] == fold) & (table["seed"] == seed)].drop(columns=["fold", "seed"])
            _write_cell(run_folder.cell_folder(place, fold, seed), own.reset_index(drop=True), environment)
    summarise(place)
    write_page(place)


def _write_cell(place: Path, table: pd.DataFrame, environment: Environment) -> None:
    place.mkdir(parents=True)
    by_level = {level: table[table["level"] == level] for level in LEVELS}
    (targets, scores, labels), (of_segments, by_segment, _) = (as_arrays(by_level[level]) for level in LEVELS)
    figures = {f"{level}_{n}": v for level, rows in by_level.items() for n, v in evaluate(rows, environment).items()}
    by_class = per_class_table(targets, scores, of_segments, by_segment, labels)
    if environment.scored and environment.scored.labels_alone:
        by_class["roc_auc"] = np.nan
    run_folder.write_predictions(place, table)
    files.write_csv(run_folder.class_table_file(place, "test"), escape_table(by_class))
    draw_decisions(targets, scores, event_thresholds.DEFAULT, labels, place, "test")
    run_folder.write_result(
        place, CellResult.model_validate(figures | {"clips": len(targets), "segments": len(by_segment)})
    )


def _environment(found: Predictions, clips: Clips, folds: list[str], scored: Scored) -> Environment:
    facts = clips.table[["clip", "start", "end", "label", "fold", "group"]]
    grouped = {
        "data": f"by {count(len(folds), 'fold')} of the data set",
        "given": f"by the {count(len(folds), 'fold')} that they name",
        "none": "all clips together",
    }[found.folds]
    return Environment(
        hubbub=metadata.version("hubbub"),
        python=platform.python_version(),
        data=data_facts(clips, hashlib.sha256(facts.to_csv(index=False).encode()).hexdigest()),
        protocol=f"predictions made elsewhere, {grouped}",
        test_folds=folds,
        why_not_comparable=[ELSEWHERE, *found.notes, *clips.notes],
        scored=scored,
    )
