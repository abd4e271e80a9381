"""Fits a recipe's head or network on prepared data, for evaluation, refit and search."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hubbub.data.cache import Waves
from hubbub.experiment.prepare import Prepared

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger

    from hubbub.classifier.torch_classifier import TorchClassifier
    from hubbub.training.fitted import Fitted
    from hubbub.training.module import EachEpoch
    from hubbub.training.targets import Targets
    from hubbub.training.teacher import Lessons

__all__ = ["Rows", "fit", "initialised_classifier", "lessons", "training_targets"]

Rows = npt.NDArray[np.intp]


def fit(
    prepared: Prepared,
    rows: Rows,
    validation: Rows,
    seed: int,
    place: Path,
    *,
    loggers: "list[Logger] | None" = None,
    choice: dict[str, Any] | None = None,
    each_epoch: "EachEpoch | None" = None,
) -> "Fitted":
    """Fits the recipe's head or, if it has none, its network on the clips `rows`; `choice` is what an earlier fit chose
    on validation. A head has no epochs and no files: it does not use `place`, `loggers` and `each_epoch`."""
    targets = training_targets(prepared)
    if prepared.recipe.head.name == "none":
        from hubbub.training.fit import fit_network  # imports Lightning: three seconds

        return fit_network(
            initialised_classifier(prepared, seed), prepared.inputs, targets, rows, validation, place, seed=seed,
            choice=choice, loggers=loggers, each_epoch=each_epoch, lessons=lessons(prepared, rows),
        )  # fmt: skip
    from hubbub.training.head import fit_head

    assert prepared.embedded is not None
    return fit_head(prepared.base, prepared.embedded, targets, rows, validation, seed=seed, choice=choice)


def training_targets(prepared: Prepared) -> "Targets":
    """What is learnt of the clips (`training.targets.targets_of`)."""
    from hubbub.training.targets import targets_of

    return targets_of(prepared.clips, prepared.sound, prepared.base)


def lessons(prepared: Prepared, rows: Rows) -> "Lessons | None":
    """What the recipe's teacher, if it has one, makes of the training clips `rows`."""
    if prepared.teacher is None:
        return None
    assert isinstance(prepared.sound, Waves)
    return prepared.teacher.lessons(prepared.recipe, rows, list(prepared.sound.lengths[rows]), prepared.targets)


def initialised_classifier(prepared: Prepared, seed: int) -> "TorchClassifier":
    """A classifier to train, initialised from the seed; published weights and frozen layers keep their values."""
    from hubbub.classifier.torch_classifier import TorchClassifier
    from hubbub.models.weights import load_weights

    model = TorchClassifier(prepared.recipe, prepared.clips.labels, network=prepared.network, seed=seed)
    if prepared.weights:
        load_weights(model.network, prepared.weights)
    elif prepared.embedded is not None:
        ours = {name: tensor for name, tensor in model.network.state_dict().items() if name.startswith("fc.")}
        model.network.load_state_dict(prepared.base.network.state_dict() | ours)
    if prepared.teacher and (before := prepared.teacher.pretrained):
        model.network.load_state_dict(model.network.state_dict() | before.of("network"))
    return model
