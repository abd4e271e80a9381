"""The scores of whole recordings, from those of the clips that they were cut into, and their true events."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from hubbub.data.clips import Clips
from hubbub.data.event_tables import TimedEvent
from hubbub.data.timed_labels import nearest_parts, unplaced
from hubbub.metrics.scored import ScoredRecording

__all__ = ["recordings_without_times", "scored_recordings"]

Array = npt.NDArray[np.float64]
_ROUNDING_S = 1e-6


def scored_recordings(clips: Clips, segments: pd.DataFrame) -> dict[str, ScoredRecording]:
    """The recordings whose clips have these segments, by name: the scores of all rows in order, and the true events.

    A recording is left out if some class in it has no times. `segments` has `clip`, `start` and `end` from the clip's
    start [s], and one column a class, as predictions have.
    """
    places = clips.table.set_index("clip")[["path", "start", "end"]]
    own = segments.join(places.rename(columns={"start": "from", "end": "to"}), on="clip")
    found, untimed = {}, recordings_without_times(clips)
    for path, rows in own.groupby("path", sort=False):
        if path in untimed:
            continue
        starts, ends = (rows[edge].to_numpy(float) + rows["from"].to_numpy(float) for edge in ("start", "end"))
        edges, scores = _joined(starts, ends, rows[list(clips.labels)].to_numpy(np.float64))
        events = [
            TimedEvent(label, start, end)
            for label, (starts_of, ends_of) in clips.events.get(str(path), {}).items()
            for start, end in zip(starts_of.tolist(), ends_of.tolist(), strict=True)
        ]
        name = str(rows["clip"].iloc[0]).rpartition("@")[0]
        found[name] = ScoredRecording(scores, edges, events, float(rows["to"].max()))
    return found


def recordings_without_times(clips: Clips) -> set[str]:
    """The paths of annotated recordings in which some class sounds, it is not known when. A class that is unknown in
    all recordings is not among them."""
    table = clips.table
    never = set.intersection(*map(set, table["unknown"])) if len(table) else set()
    some = [bool(unplaced(clips, row).any() or set(unknown) - never) for row, unknown in enumerate(table["unknown"])]
    return {str(path) for path in table["path"][some]}


def _joined(starts: Array, ends: Array, scores: Array) -> tuple[Array, Array]:
    """Edges `[T + 1]` and scores `[T, K]` of one row after another from 0 on: where segments overlap, each covers its
    half; where there are none, scores are 0."""
    order = np.argsort(starts, kind="stable")
    edges, rows = [0.0], []
    for (start, end), row in zip(nearest_parts(np.stack([starts, ends], axis=1)[order]), scores[order], strict=True):
        if start > edges[-1] + _ROUNDING_S:
            edges.append(start)
            rows.append(np.zeros(scores.shape[1]))
        edges.append(end)
        rows.append(row)
    return np.array(edges), np.stack(rows)
