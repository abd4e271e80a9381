"""Typed figures of a run: those of a level over folds and seeds, of calibration, of open-set rejection and of classes.

A model is validated when its file is read. It keeps keys that it does not know, as other versions may have written
them, and `as_json` gives the keys that were set.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, SerializeAsAny

__all__ = [
    "LEVELS",
    "ClassFigures",
    "ClassScores",
    "Content",
    "Figure",
    "FoldScores",
    "KnownFigure",
    "Level",
    "LevelCalibration",
    "LevelFigures",
    "LevelName",
    "RawCalibration",
    "SetClassScores",
    "SetLevel",
    "Spread",
    "Unknown",
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
    """A metric over folds and seeds: `pooled` is over all test predictions, as is its 95 % interval `ci95`;
    of label sets the interval is that of `mean`.

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


class Metrics(Content):
    """All metrics of one level by name."""

    def figure(self, metric: str) -> Figure:
        """The figure of a metric by its name."""
        found: Figure = getattr(self, metric)
        return found


class Level(Metrics):
    """All metrics of one level, in the order of `classification.METRICS`."""

    accuracy: KnownFigure
    balanced_accuracy: Figure
    macro_f1: KnownFigure
    top3: Figure
    roc_auc: Figure
    log_loss: Figure


class SetLevel(Metrics):
    """All metrics of one level of label sets, in the order of `multilabel.METRICS`."""

    macro_map: Figure
    micro_map: Figure
    lwlrap: Figure
    roc_auc: Figure
    macro_f1: Figure
    macro_precision: Figure
    macro_recall: Figure
    micro_f1: Figure
    micro_precision: Figure
    micro_recall: Figure


def _level(value: Any) -> Any:
    """The figures of a level as an object of their own class: an error of a union would name both classes."""
    if not isinstance(value, dict):
        return value
    return (SetLevel if "macro_map" in value else Level).model_validate(value)


#: The metrics of one level, of clips that have one label or label sets.
LevelFigures = Annotated[Level | SetLevel, BeforeValidator(_level)]


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
    outliers: dict[str, Spread] | None = None

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


class SetClassScores(ClassScores):
    """One class's figures over all test clips with label sets: `clips` hold it, those `without` it do not, and in
    `unknown` clips it was not annotated.

    Figures are None for a class that no clip holds, or that every clip holds. Precision, recall and F1 are at the
    classifiers' thresholds, whose mean over the cells is `threshold`.
    """

    without: int
    unknown: int
    average_precision: float | None = None
    roc_auc: float | None = None
    threshold: float


def _class_scores(value: Any) -> Any:
    """A class's figures as an object of their own class."""
    return SetClassScores.model_validate(value) if isinstance(value, dict) and "without" in value else value


#: One class's figures, of clips that have one label or label sets.
ClassFigures = Annotated[SerializeAsAny[ClassScores], BeforeValidator(_class_scores)]
