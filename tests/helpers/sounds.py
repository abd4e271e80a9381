"""Short noises under any names, for tests of folders and lists."""

from pathlib import Path

import numpy as np
import soundfile

__all__ = ["rows", "sounds"]

FORMATS = {".au": "AU", ".w64": "W64", ".caf": "CAF", ".snd": "AU", ".oga": "OGG", ".rf64": "RF64"}


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
