"""What a saved classifier must fulfil for torch to run it: finite weights, and the network that it was trained with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from hubbub.classifier.base import ClassifierError
from hubbub.config.recipe import Recipe
from hubbub.models.custom import PREFIX, NetworkFactory, is_custom, name_of
from hubbub.models.network import Architecture
from hubbub.models.registry import HUB

__all__ = [
    *("Uninitialised", "architecture_in", "check_factory", "check_tensors", "plain_tensors", "refuse_not_finite"),
]


class Uninitialised(TorchFunctionMode):
    """Within it random initialisation does nothing: a state dict follows, and drawing VGG16's weights takes 2 s."""

    _SKIPPED = (nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return kwargs["tensor"] if func in self._SKIPPED else func(*args, **(kwargs or {}))


def plain_tensors(network: nn.Module, *, half: bool) -> dict[str, Tensor]:
    """A network's tensors as safetensors takes them, with `half` rounded to half precision."""
    state, places = {}, set[int]()
    for name, tensor in network.state_dict().items():
        plain = tensor.detach().cpu().contiguous()
        plain = plain.half() if half and plain.is_floating_point() else plain
        # safetensors refuses tensors that share memory, as tied weights do.
        state[name] = plain.clone() if plain.untyped_storage().data_ptr() in places else plain
        places.add(plain.untyped_storage().data_ptr())
    return state


def architecture_in(content: Mapping[str, Any], folder: Path, recipe: Recipe) -> Architecture | None:
    """The architecture in a card, which only networks of the Hugging Face hub have; nothing is fetched for them."""
    found = content.get("architecture")
    wanted = recipe.network.name in HUB
    if (found is not None) != wanted or not isinstance(found, dict | None):
        raise ClassifierError(
            f"{folder} is not a whole classifier: the config of its {recipe.network.name} is "
            f"{'missing' if wanted else 'there, and it needs none'}. Train or copy it again."
        )
    return found


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
