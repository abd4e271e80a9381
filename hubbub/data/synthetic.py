"""`street`: ten classes of synthesised city sound, a data set that needs no recordings.

`synthetic_models` makes the events. Each source has a random equaliser and lies in traffic noise, so that average
spectra separate the classes badly and the course in time separates them well. There are no recordings (a score says
nothing about a real street), overlapping events, stereo, microphones or wind. Another numpy or scipy may change its
bytes.
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

from hubbub.data.synthetic_models import (
    BRIEF,
    CLIP_SECONDS,
    MODELS,
    SAMPLE_RATE_HZ,
    TAIL,
    Wave,
    add,
    drift,
    noise,
    samples,
    unit,
)
from hubbub.errors import HubbubError, did_you_mean
from hubbub.runtime.processes import cores

__all__ = [
    *("CLASSES", "CLIP_SECONDS", "SAMPLE_RATE_HZ", "StreetClip", "SyntheticError"),
    *("event", "generator", "lay", "plan", "render", "traffic", "write"),
]

Progress = Callable[[Iterable[Any], int], Iterable[Any]]
CLASSES: tuple[str, ...] = tuple(sorted(MODELS))
CLIPS_PER_SOURCE = 4
SNR_DB = (-3.0, 18.0)  # Of an event over the background under it.
BRIEF_S, STEADY_S = (0.6, 2.4), (2.2, 4.0)  # How long an event lasts: from, to.
PEAK_DB = (-18.0, -1.0)  # Of a clip, to full scale.
COLOUR_DB = 5.0  # Largest gain and loss of a source's equaliser; more makes average spectra tell less.


class SyntheticError(HubbubError):
    """The data set cannot be synthesised with these arguments."""


@dataclass(frozen=True)
class StreetClip:
    """An event from `onset` to `offset` [s], `snr_db` above the background there. `seed` is the data set's."""

    name: str
    label: str
    source: str
    fold: int
    seed: int
    snr_db: float
    onset: float
    offset: float


def generator(seed: int, *keys: str) -> Generator:
    """A random generator, the same for the same seed and keys."""
    return np.random.default_rng([seed, *(crc32(key.encode()) for key in keys)])


def _travel(wave: Wave, source: Generator, clip: Generator) -> Wave:
    """The event [n] at the microphone: source equaliser, high frequencies lost to distance, reverberation; rms 1."""
    size = next_fast_len(len(wave) + min(len(wave), TAIL), real=True)
    freqs = rfftfreq(size, 1 / SAMPLE_RATE_HZ)
    octaves = np.log2(np.maximum(freqs, 40.0))
    gains_db = source.uniform(-COLOUR_DB, COLOUR_DB, 7)
    colour = 10 ** (np.interp(octaves, np.linspace(octaves[0], octaves[-1], len(gains_db)), gains_db) / 20)
    dull = 1 / np.hypot(1, freqs / clip.uniform(1500, 9000))
    fall_s, share = clip.uniform(0.03, 0.12), clip.uniform(0, 0.04)
    walls = share * noise(clip, samples(0.4), 0) * np.exp(-np.linspace(0, 0.4, samples(0.4)) / fall_s)
    arrived = irfft(rfft(wave, size) * (1 + rfft(walls, size)) * dull * colour, size)[: len(wave)]
    return unit(arrived * np.minimum(1, np.arange(len(wave), 0, -1) / samples(0.01)))


def plan(clips: int = 400, folds: int = 5, seed: int = 0) -> list[StreetClip]:
    """The clips of a data set, class by class. Folds count from 1; a source is in one fold only."""
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
        lasting = BRIEF_S if label in BRIEF else STEADY_S
        count = most + (rank < clips % classes)
        # A multiple of the folds, so that folds differ by one clip of a class at most.
        sources = folds * max(1, round(count / (CLIPS_PER_SOURCE * folds)))
        for number in range(count):
            source, fold = f"{label}-s{1 + number % sources:02d}", 1 + (number % sources + rank) % folds
            name = f"{source}-{1 + number // sources}"
            rng = generator(seed, name, "plan")
            snr_db, lasts = round(rng.uniform(*SNR_DB), 2), rng.uniform(*lasting)
            start = rng.uniform(0, CLIP_SECONDS - lasts)
            span = round(start, 3), round(start + lasts, 3)  # Rounded, so that the table is exact.
            planned.append(StreetClip(name, label, source, fold, seed, snr_db, *span))
    return planned


def render(clip: StreetClip) -> npt.NDArray[np.float32]:
    """The sound of a clip, float32 [T] in [-1, 1] at `SAMPLE_RATE_HZ`, which depends only on the clip's fields."""
    take, sound = event(clip)
    mix = traffic(generator(clip.seed, clip.name, "traffic"), CLIP_SECONDS)
    lay(mix, clip, sound)
    return np.asarray(mix * (10 ** (take.uniform(*PEAK_DB) / 20) / np.abs(mix).max()), dtype=np.float32)


def event(clip: StreetClip) -> tuple[Generator, Wave]:
    """The generator for a clip's remaining random values, and its event alone at an rms of 1."""
    if clip.label not in MODELS:
        raise SyntheticError(f"No model sounds like '{clip.label}'. {did_you_mean(clip.label, CLASSES)}")
    take, source = generator(clip.seed, clip.name, "take"), generator(clip.seed, clip.source)
    sound = MODELS[clip.label](source, take, clip.offset - clip.onset)
    return take, _travel(sound, generator(clip.seed, clip.source, "colour"), take)


def traffic(street: Generator, seconds: float) -> Wave:
    """Background: a rumble of changing level, and a vehicle that passes at a distance."""
    times = np.linspace(0, seconds, samples(seconds))
    near = street.uniform(0, 1.2) / np.hypot(1, (times - street.uniform(0, seconds)) * street.uniform(0.3, 2.0))
    mix = noise(street, len(times), street.uniform(0.8, 2.0)) * (1 + 0.4 * drift(street, len(times), 0.7))
    return mix + near * noise(street, len(times), street.uniform(0.5, 1.5))


def lay(mix: Wave, clip: StreetClip, sound: Wave) -> None:
    """Add a clip's event to `mix` at its onset, `snr_db` above the background there."""
    level = np.sqrt(np.mean(mix[samples(clip.onset) :][: len(sound)] ** 2)) * 10 ** (clip.snr_db / 20)
    add(mix, level * sound, clip.onset)


def write(folder: Path, clips: int = 400, folds: int = 5, seed: int = 0, progress: Progress | None = None) -> Path:
    """Write `audio/<name>.wav` (16-bit PCM), then `street.csv` in one step -> the path of the CSV.

    `progress(items, total)` wraps the iterator over finished clips, as a progress bar does.
    """
    planned = plan(clips, folds, seed)
    table, audio = Path(folder) / "street.csv", Path(folder) / "audio"
    audio.mkdir(parents=True, exist_ok=True)
    table.unlink(missing_ok=True)  # A table of an earlier call must not describe partly replaced audio.

    def save(c: StreetClip) -> str:
        pcm = np.round(render(c) * np.iinfo(np.int16).max).astype(np.int16)
        wavfile.write(audio / f"{c.name}.wav", SAMPLE_RATE_HZ, pcm)
        return f"{c.name},audio/{c.name}.wav,{c.label},{c.fold},{c.source},{c.onset},{c.offset},{c.snr_db}\n"

    # Threads suffice: transforms and noise, most of the time, run outside the interpreter's lock.
    with ThreadPoolExecutor(cores()) as pool:
        done: Iterable[str] = pool.map(save, planned)
        rows = list(progress(done, len(planned)) if progress else done)
    part, header = table.with_suffix(".csv.part"), "clip,file,label,fold,source,onset,offset,snr_db\n"
    part.write_text(header + "".join(rows), encoding="utf-8", newline="\n")
    os.replace(part, table)
    return table
