"""The page of scored events, one self-contained HTML file, and the tables that the command line prints.

The template is `templates/events.html`. This module computes no figures.
"""

from collections.abc import Sequence
from pathlib import Path

from hubbub.errors import count
from hubbub.report import event_plots
from hubbub.report.event_plots import Lane
from hubbub.report.event_results import DEFINITIONS, ClassEvents, Definition, EventFigure, EventSummary
from hubbub.report.page import Plot, embedded_plot, render, split_tag
from hubbub.report.tables import Table
from hubbub.runtime import files

__all__ = [
    "PAGE",
    "SCORES",
    "Lane",
    "class_table",
    "describe_events",
    "figure_table",
    "psds_in_words",
    "write_event_page",
]

SCORES, PAGE = "event_scores.json", "report.html"
#: What a hit is.
NAMES: dict[Definition, str] = {
    "segment": "seconds",
    "onset": "onsets, 200 ms",
    "collar": "onsets and ends",
    "intersection": "halves covered",
}


def write_event_page(folder: Path, summary: EventSummary, worst: Sequence[Lane]) -> Path:
    """Writes the figures, the plots and the page into a folder, and returns the page's path."""
    files.write_json(folder / SCORES, summary.as_json())
    facts = {
        "title": summary.title,
        "summary": summary,
        "warnings": [split_tag(line) for line in summary.notes],
        "headline": f"{summary.collar.f1.value:.3f}",
        "interval": _interval(summary.collar.f1),
        "figures": figure_table(summary),
        "classes": class_table(summary),
        "psds": psds_in_words(summary),
        "lanes": _lanes(folder, summary, worst),
        "curves": _curves(folder, summary),
    }
    files.write_text(folder / PAGE, render("events.html", facts))
    return folder / PAGE


def describe_events(summary: EventSummary) -> str:
    """`events: F1 .812 in seconds, .614 by onsets (200 ms), .503 by onsets and ends, PSDS1 .351`."""
    psds = f", PSDS1 {summary.psds1.value:.3f}" if summary.psds1 else ""
    return (
        f"events: F1 {summary.segment.f1.value:.3f} in seconds, {summary.onset.f1.value:.3f} by onsets (200 ms), "
        f"{summary.collar.f1.value:.3f} by onsets and ends{psds}"
    )


def figure_table(summary: EventSummary) -> Table:
    """One row a definition of a hit: F1 of all events and the mean of classes, precision, recall, false alarms."""
    rows = []
    for name in DEFINITIONS:
        it = summary.by(name)
        rate = "-" if it.false_an_hour is None else f"{it.false_an_hour.value:,.1f}"
        figures = (f"{it.macro_f1.value:.3f}", f"{it.precision.value:.3f}", f"{it.recall.value:.3f}", rate)
        rows.append((NAMES[name], f"{it.f1.value:.3f}", _interval(it.f1), *figures))
    heads = ("counted in", "F1", "95 %", "mean of classes", "precision", "recall", "false an hour")
    at = "" if summary.threshold is None else f"; found where the score reaches {summary.threshold:g}"
    return Table(f"All recordings together{at}", heads, rows)


def class_table(summary: EventSummary) -> Table:
    """One row a class, the weakest by onsets and ends first."""
    by_class = [dict(zip(DEFINITIONS, found, strict=True)) for found in _by_class(summary)]
    rows = []
    for it in sorted(by_class, key=lambda found: found["collar"].f1):
        own = it["collar"]
        texts = [f"{it[name].f1:.3f}" for name in DEFINITIONS]
        if summary.threshold is not None:
            best, at = own.best_f1, own.best_threshold
            texts += ["-" if best is None else f"{best:.3f}", "-" if at is None else f"{at:.3f}"]
        counts = (own.hits + own.missed, own.hits, own.missed, own.false)
        rows.append((own.label, *(f"{number:,}" for number in counts), *texts))
    heads = ("class", "events", "hits", "missed", "false", *(f"F1, {NAMES[name]}" for name in DEFINITIONS))
    if summary.threshold is not None:
        heads = (*heads, f"best F1, {NAMES['collar']}", "at score")
    return Table("The weakest first; counts are by onsets and ends", heads, rows)


def psds_in_words(summary: EventSummary) -> str:
    """Both PSDS with their intervals; "" for events that were decided already."""
    parts = []
    for name, score in (("PSDS1", summary.psds1), ("PSDS2", summary.psds2)):
        if score is not None:
            interval = _interval(score)
            parts.append(f"{name} {score.value:.3f}" + (f" (95 % {interval})" if interval != "-" else ""))
    return ", ".join(parts)


def _by_class(summary: EventSummary) -> Sequence[tuple[ClassEvents, ...]]:
    """The counts of each class by every definition."""
    return list(zip(*(summary.by(name).classes for name in DEFINITIONS), strict=True))


def _interval(figure: EventFigure) -> str:
    return "-" if figure.ci95 is None else f"{figure.ci95[0]:.3f} to {figure.ci95[1]:.3f}"


def _lanes(folder: Path, summary: EventSummary, worst: Sequence[Lane]) -> Plot | None:
    if not worst:
        return None
    event_plots.lanes(worst, summary.labels, folder / "events.png")
    names = ", ".join(one.name for one in worst)
    return embedded_plot(
        folder / "events.png",
        f"True and found events in {count(len(worst), 'recording')} with most mistakes: {names}. The table has counts.",
    )


def _curves(folder: Path, summary: EventSummary) -> Plot | None:
    if summary.psds1 is None:
        return None
    event_plots.psds(summary, folder / "psds.png")
    return embedded_plot(folder / "psds.png", f"Share of hits over false alarms an hour: {psds_in_words(summary)}.")
