"""A run's figures against the labels as they were given, beside those against the corrected ones."""

from collections.abc import Mapping

import pandas as pd

from hubbub.data.clips import NOTHING
from hubbub.report.level_results import LevelFigures
from hubbub.report.results import DataFacts

__all__ = ["describe_as_given", "with_given"]


def with_given(clips: pd.DataFrame, given: Mapping[str, str]) -> pd.DataFrame:
    """Predictions of clips with the labels of the clips in `given` put back; scores stay.

    A class that no classifier knows, as the corrections left no clip of it, gets the probability 0.
    """
    labels = clips["clip"].map(given)
    found, changed = clips.copy(), labels.notna()
    found["label"] = labels.where(changed, clips["label"])
    if "labels" in clips.columns[: list(clips.columns).index("end")]:
        sets = [
            _names(text) if isinstance(text, str) else own for text, own in zip(labels, clips["labels"], strict=True)
        ]
        found["labels"] = pd.Series(sets, index=clips.index, dtype=object)
        return found
    for label in sorted(set(labels[changed]) - set(clips.columns)):
        found[label] = 0.0
    return found


def describe_as_given(facts: DataFacts, metric: str, name: str, corrected: LevelFigures, given: LevelFigures) -> str:
    """The caveat that says how much of a figure comes from the corrections."""
    one, other = corrected.figure(metric).mean, given.figure(metric).mean
    figures = f"clip {name} {_number(other)} against them, {_number(one)} against the corrected ones"
    assert facts.corrections is not None
    removed = facts.corrections.removed
    without = f"; the {removed:,} removed clips count in neither" if removed else ""
    return f"LABELS AS GIVEN: {figures}; both are of classifiers that learnt the corrected labels{without}"


def _names(text: str) -> list[str]:
    return [] if text == NOTHING else text.split("; ")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
