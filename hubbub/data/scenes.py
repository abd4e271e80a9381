"""Plan and mix scenes: real clips at known times, several at once, over a background.

An event is a sounding stretch of a clip, not the silence around it, so that its times are true. `plan` decides what
happens when; `mix` makes the samples. The idea is that of Scaper (Salamon et al. 2017,
https://doi.org/10.1109/WASPAA.2017.8170052). The room is Polack's statistical model, as in `augment.waveform.Reverb`.
This module opens no files and knows no data set.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from numpy.random import Generator
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq

from hubbub.data.synthetic import generator
from hubbub.errors import HubbubError, count

__all__ = [
    *("BACKGROUND_S", "BELOW_DB", "JOIN_S", "LONGEST_S", "PEAK_DB", "RT60_S", "Event", "Scene", "SceneSettings"),
    *("ScenesError", "Stretch", "mix", "plan", "reverberate", "sounding"),
]

Wave = npt.NDArray[np.float32]
T = TypeVar("T")

# What sounds in a clip. On most of 63 clips of ESC-50, 20 dB parted barks, clicks and ticks from the noise around them.
FRAME_S, LOUD_FRAMES = 0.02, 5
BELOW_DB = 20.0  # A frame sounds if its level is at most so far below the loudest tenth of a second ...
NEAR_DB = 10.0  # ... and its stretch has a frame as near to that.
JOIN_S = 0.5  # Shorter gaps are part of a stretch; events of one class in a scene are at least so far apart.
# A scene.
LENGTH_S = (5.0, 600.0)
LONGEST_S = 10.0  # Of a longer stretch a random part is used.
BUSY = (0.05, 0.4)  # Share of the possible seconds of events (length times the most at once) that a scene aims at.
ATTEMPTS = 30  # So many draws in a row that find no free place end a scene.
FADE_S = 0.005  # At both ends of an event.
RT60_S, WET = (0.2, 0.8), (0.1, 0.5)  # Of a scene; the reverberation's share of an event's energy.
PEAK_DB = (-12.0, -1.0)  # Of a scene, to full scale.
# Background.
BACKGROUND_S = 2.0  # A clip of a background class is used if it sounds for so long.
CROSSFADE_S = 0.5
SLOPE, LOWEST_HZ = (1.0, 2.0), 50.0  # Noise of power f**-slope, flat below.
DRIFT_DB, DRIFT_HZ = 3.0, 0.5  # How far and how often the level of noise turns.


class ScenesError(HubbubError):
    """Scenes cannot be made with these settings."""


@dataclass(frozen=True)
class SceneSettings:
    """How many hours of scenes, how long each is, how many events sound at once at most, their SNR over the background
    [dB] from, to, the share of scenes in a room, and the seed."""

    hours: float = 1.0
    length_s: float = 60.0
    overlap: int = 3
    snr_db: tuple[float, float] = (-3.0, 20.0)
    reverb: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.hours < np.inf:
            raise ScenesError(f"{self.hours:g} hours of scenes were asked for (--hours). Give a number above 0.")
        if not LENGTH_S[0] <= self.length_s <= LENGTH_S[1]:
            raise ScenesError(
                f"scenes of {self.length_s:g} s were asked for (--length). Give {LENGTH_S[0]:g} to {LENGTH_S[1]:g}."
            )
        if self.overlap < 1:
            raise ScenesError(f"{self.overlap} events at once were asked for (--overlap). Give 1 or more.")
        low, high = self.snr_db
        if not -np.inf < low <= high < np.inf:
            raise ScenesError(
                f"an SNR from {low:g} to {high:g} dB is no range (--snr). Give the lower number first: --snr -3 20"
            )
        if not 0 <= self.reverb <= 1:
            raise ScenesError(f"a share of {self.reverb:g} of the scenes in a room (--reverb) is not from 0 to 1.")
        if self.seed < 0:
            raise ScenesError(f"the seed {self.seed} is below 0 (--seed). Give another.")

    @property
    def scenes(self) -> int:
        return max(1, round(self.hours * 3600 / self.length_s))


@dataclass(frozen=True)
class Stretch:
    """A part of a clip that sounds, from `start` to `end` [s] in the file `path`; `source` is the clip's recording."""

    clip: str
    path: str
    label: str
    source: str
    fold: str
    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start


@dataclass(frozen=True)
class Event:
    """A stretch that begins at `onset` [s] of a scene, `snr_db` over the scene's background."""

    stretch: Stretch
    onset: float
    snr_db: float

    @property
    def label(self) -> str:
        return self.stretch.label

    @property
    def offset(self) -> float:
        return self.onset + self.stretch.seconds


@dataclass(frozen=True)
class Scene:
    """A recording to be mixed. An empty `background` is noise; `rt60_s` of 0 is no room; `peak_db` is to full scale."""

    name: str
    fold: str
    seconds: float
    seed: int
    events: tuple[Event, ...]
    background: tuple[Stretch, ...]
    rt60_s: float
    peak_db: float

    @property
    def at_once(self) -> int:
        """How many events sound at once at most."""
        return max(_at(self.events, event.onset) for event in self.events)


def sounding(wave: Wave, rate_hz: int) -> list[tuple[float, float]]:
    """The stretches [s] of a wave `[T]` that sound; none in digital silence.

    Frames of 20 ms count whose level is at most `BELOW_DB` below the loudest tenth of a second; gaps shorter than
    `JOIN_S` are closed; a stretch has a frame at most `NEAR_DB` below. Where the noise of a recording is less than
    `BELOW_DB` below its sound, it counts as sound.
    """
    size = max(1, round(FRAME_S * rate_hz))
    frames = np.zeros(-(-len(wave) // size) * size)
    frames[: len(wave)] = wave - np.mean(wave, dtype=np.float64)
    power = np.square(frames.reshape(-1, size)).mean(axis=1)
    several = min(LOUD_FRAMES, len(power))
    loud = np.convolve(power, np.full(several, 1 / several), "valid").max()
    if loud < 1e-12:  # -120 dB to full scale
        return []
    edges = np.flatnonzero(np.diff(np.concatenate([[False], power > loud * 10 ** (-BELOW_DB / 10), [False]])))
    joined: list[list[int]] = []
    for first, last in edges.reshape(-1, 2):
        if joined and (first - joined[-1][1]) * size < JOIN_S * rate_hz:
            joined[-1][1] = last
        else:
            joined.append([first, last])
    near = loud * 10 ** (-NEAR_DB / 10)
    ends = ((first * size, min(last * size, len(wave))) for first, last in joined if power[first:last].max() >= near)
    return [(first / rate_hz, last / rate_hz) for first, last in ends]


def plan(stretches: Sequence[Stretch], backgrounds: Sequence[Stretch], asked: SceneSettings) -> list[Scene]:
    """The scenes, fold by fold, with stretches of one fold each; a fold has as many as it has clips in proportion.

    Classes are equally likely, and every clip of a class and fold occurs once before any occurs again. Events of one
    class do not overlap. A scene has at least one event. Raises `ScenesError` where there are fewer scenes than folds.
    """
    folds = list(dict.fromkeys(stretch.fold for stretch in stretches))
    if asked.scenes < len(folds):
        raise ScenesError(
            f"{asked.hours:g} hours are {count(asked.scenes, 'scene')} of {asked.length_s:g} s, fewer than the "
            f"{len(folds)} folds. Ask for more hours (--hours) or shorter scenes (--length)."
        )
    sizes = np.array([len({one.clip for one in stretches if one.fold == fold}) for fold in folds])
    counts = np.ones(len(folds))
    for _ in range(asked.scenes - len(folds)):
        counts[np.argmax(sizes / counts)] += 1
    digits, number, planned = len(str(asked.scenes)), 0, list[Scene]()
    for fold, scenes in zip(folds, counts.astype(int), strict=True):
        rng = generator(asked.seed, fold, "decks")
        decks, under = (_decks([one for one in some if one.fold == fold], rng) for some in (stretches, backgrounds))
        for _ in range(scenes):
            number += 1
            planned.append(_scene(f"scene-{number:0{digits}d}", fold, decks, under, asked))
    return planned


def mix(scene: Scene, rate_hz: int, read: Callable[[Stretch], Wave]) -> Wave:
    """The samples `[T]` of a scene, float32 in [-1, 1]; `read` gives the wave of a stretch at `rate_hz`."""
    rng = generator(scene.seed, scene.name, "mix")
    size = round(scene.seconds * rate_hz)
    wave = _joined([read(one) for one in scene.background], size, rate_hz) if scene.background else None
    mixed = _unit(_noise(rng, size, rate_hz) if wave is None else wave)
    for event in scene.events:
        sound = _faded(read(event.stretch), rate_hz)
        length = len(sound)
        if scene.rt60_s:
            sound = reverberate(sound, rate_hz, scene.rt60_s, rng.uniform(*WET), rng)
        level = np.sqrt(np.mean(np.square(sound[:length]), dtype=np.float64))
        under = mixed[round(event.onset * rate_hz) :][: len(sound)]
        under += sound[: len(under)] * np.float32(10 ** (event.snr_db / 20) / max(level, 1e-9))
    return mixed * np.float32(10 ** (scene.peak_db / 20) / np.abs(mixed).max())


def reverberate(wave: Wave, rate_hz: int, rt60_s: float, wet: float, rng: Generator) -> Wave:
    """A wave `[T]` in a room, with its tail: the direct sound stays where it is, white noise that decays by 60 dB in
    `rt60_s` follows; `wet` is the share of its energy."""
    times = np.arange(1, round(rt60_s * rate_hz)) / rate_hz
    tail = rng.standard_normal(len(times)) * 10 ** (-3 * times / rt60_s)
    response = np.concatenate([[np.sqrt(1 - wet)], tail * np.sqrt(wet / np.square(tail).sum())])
    length = len(wave) + len(response) - 1
    size = next_fast_len(length, real=True)
    both = rfft(wave, size) * rfft(response.astype(np.float32), size)
    return np.asarray(irfft(both, size)[:length], dtype=np.float32)


class _Deck:
    """Draws one stretch of a clip after another, in random order, every clip once before any again."""

    def __init__(self, stretches: Sequence[Stretch], rng: Generator) -> None:
        by_clip: dict[str, list[Stretch]] = {}
        for one in stretches:
            by_clip.setdefault(one.clip, []).append(one)
        self._clips, self._rng = list(by_clip.values()), rng
        self._left: list[int] = []

    def draw(self) -> Stretch:
        self._left = self._left or self._rng.permutation(len(self._clips)).tolist()
        return _pick(self._clips[self._left.pop()], self._rng)


def _decks(stretches: Sequence[Stretch], rng: Generator) -> list[_Deck]:
    """A deck for each class."""
    labels = sorted({one.label for one in stretches})
    return [_Deck([one for one in stretches if one.label == label], rng) for label in labels]


def _scene(name: str, fold: str, decks: list[_Deck], under: list[_Deck], asked: SceneSettings) -> Scene:
    rng = generator(asked.seed, name, "plan")
    wanted, events, failed = rng.uniform(*BUSY) * asked.overlap * asked.length_s, list[Event](), 0
    while failed < ATTEMPTS and sum(event.stretch.seconds for event in events) < wanted:
        stretch = _shortened(_pick(decks, rng).draw(), min(LONGEST_S, asked.length_s), rng)
        onset = int(1000 * rng.uniform(0, asked.length_s - stretch.seconds)) / 1000
        event = Event(stretch, onset, round(rng.uniform(*asked.snr_db), 2))
        fits = _fits(event, events, asked.overlap)
        failed = 0 if fits else failed + 1
        events += [event] * fits
    background = tuple(_pieces(_pick(under, rng), asked.length_s, rng)) if under else ()
    rt60_s = round(rng.uniform(*RT60_S), 3) if rng.random() < asked.reverb else 0.0
    ordered = tuple(sorted(events, key=lambda event: (event.onset, event.label)))
    return Scene(name, fold, asked.length_s, asked.seed, ordered, background, rt60_s, round(rng.uniform(*PEAK_DB), 2))


def _pick(items: Sequence[T], rng: Generator) -> T:
    return items[int(rng.integers(len(items)))]


def _shortened(stretch: Stretch, longest_s: float, rng: Generator) -> Stretch:
    """A stretch, or a random part of it if it is longer than `longest_s`."""
    if stretch.seconds <= longest_s:
        return stretch
    start = round(stretch.start + rng.uniform(0, stretch.seconds - longest_s), 3)
    return replace(stretch, start=start, end=start + longest_s)


def _fits(event: Event, events: Sequence[Event], most: int) -> bool:
    """Whether an event can be added to others: none of its class within `JOIN_S`, never more than `most` at once."""
    for other in events:
        if other.label == event.label and other.onset < event.offset + JOIN_S and event.onset < other.offset + JOIN_S:
            return False
    beside = [one for one in events if one.onset < event.offset and event.onset < one.offset]
    return all(_at(beside, max(one.onset, event.onset)) < most for one in (event, *beside))


def _at(events: Sequence[Event], time: float) -> int:
    return sum(event.onset <= time < event.offset for event in events)


def _pieces(deck: _Deck, seconds: float, rng: Generator) -> Iterator[Stretch]:
    """Stretches that fill so many seconds when they are joined."""
    reach = 0.0
    while reach < seconds:
        piece = _shortened(deck.draw(), seconds, rng)
        reach += piece.seconds - CROSSFADE_S * (reach > 0)
        yield piece


def _joined(waves: Sequence[Wave], size: int, rate_hz: int) -> Wave:
    """Waves of one level in a row `[size]`, crossfaded with equal power."""
    fade = round(CROSSFADE_S * rate_hz)
    rise = np.sin(np.linspace(0, np.pi / 2, fade, dtype=np.float32))
    joined, at = np.zeros(size, np.float32), 0
    for number, wave in enumerate(waves):
        piece = _unit(wave)
        if number:
            piece[:fade] *= rise
        if number < len(waves) - 1:
            piece[-fade:] *= rise[::-1]
        under = joined[at:][: len(piece)]
        under += piece[: len(under)]
        at += len(piece) - fade
    return joined


def _noise(rng: Generator, size: int, rate_hz: int) -> Wave:
    """Noise between pink and brown `[size]`, whose level drifts."""
    full = next_fast_len(size, real=True)
    hertz = np.maximum(rfftfreq(full, 1 / rate_hz).astype(np.float32), LOWEST_HZ)
    heights = hertz ** np.float32(-rng.uniform(*SLOPE) / 2)
    spectrum = rng.standard_normal(2 * len(heights), dtype=np.float32).view(np.complex64)
    wave = np.asarray(irfft(spectrum * heights, full)[:size], dtype=np.float32)
    gains = 10 ** (rng.uniform(-DRIFT_DB, DRIFT_DB, 2 + int(DRIFT_HZ * size / rate_hz)) / 20)
    return wave * np.interp(np.linspace(0, len(gains) - 1, size), np.arange(len(gains)), gains).astype(np.float32)


def _faded(wave: Wave, rate_hz: int) -> Wave:
    fade = min(round(FADE_S * rate_hz), len(wave) // 2)
    ramp = np.linspace(0, 1, fade, endpoint=False, dtype=np.float32)
    wave = wave.copy()
    wave[:fade] *= ramp
    wave[len(wave) - fade :] *= ramp[::-1]
    return wave


def _unit(wave: Wave) -> Wave:
    """The wave at an rms of 1."""
    return np.asarray(wave / max(np.sqrt(np.mean(np.square(wave), dtype=np.float64)), 1e-9), dtype=np.float32)
