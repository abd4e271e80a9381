"""How well explanations point: `python benchmarks/explain.py MODEL`, a classifier of `street` (see docs/explain.md).

Events are placed at known times in clips that no data set holds (another seed), so three things can be measured: the
share of a map's sum that lies on the event, against the event's share of the time; the areas under the deletion and
insertion curves, against those of random maps about as coarse; how much of the spectrum the mask lets through, and
the scores of the masked audio and of the rest.
"""

import argparse
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from hubbub.classifier.load import load_torch
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.data import synthetic
from hubbub.inference.explain import Explanation, curves, explain, split_audio
from hubbub.inference.occlusion import occlude
from hubbub.inference.stft import Grid

SEED, EVENT_S, SNR_DB, RANDOM_MAPS = 7, 0.7, 12.0, 3
COLUMNS = ("on the event", "deletion", "insertion", "mask", "masked audio", "rest")
Array = npt.NDArray[np.float32]


def area(scores: Array) -> float:
    return float(np.mean((scores[1:] + scores[:-1]) / 2))


def measure(model: TorchClassifier, found: Explanation, heat: Array, inside: npt.NDArray[np.bool_]) -> list[float]:
    """One row of `COLUMNS` for a map on the explanation's grid."""
    own = replace(found, map=heat / heat.max())
    sounds = [model.classify(wave, found.rate_hz).scores[found.label] for wave in split_audio(own)]
    areas = (area(scores) for scores in curves(model, own))
    return [float(heat[:, inside].sum() / heat.sum()), *areas, float(own.mask.mean()), *sounds]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="a classifier of street")
    parser.add_argument("--clips", type=int, default=30, help="three a class")
    given = parser.parse_args()
    model, rng, random = load_torch(given.model), np.random.default_rng(SEED), torch.Generator().manual_seed(SEED)
    rows: dict[str, list[list[float]]] = {"Grad-CAM": [], "occlusion": [], "random": []}
    scores, right, shares = [], [], []
    for number in range(given.clips):
        label = synthetic.CLASSES[number % len(synthetic.CLASSES)]
        onset = float(rng.uniform(0, synthetic.CLIP_SECONDS - EVENT_S))
        event = synthetic.StreetClip(
            f"{label}-{number}", label, f"{label}-s{number}", 1, SEED, SNR_DB, onset, onset + EVENT_S
        )
        found = explain(model, synthetic.render(event), synthetic.SAMPLE_RATE_HZ, label)
        inside = (found.times >= onset) & (found.times <= onset + EVENT_S)
        scores.append(found.score)
        right.append(found.prediction.label == label)
        shares.append(inside.mean())
        rows["Grad-CAM"].append(measure(model, found, found.map, inside))
        heat, _ = occlude(model, found.wave, Grid(len(found.wave), found.rate_hz), label)
        rows["occlusion"].append(measure(model, found, heat, inside))
        for _ in range(RANDOM_MAPS):
            cells = torch.rand(1, 1, 8, 12, generator=random)
            heat = torch.nn.functional.interpolate(cells, found.map.shape, mode="bilinear")[0, 0].numpy()
            rows["random"].append(measure(model, found, heat, inside))
    print(f"{given.clips} clips, {np.mean(right):.2f} of them right, score {np.mean(scores):.3f}")
    print(f"the event lasts {np.mean(shares):.3f} of the time")
    print("| map | " + " | ".join(COLUMNS) + " |\n" + "|---" * (len(COLUMNS) + 1) + "|")
    for name, values in rows.items():
        print(f"| {name} | " + " | ".join(f"{value:.3f}" for value in np.mean(values, axis=0)) + " |")


if __name__ == "__main__":
    main()
