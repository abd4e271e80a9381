"""scenes: what is said to happen happens then, and not at other times."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import scenes
from hubbub.data import synthetic
from hubbub.data.synthetic import SAMPLE_RATE_HZ, SyntheticError

CLIPS = [clip for clip in synthetic.plan(40, 2) if clip.fold == 1]


def test_events_stand_one_after_another_with_pauses_between() -> None:
    planned = scenes.plan(CLIPS, 5, seed=3)
    for scene in planned:
        edges = np.array([[0, 0], *((e.start, e.end) for e in scene.events)])
        pauses = edges[1:, 0] - edges[:-1, 1]
        assert len(scene.events) >= 4 and (pauses > 0.99).all() and (pauses < 8.01).all()
        assert scene.events[-1].end <= scene.seconds == 60
        assert {clip.source for clip in scene.clips} <= {clip.source for clip in CLIPS}
    assert scenes.plan(CLIPS, 5, seed=3) == planned != scenes.plan(CLIPS, 5, seed=4)


def test_the_sound_differs_from_its_traffic_where_events_are_and_nowhere_else() -> None:
    (scene,) = scenes.plan(CLIPS, 1, seconds=20)
    wave, quiet = scenes.render(scene), scenes.render(replace(scene, clips=()))
    assert wave.dtype == np.float32 and len(wave) == 20 * SAMPLE_RATE_HZ and np.abs(wave).max() == pytest.approx(0.5)
    inside = np.zeros(len(wave), bool)
    for event in scene.events:
        inside[round(event.start * SAMPLE_RATE_HZ) : round(event.end * SAMPLE_RATE_HZ)] = True
    assert 0.1 < inside.mean() < 0.9
    gain = float(wave[~inside] @ quiet[~inside] / (quiet[~inside] @ quiet[~inside]))  # the peak is another
    np.testing.assert_allclose(wave[~inside], gain * quiet[~inside], atol=1e-5)
    difference = (wave - gain * quiet) ** 2
    for event in scene.events:
        sound = difference[round(event.start * SAMPLE_RATE_HZ) : round(event.end * SAMPLE_RATE_HZ)]
        assert sound.mean() > 1e-8


def test_a_scene_that_can_hold_nothing_is_refused() -> None:
    for clips, number, seconds in (([], 1, 60.0), (CLIPS, 0, 60.0), (CLIPS, 1, 5.0)):
        with pytest.raises(SyntheticError, match="scenes of"):
            scenes.plan(clips, number, seconds=seconds)
