"""Typicality in a run: what open-set rejection by distance needs of the training clips, and the refusal of runs that
cannot have it."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hubbub.audio import waves, windows
from hubbub.classifier.calibration import DISTANCE, pool_familiarity
from hubbub.classifier.typicality import Typicality, refuse_few
from hubbub.data import cache
from hubbub.data.cache import Segments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hubbub.classifier.torch_classifier import TorchClassifier
    from hubbub.config.recipe import Recipe
    from hubbub.data.splits import Split
    from hubbub.experiment.prepare import Prepared

__all__ = ["fit_typicality", "part_typicality", "refuse_few_clips"]

Rows = npt.NDArray[np.intp]
Typical = npt.NDArray[np.float64]


def refuse_few_clips(recipe: "Recipe", splits: "Sequence[Split]", targets: npt.NDArray[np.int64]) -> None:
    """Raises `TypicalityError` where open-set rejection is by distance and a training part has too few clips for it."""
    for split in splits if recipe.evaluate.unknown == DISTANCE else ():
        refuse_few(len(split.train), len(np.unique(targets[split.train])))


def fit_typicality(prepared: "Prepared", model: "TorchClassifier", rows: Rows) -> None:
    """Gives a classifier the typicality of its training clips `rows`, by their embeddings in the first view."""
    if prepared.embedded is not None:
        part = prepared.embedded.of(rows)
        values = part.values[:, : part.values.shape[1] // len(model.views)]
    else:
        part = cache.outputs(prepared.sound, _FirstView(model), rows, "embedding")
        values = part.values
    compress = model.recipe.head.compress
    model.typicality = Typicality.fit(values, part.offsets[:-1], prepared.targets[rows], compress=compress)


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
