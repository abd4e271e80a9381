"""Clips with label sets from annotated recordings: chunks of equal length, each with the classes of its events.

Parts of a recording that nobody searched are no clips. The events themselves are kept, so that segments of a chunk have
labels of their own (`timed_labels`). A label without times is somewhere in its recording: a recording of one chunk
holds it, and in each chunk of a longer one it is unknown.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd

from hubbub.data import label_sets, values
from hubbub.data.annotation_windows import Length, WindowRule
from hubbub.data.clips import SET_COLUMNS
from hubbub.data.event_index import Times, events_by_class
from hubbub.data.recordings import DisjointSets
from hubbub.data.timed_labels import clip_targets
from hubbub.errors import count, examples
from hubbub.metrics.events import joined

__all__ = ["Chunks", "chunks_of", "cut"]

Spans = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Chunks:
    """`table`: the clips' `path`, `start`, `end`, `group` and label sets. `timed`: the events. `labels`: the classes in
    order. `notes` on all."""

    table: pd.DataFrame
    timed: pd.DataFrame
    labels: tuple[str, ...]
    notes: tuple[str, ...]


def cut(
    annotations: pd.DataFrame,
    searched: Mapping[str, Spans],
    lengths: Mapping[str, Length],
    rule: WindowRule,
    chunk_s: float,
    labels: Sequence[str] = (),
) -> Chunks:
    """The chunks of recordings of these lengths: of all of each, or of the spans of it that were `searched`.

    `annotations` has `path`, `start`, `end`, `label`, `group`; without times, start and end are NaN. A chunk holds the
    classes that `clip_targets` finds. All chunks of a recording have one group: that of its annotations, else "".
    """
    untimed = annotations[annotations["start"].isna()]
    annotations = annotations[annotations["end"] > annotations["start"]]
    until = annotations["path"].map({path: length.seconds for path, length in lengths.items()}).astype(float)
    events = events_by_class(annotations.assign(end=np.minimum(annotations["end"], until)))
    timed = _table(events)
    order = tuple(dict.fromkeys(labels)) or values.in_order({*timed["label"], *untimed["label"]})
    somewhere = untimed.groupby("path")["label"].agg(set).to_dict()
    rows: list[tuple[str, float, float, list[str], list[str]]] = []
    for path, length in lengths.items():
        spans = chunks_of(length, searched.get(path, ()), chunk_s, rule.window_s)
        held: list[list[str]] = [[] for _ in spans]
        for label, times in events.get(path, {}).items():
            for at in np.flatnonzero(clip_targets(times, spans, rule.window_s, rule.overlap)):
                held[at].append(label)
        unplaced = sorted(somewhere.get(path, set()) - events.get(path, {}).keys())
        present, unknown = (unplaced, []) if len(spans) == 1 else ([], unplaced)
        rows += [(path, *span, [*own, *present], unknown) for span, own in zip(spans.tolist(), held, strict=True)]
    table = pd.DataFrame(rows, columns=["path", "start", "end", "labels", "unknown"])
    groups, on_groups = _groups(pd.concat([annotations, untimed]))
    table["group"] = table["path"].map(groups).fillna("")
    found = label_sets.LabelSets(
        table[[*SET_COLUMNS]], tuple(dict.fromkeys([*order, *timed["label"], *untimed["label"]]))
    )
    empty = int((table["labels"].map(len) == 0).sum())
    overlapping = len(annotations) - len(timed)
    notes = (
        f"ANNOTATIONS: {len(annotations):,} in {count(len(lengths), 'recording')}, cut into "
        f"{count(len(table), 'clip')} of {chunk_s:g} s, {empty:,} of which hold none of the classes; a segment holds a "
        f"class that fills {rule.overlap:g} of it"
        + f"; {count(overlapping, 'annotation')} joined to others of the same class that overlap"
        * (overlapping > 0),
        *_on_untimed(untimed, table, chunk_s),
        *on_groups,
        *label_sets.on_classes(found),
    )
    return Chunks(table, timed, order, notes)


def _on_untimed(untimed: pd.DataFrame, table: pd.DataFrame, chunk_s: float) -> Iterator[str]:
    """A note on labels without times."""
    if untimed.empty:
        return
    note = f"WITHOUT TIMES: {count(len(untimed), 'label')} of {count(untimed['path'].nunique(), 'recording')}"
    longer = table.loc[table["unknown"].map(len) > 0, "path"].nunique()
    yield note + (
        f"; {count(longer, 'recording')} of several clips, in any of which such a class may be, so it is unknown in "
        f"each: data.chunk_s of more than {chunk_s:g} keeps them whole"
    ) * (longer > 0)


def chunks_of(length: Length, searched: Spans, chunk_s: float, window_s: float) -> npt.NDArray[np.float64]:
    """The chunks `[N, 2]` [s] of a recording or of the spans of it that were searched, as whole samples.

    Each starts where the one before ends. The last of a span is shorter; if it would be shorter than half a window, it
    is joined to the one before.
    """
    found: list[tuple[float, float]] = []
    for start, end in _merged(searched, length.seconds) if searched else [(0.0, length.seconds)]:
        number = max(int(np.ceil((end - start) / chunk_s - 1e-9)), 1)
        if number > 1 and end - start - (number - 1) * chunk_s < window_s / 2:
            number -= 1
        edges = [*(start + chunk_s * np.arange(number)), end]
        samples = [min(round(edge * length.rate_hz), round(length.seconds * length.rate_hz)) for edge in edges]
        found += [(a / length.rate_hz, b / length.rate_hz) for a, b in pairwise(samples) if b > a]
    return np.array(found, dtype=np.float64).reshape(-1, 2)


def _merged(spans: Spans, seconds: float) -> list[tuple[float, float]]:
    starts, ends = np.array(sorted(spans), dtype=np.float64).T
    starts, ends = joined(np.clip(starts, 0, seconds), np.clip(ends, 0, seconds))
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


def _table(events: Mapping[str, Mapping[str, Times]]) -> pd.DataFrame:
    """The events as rows of `path`, `start`, `end`, `label`, in order."""
    rows = [
        (path, start, end, label)
        for path, of_path in events.items()
        for label, (starts, ends) in of_path.items()
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
    ]
    timed = pd.DataFrame(rows, columns=["path", "start", "end", "label"])
    timed = timed.astype({"path": str, "start": float, "end": float, "label": str})
    return timed.sort_values(["path", "start", "end"], kind="stable", ignore_index=True)


def _groups(annotations: pd.DataFrame) -> tuple[dict[str, str], tuple[str, ...]]:
    """The group of each recording whose annotations name one, and a note where they name several: these are one."""
    given, on_spellings = values.merge_spellings(list(annotations["group"]), "GROUPS")
    families, first, several = DisjointSets(), dict[str, str](), dict[str, None]()
    for path, group in zip(annotations["path"], given, strict=True):
        if not group:
            continue
        before = first.setdefault(str(path), group)
        if families.of(before) != families.of(group):
            several[f"'{before}' and '{group}'"] = None
            families.join(before, group)
    note = f"GROUPS JOINED: {examples(several)} are in one recording, so they count as one"
    return {path: str(families.of(group)) for path, group in first.items()}, (*on_spellings, *[note] * bool(several))
