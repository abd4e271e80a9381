"""What belongs beside a run's figures: few recordings, seeds that change nothing, whether more data would help."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from hubbub.errors import count
from hubbub.report.results import Environment, Summary

__all__ = [
    *("FEWEST_IN_ALL", "FEWEST_OF_A_CLASS", "few_recordings", "left_out", "more_recordings", "read_first"),
    *("seeds_agree", "tags"),
]

#: With 50 recordings, the interval of an accuracy of 0.9 reaches from about 0.79 to 0.96; with fewer it is wider.
FEWEST_IN_ALL = 50
#: Five recordings of a class that are all recognised leave its recall anywhere between 0.55 and 1.
FEWEST_OF_A_CLASS = 5
_NAMED = 5
#: A rise of accuracy with the last doubling of the recordings that is small, and one that is worth recording for.
_SMALL, _WORTH = 0.01, 0.02


def few_recordings(by_class: Mapping[str, int], in_all: int) -> str | None:
    """The caveat of test parts with few independent recordings, and what to record; None where there are enough.

    `by_class` has the number of tested recordings of each class; `in_all` counts a recording of several classes once.
    """
    few = {label: number for label, number in by_class.items() if number < FEWEST_OF_A_CLASS}
    if in_all >= FEWEST_IN_ALL and not few:
        return None
    fewest = sorted(few or by_class, key=lambda label: by_class[label])
    named = ", ".join(f"{label} ({by_class[label]})" for label in fewest[:_NAMED])
    more = f" and {len(fewest) - _NAMED} more classes" if len(fewest) > _NAMED else ""
    if in_all < FEWEST_IN_ALL:
        found = f"{count(in_all, 'independent recording')} in the test parts, so the interval is wide"
    else:
        classes = count(len(few), "class has", "classes have")
        found = f"{classes} fewer than {FEWEST_OF_A_CLASS} independent recordings in the test parts"
    return f"FEW RECORDINGS: {found}. Record more of: {named}{more}"


def left_out(folds_by_class: Mapping[str, Iterable[str]]) -> str | None:
    """The caveat of classes that the macro means of test folds leave out; None where they are over all classes."""
    if not folds_by_class:
        return None
    named = [f"{label} (test fold {', '.join(folds)})" for label, folds in list(folds_by_class.items())[:_NAMED]]
    more = f" and {count(len(folds_by_class) - _NAMED, 'more class', 'more classes')}"
    return (
        "CLASSES LEFT OUT: macro means are without the classes that no clip of a test part holds, or every clip: "
        + ", ".join(named)
        + (more if len(folds_by_class) > _NAMED else "")
    )


def more_recordings(curve: pd.DataFrame | None) -> str | None:
    """What a learning curve says about recording more, from the mean of the folds; None without a curve of two points.

    `curve` has `fold`, `recordings` and `clip_accuracy`, in each fold by rising `recordings`.
    """
    last_two = [rows.tail(2) for _, rows in curve.groupby("fold", sort=False)] if curve is not None else []
    if not last_two or min(map(len, last_two)) < 2:
        return None
    (before, after), (low, high) = (
        np.mean([rows[column].to_numpy(dtype=float) for rows in last_two], axis=0)
        for column in ("recordings", "clip_accuracy")
    )
    rise = high - low
    if rise >= _WORTH:
        meaning = "more recordings would help"
    elif rise >= _SMALL:
        meaning = "more recordings may help a little"
    else:
        meaning = "more recordings of the same kind will hardly help"
    return (
        f"With {after:,.0f} instead of {before:,.0f} training recordings, validation accuracy went from {low:.3f} to "
        f"{high:.3f}: {meaning}"
    )


def seeds_agree(predicted: pd.DataFrame) -> str | None:
    """The caveat of a run whose seeds all gave the same predictions; None for one seed, or where they differ.

    `predicted` is the table of all cells, with the index levels `fold` and `seed`.
    """
    first, *others = (rows for _, rows in predicted.groupby(level="seed", sort=False))
    if not others or not all(_equal(first, other) for other in others):
        return None
    return (
        f"SAME IN ALL SEEDS: all {len(others) + 1} seeds gave the same predictions, since nothing is random in "
        "the training of this recipe's head. Run one seed"
    )


def _equal(first: pd.DataFrame, second: pd.DataFrame) -> bool:
    order = ["level", "clip", "start"]
    one, other = (table.sort_values(order).select_dtypes("number").to_numpy() for table in (first, second))
    return one.shape == other.shape and bool(np.array_equal(one, other))


def read_first(summary: Summary, environment: Environment) -> list[str]:
    """The caveats of a run: what is to be read before its figures."""
    lines = [*summary.why_not_comparable, *summary.caveats, *environment.data.warnings]
    if len(environment.test_folds) == 1:
        lines.append("SINGLE FOLD: only one test part; the spread over folds is not known")
    return lines


def tags(lines: Iterable[str]) -> str:
    """The tags of caveats, each once: `NO GROUPS; QUICK`. A caveat without a tag stands as it is."""
    return "; ".join(dict.fromkeys(line.partition(":")[0] for line in lines))
