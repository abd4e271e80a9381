"""What a saved classifier must fulfil for torch to run it: finite weights, and the network that it was trained with."""

from pathlib import Path

from torch import Tensor

from hubbub.classifier.base import ClassifierError
from hubbub.config.recipe import Recipe
from hubbub.models.custom import PREFIX, NetworkFactory, is_custom, name_of

__all__ = ["check_factory", "check_tensors", "refuse_not_finite"]


def check_factory(folder: Path, recipe: Recipe, network: NetworkFactory | None) -> None:
    """Refuse a network of the caller's own that is missing, or that the classifier does not need."""
    name = recipe.network.name
    if is_custom(name) and network is None:
        mine = name.removeprefix(PREFIX)
        raise ClassifierError(
            f"{folder}: this classifier's network is your class {mine}, which hubbub does not import. Load it in "
            f"Python, with the class: hubbub.load('{folder}', network={mine.rpartition('.')[2]})"
        )
    if network is not None and not is_custom(name):
        raise ClassifierError(f"{folder}: this classifier's network is hubbub's own '{name}'. Leave network= out.")


def check_tensors(
    folder: Path, recipe: Recipe, network: NetworkFactory, state: dict[str, Tensor], own: dict[str, Tensor]
) -> None:
    """Refuse a network whose tensors are not those of the saved one."""
    saved, made = ({name: list(x.shape) for name, x in tensors.items()} for tensors in (state, own))
    differing = [name for name in (*saved, *made) if saved.get(name) != made.get(name)]
    if differing:
        name = differing[0]
        raise ClassifierError(
            f"{folder} does not fit network={name_of(network)}: '{name.removeprefix('body.')}' is "
            f"{saved.get(name, 'not there')} in the file and {made.get(name, 'not there')} in the network. Give "
            f"{recipe.network.name.removeprefix(PREFIX)} as it was in training."
        )


def refuse_not_finite(file: Path, tensors: dict[str, Tensor]) -> None:
    """Refuse weights that are not finite."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ClassifierError(
                f"{file}: '{name}' holds values that are not finite numbers. Train it again, e.g. with a lower "
                "train.learning_rate, or copy it again from its source."
            )
