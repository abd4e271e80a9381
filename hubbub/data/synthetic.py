"""`street`: ten classes of city sound from seeded physical models, for when no recording is at hand.

The ideas, in own words: a voice is a pulse train through resonances (Fant, Acoustic Theory of Speech Production, 1960),
a bark one whose pitch falls (Riede and Fitch, J. Exp. Biol. 202, 1999); a plucked string is a noise burst in a lossy
loop (Karplus and Strong, Computer Music J. 7, 1983); a bullet drags an N-shaped wave (Whitham, Comm. Pure Appl. Math.
5, 1952), a muzzle's blast falls exponentially (Friedlander, Proc. R. Soc. A 186, 1946); engines, fans and gears are
sums over orders of a rotation. Sources are coloured at random and lie in traffic, so that an average spectrum tells
classes apart badly and the course in time tells them well. It does not know recordings (a score on it says nothing of
a real street), events that overlap, stereo, microphones or wind, and another numpy or scipy may change its bytes.
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt
from numpy.random import Generator
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq
from scipy.io import wavfile
from scipy.ndimage import uniform_filter1d

from hubbub.errors import HubbubError, did_you_mean
from hubbub.runtime import processes

__all__ = ["CLASSES", "CLIP_SECONDS", "SAMPLE_RATE_HZ", "StreetClip", "SyntheticError", "event", "lay", "plan",
           "random", "render", "traffic", "write"]  # fmt: skip

Wave = npt.NDArray[np.float64]
Modes = list[tuple[float, float, float]]  # Resonances: centre in Hz, bandwidth in Hz, gain at the centre.
Progress = Callable[[Iterable[Any], int], Iterable[Any]]
SAMPLE_RATE_HZ = 22050
CLIP_SECONDS = 4.0
CLIPS_PER_SOURCE = 4
SNR_DB = (-3.0, 18.0)  # Of an event over the background under it.
BRIEF_S, STEADY_S = (0.6, 2.4), (2.2, 4.0)  # How long an event lasts: from, to.
PEAK_DB = (-18.0, -1.0)  # Of a clip, to full scale.
COLOUR_DB = 5.0  # How far a source's equaliser goes up and down: more makes average spectra tell less.
SOUND_M_S = 343.0
TABLE = 4096
TAIL = SAMPLE_RATE_HZ // 2  # Samples in which a resonance or a room dies away.
ORDERS: Wave = np.arange(1, 120, dtype=np.float64)
# Talk, shout, laugh: syllables (fewest, below), seconds of one (from, to), height over the voice's own (from, to).
CALLS = ((3, 8, 0.1, 0.25, 1.0, 1.4), (1, 2, 0.35, 0.8, 1.4, 2.2), (4, 9, 0.07, 0.1, 1.0, 1.4))


class SyntheticError(HubbubError):
    """A street that cannot be synthesised as asked."""


@dataclass(frozen=True)
class StreetClip:
    """An event from `onset` to `offset` (in seconds), `snr_db` over the background there; `seed` is the data set's."""

    name: str
    label: str
    source: str
    fold: int
    seed: int
    snr_db: float
    onset: float
    offset: float


def random(seed: int, *keys: str) -> Generator:
    """A generator of its own for each seed and keys."""
    return np.random.default_rng([seed, *(crc32(key.encode()) for key in keys)])


def _samples(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE_HZ)


def _unit(wave: Wave) -> Wave:
    return np.asarray(wave / (np.sqrt(np.mean(wave**2)) + 1e-12))


def _add(wave: Wave, sound: Wave, at: float) -> None:
    """Lay a sound into the wave from `at` seconds on; what hangs over the end is cut."""
    under = wave[_samples(at) :][: len(sound)]
    under += sound[: len(under)]


def _drift(rng: Generator, size: int, rate_hz: float) -> Wave:
    """A wander within [-1, 1] that turns about `rate_hz` times a second, [size]."""
    knots = rng.uniform(-1, 1, 2 + int(rate_hz * size / SAMPLE_RATE_HZ))
    return np.interp(np.linspace(0, len(knots) - 1, size), np.arange(len(knots)), knots)


def _noise(rng: Generator, size: int, slope: float) -> Wave:
    """Noise of power f**-slope and rms 1, [size]: 0 is white, 1 pink, 2 brown."""
    heights = np.maximum(rfftfreq(next_fast_len(size + size % 2), 1 / SAMPLE_RATE_HZ), 25.0) ** (-slope / 2)
    return _unit(irfft(rng.standard_normal(2 * len(heights)).view(np.complex128) * heights)[:size])


def _tone(pitch_hz: Wave, partials: Wave) -> Wave:
    """A harmonic tone of rms 1 along a pitch curve [n], read from a table of one period; no partial passes Nyquist."""
    heard = partials[: int(SAMPLE_RATE_HZ / 2 / pitch_hz.max())]
    table = irfft(np.concatenate(([0.0], -1j * heard)), TABLE)
    return _unit(table[(np.cumsum(pitch_hz) * (TABLE / SAMPLE_RATE_HZ)).astype(np.int64) % TABLE])


def _resonate(wave: Wave, modes: Modes) -> Wave:
    """The wave [n] through parallel resonances, at an rms of 1."""
    size = next_fast_len(len(wave) + min(len(wave), TAIL), real=True)
    freqs = rfftfreq(size, 1 / SAMPLE_RATE_HZ)
    shares = (gain / (1j * freqs * width + centre**2 - freqs**2) * freqs * width for centre, width, gain in modes)
    return _unit(irfft(rfft(wave, size) * 1j * sum(shares), size)[: len(wave)])


def _modes(rng: Generator, count: int, low_hz: float, high_hz: float, q: float) -> Modes:
    """The resonances of a random body, spread over the octaves."""
    centres = low_hz * (high_hz / low_hz) ** ((np.arange(count) + rng.random(count)) / count)
    return list(zip(centres, centres / (q * rng.uniform(0.5, 2.0, count)), rng.uniform(0.3, 1.0, count), strict=True))


def _pulses(rng: Generator, rate_hz: Wave, jitter: float, strengths: Wave) -> Wave:
    """Impulses along a rate curve [n], off by `jitter` periods, their strengths taken in turn."""
    turns = np.cumsum(rate_hz) / SAMPLE_RATE_HZ
    due = np.arange(turns[-1])
    at = np.searchsorted(turns[:-1], due + jitter * rng.standard_normal(len(due)))
    return np.asarray(np.bincount(at, np.resize(strengths, len(due)), len(turns)), dtype=np.float64)


def _utter(rng: Generator, pitch_hz: Wave, tract: Modes, breath: float) -> Wave:
    """One call of a throat [n]: glottal pulses and breath through the tract, swelling and dying away."""
    swell = np.sin(np.pi * np.linspace(0, 1, len(pitch_hz)) ** 0.6)
    return _resonate((_tone(pitch_hz, ORDERS[:60] ** -0.8) + breath * _noise(rng, len(pitch_hz), 0)) * swell, tract)


# One model a class. Draws from `source` make the instrument, draws from `clip` what it does this time.
def _air_conditioner(source: Generator, clip: Generator, seconds: float) -> Wave:
    steady = 1 + 0.004 * _drift(clip, _samples(seconds), 1.0)
    fan = _tone(source.integers(3, 10) * source.uniform(11, 26) * steady, ORDERS[:30] ** -source.uniform(0.6, 2.0))
    hum = _tone(source.choice([100.0, 120.0]) * steady, source.random(20) * ORDERS[:20] ** -0.7)
    duct = _resonate(_noise(clip, len(steady), 0.5), _modes(source, 4, 200, 5000, 4))
    air = _noise(clip, len(steady), source.uniform(0.7, 1.8)) + source.uniform(0.2, 1.2) * duct
    return source.uniform(0.2, 0.9) * fan + source.uniform(0.2, 0.9) * hum + air


def _car_horn(source: Generator, clip: Generator, seconds: float) -> Wave:
    low, third = source.uniform(320, 480), source.choice([1.2, 1.25]) * source.uniform(0.997, 1.003)
    partials = ORDERS[:40] ** -source.uniform(0.3, 1.0)
    honks, duty = clip.integers(1, 2 + min(3, int(seconds / 0.6))), clip.uniform(0.55, 0.85)
    course = np.linspace(0, honks - 1 + duty, _samples(seconds)) % 1  # The last honk ends with the event.
    gate = uniform_filter1d((course < duty).astype(np.float64), _samples(source.uniform(0.01, 0.04)))
    pitch = low * (1 - 0.04 * np.exp(-course * seconds / honks / 0.03))
    # Tones at nearly 6:5 or 5:4 have harmonics that nearly meet: they beat.
    chord = _tone(pitch, partials) + source.uniform(0.5, 1.0) * _tone(pitch * third, partials)
    return _resonate(chord, [(source.uniform(300, 900), 900, 1), (source.uniform(1500, 3500), 1500, 1)]) * gate


def _children_playing(source: Generator, clip: Generator, seconds: float) -> Wave:
    wave = np.zeros(_samples(seconds))
    for voice in range(source.integers(3, 7)):
        pitch, size, near = source.uniform(240, 480), source.uniform(0.85, 1.25), source.uniform(0.3, 1.0)
        at = 0.0 if voice == 0 else clip.uniform(0, 0.8)
        while at < seconds:
            fewest, most, shortest, longest, lowest, highest = CALLS[clip.integers(len(CALLS))]
            rise = clip.uniform(lowest, highest)
            for _ in range(clip.integers(fewest, most)):
                arc = np.linspace(-1, 1, _samples(clip.uniform(shortest, longest)))
                call = pitch * rise * (1 - clip.uniform(0.05, 0.25) * arc**2 + clip.uniform(-0.08, 0.08) * arc)
                centres = np.array([750, 1900, 3600]) * clip.uniform(0.6, 1.5, 3) * size
                vowel: Modes = list(zip(centres, (140, 220, 400), (1.0, 0.6, 0.3), strict=True))
                _add(wave, near * _utter(clip, call, vowel, clip.uniform(0.1, 0.5)), at)
                at, rise = at + len(arc) / SAMPLE_RATE_HZ + 0.09, rise * clip.uniform(0.88, 1.08)
            at += clip.uniform(0.1, 0.7)
    return wave


def _dog_bark(source: Generator, clip: Generator, seconds: float) -> Wave:
    size, lasts, hoarse = source.uniform(0.6, 1.7), source.uniform(0.1, 0.24), source.uniform(0.2, 1.2)
    tract: Modes = [(f / size * source.uniform(0.8, 1.2), f * 0.2, 400 / f) for f in (700, 1500, 2900)]
    wave, course = np.zeros(_samples(seconds)), np.linspace(0, 1, _samples(lasts))
    pitch = source.uniform(380, 700) / size * (1 + 0.25 * np.sin(np.pi * np.sqrt(course)) - 0.45 * course)
    starts = np.linspace(0, seconds - lasts, 2 + int((seconds - lasts) / source.uniform(0.28, 0.55)))
    # A bout leaves barks out, but for the first and the last, which are the event's ends.
    for start in starts[(clip.random(len(starts)) < 0.75) | (starts == 0) | (starts == starts[-1])]:
        _add(wave, clip.uniform(0.6, 1.0) * _utter(clip, pitch * clip.uniform(0.92, 1.08), tract, hoarse), start)
    return wave


def _drilling(source: Generator, clip: Generator, seconds: float) -> Wave:
    times, teeth = np.linspace(0, seconds, _samples(seconds)), int(source.integers(6, 13))
    load = uniform_filter1d((_drift(clip, len(times), 1.5) > -0.2).astype(np.float64), _samples(0.15))
    spin = np.minimum(1, 0.35 + times / source.uniform(0.15, 0.4)) * (1 - source.uniform(0.08, 0.25) * load)
    turn = source.uniform(90, 240) * spin * (1 + 0.01 * _drift(clip, len(times), 20.0))
    # Meshing teeth ring at multiples of their number; an uneven gear puts the orders beside them.
    mesh = np.exp(-np.abs((ORDERS + teeth / 2) % teeth - teeth / 2) / source.uniform(0.2, 0.8))
    whine = _tone(turn, mesh * ORDERS ** -source.uniform(0.3, 1.0) * source.uniform(0.3, 1.0, len(ORDERS)))
    cut = _resonate(_noise(clip, len(times), 0.3), _modes(source, 6, 700, 7000, 3)) * (0.2 + load)
    return whine * (0.6 + 0.4 * load) + source.uniform(0.4, 1.6) * cut


def _engine_idling(source: Generator, clip: Generator, seconds: float) -> Wave:
    cylinders = int(source.choice([3, 4, 4, 6, 8]))  # Each fires every second turn.
    firing = source.uniform(550, 950) / 60 * cylinders / 2 * (1 + 0.03 * _drift(clip, _samples(seconds), 3.0))
    fired = _pulses(clip, firing, source.uniform(0.01, 0.06), source.uniform(0.6, 1.0, cylinders))
    exhaust = _resonate(uniform_filter1d(fired, _samples(0.002)), _modes(source, 5, 60, 900, 3))
    gated = _noise(clip, len(fired), 0.5) * uniform_filter1d(fired, _samples(0.012))
    return exhaust + source.uniform(0.1, 1.0) * _resonate(gated, _modes(source, 6, 500, 6000, 4))


def _gun_shot(source: Generator, clip: Generator, seconds: float) -> Wave:
    times, wave = np.linspace(0, seconds, _samples(seconds)), np.zeros(_samples(seconds))
    crack, lasts, decay = source.uniform(0.0, 1.5), source.uniform(0.002, 0.008), source.uniform(0.04, 0.14)
    slope, shots = source.uniform(0.6, 1.8), min(3, max(1, round(seconds / clip.uniform(0.5, 1.0))))
    n_wave, muzzle = np.where(times < 0.003, 1 - times / 0.0015, 0), (1 - times / lasts) * np.exp(-times / lasts)
    blast = crack * n_wave + muzzle + 0.5 * _noise(clip, len(times), slope) * np.exp(-times / decay)
    for late in np.cumsum(source.uniform(0.06, 0.2, 3)):
        fall = 0.25 * np.exp(-(late + times) / decay / 2)
        _add(blast, fall * _noise(clip, len(times), slope + 0.5), late)
    for start in np.linspace(0, seconds, shots, endpoint=False):
        _add(wave, clip.uniform(0.7, 1.0) * blast, start)
    return wave


def _jackhammer(source: Generator, clip: Generator, seconds: float) -> Wave:
    rate = source.uniform(12, 27) * (1 + 0.03 * _drift(clip, _samples(seconds), 1.0))
    blows = _pulses(clip, rate, source.uniform(0.005, 0.02), clip.uniform(0.7, 1.0, 97))
    body = _resonate(blows, _modes(source, 8, 120, 4000, 15))
    chips = _noise(clip, len(rate), source.uniform(0.0, 1.0)) * uniform_filter1d(blows, _samples(0.015))
    return body + source.uniform(0.4, 1.2) * _unit(chips)


def _siren(source: Generator, clip: Generator, seconds: float) -> Wave:
    times, speed, near = np.linspace(0, seconds, _samples(seconds)), clip.uniform(3, 18), clip.uniform(8, 30)
    wail_s, yelp_s = source.uniform(2.5, 6.0), source.uniform(0.22, 0.5)
    cycle = (times / (wail_s if source.random() < 0.5 else yelp_s) + clip.random()) % 1
    low, high, rise = source.uniform(400, 800), source.uniform(1000, 1800), source.uniform(0.25, 0.6)
    climb = np.minimum(cycle / rise, (1 - cycle) / (1 - rise)) ** source.uniform(0.5, 1.0)
    along = speed * (times - clip.uniform(-1, CLIP_SECONDS + 1))  # It drives by, which bends pitch and loudness.
    away = np.hypot(along, near)
    pitch = low * (high / low) ** climb / (1 + speed / SOUND_M_S * along / away)
    return _tone(pitch, ORDERS[:16] ** -source.uniform(0.7, 2.0)) / away


def _street_music(source: Generator, clip: Generator, seconds: float) -> Wave:
    beat, key, decay = 60 / source.uniform(85, 150), source.uniform(98, 196), source.uniform(0.8, 2.4)
    bright, turn = source.uniform(0.3, 2.0), clip.integers(4)
    chords = 12 + np.array([[-12, 0, 4, 7, 12], [-5, 7, 11, 14, 19], [-3, 9, 12, 16, 21], [-7, 5, 9, 12, 17]])
    size = next_fast_len(_samples(seconds + 1.0), real=True)  # A second for what still rings at the end.
    strings: dict[int, Wave] = {}
    for step in range(int(2 * seconds / beat)):
        chord = chords[(turn + step // 8) % 4]
        # A bar opens with the whole chord, its half with two notes, the rest is picked.
        for note in chord if step % 8 == 0 else clip.choice(chord, 1 + (step % 4 == 0)):
            pluck = _noise(clip, _samples(0.006), bright) * clip.uniform(0.5, 1.0)
            _add(strings.setdefault(note, np.zeros(size)), pluck - pluck.mean(), step * beat / 2)
    freqs, heard = rfftfreq(size, 1 / SAMPLE_RATE_HZ), np.zeros(size // 2 + 1, dtype=np.complex128)
    for note, plucks in strings.items():
        pitch = key * 2 ** (note / 12)
        # Karplus and Strong's loop in closed form: a delay of one period, a two-point mean, a loss.
        loss = 10 ** (-3 / (pitch * decay)) * np.cos(np.pi * freqs / SAMPLE_RATE_HZ)
        heard += rfft(plucks) / (1 - loss * np.exp(-2j * np.pi * freqs / pitch))
    return np.asarray(irfft(heard, size)[: _samples(seconds)])


# A model bears its class's name; what happens is shorter than what goes on.
_BRIEF = (_car_horn, _dog_bark, _gun_shot)
_STEADY = (_air_conditioner, _children_playing, _drilling, _engine_idling, _jackhammer, _siren, _street_music)
_MODELS = {model.__name__[1:]: model for model in _BRIEF + _STEADY}
CLASSES: tuple[str, ...] = tuple(sorted(_MODELS))


def _travel(wave: Wave, source: Generator, clip: Generator) -> Wave:
    """The event [n] as it arrives: coloured by its source, dulled by distance, blurred by walls; rms 1."""
    size = next_fast_len(len(wave) + min(len(wave), TAIL), real=True)
    freqs = rfftfreq(size, 1 / SAMPLE_RATE_HZ)
    octaves = np.log2(np.maximum(freqs, 40.0))
    gains_db = source.uniform(-COLOUR_DB, COLOUR_DB, 7)
    colour = 10 ** (np.interp(octaves, np.linspace(octaves[0], octaves[-1], len(gains_db)), gains_db) / 20)
    dull = 1 / np.hypot(1, freqs / clip.uniform(1500, 9000))
    fall_s, share = clip.uniform(0.03, 0.12), clip.uniform(0, 0.04)
    walls = share * _noise(clip, _samples(0.4), 0) * np.exp(-np.linspace(0, 0.4, _samples(0.4)) / fall_s)
    heard = irfft(rfft(wave, size) * (1 + rfft(walls, size)) * dull * colour, size)[: len(wave)]
    return _unit(heard * np.minimum(1, np.arange(len(wave), 0, -1) / _samples(0.01)))


def plan(clips: int = 400, folds: int = 5, seed: int = 0) -> list[StreetClip]:
    """The clips of a data set, by class. Folds count from 1, and a source lies in one of them only."""
    classes, most = len(CLASSES), clips // len(CLASSES)
    if clips < classes:
        raise SyntheticError(f"{clips} clips were asked for; each of {classes} classes needs one. Ask for more.")
    if folds < 2:
        raise SyntheticError(f"{folds} folds were asked for; one trains and another tests. Ask for 2 or more.")
    if folds > most:
        raise SyntheticError(f"{folds} folds need {folds} sources a class; {clips} clips give {most}. Ask for fewer.")
    if seed < 0:
        raise SyntheticError(f"The seed {seed} was given; a seed is 0 or more. Give another.")
    planned = []
    for rank, label in enumerate(CLASSES):
        lasting = BRIEF_S if _MODELS[label] in _BRIEF else STEADY_S
        count = most + (rank < clips % classes)
        # A multiple of the folds, so that folds differ by one clip of a class at most.
        sources = folds * max(1, round(count / (CLIPS_PER_SOURCE * folds)))
        for number in range(count):
            source, fold = f"{label}-s{1 + number % sources:02d}", 1 + (number % sources + rank) % folds
            name = f"{source}-{1 + number // sources}"
            rng = random(seed, name, "plan")
            snr_db, lasts = round(rng.uniform(*SNR_DB), 2), rng.uniform(*lasting)
            start = rng.uniform(0, CLIP_SECONDS - lasts)
            span = round(start, 3), round(start + lasts, 3)  # What a table can say exactly, and what is rendered.
            planned.append(StreetClip(name, label, source, fold, seed, snr_db, *span))
    return planned


def render(clip: StreetClip) -> npt.NDArray[np.float32]:
    """The sound of a clip, float32 [T] in [-1, 1] at `SAMPLE_RATE_HZ`; it depends on the clip's fields alone."""
    take, sound = event(clip)
    mix = traffic(random(clip.seed, clip.name, "traffic"), CLIP_SECONDS)
    lay(mix, clip, sound)
    return np.asarray(mix * (10 ** (take.uniform(*PEAK_DB) / 20) / np.abs(mix).max()), dtype=np.float32)


def event(clip: StreetClip) -> tuple[Generator, Wave]:
    """A clip's event alone, at an rms of 1, and the generator of what is left to draw for it."""
    if clip.label not in _MODELS:
        raise SyntheticError(f"No model sounds like '{clip.label}'. {did_you_mean(clip.label, CLASSES)}")
    take, source = random(clip.seed, clip.name, "take"), random(clip.seed, clip.source)
    sound = _MODELS[clip.label](source, take, clip.offset - clip.onset)
    return take, _travel(sound, random(clip.seed, clip.source, "colour"), take)


def traffic(street: Generator, seconds: float) -> Wave:
    """A rumble that comes and goes, and a vehicle that passes far off."""
    times = np.linspace(0, seconds, _samples(seconds))
    near = street.uniform(0, 1.2) / np.hypot(1, (times - street.uniform(0, seconds)) * street.uniform(0.3, 2.0))
    mix = _noise(street, len(times), street.uniform(0.8, 2.0)) * (1 + 0.4 * _drift(street, len(times), 0.7))
    return mix + near * _noise(street, len(times), street.uniform(0.5, 1.5))


def lay(mix: Wave, clip: StreetClip, sound: Wave) -> None:
    """Put a clip's event at its onset, as far over what is there as its `snr_db` says."""
    level = np.sqrt(np.mean(mix[_samples(clip.onset) :][: len(sound)] ** 2)) * 10 ** (clip.snr_db / 20)
    _add(mix, level * sound, clip.onset)


def write(folder: Path, clips: int = 400, folds: int = 5, seed: int = 0, progress: Progress | None = None) -> Path:
    """Write `audio/<name>.wav` (16-bit PCM) and, last and whole, `street.csv`; returns the path of the CSV.

    `progress(items, total)` gets an item as each clip is done and yields it on, as a progress bar does.
    """
    planned = plan(clips, folds, seed)
    table, audio = Path(folder) / "street.csv", Path(folder) / "audio"
    audio.mkdir(parents=True, exist_ok=True)
    table.unlink(missing_ok=True)  # An earlier table must not describe half-replaced audio.

    def save(c: StreetClip) -> str:
        pcm = np.round(render(c) * np.iinfo(np.int16).max).astype(np.int16)
        wavfile.write(audio / f"{c.name}.wav", SAMPLE_RATE_HZ, pcm)
        return f"{c.name},audio/{c.name}.wav,{c.label},{c.fold},{c.source},{c.onset},{c.offset},{c.snr_db}\n"

    # Threads do: most of the time goes into transforms and noise, which run outside the interpreter's lock.
    with ThreadPoolExecutor(processes.cores()) as pool:
        done: Iterable[str] = pool.map(save, planned)
        rows = list(progress(done, len(planned)) if progress else done)
    part, header = table.with_suffix(".csv.part"), "clip,file,label,fold,source,onset,offset,snr_db\n"
    part.write_text(header + "".join(rows), encoding="utf-8", newline="\n")
    os.replace(part, table)
    return table
