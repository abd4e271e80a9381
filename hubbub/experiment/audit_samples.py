"""The clips of an audit that people listen to: a spectrogram and an MP3 file each."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hubbub.data.cache import Waves
from hubbub.experiment.gallery import LONGEST_S, write_mp3
from hubbub.experiment.prepare import Prepared
from hubbub.inference.stft import Grid
from hubbub.report import plots
from hubbub.report.label_audit import LabelAudit
from hubbub.runtime.progress import track

__all__ = ["MEDIA", "write_samples"]

#: The folder of pictures and sounds.
MEDIA = "clips"
#: How many outliers are played, after the clips whose label is likely wrong.
OUTLIERS = 20
#: The weakest power that is drawn, relative to the strongest.
_FLOOR = 1e-10


def write_samples(prepared: Prepared, found: LabelAudit, folder: Path, most: int) -> list[dict[str, Any]]:
    """Writes pictures and sounds of the first `most` clips to listen to, outliers last, and returns a row of the table
    for each, with the names of its files relative to `folder`. Long clips are played up to `LONGEST_S`."""
    (folder / MEDIA).mkdir()
    number_of = {clip: row for row, clip in enumerate(prepared.clips.table["clip"])}
    rows = pd.concat([found.suspects, found.outliers.head(OUTLIERS)]).drop_duplicates("clip").head(most)
    listed = list(enumerate(rows.to_dict("records"), 1))
    return [
        _sample(prepared, number_of[row["clip"]], folder, number, row)
        for number, row in track(listed, "drawing", len(listed))
    ]


def _sample(prepared: Prepared, clip: int, folder: Path, number: int, row: dict[Any, Any]) -> dict[str, Any]:
    assert isinstance(prepared.sound, Waves)
    rate_hz, whole = prepared.sound.rate_hz, prepared.sound.wave(clip)
    wave = np.asarray(whole[: round(LONGEST_S * rate_hz)])
    grid = Grid(len(wave), rate_hz)
    power = np.square(np.abs(grid.analyse(wave)))
    decibels = 10 * np.log10(np.maximum(power / max(float(power.max()), 1e-20), _FLOOR))
    picture, sound = f"{MEDIA}/{number:04d}.png", f"{MEDIA}/{number:04d}.mp3"
    plots.spectrogram(decibels, grid.times, grid.hz, folder / picture)
    write_mp3(folder / sound, wave, rate_hz)
    seconds = {"seconds": len(whole) / rate_hz, "played": len(wave) / rate_hz}
    return {**row, "picture": picture, "sound": sound, **seconds}
