"""Short sounds in the layouts of the published data sets: what their users have, in a small form."""

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

__all__ = ["hub_mels", "hub_sounds", "write_emodb", "write_esc50", "write_urbansound8k"]

ESC50 = {"dog": 0, "rain": 10, "crow": 9}
US8K = {"dog_bark": 3, "siren": 8}
SPEAKERS = ("03", "08", "09", "10")


def _wave(pitch: int, number: int, rate_hz: int, seconds: float = 0.5) -> npt.NDArray[np.float64]:
    """A tone in noise; each `number` has its own."""
    rng = np.random.default_rng([pitch, number])
    times = np.arange(round(rate_hz * seconds)) / rate_hz
    return 0.3 * np.sin(2 * np.pi * 250 * (pitch + 1) * times) + rng.normal(0, 0.02, len(times))


def _write(file: Path, wave: npt.NDArray[np.float64], rate_hz: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(file, wave, rate_hz)


def write_esc50(home: Path) -> None:
    """Five folds of three classes, all of ESC-10; a recording for each clip."""
    rows = []
    for fold in range(1, 6):
        for label, target in ESC50.items():
            source = 1000 * fold + target
            name = f"{fold}-{source}-A-{target}.wav"
            _write(home / "data" / "esc50" / "audio" / name, _wave(target, fold, 44_100), 44_100)
            rows.append([name, fold, target, label, True, source, "A"])
    (home / "data" / "esc50" / "meta").mkdir()
    names = ["filename", "fold", "target", "category", "esc10", "src_file", "take"]
    pd.DataFrame(rows, columns=names).to_csv(home / "data" / "esc50" / "meta" / "esc50.csv", index=False)


def _urbansound8k() -> list[list[object]]:
    rows: list[list[object]] = []
    for fold in range(1, 11):
        for label, number in list(US8K.items())[: 2 if fold in (1, 9, 10) else 1]:
            source = 1000 * fold + number
            rows.append([f"{source}-{number}-0-0.wav", source, 0.0, 0.5, 1, fold, number, label])
    return rows


_US8K_COLUMNS = ["slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class"]


def write_urbansound8k(home: Path) -> None:
    """Ten folds; two classes in the folds 1, 9 and 10, else one; a recording for each clip, at two sample rates."""
    folder, rows = home / "data" / "urbansound8k", _urbansound8k()
    for name, _, _, _, _, fold, number, _ in rows:
        rate_hz = 44_100 if int(str(fold)) % 2 else 22_050
        _write(folder / "audio" / f"fold{fold}" / str(name), _wave(int(str(number)), int(str(fold)), rate_hz), rate_hz)
    (folder / "metadata").mkdir()
    pd.DataFrame(rows, columns=_US8K_COLUMNS).to_csv(folder / "metadata" / "UrbanSound8K.csv", index=False)


def write_emodb(home: Path) -> None:
    """Four speakers with two utterances of each of two emotions, at 16 kHz."""
    for number, speaker in enumerate(SPEAKERS):
        for text in ("a01", "b02"):
            for pitch, emotion in enumerate("WF"):
                name = f"{speaker}{text}{emotion}a.wav"
                _write(home / "data" / "emodb" / "wav" / name, _wave(pitch, 2 * number + (text > "a"), 16_000), 16_000)


def _parquet(rows: list[dict[str, object]]) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), stream)
    return stream.getvalue()


def hub_sounds() -> bytes:
    """A table as `danavery/urbansound8K` has it: the bytes of each file beside its row."""
    rows = []
    for row in _urbansound8k():
        stream = io.BytesIO()
        soundfile.write(stream, _wave(int(str(row[6])), int(str(row[5])), 8_000), 8_000, format="WAV")
        rows.append(
            {"audio": {"bytes": stream.getvalue(), "path": row[0]}, **dict(zip(_US8K_COLUMNS, row, strict=True))}
        )
    return _parquet(rows)


def hub_mels() -> bytes:
    """A table as `EthanGLEdwards/urbansounds_melspectrograms` has it: arrays [128, T] in decibels, not padded."""
    rng, rows = np.random.default_rng(0), []
    for number, row in enumerate(_urbansound8k()):
        mel = rng.uniform(-80, 0, (128, 40 + number)).tolist()
        rows.append({"mel_spectrogram": mel, **dict(zip(_US8K_COLUMNS, row, strict=True))})
    return _parquet(rows)
