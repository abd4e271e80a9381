"""Typed content of a run's JSON files: summary, environment, results of cells. `level_results` has their figures."""

import re
from datetime import datetime
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_serializer,
    model_serializer,
    model_validator,
)

from hubbub.classifier.postprocess import Filter
from hubbub.report.level_results import (
    LEVELS,
    ClassFigures,
    Content,
    FoldScores,
    LevelCalibration,
    LevelFigures,
    LevelName,
    SetLevel,
    Unknown,
)

__all__ = [
    "LEVELS",
    "CellResult",
    "CellScores",
    "Confidence",
    "Corrections",
    "DataFacts",
    "EmbedSeconds",
    "Environment",
    "LevelName",
    "Machine",
    "NetworkSize",
    "PredictSeconds",
    "Scored",
    "Seconds",
    "Summary",
    "Threads",
    "Throughput",
    "ValidationResult",
]


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


class Summary(Content):
    """The figures of a run. Summaries of earlier versions lack the keys with a default.

    `why_not_comparable` are the reasons against comparing the figures with others; `caveats` are what else belongs
    beside them; `more_recordings` says what the learning curve shows. `clips`, `segments` and `recordings` count each
    one once, whatever the number of seeds. `as_given` are the figures of clips against the labels before corrections.
    """

    recipe: str
    data: str = ""
    protocol: str
    comparable: bool
    why_not_comparable: list[str]
    caveats: list[str] = Field([])
    clips: int
    segments: int
    recordings: int | None = None
    folds: list[FoldScores]
    clip: LevelFigures
    segment: LevelFigures
    as_given: LevelFigures | None = None
    classes: list[ClassFigures] = Field([])
    calibration: dict[LevelName, LevelCalibration] = Field({})
    unknown: Unknown | None = None
    seconds: Seconds | None = None
    segments_per_second: float | None = None
    more_recordings: str | None = None

    @property
    def title(self) -> str:
        """The recipe's title after the name of the data, unless it begins with that, or with its last part."""
        sources, _, folder = self.data.rpartition(", ")
        if sources and self.recipe.startswith(folder):  # scenes in a folder, after what they were mixed from
            return f"{sources}, {self.recipe}"
        first, data = (re.sub(r"\W", "", text).casefold() for text in (self.recipe, self.data))
        return self.recipe if first.startswith(data) else f"{self.data}: {self.recipe}"

    @property
    def multilabel(self) -> bool:
        """Whether clips may hold several classes, or none."""
        return isinstance(self.clip, SetLevel)

    def level(self, name: LevelName) -> LevelFigures:
        """The metrics of one level."""
        return self.clip if name == "clip" else self.segment


class Corrections(Content):
    """What a table of corrections changed: how many labels were `corrected` and `confirmed`, how many clips `removed`
    and left `undecided`, and the label that each corrected clip had (`given`)."""

    file: str
    corrected: int
    removed: int
    confirmed: int
    undecided: int
    given: dict[str, str]


class DataFacts(Content):
    """The data of a run."""

    name: str
    licence: str = ""
    citation: str = ""
    clips: int
    listed: int = 0
    missing: list[str] = Field([])
    notes: list[str] = Field([])
    warnings: list[str]
    manifest: str
    corrections: Corrections | None = None


class Machine(Content):
    """The machine of a run."""

    system: str = "-"
    processor: str = "-"
    threads: int | str = "-"
    accelerator: str = "-"


class NetworkSize(Content):
    """A network's parameters without its last layer, and the length of its embedding, if it has one."""

    parameters: int
    embedding: int | None


class Scored(Content):
    """Predictions of another program that were scored: their file, and whether it gives labels alone."""

    file: str
    sha256: str
    labels_alone: bool


class Environment(Content):
    """Versions, machine, data and protocol of a run; `scored` where hubbub trained nothing. `network` is the
    fingerprint of a network of the caller's own, `size` that of any network."""

    hubbub: str = ""
    python: str = ""
    libraries: dict[str, str] = Field({})
    machine: Machine = Machine()
    data: DataFacts
    weights: dict[str, str] = Field({})
    network: dict[str, str] = Field({})
    size: NetworkSize | None = None
    protocol: str
    test_folds: list[str] = Field(min_length=1)
    why_not_comparable: list[str]
    training_threads: list[Threads] = Field([])
    scored: Scored | None = None


#: A temperature of all classes, or a temperature and an offset of each class.
Scaling = Annotated[float, Field(gt=0)] | tuple[tuple[Annotated[float, Field(gt=0)], float], ...]


class Confidence(BaseModel):
    """The calibration of a cell's classifier. `clips` are the thresholds of clips with label sets, `filters` those of
    frame scores."""

    model_config = ConfigDict(extra="forbid")

    segment: Scaling = 1
    clip: Scaling = 1
    threshold: float | None = None
    typicality_weight: float | None = None
    events: tuple[float, ...] | None = None
    clips: tuple[float, ...] | None = None
    filters: tuple[Filter, ...] | None = None

    @model_serializer(mode="wrap")
    def _without_unused(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        found: dict[str, Any] = handler(self)
        return {key: value for key, value in found.items() if key not in ("clips", "filters") or value is not None}


class CellScores(Content):
    """The metrics of a cell on one part, at both levels, and what validation chose. Those of label sets are further
    keys, such as `clip_macro_map`."""

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
    choice: dict[str, Any] = Field({})

    @property
    def multilabel(self) -> bool:
        """Whether clips may hold several classes, or none."""
        return "clip_macro_map" in (self.model_extra or {})

    def figure(self, level: LevelName, metric: str) -> float | None:
        """The value of a metric at a level; None where it is not defined."""
        value: float | None = getattr(self, f"{level}_{metric}")
        return value


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
    threads: list[int] = Field([])
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
