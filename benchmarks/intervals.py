"""How often do the 95 % intervals of a run's figures hold the true value?

Test sets are simulated with the decisions of a classifier whose true accuracy is known. A recording has 1 to 8 clips,
and whether these are right correlates (beta-binomial); its wrong clips are all taken for one other class. Each row of
the table is one kind of test set. Its last columns are the shares of these sets, in per cent, whose interval holds the
true accuracy, balanced accuracy and macro-F1. As the number of mistakes is whole, the coverage at one true accuracy
moves up and down with it; with `--spread`, each set has a true accuracy of its own, drawn evenly from .5 to 1.

    python -m benchmarks.intervals [--sets 1000] [--spread]
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt
from scipy import stats

from hubbub.metrics.intervals import exact_interval, intervals

METRICS = ("accuracy", "balanced_accuracy", "macro_f1")
RECORDINGS, CLASSES = (10, 20, 50, 100, 500, 2000), (2, 10, 50)
ACCURACIES, CORRELATIONS = (0.5, 0.8, 0.95, 0.99), (0, 0.5, 1)
SPREAD = (0.5, 1.0)
MOST_CLIPS = 8


@dataclass(frozen=True)
class Kind:
    """One kind of test set: the recordings are dealt out to the classes in turn. An accuracy of None is drawn for each
    set from `SPREAD`."""

    recordings: int
    classes: int
    accuracy: float | None
    correlation: float
    most_clips: int = MOST_CLIPS


def kinds(accuracies: Sequence[float | None] = ACCURACIES) -> Iterator[Kind]:
    """All kinds in which a class has two recordings or more."""
    for recordings, classes, accuracy, correlation in product(RECORDINGS, CLASSES, accuracies, CORRELATIONS):
        if recordings >= 2 * classes:
            yield Kind(recordings, classes, accuracy, correlation)
            if correlation == 0:
                yield Kind(recordings, classes, accuracy, correlation, most_clips=1)


def draw(
    kind: Kind, p: float, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.intp]]:
    """Targets `[N]`, scores `[N, K]` and recordings `[N]` of one test set with the true accuracy `p`."""
    sizes = rng.integers(1, kind.most_clips + 1, kind.recordings)
    rho = kind.correlation
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
        true = float(rng.uniform(*SPREAD)) if kind.accuracy is None else kind.accuracy
        found = intervals(*draw(kind, true, rng))
        for metric in METRICS:
            ends = found[metric]
            held[metric] += ends is not None and ends[0] <= true <= ends[1]
    return {metric: count / sets for metric, count in held.items()}


def exact_coverage(number: int) -> npt.NDArray[np.float64]:
    """The coverage of the interval of the accuracy at 400 true accuracies of `SPREAD`, for so many independent clips:
    summed over all numbers of right ones, without simulation."""
    right = np.arange(number + 1)
    low, high = np.array([exact_interval(hits / number, number) for hits in right]).T
    true = np.linspace(*SPREAD, 402)[1:-1, None]
    return np.where((low <= true) & (true <= high), stats.binom.pmf(right, number, true), 0).sum(axis=1)


def main() -> None:
    """Prints the exact coverage for independent clips, the table, and how many figures are outside 93 to 97 %."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=1000, help="simulated test sets of each kind")
    parser.add_argument("--spread", action="store_true", help="draw the true accuracy of each set from .5 to 1")
    options, rng = parser.parse_args(), np.random.default_rng(0)
    for number in RECORDINGS:
        found = exact_coverage(number)
        print(
            f"{number} independent clips: mean coverage {100 * found.mean():.1f} %, at least {100 * found.min():.1f} %"
        )
    print(
        "| recordings | clips each | classes | true accuracy | correlation | accuracy | balanced accuracy | macro-F1 |"
    )
    print("|---|---|---|---|---|---|---|---|")
    shares: list[tuple[Kind, float]] = []
    for kind in kinds([None] if options.spread else ACCURACIES):
        held = coverage(kind, options.sets if kind.recordings < 2000 else options.sets // 2, rng)
        shares += [(kind, share) for share in held.values()]
        clips = "1" if kind.most_clips == 1 else f"1 to {kind.most_clips}"
        accuracy = "{} to {}".format(*SPREAD) if kind.accuracy is None else kind.accuracy
        facts = (kind.recordings, clips, kind.classes, accuracy, kind.correlation)
        figures = (f"{100 * share:.1f}" for share in held.values())
        print("| " + " | ".join([*map(str, facts), *figures]) + " |", flush=True)
    low = [kind for kind, share in shares if share < 0.93]
    high = [kind for kind, share in shares if share > 0.97]
    near_one = sum((kind.accuracy or 0) >= 0.95 for kind in high)
    print(f"\n{len(shares)} figures: {len(low)} below 93 %; {len(high)} above 97 %, {near_one} of them at 0.95 or 0.99")
    smallest, mean = min(share for _, share in shares), np.mean([share for _, share in shares])
    print(f"smallest: {100 * smallest:.1f} %; mean: {100 * mean:.1f} %")


if __name__ == "__main__":
    main()
