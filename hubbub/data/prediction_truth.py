"""The truth beside predictions of clips and segments: what a data set says about each row."""

import numpy as np
import pandas as pd

from hubbub.data.clips import SET_COLUMNS, Clips, describe_label_set
from hubbub.data.timed_labels import segment_targets

__all__ = ["true_columns"]


def true_columns(rows: pd.DataFrame, clips: Clips, overlap: float) -> pd.DataFrame:
    """`clip`, `group` and `label` of predictions, and of label sets the lists `labels` and `unknown`.

    `rows` has the number of the clip (`row`), `level`, `start` and `end` [s]. Segments have the labels of their clip
    or, where annotations have times and the segments too, of what fills the share `overlap` of them.
    """
    table = clips.table.iloc[rows["row"]].reset_index(drop=True)
    found = table[["clip", "group", "label"]].copy()
    if not clips.multilabel:
        return found
    for name in SET_COLUMNS:
        found[name] = table[name].map(list)
    timed = (rows["level"] == "segment").to_numpy() & rows[["start", "end"]].notna().all(axis=1).to_numpy()
    if clips.timed is None or not timed.any():
        return found
    names, labels = np.array(clips.labels, dtype=object), list(found["labels"])
    owners, times = rows["row"].to_numpy(), rows[["start", "end"]].to_numpy(float)
    for row in np.unique(owners[timed]):
        places = np.flatnonzero(timed & (owners == row))
        for at, values in zip(places, segment_targets(clips, int(row), times[places], overlap), strict=True):
            labels[at] = list(names[values > 0])
    return found.assign(labels=labels, label=[describe_label_set(own) for own in labels])
