"""Pictures of a run and of a decision: confusion matrix, ROC, reliability, learning curves, maps.

One style, no global state, whole files. Colours are those of Okabe & Ito (https://jfly.uni-koeln.de/color/),
which colour-blind readers can tell apart, and maps of one hue or of even lightness. Class names are the user's: they
are shown as they are, never read as formulas.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hubbub.metrics import classification
from hubbub.metrics.classification import Calibration
from hubbub.runtime import files
from hubbub.runtime.escape import escape_control, single_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["DPI", "FEW", "confusion", "curves", "explained", "heatmap",
           "importance", "rates", "reliability", "roc", "search", "spectrogram"]  # fmt: skip

Scores = npt.NDArray[np.float32]
Targets = npt.NDArray[np.int64]
Places = npt.NDArray[np.float64]
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
#: Bright to dark, one after the other for any eye; what is weak stays near the paper.
HEAT = "plasma"
SHOWN_DB, SHOWN_ROWS = 70.0, 256
FAINT, INK = "0.75", "0.15"
FONT, SMALL, TINY, DPI = 9, 8, 7, 144
#: More classes than this are drawn in grey, but for the weakest.
FEW = 12
WEAKEST = 5
#: The shade of blue on which black and white stand out alike, about 4.6 to 1.
EVEN = 0.72
#: Inches a cell of a confusion matrix, characters of a class name.
CELL, LONGEST_NAME = 0.21, 28


def confusion(
    targets: Targets, scores: Scores, labels: tuple[str, ...], path: Path, *, normalised: bool = False
) -> None:
    """Confusion matrix of clips: rows are the truth, columns the decisions, counts or per cent of the row."""
    counts = classification.confusion(targets, scores)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shade = shares if normalised else counts / max(counts.max(), 1)
    names = [_short(label) for label in labels]
    side = CELL * len(labels) + 0.6 + 0.065 * max(map(len, names))
    figure, axes = _figure(side, side)
    axes.imshow(np.ma.masked_equal(shade, 0), cmap="Blues", vmin=0, vmax=1, zorder=1)
    axes.grid(color="0.92", lw=0.6, zorder=0)  # leads from a name to its cells
    axes.set_axisbelow(True)
    axes.set(xlabel="decided", ylabel="true", xticks=range(len(labels)), yticks=range(len(labels)))
    axes.set_xticklabels(names, rotation=90, parse_math=False)
    axes.set_yticklabels(names, parse_math=False)
    axes.tick_params(length=0)
    for row, column in zip(*np.nonzero(counts), strict=True):
        colour = "white" if shade[row, column] > EVEN else "black"
        said = f"{100 * shares[row, column]:.0f}" if normalised else str(counts[row, column])
        axes.text(column, row, said, ha="center", va="center", color=colour, fontsize=TINY)
    _save(figure, path)


def roc(targets: Targets, scores: Scores, labels: tuple[str, ...], path: Path) -> None:
    """ROC curve of each class against the rest and their mean; of many classes, the weakest in colour."""
    figure, axes = _figure(5, 5)
    areas = classification.per_class(targets, scores)["roc_auc"]
    known = [int(k) for k in np.argsort(areas) if np.isfinite(areas[k])]
    shown = set(known if len(known) <= FEW else known[:WEAKEST])
    for place, k in enumerate(known):
        false, true = classification.roc_curve(targets == k, scores[:, k])
        if k in shown:
            line = {"color": COLOURS[place % 6], "linestyle": "--" if place >= 6 else "-", "lw": 1.3, "zorder": 3}
            axes.plot(false, true, label=_plain(f"{_short(labels[k])} {areas[k]:.3f}"), **line)
        else:
            axes.plot(false, true, color=FAINT, lw=0.6)
    if known:
        macro = f"macro {np.nanmean(areas):.3f}"
        axes.plot(*classification.macro_roc_curve(targets, scores), color="black", lw=2.2, label=macro, zorder=4)
        title = "AUC of each class" if len(shown) == len(known) else f"AUC of the weakest {len(shown)} of {len(known)}"
        axes.legend(fontsize=SMALL, loc="lower right", frameon=False, title=title, title_fontsize=SMALL)
    axes.plot([0, 1], [0, 1], color="0.5", linestyle=":", lw=1)
    axes.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(-0.01, 1), ylim=(0, 1.01))
    _save(figure, path)


def reliability(levels: Mapping[str, Calibration], path: Path) -> None:
    """Reliability diagram: how often decisions of a confidence were right, and below how many there were."""
    figure, (above, below) = _figure(5, 5, rows=2, height_ratios=(4, 1), sharex=True)
    above.plot([0, 1], [0, 1], color="0.5", linestyle=":", lw=1, label="perfect calibration")
    for (level, found), colour, marker in zip(levels.items(), COLOURS, ("o", "s"), strict=False):
        some = found.count > 0
        share = found.count / found.count.sum()
        x, y = found.confidence[some], found.accuracy[some]
        above.plot(x, y, color=colour, lw=0.8, alpha=0.6)
        above.scatter(
            *(x, y, 10 + 300 * share[some]),
            color=colour,
            marker=marker,
            lw=0,
            label=f"{level}: error {found.error:.3f}",
        )
        edges = np.linspace(0, 1, len(share) + 1)
        below.stairs(share, edges, color=colour, lw=1.3, fill=False)
    above.set(ylabel="share that was right", xlim=(0, 1.01), ylim=(-0.02, 1.03))
    above.legend(fontsize=SMALL, loc="upper left", frameon=False)
    below.set(xlabel="confidence: the decided class's score", ylabel="share of all", ylim=(0, None))
    _save(figure, path)


def curves(histories: Sequence[pd.DataFrame], kept: Sequence[int], path: Path) -> None:
    """Losses and validation figures over the epochs; of several trainings thin lines, and their mean in bold.

    `kept` is the epoch that each training kept. The mean ends with the shortest training.
    """
    columns = list(histories[0].columns.drop("epoch"))
    losses = [column for column in columns if column.endswith("loss")]
    panels = {"cross-entropy": losses, "validation segments": [c for c in columns if c not in losses]}
    panels = {title: shown for title, shown in panels.items() if shown}
    figure, places = _figure(4 * len(panels), 3.2, columns=len(panels))
    colours = dict(zip(columns, COLOURS, strict=False))
    epochs = f"epoch {kept[0]}" if len(set(kept)) == 1 else f"epochs {min(kept)} to {max(kept)}"
    for axes, (title, shown) in zip(np.atleast_1d(places), panels.items(), strict=True):
        for column in shown:
            for history in histories if len(histories) > 1 else ():
                axes.plot(history["epoch"], history[column], color=colours[column], lw=0.7, alpha=0.45)
            mean = pd.concat([h.set_index("epoch")[column] for h in histories], axis=1).dropna().mean(axis=1)
            look = {"color": colours[column], "lw": 2, "marker": "." if len(mean) < 30 else None}
            axes.plot(mean.index, mean, label=column.replace("_", " "), **look)
        for epoch in set(kept):
            axes.axvline(epoch, color="0.5", linestyle=":", lw=1, label=f"kept: {epochs}" if epoch == kept[0] else None)
        axes.set_xlabel("epoch")
        _title(axes, title)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(fontsize=SMALL, frameon=False)
    _save(figure, path)


def search(values: Places, kept: npt.NDArray[np.bool_], smaller: bool, name: str, path: Path) -> None:
    """The value of each trial of a search, and the best so far; those not `kept` were stopped early, NaN failed."""
    figure, axes = _figure(6, 3.2)
    number = np.arange(len(values))
    best = (np.fmin if smaller else np.fmax).accumulate(np.where(kept, values, np.nan))
    axes.scatter(number[kept], values[kept], color=COLOURS[0], s=16, label="trial", zorder=3)
    early = ~kept & np.isfinite(values)
    axes.scatter(number[early], values[early], color=FAINT, s=16, marker="x", label="stopped early")
    axes.step(number, best, where="post", color=COLOURS[1], lw=1.3, label="best so far")
    axes.set(xlabel="trial", ylabel=name.replace("_", " "))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(fontsize=SMALL, frameon=False)
    _save(figure, path)


def importance(shares: Mapping[str, float], path: Path) -> None:
    """How much each searched setting decided, as bars; the shares sum to 1."""
    names = sorted(shares, key=lambda name: shares[name])
    figure, axes = _figure(6, 0.9 + 0.28 * len(names))
    bars = axes.barh(range(len(names)), [shares[name] for name in names], color=COLOURS[0])
    axes.bar_label(bars, fmt="{:.2f}", fontsize=SMALL, padding=2, color=INK)
    axes.set(xlabel="share of importance", yticks=range(len(names)))
    axes.set_yticklabels([_short(name) for name in names], parse_math=False)
    axes.margins(x=0.12)
    _save(figure, path)


def rates(table: pd.DataFrame, suggested: float | None, path: Path) -> None:
    """A learning-rate range test: columns `learning_rate`, `loss`, `smoothed`; a line where a rate is suggested."""
    figure, axes = _figure(6, 3.4)
    axes.plot(table["learning_rate"], table["loss"], color=FAINT, lw=0.8, label="loss of a step")
    axes.plot(table["learning_rate"], table["smoothed"], color=COLOURS[0], lw=1.8, label="smoothed")
    if suggested:
        axes.axvline(suggested, color=COLOURS[1], lw=1.3, linestyle="--", label=f"steepest: {suggested:.2g}")
    low, high = table["smoothed"].min(), table["smoothed"].iloc[0]
    margin = max(high - low, 1e-3)
    axes.set(xscale="log", xlabel="learning rate", ylabel="cross-entropy", ylim=(low - margin, high + margin))
    axes.legend(fontsize=SMALL, frameon=False, loc="lower left")
    _save(figure, path)


def spectrogram(decibels: Scores, times: Places, hz: Places, path: Path) -> None:
    """A spectrogram in decibels `[bins, frames]`, at `times` [s] and `hz`, as a small PNG."""
    figure, axes = _figure(4.5, 2.6)
    picture = _on_mels(axes, decibels, times, hz, cmap="magma", vmin=-SHOWN_DB, vmax=0)
    _bar(axes, picture, "dB")
    _save(figure, path)


def heatmap(decibels: Scores, heat: Scores, times: Places, hz: Places, path: Path, title: str = "") -> None:
    """A map from 0 to 1 `[bins, frames]` over its grey spectrogram, as a small PNG."""
    figure, axes = _figure(4.5, 2.6)
    _bar(axes, _heat(axes, decibels, heat, times, hz), "importance")
    _title(axes, title)
    _save(figure, path)


def explained(decibels: Scores, heat: Scores, times: Places, hz: Places, title: str, path: Path) -> None:
    """A spectrogram, and beside it the map that explains a decision, as a PNG."""
    figure, (left, right) = _figure(9, 3.2, columns=2)
    picture = _on_mels(left, decibels, times, hz, cmap="magma", vmin=-SHOWN_DB, vmax=0)
    _bar(left, picture, "dB")
    _bar(right, _heat(right, decibels, heat, times, hz), "importance")
    figure.suptitle(title, fontsize=FONT, color=INK, parse_math=False)
    _save(figure, path)


def _short(label: str) -> str:
    label = single_line(escape_control(label))
    return label if len(label) <= LONGEST_NAME else label[: LONGEST_NAME - 1] + "…"


def _plain(text: str) -> str:
    """A text for a legend, that matplotlib neither reads as a formula nor leaves out."""
    return (" " if text.startswith("_") else "") + text.replace("$", r"\$")


def picture(shown: Scores, path: Path, heat: Scores | None = None) -> None:
    """A spectrogram `[F, W]` or a picture in colours `[3, F, W]`, as a network is shown it, row 0 at the bottom; over
    it a map from 0 to 1 `[F, W]`. A small PNG."""
    figure, axes = _figure(4.5, 2.6)
    axes.set_axis_off()
    grey = shown.mean(axis=0) if shown.ndim == 3 and heat is not None else shown
    axes.imshow(grey if grey.ndim == 2 else grey.transpose(1, 2, 0), origin="lower", aspect="auto", cmap="gray")
    if heat is not None:
        axes.imshow(heat, origin="lower", aspect="auto", cmap=HEAT, vmin=0, vmax=1, alpha=0.85 * heat)
    _save(figure, path)


def _heat(axes: Any, decibels: Scores, heat: Scores, times: Places, hz: Places) -> Any:
    """Colours where the map is, the grey spectrogram where it is not."""
    from matplotlib.cm import ScalarMappable

    _on_mels(axes, decibels, times, hz, cmap="gray_r", vmin=-SHOWN_DB, vmax=0)
    # Drawn as strong as it is; the bar shows the colours alone.
    _on_mels(axes, heat, times, hz, cmap=HEAT, vmin=0, vmax=1, alpha=0.85 * heat)
    return ScalarMappable(cmap=HEAT)


def _on_mels(axes: Any, values: Scores, times: Places, hz: Places, **style: Any) -> Any:
    """An image whose height is even in mels (HTK's scale), so that low sounds can be seen; labelled in Hz."""
    mels = np.log1p(hz / 700)
    rows = np.interp(np.linspace(0, mels[-1], SHOWN_ROWS), mels, np.arange(len(hz))).round().astype(int)
    if "alpha" in style:
        style["alpha"] = style["alpha"][rows]
    half = (times[1] - times[0]) / 2 if len(times) > 1 else 0.01
    extent = (times[0] - half, times[-1] + half, 0, mels[-1])
    picture = axes.imshow(values[rows], origin="lower", aspect="auto", extent=extent, **style)
    ticks = [tick for tick in (0, 250, 500, 1000, 2000, 4000, 8000, 16000) if tick <= hz[-1]]
    axes.set(xlabel="seconds", ylabel="Hz", xlim=(extent[0], extent[1]))
    axes.set_yticks(np.log1p(np.array(ticks) / 700), labels=[str(tick) for tick in ticks])
    return picture


def _figure(width: float, height: float, rows: int = 1, columns: int = 1, **layout: Any) -> tuple["Figure", Any]:
    # The object interface: no global state, so it draws in any thread and without a display.
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


def _title(axes: "Axes", text: str) -> None:
    axes.set_title(single_line(escape_control(text)), fontsize=FONT, color=INK, parse_math=False)


def _bar(axes: "Axes", colours: Any, label: str) -> None:
    bar = axes.figure.colorbar(colours, ax=axes, label=label)
    _style(bar.ax)
    bar.outline.set_visible(False)


def _save(figure: "Figure", path: Path) -> None:
    """A PNG of 256 colours: the same to the eye at a third of the size, which the page carries inside it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawn = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    colours = drawn.quantize(256, method=Image.Quantize.MAXCOVERAGE)
    palette = np.reshape(colours.getpalette() or [], (-1, 3))
    palette[palette.min(axis=1) > 245] = 255  # the paper stays white
    colours.putpalette(palette.ravel().tolist())
    with files.whole_file(path) as temporary:
        # Dithered, so that a smooth map gets no steps.
        drawn.quantize(palette=colours, dither=Image.Dither.FLOYDSTEINBERG).save(temporary, optimize=True)
