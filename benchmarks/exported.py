"""What an exported file costs and gains: `python benchmarks/exported.py runs/esc10-yamnet` (see docs/export.md).

Each fold's classifier is exported, also to int8, and these and their `--fast` forms hear the fold's test clips, which
none was trained on; the ranges of int8 come from clips of the other folds. Speed is that of all test clips' segments,
from memory to probabilities, with each library's own number of threads.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hubbub.audio import decode
from hubbub.classifier.base import Classifier
from hubbub.classifier.export import INT8_CLIPS, Sounds, export
from hubbub.classifier.load import load_torch
from hubbub.classifier.onnx_classifier import OnnxClassifier
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.data.open import open_clips

Array = npt.NDArray[np.float32]
KINDS = ("torch", "onnx", "onnx --fast", "int8", "int8 --fast")


def judged(model: Classifier, clips: list[Array]) -> tuple[Array, float]:
    """Probabilities of clips given as their segments, and segments a second."""
    segments, offsets = np.concatenate(clips), np.cumsum([0, *(len(clip) for clip in clips[:-1])])
    model.outputs(segments[:64])
    began = time.perf_counter()
    scores = model.predict_proba(model.outputs(segments), offsets)[1]
    return scores, len(segments) / (time.perf_counter() - began)


def of_fold(folder: Path, model: TorchClassifier, most: int | None) -> dict[str, tuple[float, ...]]:
    """Accuracy, share of decisions as torch's, segments a second and MB of each kind of the same classifier."""
    fold, clips = folder.parent.name.removeprefix("test-"), open_clips(model.recipe)
    targets, own = clips.targets(), (clips.table["fold"] == fold).to_numpy()
    rng = np.random.default_rng(0)
    tested, others = (rng.permutation(np.flatnonzero(rows)) for rows in (own, ~own))
    tested, others = tested[:most], others[:INT8_CLIPS]

    def waves(rows: npt.NDArray[np.intp]) -> list[Array]:
        table = clips.table.iloc[rows]
        places = zip(table["path"], table["start"], table["end"], strict=True)
        return [decode.load(path, model.rate_hz, start, end) for path, start, end in places]

    checked_on, cuts = Sounds(clips.name, waves(others), targets[others]), [model.cut(wave) for wave in waves(tested)]
    found, decisions = {}, None
    with tempfile.TemporaryDirectory() as temporary:
        for kind in KINDS:
            form, _, fast = kind.partition(" ")
            file = Path(temporary) / f"{form}.onnx"
            if form != "torch" and not fast:
                written = export(model, file, checked_on, int8=form == "int8")
                print(f"fold {fold}: {written.exported}", flush=True)
            heard = model if form == "torch" else OnnxClassifier.load(file, fast=bool(fast))
            parts = [file] if file.exists() else list((folder / "classifier").iterdir())
            scores, speed = judged(heard, cuts)
            decided = scores.argmax(axis=1)
            decisions = decided if decisions is None else decisions
            right, same = (decided == targets[tested]).mean(), (decided == decisions).mean()
            found[kind] = (float(right), float(same), speed, sum(part.stat().st_size for part in parts) / 1e6)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="a run folder")
    parser.add_argument("--folds", default="", help="e.g. 1,2; default: all")
    parser.add_argument("--clips", type=int, help="test clips a fold; default: all")
    given = parser.parse_args()
    names = [f"test-{fold}" for fold in given.folds.split(",") if fold]
    places = [p for p in sorted(given.run.glob("test-*/seed-*")) if not names or p.parent.name in names]
    folds = [of_fold(p, load_torch(p), given.clips) for p in places]
    print("| classifier | clip accuracy | decisions as torch's | segments/s | MB |\n|---|---|---|---|---|")
    for kind in KINDS:
        accuracy, same, speed, size = np.mean([fold[kind] for fold in folds], axis=0)
        print(f"| {kind} | {accuracy:.4f} | {same:.4f} | {speed:.0f} | {size:.1f} |")


if __name__ == "__main__":
    main()
