"""Typed content of a comparison."""

from hubbub.report.level_results import Content, LevelFigures

__all__ = ["ComparedRun", "Comparison", "Pair", "PairTest"]


class PairTest(Content):
    """The p-value of one test of a pair, alone and with Holm's adjustment over all pairs."""

    p: float
    p_holm: float = 1.0


class Pair(Content):
    """The difference of two runs' clip accuracy, `first` minus `second`, and its tests."""

    difference: float
    ci95: tuple[float, float] | None
    only_first: int
    only_second: int
    folds: dict[str, float]
    tests: dict[str, PairTest | None]
    first: str
    second: str
    within_noise: bool | None = None

    @property
    def name(self) -> str:
        """`a over b`."""
        return f"{self.first} over {self.second}"


class ComparedRun(Content):
    """One run of a comparison, its standing, and its figures over the compared clips."""

    name: str
    recipe: str
    seeds: list[int]
    standing: str
    clip: LevelFigures


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
