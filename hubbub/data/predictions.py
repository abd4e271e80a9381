"""Predictions of any program as a table of hubbub's own: read, matched to the clips of a data set, and checked.

A row is a clip or, with a column `start`, a segment of one. It gives the predicted class, or one probability a class.
hubbub's own predictions (`predictions.parquet` of a run, `Run.predictions`) are read as they are.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit, softmax

from hubbub.data import text_tables, values
from hubbub.data.clip_names import find_clips
from hubbub.data.clips import Clips
from hubbub.data.prediction_columns import Columns, PredictionsError, choose_columns
from hubbub.data.prediction_truth import true_columns
from hubbub.errors import count, did_you_mean, examples

__all__ = ["Predictions", "PredictionsError", "match_predictions", "read_predictions"]

Array = npt.NDArray[np.float64]
#: The test part of clips without folds.
ONE_PART = "all"
#: How far the sum of a row may lie from one beside the rounding of its figures.
SUM_TOLERANCE = 2e-3


@dataclass(frozen=True)
class Predictions:
    """Predictions that cover a data set. `table` has the columns of a run's predictions, after `fold` and `seed`.

    `folds` says whose the folds are; `notes` are caveats for every result, `remarks` what was left out or assumed.
    """

    table: pd.DataFrame
    labels_alone: bool
    folds: Literal["data", "given", "none"]
    notes: tuple[str, ...]
    remarks: tuple[str, ...]


def read_predictions(file: Path) -> pd.DataFrame:
    """The rows of a CSV, parquet or JSON-lines file; `row` in the index counts them as the file does. Raises
    `PredictionsError` or `ClipsError`."""
    ending = file.suffix.lower()
    if ending in text_tables.ENDINGS:
        return text_tables.read(file)
    try:
        if ending == ".parquet":
            table = pd.read_parquet(file).reset_index(drop=True)
        elif ending in (".jsonl", ".ndjson"):
            lines = file.read_text(encoding="utf-8").splitlines()
            table = pd.DataFrame([_flat(json.loads(line)) for line in lines if line.strip()])
        else:
            raise PredictionsError(
                f"{file} is no table of predictions: its name ends in '{ending}'. Save it as .csv, .parquet or .jsonl."
            )
    except (OSError, ValueError, KeyError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise PredictionsError(f"{file} cannot be read: {reason}. Save it as CSV, parquet or JSON lines.") from error
    return table.set_axis(range(1, len(table) + 1)).rename_axis(index="row")


def _flat(line: Any) -> dict[str, Any]:
    """A JSON line's object, the probabilities of `scores` as columns."""
    if not isinstance(line, dict):
        raise ValueError("a line is no JSON object")
    scores = line.pop("scores", {})
    return line | scores if isinstance(scores, dict) else line


def match_predictions(
    table: pd.DataFrame, clips: Clips, *, logits: bool = False, allow_missing: bool = False, overlap: float = 0.5
) -> Predictions:
    """Predictions of the clips of a data set, each once a seed. With `logits` the scores are made probabilities by
    softmax, or for label sets by the logistic function. `overlap` is for timed annotations (`true_columns`).

    Segments are pooled to clips by the mean of their probabilities. Raises `PredictionsError` naming the rows for what
    is unknown, given twice or not given (unless `allow_missing`), and for scores that are no probabilities.
    """
    if not len(table):
        raise PredictionsError("the table of predictions has no rows. Give one row a clip or segment.")
    if table.index.name != "row":
        table = table.set_axis(range(1, len(table) + 1)).rename_axis(index="row")
    table = table.rename(columns=str)
    columns = choose_columns(table, clips)
    at = [f"row {row}" for row in table.index]
    rows = np.array(find_clips(clips, [values.clean(n) for n in values.text(table[columns.clip])], at), dtype=np.intp)
    _refuse_other_truth(table, columns, clips, rows, at)
    if columns.labels_alone and clips.multilabel:
        raise PredictionsError(
            f"a clip of {clips.name} may hold several classes, and column '{columns.predicted}' names one. Give one "
            "column a class, with its probability."
        )
    scores = _one_hot(table, columns, clips, at) if columns.labels_alone else _scores(table, columns, clips, logits)
    facts = pd.DataFrame({"row": rows, "seed": _seeds(table, columns), "given": _folds(table, columns), "at": at})
    facts["level"] = _levels(table, columns)
    for name, column in (("start", columns.start), ("end", columns.end)):
        facts[name] = _seconds(table, column, at)
    _refuse_repeated(facts, clips)
    notes = _missing(facts, clips, allow_missing)
    labels = list(clips.labels)
    whole = pd.concat([facts, pd.DataFrame(scores, columns=labels)], axis=1)
    folds, whose, on_folds = _fold_of(whole, clips)
    whole = _both_levels(whole.assign(fold=folds), labels)
    truth = true_columns(whole, clips, overlap)
    parts = [whole[["fold", "seed"]], truth, whole[["level", "start", "end"]], whole[labels].astype(np.float32)]
    whole = pd.concat(parts, axis=1)
    facts_of = [name for name in truth if name != "clip"]
    whole = whole[["fold", "seed", "clip", "level", *facts_of, "start", "end", *labels]]
    _refuse_gaps(whole)
    remarks = (*columns.remarks, *on_folds)
    return Predictions(whole, columns.labels_alone, whose, tuple(notes), remarks)


def _refuse_other_truth(
    table: pd.DataFrame, columns: Columns, clips: Clips, rows: npt.NDArray[np.intp], at: Sequence[str]
) -> None:
    """Raises `PredictionsError` where the table's own truth is not the data set's: then its clips are others."""
    if columns.truth is None:
        return
    given = [values.clean(label) for label in values.text(table[columns.truth])]
    theirs = clips.table["label"].to_numpy()[rows]
    other = [f"{a}: '{g}', not '{t}'" for a, g, t in zip(at, given, theirs, strict=True) if g and g != t]
    if other:
        raise PredictionsError(
            f"the truth in column '{columns.truth}' is not that of {clips.name} in {count(len(other), 'row')} "
            f"({examples(other)}). Give predictions of this data set; leave the column out if it is no truth."
        )


def _one_hot(table: pd.DataFrame, columns: Columns, clips: Clips, at: Sequence[str]) -> Array:
    """The predicted classes as rows of zeros and a one, `[N, K]`."""
    assert columns.predicted is not None
    given = [values.clean(label) for label in values.text(table[columns.predicted])]
    known = {label: k for k, label in enumerate(clips.labels)}
    if unknown := [number for number, label in enumerate(given) if label not in known]:
        named = examples(f"{at[number]}: {given[number] or 'empty'}" for number in unknown)
        raise PredictionsError(
            f"column '{columns.predicted}' names no class of {clips.name} in {count(len(unknown), 'row')} ({named}). "
            f"{did_you_mean(given[unknown[0]], clips.labels)} Give the classes' names."
        )
    return np.eye(len(known))[[known[label] for label in given]]


def _scores(table: pd.DataFrame, columns: Columns, clips: Clips, logits: bool) -> Array:
    """Probabilities `[N, K]`; a class without a column has 0. Raises `PredictionsError` for anything else."""
    given = {label: pd.to_numeric(table[column], errors="coerce") for label, column in columns.classes.items()}
    found = np.stack([column.to_numpy(dtype=float) for column in given.values()], axis=1)
    if (wrong := ~np.isfinite(found).all(axis=1)).any():
        raise PredictionsError(f"{_rows(table, wrong)}: a score is missing or no finite number. Give all scores.")
    if logits and len(given) < len(clips.labels):
        lacking = [label for label in clips.labels if label not in given]
        raise PredictionsError(
            f"logits need a column for each class; none is there for {examples(lacking)}. Give them, or probabilities."
        )
    whole = np.zeros((len(table), len(clips.labels)))
    places = [clips.labels.index(label) for label in given]
    if clips.multilabel:
        whole[:, places] = _each_class(table, found, logits)
        return whole
    sums, exact = found.sum(axis=1), _tolerance(found)
    outside = (found < -exact).any(axis=1) | (np.abs(sums - 1) > SUM_TOLERANCE + exact * found.shape[1])
    if logits and not outside.any():
        raise PredictionsError("every row sums to one: these are probabilities already. Leave --logits out.")
    if not logits and outside.any():
        first = int(np.flatnonzero(outside)[0])
        raise PredictionsError(
            f"{_rows(table, outside)}: the scores are no probabilities of classes that exclude each other (the first "
            f"reaches from {found[first].min():.4g} to {found[first].max():.4g} and sums to {sums[first]:.4g}). Add "
            "--logits (logits=True) if they are logits, which softmax makes probabilities. For scores of each class on "
            "its own, give the class with the highest one in a column 'prediction' instead."
        )
    whole[:, places] = softmax(found, axis=1) if logits else found
    return whole


def _each_class(table: pd.DataFrame, found: Array, logits: bool) -> Array:
    """The probability of each class on its own. Raises `PredictionsError` for scores outside 0 to 1 that are no
    logits."""
    outside = np.any((found < 0) | (found > 1), axis=1)
    if logits and not outside.any():
        raise PredictionsError("all scores are from 0 to 1: these are probabilities already. Leave --logits out.")
    if not logits and outside.any():
        raise PredictionsError(
            f"{_rows(table, outside)}: the scores are no probabilities from 0 to 1. Add --logits (logits=True) if they "
            "are logits."
        )
    return expit(found) if logits else found


def _tolerance(scores: Array) -> float:
    """Half a unit of the last decimal that the figures have; 0 for seven decimals and more."""
    decimals = next((d for d in range(1, 7) if np.abs(scores - scores.round(d)).max() < 1e-9), None)
    return 0.0 if decimals is None else 0.5 * 10.0**-decimals


def _seeds(table: pd.DataFrame, columns: Columns) -> list[int]:
    if columns.seed is None:
        return [0] * len(table)
    found = pd.to_numeric(table[columns.seed], errors="coerce").to_numpy(dtype=float)
    with np.errstate(invalid="ignore"):
        wrong = ~np.isfinite(found) | (found != found.round()) | (found < 0) | (found >= 2**32)
    if wrong.any():
        raise PredictionsError(
            f"{_rows(table, wrong)}: the seed is no whole number from 0. Mend or leave out the column."
        )
    return [int(seed) for seed in found]


def _folds(table: pd.DataFrame, columns: Columns) -> list[str]:
    if columns.fold is None:
        return [""] * len(table)
    facts = pd.DataFrame({"fold": table[columns.fold], "clip": table[columns.clip]})
    folds, _ = values.clean_folds(facts)
    without = np.array([not fold for fold in folds])
    if without.any() and not without.all():
        raise PredictionsError(
            f"{_rows(table, without)}: there is no fold. Give one in every row, or leave the column out."
        )
    return folds


def _levels(table: pd.DataFrame, columns: Columns) -> list[str]:
    """`clip` or `segment` for each row; "" where a start says which."""
    if columns.level is None:
        return [""] * len(table)
    found = values.text(table[columns.level])
    wrong = np.array([level not in ("clip", "segment") for level in found])
    if wrong.any():
        raise PredictionsError(f"{_rows(table, wrong)}: the level is neither clip nor segment. Leave the column out.")
    return found


def _seconds(table: pd.DataFrame, column: str | None, at: Sequence[str]) -> Array:
    if column is None:
        return np.full(len(table), np.nan)
    found = pd.to_numeric(table[column], errors="coerce").to_numpy(dtype=float)
    gaps = np.array([not values.clean(cell) for cell in values.text(table[column])])
    wrong = ~gaps & ~(np.isfinite(found) & (found >= 0))
    if wrong.any():
        raise PredictionsError(f"{_rows(table, wrong)}: '{column}' is no number of seconds from 0. Mend these rows.")
    return found


def _rows(table: pd.DataFrame, chosen: npt.NDArray[np.bool_]) -> str:
    """`row 3`, or `rows 3, 5, 6 and 2 more`."""
    rows = table.index[chosen]
    return f"row{'' if len(rows) == 1 else 's'} {examples(rows)}"


def _refuse_repeated(facts: pd.DataFrame, clips: Clips) -> None:
    """Raises `PredictionsError` for a clip, or a segment of one, that a seed predicts more than once."""
    key = ["row", "seed", "level", "start"]
    again = facts[facts.duplicated(key, keep=False)]
    if again.empty:
        return
    first = again[(again[key].fillna(-1) == again.iloc[0][key].fillna(-1)).all(axis=1)]
    clip, several = clips.table["clip"].iloc[again["row"].iloc[0]], again.groupby(key, dropna=False).ngroups
    raise PredictionsError(
        f"{count(several, 'clip or segment', 'clips or segments')} predicted more than once, such as {clip} in "
        f"{examples(first['at'])}. Give each once; segments of a clip need a column 'start', repeated trainings a "
        "column 'seed'."
    )


def _missing(facts: pd.DataFrame, clips: Clips, allow_missing: bool) -> list[str]:
    """The caveat where clips have no prediction. Raises `PredictionsError` unless that is allowed, and for predictions
    of clips that may only train."""
    ids = clips.table["clip"].tolist()
    wanted = set(np.flatnonzero(clips.table["split_hint"] != "train").tolist())

    def named(rows: set[int]) -> str:
        return examples(ids[row] for row in sorted(rows))

    if copies := set(facts["row"]) - wanted:
        raise PredictionsError(
            f"{count(len(copies), 'clip')} of {clips.name} may only train, as augmented copies do ({named(copies)}). "
            "Leave them out."
        )
    by_seed = {seed: wanted - set(rows) for seed, rows in facts.groupby("seed", sort=False)["row"]}
    lacking = next(iter(by_seed.values()))
    if odd := [(seed, rows ^ lacking) for seed, rows in by_seed.items() if rows != lacking]:
        raise PredictionsError(
            f"the seeds predict different clips: {named(odd[0][1])} for seed {odd[0][0]!s} or for the first one alone. "
            "Give every clip for every seed."
        )
    if not lacking:
        return []
    partial = f"{len(lacking):,} of {len(wanted):,} clips of {clips.name} have no prediction ({named(lacking)})"
    if not allow_missing:
        raise PredictionsError(
            f"{partial}. Predict all, or go on without them by --allow-missing (allow_missing=True); every result will "
            "say so."
        )
    return [f"PARTIAL: {partial}"]


def _fold_of(facts: pd.DataFrame, clips: Clips) -> tuple[list[str], Literal["data", "given", "none"], tuple[str, ...]]:
    """The test fold of each row, whose folds these are, and a remark where the table's are not the data set's."""
    own = clips.table["fold"].iloc[facts["row"]].tolist()
    given = facts["given"].tolist()
    if any(given):
        if given == own or not all(own):
            return given, "data" if given == own else "given", ()
        return given, "given", (f"the folds are those of the predictions; {clips.name} has others",)
    return (own, "data", ()) if all(own) else ([ONE_PART] * len(facts), "none", ())


def _both_levels(facts: pd.DataFrame, labels: list[str]) -> pd.DataFrame:
    """The rows of segments, then those of clips. A clip without segments is one; segments without clips are pooled."""
    named = facts["level"] != ""
    segments = facts[~named | (facts["level"] == "segment")]
    of_clips = facts[facts["level"] == "clip"]
    if segments.empty:
        segments = of_clips
    if of_clips.empty:
        key = ["fold", "seed", "row"]
        grouped = segments.groupby(key, sort=False)
        of_clips = grouped[labels].mean().join(grouped["start"].min()).join(grouped["end"].max()).reset_index()
    elif set(map(tuple, segments[["seed", "row"]].to_numpy())) != set(map(tuple, of_clips[["seed", "row"]].to_numpy())):
        raise PredictionsError("some clips have rows of one level only. Give clip and segment rows of every clip.")
    both = [segments.assign(level="segment"), of_clips.assign(level="clip")]
    return pd.concat(both, ignore_index=True)


def _refuse_gaps(table: pd.DataFrame) -> None:
    """Raises `PredictionsError` unless every seed has clips in every fold, and a clip is in one fold."""
    cells = set(table.groupby(["fold", "seed"]).groups)
    for fold in dict.fromkeys(table["fold"]):
        for seed in dict.fromkeys(table["seed"]):
            if (fold, seed) not in cells:
                raise PredictionsError(f"seed {seed} has no clip in fold {fold}. Give every seed the same folds.")
    if (several := table.groupby(["clip", "seed"])["fold"].nunique() > 1).any():
        clip = several[several].index[0][0]
        raise PredictionsError(f"{clip} is in several folds. Give all rows of a clip the same fold.")
