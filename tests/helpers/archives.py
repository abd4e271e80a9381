"""Small archives of synthetic sounds, embedded by the network that comes with hubbub."""

import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from hubbub.archive import labels
from hubbub.archive.archive import Archive
from hubbub.archive.index import index
from hubbub.archive.labels import Statement

__all__ = ["RATE", "copy_of", "kinds", "label", "recordings_of_tones", "tone_archive", "tones"]

RATE = 16_000
#: The pitch of each class's tones [Hz].
PITCHES = {"low": 300.0, "middle": 1200.0, "high": 4000.0}


def tones(name: str, seconds: float, seed: int = 0) -> np.ndarray:
    """A tone of a class in noise, `[T]`."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(seconds * RATE)) / RATE
    return (0.2 * np.sin(2 * np.pi * PITCHES[name] * times) + rng.normal(0, 0.05, len(times))).astype(np.float32)


def recordings_of_tones(folder: Path, each: int = 4, seconds: float = 5.0) -> Path:
    """`north/low-0.wav`, `south/low-1.wav` ...: recordings of each class at two sites."""
    for name in PITCHES:
        for number in range(each):
            file = folder / ("north", "south")[number % 2] / f"{name}-{number}.wav"
            file.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(file, tones(name, seconds, seed=number), RATE)
    return folder


def tone_archive(folder: Path, each: int = 4) -> tuple[Path, Path]:
    """An archive and its recordings, in a folder."""
    recordings = recordings_of_tones(folder / "recordings", each)
    index(recordings, folder / "archive", model="small")
    return folder / "archive", recordings


def copy_of(archive: Path, folder: Path) -> Path:
    """An archive's own copy, of the same recordings."""
    return Path(shutil.copytree(archive, folder / "archive"))


def label(archive: Archive, said: Sequence[tuple[int, str | None, str]], who: str = "ann", how: str = "list") -> str:
    """Say something of segments (`segment, class, value`), in one request, whose name is returned."""
    request = str(uuid.uuid4())
    for name in {one[1] for one in said if one[1]}:
        labels.add_class(archive.database, name, who)
    statements = [Statement(segment, name, value, how) for segment, name, value in said]  # type: ignore[arg-type]
    labels.state(archive.database, statements, who, request, archive.segments)
    return request


def kinds(of: np.ndarray, width: int = 64, seed: int = 0) -> np.ndarray:
    """Embeddings `[n, D]` of segments of some kinds `[n]`, as a network with ReLUs gives them: not negative, those of a
    kind alike, some louder than others."""
    rng = np.random.default_rng(seed)
    centres = np.maximum(np.random.default_rng(1).normal(size=(of.max() + 1, width)), 0)
    points = np.maximum(centres[of] + 0.2 * rng.normal(size=(len(of), width)), 0)
    return (points * rng.uniform(0.5, 2, (len(of), 1))).astype(np.float32)
