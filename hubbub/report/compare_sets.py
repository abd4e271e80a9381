"""Differences of macro mAP of runs on the same clips with label sets, and their bootstrap over source recordings."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pandas as pd

from hubbub.metrics import multilabel
from hubbub.report.compare_results import PairFigures
from hubbub.report.predicted import as_arrays
from hubbub.report.set_summary import weighted

__all__ = ["describe_sets", "macro_map", "set_pairs"]

Array = npt.NDArray[np.float64]
#: Weights of recordings that are drawn at once.
_CHUNK = 4_000_000


def describe_sets(rows: pd.DataFrame) -> pd.Series:
    """The truth of each row as text, with what was not annotated; alike for the same sets in any order."""
    texts = []
    for held, unknown in zip(rows["labels"], rows["unknown"], strict=True):
        text = "; ".join(sorted(held)) or "(none)"
        texts.append(f"{text} (not annotated: {'; '.join(sorted(unknown))})" if len(unknown) else text)
    return pd.Series(texts, index=rows.index, dtype=object)


def macro_map(rows: pd.DataFrame) -> float:
    """The macro mAP of predictions of clips, averaged over seeds; NaN where no class is present and absent."""
    return float(np.mean([_macro_map(own) for _, own in rows.groupby(level="seed", sort=False)]))


def _macro_map(rows: pd.DataFrame) -> float:
    targets, scores, _ = as_arrays(rows)
    found = multilabel.average_precision(targets > 0, scores, targets >= 0)
    known = found[np.isfinite(found)]
    return float(known.mean()) if len(known) else float("nan")


def set_pairs(
    predicted: Mapping[str, pd.DataFrame], groups: pd.Series, folds: pd.Series | None, resamples: int
) -> list[PairFigures]:
    """The difference of each pair of runs, in all, in each fold and in each draw of recordings.

    `predicted` are the runs' rows of the compared clips; `groups` and `folds` are by clip. The draws are the same for
    all runs, so that a difference of two is a paired bootstrap.
    """
    whole = {name: macro_map(rows) for name, rows in predicted.items()}
    by_fold = {} if folds is None else {name: _by_fold(rows, folds) for name, rows in predicted.items()}
    draws = _resampled(list(predicted.values()), groups, resamples)
    drawn = dict(zip(predicted, [None] * len(predicted) if draws is None else draws, strict=True))
    found = []
    for first, second in combinations(predicted, 2):
        one, other = drawn[first], drawn[second]
        difference = None if one is None or other is None else one - other
        if difference is not None:  # a draw may leave no class with clips on both sides
            difference = difference[np.isfinite(difference)]
        enough = difference is not None and 2 * len(difference) >= resamples
        found.append(
            PairFigures(
                first,
                second,
                difference=whole[first] - whole[second],
                by_fold={
                    fold: round(by_fold[first][fold] - by_fold[second][fold], 12) for fold in by_fold.get(first, {})
                },
                resampled=difference if enough else None,
            )
        )
    return found


def _by_fold(rows: pd.DataFrame, folds: pd.Series) -> dict[str, float]:
    """The macro mAP of each fold; folds in which no class is present and absent are left out."""
    of_rows = rows["clip"].map(folds).to_numpy()
    found = {str(fold): macro_map(rows[of_rows == fold]) for fold in dict.fromkeys(folds)}
    return {fold: value for fold, value in found.items() if np.isfinite(value)}


def _resampled(runs: Sequence[pd.DataFrame], groups: pd.Series, resamples: int) -> list[Array] | None:
    """The macro mAP of each run in each draw `[R]`; None for one recording."""
    names, codes = np.unique(groups.to_numpy(), return_inverse=True)
    if len(names) == 1:
        return None
    code = pd.Series(codes, index=groups.index)
    seeds = [weighted(rows, {}, rows["clip"].map(code).to_numpy()) for rows in runs]
    rng, even = np.random.default_rng(0), np.full(len(names), 1 / len(names))
    step, parts = max(1, _CHUNK // len(names)), []
    for start in range(0, resamples, step):
        weights = rng.multinomial(len(names), even, size=min(step, resamples - start))
        of_runs = [[one.figures(weights, ("macro_map",))["macro_map"] for one in own] for own in seeds]
        parts.append([np.mean(own, axis=0) for own in of_runs])
    return [np.concatenate(column) for column in zip(*parts, strict=True)]
