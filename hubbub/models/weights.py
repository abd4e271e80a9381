"""Published weights: which file a network starts from, and loading it into the network."""

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from hubbub.config.recipe import Recipe
from hubbub.errors import did_you_mean
from hubbub.models.network import FRONTEND, Network, NetworkError
from hubbub.models.registry import NETWORKS, RESNETS, TORCHVISION, check_name
from hubbub.runtime import download, homes

__all__ = ["PUBLISHED", "find_weights", "load_weights", "published"]


#: The asset of the store that a network starts from by default.
PUBLISHED = {
    **{name: f"{name}_imagenet" for name in TORCHVISION},
    "yamnet": "yamnet",
    "esresnext": "esresnext_audioset",
    "audioclip": "audioclip_full",
}


def published(recipe: Recipe) -> download.Asset | None:
    """The weights that `network.weights = "default"` stands for; None where none were published for such a network.

    Raises `NetworkError` for a network that does not exist.
    """
    name = recipe.network.name
    check_name(name)
    if name not in NETWORKS:
        from hubbub.models.vision import timm_asset

        return timm_asset(name)
    if name in RESNETS and recipe.network.width is not None:
        from hubbub.models.vision import WIDTH

        if recipe.network.width != WIDTH:
            return None
    return download.ASSETS[PUBLISHED[name]] if name in PUBLISHED else None


def find_weights(recipe: Recipe) -> Path | None:
    """The file that the recipe's network starts from, downloaded where need be; None to draw weights instead.

    `imagenet` is the default of an image network, and an error where it has none. Raises `StoreError` saying what to
    fetch and where to put it, `NetworkError` for a file that is not there.
    """
    given, name = recipe.network.weights, recipe.network.name
    if given in ("default", "imagenet"):
        asset = published(recipe)
        of_pictures = name in TORCHVISION or name not in NETWORKS
        if given == "imagenet" and not (asset and of_pictures):
            width = f" of width {recipe.network.width}" if name in RESNETS else ""
            raise NetworkError(f"{name}{width} has no ImageNet weights. Set network.weights = 'default' or 'none'.")
        return download.get(asset) if asset else None
    if given == "none":
        return None
    if given in download.ASSETS and download.ASSETS[given].kind == "weights":
        return download.get(given)
    path = homes.absolute(given)
    if not path.is_file():
        assets = (name for name, asset in download.ASSETS.items() if asset.kind == "weights")
        known = ["default", "imagenet", "none", *assets]
        raise NetworkError(f"network.weights: '{given}' is no file, nor known. {did_you_mean(given, known)}")
    return path


def load_weights(network: Network, path: Path) -> str:
    """Load a checkpoint into the network, all but last layers for other classes; returns what became of what.

    Attention that the file does not hold stays fresh. Raises `CheckpointError` (`YAMNetError` for its .h5 file) and
    loads nothing where the file is not the network's.
    """
    from hubbub.models import checkpoint, yamnet

    state = yamnet.read_h5(path) if path.suffix == ".h5" else _network_of(checkpoint.read(path))
    inner: Any = network
    prefix, notes = "", tuple[str, ...]()
    added = {name: module for name, module in network.named_modules() if any(module is one for one in network.added())}
    head = tuple(f"{name}." for name, module in added.items() if isinstance(module, nn.Linear))
    others = tuple(f"{name}." for name, module in added.items() if not isinstance(module, nn.Linear))
    optional = ["window", "fbsp.bias", *(name for name in network.state_dict() if name.startswith(others))]
    # AudioCLIP's files hold three towers, of which the audio tower is an ESResNeXt, and no head.
    if "fc.weight" not in state and any(name.startswith("audio.") for name in state):
        prefix = "audio."
        if hasattr(network, "audio"):
            inner, head = network.audio, ()
    elif hasattr(inner, "translated"):  # an image network
        ours = inner.translated(state)
        state, notes = ours.state, ours.notes
        optional += ours.optional
    loaded = checkpoint.load(inner, state, source=path.name, prefix=prefix, head=head, optional=tuple(optional))
    return "\n".join([loaded.report(), *notes])


def _network_of(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """What is the network's in a file of ours: a checkpoint of training (of two, the mean is what is kept) or a saved
    classifier; other files as they are."""
    for prefix in ("averaged.module.", "learning."):
        if ours := {n.removeprefix(prefix): tensor for n, tensor in state.items() if n.startswith(prefix)}:
            return ours
    return {name: tensor for name, tensor in state.items() if not name.startswith(FRONTEND)}
