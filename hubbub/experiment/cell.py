"""One cell of an experiment: fit on its training part, choose on its validation part, open its test part once.

`metrics_test.json` is written last and marks the cell done. This room does not know how a network is fitted, nor where
and when cells are run.
"""

import itertools
import time
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hubbub.classifier import calibration
from hubbub.data import cache
from hubbub.data.cache import Segments
from hubbub.data.splits import Split
from hubbub.errors import HubbubError
from hubbub.experiment.prepare import Material, fresh
from hubbub.experiment.provenance import card
from hubbub.metrics import classification
from hubbub.report import plots, run_folder, summary
from hubbub.report.run_folder import DONE
from hubbub.runtime import files
from hubbub.runtime.escape import escape_table
from hubbub.train.loggers import log_metrics, open_loggers

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger

    from hubbub.classifier.torch_classifier import TorchClassifier
    from hubbub.train.fit import Fitted

__all__ = ["DONE", "CellError", "fit", "run"]

Array = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]
SPEED_BATCH, SPEED_SECONDS = 32, 1.0
TRACKED = ("clip_accuracy", "clip_macro_f1", "segment_accuracy", "segment_macro_f1")


class CellError(HubbubError):
    """A cell whose figures would not be whole."""


def run(material: Material, split: Split, seed: int, place: Path) -> dict[str, Any]:
    """Everything of one cell into the folder `place`; returns what `metrics_test.json` holds."""
    if not (place / "checkpoints" / "last.ckpt").is_file() and place.exists():
        files.remove_folder(place, place.parents[1])
    place.mkdir(parents=True, exist_ok=True)
    with _tracked(material, place, f"fold {split.name}, seed {seed}") as loggers:
        began = time.perf_counter()
        fitted = fit(material, split.train, split.validation, seed, place, loggers)
        seconds = {"fit": time.perf_counter() - began}
        if len(split.validation):
            judged = _judge(material, fitted.chosen, split.validation)
            _score(material, judged, place, "val", {"choice": fitted.choice})
            fitted.final.confidence = calibration.fit(
                material.targets[judged.rows],
                judged.by_segment,
                judged.by_clip,
                judged.segments.offsets[:-1],
                material.recipe.evaluate.unknown,
            )
        fitted.final.card = card(material, f"the training part of test fold {split.name}, seed {seed}")
        fitted.final.save(place / "classifier")
        files.write_json(place / "metrics_throughput.json", _throughput(material, fitted.final, split.test))
        opened = datetime.now(UTC).isoformat(timespec="seconds")
        extra = {
            "choice": fitted.choice,
            "confidence": asdict(fitted.final.confidence),
            "trainable_parameters": fitted.trainable,
            "threads": list(fitted.threads),
            "test_opened": opened,
            "seconds": seconds,
        }
        if len(split.unknown):
            _write_predictions(material, _judge(material, fitted.final, split.unknown), place / run_folder.UNKNOWN_ROWS)
        figures = _score(material, _judge(material, fitted.final, split.test), place, "test", extra)
        log_metrics(loggers, {f"test_{name}": figures[name] for name in TRACKED})
    return figures


def _tracked(material: Material, place: Path, run: str) -> AbstractContextManager[list["Logger"]]:
    settings = material.recipe.model_dump(mode="json", exclude_none=True, exclude={"quick"})
    runs = place.parents[1].parent
    return open_loggers(
        material.recipe.train.trackers, place, run=run, group=place.parents[1].name, settings=settings,
        store=runs / "mlflow.db",
    )  # fmt: skip


def fit(
    material: Material,
    rows: Rows,
    validation: Rows,
    seed: int,
    place: Path,
    loggers: list["Logger"],
    choice: dict[str, Any] | None = None,
) -> "Fitted":
    """The recipe's network or head, fitted on the clips `rows`; what an earlier fit chose may be given."""
    from hubbub.train.fit import fit as fit_model

    fitted = fit_model(
        fresh(material, seed), material.inputs, material.targets, rows, validation, place,
        seed=seed, choice=choice, loggers=loggers,
    )  # fmt: skip
    if fitted.history is not None:
        files.write_csv(place / "history.csv", fitted.history)
        plots.curves([fitted.history], [fitted.choice["epoch"]], place / "curves.png")
    return fitted


@dataclass(frozen=True)
class _Judged:
    """Some clips (`rows` of the table), their segments, and the probabilities of both."""

    rows: Rows
    segments: Segments
    by_segment: Array
    by_clip: Array
    seconds: float


def _judge(material: Material, model: "TorchClassifier", rows: Rows) -> _Judged:
    began = time.perf_counter()
    if material.embedded is not None:
        segments = material.embedded.of(rows)
    else:
        segments = cache.outputs(material.sound, model, rows)
    by_segment, by_clip = model.predict_proba(segments.values, segments.offsets[:-1])
    if len(by_clip) != len(rows) or not np.isfinite(by_clip).all():
        raise CellError(f"{len(rows)} clips were listed, {len(by_clip)} predicted: a figure over fewer is not one.")
    return _Judged(rows, segments, by_segment, by_clip, time.perf_counter() - began)


def _score(material: Material, judged: _Judged, place: Path, part: str, extra: dict[str, Any]) -> dict[str, Any]:
    """Write everything about what was judged; the metrics file comes last, because it marks the rest done."""
    rows, segments, by_segment, by_clip = judged.rows, judged.segments, judged.by_segment, judged.by_clip
    targets = material.targets[rows]
    clip, segment = (
        classification.evaluate(targets, by_clip),
        classification.evaluate(targets[segments.clip], by_segment),
    )
    figures: dict[str, Any] = {f"clip_{k}": v for k, v in clip.items()} | {
        f"segment_{k}": v for k, v in segment.items()
    }
    figures |= {"clips": len(rows), "segments": len(by_segment)} | extra
    figures["seconds"] = {**extra.get("seconds", {}), "predict": judged.seconds}
    labels = material.clips.labels
    if part == "test":
        _write_predictions(material, judged, place / "predictions.parquet")
        plots.roc(targets, by_clip, labels, place / "roc.png")
        calibrated = {
            "clips": classification.calibration(targets, by_clip),
            "segments": classification.calibration(targets[segments.clip], by_segment),
        }
        plots.reliability(calibrated, place / "reliability.png")
    by_class = summary.classes(targets, by_clip, targets[segments.clip], by_segment, labels)
    files.write_csv(place / f"classification_report_{part}.csv", escape_table(by_class))
    plots.confusion(targets, by_clip, labels, place / f"confusion_matrix_{part}.png")
    files.write_json(place / f"metrics_{part}.json", figures)
    return figures


def _write_predictions(material: Material, judged: _Judged, file: Path) -> None:
    """One row a segment, then one row a clip (`level`), with the truth and one probability a class."""
    clips, rows = material.clips, judged.rows
    cuts = [material.sound.spans(row, material.base) for row in rows]
    whole = np.array([(times[0, 0], times[-1, 1]) for times in cuts])
    tables = []
    for level, owner, times, scores in (
        ("segment", judged.segments.clip, np.concatenate(cuts), judged.by_segment),
        ("clip", np.arange(len(rows)), whole, judged.by_clip),
    ):
        facts = clips.table.iloc[rows[owner]][["clip", "group", "label"]].reset_index(drop=True)
        facts.insert(1, "level", level)
        facts["start"], facts["end"] = times[:, 0], times[:, 1]
        tables.append(pd.concat([facts, pd.DataFrame(scores, columns=list(clips.labels))], axis=1))
    with files.whole_file(file) as temporary:
        pd.concat(tables, ignore_index=True).to_parquet(temporary, index=False)


def _throughput(material: Material, model: "TorchClassifier", rows: Rows) -> dict[str, float]:
    """Segments a second from memory to probabilities, over about a second's work."""
    cuts = (material.sound.cut(row, model) for row in rows)
    segments = np.concatenate(list(itertools.islice(cuts, SPEED_BATCH)))[: 16 * SPEED_BATCH]
    model.predict_proba(model.outputs(segments[:8]), np.arange(len(segments[:8])))
    done, began = 0, time.perf_counter()
    while done < len(segments) and time.perf_counter() - began < SPEED_SECONDS:
        batch = segments[done : done + SPEED_BATCH]
        model.predict_proba(model.outputs(batch), np.arange(len(batch)))
        done += len(batch)
    return {"segments_per_second": done / (time.perf_counter() - began), "segments": done}
