"""The page of a run: one self-contained HTML file, and the plots beside it.

The page is made from the files of the run folder alone, so it can be made again at any time. The template is
`templates/report.html`; this module computes what it shows, with the figures of the summary and of `metrics`. Jinja
escapes all names that users give: classes, clips, files, titles. The page's Content-Security-Policy allows no script
and no request.
"""

import base64
import mimetypes
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from hubbub.metrics.classification import Calibration
from hubbub.report import plots, run_folder, tables
from hubbub.report.caveats import read_first
from hubbub.report.data_section import data_section
from hubbub.report.headline import headline, metric_names
from hubbub.report.level_results import LEVELS, ClassScores
from hubbub.report.predicted import Predicted, as_arrays, calibration_of, cell_thresholds, uncalibrated
from hubbub.report.results import Summary
from hubbub.report.roc_choice import roc_choice
from hubbub.report.set_page import draw_label_sets, label_set_facts
from hubbub.report.summary import INTERVALS, class_scores, describe_interval
from hubbub.runtime import files
from hubbub.runtime.escape import escape_cell, escape_control

__all__ = ["Plot", "embedded_plot", "render", "split_tag", "write_page"]

#: CSS pixels per inch.
CSS_DPI = 96


@dataclass(frozen=True)
class Plot:
    """A PNG embedded in the page: its data URI, its size in CSS pixels, and its text alternative."""

    uri: str
    alt: str
    width: int
    height: int


def write_page(folder: Path) -> Path:
    """Draws the plots of a finished run, writes its page, and returns the page's path."""
    page = run_folder.page_file(folder)
    files.write_text(page, render("report.html", _facts(folder)))
    return page


def render(template: str, facts: Mapping[str, Any]) -> str:
    """The HTML of one of `templates/`. A name that the template uses and `facts` lacks is an error."""
    import jinja2

    jinja = jinja2.Environment(
        loader=jinja2.PackageLoader("hubbub.report"),
        autoescape=True,
        finalize=lambda value: escape_control(value) if type(value) is str else value,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    jinja.filters["cell"] = escape_cell
    return jinja.get_template(template).render(facts)


def split_tag(line: str) -> tuple[str, str]:
    """`SYNTHETIC: made here` -> `SYNTHETIC`, `made here`; a line without capitals has an empty tag."""
    tag, colon, rest = line.partition(": ")
    return (tag, rest) if colon and tag.isupper() else ("", line)


def _facts(folder: Path) -> dict[str, Any]:
    """The values of the template's names."""
    summary, environment = run_folder.read_summary(folder), run_folder.read_environment(folder)
    if [(one.fold, one.seed) for one in summary.folds] != [cell[:2] for cell in run_folder.cells(folder)]:
        raise run_folder.damaged_summary(folder, "its folds and seeds are not those of the run")
    predicted = run_folder.predictions(folder)
    clips, segments = (as_arrays(predicted[predicted["level"] == level]) for level in LEVELS)
    calibrated = {"clips": calibration_of(*clips[:2]), "segments": calibration_of(*segments[:2])}
    if environment.scored and environment.scored.labels_alone:
        calibrated = {}
    raw = predicted if environment.scored else uncalibrated(folder, predicted)
    samples, (metric, main), at = list(_samples(folder)), headline(summary), cell_thresholds(folder, "clip")
    classes = class_scores(predicted[predicted["level"] == "clip"], at)
    pictures = _plots(folder, clips, calibrated)
    if summary.multilabel:
        own = label_set_facts(predicted, classes, at)
        alts = draw_label_sets(folder, predicted, at, summary)
        pictures |= {name: embedded_plot(run_folder.plot_file(folder, name), alt) for name, alt in alts.items()}
    else:
        own = _single_label_facts(predicted, classes, clips, segments, with_auc=bool(calibrated))
    return own | {
        "title": summary.title,
        "summary": summary,
        "environment": environment,
        "warnings": [split_tag(line) for line in read_first(summary, environment)],
        "metric": metric,
        "main": main,
        "main_of_segments": headline(summary, "segment")[1],
        "names": metric_names(summary.multilabel),
        "interval": describe_interval(main, summary.recordings),
        "method": INTERVALS.get(main.interval, main.interval),
        "calibration": {level: found.error for level, found in calibrated.items()},
        "raw": {level: calibration_of(*as_arrays(raw[raw["level"] == level])[:2]).error for level in LEVELS},
        "levels_in_words": _describe_levels(summary),
        "folds": tables.cell_table(folder, summary),
        "many": len(clips[2]) > plots.FEW,
        "unknown": tables.unknown_table(summary),
        "unknown_in_words": tables.describe_unknown(summary),
        "pictures": pictures,
        "rocs": roc_choice(*clips) if calibrated else None,
        "mistakes": [sample for sample in samples if sample["kind"] == "mistake"],
        "right": [sample for sample in samples if sample["kind"] == "right"],
        "speed": tables.speed_table(folder, summary, environment),
        "machine": tables.environment_table(environment),
        "recipe": run_folder.recipe_text(folder),
        "data_check": data_section(run_folder.read_data_check(folder)),
    }


def _single_label_facts(
    predicted: pd.DataFrame,
    classes: Sequence[ClassScores],
    clips: Predicted,
    segments: Predicted,
    *,
    with_auc: bool,
) -> dict[str, Any]:
    """The values that the page of clips of one label has in place of those of label sets."""
    repeated = _describe_seeds(predicted.index.get_level_values("seed").nunique())
    return {
        "classes": tables.class_table(classes, clips, segments, repeated, with_auc=with_auc),
        "confusions": tables.confusion_table(clips),
    }


def _describe_seeds(seeds: int) -> str:
    return f"; {seeds} seeds, whose confusions are added up" if seeds > 1 else ""


def _describe_levels(summary: Summary) -> str:
    if summary.clips == summary.segments:
        return "Every clip is one segment here, so both levels score the same decisions."
    (metric, clip), (_, segment) = headline(summary), headline(summary, "segment")
    pooled = f"{'scores pool' if summary.multilabel else 'decision pools'} {summary.segments / summary.clips:.1f}"
    if clip.mean is None or segment.mean is None:
        return f"A clip's {pooled} segments on average."
    gain = clip.mean - segment.mean
    against = f"{abs(gain):.3f} {'above' if gain > 0 else 'below'}" if round(gain, 3) else "the same as"
    return (
        f"A clip's {pooled} segments on average; {'their' if summary.multilabel else 'its'} {metric} is "
        f"{against} that of single segments. Expect the clip's figure for whole recordings, the segment's for live "
        "answers."
    )


def _plots(folder: Path, clips: Predicted, calibrated: Mapping[str, Calibration]) -> dict[str, Plot | None]:
    """The plots of all cells together, drawn into the run folder and embedded from there."""
    targets, scores, labels = clips
    sets, alts = targets.ndim == 2, dict[str, str]()
    names = ("confusion_matrix", "confusion_matrix_normalised", "roc", "reliability", "curves", "learning_curve")
    places = {name: run_folder.plot_file(folder, name) for name in names}
    if not sets:
        plots.confusion(*clips, places["confusion_matrix"])
        plots.confusion(*clips, places["confusion_matrix_normalised"], normalised=True)
        right = int((scores.argmax(axis=1) == targets).sum())
        alts = {
            "confusion_matrix": f"Confusion matrix of {len(labels)} classes, counts: {right:,} of {len(targets):,} "
            "clips lie on the diagonal. The table beside it lists the others.",
            "confusion_matrix_normalised": f"Confusion matrix of {len(labels)} classes, per cent of each true class.",
        }
    if calibrated:
        plots.roc(*clips, places["roc"])
        plots.reliability(calibrated, places["reliability"], presence=sets)
    curve = run_folder.read_learning_curve(folder)
    if curve is not None:
        plots.learning_curve(curve, places["learning_curve"])
    if calibrated:
        alts["roc"] = (
            f"ROC curves of {len(labels)} classes and their mean. Each class's AUC is in the table of classes."
        )
        errors = ", ".join(f"{found.error:.3f} for {level}" for level, found in calibrated.items())
        against = "shares of clips that hold a class against its score" if sets else "accuracy against confidence"
        alts["reliability"] = f"Reliability diagram: {against}. Calibration error {errors}."
    if curve is not None:
        alts["learning_curve"] = (
            "Validation accuracy against the number of training recordings. The text beside it has the last two points."
        )
    places_of_cells = [place for _, _, place in run_folder.cells(folder)]
    trained = [(place, history) for place in places_of_cells if (history := run_folder.read_history(place)) is not None]
    if trained:
        chosen = [run_folder.read_result(place).choice["epoch"] for place, _ in trained]
        plots.curves([history for _, history in trained], chosen, places["curves"])
        alts["curves"] = (
            f"Learning curves of {len(trained)} trainings: losses and validation figures over the epochs; "
            f"epochs {min(chosen)} to {max(chosen)} were chosen."
        )
    return {name: embedded_plot(place, alts[name]) if name in alts else None for name, place in places.items()}


def _samples(folder: Path) -> Iterator[dict[str, Any]]:
    """The sample clips of the gallery, sound and plots embedded; those without plots are left out."""
    for sample in run_folder.read_samples(folder):
        with suppress(KeyError, TypeError, struct.error, FileNotFoundError):  # an incomplete sample
            yield _sample(run_folder.gallery_folder(folder), sample)


def _sample(folder: Path, sample: dict[str, Any]) -> dict[str, Any]:
    truth, decided, method = sample["label"], sample["decided"], sample["method"]
    spectrogram, gradcam, sound = (_inside(folder, sample[name]) for name in ("spectrogram", "gradcam", "sound"))
    if spectrogram is None or gradcam is None:
        raise FileNotFoundError(f"a plot of {sample['clip']}")
    return (
        {"part": ""}
        | sample
        | {
            "spectrogram": embedded_plot(spectrogram, f"Spectrogram of {sample['clip']}, a clip of {truth}"),
            "gradcam": embedded_plot(gradcam, f"{method}: the parts of that spectrogram that speak for {decided}"),
            "sound": None if sound is None else _uri(sound),
        }
    )


def _inside(folder: Path, name: str | None) -> Path | None:
    """A file that lies directly in the folder; None where there is no such file, or the name leads elsewhere."""
    if not name or Path(name).name != name or not (folder / name).is_file():
        return None
    return folder / name


def embedded_plot(path: Path, alt: str) -> Plot:
    """A PNG file as the page holds it."""
    with path.open("rb") as file:
        width, height = struct.unpack(">16x2I", file.read(24))  # a PNG's header
    return Plot(_uri(path), alt, round(width * CSS_DPI / plots.DPI), round(height * CSS_DPI / plots.DPI))


def _uri(path: Path) -> str:
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
