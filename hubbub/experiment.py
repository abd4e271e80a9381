"""Folds and seeds of one recipe: run, resume, collect.

Each cell (test fold, seed) makes its choices on its validation part and opens its test part once, after them; its
`metrics_test.json` is written last and marks it done, so a killed run goes on where it stopped. `summary.json` is
always computed from the files of the cells, never from memory. This room does not know how a network is fitted.
"""

import itertools
import json
import shutil
import time
from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hubbub import confidence, files, gallery, metrics, page, plots, report, trackers
from hubbub.confidence import Confidence
from hubbub.data import cache
from hubbub.data.cache import Segments
from hubbub.data.splits import Split
from hubbub.errors import HubbubError
from hubbub.material import Material, Say, card, environment, fresh, prepare
from hubbub.recipe import Recipe
from hubbub.report import read_json

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger

    from hubbub.classifier import Classifier
    from hubbub.train import Fitted

__all__ = ["ExperimentError", "run"]

Array = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]
SPEED_BATCH, SPEED_SECONDS = 32, 1.0
TRACKED = ("clip_accuracy", "clip_macro_f1", "segment_accuracy", "segment_macro_f1")


class ExperimentError(HubbubError):
    """A run that cannot go on as asked."""


def run(
    recipe: Recipe,
    folder: Path,
    *,
    quick: bool = False,
    refit: bool = True,
    say: Say = lambda line: None,
) -> dict[str, Any]:
    """Run every cell that is not done yet, then write `summary.json`, `report.html` and, with `refit`, `classifier/`.

    Returns the summary. Raises `ExperimentError` where `folder` holds another recipe's run.
    """
    material = prepare(recipe, say, quick=quick)
    recipe = material.recipe
    with files.lock(folder):
        _begin(material, folder)
        cells = [(split, seed) for split in material.splits for seed in recipe.train.seeds]
        for number, (split, seed) in enumerate(cells, 1):
            place = _cell_folder(folder, split.name, seed)
            if (place / "metrics_test.json").is_file():
                say(f"[{number}/{len(cells)}] test fold {split.name}, seed {seed}: done before")
                continue
            for made_of_all in (gallery.FOLDER, "classifier"):  # of other cells than these
                shutil.rmtree(folder / made_of_all, ignore_errors=True)
            figures = _run_cell(material, split, seed, place)
            say(
                f"[{number}/{len(cells)}] test fold {split.name}, seed {seed}: "
                f"clip accuracy {figures['clip_accuracy']:.4f}, segment {figures['segment_accuracy']:.4f} "
                f"({_in_words(figures['choice'])})"
            )
        summary = report.summarise(folder)
        if not (folder / gallery.FOLDER).is_dir():
            say("explaining the worst mistakes")
            gallery.write(material, folder)
        if refit and not (folder / "classifier").is_dir():
            say("refitting on all folds: the classifier that hubbub.load gives")
            _refit(material, folder, summary)
        page.write(folder)
    return summary


def _begin(material: Material, folder: Path) -> None:
    """Write what the run is; or, where it was begun before, make sure that it is the same one."""
    recipe, facts = material.recipe.to_toml(), environment(material)
    if (folder / "recipe.toml").is_file():
        before = read_json(folder / "environment.json")
        if (folder / "recipe.toml").read_text(encoding="utf-8") != recipe:
            raise ExperimentError(
                f"{folder} holds the run of another recipe. Give another --name, or remove that folder."
            )
        if before["data"]["manifest"] != facts["data"]["manifest"]:
            raise ExperimentError(f"{folder} was begun on other clips than are here now. Give another --name.")
        return
    files.write_json(folder / "environment.json", facts)
    files.write_text(folder / "recipe.toml", recipe)


def _cell_folder(folder: Path, fold: str, seed: int) -> Path:
    return folder / f"test-{fold}" / f"seed-{seed}"


def _run_cell(material: Material, split: Split, seed: int, place: Path) -> dict[str, Any]:
    if not (place / "checkpoints" / "last.ckpt").is_file() and place.exists():
        shutil.rmtree(place)
    place.mkdir(parents=True, exist_ok=True)
    with _tracked(material, place, f"fold {split.name}, seed {seed}") as loggers:
        began = time.perf_counter()
        fitted = _fit(material, split.train, split.validation, seed, place, loggers)
        seconds = {"fit": time.perf_counter() - began}
        if len(split.validation):
            judged = _judge(material, fitted.chosen, split.validation)
            _score(material, judged, place, "val", {"choice": fitted.choice})
            fitted.final.confidence = _confidence(material, judged)
        fitted.final.card = card(material, f"the training part of test fold {split.name}, seed {seed}")
        fitted.final.save(place / "classifier")
        files.write_json(place / "metrics_throughput.json", _throughput(material, fitted.final, split.test))
        opened = datetime.now(UTC).isoformat(timespec="seconds")
        extra = {
            "choice": fitted.choice,
            "confidence": asdict(fitted.final.confidence),
            "trainable_parameters": fitted.trainable,
            "test_opened": opened,
            "seconds": seconds,
        }
        figures = _score(material, _judge(material, fitted.final, split.test), place, "test", extra)
        trackers.record(loggers, {f"test_{name}": figures[name] for name in TRACKED})
    return figures


def _tracked(material: Material, place: Path, run: str) -> AbstractContextManager[list["Logger"]]:
    settings = material.recipe.model_dump(mode="json", exclude_none=True, exclude={"quick"})
    runs = place.parents[1].parent
    return trackers.tracked(
        material.recipe.train.trackers, place, run=run, group=place.parents[1].name, settings=settings,
        store=runs / "mlflow.db",
    )  # fmt: skip


def _fit(
    material: Material,
    rows: Rows,
    validation: Rows,
    seed: int,
    place: Path,
    loggers: list["Logger"],
    choice: dict[str, Any] | None = None,
) -> "Fitted":
    from hubbub import train

    embedded, targets = material.embedded, material.targets
    if material.recipe.head.name != "none":
        assert embedded is not None
        return train.fit_head(material.base, embedded, targets, rows, validation, seed=seed, choice=choice)
    model, sound = fresh(material, seed), material.sound if embedded is None else embedded
    fitted = train.fit_network(
        model, sound, targets, rows, validation, place, seed=seed, choice=choice, loggers=loggers
    )
    assert fitted.history is not None
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


def _judge(material: Material, model: "Classifier", rows: Rows) -> _Judged:
    began = time.perf_counter()
    if material.embedded is not None:
        segments = material.embedded.of(rows)
    else:
        segments = cache.evidence(material.sound, model, rows)
    by_segment, by_clip = model.judge(segments.values, segments.offsets[:-1])
    if len(by_clip) != len(rows) or not np.isfinite(by_clip).all():
        raise ExperimentError(
            f"{len(rows)} clips were listed, {len(by_clip)} predicted: a figure over fewer is not one."
        )
    return _Judged(rows, segments, by_segment, by_clip, time.perf_counter() - began)


def _confidence(material: Material, judged: _Judged) -> Confidence:
    targets = material.targets[judged.rows]
    return confidence.fit(targets[judged.segments.clip], judged.by_segment, targets, judged.by_clip)


def _score(material: Material, judged: _Judged, place: Path, part: str, extra: dict[str, Any]) -> dict[str, Any]:
    """Write everything about what was judged; the metrics file comes last, because it marks the rest done."""
    rows, segments, by_segment, by_clip = judged.rows, judged.segments, judged.by_segment, judged.by_clip
    targets = material.targets[rows]
    clip, segment = metrics.evaluate(targets, by_clip), metrics.evaluate(targets[segments.clip], by_segment)
    figures: dict[str, Any] = {f"clip_{k}": v for k, v in clip.items()} | {
        f"segment_{k}": v for k, v in segment.items()
    }
    figures |= {"clips": len(rows), "segments": len(by_segment)} | extra
    figures["seconds"] = {**extra.get("seconds", {}), "predict": judged.seconds}
    labels = material.clips.labels
    if part == "test":
        table = _predictions(material, rows, segments, by_segment, by_clip)
        with files.whole_file(place / "predictions.parquet") as temporary:
            table.to_parquet(temporary, index=False)
        plots.roc(targets, by_clip, labels, place / "roc.png")
        calibrated = {
            "clips": metrics.calibration(targets, by_clip),
            "segments": metrics.calibration(targets[segments.clip], by_segment),
        }
        plots.reliability(calibrated, place / "reliability.png")
    by_class = report.classes(targets, by_clip, targets[segments.clip], by_segment, labels)
    files.write_csv(place / f"classification_report_{part}.csv", by_class)
    plots.confusion(targets, by_clip, labels, place / f"confusion_matrix_{part}.png")
    files.write_json(place / f"metrics_{part}.json", figures)
    return figures


def _predictions(material: Material, rows: Rows, segments: Segments, by_segment: Array, by_clip: Array) -> pd.DataFrame:
    """One row a segment, then one row a clip (`level`), with the truth and one probability a class."""
    clips = material.clips
    cuts = [material.sound.spans(row, material.base) for row in rows]
    whole = np.array([(times[0, 0], times[-1, 1]) for times in cuts])
    tables = []
    for level, owner, times, scores in (
        ("segment", segments.clip, np.concatenate(cuts), by_segment),
        ("clip", np.arange(len(rows)), whole, by_clip),
    ):
        facts = clips.table.iloc[rows[owner]][["clip", "group", "label"]].reset_index(drop=True)
        facts.insert(1, "level", level)
        facts["start"], facts["end"] = times[:, 0], times[:, 1]
        tables.append(pd.concat([facts, pd.DataFrame(scores, columns=list(clips.labels))], axis=1))
    return pd.concat(tables, ignore_index=True)


def _throughput(material: Material, model: "Classifier", rows: Rows) -> dict[str, float]:
    """Segments a second from memory to probabilities, over about a second's work."""
    cuts = (material.sound.cut(row, model) for row in rows)
    segments = np.concatenate(list(itertools.islice(cuts, SPEED_BATCH)))[: 16 * SPEED_BATCH]
    model.judge(model.evidence(segments[:8]), np.arange(len(segments[:8])))
    done, began = 0, time.perf_counter()
    while done < len(segments) and time.perf_counter() - began < SPEED_SECONDS:
        batch = segments[done : done + SPEED_BATCH]
        model.judge(model.evidence(batch), np.arange(len(batch)))
        done += len(batch)
    return {"segments_per_second": done / (time.perf_counter() - began), "segments": done}


def _refit(material: Material, folder: Path, summary: dict[str, Any]) -> None:
    """The same recipe on all clips; what validation chose most often (the middle epoch for a network) is kept, and how
    sure it may be is what the cells' fits say together."""
    seeds, place = material.recipe.train.seeds, folder / "refit"
    cells = [
        read_json(_cell_folder(folder, split.name, seed) / "metrics_test.json")
        for split in material.splits
        for seed in seeds
    ]
    choices = [cell["choice"] for cell in cells]
    if material.recipe.head.name == "none":
        choice = sorted(choices, key=lambda choice: choice["epoch"])[(len(choices) - 1) // 2]
    else:
        choice = json.loads(Counter(json.dumps(c) for c in choices).most_common(1)[0][0])
    nothing = np.zeros(0, dtype=np.intp)
    model = _fit(material, np.arange(len(material.clips)), nothing, seeds[0], place, [], choice).final
    model.confidence = confidence.typical([Confidence(**cell["confidence"]) for cell in cells])
    accuracy = summary["clip"]["accuracy"]
    model.card = card(material, "all folds that took part, refitted after the evaluation") | {
        "choice": choice,
        "evaluated": f"clip accuracy {accuracy['mean']:.4f} by models that had not heard the clips; "
        f"{summary['protocol']}",
    }
    model.save(folder / "classifier")


def _in_words(choice: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in choice.items()) or "nothing to choose"
