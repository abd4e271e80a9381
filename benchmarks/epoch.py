"""One epoch of `esc50-compact` on 1,600 clips of ESC-50, against an ordinary PyTorch loop.

    python -m benchmarks.epoch [--epochs 4] [--repeats 5]

The peer (`peers/plain_training.py`) has the same network, batch size and data, and no augmentation. Both compute their
spectrograms once. hubbub's epoch is the difference between trainings of several epochs and of one, whole processes, so
that it holds everything that an epoch costs: augmentation, mixup, the running mean of the weights, checkpoints.
"""

import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from benchmarks.measure import clips_of, cores, cost_of, emit, hubbub, options, skip
from hubbub.audio import decode
from hubbub.audio.logmel import LogMel
from hubbub.config.recipe import Recipe
from hubbub.data.open import open_clips

WORK = "`compact`, one epoch of 1,600 clips"


def write_features(recipe: Recipe, folder: Path) -> tuple[Path, Path]:
    """Log-mel spectrograms `[1600, 64, W]` and targets of the clips outside fold 1, as files."""
    clips, settings = open_clips(recipe), recipe.frontend
    rows = np.flatnonzero(clips.table["fold"] != "1")
    logmel = LogMel(
        recipe.audio.rate_hz,
        n_fft=settings.n_fft,
        hop=settings.hop,
        n_mels=settings.n_mels,
        f_min_hz=settings.f_min_hz,
    )
    torch.set_num_threads(1)  # for one clip at a time, threads cost more than they gain
    length, found = recipe.windows.length, []
    for path in clips.table["path"].iloc[rows]:
        wave = decode.load(path, recipe.audio.rate_hz)[:length]
        found.append(logmel(torch.from_numpy(np.pad(wave, (0, length - len(wave))))[None])[0].numpy())
    np.save(folder / "features.npy", np.stack(found).astype(np.float32))
    np.save(folder / "targets.npy", np.asarray(clips.targets())[rows].astype(np.int64))
    return folder / "features.npy", folder / "targets.npy"


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--epochs", type=int, default=4, help="epochs of the longer training, at least 2")
    given = parser.parse_args()
    if not clips_of("esc50", 1):
        skip("epoch", WORK, "no data home has data/esc50")
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        features, targets = write_features(Recipe.load("esc50-compact"), folder)
        peer = [sys.executable, "-m", "benchmarks.peers.plain_training", str(features), str(targets), str(cores())]

        def train(epochs: int, repeat: int) -> float:
            out = folder / f"runs-{repeat}-{epochs}"
            settings = ["--fold", "1", "--no-refit", "--set", f"train.epochs={epochs}", "--out", str(out)]
            cache = str(folder / "cache")
            return cost_of(hubbub("train", "esc50-compact", *settings), folder, HUBBUB_CACHE=cache).seconds

        train(1, -1)  # decodes
        ours, theirs = [], []
        for repeat in range(given.repeats):
            ours.append((train(given.epochs, repeat) - train(1, repeat)) / (given.epochs - 1))
            cost_of([*peer, "2"], folder)
            theirs.append(float((folder / "output.txt").read_text().split()[-1]))
    figures = {"hubbub": statistics.median(ours), "ordinary loop": statistics.median(theirs)}
    emit("epoch", WORK, "s", figures, cores(), given.repeats)


if __name__ == "__main__":
    main()
