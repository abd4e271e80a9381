"""Typed content of a comparison."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from hubbub.report.headline import headline_metric
from hubbub.report.level_results import Content, Figure, LevelFigures, SetLevel

__all__ = ["ComparedNetwork", "ComparedRun", "Comparison", "Pair", "PairFigures", "PairTest"]


@dataclass(frozen=True)
class PairFigures:
    """What the tests of a pair need: the difference of two runs' main figures, `first` minus `second`, in all, in each
    fold, and in each draw of source recordings (`resampled`, None where they cannot be drawn).

    `alone` are the clips that only the first run decided right, those that only the second did, and McNemar's p; None
    for label sets, which are not right or wrong as a whole.
    """

    first: str
    second: str
    difference: float
    by_fold: dict[str, float] = field(default_factory=dict)
    resampled: npt.NDArray[np.float64] | None = None
    alone: tuple[int, int, float] | None = None


class PairTest(Content):
    """The p-value of one test of a pair, alone and with Holm's adjustment over all pairs."""

    p: float
    p_holm: float = 1.0


class Pair(Content):
    """The difference of two runs' clip accuracy or, of label sets, macro mAP, `first` minus `second`, and its tests."""

    difference: float
    ci95: tuple[float, float] | None
    only_first: int | None
    only_second: int | None
    folds: dict[str, float]
    tests: dict[str, PairTest | None]
    first: str
    second: str
    within_noise: bool | None = None

    @property
    def name(self) -> str:
        """`a over b`."""
        return f"{self.first} over {self.second}"


class ComparedNetwork(Content):
    """The network of a run: its size without the last layer (None in runs of earlier versions), the length of a
    segment [s], its speed on the run's machine, and whether its weights may have learnt from the compared clips."""

    parameters: int | None
    embedding: int | None
    segment_s: float
    segments_per_second: float | None
    learnt_from: str
    overlap: str
    source: str


class ComparedRun(Content):
    """One run of a comparison, its standing, and its figures over the compared clips; scored predictions have no
    `network`."""

    name: str
    recipe: str
    seeds: list[int]
    standing: str
    clip: LevelFigures
    network: ComparedNetwork | None = None

    @property
    def main(self) -> Figure:
        """The figure that the runs are compared by."""
        return self.clip.figure(headline_metric(isinstance(self.clip, SetLevel))[0])


class Comparison(Content):
    """All figures of a comparison, the best run first."""

    comparable: bool
    why_not_comparable: list[str]
    warnings: list[str]
    protocols: list[str]
    data: list[str]
    clips: int
    recordings: int
    resamples: int
    runs: list[ComparedRun]
    pairs: list[Pair]

    @property
    def multilabel(self) -> bool:
        """Whether the clips may hold several classes, or none."""
        return isinstance(self.runs[0].clip, SetLevel)

    @property
    def metric(self) -> str:
        """The name of the metric that the runs are compared by."""
        return headline_metric(self.multilabel)[1]
