"""Curves of many classes to choose from on a page: SVG and checkboxes that CSS obeys, as a page runs no script."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hubbub.metrics import classification, multilabel
from hubbub.report import plots
from hubbub.report.predicted import Scores, Targets, against_rest

__all__ = ["ClassCurve", "CurveChoice", "precision_recall_choice", "roc_choice"]

#: Side of the plot in units of its SVG, in `templates/pieces.html`; points are whole units.
SIDE = 1000
DASHES = ("", "24 12", "4 12")
_Line = tuple[plots.Places, plots.Places]


@dataclass(frozen=True)
class ClassCurve:
    """One class's curve: `points` of an SVG polyline, y downwards; `shown` at first."""

    label: str
    area: float
    points: str
    colour: str
    dashes: str
    shown: bool


@dataclass(frozen=True)
class CurveChoice:
    """The curves of all classes that have one, the weakest first, and the mean of their areas; the mean curve (`macro`)
    of ROC curves."""

    curves: list[ClassCurve]
    macro: str
    area: float


def roc_choice(targets: Targets, scores: Scores, labels: tuple[str, ...]) -> CurveChoice | None:
    """The ROC curves to choose from, of which the weakest are shown at first; None where one plot shows all of them."""
    pairs = against_rest(targets, scores)
    areas = np.array([classification.auc(*pair) for pair in pairs])
    lines = {k: classification.roc_curve(*pair) for k, pair in enumerate(pairs) if np.isfinite(areas[k])}
    return _choice(areas, labels, lines.__getitem__, lambda: classification.mean_roc_curve(list(lines.values())))


def precision_recall_choice(targets: Targets, scores: Scores, labels: tuple[str, ...]) -> CurveChoice | None:
    """The precision-recall curves of label sets to choose from, as steps; None where one plot shows all of them."""
    present, known = targets > 0, targets >= 0
    curves = multilabel.precision_recall_curves(present, scores, known)
    return _choice(multilabel.average_precision(present, scores, known), labels, lambda k: plots.steps(curves[k]))


def _choice(
    areas: plots.Places,
    labels: tuple[str, ...],
    line: Callable[[int], _Line],
    mean: Callable[[], _Line] | None = None,
) -> CurveChoice | None:
    known = [int(k) for k in np.argsort(areas) if np.isfinite(areas[k])]
    if len(known) <= plots.FEW:
        return None
    curves = []
    for place, k in enumerate(known):
        colour = plots.COLOURS[place % len(plots.COLOURS)]
        dashes = DASHES[place // len(plots.COLOURS) % len(DASHES)]
        shown = place < plots.WEAKEST
        curves.append(ClassCurve(labels[k], float(areas[k]), _points(*line(k)), colour, dashes, shown))
    return CurveChoice(curves, _points(*mean()) if mean else "", float(np.nanmean(areas)))


def _points(x: plots.Places, y: plots.Places) -> str:
    """A curve as the points of a polyline, without those that repeat or lie on a straight line."""
    found: list[tuple[int, int]] = []
    for across, down in zip(np.rint(SIDE * x).astype(int), np.rint(SIDE * (1 - y)).astype(int), strict=True):
        point = int(across), int(down)
        if found and point == found[-1]:
            continue
        if len(found) > 1:
            (ax, ay), (bx, by) = found[-2:]
            # Between the two, so that a line which turns back keeps its end.
            onward = (bx - ax) * (point[0] - bx) + (by - ay) * (point[1] - by) >= 0
            if onward and (bx - ax) * (point[1] - by) == (by - ay) * (point[0] - bx):
                found.pop()
        found.append(point)
    return " ".join(f"{across},{down}" for across, down in found)
