"""The page of a run: one self-contained HTML file, and the plots beside it.

The page is made from the files of the run folder alone, so it can be made again at any time. The template is
`templates/report.html`; this module computes what it shows, with the figures of the summary and of `metrics`. Jinja
escapes all names that users give: classes, clips, files, titles. The page's Content-Security-Policy allows no script
and no request.
"""

import base64
import mimetypes
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hubbub.metrics import classification
from hubbub.report import plots, run_folder
from hubbub.report.data_section import data_section
from hubbub.report.results import LEVELS, Environment, Spread, Summary
from hubbub.report.summary import NAMES, Scores, Targets, as_arrays, fold_table, uncalibrated
from hubbub.report.tables import Table
from hubbub.runtime import files
from hubbub.runtime.escape import escape_cell, escape_control

__all__ = ["Table", "render", "split_tag", "write_page"]

Predicted = tuple[Targets, Scores, tuple[str, ...]]
#: CSS pixels per inch.
CSS_DPI = 96
CONFUSIONS = 20
UNKNOWN_NAMES = {"max_logit": "largest logit", "energy": "energy", "max_prob": "largest probability"}


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
    calibrated = {
        "clips": classification.calibration(*clips[:2]),
        "segments": classification.calibration(*segments[:2]),
    }
    if environment.scored and environment.scored.labels_alone:
        calibrated = {}
    raw = predicted if environment.scored else uncalibrated(folder, predicted)
    seeds = predicted.index.get_level_values("seed").nunique()
    samples = list(_samples(folder))
    return {
        "title": summary.recipe,
        "summary": summary,
        "environment": environment,
        "warnings": [split_tag(line) for line in _warnings(summary, environment)],
        "names": NAMES,
        "calibration": {level: found.error for level, found in calibrated.items()},
        "raw": {
            level: classification.calibration(*as_arrays(raw[raw["level"] == level])[:2]).error for level in LEVELS
        },
        "levels_in_words": _describe_levels(summary),
        "folds": _fold_table(folder, summary),
        "classes": _class_table(
            clips, segments, f"; {seeds} seeds, each clip once a seed" if seeds > 1 else "", with_auc=bool(calibrated)
        ),
        "confusions": _confusion_table(clips),
        "many": len(clips[2]) > plots.FEW,
        "unknown": _unknown_table(summary),
        "unknown_in_words": _describe_unknown(summary),
        "pictures": _plots(folder, clips, calibrated),
        "mistakes": [sample for sample in samples if sample["kind"] == "mistake"],
        "right": [sample for sample in samples if sample["kind"] == "right"],
        "speed": _speed_table(folder, summary, environment),
        "machine": _environment_table(environment),
        "recipe": run_folder.recipe_text(folder),
        "data_check": data_section(run_folder.read_data_check(folder)),
    }


def _warnings(summary: Summary, environment: Environment) -> list[str]:
    lines = [*summary.why_not_comparable, *environment.data.warnings]
    if len(environment.test_folds) == 1:
        lines.append("SINGLE FOLD: only one test part; the spread over folds is not known")
    return lines


def _describe_levels(summary: Summary) -> str:
    if summary.clips == summary.segments:
        return "Every clip is one segment here, so both levels score the same decisions."
    gain = summary.clip.accuracy.mean - summary.segment.accuracy.mean
    against = f"{abs(gain):.3f} {'above' if gain > 0 else 'below'}" if round(gain, 3) else "the same as"
    return (
        f"A clip's decision pools {summary.segments / summary.clips:.1f} segments on average; its accuracy is "
        f"{against} that of single segments. Expect the clip's figure for whole recordings, the segment's for live "
        "answers."
    )


def _fold_table(folder: Path, summary: Summary) -> Table:
    table = fold_table(summary)
    heads = (*table.columns, "clips", "chosen on validation", "test part opened, UTC")
    rows = []
    for figures, (_, _, place) in zip(table.itertuples(index=False), run_folder.cells(folder), strict=True):
        result = run_folder.read_result(place)
        texts = [f"{figure:.4f}" if isinstance(figure, float) else str(figure) for figure in figures]
        if result.test_opened is None:  # scored predictions
            rows.append((*texts, f"{result.clips:,}"))
            continue
        chosen = ", ".join(f"{name} {value}" for name, value in result.choice.items()) or "nothing"
        opened = result.test_opened.astimezone(UTC).strftime("%Y-%m-%d %H:%M")
        calibration = result.confidence
        if calibration.threshold is not None:  # there was a validation part
            chosen += f"; temperature {calibration.clip:.2f} (clips), {calibration.segment:.2f} (segments)"
        rows.append((*texts, f"{result.clips:,}", chosen, opened))
    words = (len(heads) - 2, len(heads) - 1)
    return Table("Every test fold and seed", heads[: len(rows[0])], rows, words)


def _class_table(clips: Predicted, segments: Predicted, repeated: str, with_auc: bool = True) -> Table:
    targets, scores, labels = clips
    ours, theirs = classification.per_class(targets, scores), classification.per_class(*segments[:2])
    wrong = _wrong(targets, scores)
    rows = []
    for k in np.argsort(ours["f1"], kind="stable"):
        most = int(wrong[k].argmax())
        areas = (ours["roc_auc"][k],) if with_auc else ()
        figures = (ours["precision"][k], ours["recall"][k], ours["f1"][k], theirs["f1"][k], *areas)
        texts = ("-" if np.isnan(figure) else f"{figure:.3f}" for figure in figures)
        taken = f"{labels[most]}\N{NO-BREAK SPACE}({wrong[k, most]})" if wrong[k, most] else "-"
        rows.append((labels[k], f"{int(ours['support'][k]):,}", *texts, taken))
    areas = ("AUC",) if with_auc else ()
    heads = ("class", "clips", "precision", "recall", "F1", "segment F1", *areas, "most often taken for")
    caption = f"The weakest first: clips of all test folds together{repeated}"
    return Table(caption, heads, rows, words=(len(heads) - 1,))


def _confusion_table(clips: Predicted) -> Table:
    targets, scores, labels = clips
    wrong, support = _wrong(targets, scores), np.bincount(targets, minlength=len(labels))
    order = np.argsort(-wrong, axis=None, kind="stable")[:CONFUSIONS]
    rows = []
    for true, decided in zip(*np.unravel_index(order, wrong.shape), strict=True):
        if count := wrong[true, decided]:
            rows.append((labels[true], labels[decided], str(count), f"{100 * count / support[true]:.0f} %"))
    heads = ("true", "decided", "clips", "share of the true class")
    return Table("The most frequent confusions", heads, rows, words=(1,))


def _unknown_table(summary: Summary) -> Table | None:
    """Open-set rejection by each score; None where no class is held out."""
    if not (unknown := summary.unknown):
        return None
    rows = [
        (
            f"{name}{', which the classifier uses' if how == unknown.by else ''}",
            *map(_spread, unknown.scores(how).values()),
        )
        for how, name in UNKNOWN_NAMES.items()
    ]
    caption = f"{unknown.clips:,} test clips of {len(unknown.classes)} held-out classes against those of known classes"
    return Table(caption, ("score", "AUROC", "false positive rate at 95 %"), rows)


def _describe_unknown(summary: Summary) -> str:
    """The effect of the threshold on test clips; "" where there is none."""
    at = summary.unknown.at_threshold if summary.unknown else None
    if at is None:
        return ""
    return (
        f"At the threshold from validation, {_spread(at.known_kept)} of the clips of known classes are kept, "
        f"and {_spread(at.unknown_passed)} of those of held-out classes pass as known."
    )


def _spread(figure: Spread) -> str:
    return f"{figure.mean:.3f}" + ("" if figure.sd is None else f" \N{PLUS-MINUS SIGN} {figure.sd:.3f}")


def _wrong(targets: Targets, scores: Scores) -> npt.NDArray[np.int64]:
    counts = classification.confusion(targets, scores)
    np.fill_diagonal(counts, 0)
    return counts


def _speed_table(folder: Path, summary: Summary, environment: Environment) -> Table | None:
    """Speed and times; None for scored predictions, which have none."""
    if (spent := summary.seconds) is None:
        return None
    trained = run_folder.read_result(run_folder.cells(folder)[0][2]).trainable_parameters
    rows = [
        ("segments a second, waves to probabilities", f"{summary.segments_per_second:,.0f}"),
        ("fitting, all folds and seeds", f"{spent.fit:,.1f} s"),
        ("predicting the test parts", f"{spent.predict:,.1f} s"),
        *([("trained parameters", f"{trained:,}")] if trained else []),
        ("accelerator", environment.machine.accelerator),
        ("processor threads", str(environment.machine.threads)),
    ]
    return Table("Speed on the machine of this run", ("what", "figure"), rows)


def _environment_table(environment: Environment) -> Table:
    known = environment.as_json()
    left = {key: value for key, value in known.items() if key in ("hubbub", "python", "libraries", "machine")}
    if trained := {count for one in environment.training_threads for count in one.threads}:
        left["threads of training"] = ", ".join(map(str, sorted(trained)))
    left |= {"weights (sha256)": environment.weights, "data manifest (sha256)": environment.data.manifest}
    return Table("Versions, machine, checksums", ("what", "value"), list(_flat(left)), words=(1,))


def _flat(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}: ")
        else:
            yield above + key, str(value)


def _plots(
    folder: Path, clips: Predicted, calibrated: Mapping[str, classification.Calibration]
) -> dict[str, Plot | None]:
    """The plots of all cells together, drawn into the run folder and embedded from there."""
    targets, scores, labels = clips
    names = ("confusion_matrix", "confusion_matrix_normalised", "roc", "reliability", "curves")
    places = {name: run_folder.plot_file(folder, name) for name in names}
    plots.confusion(*clips, places["confusion_matrix"])
    plots.confusion(*clips, places["confusion_matrix_normalised"], normalised=True)
    if calibrated:
        plots.roc(*clips, places["roc"])
        plots.reliability(calibrated, places["reliability"])
    right = int((scores.argmax(axis=1) == targets).sum())
    alts = {
        "confusion_matrix": f"Confusion matrix of {len(labels)} classes, counts: {right:,} of {len(targets):,} clips "
        "lie on the diagonal. The table beside it lists the others.",
        "confusion_matrix_normalised": f"Confusion matrix of {len(labels)} classes, per cent of each true class.",
    }
    if calibrated:
        alts["roc"] = (
            f"ROC curves of {len(labels)} classes and their mean. Each class's AUC is in the table of classes."
        )
        errors = ", ".join(f"{found.error:.3f} for {level}" for level, found in calibrated.items())
        alts["reliability"] = f"Reliability diagram: accuracy against confidence. Calibration error {errors}."
    places_of_cells = [place for _, _, place in run_folder.cells(folder)]
    trained = [(place, history) for place in places_of_cells if (history := run_folder.read_history(place)) is not None]
    if trained:
        chosen = [run_folder.read_result(place).choice["epoch"] for place, _ in trained]
        plots.curves([history for _, history in trained], chosen, places["curves"])
        alts["curves"] = (
            f"Learning curves of {len(trained)} trainings: losses and validation figures over the epochs; "
            f"epochs {min(chosen)} to {max(chosen)} were chosen."
        )
    return {name: _plot(place, alts[name]) if name in alts else None for name, place in places.items()}


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
            "spectrogram": _plot(spectrogram, f"Spectrogram of {sample['clip']}, a clip of {truth}"),
            "gradcam": _plot(gradcam, f"{method}: the parts of that spectrogram that speak for {decided}"),
            "sound": None if sound is None else _uri(sound),
        }
    )


def _inside(folder: Path, name: str | None) -> Path | None:
    """A file that lies directly in the folder; None where there is no such file, or the name leads elsewhere."""
    if not name or Path(name).name != name or not (folder / name).is_file():
        return None
    return folder / name


def _plot(path: Path, alt: str) -> Plot:
    with path.open("rb") as file:
        width, height = struct.unpack(">16x2I", file.read(24))  # a PNG's header
    return Plot(_uri(path), alt, round(width * CSS_DPI / plots.DPI), round(height * CSS_DPI / plots.DPI))


def _uri(path: Path) -> str:
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
