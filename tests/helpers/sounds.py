"""Noises, and files of them under any names."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

__all__ = ["noise", "rows", "sounds"]

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
