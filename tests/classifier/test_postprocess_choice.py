"""postprocess_choice: the filters chosen are those that score best when each is tried by itself."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hubbub.classifier.event_thresholds import FILTERED
from hubbub.classifier.postprocess import Filter, PostProcessError, filtered
from hubbub.classifier.postprocess_choice import FILTERS, choose
from hubbub.classifier.prediction import Event
from hubbub.metrics.event_changes import collar_changes, segment_changes
from hubbub.metrics.event_curves import Changes
from hubbub.metrics.psds import PSDS1, psds
from hubbub.metrics.scored import ScoredRecording

LABELS = ("long", "knocks", "never")
FRAME_S = 0.04


def recording(seed: int, frames: int = 1500) -> ScoredRecording:
    """Scores of a long sound that break off for moments, of short knocks, and of noise; and the events behind them."""
    rng = np.random.default_rng(seed)
    scores, true = rng.beta(1, 12, (frames, 3)), []
    for start in range(100, frames - 100, 300):
        at = start + int(rng.integers(50))
        true.append(Event("long", at * FRAME_S, (at + 90) * FRAME_S, 1.0))
        scores[at : at + 90, 0] = rng.beta(4, 2, 90)
        knock = at + int(rng.integers(100, 150))
        true.append(Event("knocks", knock * FRAME_S, (knock + 5) * FRAME_S, 1.0))
        scores[knock : knock + 5, 1] = rng.beta(6, 3)
    for start in rng.integers(0, frames - 20, 6):
        scores[start : start + 3, 0] = rng.beta(5, 2)
    return ScoredRecording(scores, np.arange(frames + 1) * FRAME_S, true)


RECORDINGS = [recording(seed) for seed in range(3)]


def through(filters: tuple[Filter, ...]) -> list[ScoredRecording]:
    return [replace(one, scores=filtered(one.scores, filters, FRAME_S)) for one in RECORDINGS]


@pytest.mark.parametrize(
    ("aim", "counted", "gain"), [("event_f1", collar_changes, 0.3), ("segment_f1", segment_changes, 0.05)]
)
def test_f1_is_the_best_of_each_class(aim: Any, counted: Callable[..., Changes], gain: float) -> None:
    chosen = choose(RECORDINGS, LABELS, aim)
    alone = [counted(through((one,) * 3), LABELS) for one in FILTERS]
    for k, label in enumerate(LABELS[:2]):
        values = [changes.curve(label).best_f1 for changes in alone]
        assert chosen.filters[k] == FILTERS[int(np.argmax(values))]
    assert chosen.filters[0].kind != "none" and chosen.after > chosen.before + gain
    changes = counted(through(chosen.filters), LABELS)
    assert chosen.after == pytest.approx(np.mean([changes.curve(label).best_f1 for label in LABELS[:2]]))
    reached = changes.at(dict(zip(LABELS, chosen.thresholds, strict=True)))
    assert np.mean([reached.by_class[label] for label in LABELS[:2]]) == pytest.approx(chosen.after)


def test_psds1_is_that_of_all_classes_and_never_worse_than_without() -> None:
    chosen = choose(RECORDINGS, LABELS, "psds1")
    assert chosen.before == psds(RECORDINGS, LABELS, PSDS1).value
    assert chosen.after == psds(through(chosen.filters), LABELS, PSDS1).value
    assert chosen.after > chosen.before + 0.1
    for one in FILTERS:
        assert chosen.after >= psds(through((one, *chosen.filters[1:])), LABELS, PSDS1).value


@pytest.mark.parametrize("aim", FILTERED)
def test_bad_candidates_are_worse_than_none_and_are_not_taken(aim: str) -> None:
    knocks = [replace(one, scores=one.scores[:, 1:2]) for one in RECORDINGS]
    chosen = choose(knocks, ("knocks",), aim, [Filter("median", 1.0)])  # type: ignore[arg-type]
    assert chosen.filters == (Filter(),)
    assert chosen.after == chosen.before > 0


def test_a_class_that_never_sounds_has_no_filter_and_the_usual_threshold() -> None:
    for aim in FILTERED:
        chosen = choose(RECORDINGS, LABELS, aim)  # type: ignore[arg-type]
        assert (chosen.filters[2], chosen.thresholds[2]) == (Filter(), 0.5)


def test_nothing_true_anywhere_leaves_all_as_it_is() -> None:
    silent = [replace(one, true=[]) for one in RECORDINGS]
    for aim in FILTERED:
        chosen = choose(silent, LABELS, aim)  # type: ignore[arg-type]
        assert chosen.filters == (Filter(),) * 3 and chosen.thresholds == (0.5,) * 3
        assert np.isnan(chosen.before) and np.isnan(chosen.after)


def test_frames_are_needed() -> None:
    with pytest.raises(PostProcessError, match="there are no frames"):
        choose([], LABELS, "event_f1")
