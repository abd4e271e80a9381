"""Physical models of the ten sound classes of `street`, from seeded generators.

A voice is a pulse train through resonances (Fant, Acoustic Theory of Speech Production, 1960), a bark one with a
falling pitch (Riede and Fitch, J. Exp. Biol. 202, 1999). A plucked string is a noise burst in a lossy loop (Karplus and
Strong, Computer Music J. 7, 1983). A bullet drags an N-shaped wave (Whitham, Comm. Pure Appl. Math. 5, 1952), a muzzle
blast decays exponentially (Friedlander, Proc. R. Soc. A 186, 1946). Engines, fans and gears are sums over orders of a
rotation.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from numpy.random import Generator
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq
from scipy.ndimage import uniform_filter1d

__all__ = [
    *("BRIEF", "CLIP_SECONDS", "MODELS", "SAMPLE_RATE_HZ", "TAIL", "Wave"),
    *("add", "drift", "noise", "samples", "unit"),
]

Wave = npt.NDArray[np.float64]
Modes = list[tuple[float, float, float]]  # Resonances: centre in Hz, bandwidth in Hz, gain at the centre.
SAMPLE_RATE_HZ = 22050
CLIP_SECONDS = 4.0
SOUND_M_S = 343.0
TABLE = 4096
TAIL = SAMPLE_RATE_HZ // 2  # Samples in which a resonance or a room decays.
ORDERS: Wave = np.arange(1, 120, dtype=np.float64)
# Talk, shout, laugh: syllables (fewest, below), seconds of one (from, to), pitch over the voice's own (from, to).
CALLS = ((3, 8, 0.1, 0.25, 1.0, 1.4), (1, 2, 0.35, 0.8, 1.4, 2.2), (4, 9, 0.07, 0.1, 1.0, 1.4))


def samples(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE_HZ)


def unit(wave: Wave) -> Wave:
    return np.asarray(wave / (np.sqrt(np.mean(wave**2)) + 1e-12))


def add(wave: Wave, sound: Wave, at: float) -> None:
    """Add a sound to the wave from `at` seconds on; its part behind the end of the wave is cut."""
    under = wave[samples(at) :][: len(sound)]
    under += sound[: len(under)]


def drift(rng: Generator, size: int, rate_hz: float) -> Wave:
    """A random curve within [-1, 1] that turns about `rate_hz` times a second, [size]."""
    knots = rng.uniform(-1, 1, 2 + int(rate_hz * size / SAMPLE_RATE_HZ))
    return np.interp(np.linspace(0, len(knots) - 1, size), np.arange(len(knots)), knots)


def noise(rng: Generator, size: int, slope: float) -> Wave:
    """Noise of power f**-slope and rms 1, [size]: 0 is white, 1 pink, 2 brown."""
    heights = np.maximum(rfftfreq(next_fast_len(size + size % 2), 1 / SAMPLE_RATE_HZ), 25.0) ** (-slope / 2)
    return unit(irfft(rng.standard_normal(2 * len(heights)).view(np.complex128) * heights)[:size])


def _tone(pitch_hz: Wave, partials: Wave) -> Wave:
    """A harmonic tone of rms 1 along a pitch curve [n], from a table of one period without partials above Nyquist."""
    below_nyquist = partials[: int(SAMPLE_RATE_HZ / 2 / pitch_hz.max())]
    table = irfft(np.concatenate(([0.0], -1j * below_nyquist)), TABLE)
    return unit(table[(np.cumsum(pitch_hz) * (TABLE / SAMPLE_RATE_HZ)).astype(np.int64) % TABLE])


def _resonate(wave: Wave, modes: Modes) -> Wave:
    """The wave [n] filtered by parallel resonances, at an rms of 1."""
    size = next_fast_len(len(wave) + min(len(wave), TAIL), real=True)
    freqs = rfftfreq(size, 1 / SAMPLE_RATE_HZ)
    shares = (gain / (1j * freqs * width + centre**2 - freqs**2) * freqs * width for centre, width, gain in modes)
    return unit(irfft(rfft(wave, size) * 1j * sum(shares), size)[: len(wave)])


def _modes(rng: Generator, count: int, low_hz: float, high_hz: float, q: float) -> Modes:
    """Random resonances of a body, spread over the octaves."""
    centres = low_hz * (high_hz / low_hz) ** ((np.arange(count) + rng.random(count)) / count)
    return list(zip(centres, centres / (q * rng.uniform(0.5, 2.0, count)), rng.uniform(0.3, 1.0, count), strict=True))


def _pulses(rng: Generator, rate_hz: Wave, jitter: float, strengths: Wave) -> Wave:
    """Impulses along a rate curve [n], shifted by `jitter` periods (standard deviation), their strengths in turn."""
    turns = np.cumsum(rate_hz) / SAMPLE_RATE_HZ
    due = np.arange(turns[-1])
    at = np.searchsorted(turns[:-1], due + jitter * rng.standard_normal(len(due)))
    return np.asarray(np.bincount(at, np.resize(strengths, len(due)), len(turns)), dtype=np.float64)


def _utter(rng: Generator, pitch_hz: Wave, tract: Modes, breath: float) -> Wave:
    """One call of a throat [n]: glottal pulses and breath through the tract, rising and decaying."""
    swell = np.sin(np.pi * np.linspace(0, 1, len(pitch_hz)) ** 0.6)
    return _resonate((_tone(pitch_hz, ORDERS[:60] ** -0.8) + breath * noise(rng, len(pitch_hz), 0)) * swell, tract)


# One model per class. Values drawn from `source` define the instrument, those from `clip` the single event.
def _air_conditioner(source: Generator, clip: Generator, seconds: float) -> Wave:
    steady = 1 + 0.004 * drift(clip, samples(seconds), 1.0)
    fan = _tone(source.integers(3, 10) * source.uniform(11, 26) * steady, ORDERS[:30] ** -source.uniform(0.6, 2.0))
    hum = _tone(source.choice([100.0, 120.0]) * steady, source.random(20) * ORDERS[:20] ** -0.7)
    duct = _resonate(noise(clip, len(steady), 0.5), _modes(source, 4, 200, 5000, 4))
    air = noise(clip, len(steady), source.uniform(0.7, 1.8)) + source.uniform(0.2, 1.2) * duct
    return source.uniform(0.2, 0.9) * fan + source.uniform(0.2, 0.9) * hum + air


def _car_horn(source: Generator, clip: Generator, seconds: float) -> Wave:
    low, third = source.uniform(320, 480), source.choice([1.2, 1.25]) * source.uniform(0.997, 1.003)
    partials = ORDERS[:40] ** -source.uniform(0.3, 1.0)
    honks, duty = clip.integers(1, 2 + min(3, int(seconds / 0.6))), clip.uniform(0.55, 0.85)
    course = np.linspace(0, honks - 1 + duty, samples(seconds)) % 1  # The last honk ends with the event.
    gate = uniform_filter1d((course < duty).astype(np.float64), samples(source.uniform(0.01, 0.04)))
    pitch = low * (1 - 0.04 * np.exp(-course * seconds / honks / 0.03))
    # Tones at nearly 6:5 or 5:4 have harmonics that nearly meet: they beat.
    chord = _tone(pitch, partials) + source.uniform(0.5, 1.0) * _tone(pitch * third, partials)
    return _resonate(chord, [(source.uniform(300, 900), 900, 1), (source.uniform(1500, 3500), 1500, 1)]) * gate


def _children_playing(source: Generator, clip: Generator, seconds: float) -> Wave:
    wave = np.zeros(samples(seconds))
    for voice in range(source.integers(3, 7)):
        pitch, size, near = source.uniform(240, 480), source.uniform(0.85, 1.25), source.uniform(0.3, 1.0)
        at = 0.0 if voice == 0 else clip.uniform(0, 0.8)
        while at < seconds:
            fewest, most, shortest, longest, lowest, highest = CALLS[clip.integers(len(CALLS))]
            rise = clip.uniform(lowest, highest)
            for _ in range(clip.integers(fewest, most)):
                arc = np.linspace(-1, 1, samples(clip.uniform(shortest, longest)))
                call = pitch * rise * (1 - clip.uniform(0.05, 0.25) * arc**2 + clip.uniform(-0.08, 0.08) * arc)
                centres = np.array([750, 1900, 3600]) * clip.uniform(0.6, 1.5, 3) * size
                vowel: Modes = list(zip(centres, (140, 220, 400), (1.0, 0.6, 0.3), strict=True))
                add(wave, near * _utter(clip, call, vowel, clip.uniform(0.1, 0.5)), at)
                at, rise = at + len(arc) / SAMPLE_RATE_HZ + 0.09, rise * clip.uniform(0.88, 1.08)
            at += clip.uniform(0.1, 0.7)
    return wave


def _dog_bark(source: Generator, clip: Generator, seconds: float) -> Wave:
    size, lasts, hoarse = source.uniform(0.6, 1.7), source.uniform(0.1, 0.24), source.uniform(0.2, 1.2)
    tract: Modes = [(f / size * source.uniform(0.8, 1.2), f * 0.2, 400 / f) for f in (700, 1500, 2900)]
    wave, course = np.zeros(samples(seconds)), np.linspace(0, 1, samples(lasts))
    pitch = source.uniform(380, 700) / size * (1 + 0.25 * np.sin(np.pi * np.sqrt(course)) - 0.45 * course)
    starts = np.linspace(0, seconds - lasts, 2 + int((seconds - lasts) / source.uniform(0.28, 0.55)))
    # A bout leaves barks out, but for the first and the last, which are the event's ends.
    for start in starts[(clip.random(len(starts)) < 0.75) | (starts == 0) | (starts == starts[-1])]:
        add(wave, clip.uniform(0.6, 1.0) * _utter(clip, pitch * clip.uniform(0.92, 1.08), tract, hoarse), start)
    return wave


def _drilling(source: Generator, clip: Generator, seconds: float) -> Wave:
    times, teeth = np.linspace(0, seconds, samples(seconds)), int(source.integers(6, 13))
    load = uniform_filter1d((drift(clip, len(times), 1.5) > -0.2).astype(np.float64), samples(0.15))
    spin = np.minimum(1, 0.35 + times / source.uniform(0.15, 0.4)) * (1 - source.uniform(0.08, 0.25) * load)
    turn = source.uniform(90, 240) * spin * (1 + 0.01 * drift(clip, len(times), 20.0))
    # Meshing teeth ring at multiples of their number; an uneven gear puts the orders beside them.
    mesh = np.exp(-np.abs((ORDERS + teeth / 2) % teeth - teeth / 2) / source.uniform(0.2, 0.8))
    whine = _tone(turn, mesh * ORDERS ** -source.uniform(0.3, 1.0) * source.uniform(0.3, 1.0, len(ORDERS)))
    cut = _resonate(noise(clip, len(times), 0.3), _modes(source, 6, 700, 7000, 3)) * (0.2 + load)
    return whine * (0.6 + 0.4 * load) + source.uniform(0.4, 1.6) * cut


def _engine_idling(source: Generator, clip: Generator, seconds: float) -> Wave:
    cylinders = int(source.choice([3, 4, 4, 6, 8]))  # Each fires every second turn.
    firing = source.uniform(550, 950) / 60 * cylinders / 2 * (1 + 0.03 * drift(clip, samples(seconds), 3.0))
    fired = _pulses(clip, firing, source.uniform(0.01, 0.06), source.uniform(0.6, 1.0, cylinders))
    exhaust = _resonate(uniform_filter1d(fired, samples(0.002)), _modes(source, 5, 60, 900, 3))
    gated = noise(clip, len(fired), 0.5) * uniform_filter1d(fired, samples(0.012))
    return exhaust + source.uniform(0.1, 1.0) * _resonate(gated, _modes(source, 6, 500, 6000, 4))


def _gun_shot(source: Generator, clip: Generator, seconds: float) -> Wave:
    times, wave = np.linspace(0, seconds, samples(seconds)), np.zeros(samples(seconds))
    crack, lasts, decay = source.uniform(0.0, 1.5), source.uniform(0.002, 0.008), source.uniform(0.04, 0.14)
    slope, shots = source.uniform(0.6, 1.8), min(3, max(1, round(seconds / clip.uniform(0.5, 1.0))))
    n_wave, muzzle = np.where(times < 0.003, 1 - times / 0.0015, 0), (1 - times / lasts) * np.exp(-times / lasts)
    blast = crack * n_wave + muzzle + 0.5 * noise(clip, len(times), slope) * np.exp(-times / decay)
    for late in np.cumsum(source.uniform(0.06, 0.2, 3)):
        fall = 0.25 * np.exp(-(late + times) / decay / 2)
        add(blast, fall * noise(clip, len(times), slope + 0.5), late)
    for start in np.linspace(0, seconds, shots, endpoint=False):
        add(wave, clip.uniform(0.7, 1.0) * blast, start)
    return wave


def _jackhammer(source: Generator, clip: Generator, seconds: float) -> Wave:
    rate = source.uniform(12, 27) * (1 + 0.03 * drift(clip, samples(seconds), 1.0))
    blows = _pulses(clip, rate, source.uniform(0.005, 0.02), clip.uniform(0.7, 1.0, 97))
    body = _resonate(blows, _modes(source, 8, 120, 4000, 15))
    chips = noise(clip, len(rate), source.uniform(0.0, 1.0)) * uniform_filter1d(blows, samples(0.015))
    return body + source.uniform(0.4, 1.2) * unit(chips)


def _siren(source: Generator, clip: Generator, seconds: float) -> Wave:
    times, speed, near = np.linspace(0, seconds, samples(seconds)), clip.uniform(3, 18), clip.uniform(8, 30)
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
    size = next_fast_len(samples(seconds + 1.0), real=True)  # A second for what still rings at the end.
    strings: dict[int, Wave] = {}
    for step in range(int(2 * seconds / beat)):
        chord = chords[(turn + step // 8) % 4]
        # A bar opens with the whole chord, its half with two notes, the rest is picked.
        for note in chord if step % 8 == 0 else clip.choice(chord, 1 + (step % 4 == 0)):
            pluck = noise(clip, samples(0.006), bright) * clip.uniform(0.5, 1.0)
            add(strings.setdefault(note, np.zeros(size)), pluck - pluck.mean(), step * beat / 2)
    freqs, spectrum = rfftfreq(size, 1 / SAMPLE_RATE_HZ), np.zeros(size // 2 + 1, dtype=np.complex128)
    for note, plucks in strings.items():
        pitch = key * 2 ** (note / 12)
        # Karplus and Strong's loop in closed form: a delay of one period, a two-point mean, a loss.
        loss = 10 ** (-3 / (pitch * decay)) * np.cos(np.pi * freqs / SAMPLE_RATE_HZ)
        spectrum += rfft(plucks) / (1 - loss * np.exp(-2j * np.pi * freqs / pitch))
    return np.asarray(irfft(spectrum, size)[: samples(seconds)])


_SHORT = (_car_horn, _dog_bark, _gun_shot)
_LONG = (_air_conditioner, _children_playing, _drilling, _engine_idling, _jackhammer, _siren, _street_music)
#: Each class's model: `model(source, clip, seconds)` -> wave `[n]`. A model bears its class's name.
MODELS: dict[str, Callable[[Generator, Generator, float], Wave]] = {
    model.__name__[1:]: model for model in _SHORT + _LONG
}
#: Classes whose events are single and short.
BRIEF = frozenset(model.__name__[1:] for model in _SHORT)
