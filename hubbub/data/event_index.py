"""Events by recording and class, in order, those that overlap as one."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

__all__ = ["Times", "events_by_class"]

#: Starts and ends [s].
Times = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


def events_by_class(events: pd.DataFrame) -> Mapping[str, Mapping[str, Times]]:
    """The times of events by path and class, of a table with `path`, `start`, `end` [s] and `label`; events of no
    length are left out."""
    from hubbub.metrics.events import joined

    path_of, paths = pd.factorize(events["path"])
    label_of, labels = pd.factorize(events["label"])
    names, classes = [str(path) for path in paths], [str(label) for label in labels]
    spans = events[["start", "end"]].to_numpy(float)
    order = np.lexsort((spans[:, 0], label_of, path_of))
    new = np.diff(path_of[order], prepend=-1) | np.diff(label_of[order], prepend=-1)
    found: dict[str, dict[str, Times]] = {}
    for rows in np.split(order, np.flatnonzero(new)[1:]) if len(order) else ():
        times = joined(spans[rows, 0], spans[rows, 1])
        if len(times[0]):
            found.setdefault(names[path_of[rows[0]]], {})[classes[label_of[rows[0]]]] = times
    return found
