"""Noises, and files of them under any names."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import soundfile

__all__ = ["noise", "rows", "sounds", "write_tones"]

FORMATS = {".au": "AU", ".w64": "W64", ".caf": "CAF", ".snd": "AU", ".oga": "OGG", ".rf64": "RF64"}


def noise(seconds: float, rate_hz: int, channels: int = 1, seed: int = 0) -> npt.NDArray[np.float32]:
    """Uniform noise within ±0.5, `[T, channels]`."""
    shape = (round(seconds * rate_hz), channels)
    return np.random.default_rng(seed).uniform(-0.5, 0.5, shape).astype(np.float32)


def sounds(folder: Path, *names: str, seconds: float = 0.1) -> None:
    """A noise of its own under each name."""
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        wave = np.random.default_rng([number, len(name)]).normal(0, 0.1, round(8000 * seconds))
        soundfile.write(path, wave, 8000, format=FORMATS.get(path.suffix.lower()))


def rows(file: Path, *lines: str, encoding: str = "utf-8") -> Path:
    """A table of such lines."""
    file.write_bytes(("\n".join(lines) + "\n").encode(encoding))
    return file


def write_tones(folder: Path, seed: int = 0) -> Path:
    """Four folds of two classes, four clips each: tones of two pitches in noise. `list.csv` lists them."""
    folder.mkdir()
    rng, rows = np.random.default_rng(seed), []
    times = np.arange(4000) / 16_000
    for k in range(32):
        label, fold = "ab"[k % 2], str(1 + k // 8)
        tone = np.sin(2 * np.pi * (400 if label == "a" else 1200) * times)
        soundfile.write(folder / f"{fold}-{k}.wav", 0.1 * tone + rng.normal(0, 0.1, 4000), 16_000)
        rows.append({"path": f"{fold}-{k}.wav", "label": label, "fold": fold, "group": f"g{k // 4}"})
    pd.DataFrame(rows).to_csv(folder / "list.csv", index=False)
    return folder
