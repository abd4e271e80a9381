"""Recordings of several sounds at once, whose labels are known: a table of clips, and annotated recordings."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import soundfile

__all__ = ["CLASSES", "RATE", "write_annotated", "write_clips"]

RATE = 16_000
#: The classes: two tones and clicks.
CLASSES = ("clicks", "high", "low")
_HZ = {"high": 3_000.0, "low": 400.0}


def _sound(name: str, samples: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    if name == "clicks":
        wave = np.zeros(samples)
        wave[:: RATE // 20] = 1
        return np.convolve(wave, np.hanning(40))[:samples]
    return 0.3 * np.sin(2 * np.pi * _HZ[name] * rng.uniform(0.97, 1.03) * np.arange(samples) / RATE)


def write_clips(folder: Path, clips: int = 100, seed: int = 0) -> Path:
    """A table of clips of one second with one, several or no labels each, over two folds -> the table."""
    rng, rows = np.random.default_rng(seed), []
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(clips):
        held = [name for name in CLASSES if rng.random() < 0.5]
        wave = 0.005 * rng.normal(size=RATE)
        for name in held:
            wave += _sound(name, RATE, rng)
        soundfile.write(folder / f"{number:02d}.wav", wave / 2, RATE, subtype="PCM_16")
        rows.append((f"{number:02d}.wav", number % 2 + 1, *(int(name in held) for name in CLASSES)))
    pd.DataFrame(rows, columns=["file", "fold", *CLASSES]).to_csv(folder / "clips.csv", index=False)
    return folder / "clips.csv"


def write_annotated(folder: Path, recordings: int = 9, seconds: int = 8, seed: int = 0) -> Path:
    """Recordings with events at known times, several at once -> their annotation table."""
    rng, rows = np.random.default_rng(seed), []
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(recordings):
        wave = 0.005 * rng.normal(size=seconds * RATE)
        for name in CLASSES:
            for begin in range(0, seconds, 2):
                if rng.random() < 0.6:
                    start = begin + round(rng.uniform(0, 1), 2)
                    length = round(rng.uniform(0.4, 0.9), 2)
                    first, count = round(start * RATE), round(length * RATE)
                    wave[first : first + count] += _sound(name, count, rng)
                    rows.append((f"{number}.wav", start, round(start + length, 2), name))
        soundfile.write(folder / f"{number}.wav", wave / 2, RATE, subtype="PCM_16")
    pd.DataFrame(rows, columns=["file", "start", "end", "label"]).to_csv(folder / "events.csv", index=False)
    return folder / "events.csv"
