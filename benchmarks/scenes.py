"""`street` scenes: recordings of a minute or so in which several events happen one after another, when is known.

The events are those of `street`'s clips, of the same sources, in traffic of their own; so a classifier can be asked to
find sources that it has not heard. This room does not know events that overlap.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hubbub.data import synthetic
from hubbub.data.synthetic import StreetClip, SyntheticError
from hubbub.inference.events import Event

__all__ = ["Scene", "plan", "render"]

SECONDS, PAUSE_S = 60.0, (1.0, 8.0)
PEAK = 0.5


@dataclass(frozen=True)
class Scene:
    """A recording of so many seconds; `clips` say what happens when."""

    name: str
    seed: int
    seconds: float
    clips: tuple[StreetClip, ...]

    @property
    def events(self) -> list[Event]:
        """What is true of it."""
        return [Event(clip.label, clip.onset, clip.offset, 1.0) for clip in self.clips]


def plan(clips: Sequence[StreetClip], scenes: int, seed: int = 0, seconds: float = SECONDS) -> list[Scene]:
    """Scenes of `seconds` made of some clips' events, drawn anew for each, with pauses of some seconds between."""
    if not clips or scenes < 1 or seconds < PAUSE_S[1]:
        raise SyntheticError(
            f"{scenes} scenes of {seconds:g} s from {len(clips)} clips were asked for; a scene needs a clip and "
            f"{PAUSE_S[1]:g} s. Ask for more."
        )
    planned = []
    for number in range(scenes):
        name = f"scene-{number + 1:03d}"
        rng, at, placed = synthetic.generator(seed, name, "plan"), 0.0, []
        while True:
            clip = clips[int(rng.integers(len(clips)))]
            onset = at + rng.uniform(*PAUSE_S)
            offset = onset + clip.offset - clip.onset
            if offset > seconds:
                break
            placed.append(replace(clip, onset=round(onset, 3), offset=round(offset, 3)))
            at = offset
        planned.append(Scene(name, seed, seconds, tuple(placed)))
    return planned


def render(scene: Scene) -> npt.NDArray[np.float32]:
    """The sound of a scene, float32 [T] in [-1, 1] at `synthetic.SAMPLE_RATE_HZ`."""
    mix = synthetic.traffic(synthetic.generator(scene.seed, scene.name, "traffic"), scene.seconds)
    for clip in scene.clips:
        synthetic.lay(mix, clip, synthetic.event(clip)[1])
    return np.asarray(mix * (PEAK / np.abs(mix).max()), dtype=np.float32)
