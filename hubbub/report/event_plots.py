"""Plots of found events: true and found ones side by side in time, and the curves of PSDS."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hubbub.metrics.events import Event
from hubbub.metrics.psds import PSDS1
from hubbub.report.event_results import EventSummary
from hubbub.report.figures import FONT, INK, SMALL, new_figure, save, shortened
from hubbub.report.plots import COLOURS

__all__ = ["Lane", "lanes", "psds"]

#: Inches for each class of a recording, and of its width.
ROW, WIDTH = 0.24, 7.2
#: Colours of true and found events.
TRUE, FOUND = COLOURS[0], COLOURS[1]


@dataclass(frozen=True)
class Lane:
    """A recording with its true and found events, and its length [s] where that is known."""

    name: str
    true: Sequence[Event]
    found: Sequence[Event]
    seconds: float | None


def lanes(recordings: Sequence[Lane], labels: Sequence[str], path: Path) -> None:
    """A row for each recording, in it a lane for each class that occurs: true events above, found ones below."""
    shown = [
        [label for label in labels if any(event.label == label for event in (*one.true, *one.found))]
        for one in recordings
    ]
    heights = [0.75 + ROW * len(classes) for classes in shown]
    figure, axes = new_figure(
        WIDTH, 0.35 + sum(heights), len(recordings), 1, squeeze=False, gridspec_kw={"height_ratios": heights}
    )
    for one, classes, place in zip(recordings, shown, axes[:, 0], strict=True):
        for events, colour, low in ((one.true, TRUE, -0.37), (one.found, FOUND, 0.05)):
            for event in events:
                at = classes.index(event.label)
                place.broken_barh([(event.start, event.end - event.start)], (at + low, 0.32), color=colour, lw=0)
        place.set(ylim=(len(classes) - 0.5, -0.5), yticks=range(len(classes)))
        place.set_yticklabels([shortened(label) for label in classes], parse_math=False)
        place.set_title(shortened(one.name), fontsize=FONT, loc="left", color=INK, parse_math=False)
        ends = [event.end for event in (*one.true, *one.found)]
        place.set_xlim(0, one.seconds or max(ends))
        place.tick_params(axis="y", length=0)
    axes[-1, 0].set_xlabel("seconds")
    handles = [axes[0, 0].barh([0], [0], color=colour) for colour in (TRUE, FOUND)]
    figure.legend(handles, ("true", "found"), loc="outside upper right", ncols=2, fontsize=SMALL, frameon=False)
    save(figure, path)


def psds(summary: EventSummary, path: Path) -> None:
    """The curves of both PSDS: the effective share of hits over the effective rate of false alarms."""
    figure, axes = new_figure(4.6, 3.2)
    for score, name, colour in ((summary.psds1, "PSDS1", COLOURS[0]), (summary.psds2, "PSDS2", COLOURS[2])):
        if score is not None and score.rates:
            rates = np.append(score.rates, PSDS1.most_an_hour)
            hits = np.append(score.hits, score.hits[-1])
            axes.step(rates, hits, where="post", color=colour, label=f"{name} {score.value:.3f}")
    axes.set(xlim=(0, PSDS1.most_an_hour), ylim=(0, 1), xlabel="effective false alarms an hour", ylabel="share of hits")
    axes.legend(fontsize=SMALL, frameon=False, loc="lower right")
    save(figure, path)
