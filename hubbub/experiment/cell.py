"""One cell of an experiment: one test fold with one seed.

A cell fits on its training part, chooses and calibrates on its validation part, and opens its test part once. Its
test result is written last and marks the cell done.
"""

import itertools
import statistics
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hubbub.classifier import calibration, event_thresholds
from hubbub.classifier.frames import frame_samples
from hubbub.config.recipe import RECIPE
from hubbub.data import cache
from hubbub.data.cache import Segments
from hubbub.data.clips import describe_label_set
from hubbub.data.splits import Split
from hubbub.errors import HubbubError
from hubbub.experiment.fit import Rows, fit
from hubbub.experiment.prepare import Prepared
from hubbub.experiment.provenance import classifier_card
from hubbub.experiment.tracking import TRACKED, cell_loggers
from hubbub.experiment.typicality import fit_typicality, part_typicality
from hubbub.metrics import classification, multilabel
from hubbub.report import plots, run_folder
from hubbub.report.class_report import per_class_table
from hubbub.report.results import (
    LEVELS,
    CellResult,
    Confidence,
    EmbedSeconds,
    PredictSeconds,
    Seconds,
    Throughput,
    ValidationResult,
)
from hubbub.runtime import files
from hubbub.runtime.escape import escape_table
from hubbub.training.loggers import log_artifacts, log_metrics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lightning.pytorch.loggers import Logger

    from hubbub.classifier.torch_classifier import TorchClassifier
    from hubbub.training.fitted import Fitted

__all__ = ["CellError", "PartPredictions", "fit_with_history", "predict_part", "run_cell"]

Array = npt.NDArray[np.float32]
Targets = npt.NDArray[Any]
Typical = npt.NDArray[np.float64]
#: A measurement of speed has at least so many batches, and lasts at least so long [s].
SPEED_BATCHES, SPEED_SECONDS = 3, 0.3
#: The same in a quick run, whose batches have at most so many segments.
QUICK_BATCHES, QUICK_SECONDS, QUICK_BATCH = 2, 0.1, 4


class CellError(HubbubError):
    """A cell whose predictions are incomplete or not finite."""


@dataclass(frozen=True)
class PartPredictions:
    """The clips `rows` of the table, their segments, and the probabilities of both; `seconds` is the time from decoded
    sound to these, a frozen network's embeddings included. `owner` `[S]` is the place in `rows` of each row of
    `by_segment`, which are frames for a frame-wise network. `typicality` is that of segments and that of clips, where
    open-set rejection needs it, NaN for digital silence."""

    rows: Rows
    segments: Segments
    owner: Rows
    by_segment: Array
    by_clip: Array
    seconds: float
    typicality: tuple[Typical, Typical] | None = None


def run_cell(prepared: Prepared, split: Split, seed: int, place: Path) -> CellResult:
    """Runs a cell into the folder `place` and returns its test result."""
    if not run_folder.has_checkpoint(place) and place.exists():
        files.remove_folder(place, run_folder.run_of(place), RECIPE)
    place.mkdir(parents=True, exist_ok=True)
    with cell_loggers(prepared, place, f"fold {split.name}, seed {seed}") as loggers:
        began = time.perf_counter()
        fitted = fit_with_history(prepared, split.train, split.validation, seed, place, loggers)
        fit_s = time.perf_counter() - began
        if len(split.validation):
            _validate(prepared, fitted, split, place)
        fitted.final.card = classifier_card(
            prepared, f"the training part of test fold {split.name}, seed {seed}", fitted.final.confidence
        )
        fitted.final.save(run_folder.classifier_folder(place))
        run_folder.write_throughput(place, _throughput(prepared, fitted.final, split.test))
        opened = datetime.now(UTC).replace(microsecond=0)
        if len(split.unknown):
            unknown = predict_part(prepared, fitted.final, split.unknown)
            run_folder.write_predictions(place, _predictions_table(prepared, unknown), unknown=True)
        predicted = predict_part(prepared, fitted.final, split.test)
        result = CellResult(
            **_part_scores(prepared, predicted, fitted.final.confidence),
            choice=fitted.choice,
            confidence=Confidence(**asdict(fitted.final.confidence)),
            trainable_parameters=fitted.trainable,
            threads=list(fitted.threads),
            test_opened=opened,
            seconds=_seconds(prepared, split, fit_s, predicted.seconds),
        )
        _write_test(prepared, predicted, place)
        _write_part(prepared, predicted, place, "test")
        run_folder.write_result(place, result)
        names = [f"{level}_{name}" for level in LEVELS for name in TRACKED]
        log_metrics(loggers, {f"test_{name}": getattr(result, name) for name in names})
        log_artifacts(loggers, run_folder.result_files(place))
    return result


def fit_with_history(
    prepared: Prepared,
    rows: Rows,
    validation: Rows,
    seed: int,
    place: Path,
    loggers: list["Logger"] | None = None,
    choice: dict[str, Any] | None = None,
) -> "Fitted":
    """Fits as `fit` does, with the typicality that open-set rejection by distance needs, and writes the learning curves
    of a network to `place`."""
    fitted = fit(prepared, rows, validation, seed, place, loggers=loggers, choice=choice)
    if prepared.recipe.evaluate.unknown == calibration.DISTANCE:
        fit_typicality(prepared, fitted.chosen, rows)
        if fitted.final is not fitted.chosen:  # a head, fitted on both
            fit_typicality(prepared, fitted.final, np.union1d(rows, validation))
    if fitted.history is not None:
        run_folder.write_history(place, fitted.history)
        plots.curves([fitted.history], [fitted.choice["epoch"]], run_folder.plot_file(place, "curves"))
    return fitted


def predict_part(prepared: Prepared, model: "TorchClassifier", rows: Rows) -> PartPredictions:
    """Predicts the clips `rows`. Raises `CellError` where a prediction is missing or not finite."""
    began = time.perf_counter()
    if prepared.embedded is not None:
        segments = prepared.embedded.of(rows)
    else:
        segments = cache.outputs(prepared.sound, model, rows)
    spans = np.concatenate([prepared.sound.spans(int(row), model) for row in rows])
    inside = model.frame_spans(spans)[1]
    by_segment, by_clip = model.predict_proba(segments.values, segments.offsets[:-1], inside)
    owner = np.repeat(segments.clip, model.frames)[inside]
    if len(by_clip) != len(rows) or not np.isfinite(by_clip).all():
        raise CellError(f"{len(rows)} clips were listed, {len(by_clip)} predicted: figures over fewer are wrong.")
    seconds = time.perf_counter() - began + segments.seconds
    typicality = part_typicality(prepared, model, rows, segments)
    return PartPredictions(rows, segments, owner, by_segment, by_clip, seconds, typicality)


def _seconds(prepared: Prepared, split: Split, fit_s: float, predict_s: float) -> Seconds:
    """The times of a cell, from that of fitting on what was prepared and that of `predict_part`."""
    embedded = prepared.embedded
    if embedded is None or embedded.computed is None:
        return Seconds(fit=fit_s, predict=predict_s)
    of_fit, of_predict = (embedded.seconds_of(rows) for rows in (np.append(split.train, split.validation), split.test))
    embed = EmbedSeconds(fit=of_fit, predict=of_predict, computed=embedded.computed)
    return Seconds(fit=fit_s + of_fit, predict=predict_s, embed=embed)


def _validate(prepared: Prepared, fitted: "Fitted", split: Split, place: Path) -> None:
    """Writes the validation result, and calibrates the final classifier."""
    predicted = predict_part(prepared, fitted.chosen, split.validation)
    _write_part(prepared, predicted, place, "val")
    seconds = PredictSeconds(predict=predicted.seconds)
    scores = _part_scores(prepared, predicted, fitted.chosen.confidence)
    run_folder.write_result(place, ValidationResult(**scores, choice=fitted.choice, seconds=seconds))
    by_segment, by_clip, evaluate = predicted.by_segment, predicted.by_clip, prepared.recipe.evaluate
    if prepared.clips.multilabel:
        fitted.final.confidence = calibration.fit_label_sets(
            _truth(prepared, predicted), by_segment, by_clip, evaluate, segment_seconds(prepared)
        )
    else:
        fitted.final.confidence = calibration.fit(
            prepared.targets[predicted.rows], by_segment, by_clip, predicted.segments.offsets[:-1], evaluate,
            segment_seconds(prepared), predicted.typicality and predicted.typicality[0],
        )  # fmt: skip


def segment_seconds(prepared: Prepared) -> float:
    """The time from one scored segment, or frame, to the next [s]."""
    step = frame_samples(prepared.recipe) if prepared.base.frames > 1 else prepared.base.hop
    return step / prepared.base.rate_hz


def _truth(prepared: Prepared, predicted: PartPredictions) -> tuple[Targets, Targets]:
    """The targets of a part's segments and clips."""
    return prepared.segment_targets(predicted.rows), prepared.targets[predicted.rows]


def _part_scores(prepared: Prepared, predicted: PartPredictions, confidence: calibration.Confidence) -> dict[str, Any]:
    """All metrics of both levels, and the numbers of clips and segments; label sets are decided at the thresholds of
    `confidence`."""
    of_segments, of_clips = _truth(prepared, predicted)
    clip = _figures(of_clips, predicted.by_clip, confidence.clips)
    segment = _figures(of_segments, predicted.by_segment, confidence.events)
    scores: dict[str, Any] = {f"clip_{name}": value for name, value in clip.items()}
    scores |= {f"segment_{name}": value for name, value in segment.items()}
    return scores | {"clips": len(predicted.rows), "segments": len(predicted.by_segment)}


def _figures(targets: Targets, scores: Array, thresholds: tuple[float, ...] | None) -> "Mapping[str, float | None]":
    if targets.ndim == 1:
        return classification.evaluate(targets, scores)
    own = np.array(thresholds) if thresholds else event_thresholds.DEFAULT
    return multilabel.evaluate(targets > 0, scores, own, targets >= 0).figures


def _write_part(prepared: Prepared, predicted: PartPredictions, place: Path, part: str) -> None:
    """Writes the table of classes and the confusion matrix of a part."""
    labels, (of_segments, targets) = prepared.clips.labels, _truth(prepared, predicted)
    by_class = per_class_table(targets, predicted.by_clip, of_segments, predicted.by_segment, labels)
    files.write_csv(run_folder.class_table_file(place, part), escape_table(by_class))
    plots.confusion(targets, predicted.by_clip, labels, run_folder.plot_file(place, f"confusion_matrix_{part}"))


def _write_test(prepared: Prepared, predicted: PartPredictions, place: Path) -> None:
    """Writes predictions, ROC curves and reliability diagram of the test part."""
    targets, labels = prepared.targets[predicted.rows], prepared.clips.labels
    run_folder.write_predictions(place, _predictions_table(prepared, predicted))
    plots.roc(targets, predicted.by_clip, labels, run_folder.plot_file(place, "roc"))
    calibrated = {
        "clips": classification.calibration(targets, predicted.by_clip),
        "segments": classification.calibration(targets[predicted.segments.clip], predicted.by_segment),
    }
    plots.reliability(calibrated, run_folder.plot_file(place, "reliability"))


def _predictions_table(prepared: Prepared, predicted: PartPredictions) -> pd.DataFrame:
    """One row a segment, then one row a clip (`level`), with the truth, the typicality where it is measured, and one
    probability a class."""
    clips, rows = prepared.clips, predicted.rows
    spans = [prepared.frame_spans(row) for row in rows]
    whole = np.array([(times[0, 0], times[-1, 1]) for times in spans])
    of_segments, of_clips = predicted.typicality or (None, None)
    tables = []
    truth = _truth(prepared, predicted)
    for level, owner, times, scores, typicality, targets in (
        ("segment", predicted.owner, np.concatenate(spans), predicted.by_segment, of_segments, truth[0]),
        ("clip", np.arange(len(rows)), whole, predicted.by_clip, of_clips, truth[1]),
    ):
        facts = clips.table.iloc[rows[owner]][["clip", "group", "label"]].reset_index(drop=True)
        facts.insert(1, "level", level)
        if clips.multilabel:
            facts["labels"], facts["unknown"] = (_names(found, clips.labels) for found in (targets > 0, targets < 0))
            facts["label"] = facts["labels"].map(describe_label_set)
        if typicality is not None:
            facts["typicality"] = typicality
        facts["start"], facts["end"] = times[:, 0], times[:, 1]
        tables.append(pd.concat([facts, pd.DataFrame(scores, columns=list(clips.labels))], axis=1))
    return pd.concat(tables, ignore_index=True)


def _names(flags: npt.NDArray[np.bool_], labels: tuple[str, ...]) -> list[list[str]]:
    """The names of the classes that are marked in each row `[N, K]`."""
    return [[labels[k] for k in np.flatnonzero(row)] for row in flags]


def _throughput(prepared: Prepared, model: "TorchClassifier", rows: Rows) -> Throughput:
    """Segments a second from decoded sound to answers, with front end, network, head and pooling, in batches as
    predictions use: the median over the batches after the first."""
    size = min(model.batch, QUICK_BATCH) if prepared.quick else model.batch
    batches, seconds = (QUICK_BATCHES, QUICK_SECONDS) if prepared.quick else (SPEED_BATCHES, SPEED_SECONDS)
    segments: list[Array] = []
    for row in itertools.cycle(rows):  # clips are repeated where there are few
        segments.extend(prepared.sound.cut(row, model))
        if len(segments) >= size:
            break
    batch, spent = np.stack(segments[:size]), list[float]()
    model.predict_proba(model.outputs(batch), [0])
    while len(spent) < batches or sum(spent) < seconds:
        began = time.perf_counter()
        model.predict_proba(model.outputs(batch), [0])
        spent.append(time.perf_counter() - began)
    speed = size / statistics.median(spent)
    return Throughput(segments_per_second=speed, segments=size * len(spent), batches=len(spent))
