"""event_intervals: draws only weigh what was counted once."""

import numpy as np
import pytest

from hubbub.inference.events import Event
from hubbub.metrics.classification import MetricsError
from hubbub.metrics.event_changes import collar_changes, intersection_changes
from hubbub.metrics.event_curves import best_f1
from hubbub.metrics.event_intervals import best_f1_intervals, bootstrap, f1_intervals, psds_interval
from hubbub.metrics.events import Counts, event_based
from hubbub.metrics.psds import PSDS1, psds_of
from hubbub.metrics.scored import ScoredRecording

LABELS = ("dog",)


def recordings(count: int) -> list[ScoredRecording]:
    """A minute each, in which the dog of 20 to 30 s is found or not, and sometimes a false one from 40 s on."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(count):
        scores = np.full((60, 1), 0.1)
        scores[20:30] = rng.choice([0.9, 0.2], p=[0.7, 0.3])
        scores[40:45] = rng.choice([0.6, 0.1], p=[0.2, 0.8])
        made.append(ScoredRecording(scores, np.arange(61.0), [Event("dog", 20.0, 30.0, 1.0)]))
    return made


def test_the_interval_of_recall_is_that_of_the_share_of_recordings() -> None:
    changes = collar_changes(recordings(100), LABELS)
    counts = changes.at(0.5)
    found = f1_intervals(counts, changes.seconds, resamples=2000)
    assert set(found) == {"f1", "macro_f1", "precision", "recall", "false_an_hour"}
    low, high = found["recall"] or (0, 0)
    assert low < counts.recall < high
    error = np.sqrt(counts.recall * (1 - counts.recall) / 100)
    assert (high - low) / (2 * 1.96 * error) == pytest.approx(1, abs=0.1)
    low, high = found["false_an_hour"] or (0, 0)
    assert low < counts.false_an_hour(changes.seconds.sum())[0] < high


def test_the_figure_is_within_its_interval() -> None:
    made = recordings(40)
    (best,) = best_f1_intervals(collar_changes(made, LABELS), resamples=200).values()
    assert best is not None and best[0] < best_f1(collar_changes(made, LABELS))[0] < best[1]
    changes = intersection_changes(made, LABELS, PSDS1.criteria)
    interval = psds_interval(changes, PSDS1, resamples=200)
    assert interval is not None and interval[0] < psds_of(changes, PSDS1).value < interval[1]


def simulated(recordings: int, rng: np.random.Generator) -> Counts:
    """A minute each, of two classes: some recordings have more events, and some are harder than others."""
    shape = (recordings, 2)
    true = rng.poisson(rng.gamma(2, 1.5, (recordings, 1)), shape)
    hits = rng.binomial(true, rng.beta(6, 2, (recordings, 1)))
    return Counts(("dog", "cat"), np.stack([hits, rng.poisson(rng.gamma(1, 0.8, shape)), true - hits], axis=-1))


def test_the_intervals_hold_the_true_figures_of_simulated_recordings() -> None:
    """Sixty recordings; the truth is that of 200,000. A bootstrap of few recordings covers a little less than 95 %."""
    rng, held, times = np.random.default_rng(0), dict[str, int](), 200
    many = simulated(200_000, rng)
    truth = {name: getattr(many, name) for name in ("f1", "macro_f1", "precision", "recall")}
    truth["false_an_hour"] = many.false_an_hour(60.0 * len(many.each)).sum()
    for _ in range(times):
        for name, ends in f1_intervals(simulated(60, rng), np.full(60, 60.0), 300).items():
            held[name] = held.get(name, 0) + (ends is not None and ends[0] <= truth[name] <= ends[1])
    assert all(0.91 <= count / times <= 0.98 for count in held.values()), held


@pytest.mark.slow
def test_the_interval_of_psds_holds_that_of_many_recordings() -> None:
    rng, held, times = np.random.default_rng(1), 0, 60
    everything = recordings(2_000)
    truth = psds_of(intersection_changes(everything, LABELS, PSDS1.criteria), PSDS1).value
    for _ in range(times):
        some = [everything[number] for number in rng.integers(len(everything), size=40)]
        interval = psds_interval(intersection_changes(some, LABELS, PSDS1.criteria), PSDS1, 100)
        held += interval is not None and interval[0] <= truth <= interval[1]
    assert held / times >= 0.85, held


def test_draws_repeat_with_their_seed() -> None:
    changes = intersection_changes(recordings(10), LABELS, PSDS1.criteria)
    first, again, other = (psds_interval(changes, PSDS1, 50, seed) for seed in (1, 1, 2))
    assert first == again != other


def test_one_recording_has_no_interval_and_a_class_that_never_sounds_neither() -> None:
    one = recordings(1)
    counts = event_based([one[0].true], [one[0].true], LABELS)
    assert set(f1_intervals(counts, [60.0], 10).values()) == {None}
    silent = [ScoredRecording(r.scores, r.edges, []) for r in recordings(3)]
    assert best_f1_intervals(collar_changes(silent, LABELS), 10) == {"dog": None}
    assert psds_interval(intersection_changes(silent, LABELS, PSDS1.criteria), PSDS1, 10) is None
    with pytest.raises(MetricsError, match="nothing to draw"):
        bootstrap(lambda weights: weights.astype(float), 0)
