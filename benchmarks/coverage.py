"""How often do the 95 % intervals of an archive's figures hold the true value?

Archives are simulated whose positives have scores that are higher by `distance` standard deviations. Each archive is
divided into strata, and segments of each are drawn at random, equally many a stratum ("even") or as many as the square
root of its size demands ("root"). Each row of the table is one kind of archive. Its last columns are the shares of
archives, in per cent, whose interval holds the true prevalence, the precision above an edge and the recall above it; in
brackets how often the truth is above and below the interval. An end that cannot fail, as the lower end of a prevalence
of which next to nothing was seen, leaves 97.5 %.

    python -m benchmarks.coverage [--archives 1000] [--seed 0] [--others]
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from hubbub.metrics.draws import inclusion_weights, tally
from hubbub.metrics.strata import Estimate, Strata, precision_above, prevalence, recall

Array = npt.NDArray[np.float64]
FIGURES = ("prevalence", "precision", "recall")
#: Segments, prevalences, distances, labels: those on which the method was chosen, and others on which it was not.
GRID = (10**4, 10**6), (0.001, 0.01, 0.05, 0.3), (3.0, 1.5, 0.7), (100, 300, 1000)
OTHERS = (3 * 10**4, 10**7), (0.003, 0.02, 0.15, 0.6), (4.0, 2.0, 0.0), (60, 200, 600)
STRATA, DRAWS = (4, 6, 8), ("even", "root")
RATIO, SMALLEST = 4, 50


@dataclass(frozen=True)
class Kind:
    """One kind of archive and of labelling; strata `first` and above are those above the threshold."""

    segments: int
    prevalence: float
    distance: float
    labels: int
    strata: int
    first: int
    draw: str = "even"


def kinds(rng: np.random.Generator, others: bool = False) -> Iterator[Kind]:
    """Each archive with each number of labels; strata, threshold and the way to draw are chosen by `rng`."""
    for facts in product(*(OTHERS if others else GRID)):
        strata = int(rng.choice(STRATA))
        yield Kind(*facts, strata, int(rng.integers(1, strata)), str(rng.choice(DRAWS)))


def sizes_of(kind: Kind) -> Array:
    """Sizes of strata, the lowest scores first: each has a quarter of the one below it, but not below 50 segments."""
    shares = RATIO ** -np.arange(kind.strata, dtype=float)
    sizes = np.maximum(np.round(shares / shares.sum() * kind.segments), SMALLEST)
    sizes[0] = kind.segments - sizes[1:].sum()
    return sizes


def shares_of(kind: Kind) -> Array:
    """The expected share of positives in each stratum."""

    def above(score: float) -> float:
        return kind.prevalence * stats.norm.sf(score, kind.distance) + (1 - kind.prevalence) * stats.norm.sf(score)

    sizes = sizes_of(kind)
    parts = sizes[::-1].cumsum()[::-1][1:] / kind.segments
    edges = [optimize.brentq(lambda score, part=part: above(score) - part, -9, 15) for part in parts]
    bounds = np.array([-np.inf, *edges, np.inf])
    return kind.segments * kind.prevalence * np.diff(stats.norm.cdf(bounds, kind.distance)) / sizes


def simulate(kind: Kind, archives: int, rng: np.random.Generator) -> tuple[Strata, Array]:
    """Counts of so many archives, and the true numbers of positives in their strata, `[archives, H]`."""
    sizes = sizes_of(kind)
    weight = np.ones_like(sizes) if kind.draw == "even" else np.sqrt(sizes)
    labelled = np.minimum(np.maximum(np.round(kind.labels * weight / weight.sum()), 5), sizes)
    true = rng.binomial(sizes.astype(int), np.clip(shares_of(kind), 0, 1), (archives, kind.strata))
    found = rng.hypergeometric(true, sizes.astype(int) - true, labelled.astype(int))
    shape = (archives, kind.strata)
    return Strata(np.broadcast_to(sizes, shape), np.broadcast_to(labelled, shape), found.astype(float)), true.astype(
        float
    )


def misses(strata: Strata, true: Array, first: int) -> dict[str, tuple[float, float]]:
    """How often the true value of each figure is above and below its interval, as shares of the archives.

    Archives without a positive have no recall.
    """
    above, every = true[:, first:].sum(axis=1), true.sum(axis=1)
    some = every > 0
    truths = every / strata.sizes.sum(axis=1), above / strata.sizes[:, first:].sum(axis=1), above / np.maximum(every, 1)
    found = prevalence(strata), precision_above(strata, first), recall(strata, first)
    counted = np.ones_like(some), np.ones_like(some), some
    return {
        name: _outside(estimate, truth, which)
        for name, estimate, truth, which in zip(FIGURES, found, truths, counted, strict=True)
    }


def _outside(estimate: Estimate, truth: Array, which: npt.NDArray[np.bool_]) -> tuple[float, float]:
    above, below = truth > estimate.high + 1e-9, truth < estimate.low - 1e-9
    return float(above[which].mean()), float(below[which].mean())


def retrained(kind: Kind, archives: int, rng: np.random.Generator, likeness: float = 0.7) -> dict[str, float]:
    """The coverage where half of the labels were drawn in strata of an earlier classifier's scores.

    `likeness` is the correlation of the noise of both classifiers' scores.
    """
    strata, true = [], []
    sizes = sizes_of(kind)
    edges = sizes[::-1].cumsum()[::-1][1:].astype(int)
    for _ in range(archives):
        positive = rng.random(kind.segments) < kind.prevalence
        noise = rng.multivariate_normal([0, 0], [[1, likeness], [likeness, 1]], kind.segments).T
        old, new = noise + positive * np.array([[kind.distance / 2], [kind.distance]])
        place = [np.searchsorted(np.sort(-s)[edges][::-1] * -1, s, side="right") for s in (old, new)]
        rates, drawn = np.zeros((2, kind.segments)), np.zeros(kind.segments, bool)
        for turn, where in enumerate(place):
            for stratum in range(kind.strata):
                left = np.flatnonzero((where == stratum) & ~drawn)
                chosen = rng.choice(left, min(kind.labels // (2 * kind.strata), len(left)), replace=False)
                rates[turn, where == stratum] = len(chosen) / max(len(left), 1)
                drawn[chosen] = True
        weights = inclusion_weights(rates[:, drawn].T)
        counts = np.bincount(place[1], minlength=kind.strata)
        strata.append(tally(counts, place[1][drawn], positive[drawn], weights))
        true.append(np.bincount(place[1], positive, kind.strata))
    joined = Strata(*(np.stack([getattr(s, n) for s in strata]) for n in ("sizes", "labelled", "positives")))
    return {name: 1 - sum(missed) for name, missed in misses(joined, np.stack(true), kind.first).items()}


def main() -> None:
    """Prints the table, the coverage after a retraining, and how many figures are outside 93 to 97 %."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archives", type=int, default=1000, help="simulated archives of each kind")
    parser.add_argument("--seed", type=int, default=0, help="of the archives and of the kinds' strata")
    parser.add_argument("--others", action="store_true", help="archives on which the method was not chosen")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    print("| segments | prevalence | distance | labels | strata | above | draws | prevalence | precision | recall |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    covered: dict[str, list[float]] = {name: [] for name in FIGURES}
    for kind in kinds(rng, options.others):
        found = misses(*simulate(kind, options.archives, rng), kind.first)
        for name, missed in found.items():
            covered[name].append(round(1 - sum(missed), 9))
        facts = (kind.segments, kind.prevalence, kind.distance, kind.labels, kind.strata, kind.first, kind.draw)
        cells = [f"{100 * (1 - up - down):.1f} ({100 * up:.1f}, {100 * down:.1f})" for up, down in found.values()]
        print("| " + " | ".join([*map(str, facts), *cells]) + " |", flush=True)
    for name, values in covered.items():
        shares = np.array(values)
        print(
            f"{name}: {np.sum((shares >= 0.93) & (shares <= 0.97))} of {len(shares)} in 93 to 97 %, "
            f"{np.sum(shares < 0.93)} below, {np.sum(shares > 0.97)} above; smallest {100 * shares.min():.1f} %, "
            f"mean {100 * shares.mean():.1f} %"
        )
    for share, distance in ((0.01, 3.0), (0.05, 1.5), (0.3, 0.7)):
        kind = Kind(20_000, share, distance, 300, 5, 3)
        held = retrained(kind, min(options.archives, 300), rng)
        print(f"retrained, prevalence {share}: " + ", ".join(f"{n} {100 * v:.1f} %" for n, v in held.items()))


if __name__ == "__main__":
    main()
