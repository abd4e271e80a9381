"""How often do the 95 % intervals of a run's figures hold the true value?

Test sets are simulated with the decisions of a classifier whose true accuracy is known. A recording has 1 to 8 clips,
and whether these are right correlates (beta-binomial); its wrong clips are all taken for one other class. Each row of
the table is one kind of test set. Its last columns are the shares of these sets, in per cent, whose interval holds the
true accuracy, balanced accuracy and macro-F1.

    python benchmarks/intervals.py [--sets 1000]
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from hubbub.metrics.intervals import intervals

METRICS = ("accuracy", "balanced_accuracy", "macro_f1")
RECORDINGS, CLASSES = (10, 20, 50, 100, 500, 2000), (2, 10, 50)
ACCURACIES, CORRELATIONS = (0.5, 0.8, 0.95, 0.99), (0, 0.5, 1)
MOST_CLIPS = 8


@dataclass(frozen=True)
class Kind:
    """One kind of test set: the recordings are dealt out to the classes in turn."""

    recordings: int
    classes: int
    accuracy: float
    correlation: float
    most_clips: int = MOST_CLIPS


def kinds() -> Iterator[Kind]:
    """All kinds in which a class has two recordings or more."""
    for recordings, classes, accuracy, correlation in product(RECORDINGS, CLASSES, ACCURACIES, CORRELATIONS):
        if recordings >= 2 * classes:
            yield Kind(recordings, classes, accuracy, correlation)
            if correlation == 0:
                yield Kind(recordings, classes, accuracy, correlation, most_clips=1)


def draw(
    kind: Kind, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.intp]]:
    """Targets `[N]`, scores `[N, K]` and recordings `[N]` of one test set."""
    sizes = rng.integers(1, kind.most_clips + 1, kind.recordings)
    p, rho = kind.accuracy, kind.correlation
    if rho == 0:
        chance = np.full(kind.recordings, p)
    elif rho == 1:
        chance = (rng.random(kind.recordings) < p).astype(float)
    else:
        chance = rng.beta(p * (1 - rho) / rho, (1 - p) * (1 - rho) / rho, kind.recordings)
    recording = np.repeat(np.arange(kind.recordings), sizes)
    targets = recording % kind.classes
    other = (np.arange(kind.recordings) % kind.classes + rng.integers(1, kind.classes, kind.recordings)) % kind.classes
    decided = np.where(rng.random(len(recording)) < chance[recording], targets, other[recording])
    return targets, np.eye(kind.classes, dtype=np.float32)[decided], recording


def coverage(kind: Kind, sets: int, rng: np.random.Generator) -> dict[str, float]:
    """The share of simulated test sets whose interval holds the true value, of each metric.

    Each class is mistaken for every other alike, so the true values of all three metrics are the accuracy.
    """
    held = dict.fromkeys(METRICS, 0)
    for _ in range(sets):
        found = intervals(*draw(kind, rng))
        for metric in METRICS:
            ends = found[metric]
            held[metric] += ends is not None and ends[0] <= kind.accuracy <= ends[1]
    return {metric: count / sets for metric, count in held.items()}


def main() -> None:
    """Prints the table, then how many of its figures are outside 93 to 97 %."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=1000, help="simulated test sets of each kind")
    sets, rng = parser.parse_args().sets, np.random.default_rng(0)
    print(
        "| recordings | clips each | classes | true accuracy | correlation | accuracy | balanced accuracy | macro-F1 |"
    )
    print("|---|---|---|---|---|---|---|---|")
    shares: list[tuple[Kind, float]] = []
    for kind in kinds():
        found = coverage(kind, sets if kind.recordings < 2000 else sets // 4, rng)
        shares += [(kind, share) for share in found.values()]
        clips = "1" if kind.most_clips == 1 else f"1 to {kind.most_clips}"
        facts = (kind.recordings, clips, kind.classes, kind.accuracy, kind.correlation)
        figures = (f"{100 * share:.1f}" for share in found.values())
        print("| " + " | ".join([*map(str, facts), *figures]) + " |", flush=True)
    low = [kind for kind, share in shares if share < 0.93]
    high = [kind for kind, share in shares if share > 0.97]
    near_one = sum(kind.accuracy >= 0.95 for kind in high)
    print(f"\n{len(shares)} figures: {len(low)} below 93 %; {len(high)} above 97 %, {near_one} of them at 0.95 or 0.99")
    print(f"smallest: {100 * min(share for _, share in shares):.1f} %")


if __name__ == "__main__":
    main()
