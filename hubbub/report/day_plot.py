"""The picture of a day: which classes occur at which hour of the clock."""

from datetime import timedelta
from pathlib import Path

import numpy as np

from hubbub.errors import count
from hubbub.inference.day_overview import DayOverview
from hubbub.report.figures import EVEN, FAINT, FONT, INK, TINY, new_figure, save, shortened

__all__ = ["plot_day"]

#: The most classes that are drawn.
MOST = 40
#: Inches: width and height of a cell, the bars of what was listened to, the space around them.
CELL, BARS, MARGINS = (0.34, 0.24), 0.6, (0.5, 1.2)
#: Smaller numbers would round to 0.
_LEAST = 0.05


def plot_day(day: DayOverview, path: Path) -> None:
    """Draw classes as rows and hours of the clock as columns, the colour being minutes of events an hour of listening.

    Below it stands how much sound there is of each hour; hours without any are hatched. A name in `.svg` gives an SVG,
    any other a PNG.
    """
    from matplotlib.colors import PowerNorm

    rates, labels = day.minutes_an_hour[:MOST], day.labels[:MOST]
    names = [shortened(label) for label in labels] or ["no events"]
    if not labels:
        rates = np.where(day.listened_s > 0, 0.0, np.nan)[None]
    height = CELL[1] * len(names)
    width = CELL[0] * rates.shape[1] + MARGINS[0] + 0.065 * max(map(len, names))
    figure, (above, below) = new_figure(
        width, height + BARS + MARGINS[1], rows=2, height_ratios=(height, BARS), sharex=True
    )
    # The root of the rate, so that rare classes can be seen beside frequent ones.
    scale = PowerNorm(0.5, vmin=0, vmax=max(float(np.nanmax(rates)), _LEAST))
    shown = np.ma.masked_where(~(rates > 0), rates)
    above.imshow(shown, cmap="Blues", norm=scale, aspect="auto", zorder=1)
    for row, column in zip(*np.nonzero(~np.ma.getmaskarray(shown)), strict=True):
        rate = float(rates[row, column])
        colour = "white" if scale(rate) > EVEN else "black"
        above.text(column, row, _number(rate), ha="center", va="center", color=colour, fontsize=TINY, in_layout=False)
    for hour in np.flatnonzero(day.listened_s == 0):
        for axes in (above, below):
            axes.axvspan(hour - 0.5, hour + 0.5, facecolor="0.93", edgecolor=FAINT, hatch="////", lw=0, zorder=0.5)
    above.set_yticks(range(len(names)))
    above.set_yticklabels(names, parse_math=False)
    above.set_yticks(np.arange(-0.5, len(names)), minor=True)
    above.grid(which="minor", axis="y", color="0.9", lw=0.6, zorder=0)
    above.tick_params(which="both", length=0)
    unit, seconds = ("hours", 3_600) if day.listened_s.max() >= 3_600 else ("minutes", 60)
    bars = below.bar(range(len(day.listened_s)), day.listened_s, width=0.8, color="0.6", zorder=2)
    texts = [_number(one / seconds) if one else "" for one in day.listened_s]
    below.bar_label(bars, texts, fontsize=TINY, padding=1, color=INK)
    below.margins(y=0.3)
    zones = ", ".join("zone not known" if zone is None else _zone(zone) for zone in day.zones)
    below.set(xlabel=f"hour of the clock ({zones})", ylabel=f"{unit}\nlistened", yticks=[], xlim=(-0.5, 23.5))
    below.set_xticks(range(24))
    above.set_title(_title(day), fontsize=FONT, color=INK)
    save(figure, path)


def _number(value: float) -> str:
    return "<0.1" if value < _LEAST else f"{value:.1f}" if value < 9.95 else f"{value:.0f}"


def _zone(zone: timedelta) -> str:
    minutes = abs(zone) // timedelta(minutes=1)
    if not minutes:
        return "UTC"
    return f"UTC{'-' if zone < timedelta(0) else '+'}{minutes // 60}{f':{minutes % 60:02d}' if minutes % 60 else ''}"


def _title(day: DayOverview) -> str:
    days = f"{day.first}" if day.first == day.last else f"{day.first} to {day.last}"
    recordings = f"{count(day.dated, 'recording')} with a known time, {day.undated} without"
    classes = f"; {MOST} classes of {len(day.labels)}" if len(day.labels) > MOST else ""
    return f"{days}: {recordings}{classes}\nminutes of events in an hour of listening; hatched: nothing was recorded"
