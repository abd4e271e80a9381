"""Near-duplicates of ESC-50: `python benchmarks/near_duplicates.py` plants changed copies and looks for them.

Of each kind of change 200 clips get a copy. The table says how many are found (a copy by its own original), and below
are the pairs found among the clips themselves, with their recordings: any of two recordings is a false alarm or a sound
that the data set holds twice.
"""

import argparse
import io
import itertools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
from rich.console import Console
from rich.table import Table

from hubbub.audio import decode
from hubbub.data import cache, near_duplicates
from hubbub.data.cache import Waves
from hubbub.data.fingerprints import fingerprint
from hubbub.data.open import open_data

Wave = npt.NDArray[np.float32]
RATE_HZ = 44_100


def coded(wave: Wave, container: str, subtype: str, **settings: object) -> Wave:
    """The wave after coding and decoding."""
    file = io.BytesIO()
    soundfile.write(file, wave, RATE_HZ, format=container, subtype=subtype, **settings)
    file.seek(0)
    return np.asarray(soundfile.read(file, dtype="float32")[0])


def mp3(wave: Wave, level: float) -> Wave:
    return coded(wave, "MP3", "MPEG_LAYER_III", bitrate_mode="CONSTANT", compression_level=level)


def at_rate(wave: Wave, rate_hz: int) -> Wave:
    """The wave at another rate and back, in 16 bits."""
    return np.round(decode.resample(decode.resample(wave, RATE_HZ, rate_hz), rate_hz, RATE_HZ) * 32768) / 32768


def half(wave: Wave, rng: np.random.Generator) -> Wave:
    """The first, the second or a random half, of those with a tenth of the energy: a silent one is no copy."""
    size = len(wave) // 2
    starts = [0, size, int(rng.integers(size))]
    loud = [s for s in starts if (wave[s : s + size] ** 2).sum() > 0.1 * (wave**2).sum()]
    start = int(rng.choice(loud))
    return wave[start : start + size]


def up_to_a_second(rng: np.random.Generator) -> int:
    return int(rng.uniform(0.02, 1) * RATE_HZ)


def padded(wave: Wave, rng: np.random.Generator) -> Wave:
    silence = np.zeros(up_to_a_second(rng), np.float32)
    return np.concatenate([silence, wave] if rng.random() < 0.7 else [wave, silence])


def trimmed(wave: Wave, rng: np.random.Generator) -> Wave:
    size = up_to_a_second(rng)
    return wave[size:] if rng.random() < 0.5 else wave[:-size]


def noisy(wave: Wave, rng: np.random.Generator) -> Wave:
    return wave + rng.normal(0, np.sqrt((wave**2).mean()) / 100, len(wave)).astype(np.float32)


CHANGES: dict[str, Callable[[Wave, np.random.Generator], Wave]] = {
    "last bit": lambda wave, rng: ((np.round(wave * 32768).astype(int) ^ 1) / 32768).astype(np.float32),
    "gain -1 to -20 dB": lambda wave, rng: wave * np.float32(10 ** (-rng.uniform(1, 20) / 20)),
    "polarity": lambda wave, rng: -wave,
    "22.05 kHz and back": lambda wave, rng: at_rate(wave, 22_050),
    "16 kHz and back": lambda wave, rng: at_rate(wave, 16_000),
    "8 kHz and back": lambda wave, rng: at_rate(wave, 8000),
    "trimmed by up to 1 s": trimmed,
    "padded by up to 1 s": padded,
    "Ogg Vorbis": lambda wave, rng: coded(wave, "OGG", "VORBIS"),
    "MP3, 128 kbit/s": lambda wave, rng: mp3(wave, 0.67),
    "MP3, 56 kbit/s": lambda wave, rng: mp3(wave, 0.9),
    "noise 40 dB below": noisy,
    "half": half,
    "half, quieter, MP3 56": lambda wave, rng: mp3(half(wave, rng) * np.float32(10 ** (-rng.uniform(1, 20) / 20)), 0.9),
}


def planted(sound: Waves, original: Waves, count: int, file: Path) -> tuple[Waves, list[tuple[str, int]]]:
    """The clips at their rate, followed by copies, and each copy's kind and original."""
    lengths, truth = list(sound.lengths), []
    audible = [clip for clip in range(len(original)) if original.wave(clip).any()]
    with file.open("wb") as sink:
        sound.samples.tofile(sink)
        for seed, (kind, change) in enumerate(CHANGES.items()):
            rng = np.random.default_rng(seed)
            for clip in rng.choice(audible, min(count, len(audible)), replace=False).tolist():
                copy = np.ascontiguousarray(change(original.wave(clip).copy(), rng), np.float32)
                copy = decode.resample(copy, RATE_HZ, sound.rate_hz)
                copy.tofile(sink)
                lengths.append(len(copy))
                truth.append((kind, clip))
    contents = (*sound.contents, *(f"copy {number}" for number in range(len(truth))))
    samples = np.memmap(file, np.float32, mode="c")
    key = cache.key_of("planted", sound.key, len(truth), time.time())
    return Waves(samples, np.cumsum([0, *lengths]), contents, sound.rate_hz, key), truth


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=16_000, help="Hz of the decoded clips")
    parser.add_argument("--count", type=int, default=200, help="copies of each kind")
    options = parser.parse_args()
    clips = open_data("esc50")
    original, sound = (cache.decode_clips(clips, rate_hz) for rate_hz in (RATE_HZ, options.rate))
    started = time.perf_counter()
    fingerprint(sound)
    printed = time.perf_counter()
    own = near_duplicates.find(sound)
    found = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        waves, truth = planted(sound, original, options.count, Path(folder) / "samples.f32")
        pairs = {(pair.first, pair.second): pair for pair in near_duplicates.find(waves)}
    table = Table("copies", "found", "of", "least similarity")
    for kind, of_kind in itertools.groupby(enumerate(truth, len(sound)), key=lambda each: each[1][0]):
        copies = [(clip, row) for row, (_, clip) in of_kind]
        hits = [pairs[copy].similarity for copy in copies if copy in pairs]
        table.add_row(kind, str(len(hits)), str(len(copies)), f"{min(hits, default=0):.2f}")
    Console().print(table)
    ids, groups, folds = (list(clips.table[column]) for column in ("clip", "group", "fold"))
    for pair in own:
        one, other = pair.first, pair.second
        same = "one recording" if groups[one] == groups[other] else "two recordings"
        where = f"folds {folds[one]} and {folds[other]}, shifted by {pair.shift_s:.3f} s"
        print(f"{ids[one]} ~ {ids[other]}: {same}, {where}, similarity {pair.similarity:.2f}")
    print(
        f"{len(own)} pairs among {len(clips):,} clips at {options.rate} Hz; fingerprints {printed - started:.2f} s "
        f"(less where they are cached), pairs {found - printed:.2f} s"
    )


if __name__ == "__main__":
    main()
