"""ROC curves of many classes to choose from on a page: SVG and checkboxes that CSS obeys, as a page runs no script."""

from dataclasses import dataclass

import numpy as np

from hubbub.metrics import classification
from hubbub.report import plots
from hubbub.report.summary import Scores, Targets

__all__ = ["RocChoice", "RocCurve", "roc_choice"]

#: Side of the plot in units of its SVG, in `templates/pieces.html`; points are whole units.
SIDE = 1000
DASHES = ("", "24 12", "4 12")


@dataclass(frozen=True)
class RocCurve:
    """One class's curve: `points` of an SVG polyline, y downwards; `shown` at first."""

    label: str
    area: float
    points: str
    colour: str
    dashes: str
    shown: bool


@dataclass(frozen=True)
class RocChoice:
    """The curves of all classes that have one, the weakest first; their mean (`macro`), and its area."""

    curves: list[RocCurve]
    macro: str
    area: float


def roc_choice(targets: Targets, scores: Scores, labels: tuple[str, ...]) -> RocChoice | None:
    """The ROC curves to choose from, of which the weakest are shown at first; None where one plot shows all of them."""
    areas = classification.per_class(targets, scores)["roc_auc"]
    known = [int(k) for k in np.argsort(areas) if np.isfinite(areas[k])]
    if len(known) <= plots.FEW:
        return None
    curves = []
    for place, k in enumerate(known):
        colour = plots.COLOURS[place % len(plots.COLOURS)]
        dashes = DASHES[place // len(plots.COLOURS) % len(DASHES)]
        points = _points(*classification.roc_curve(targets == k, scores[:, k]))
        curves.append(RocCurve(labels[k], float(areas[k]), points, colour, dashes, place < plots.WEAKEST))
    macro = _points(*classification.macro_roc_curve(targets, scores))
    return RocChoice(curves, macro, float(np.nanmean(areas)))


def _points(false: plots.Places, true: plots.Places) -> str:
    """A curve as the points of a polyline, without those that repeat or lie on a straight line."""
    found: list[tuple[int, int]] = []
    for x, y in zip(np.rint(SIDE * false).astype(int), np.rint(SIDE * (1 - true)).astype(int), strict=True):
        point = int(x), int(y)
        if found and point == found[-1]:
            continue
        if len(found) > 1:
            (ax, ay), (bx, by) = found[-2:]
            if (bx - ax) * (point[1] - by) == (by - ay) * (point[0] - bx):
                found.pop()
        found.append(point)
    return " ".join(f"{x},{y}" for x, y in found)
