"""Networks by name, each a `Network`, and the weights they start from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hubbub import files, store
from hubbub.errors import HubbubError, did_you_mean
from hubbub.models import checkpoint, yamnet
from hubbub.models.cnn import SMALLEST_INPUT, SmallCNN
from hubbub.models.network import Network
from hubbub.recipe import Recipe

__all__ = ["NETWORKS", "PUBLISHED", "NetworkError", "build_network", "find_weights", "load_weights"]


class NetworkError(HubbubError):
    """A network that does not exist or cannot be built so."""


def _cnn(recipe: Recipe, num_classes: int) -> Network:
    if recipe.frontend.name == "none":
        raise NetworkError("the cnn takes spectrograms: set frontend.name = 'logmel'.")
    frames = recipe.windows.length // recipe.frontend.hop
    if min(recipe.frontend.n_mels, frames) < SMALLEST_INPUT:
        raise NetworkError(
            f"the cnn needs {SMALLEST_INPUT} bands and frames at least, not {recipe.frontend.n_mels} and {frames}. "
            "Set more frontend.n_mels, a smaller frontend.hop or longer windows."
        )
    return SmallCNN(num_classes, recipe.frontend.n_mels, recipe.network.width, recipe.network.dropout)


def _yamnet(recipe: Recipe, num_classes: int) -> Network:
    _hears_waves(recipe, yamnet.RATE_HZ)
    if recipe.windows.length > yamnet.PATCH_SAMPLES:
        raise NetworkError(
            f"yamnet hears {yamnet.PATCH_SAMPLES} samples at a time, not {recipe.windows.length}. Set windows.length."
        )
    network = yamnet.YAMNet(recipe.network.dropout)
    if recipe.head.name == "none":
        network.reset_head(num_classes)
    return network


# torchvision, which these need, takes seconds to import.
def _esresnext(recipe: Recipe, num_classes: int) -> Network:
    from hubbub.models import esresnext

    _hears_waves(recipe, esresnext.RATE_HZ)
    return esresnext.ESResNeXt(num_classes, recipe.network.dropout)


def _audioclip(recipe: Recipe, num_classes: int) -> Network:
    from hubbub.models import esresnext

    _hears_waves(recipe, esresnext.RATE_HZ)
    return esresnext.AudioCLIP(num_classes, recipe.network.dropout)


NETWORKS: dict[str, Callable[[Recipe, int], Network]] = {
    "cnn": _cnn,
    "yamnet": _yamnet,
    "esresnext": _esresnext,
    "audioclip": _audioclip,
}
#: The asset of the store that a network starts from by default.
PUBLISHED = {"yamnet": "yamnet", "esresnext": "esresnext_audioset", "audioclip": "audioclip_full"}


def build_network(recipe: Recipe, num_classes: int) -> Network:
    """The recipe's network with fresh weights. Raises `NetworkError` where the recipe does not fit it."""
    name = recipe.network.name
    if name not in NETWORKS:
        raise NetworkError(f"there is no network '{name}'. {did_you_mean(name, NETWORKS)}")
    return NETWORKS[name](recipe, num_classes)


def find_weights(recipe: Recipe) -> Path | None:
    """The file that the recipe's network starts from, downloaded where need be; None to draw weights instead.

    Raises `StoreError` saying what to fetch and where to put it, `NetworkError` for a file that is not there.
    """
    given = recipe.network.weights
    if given == "default":
        given = PUBLISHED.get(recipe.network.name, "none")
    if given == "none":
        return None
    if given in store.ASSETS and store.ASSETS[given].kind == "weights":
        return store.get(given)
    path = files.absolute(given)
    if not path.is_file():
        known = ["default", "none", *(name for name, asset in store.ASSETS.items() if asset.kind == "weights")]
        raise NetworkError(f"network.weights: '{given}' is no file, nor known. {did_you_mean(given, known)}")
    return path


def load_weights(network: Network, path: Path) -> str:
    """Load a checkpoint into the network, all but a last layer for other classes; returns what became of what.

    Raises `CheckpointError` (`YAMNetError` for its .h5 file) and loads nothing where it is not the network's.
    """
    state = yamnet.read_h5(path) if path.suffix == ".h5" else checkpoint.read(path)
    inner: Any = network
    prefix = ""
    head: tuple[str, ...] = ("fc.",)
    # AudioCLIP's files hold three towers, of which the audio tower is an ESResNeXt, and no head.
    if "fc.weight" not in state and any(name.startswith("audio.") for name in state):
        prefix = "audio."
        if hasattr(network, "audio"):
            inner, head = network.audio, ()
    optional = ("window", "fbsp.bias")
    return checkpoint.load(inner, state, source=path.name, prefix=prefix, head=head, optional=optional).report()


def _hears_waves(recipe: Recipe, rate_hz: int) -> None:
    name = recipe.network.name
    if recipe.frontend.name != "none":
        raise NetworkError(f"{name} holds its own front end: set frontend.name = 'none', not '{recipe.frontend.name}'.")
    if recipe.audio.rate_hz != rate_hz:
        raise NetworkError(f"{name} hears {rate_hz} Hz, not {recipe.audio.rate_hz}. Set audio.rate_hz to that.")
