"""The tables of a run's page, as texts: cells, classes, confusions, open-set rejection, speed, environment."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hubbub.metrics import classification
from hubbub.report import run_folder
from hubbub.report.level_results import ClassScores, Spread
from hubbub.report.predicted import Predicted, Scores, Targets
from hubbub.report.results import Environment, Summary
from hubbub.report.summary import fold_table

__all__ = [
    "Table",
    "cell_table",
    "class_table",
    "confusion_table",
    "describe_choice",
    "describe_unknown",
    "environment_table",
    "speed_table",
    "unknown_table",
]

CONFUSIONS = 20
UNKNOWN_NAMES = {
    "max_logit": "largest logit",
    "energy": "energy",
    "max_prob": "largest probability",
    "distance": "largest probability and distance",
    "outliers": "largest probability and known outliers",
}


@dataclass(frozen=True)
class Table:
    """A table of texts: the first cell of a row is its heading; `words` are the columns without numbers."""

    caption: str
    heads: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    words: tuple[int, ...] = ()


def cell_table(folder: Path, summary: Summary) -> Table:
    """One row a cell: figures, what validation chose, when the test part was opened."""
    table = fold_table(summary)
    heads = (*table.columns, "clips", "chosen on validation", "test part opened, UTC")
    rows = []
    for figures, (_, _, place) in zip(table.itertuples(index=False), run_folder.cells(folder), strict=True):
        result = run_folder.read_result(place)
        texts = [f"{figure:.4f}" if isinstance(figure, float) else str(figure) for figure in figures]
        if result.test_opened is None:  # scored predictions
            rows.append((*texts, f"{result.clips:,}"))
            continue
        chosen = describe_choice(result.choice)
        opened = result.test_opened.astimezone(UTC).strftime("%Y-%m-%d %H:%M")
        calibration = result.confidence
        of_clips, of_segments = calibration.clip, calibration.segment
        if isinstance(of_clips, tuple) or isinstance(of_segments, tuple):
            chosen += "; every class scaled and given its threshold"
        elif calibration.threshold is not None:  # there was a validation part
            chosen += f"; temperature {of_clips:.2f} (clips), {of_segments:.2f} (segments)"
        rows.append((*texts, f"{result.clips:,}", chosen, opened))
    words = (len(heads) - 2, len(heads) - 1)
    return Table("Every test fold and seed", heads[: len(rows[0])], rows, words)


def describe_choice(choice: dict[str, Any]) -> str:
    """The choice of validation on one line: `epoch 9, lowered after epoch 4, 8`."""
    words = {"lowered": "lowered after epoch"}
    texts = {name: ", ".join(map(str, held)) if isinstance(held, list) else str(held) for name, held in choice.items()}
    return ", ".join(f"{words.get(name, name)} {text}" for name, text in texts.items() if text) or "nothing to choose"


def class_table(
    classes: Sequence[ClassScores], clips: Predicted, segments: Predicted, repeated: str, *, with_auc: bool = True
) -> Table:
    """One row a class, the weakest first; classes that were never tested come last. `repeated` is about seeds."""
    targets, scores, labels = clips
    ours, theirs = classification.per_class(targets, scores), classification.per_class(*segments[:2])
    wrong = _wrong(targets, scores)
    tested = [k for k in np.argsort(ours["f1"], kind="stable") if classes[k].clips]
    rows = []
    for k in tested:
        most, it = int(wrong[k].argmax()), classes[k]
        taken = f"{labels[most]}\N{NO-BREAK SPACE}({wrong[k, most]})" if wrong[k, most] else "-"
        interval = "-" if it.recall_ci95 is None else f"{it.recall_ci95[0]:.2f} to {it.recall_ci95[1]:.2f}"
        areas = (ours["roc_auc"][k],) if with_auc else ()
        figures = (it.precision, it.recall, it.f1, theirs["f1"][k], *areas)
        precision, recall, *others = ("-" if x is None or np.isnan(x) else f"{x:.3f}" for x in figures)
        rows.append((it.label, f"{it.clips:,}", f"{it.recordings:,}", precision, recall, interval, *others, taken))
    rows += [(one.label, "0", "0", *(5 + with_auc) * ("-",), "never tested") for one in classes if not one.clips]
    heads = ("class", "clips", "recordings", "precision", "recall", "95 %", "F1", "segment F1", *["AUC"] * with_auc)
    caption = f"The weakest first: clips of all test folds together{repeated}; the interval is that of recall"
    return Table(caption, (*heads, "most often taken for"), rows, words=(len(heads),))


def confusion_table(clips: Predicted) -> Table:
    """The most frequent confusions of clips."""
    targets, scores, labels = clips
    wrong, support = _wrong(targets, scores), np.bincount(targets, minlength=len(labels))
    order = np.argsort(-wrong, axis=None, kind="stable")[:CONFUSIONS]
    rows = []
    for true, decided in zip(*np.unravel_index(order, wrong.shape), strict=True):
        if count := wrong[true, decided]:
            rows.append((labels[true], labels[decided], str(count), f"{100 * count / support[true]:.0f} %"))
    heads = ("true", "decided", "clips", "share of the true class")
    return Table("The most frequent confusions", heads, rows, words=(1,))


def unknown_table(summary: Summary) -> Table | None:
    """Open-set rejection by each score; None where no class is held out."""
    if not (unknown := summary.unknown):
        return None
    rows = [
        (
            f"{name}{', which the classifier uses' if how == unknown.by else ''}",
            *map(_spread, unknown.scores(how).values()),
        )
        for how, name in UNKNOWN_NAMES.items()
        if unknown.scores(how)
    ]
    caption = f"{unknown.clips:,} test clips of {len(unknown.classes)} held-out classes against those of known classes"
    return Table(caption, ("score", "AUROC", "false positive rate at 95 %"), rows)


def describe_unknown(summary: Summary) -> str:
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


def speed_table(folder: Path, summary: Summary, environment: Environment) -> Table | None:
    """Times of the run and the machine they were taken on; None for scored predictions, which have none."""
    if (spent := summary.seconds) is None:
        return None
    trained = run_folder.read_result(run_folder.cells(folder)[0][2]).trainable_parameters
    whole = f"{spent.total:,.1f} s" if spent.total is not None else "-"
    rows = [
        ("segments a second, from decoded sound to answers", f"{summary.segments_per_second:,.1f}"),
        ("fitting, all folds and seeds, from decoded sound", f"{spent.fit:,.1f} s"),
        ("predicting the test parts, from decoded sound", f"{spent.predict:,.1f} s"),
        ("both together, each clip embedded once" if spent.embed else "both together", whole),
        *(
            [
                ("of these the embeddings of training and validation clips, cached", f"{spent.embed.fit:,.1f} s"),
                ("of these the embeddings of test clips, cached", f"{spent.embed.predict:,.1f} s"),
                ("embeddings computed, UTC", spent.embed.computed.astimezone(UTC).strftime("%Y-%m-%d %H:%M")),
            ]
            if spent.embed
            else []
        ),
        *([("trained parameters", f"{trained:,}")] if trained else []),
        ("accelerator", environment.machine.accelerator),
        ("processor", environment.machine.processor),
        ("processor threads", str(environment.machine.threads)),
    ]
    return Table("Speed on the machine of this run", ("what", "figure"), rows)


def environment_table(environment: Environment) -> Table:
    """Versions, machine and checksums."""
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
