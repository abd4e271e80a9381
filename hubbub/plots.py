"""Pictures of a run: confusion matrix, ROC, learning curves. One style, no global state, whole files."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hubbub import files, metrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["confusion", "curves", "explained", "heatmap", "roc", "spectrogram"]

Scores = npt.NDArray[np.float32]
Targets = npt.NDArray[np.int64]
Places = npt.NDArray[np.float64]
# Okabe & Ito's palette: tells apart for colour-blind readers.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
#: Bright to dark, one after the other for any eye; what is weak stays near the paper.
HEAT = "plasma"
SHOWN_DB, SHOWN_ROWS = 70.0, 256


def confusion(targets: Targets, scores: Scores, labels: tuple[str, ...], path: Path | io.BytesIO) -> None:
    """Confusion matrix of clips as a PNG: rows are the truth, shaded by the share of the row."""
    counts = metrics.confusion(targets, scores)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = max(4.0, 0.32 * len(labels) + 2)
    figure, axes = _figure(size + 0.6, size)
    picture = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="decided", ylabel="true", xticks=range(len(labels)), yticks=range(len(labels)))
    axes.set_xticklabels(labels, rotation=90)
    axes.set_yticklabels(labels)
    for row, column in zip(*np.nonzero(counts), strict=True):
        colour = "white" if share[row, column] > 0.5 else "black"
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour, fontsize=7)
    figure.colorbar(picture, ax=axes, label="share of the true class", fraction=0.046)
    _save(figure, path)


def roc(targets: Targets, scores: Scores, labels: tuple[str, ...], path: Path | io.BytesIO) -> None:
    """ROC curve of each class against the rest, AUC beside its name where there are few enough to read."""
    figure, axes = _figure(5.5, 5)
    areas = metrics.per_class(targets, scores)["roc_auc"]
    few = len(labels) <= 12
    for k, label in enumerate(labels):
        if np.isfinite(areas[k]):
            false, true = metrics.roc_curve(targets == k, scores[:, k])
            style = (
                {"color": COLOURS[k % 7], "linestyle": "-" if k < 7 else "--", "lw": 1.2} if few else {"color": "0.7"}
            )
            axes.plot(false, true, label=f"{label} {areas[k]:.3f}" if few else None, **style)
    axes.plot([0, 1], [0, 1], color="0.5", linestyle=":", lw=1)
    axes.set(xlabel="false positive rate", ylabel="true positive rate", title=f"macro AUC {np.nanmean(areas):.3f}")
    if few:
        axes.legend(fontsize=7, loc="lower right")
    _save(figure, path)


def curves(history: pd.DataFrame, best_epoch: int, path: Path | io.BytesIO) -> None:
    """Loss and validation figures over the epochs as a PNG, the kept epoch marked."""
    figure, axes = _figure(8, 3.2, columns=2)
    for column in history.columns.drop("epoch"):
        where = axes[0] if column.endswith("loss") else axes[1]
        where.plot(history["epoch"], history[column], label=column.replace("_", " "), marker=".")
    for where, name in zip(axes, ("cross-entropy", "validation segments"), strict=True):
        where.axvline(best_epoch, color="0.5", linestyle=":", label=f"kept: epoch {best_epoch}")
        where.set(xlabel="epoch", title=name)
        where.legend(fontsize=8)
    _save(figure, path)


def _figure(width: float, height: float, columns: int = 1) -> tuple["Figure", Any]:
    # The object interface: no global state, so it draws in any thread and without a display.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(1, columns)


def _save(figure: "Figure", path: Path | io.BytesIO) -> None:
    if isinstance(path, io.BytesIO):
        figure.savefig(path, dpi=110, format="png")
        return
    with files.whole_file(path) as temporary:
        figure.savefig(temporary, dpi=110)


def spectrogram(decibels: Scores, times: Places, hz: Places, path: Path | io.BytesIO) -> None:
    """A spectrogram in decibels `[bins, frames]`, at `times` [s] and `hz`, as a small PNG."""
    figure, axes = _figure(4.5, 2.6)
    picture = _on_mels(axes, decibels, times, hz, cmap="magma", vmin=-SHOWN_DB, vmax=0)
    figure.colorbar(picture, ax=axes, label="dB")
    _save(figure, path)


def heatmap(
    decibels: Scores, heat: Scores, times: Places, hz: Places, path: Path | io.BytesIO, title: str = ""
) -> None:
    """A map from 0 to 1 `[bins, frames]` over its grey spectrogram, as a small PNG."""
    figure, axes = _figure(4.5, 2.6)
    figure.colorbar(_heat(axes, decibels, heat, times, hz), ax=axes, label="importance")
    axes.set_title(title, fontsize=10)
    _save(figure, path)


def explained(decibels: Scores, heat: Scores, times: Places, hz: Places, title: str, path: Path | io.BytesIO) -> None:
    """A spectrogram, and beside it the map that explains a decision, as a PNG."""
    figure, (left, right) = _figure(9, 3.2, columns=2)
    picture = _on_mels(left, decibels, times, hz, cmap="magma", vmin=-SHOWN_DB, vmax=0)
    figure.colorbar(picture, ax=left, label="dB")
    figure.colorbar(_heat(right, decibels, heat, times, hz), ax=right, label="importance")
    figure.suptitle(title, fontsize=10)
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
