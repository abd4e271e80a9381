"""The page of a run: one HTML file that needs nothing but itself, and the pictures beside it.

Made only from the files of the run folder, so it can be made again at any time. `templates/report.html` says how it
looks; here is what it shows. Jinja escapes whatever a user may have named: classes, clips, files, titles. The page's
own Content-Security-Policy forbids it to run a script or to ask any other place for anything.
This room computes no figure of its own: those are `summary.json`'s, and `metrics`' over the predictions.
"""

import base64
import mimetypes
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hubbub.metrics import classification
from hubbub.report import plots, run_folder
from hubbub.report import summary as report
from hubbub.report.run_folder import arrays, damaged, read_choices, read_history
from hubbub.report.summary import NAMES, read_json
from hubbub.runtime import files
from hubbub.runtime.escape import escape_cell, escape_control

__all__ = ["Table", "render", "tagged", "write"]

Scores = npt.NDArray[np.float32]
Targets = npt.NDArray[np.int64]
Judged = tuple[Targets, Scores, tuple[str, ...]]
#: CSS pixels an inch.
CSS_DPI = 96
CONFUSIONS = 20
UNKNOWN_NAMES = {"max_logit": "largest logit", "energy": "energy", "max_prob": "largest probability"}


@dataclass(frozen=True)
class Table:
    """A table of finished texts: the first cell of a row names it; `words` are the columns that hold no numbers."""

    caption: str
    heads: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    words: tuple[int, ...] = ()


@dataclass(frozen=True)
class Picture:
    """A PNG as the page holds it, with its size in CSS pixels, and in words for those who do not see it."""

    uri: str
    alt: str
    width: int
    height: int


def write(folder: Path) -> Path:
    """Draw the pictures of a finished run, write its `report.html`, and return that file's path."""
    files.write_text(folder / "report.html", render("report.html", _facts(folder)))
    return folder / "report.html"


def render(template: str, facts: Mapping[str, Any]) -> str:
    """The HTML of one of `templates/`; a name that the template uses and `facts` lacks is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    looks = Environment(
        loader=PackageLoader("hubbub.report"),
        autoescape=True,
        finalize=lambda value: escape_control(value) if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    looks.filters["cell"] = escape_cell
    return looks.get_template(template).render(facts)


def tagged(line: str) -> tuple[str, str]:
    """`SYNTHETIC: made here` -> its capitals and the rest; a line without them is all rest."""
    tag, colon, rest = line.partition(": ")
    return (tag, rest) if colon and tag.isupper() else ("", line)


def _facts(folder: Path) -> dict[str, Any]:
    """Everything the template names."""
    summary, environment = read_json(folder / "summary.json"), read_json(folder / "environment.json")
    if [(one["fold"], one["seed"]) for one in summary["folds"]] != [cell[:2] for cell in report.cells(folder)]:
        raise damaged(folder / "summary.json", "it tells of other folds and seeds than the run has")
    predicted = run_folder.predictions(folder)
    clips, segments = (arrays(predicted[predicted["level"] == level]) for level in run_folder.LEVELS)
    calibrated = {
        "clips": classification.calibration(*clips[:2]),
        "segments": classification.calibration(*segments[:2]),
    }
    raw = run_folder.untempered(folder, predicted)
    seeds = predicted.index.get_level_values("seed").nunique()
    samples = list(_samples(folder / "gradcam"))
    return {
        "title": summary["recipe"],
        "summary": summary,
        "environment": environment,
        "warnings": [tagged(line) for line in _warnings(summary, environment)],
        "names": NAMES,
        "calibration": {level: found.error for level, found in calibrated.items()},
        "raw": {
            level: classification.calibration(*arrays(raw[raw["level"] == level])[:2]).error
            for level in run_folder.LEVELS
        },
        "levels_in_words": _levels_in_words(summary),
        "folds": _fold_table(folder, summary),
        "classes": _class_table(clips, segments, f"; {seeds} seeds, each clip once a seed" if seeds > 1 else ""),
        "confusions": _confusion_table(clips),
        "many": len(clips[2]) > plots.FEW,
        "unknown": _unknown_table(summary),
        "unknown_in_words": _unknown_in_words(summary),
        "pictures": _pictures(folder, clips, calibrated),
        "mistakes": [sample for sample in samples if sample["kind"] == "mistake"],
        "right": [sample for sample in samples if sample["kind"] == "right"],
        "speed": _speed_table(folder, summary, environment),
        "machine": _environment_table(environment),
        "recipe": (folder / "recipe.toml").read_text(encoding="utf-8"),
    }


def _warnings(summary: Mapping[str, Any], environment: Mapping[str, Any]) -> list[str]:
    lines = [*summary["why_not_comparable"], *environment["data"]["warnings"]]
    if len(environment["test_folds"]) == 1:
        lines.append("SINGLE FOLD: one test part alone; how far folds differ is not known")
    return lines


def _levels_in_words(summary: Mapping[str, Any]) -> str:
    clip, segment = (summary[level]["accuracy"]["mean"] for level in ("clip", "segment"))
    if summary["clips"] == summary["segments"]:
        return "Every clip is one segment here, so both levels judge the same decisions."
    gain = clip - segment
    against = f"{abs(gain):.3f} {'above' if gain > 0 else 'below'}" if round(gain, 3) else "the same as"
    return (
        f"A clip's decision pools {summary['segments'] / summary['clips']:.1f} segments on average; its accuracy is "
        f"{against} that of single segments. Expect the clip's figure for whole recordings, the segment's for answers "
        "moment by moment."
    )


def _fold_table(folder: Path, summary: Mapping[str, Any]) -> Table:
    table = report.fold_table(dict(summary))
    heads = (*table.columns, "clips", "chosen on validation", "test part opened, UTC")
    rows = []
    for figures, (_, _, place) in zip(table.itertuples(index=False), report.cells(folder), strict=True):
        facts = read_json(place / "metrics_test.json")
        chosen = ", ".join(f"{name} {value}" for name, value in facts["choice"].items()) or "nothing"
        opened = datetime.fromisoformat(facts["test_opened"]).astimezone(UTC).strftime("%Y-%m-%d %H:%M")
        said = (f"{figure:.4f}" if isinstance(figure, float) else str(figure) for figure in figures)
        sure = run_folder.confidence(place)
        if sure.threshold is not None:  # something was validated
            chosen += f"; temperature {sure.clip:.2f} (clips), {sure.segment:.2f} (segments)"
        rows.append((*said, f"{facts['clips']:,}", chosen, opened))
    return Table("Every test fold and seed", heads, rows, words=(len(heads) - 2, len(heads) - 1))


def _class_table(clips: Judged, segments: Judged, repeated: str) -> Table:
    targets, scores, labels = clips
    ours, theirs = classification.per_class(targets, scores), classification.per_class(*segments[:2])
    wrong = _wrong(targets, scores)
    rows = []
    for k in np.argsort(ours["f1"], kind="stable"):
        most = int(wrong[k].argmax())
        figures = (ours["precision"][k], ours["recall"][k], ours["f1"][k], theirs["f1"][k], ours["roc_auc"][k])
        said = ("-" if np.isnan(figure) else f"{figure:.3f}" for figure in figures)
        taken = f"{labels[most]}\N{NO-BREAK SPACE}({wrong[k, most]})" if wrong[k, most] else "-"
        rows.append((labels[k], f"{int(ours['support'][k]):,}", *said, taken))
    heads = ("class", "clips", "precision", "recall", "F1", "segment F1", "AUC", "most often taken for")
    return Table(f"The weakest first: clips of all test folds together{repeated}", heads, rows, words=(7,))


def _confusion_table(clips: Judged) -> Table:
    targets, scores, labels = clips
    wrong, support = _wrong(targets, scores), np.bincount(targets, minlength=len(labels))
    order = np.argsort(-wrong, axis=None, kind="stable")[:CONFUSIONS]
    rows = []
    for true, decided in zip(*np.unravel_index(order, wrong.shape), strict=True):
        if count := wrong[true, decided]:
            rows.append((labels[true], labels[decided], str(count), f"{100 * count / support[true]:.0f} %"))
    heads = ("true", "decided", "clips", "share of the true class")
    return Table("The most frequent confusions", heads, rows, words=(1,))


def _unknown_table(summary: Mapping[str, Any]) -> Table | None:
    """How well classes that were held out are told; None where there are none."""
    if not (told := summary.get("unknown")):
        return None
    rows = [
        (f"{name}{', which the classifier uses' if how == told['by'] else ''}", *map(_spread, told[how].values()))
        for how, name in UNKNOWN_NAMES.items()
    ]
    caption = f"{told['clips']:,} test clips of {len(told['classes'])} classes that took no part, against the others"
    return Table(caption, ("score", "AUROC", "false positive rate at 95 %"), rows)


def _unknown_in_words(summary: Mapping[str, Any]) -> str:
    """What the threshold that validation set does on test clips; "" where there is none."""
    if not (at := (summary.get("unknown") or {}).get("at_threshold")):
        return ""
    return (
        f"At the threshold that validation set, {_spread(at['known_kept'])} of the clips of known classes are kept, "
        f"and {_spread(at['unknown_passed'])} of those of held-out classes pass as known."
    )


def _spread(figure: Mapping[str, float | None]) -> str:
    said = f"{figure['mean']:.3f}"
    return said if figure["sd"] is None else f"{said} \N{PLUS-MINUS SIGN} {figure['sd']:.3f}"


def _wrong(targets: Targets, scores: Scores) -> npt.NDArray[np.int64]:
    counts = classification.confusion(targets, scores)
    np.fill_diagonal(counts, 0)
    return counts


def _speed_table(folder: Path, summary: Mapping[str, Any], environment: Mapping[str, Any]) -> Table:
    trained = read_json(report.cells(folder)[0][2] / "metrics_test.json").get("trainable_parameters")
    machine = environment["machine"]
    rows = [
        ("segments a second, waves to probabilities", f"{summary['segments_per_second']:,.0f}"),
        ("fitting, all folds and seeds", f"{summary['seconds']['fit']:,.1f} s"),
        ("predicting the test parts", f"{summary['seconds']['predict']:,.1f} s"),
        *([("trained parameters", f"{trained:,}")] if trained else []),
        ("accelerator", machine.get("accelerator", "-")),
        ("processor threads", str(machine.get("threads", "-"))),
    ]
    return Table("Speed on the machine of this run", ("what", "figure"), rows)


def _environment_table(environment: Mapping[str, Any]) -> Table:
    left = {key: value for key, value in environment.items() if key in ("hubbub", "python", "libraries", "machine")}
    if trained := {count for one in environment.get("training_threads", []) for count in one["threads"]}:
        left["threads of training"] = ", ".join(map(str, sorted(trained)))
    left |= {
        "weights (sha256)": environment.get("weights", {}),
        "data manifest (sha256)": environment["data"]["manifest"],
    }
    return Table("Versions, machine, checksums", ("what", "value"), list(_flat(left)), words=(1,))


def _flat(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}: ")
        else:
            yield above + key, str(value)


def _pictures(
    folder: Path, clips: Judged, calibrated: Mapping[str, classification.Calibration]
) -> dict[str, Picture | None]:
    """The pictures of all cells together, drawn into the run folder and embedded from there."""
    targets, scores, labels = clips
    names = ("confusion_matrix", "confusion_matrix_normalised", "roc", "reliability", "curves")
    places = {name: folder / f"{name}.png" for name in names}
    plots.confusion(*clips, places["confusion_matrix"])
    plots.confusion(*clips, places["confusion_matrix_normalised"], normalised=True)
    plots.roc(*clips, places["roc"])
    plots.reliability(calibrated, places["reliability"])
    right = int((scores.argmax(axis=1) == targets).sum())
    alts = {
        "confusion_matrix": f"Confusion matrix of {len(labels)} classes, counts: {right:,} of {len(targets):,} clips "
        "lie on the diagonal. The table beside it lists what lies off it.",
        "confusion_matrix_normalised": f"Confusion matrix of {len(labels)} classes, per cent of each true class.",
        "roc": f"ROC curves of {len(labels)} classes and their mean. Each class's AUC is in the table of classes.",
        "reliability": "Reliability diagram: share of right decisions against confidence. Calibration error "
        + ", ".join(f"{found.error:.3f} for {level}" for level, found in calibrated.items())
        + ".",
    }
    trained = [place for _, _, place in report.cells(folder) if (place / "history.csv").is_file()]
    if trained:
        kept = [choice["epoch"] for choice in read_choices(trained)]
        plots.curves([read_history(place / "history.csv") for place in trained], kept, places["curves"])
        alts["curves"] = (
            f"Learning curves of {len(trained)} trainings: losses and validation figures over the epochs; "
            f"epochs {min(kept)} to {max(kept)} were kept."
        )
    return {name: _picture(place, alts[name]) if name in alts else None for name, place in places.items()}


def _samples(folder: Path) -> Iterator[dict[str, Any]]:
    """The clips that `gradcam/samples.json` explains, sound and pictures embedded; those without pictures left out."""
    if not (folder / "samples.json").is_file():
        return
    for sample in read_json(folder / "samples.json"):
        with suppress(KeyError, TypeError, struct.error, FileNotFoundError):  # half a sample is none
            yield _sample(folder, sample)


def _sample(folder: Path, sample: dict[str, Any]) -> dict[str, Any]:
    truth, decided, method = sample["label"], sample["decided"], sample["method"]
    spectrogram, gradcam, sound = (_inside(folder, sample[name]) for name in ("spectrogram", "gradcam", "sound"))
    if spectrogram is None or gradcam is None:
        raise FileNotFoundError(f"a picture of {sample['clip']}")
    return (
        {"part": ""}
        | sample
        | {
            "spectrogram": _picture(spectrogram, f"Spectrogram of {sample['clip']}, a clip of {truth}"),
            "gradcam": _picture(gradcam, f"{method}: where in that spectrogram the evidence for {decided} lies"),
            "sound": None if sound is None else _uri(sound),
        }
    )


def _inside(folder: Path, name: str | None) -> Path | None:
    """A file that lies in the folder itself; None where there is no such file, or the name leads elsewhere."""
    if not name or Path(name).name != name or not (folder / name).is_file():
        return None
    return folder / name


def _picture(path: Path, alt: str) -> Picture:
    with path.open("rb") as file:
        width, height = struct.unpack(">16x2I", file.read(24))  # a PNG's header
    return Picture(_uri(path), alt, round(width * CSS_DPI / plots.DPI), round(height * CSS_DPI / plots.DPI))


def _uri(path: Path) -> str:
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
