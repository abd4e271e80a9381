"""Plots: confusion matrix, ROC, reliability, learning curves, spectrograms and saliency maps.

All plots have one style (`figures`). Colours are those of Okabe & Ito (https://jfly.uni-koeln.de/color/),
which colour-blind readers can tell apart; maps have one hue or even lightness. Class names come from users: they are
drawn as they are, never read as formulas.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hubbub.metrics import classification, multilabel
from hubbub.metrics.classification import Calibration
from hubbub.report.figures import (
    DPI,
    EVEN,
    FAINT,
    FONT,
    INK,
    SMALL,
    TINY,
    colour_bar,
    new_figure,
    plain,
    save,
    set_title,
    shortened,
)
from hubbub.report.predicted import Flags, Scores, Targets, against_rest

__all__ = ["DPI", "FEW", "confusion", "cooccurrence", "curves", "explained", "heatmap", "importance", "learning_curve",
           "network_input", "precision_recall", "rates", "reliability", "roc", "search", "spectrogram",
           "steps"]  # fmt: skip

Places = npt.NDArray[np.float64]
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
#: From bright to dark with even steps; weak values stay near white.
HEAT = "plasma"
SHOWN_DB, SHOWN_ROWS = 70.0, 256
#: With more classes than this, only the weakest are in colour.
FEW = 12
WEAKEST = 5
#: Names of learning curves that do not say enough.
CURVES = {"train_accuracy": "train accuracy, batches as trained on", "val_macro_map": "val macro mAP"}
#: Inches per cell of a confusion matrix.
CELL = 0.21


def confusion(
    targets: Targets, scores: Scores, labels: tuple[str, ...], path: Path, *, normalised: bool = False
) -> None:
    """Confusion matrix of clips: rows are true classes, columns decisions; counts, or per cent of the row."""
    counts = classification.confusion(targets, scores)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shade = shares if normalised else counts / max(counts.max(), 1)
    _matrix(100 * shares if normalised else counts, shade, labels, ("true", "decided"), path)


def cooccurrence(targets: Targets, labels: tuple[str, ...], path: Path, decided: Flags | None = None) -> None:
    """Which classes are together: of the clips that hold the class of the row, those that hold the class of the column
    or, with decisions `[N, K]`, those in which it is decided. The shade is the share of the row's clips."""
    present, known = targets > 0, targets >= 0
    if decided is None:
        counts, axes = multilabel.cooccurrence(present, known), ("present", "present too")
    else:
        counts, axes = multilabel.decided_with(present, decided, known), ("present", "decided")
    shade = counts / np.maximum(present.sum(axis=0), 1)[:, None]
    _matrix(counts, shade, labels, axes, path)


def _matrix(
    values: npt.NDArray[Any], shade: Places, labels: tuple[str, ...], axes_names: tuple[str, str], path: Path
) -> None:
    """A matrix of classes: whole numbers in cells of the given shade, from 0 to 1."""
    names = [shortened(label) for label in labels]
    side = CELL * len(labels) + 0.6 + 0.065 * max(map(len, names))
    figure, axes = new_figure(side, side)
    axes.imshow(np.ma.masked_equal(shade, 0), cmap="Blues", vmin=0, vmax=1, zorder=1)
    axes.grid(color="0.92", lw=0.6, zorder=0)  # leads the eye from a name to its cells
    axes.set_axisbelow(True)
    axes.set(xlabel=axes_names[1], ylabel=axes_names[0], xticks=range(len(labels)), yticks=range(len(labels)))
    axes.set_xticklabels(names, rotation=90, parse_math=False)
    axes.set_yticklabels(names, parse_math=False)
    axes.tick_params(length=0)
    for row, column in zip(*np.nonzero(values), strict=True):
        colour = "white" if shade[row, column] > EVEN else "black"
        text = f"{values[row, column]:.0f}"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=TINY, in_layout=False)
    save(figure, path)


def roc(targets: Targets, scores: Scores, labels: tuple[str, ...], path: Path) -> None:
    """ROC curve of each class against the rest, and their mean; with many classes, only the weakest in colour."""
    figure, axes = new_figure(5, 5)
    pairs = against_rest(targets, scores)
    areas = np.array([classification.auc(*pair) for pair in pairs])
    curves = {k: classification.roc_curve(*pairs[k]) for k in _weakest_first(areas)}
    title = _class_curves(axes, curves, areas, labels, "AUC")
    if curves:
        macro = f"macro {np.nanmean(areas):.3f}"
        mean = classification.mean_roc_curve([curves[k] for k in sorted(curves)])
        axes.plot(*mean, color="black", lw=2.2, label=macro, zorder=4)
        axes.legend(fontsize=SMALL, loc="lower right", frameon=False, title=title, title_fontsize=SMALL)
    axes.plot([0, 1], [0, 1], color="0.5", linestyle=":", lw=1)
    axes.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(-0.01, 1), ylim=(0, 1.01))
    save(figure, path)


def precision_recall(targets: Targets, scores: Scores, labels: tuple[str, ...], path: Path) -> None:
    """Precision against recall of each class of label sets `[N, K]`, as steps whose area is the average precision; with
    many classes, only the weakest in colour."""
    figure, axes = new_figure(5, 5)
    present, known = targets > 0, targets >= 0
    areas = multilabel.average_precision(present, scores, known)
    found = multilabel.precision_recall_curves(present, scores, known)
    curves = {k: steps(found[k]) for k in _weakest_first(areas)}
    title = _class_curves(axes, curves, areas, labels, "average precision")
    if curves:
        axes.legend(fontsize=SMALL, loc="best", frameon=False, title=title, title_fontsize=SMALL)
    axes.set(xlabel="recall", ylabel="precision", xlim=(-0.01, 1.01), ylim=(0, 1.02))
    save(figure, path)


def steps(curve: multilabel.Curve) -> tuple[Places, Places]:
    """Recall and precision of a curve as the corners of steps: each rise of recall has the precision that it ends
    with."""
    before = np.append(0.0, curve.recall[:-1])
    return np.stack([before, curve.recall], axis=1).ravel(), np.repeat(curve.precision, 2)


def _weakest_first(areas: Places) -> list[int]:
    """The numbers of the classes that have an area, the smallest first."""
    return [int(k) for k in np.argsort(areas) if np.isfinite(areas[k])]


def _class_curves(
    axes: Any, curves: Mapping[int, tuple[Places, Places]], areas: Places, labels: tuple[str, ...], name: str
) -> str:
    """Draws the classes' curves, of many only the weakest in colour; returns the title of their legend."""
    shown = list(curves) if len(curves) <= FEW else list(curves)[:WEAKEST]
    for place, (k, points) in enumerate(curves.items()):
        if k in shown:
            line = {"color": COLOURS[place % 6], "linestyle": "--" if place >= 6 else "-", "lw": 1.3, "zorder": 3}
            axes.plot(*points, label=plain(f"{shortened(labels[k])} {areas[k]:.3f}"), **line)
        else:
            axes.plot(*points, color=FAINT, lw=0.6)
    few = len(shown) == len(curves)
    return f"{name} of each class" if few else f"{name} of the weakest {len(shown)} of {len(curves)}"


def reliability(levels: Mapping[str, Calibration], path: Path, *, presence: bool = False) -> None:
    """Reliability diagram: accuracy at each confidence, and below it the share of decisions; with `presence`, the share
    of clips that hold a class at each score, and below it the share of scores."""
    figure, (above, below) = new_figure(5, 5, rows=2, height_ratios=(4, 1), sharex=True)
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
    above.set(ylabel="share that holds the class" if presence else "accuracy", xlim=(0, 1.01), ylim=(-0.02, 1.03))
    above.legend(fontsize=SMALL, loc="upper left", frameon=False)
    score = "score of a class" if presence else "confidence: the decided class's score"
    below.set(xlabel=score, ylabel="share", ylim=(0, None))
    save(figure, path)


def curves(histories: Sequence[pd.DataFrame], chosen: Sequence[int], path: Path) -> None:
    """Losses and figures of segments over the epochs; several trainings as thin lines, and their mean in bold.

    `chosen` is the epoch that each training chose. The mean ends with the shortest training. Columns that one training
    lacks, as those of earlier versions do, are left out.
    """
    columns = [c for c in histories[0].columns.drop("epoch") if all(c in history for history in histories)]
    losses = [column for column in columns if column.endswith("loss")]
    panels = {
        "loss" if "val_macro_map" in columns else "cross-entropy": losses,
        "segments": [c for c in columns if c not in losses],
    }
    panels = {title: shown for title, shown in panels.items() if shown}
    figure, places = new_figure(4 * len(panels), 3.2, columns=len(panels))
    colours = dict(zip(columns, COLOURS, strict=False))
    epochs = f"epoch {chosen[0]}" if len(set(chosen)) == 1 else f"epochs {min(chosen)} to {max(chosen)}"
    for axes, (title, shown) in zip(np.atleast_1d(places), panels.items(), strict=True):
        for column in shown:
            for history in histories if len(histories) > 1 else ():
                axes.plot(history["epoch"], history[column], color=colours[column], lw=0.7, alpha=0.45)
            mean = pd.concat([h.set_index("epoch")[column] for h in histories], axis=1).dropna().mean(axis=1)
            look = {"color": colours[column], "lw": 2, "marker": "." if len(mean) < 30 else None}
            axes.plot(mean.index, mean, label=CURVES.get(column, column.replace("_", " ")), **look)
        for epoch in set(chosen):
            label = f"chosen: {epochs}" if epoch == chosen[0] else None
            axes.axvline(epoch, color="0.5", linestyle=":", lw=1, label=label)
        axes.set_xlabel("epoch")
        set_title(axes, title)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(fontsize=SMALL, frameon=False)
    save(figure, path)


def learning_curve(curve: pd.DataFrame, path: Path) -> None:
    """Validation accuracy against the number of training recordings: each fold as a thin line, and their mean."""
    figure, axes = new_figure(5, 3.2)
    folds = [rows for _, rows in curve.groupby("fold", sort=False)]
    for rows in folds if len(folds) > 1 else ():
        axes.plot(rows["recordings"], rows["clip_accuracy"], color=FAINT, lw=1)
    if len({len(rows) for rows in folds}) == 1:
        columns = ("recordings", "clip_accuracy")
        sizes, accuracy = (np.mean([rows[column].to_numpy() for rows in folds], axis=0) for column in columns)
        axes.plot(sizes, accuracy, color=COLOURS[0], lw=2, marker="o", label="mean" if len(folds) > 1 else None)
        axes.set_xscale("log", base=2)
        axes.set_xticks(sizes, labels=[f"{size:,.0f}" for size in sizes])
        axes.minorticks_off()
    axes.set(xlabel="training recordings", ylabel="validation accuracy")
    save(figure, path)


def search(values: Places, complete: npt.NDArray[np.bool_], smaller: bool, name: str, path: Path) -> None:
    """The value of each trial, and the best so far. Trials not `complete` were stopped early; NaN failed."""
    figure, axes = new_figure(6, 3.2)
    number = np.arange(len(values))
    best = (np.fmin if smaller else np.fmax).accumulate(np.where(complete, values, np.nan))
    axes.scatter(number[complete], values[complete], color=COLOURS[0], s=16, label="trial", zorder=3)
    early = ~complete & np.isfinite(values)
    axes.scatter(number[early], values[early], color=FAINT, s=16, marker="x", label="stopped early")
    axes.step(number, best, where="post", color=COLOURS[1], lw=1.3, label="best so far")
    axes.set(xlabel="trial", ylabel=name.replace("_", " "))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(fontsize=SMALL, frameon=False)
    save(figure, path)


def importance(shares: Mapping[str, float], path: Path) -> None:
    """The importance of each searched setting as bars; the shares sum to 1."""
    names = sorted(shares, key=lambda name: shares[name])
    figure, axes = new_figure(6, 0.9 + 0.28 * len(names))
    bars = axes.barh(range(len(names)), [shares[name] for name in names], color=COLOURS[0])
    axes.bar_label(bars, fmt="{:.2f}", fontsize=SMALL, padding=2, color=INK)
    axes.set(xlabel="share of importance", yticks=range(len(names)))
    axes.set_yticklabels([shortened(name) for name in names], parse_math=False)
    axes.margins(x=0.12)
    save(figure, path)


def rates(table: pd.DataFrame, suggested: float | None, path: Path) -> None:
    """A learning-rate range test: columns `learning_rate`, `loss`, `smoothed`; a line at the suggested rate."""
    figure, axes = new_figure(6, 3.4)
    axes.plot(table["learning_rate"], table["loss"], color=FAINT, lw=0.8, label="loss of a step")
    axes.plot(table["learning_rate"], table["smoothed"], color=COLOURS[0], lw=1.8, label="smoothed")
    if suggested:
        axes.axvline(suggested, color=COLOURS[1], lw=1.3, linestyle="--", label=f"steepest: {suggested:.2g}")
    low, high = table["smoothed"].min(), table["smoothed"].iloc[0]
    margin = max(high - low, 1e-3)
    axes.set(xscale="log", xlabel="learning rate", ylabel="cross-entropy", ylim=(low - margin, high + margin))
    axes.legend(fontsize=SMALL, frameon=False, loc="lower left")
    save(figure, path)


def spectrogram(decibels: Scores, times: Places, hz: Places, path: Path) -> None:
    """A spectrogram in decibels `[bins, frames]`, at `times` [s] and `hz`, as a small PNG."""
    figure, axes = new_figure(4.5, 2.6)
    image = _on_mels(axes, decibels, times, hz, cmap="magma", vmin=-SHOWN_DB, vmax=0)
    colour_bar(axes, image, "dB")
    save(figure, path)


def heatmap(decibels: Scores, heat: Scores, times: Places, hz: Places, path: Path, title: str = "") -> None:
    """A saliency map from 0 to 1 `[bins, frames]` over its grey spectrogram, as a small PNG."""
    figure, axes = new_figure(4.5, 2.6)
    colour_bar(axes, _heat(axes, decibels, heat, times, hz), "importance")
    set_title(axes, title)
    save(figure, path)


def explained(decibels: Scores, heat: Scores, times: Places, hz: Places, title: str, path: Path) -> None:
    """A spectrogram, and beside it the saliency map of a decision, as a PNG."""
    figure, (left, right) = new_figure(9, 3.2, columns=2)
    image = _on_mels(left, decibels, times, hz, cmap="magma", vmin=-SHOWN_DB, vmax=0)
    colour_bar(left, image, "dB")
    colour_bar(right, _heat(right, decibels, heat, times, hz), "importance")
    figure.suptitle(title, fontsize=FONT, color=INK, parse_math=False)
    save(figure, path)


def network_input(shown: Scores, path: Path, heat: Scores | None = None) -> None:
    """A spectrogram `[F, W]` or an image `[3, F, W]` as a network takes it, row 0 at the bottom, as a small PNG.

    `heat` is a saliency map from 0 to 1 `[F, W]` over it.
    """
    figure, axes = new_figure(4.5, 2.6)
    axes.set_axis_off()
    grey = shown.mean(axis=0) if shown.ndim == 3 and heat is not None else shown
    axes.imshow(grey if grey.ndim == 2 else grey.transpose(1, 2, 0), origin="lower", aspect="auto", cmap="gray")
    if heat is not None:
        axes.imshow(heat, origin="lower", aspect="auto", cmap=HEAT, vmin=0, vmax=1, alpha=0.85 * heat)
    save(figure, path)


def _heat(axes: Any, decibels: Scores, heat: Scores, times: Places, hz: Places) -> Any:
    """The saliency map in colours over the grey spectrogram."""
    from matplotlib.cm import ScalarMappable

    _on_mels(axes, decibels, times, hz, cmap="gray_r", vmin=-SHOWN_DB, vmax=0)
    # Opacity follows the map; the colour bar has none.
    _on_mels(axes, heat, times, hz, cmap=HEAT, vmin=0, vmax=1, alpha=0.85 * heat)
    return ScalarMappable(cmap=HEAT)


def _on_mels(axes: Any, values: Scores, times: Places, hz: Places, **style: Any) -> Any:
    """An image with a mel axis (HTK's scale), so that low frequencies can be seen; labelled in Hz."""
    mels = np.log1p(hz / 700)
    rows = np.interp(np.linspace(0, mels[-1], SHOWN_ROWS), mels, np.arange(len(hz))).round().astype(int)
    if "alpha" in style:
        style["alpha"] = style["alpha"][rows]
    half = (times[1] - times[0]) / 2 if len(times) > 1 else 0.01
    extent = (times[0] - half, times[-1] + half, 0, mels[-1])
    image = axes.imshow(values[rows], origin="lower", aspect="auto", extent=extent, **style)
    ticks = [tick for tick in (0, 250, 500, 1000, 2000, 4000, 8000, 16000) if tick <= hz[-1]]
    axes.set(xlabel="seconds", ylabel="Hz", xlim=(extent[0], extent[1]))
    axes.set_yticks(np.log1p(np.array(ticks) / 700), labels=[str(tick) for tick in ticks])
    return image
