"""Notes on clips that were made of annotations."""

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from hubbub.data.annotation_sources import Source
from hubbub.data.annotation_windows import Labelled, WindowRule
from hubbub.errors import count, examples

__all__ = ["contradictions", "machine", "nothing", "summary"]


def summary(table: pd.DataFrame, found: pd.DataFrame, files: Sequence[str], rule: WindowRule) -> Iterator[str]:
    """How many annotations gave how many clips."""
    length = (found["end"] - found["start"]).sum()
    yield (
        f"ANNOTATIONS: {len(table):,} in {count(len(files), 'recording')} gave {count(len(found), 'clip')} of "
        f"{length:.1f} s in all; windows of {rule.window_s:g} s every {rule.hop_s:g} s have the label that fills "
        f"{rule.overlap:g} of them"
    )


def machine(sources: Sequence[Source]) -> Iterator[str]:
    """A note on labels that a program gave."""
    if files := [source.given.file.name for source in sources if source.given.is_machine]:
        yield (
            f"MACHINE LABELS: detections of a program, not labels of a person ({examples(files)}). A classifier learns "
            "the program's errors too, and every figure is agreement with the program"
        )


def nothing(names: list[str]) -> Iterator[str]:
    """A note on recordings in which nothing is marked."""
    if names:
        yield f"WITHOUT ANNOTATIONS: nothing is marked in {count(len(names), 'recording')} ({examples(names)})"


def contradictions(table: pd.DataFrame, labelled: Mapping[str, Labelled]) -> list[str]:
    """A note on windows that two labels fill."""
    left_out = [one.contradictory for one in labelled.values() if len(one.contradictory)]
    if not left_out:
        return []
    whole = pd.concat(left_out)
    named = examples(
        f"{table['file'][at]} row {table['row'][at]}: {label} and {other}"
        for at, label, other in whole[["row", "label", "other"]].itertuples(index=False)
    )
    gone = int(whole["whole"].sum())
    lost = f"; nothing is left of {count(gone, 'annotation')}" if gone else ""
    return [
        f"CONTRADICTORY: {count(int(whole['windows'].sum()), 'window')} left out, which another label fills too "
        f"({named}){lost}; --multilabel keeps them, with both labels"
    ]
