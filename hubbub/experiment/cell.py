"""One cell of an experiment: one test fold with one seed.

A cell fits on its training part, chooses and calibrates on its validation part, and opens its test part once. Its
test result is written last and marks the cell done.
"""

import itertools
import statistics
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hubbub.classifier import calibration, event_thresholds, pooling
from hubbub.classifier.frames import frame_samples
from hubbub.config.recipe import RECIPE
from hubbub.data.splits import Split
from hubbub.experiment.cell_files import predictions_table, write_part, write_test
from hubbub.experiment.fit import Rows, fit
from hubbub.experiment.part import PartPredictions, predict_part
from hubbub.experiment.prepare import Prepared
from hubbub.experiment.provenance import classifier_card
from hubbub.experiment.recordings import scored_recordings
from hubbub.experiment.tracking import cell_loggers
from hubbub.experiment.typicality import fit_typicality
from hubbub.metrics import classification, multilabel
from hubbub.report import plots, run_folder
from hubbub.report.headline import headline_metric
from hubbub.report.level_results import LEVELS
from hubbub.report.results import (
    CellResult,
    Confidence,
    EmbedSeconds,
    PredictSeconds,
    Seconds,
    Throughput,
    ValidationResult,
)
from hubbub.runtime import files
from hubbub.training.loggers import log_artifacts, log_metrics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lightning.pytorch.loggers import Logger

    from hubbub.classifier.torch_classifier import TorchClassifier
    from hubbub.training.fitted import Fitted

__all__ = ["fit_with_history", "run_cell", "segment_seconds"]

Array = npt.NDArray[np.float32]
Targets = npt.NDArray[Any]
Typical = npt.NDArray[np.float64]
#: A measurement of speed has at least so many batches, and lasts at least so long [s].
SPEED_BATCHES, SPEED_SECONDS = 3, 0.3
#: The same in a quick run, whose batches have at most so many segments.
QUICK_BATCHES, QUICK_SECONDS, QUICK_BATCH = 2, 0.1, 4


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
            run_folder.write_predictions(place, predictions_table(prepared, unknown), unknown=True)
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
        write_test(prepared, predicted, place)
        write_part(prepared, predicted, place, "test", fitted.final.confidence)
        run_folder.write_result(place, result)
        names = (headline_metric(prepared.clips.multilabel)[0], "macro_f1")
        tracked = {f"test_{level}_{name}": result.figure(level, name) for level in LEVELS for name in names}
        log_metrics(loggers, {name: value for name, value in tracked.items() if value is not None})
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
    """Fits as `fit` does, with what open-set rejection needs of embeddings, and writes the learning curves of a network
    to `place`."""
    fitted = fit(prepared, rows, validation, seed, place, loggers=loggers, choice=choice)
    if prepared.recipe.evaluate.unknown in calibration.BY_EMBEDDING:
        fit_typicality(prepared, fitted.chosen, rows)
        if fitted.final is not fitted.chosen:  # a head, fitted on both
            fit_typicality(prepared, fitted.final, np.union1d(rows, validation))
    if fitted.history is not None:
        run_folder.write_history(place, fitted.history)
        plots.curves([fitted.history], [fitted.choice["epoch"]], run_folder.plot_file(place, "curves"))
    return fitted


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
    write_part(prepared, predicted, place, "val", fitted.chosen.confidence)
    seconds = PredictSeconds(predict=predicted.seconds)
    scores = _part_scores(prepared, predicted, fitted.chosen.confidence)
    run_folder.write_result(place, ValidationResult(**scores, choice=fitted.choice, seconds=seconds))
    by_segment, by_clip, evaluate = predicted.by_segment, predicted.by_clip, prepared.recipe.evaluate
    if prepared.clips.multilabel:
        targets = predicted.segment_targets, predicted.clip_targets
        found = calibration.fit_label_sets(targets, by_segment, by_clip, evaluate, segment_seconds(prepared))
        fitted.final.confidence = _with_filters(prepared, predicted, found)
    else:
        fitted.final.confidence = calibration.fit(
            prepared.targets[predicted.rows], by_segment, by_clip, predicted.segments.offsets[:-1], evaluate,
            segment_seconds(prepared), predicted.typicality and predicted.typicality[0],
        )  # fmt: skip


def _with_filters(
    prepared: Prepared, predicted: PartPredictions, confidence: calibration.Confidence
) -> calibration.Confidence:
    """The calibration with the filters of frame scores and the thresholds that find the recordings' events best, where
    the recipe asks for them."""
    aim = prepared.recipe.evaluate.events
    if aim not in event_thresholds.FILTERED:
        return confidence
    from hubbub.classifier.postprocess_choice import choose

    scores = pooling.apply_temperature(predicted.by_segment, confidence.segment, "sigmoid")
    table = predictions_table(prepared, replace(predicted, by_segment=scores))
    recordings = scored_recordings(prepared.clips, table[table["level"] == "segment"])
    if not recordings:  # all of the validation part is without times
        return confidence
    chosen = choose(list(recordings.values()), prepared.clips.labels, aim)
    return replace(confidence, events=chosen.thresholds, filters=chosen.filters)


def segment_seconds(prepared: Prepared) -> float:
    """The time from one scored segment, or frame, to the next [s]."""
    step = frame_samples(prepared.recipe) if prepared.base.frames > 1 else prepared.base.hop
    return step / prepared.base.rate_hz


def _part_scores(prepared: Prepared, predicted: PartPredictions, confidence: calibration.Confidence) -> dict[str, Any]:
    """All metrics of both levels, and the numbers of clips and segments; label sets are decided at the thresholds of
    `confidence`."""
    of_segments, of_clips = predicted.segment_targets, predicted.clip_targets
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
