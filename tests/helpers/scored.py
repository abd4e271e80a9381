"""Random recordings with frame scores and true events."""

import numpy as np
from hypothesis import strategies as st

from hubbub.inference.events import Event
from hubbub.metrics.scored import ScoredRecording

LABELS = ("dog", "rain")
HOP_S = 0.1


@st.composite
def scored_recordings(draw: st.DrawFn, most: int = 3) -> list[ScoredRecording]:
    """A few recordings of up to two seconds; scores have ties, events may overlap, a recording may have no frames."""
    recordings = []
    for _ in range(draw(st.integers(1, most))):
        frames = draw(st.integers(0, 20))
        levels = draw(st.lists(st.integers(0, 4), min_size=2 * frames, max_size=2 * frames))
        rows = draw(st.lists(st.tuples(st.sampled_from(LABELS), st.integers(0, 19), st.integers(0, 9)), max_size=4))
        true = [Event(label, start / 10, (start + length) / 10, 1.0) for label, start, length in rows]
        scores = np.array(levels, float).reshape(frames, 2) / 4
        recordings.append(ScoredRecording(scores, np.arange(frames + 1) * HOP_S, true, 2.0))
    return recordings


def found_at(recording: ScoredRecording, threshold: float) -> list[Event]:
    """The events that are found at a threshold, frame by frame."""
    found = []
    for k, label in enumerate(LABELS):
        active = np.concatenate([[False], recording.scores[:, k] >= threshold, [False]])
        (changes,) = np.nonzero(active[1:] != active[:-1])
        found += [
            Event(label, float(recording.edges[first]), float(recording.edges[last]), 1.0)
            for first, last in zip(changes[::2], changes[1::2], strict=True)
        ]
    return found
