"""The score that an event of each class reaches, chosen on segments of validation clips for the aim of the recipe.

The segments of a clip of one label count as holding its class throughout, and no other: thresholds are of segments, and
an event may last over several. Of clips with label sets, the score at which a clip holds a class is chosen likewise.
"""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from hubbub.config.sections import Evaluate
from hubbub.metrics import thresholds
from hubbub.metrics.thresholds import Thresholds

__all__ = ["DEFAULT", "FILTERED", "FilteredAim", "choose", "describe"]

#: The threshold of events of classifiers that have none of their own.
DEFAULT = 0.5
#: The aims for which frame scores are filtered too (`postprocess_choice`).
FilteredAim = Literal["event_f1", "segment_f1", "psds1"]
FILTERED: tuple[FilteredAim, ...] = get_args(FilteredAim)
#: What thresholds are chosen for, in words; `{}` is the aim.
AIMS = {
    "best_f1": "the best F1 of segments",
    "precision": "a precision of {:g}",
    "false_alarms": "{:g} false alarms an hour",
    "event_f1": "the best F1 of events (onsets within 200 ms), with filters of frame scores",
    "segment_f1": "the best F1 of seconds, with filters of frame scores",
    "psds1": "PSDS1 and the best F1 of events, with filters of frame scores",
}


def choose(
    targets: npt.NDArray[Any], scores: npt.NDArray[np.float32], evaluate: Evaluate, seconds: float
) -> tuple[float, ...] | None:
    """The threshold of each class `[K]`, at most 1, from calibrated probabilities `[S, K]` of segments of classes
    `[S]`, or of label sets `[S, K]` (-1: not annotated), that last `seconds` together; None where the recipe asks for
    none."""
    if evaluate.events == "none":
        return None
    if evaluate.events in FILTERED:  # of whole events: here those of segments, for clips
        evaluate = evaluate.model_copy(update={"events": "best_f1"})
    present = targets > 0 if targets.ndim == 2 else targets[:, None] == np.arange(scores.shape[1])
    known = targets >= 0 if targets.ndim == 2 else np.ones(scores.shape, dtype=bool)
    if evaluate.events == "best_f1":
        found: Thresholds = thresholds.best_f1(present, scores, known)
    elif evaluate.events == "precision":
        assert evaluate.aim is not None
        found = thresholds.keep_precision(present, scores, evaluate.aim, known)
    else:
        assert evaluate.aim is not None
        hours = seconds / 3600 * np.maximum(known.mean(axis=0), np.finfo(np.float64).tiny)
        found = thresholds.limit_false_alarms(present, scores, evaluate.aim, hours, known)
    # An event reaches a threshold of 1 where a score is 1; a threshold of 0 would make an event of everything.
    return tuple(np.clip(found.values, np.finfo(np.float32).tiny, 1.0).tolist())


def describe(evaluate: Evaluate, labels: Sequence[str], chosen: Sequence[float] | None) -> str:
    """The thresholds of events in words: what they are for, the lowest and the highest; "" where there are none."""
    if chosen is None:
        return ""
    low, high = int(np.argmin(chosen)), int(np.argmax(chosen))
    span = f"from {chosen[low]:.2f} ({labels[low]}) to {chosen[high]:.2f} ({labels[high]})"
    return f"each class reaches a score of its own, {span}, chosen for {AIMS[evaluate.events].format(evaluate.aim)}"
