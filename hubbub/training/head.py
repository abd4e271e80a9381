"""Fit a head on frozen embeddings on one split; the test part is never used.

Every candidate is fitted on the training part; the best on validation is fitted again on both. Lightning, which takes
three seconds to import, is not needed.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hubbub.classifier import pooling
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.data.cache import Segments
from hubbub.errors import examples
from hubbub.metrics import classification, multilabel
from hubbub.models.head import Head
from hubbub.models.heads import build_head, candidates
from hubbub.training.fitted import Fitted, TrainError
from hubbub.training.targets import ClipTargets, Targets, of_clips, of_embeddings

__all__ = ["fit_head"]

Rows = npt.NDArray[np.intp]
#: Replaces a probability of 0, which has no logarithm.
_SMALLEST = 1e-7


def fit_head(
    base: TorchClassifier,
    segments: Segments,
    targets: Targets,
    train: Rows,
    validation: Rows,
    *,
    seed: int,
    choice: dict[str, Any] | None = None,
) -> Fitted:
    """Fit the recipe's head on the embeddings `segments` of all clips; `train` and `validation` are clip numbers.

    `targets` are class numbers `[clips]`, label sets `[clips, K]`, or timed label sets, which a head that is fitted on
    segments learns. The candidate with the highest clip accuracy or, of label sets, macro mAP on validation is chosen;
    of equal ones, that with the lower log loss. Raises `TrainError` where a class has no training clip or, of label
    sets, none has. A head that the base has already, as one of zero-shot classification, learns nothing and stays.
    """
    if base.head is not None:
        model = TorchClassifier(base.recipe, base.labels, network=base.network, head=base.head)
        return Fitted(model, model, {})
    _check_classes(base, of_clips(targets)[train])
    options = [choice] if choice else candidates(base.recipe.head)
    fitted = _fit_each(base, segments, targets, train, seed, options)
    if not len(validation):
        return Fitted(fitted[0], fitted[0], options[0])
    scores, part = [], segments.of(validation)
    for model in fitted:
        scores.append(_rank(of_clips(targets)[validation], model.predict_proba(part.values, part.offsets[:-1])[1]))
    best = max(range(len(scores)), key=scores.__getitem__)
    chosen, option = fitted[best], options[best]
    (final,) = _fit_each(base, segments, targets, np.union1d(train, validation), seed, [option], start=chosen.head)
    return Fitted(chosen, final, option)


def _fit_each(
    base: TorchClassifier,
    segments: Segments,
    targets: Targets,
    clips: Rows,
    seed: int,
    options: Sequence[dict[str, Any]],
    start: Head | None = None,
) -> list[TorchClassifier]:
    """One classifier for each of `options`, its head fitted on `clips`; `start` is a head fitted on some of them."""
    settings, part = base.recipe.head, segments.of(clips)
    views = np.split(part.values, len(base.views), axis=1)
    if settings.pool == "segment":
        y = of_embeddings(targets, segments, clips)
    else:
        y = of_clips(targets)[clips]
        views = [pooling.pool_embeddings(view, part.offsets[:-1], settings.pool) for view in views]
    heads = [build_head(settings, option, seed) for option in options]
    type(heads[0]).fit_each(heads, np.concatenate(views), np.concatenate([y] * len(views)), start)
    activation: pooling.Activation = "softmax" if y.ndim == 1 else "sigmoid"
    return [
        TorchClassifier(base.recipe, base.labels, network=base.network, head=head, activation=activation)
        for head in heads
    ]


def _check_classes(base: TorchClassifier, targets: ClipTargets) -> None:
    if targets.ndim == 1:
        if unlearnt := [label for number, label in enumerate(base.labels) if number not in targets]:
            raise TrainError(
                f"no training clip has the label {examples(unlearnt)}, and a head ({base.recipe.head.name}) learns "
                "only classes that have clips. Add recordings of them, or give a table that lists the clips of other "
                "classes."
            )
    elif not (targets > 0).any():
        raise TrainError(
            f"no training clip holds any of the classes ({examples(base.labels)}). Add recordings of them, or give a "
            "table that lists the clips of other classes."
        )


def _rank(targets: ClipTargets, scores: npt.NDArray[np.float32]) -> tuple[float, float]:
    """What a candidate is chosen by, higher is better: accuracy or macro mAP of clips, then the log loss, negative."""
    if targets.ndim == 1:
        metrics = classification.evaluate(targets.astype(np.int64, copy=False), scores)
        return metrics["accuracy"] or 0.0, -(metrics["log_loss"] or 0.0)
    present, known = targets > 0, targets >= 0
    precision = multilabel.evaluate(present, scores, known=known).figures["macro_map"]
    of_truth = np.where(present, scores, 1 - scores)[known].astype(np.float64)
    return precision or 0.0, float(np.log(np.maximum(of_truth, _SMALLEST)).mean()) if len(of_truth) else 0.0
