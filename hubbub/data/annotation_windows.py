"""Label windows by the annotations that they overlap, and join them to clips of real sound.

A clip is the span of neighbouring windows of one annotation, so that cutting it gives exactly these windows. All times
are in seconds from the start of the recording. This module knows no file format and opens no file.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from hubbub.data.values import ClipsError

__all__ = ["BACKGROUND", "Labelled", "Length", "WindowRule", "background", "label_windows"]

Times = npt.NDArray[np.floating]
#: The class of clips without annotations.
BACKGROUND = "background"
#: The longest clip of background [s].
_LONGEST_S = 5.0
_ROUNDING = 1e-9


@dataclass(frozen=True)
class WindowRule:
    """Windows of `window_s` every `hop_s` [s]; an annotation labels one if it fills the share `overlap` of it."""

    window_s: float = 0.975
    hop_s: float = 0.48
    overlap: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.hop_s <= self.window_s < np.inf:
            raise ClipsError(
                f"windows of {self.window_s:g} s every {self.hop_s:g} s: the hop must be above 0, at most the length."
            )
        if not 0 < self.overlap <= 1:
            raise ClipsError(f"an overlap of {self.overlap:g}: give the share of a window, above 0 and at most 1.")

    def span_s(self, windows: int) -> float:
        """The length of so many neighbouring windows [s]."""
        return self.window_s + (windows - 1) * self.hop_s

    def fit(self, seconds: float) -> int:
        """How many windows fit into so many seconds."""
        return int(np.floor((seconds - self.window_s) / self.hop_s + _ROUNDING)) + 1 if seconds >= self.window_s else 0


@dataclass(frozen=True)
class Length:
    """The length of a recording [s] and its sample rate."""

    seconds: float
    rate_hz: int

    def clip(self, start: float, length: float) -> tuple[float, float]:
        """A clip as whole samples within the recording: at most `length`, so that no window is added by rounding."""
        total, count = round(self.seconds * self.rate_hz), int(length * self.rate_hz + 1e-6)
        first = max(min(round(start * self.rate_hz), total - count), 0)
        return first / self.rate_hz, min(first + count, total) / self.rate_hz


@dataclass(frozen=True)
class Labelled:
    """The clips of a recording, `start`, `end`, `label`, `windows`, `row` (of the annotation), and the windows that
    were left out: `row`, `label`, `other` (the label that contradicts), `windows`, `whole` (nothing of the annotation
    is left)."""

    clips: pd.DataFrame
    contradictory: pd.DataFrame


def label_windows(spans: pd.DataFrame, length: Length, rule: WindowRule) -> Labelled:
    """The clips of a recording's annotations: `start`, `end`, `label`, the index numbers the rows.

    The windows of an annotation start with it and follow each other every hop, as long as it fills `overlap` of them
    and they lie within the recording. A shorter annotation has one window, centred on it. Overlapping annotations of
    one label count as one. A window is left out where another label fills `overlap` of it, or as much as its own.
    """
    merged = _merged(spans)
    starts = [
        _starts(start, end, length.seconds, rule) for start, end in zip(merged["start"], merged["end"], strict=True)
    ]
    owner = np.repeat(np.arange(len(merged)), [len(one) for one in starts])
    begin = np.concatenate([*starts, np.zeros(0)])
    own_label = merged["label"].to_numpy(object)[owner]
    own, other, other_label = np.zeros(len(begin)), np.zeros(len(begin)), np.full(len(begin), "", object)
    for label, of_label in merged.groupby("label", sort=True):
        filled = _filled(of_label, begin, begin + rule.window_s)
        mine = own_label == label
        own[mine] = filled[mine]
        more = ~mine & (filled > other)
        other[more], other_label[more] = filled[more], label
    clear = other < np.minimum(rule.overlap * rule.window_s, own) - _ROUNDING
    clips, dropped = [], []
    for number, (row, label) in enumerate(zip(merged["row"], merged["label"], strict=True)):
        at = np.flatnonzero(owner == number)
        kept = at[clear[at]]
        for run in np.split(kept, np.flatnonzero(np.diff(kept) > 1) + 1) if len(kept) else ():
            clips.append((*length.clip(begin[run[0]], rule.span_s(len(run))), label, len(run), row))
        if len(kept) < len(at):
            worst = at[~clear[at]][0]
            dropped.append((row, label, other_label[worst], len(at) - len(kept), not len(kept)))
    table = pd.DataFrame(clips, columns=["start", "end", "label", "windows", "row"])
    return Labelled(
        table.drop_duplicates(["start", "end", "label"], ignore_index=True),
        pd.DataFrame(dropped, columns=["row", "label", "other", "windows", "whole"]),
    )


def background(
    busy: Sequence[pd.DataFrame], lengths: Sequence[Length], rule: WindowRule, most: int, seed: int = 0
) -> tuple[list[list[tuple[float, float]]], int, int]:
    """For each recording clips `(start, end)` that touch no annotation (`busy`: `start`, `end`), nor come nearer to one
    than half a window; and how many windows were sampled, of how many there are.

    At most `most` windows are sampled with `seed`, evenly over the recordings, in clips of at most 5 s.
    """
    rng = np.random.default_rng(seed)
    size = max(
        min(rule.fit(_LONGEST_S), -(-most // max(len(lengths), 1))), 1
    )  # so that all recordings have their share
    pieces = [_gaps(spans, length, rule, size) for spans, length in zip(busy, lengths, strict=True)]
    there = sum(count for of_one in pieces for _, count in of_one)
    waiting = [[of_one[at] for at in rng.permutation(len(of_one))] for of_one in pieces]
    found: list[list[tuple[float, float]]] = [[] for _ in pieces]
    left = most
    while left > 0 and any(waiting):
        for recording in rng.permutation(len(pieces)):
            if left > 0 and waiting[recording]:
                start, count = waiting[recording].pop()
                count = min(count, left)
                found[recording].append(lengths[recording].clip(start, rule.span_s(count)))
                left -= count
    return [sorted(of_one) for of_one in found], most - left, there


def _merged(spans: pd.DataFrame) -> pd.DataFrame:
    """Annotations in order, those of one label joined where they overlap; `row` is that of the first."""
    merged: list[list[object]] = []
    ordered = spans.assign(row=spans.index).sort_values(["label", "start", "end"], kind="stable")
    reach, before = -np.inf, None
    for start, end, label, row in ordered[["start", "end", "label", "row"]].itertuples(index=False):
        if label == before and start < reach:
            reach = merged[-1][1] = max(reach, end)
        else:
            merged.append([start, end, label, row])
            reach, before = end, label
    return pd.DataFrame(merged, columns=["start", "end", "label", "row"]).sort_values(
        ["start", "end"], ignore_index=True
    )


def _starts(start: float, end: float, seconds: float, rule: WindowRule) -> Times:
    """The starts of an annotation's windows."""
    if end - start < rule.window_s:
        centred = (start + end - rule.window_s) / 2
        return np.array([max(min(centred, seconds - rule.window_s), 0.0)])
    filled = int(np.floor((end - start - rule.overlap * rule.window_s) / rule.hop_s + _ROUNDING)) + 1
    return start + np.arange(max(min(filled, rule.fit(seconds - start)), 1)) * rule.hop_s


def _filled(spans: pd.DataFrame, starts: Times, ends: Times) -> Times:
    """How many seconds of each window these spans fill, which do not overlap each other."""
    spans = spans.sort_values("start")
    edges = spans[["start", "end"]].to_numpy(float)
    before = np.concatenate([[0.0], np.cumsum(edges[:, 1] - edges[:, 0])])
    level = np.stack([before[:-1], before[1:]], axis=1)
    until, since = (np.interp(at, edges.ravel(), level.ravel()) for at in (ends, starts))
    return np.subtract(until, since, dtype=np.float64)


def _gaps(busy: pd.DataFrame, length: Length, rule: WindowRule, most: int) -> list[tuple[float, int]]:
    """Pieces without annotations: their start, and how many windows they hold, `most` at most."""
    pieces, free = [], 0.0
    ordered = busy.sort_values("start")
    margin = rule.window_s / 2
    edges = [*zip(ordered["start"] - margin, ordered["end"] + margin, strict=True), (length.seconds, length.seconds)]
    for start, end in edges:
        while count := min(rule.fit(start - free), most):
            pieces.append((free, count))
            free += rule.span_s(count)
        free = max(free, end)
    return pieces
