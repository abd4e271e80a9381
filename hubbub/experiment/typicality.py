"""Typicality in a run: what open-set rejection by distance or by outliers needs of embeddings, and the refusal of runs
that cannot have it."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hubbub.audio import waves, windows
from hubbub.classifier.calibration import DISTANCE, OUTLIERS, pool_familiarity
from hubbub.classifier.known_outliers import KnownOutliers
from hubbub.classifier.pooling import pool_embeddings
from hubbub.classifier.typicality import Typicality, TypicalityError, refuse_few
from hubbub.data import cache
from hubbub.data.cache import Segments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hubbub.classifier.torch_classifier import TorchClassifier
    from hubbub.config.recipe import Recipe
    from hubbub.data.splits import Split
    from hubbub.experiment.prepare import Prepared

__all__ = ["fit_typicality", "part_typicality", "refuse_few_clips", "refuse_pictures"]

Rows = npt.NDArray[np.intp]
Typical = npt.NDArray[np.float64]
Array = npt.NDArray[np.float32]
#: Made sounds that are outliers of every classifier, and how many of them are made at once.
MADE, AT_ONCE = 1024, 32


def refuse_few_clips(recipe: "Recipe", splits: "Sequence[Split]", targets: npt.NDArray[np.int64]) -> None:
    """Raises `TypicalityError` where open-set rejection is by distance and a training part has too few clips for it."""
    for split in splits if recipe.evaluate.unknown == DISTANCE else ():
        refuse_few(len(split.train), len(np.unique(targets[split.train])))


def refuse_pictures(model: "TorchClassifier") -> None:
    """Raises `TypicalityError` where open-set rejection is by outliers, which are sounds, and the model takes none."""
    if model.recipe.evaluate.unknown == OUTLIERS and not model.takes_sound:
        raise TypicalityError(
            "evaluate.unknown = 'outliers' makes sounds of none of the classes, and this network takes spectrograms or "
            "images. Set evaluate.unknown to 'max_prob'."
        )


def fit_typicality(prepared: "Prepared", model: "TorchClassifier", rows: Rows) -> None:
    """Gives a classifier what open-set rejection needs, by embeddings in the first view: the typicality of its training
    clips `rows`, or what tells them from outliers."""
    if prepared.embedded is not None:
        part = prepared.embedded.of(rows)
        values = part.values[:, : part.values.shape[1] // len(model.views)]
    else:
        part = cache.outputs(prepared.sound, _FirstView(model), rows, "embedding")
        values = part.values
    if prepared.recipe.evaluate.unknown == OUTLIERS:
        groups = [(made := _made(model), made[:0])]
        if prepared.teacher and (heard := prepared.teacher.heard):
            taken = cache.outputs(
                heard.sounds, _FirstView(model), np.append(heard.outliers, heard.others), "known outliers"
            )
            means = pool_embeddings(taken.values, taken.offsets[:-1], "mean")
            groups.append((means[: len(heard.outliers)], means[len(heard.outliers) :]))
        model.typicality = KnownOutliers.fit(pool_embeddings(values, part.offsets[:-1], "mean"), groups)
        return
    compress = model.recipe.head.compress
    model.typicality = Typicality.fit(values, part.offsets[:-1], prepared.targets[rows], compress=compress)


def _made(model: "TorchClassifier") -> Array:
    """Embeddings `[S, D]` of the made sounds."""
    from hubbub.augment.outliers import outlier_wave  # imports torch

    length, rate, embedder, found = model.recipe.windows.length, model.rate_hz, _FirstView(model), []
    for first in range(0, MADE, AT_ONCE):
        cuts = [model.cut(outlier_wave(number, length, rate)) for number in range(first, first + AT_ONCE)]
        found.append(embedder.outputs(np.concatenate(cuts)))
    return np.concatenate(found)


def part_typicality(
    prepared: "Prepared", model: "TorchClassifier", rows: Rows, segments: Segments
) -> tuple[Typical, Typical] | None:
    """The typicality of the clips `rows`, whose outputs are `segments`: that of each segment `[S]`, NaN for digital
    silence, and the mean of each clip `[C]`; None for a classifier without."""
    each = model.segment_typicality(segments.values)
    if each is None:
        return None
    silent = [waves.is_silent(prepared.sound.cut(int(row), model)) for row in rows]
    each = np.where(np.concatenate(silent), np.nan, each)
    of_clips = pool_familiarity(each, segments.offsets[:-1], DISTANCE)
    return each, np.where(np.isfinite(of_clips), of_clips, np.nan)


class _FirstView:
    """A classifier whose outputs are embeddings of segments in its first view."""

    def __init__(self, model: "TorchClassifier") -> None:
        self._model = model
        self.cut, self.spans, self.fingerprint = model.cut, model.spans, model.fingerprint

    def outputs(self, segments: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        model = self._model
        batches = (segments[at : at + model.batch] for at in range(0, len(segments), model.batch))
        return np.concatenate([model.segment_embeddings(windows.view_of(one, *model.views[0])) for one in batches])
