"""The filter of each class's frame scores that does best on validation recordings, and its threshold.

For a stated aim: the best F1 of events within the collars of `metrics.events`, the best F1 of seconds, or PSDS1. What
is chosen is never worse on these recordings than no filter. Counts of a class do not depend on other classes' filters,
so each filter of each class is counted once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hubbub.classifier.event_thresholds import FilteredAim
from hubbub.classifier.postprocess import Filter, PostProcessError, filtered
from hubbub.metrics.event_changes import collar_changes, intersection_changes, segment_changes
from hubbub.metrics.event_curves import Changes
from hubbub.metrics.psds import PSDS1, psds_of
from hubbub.metrics.scored import ScoredRecording

__all__ = ["FILTERS", "Choice", "choose"]

#: The candidates: none, medians from .2 to 2 s, and boxes of short and long sounds that are joined easily or rarely.
FILTERS = (
    Filter(),
    *(Filter("median", length) for length in (0.2, 0.44, 0.92, 2.0)),
    *(
        Filter("boxes", length, absolute, relative)
        for length in (0.32, 0.64, 1.28)
        for absolute, relative in ((0.15, 0.7), (0.3, 0.4))
    ),
)


@dataclass(frozen=True)
class Choice:
    """The `filters` of all classes, their `thresholds` of best F1 (of seconds for that aim, else of events), and the
    aim's figure `before` and `after`.

    Figures are those of the validation recordings: the mean over classes of the best F1, or PSDS1. A class
    without true events there has no filter, and the threshold .5.
    """

    filters: tuple[Filter, ...]
    thresholds: tuple[float, ...]
    before: float
    after: float


def choose(
    recordings: Sequence[ScoredRecording],
    labels: Sequence[str],
    aim: FilteredAim,
    candidates: Sequence[Filter] = FILTERS,
) -> Choice:
    """The filter of each class for the aim; of equal ones the first. No filter is a candidate always, and the first.

    A filter counts frames, and the length of most of them is that of all. Raises `PostProcessError` for scores that are
    no probabilities, `MetricsError` for recordings that cannot be scored.
    """
    tried = list(dict.fromkeys([Filter(), *candidates]))
    frame_s = _frame_s(recordings)
    f1_changes = segment_changes if aim == "segment_f1" else collar_changes
    counted = [f1_changes(_through(recordings, one, frame_s), labels) for one in tried]
    if aim != "psds1":
        f1 = np.array([[changes.curve(label).best_f1 for label in labels] for changes in counted])
        chosen = [int(place) for place in f1.argmax(axis=0)]
        occurs = counted[0].true.any(axis=0)
        before, after = (
            float(values[occurs].mean()) if occurs.any() else float("nan")
            for values in (f1[0], f1[chosen, range(len(labels))])
        )
    else:
        chosen, before, after = _best_psds(
            [intersection_changes(_through(recordings, one, frame_s), labels, PSDS1.criteria) for one in tried]
        )
    best = _mixed(counted, chosen)
    return Choice(
        tuple(tried[place] for place in chosen),
        tuple(_threshold(best, label) for label in labels),
        before,
        after,
    )


def _best_psds(counted: Sequence[Changes]) -> tuple[list[int], float, float]:
    """The filter of each class, PSDS1 without filters and with them.

    PSDS1 falls with the differences between classes, so what is best for a class alone may not be best for all. From
    no filter or the best of each class alone, whichever is better, each class in turn takes what is best for all.
    """
    classes = range(len(counted[0].labels))
    each = [psds_of(changes, PSDS1).by_class for changes in counted]
    alone = [int(np.argmax([own.get(label, 0.0) for own in each])) for label in counted[0].labels]
    none = [0 for _ in classes]
    before, after = (psds_of(_mixed(counted, places), PSDS1).value for places in (none, alone))
    best, chosen = max((before, none), (after, alone), key=lambda pair: pair[0])
    for k in classes:
        for place in range(len(counted)):
            other = [*chosen[:k], place, *chosen[k + 1 :]]
            if place != chosen[k] and (value := psds_of(_mixed(counted, other), PSDS1).value) > best:
                best, chosen = value, other
    return chosen, before, best


def _mixed(counted: Sequence[Changes], places: Sequence[int]) -> Changes:
    """The changes of each class's own candidate; what is true is the same in all."""
    return replace(counted[0], by_class=[counted[place].by_class[k] for k, place in enumerate(places)])


def _threshold(changes: Changes, label: str) -> float:
    """The threshold of best F1, above 0 and at most 1; .5 where nothing is true or finding nothing is best."""
    best = changes.curve(label).best_threshold
    return float(np.clip(best, np.finfo(np.float32).tiny, 1)) if changes.curve(label).true and best < np.inf else 0.5


def _frame_s(recordings: Sequence[ScoredRecording]) -> float:
    """The length of most frames [s]."""
    lengths = np.concatenate([np.diff(one.edges) for one in recordings] or [np.empty(0)])
    if not len(lengths):
        raise PostProcessError("there are no frames to choose a filter on: give recordings with scores.")
    return float(np.median(lengths))


def _through(recordings: Sequence[ScoredRecording], one: Filter, frame_s: float) -> list[ScoredRecording]:
    return [
        replace(recording, scores=filtered(recording.scores, [one] * recording.scores.shape[1], frame_s))
        for recording in recordings
    ]
