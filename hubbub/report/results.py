"""Typed content of a run's JSON files.

A model is validated when its file is read. It keeps keys that it does not know, as other versions may have written
them, and `as_json` gives the keys that were set.
"""

import re
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_serializer, model_validator

__all__ = [
    "LEVELS",
    "CellScores",
    "ClassScores",
    "Content",
    "DataFacts",
    "EmbedSeconds",
    "Environment",
    "Figure",
    "FoldScores",
    "Level",
    "LevelCalibration",
    "LevelName",
    "Machine",
    "PredictSeconds",
    "RawCalibration",
    "Scored",
    "Seconds",
    "Spread",
    "Summary",
    "CellResult",
    "Threads",
    "Throughput",
    "Unknown",
    "ValidationResult",
]

LevelName = Literal["clip", "segment"]
LEVELS: tuple[LevelName, ...] = ("clip", "segment")


class Content(BaseModel):
    """The content of a JSON file: required keys, optional keys, and others that are kept as they are."""

    model_config = ConfigDict(extra="allow")

    def as_json(self) -> dict[str, Any]:
        """The content as JSON has it, without the keys that were never set."""
        return self.model_dump(mode="json", exclude_unset=True)


class Spread(Content):
    """A mean over folds with its standard deviation; None for one fold."""

    mean: float
    sd: float | None


class Figure(Content):
    """A metric over folds and seeds: `pooled` is over all test predictions, as is its 95 % interval `ci95`.

    `interval` names the method of the interval: `intervals.METHOD`. Earlier versions wrote percentile bootstraps and no
    name.
    """

    mean: float | None
    sd: float | None
    sd_seeds: float | None = None
    pooled: float | None = None
    ci95: tuple[float, float] | None = None
    interval: str | None = None


class KnownFigure(Figure):
    """A metric that always has a value."""

    mean: float


class Level(Content):
    """All metrics of one level, in the order of `classification.METRICS`."""

    accuracy: KnownFigure
    balanced_accuracy: Figure
    macro_f1: KnownFigure
    top3: Figure
    roc_auc: Figure
    log_loss: Figure

    def figure(self, metric: str) -> Figure:
        """The figure of a metric by its name."""
        found: Figure = getattr(self, metric)
        return found


class EmbedSeconds(Content):
    """The time of a frozen network's embeddings within `fit` and `predict` [s]. They were computed once, at `computed`,
    for all cells, and came from the cache."""

    fit: float
    predict: float
    computed: datetime


class Seconds(Content):
    """Times from decoded sound [s]: `fit` to a fitted classifier, `predict` to the answers on the test part.

    Both include a frozen network's embeddings of their clips, whose share is `embed`. A run has a `total`, in which
    each clip is embedded once. Earlier versions left the embeddings out of all times.
    """

    fit: float
    predict: float
    embed: EmbedSeconds | None = None
    total: float | None = None

    @property
    def minutes(self) -> float:
        """The whole time [min]."""
        return (self.fit + self.predict if self.total is None else self.total) / 60


class Threads(Content):
    """The numbers of processor threads that one cell's network was trained with."""

    fold: str
    seed: int
    threads: list[int]


class FoldScores(Content):
    """One cell's metrics at both levels."""

    fold: str
    seed: int
    clip: dict[str, float | None]
    segment: dict[str, float | None]


class RawCalibration(Content):
    """Calibration error and log loss before temperature scaling."""

    error: float
    log_loss: float | None


class LevelCalibration(RawCalibration):
    """Calibration error and log loss of one level after temperature scaling, and before it (`raw`)."""

    raw: RawCalibration


class AtThreshold(Content):
    """The share of known clips, and of clips of held-out classes, at or above the threshold."""

    known_kept: Spread
    unknown_passed: Spread


class Unknown(Content):
    """Open-set rejection: how well each score separates known clips from clips of held-out classes."""

    classes: list[str]
    clips: int
    by: str
    max_logit: dict[str, Spread]
    at_threshold: AtThreshold | None = None
    energy: dict[str, Spread]
    max_prob: dict[str, Spread]
    distance: dict[str, Spread] | None = None

    def scores(self, method: str) -> dict[str, Spread]:
        """AUROC and false positive rate of one method, as `evaluate.unknown` names it; empty where it was not used."""
        return dict(getattr(self, method) or {})


class ClassScores(Content):
    """One class's figures over all test clips; `recall_ci95` is None for one recording.

    A class that was never tested has no clips and no figures.
    """

    label: str
    clips: int
    recordings: int
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    recall_ci95: tuple[float, float] | None = None


class Summary(Content):
    """The figures of a run. Summaries of earlier versions lack the keys with a default.

    `why_not_comparable` are the reasons against comparing the figures with others; `caveats` are what else belongs
    beside them; `more_recordings` says what the learning curve shows. `clips`, `segments` and `recordings` count each
    one once, whatever the number of seeds.
    """

    recipe: str
    data: str = ""
    protocol: str
    comparable: bool
    why_not_comparable: list[str]
    caveats: list[str] = []
    clips: int
    segments: int
    recordings: int | None = None
    folds: list[FoldScores]
    clip: Level
    segment: Level
    classes: list[ClassScores] = []
    calibration: dict[LevelName, LevelCalibration] = {}
    unknown: Unknown | None = None
    seconds: Seconds | None = None
    segments_per_second: float | None = None
    more_recordings: str | None = None

    @property
    def title(self) -> str:
        """The recipe's title after the name of the data, unless it begins with that."""
        first, data = (re.sub(r"\W", "", text).casefold() for text in (self.recipe, self.data))
        return self.recipe if first.startswith(data) else f"{self.data}: {self.recipe}"

    def level(self, name: LevelName) -> Level:
        """The metrics of one level."""
        return self.clip if name == "clip" else self.segment


class DataFacts(Content):
    """The data of a run."""

    name: str
    licence: str = ""
    citation: str = ""
    clips: int
    listed: int = 0
    missing: list[str] = []
    notes: list[str] = []
    warnings: list[str]
    manifest: str


class Machine(Content):
    """The machine of a run."""

    system: str = "-"
    processor: str = "-"
    threads: int | str = "-"
    accelerator: str = "-"


class Scored(Content):
    """Predictions of another program that were scored: their file, and whether it gives labels alone."""

    file: str
    sha256: str
    labels_alone: bool


class Environment(Content):
    """Versions, machine, data and protocol of a run; `scored` where hubbub trained nothing. `network` is the
    fingerprint of a network of the caller's own."""

    hubbub: str = ""
    python: str = ""
    libraries: dict[str, str] = {}
    machine: Machine = Machine()
    data: DataFacts
    weights: dict[str, str] = {}
    network: dict[str, str] = {}
    protocol: str
    test_folds: list[str] = Field(min_length=1)
    why_not_comparable: list[str]
    training_threads: list[Threads] = []
    scored: Scored | None = None


class Confidence(BaseModel):
    """The calibration of a cell's classifier."""

    model_config = ConfigDict(extra="forbid")

    segment: float = Field(default=1, gt=0)
    clip: float = Field(default=1, gt=0)
    threshold: float | None = None
    typicality_weight: float | None = None
    events: tuple[float, ...] | None = None


class CellScores(Content):
    """The metrics of a cell on one part, at both levels, and what validation chose."""

    clip_accuracy: float | None = None
    clip_balanced_accuracy: float | None = None
    clip_macro_f1: float | None = None
    clip_top3: float | None = None
    clip_roc_auc: float | None = None
    clip_log_loss: float | None = None
    segment_accuracy: float | None = None
    segment_balanced_accuracy: float | None = None
    segment_macro_f1: float | None = None
    segment_top3: float | None = None
    segment_roc_auc: float | None = None
    segment_log_loss: float | None = None
    clips: int
    segments: int = 0
    choice: dict[str, Any] = {}


class PredictSeconds(Content):
    """Time from decoded sound to the answers on a part [s], a frozen network's embeddings included."""

    predict: float


class ValidationResult(CellScores):
    """The result of a cell on its validation part."""

    seconds: PredictSeconds


class CellResult(CellScores):
    """The result of a cell on its test part; scored predictions have neither `test_opened` nor `seconds`."""

    confidence: Confidence = Confidence()
    trainable_parameters: int | None = None
    threads: list[int] = []
    test_opened: datetime | None = None
    seconds: Seconds | None = None

    @model_validator(mode="after")
    def _opened_and_timed(self) -> "CellResult":
        if (self.test_opened is None) != (self.seconds is None):
            raise ValueError(f"{'test_opened' if self.test_opened is None else 'seconds'} is missing")
        return self

    @field_serializer("test_opened")
    def _with_offset(self, opened: datetime | None) -> str | None:
        return opened.isoformat() if opened else None


class Throughput(Content):
    """The speed of a cell's classifier from decoded sound to answers: the median over `batches`, which hold `segments`
    in all."""

    segments_per_second: float
    segments: int = 0
    batches: int = 0
