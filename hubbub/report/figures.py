"""The style of all plots: fonts, inks, axes, names; and how a figure is written.

Class names come from users: they are drawn as they are, never read as formulas.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hubbub.runtime import files
from hubbub.runtime.escape import escape_control, single_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["DPI", "EVEN", "FAINT", "FONT", "INK", "SMALL", "TINY", "colour_bar", "new_figure", "plain", "save",
           "set_title", "shortened"]  # fmt: skip

FAINT, INK = "0.75", "0.15"
FONT, SMALL, TINY, DPI = 9, 8, 7, 144
#: The shade of blue on which black and white have the same contrast, about 4.6 to 1.
EVEN = 0.72
#: Characters of a class name.
LONGEST_NAME = 28


def shortened(label: str) -> str:
    """A class's name on one line, cut where it is long."""
    label = single_line(escape_control(label))
    return label if len(label) <= LONGEST_NAME else label[: LONGEST_NAME - 1] + "…"


def plain(text: str) -> str:
    """A text for a legend that matplotlib neither reads as a formula nor leaves out."""
    return (" " if text.startswith("_") else "") + text.replace("$", r"\$")


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1, **layout: Any) -> tuple["Figure", Any]:
    """A figure of so many inches, and its axes."""
    # matplotlib's object interface has no global state: it works in any thread and without a display.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, **layout)
    for one in np.atleast_1d(axes).flat:
        _style(one)
    return figure, axes


def _style(axes: "Axes") -> None:
    axes.tick_params(labelsize=SMALL, colors=INK)
    for text in (axes.xaxis.label, axes.yaxis.label):
        text.set_fontsize(FONT)
        text.set_color(INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("0.6")


def set_title(axes: "Axes", text: str) -> None:
    """Set a title as it is, on one line."""
    axes.set_title(single_line(escape_control(text)), fontsize=FONT, color=INK, parse_math=False)


def colour_bar(axes: "Axes", colours: Any, label: str) -> None:
    """Draw the scale of an image beside its axes."""
    bar = axes.figure.colorbar(colours, ax=axes, label=label)
    _style(bar.ax)
    bar.outline.set_visible(False)


def save(figure: "Figure", path: Path) -> None:
    """Write a picture whole: SVG where the name ends so, else a PNG of 256 colours, which looks the same at a third of
    the size, and pages embed it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    if path.suffix.lower() == ".svg":
        with files.whole_file(path) as temporary:
            figure.savefig(temporary, format="svg", metadata={"Date": None})
        return
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawn = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    colours = drawn.quantize(256, method=Image.Quantize.MAXCOVERAGE)
    palette = np.reshape(colours.getpalette() or [], (-1, 3))
    palette[palette.min(axis=1) > 245] = 255  # the background stays white
    colours.putpalette(palette.ravel().tolist())
    with files.whole_file(path) as temporary:
        # Dithering keeps smooth maps smooth.
        drawn.quantize(palette=colours, dither=Image.Dither.FLOYDSTEINBERG).save(temporary)
