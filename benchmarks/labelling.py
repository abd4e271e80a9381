"""How much better are labels that hubbub asks for than random ones? A simulated person labels an archive.

    python -m benchmarks.labelling [--data urbansound8k] [--labels 200] [--seeds 10] [--picture curve.svg]

The recordings of a data set are indexed into an archive with YAMNet, each of them a segment or a few. The person hears
ten segments at a time, which `hubbub explore` would ask for, and says of each class whether it is in it. After each ten
the head learns, and scores the segments that are not labelled: the figure is the mean over classes of the average
precision. Beside it, the same head learns from as many random segments. Segments that are asked again count as labels.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score

from hubbub.archive import quick_head
from hubbub.archive.archive import Archive
from hubbub.archive.choose import next_segments
from hubbub.archive.index import index
from hubbub.archive.quick_head import Space
from hubbub.archive.vectors import Vectors
from hubbub.data.archive_labels import LabelState
from hubbub.data.open import open_data
from hubbub.runtime import homes

__all__ = ["Figures", "chosen", "random_ones", "simulate", "truth_of"]

Sets = npt.NDArray[np.int8]
#: Segments that the person labels between two heads.
BATCH = 10


@dataclass(frozen=True)
class Figures:
    """The figure of each seed, by the number of labels."""

    by_labels: dict[int, list[float]]

    def mean(self, labels: int) -> float:
        return float(np.mean(self.by_labels[labels]))

    def deviation(self, labels: int) -> float:
        return float(np.std(self.by_labels[labels], ddof=1)) if len(self.by_labels[labels]) > 1 else 0.0


def truth_of(archive: Archive, data: str) -> Sets:
    """The true classes of each segment `[S, K]`: that of the recording in which it is."""
    table = open_data(data, allow_missing=True).table
    label = {Path(path).name: name for path, name in zip(table["path"], table["label"], strict=True)}
    names = [label[Path(archive.place(segment).path).name] for segment in range(archive.segments)]
    return (np.array(names)[:, None] == np.array(sorted(set(names)))).astype(np.int8)


def chosen(vectors: Vectors, space: Space, truth: Sets, most: int, seed: int) -> Iterator[tuple[int, LabelState]]:
    """The labels after each batch that hubbub asked for, with their number."""
    random, scores = np.random.default_rng(seed), None
    labels, asked, again = _state(truth, {}), 0, list[int]()
    drawn: dict[int, float] = {}
    while asked < most:
        picks = next_segments(vectors, scores, labels, np.ones(len(truth), bool), BATCH, random, again)
        asked += sum(not pick.known for pick in picks)
        again += [pick.segment for pick in picks if pick.reason == "likely-wrong"]
        drawn |= {pick.segment: pick.weight or drawn.get(pick.segment, np.nan) for pick in picks}
        labels = _state(truth, drawn)
        scores = quick_head.scores(vectors, labels.segments, labels.y, space)
        yield asked, labels


def random_ones(truth: Sets, most: int, seed: int) -> Iterator[tuple[int, LabelState]]:
    """The labels after each batch of random segments, with their number."""
    order = np.random.default_rng(seed).permutation(len(truth))
    for asked in range(BATCH, most + 1, BATCH):
        yield asked, _state(truth, dict.fromkeys(order[:asked].tolist(), np.nan))


def _state(truth: Sets, drawn: dict[int, float]) -> LabelState:
    """Complete labels of some segments; each with how many segments its random draw stands for, or NaN."""
    segments = np.array(sorted(drawn), np.int64)
    flags = np.ones(len(segments), bool)
    weights = np.array([drawn[segment] for segment in segments.tolist()], np.float64)
    return LabelState(tuple(map(str, range(truth.shape[1]))), segments, truth[segments], flags, ~flags, weights)


def simulate(vectors: Vectors, truth: Sets, most: int, seeds: Sequence[int]) -> dict[str, Figures]:
    """The mean average precision on what is not labelled, of labels that were `chosen` and of `random` ones."""
    space = Space.of(vectors)
    found: dict[str, dict[int, list[float]]] = {"chosen": {}, "random": {}}
    for seed in seeds:
        ways = {"chosen": chosen(vectors, space, truth, most, seed), "random": random_ones(truth, most, seed)}
        for name, way in ways.items():
            for asked, labels in way:
                scores = quick_head.scores(vectors, labels.segments, labels.y, space)
                found[name].setdefault(asked, []).append(_mean_precision(scores, truth, labels))
    return {name: Figures(by_labels) for name, by_labels in found.items()}


def _mean_precision(scores: npt.NDArray[np.float32], truth: Sets, labels: LabelState) -> float:
    """Mean over classes of the average precision; a class that is not known yet ranks all segments alike."""
    rest = np.delete(np.arange(len(truth)), labels.segments)
    present, ranked = truth[rest], np.nan_to_num(scores[rest])
    some = np.flatnonzero(present.any(axis=0))
    return float(np.mean([average_precision_score(present[:, k], ranked[:, k]) for k in some]))


def picture(found: dict[str, Figures], data: str, to: Path) -> None:
    """Draw both curves with their deviations."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.5), layout="constrained")
    for name, way in found.items():
        counts = sorted(way.by_labels)
        means = np.array([way.mean(count) for count in counts])
        spread = np.array([way.deviation(count) for count in counts])
        axes.plot(counts, means, label="labels that hubbub asks for" if name == "chosen" else "random labels")
        axes.fill_between(counts, means - spread, means + spread, alpha=0.2)
    axes.set(xlabel="labelled segments", ylabel="mean average precision of the rest", title=data, ylim=(None, 1))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(to)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="urbansound8k", help="a data set of a data home")
    parser.add_argument("--labels", type=int, default=200, help="the most labels")
    parser.add_argument("--seeds", type=int, default=10, help="simulated persons")
    parser.add_argument("--archive", type=Path, help="an archive of the data set, to be made here if it is not there")
    parser.add_argument("--picture", type=Path, help="draw the curves into this file")
    given = parser.parse_args()
    recordings = homes.find("data", given.data)
    if recordings is None:
        parser.error(f"no data home has {given.data}: set HUBBUB_HOME")
    with tempfile.TemporaryDirectory() as folder:
        to = given.archive or Path(folder, "archive")
        index(recordings / "audio", to, model="yamnet", log=print)
        archive = Archive(to)
        found = simulate(archive.vectors, truth_of(archive, given.data), given.labels, range(given.seeds))
    for count in sorted(found["chosen"].by_labels):
        means = {name: round(way.mean(count), 4) for name, way in found.items()}
        spread = {f"{name}_sd": round(way.deviation(count), 4) for name, way in found.items()}
        print(json.dumps({"row": f"labelling-{given.data}", "labels": count, **means, **spread}), flush=True)
    if given.picture:
        picture(found, given.data, given.picture)


if __name__ == "__main__":
    main()
