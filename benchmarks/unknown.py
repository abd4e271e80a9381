"""How often does a classifier say "unknown"? `python -m benchmarks.unknown` asks it for sounds of none of its classes.

Made sounds: silence, noise, tones, hum, clicks. Speech: EmoDB's recordings, where a data home has them. The training of
`small` has heard other made sounds of these kinds (`augment.outliers`), but no recording of EmoDB. Of the clips of its
own classes one in twenty is rejected by design: so the threshold is chosen.
"""

import argparse
import datetime
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from hubbub.classifier.base import Classifier, ClassifierError
from hubbub.classifier.load import load
from hubbub.data.clips import ClipsError
from hubbub.data.open import open_data
from hubbub.runtime import files

Wave = npt.NDArray[np.float32]
RATE_HZ, SECONDS, COUNT = 44_100, 5.0, 50
SAMPLES = int(RATE_HZ * SECONDS)
OUT = Path("docs/results/small-unknown.json")


def white(random: np.random.Generator) -> Wave:
    """White noise, -20 dB of full scale."""
    return _scaled(random.standard_normal(SAMPLES), -20)


def pink(db: float) -> Callable[[np.random.Generator], Wave]:
    """Noise whose power falls by 3 dB an octave, at an RMS of `db` [dB of full scale]."""

    def make(random: np.random.Generator) -> Wave:
        spectrum = np.fft.rfft(random.standard_normal(SAMPLES))
        hertz = np.maximum(np.fft.rfftfreq(SAMPLES, 1 / RATE_HZ), 20.0)
        return _scaled(np.fft.irfft(spectrum / np.sqrt(hertz), SAMPLES), db)

    return make


def tone(random: np.random.Generator) -> Wave:
    """A sine of 100 Hz to 8 kHz, -20 dB of full scale."""
    return _scaled(np.sin(2 * np.pi * np.exp(random.uniform(np.log(100), np.log(8000))) * _times()), -20)


def clicks(random: np.random.Generator) -> Wave:
    """Single samples at half of full scale, 1 to 10 a second, at random times."""
    wave = np.zeros(SAMPLES, np.float32)
    wave[random.integers(SAMPLES, size=int(random.uniform(1, 10) * SECONDS))] = 0.5
    return wave


def hum(random: np.random.Generator) -> Wave:
    """Mains hum: 50 or 60 Hz and seven overtones of random levels, -30 dB of full scale."""
    hertz = random.choice([50.0, 60.0]) * np.arange(1, 9)[:, None]
    levels = random.uniform(0, 1, (8, 1)) / np.arange(1, 9)[:, None]
    return _scaled((levels * np.sin(2 * np.pi * hertz * _times() + random.uniform(0, 2 * np.pi, (8, 1)))).sum(0), -30)


MADE: dict[str, Callable[[np.random.Generator], Wave]] = {
    "white noise, -20 dB": white,
    **{f"pink noise, {db} dB": pink(db) for db in (-60, -40, -20)},
    "pure tones": tone,
    "clicks": clicks,
    "mains hum": hum,
}


def _times() -> npt.NDArray[np.float64]:
    return np.arange(SAMPLES) / RATE_HZ


def _scaled(wave: npt.NDArray[np.float64], db: float) -> Wave:
    return np.asarray(wave * (10 ** (db / 20) / np.sqrt(np.mean(wave**2))), dtype=np.float32)


def made_rates(model: Classifier, count: int = COUNT) -> list[dict[str, object]]:
    """The share of "unknown" for each kind of made sound. Raises `ClassifierError` without a threshold."""
    if model.confidence.threshold is None:
        raise ClassifierError("this classifier has no threshold of open-set rejection, and never says unknown.")
    rows = [_row("digital silence", [model.classify(np.zeros(SAMPLES, np.float32), RATE_HZ).known is False])]
    for number, (name, make) in enumerate(MADE.items()):
        waves = (make(np.random.default_rng([number, take])) for take in range(count))
        rows.append(_row(name, [model.classify(wave, RATE_HZ).known is False for wave in waves]))
    return rows


def speech_rate(model: Classifier) -> dict[str, object] | None:
    """The share of "unknown" for EmoDB's recordings; None where no data home has them."""
    try:
        paths = open_data("emodb").table["path"]
    except ClipsError as error:
        print(f"speech is left out: {error}")
        return None
    return _row("speech (EmoDB, 2 s)", [model.classify(path).known is False for path in paths])


def _row(name: str, unknown: list[bool]) -> dict[str, object]:
    return {"sounds": name, "count": len(unknown), "unknown": round(float(np.mean(unknown)), 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="small", help="as for hubbub.load")
    parser.add_argument("--out", type=Path, default=OUT, help="the file for the figures")
    given = parser.parse_args()
    model = load(given.model)
    found = [*made_rates(model), speech_rate(model)]
    rows = [row for row in found if row]
    content = {"model": given.model, "date": datetime.date.today().isoformat(), "rates": rows}
    files.write_json(given.out, content)
    table = Table("sounds", "number", "said unknown")
    for row in rows:
        table.add_row(str(row["sounds"]), str(row["count"]), f"{row['unknown']:.3f}")
    Console().print(table)
    print(f"wrote {given.out}")


if __name__ == "__main__":
    main()
