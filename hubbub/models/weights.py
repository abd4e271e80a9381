"""Published weights: which file a network starts from, and loading it into the network."""

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from hubbub.config.recipe import Recipe
from hubbub.errors import did_you_mean
from hubbub.models.custom import is_custom
from hubbub.models.lora import merged_state
from hubbub.models.network import FRONTEND, Network, NetworkError
from hubbub.models.registry import EFFICIENTAT, HUB, NETWORKS, RESNETS, TORCHVISION, check_name
from hubbub.runtime import download, homes, shipped

__all__ = ["CHECKPOINTS", "PUBLISHED", "find_weights", "load_weights", "published"]


#: The asset with the default weights of each network.
PUBLISHED = {
    **{name: f"{name}_imagenet" for name in TORCHVISION},
    **dict.fromkeys(("yamnet", "yamnet_framewise"), "yamnet"),
    "esresnext": "esresnext_audioset",
    "audioclip": "audioclip_full",
    **{name: name for name in EFFICIENTAT},
    "cnn14": "cnn14_audioset",
    "beats": "beats_audioset",
}
#: The default checkpoint of networks of the Hugging Face hub; pull requests hold the hub's own conversions of pickles.
CHECKPOINTS = {
    "wav2vec2": "facebook/wav2vec2-base@9f0eb264dec63c8511a7905d0a854ca6d2a39e45",
    "hubert": "facebook/hubert-base-ls960@refs/pr/2",
    "wavlm": "microsoft/wavlm-base-plus@refs/pr/1",
    "ast": "MIT/ast-finetuned-audioset-10-10-0.4593",
    "clap": "laion/clap-htsat-unfused",
    "whisper": "openai/whisper-base",
}


def published(recipe: Recipe) -> download.Asset | None:
    """The weights for `network.weights = "default"`; None if none are published for the recipe's network.

    Raises `NetworkError` for a network that does not exist.
    """
    name = recipe.network.name
    if is_custom(name):
        return None
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
    """The file of the recipe's initial weights, downloaded if necessary; None for random weights.

    Those of `small` come with the package; of a checkpoint of the Hugging Face hub in shards it is their index.
    `imagenet` is the default of an image network, and an error for other networks. Raises `StoreError`, or `HubError`
    for such a checkpoint, if the download fails, which names the file and its place, and `NetworkError` for weights
    that do not exist.
    """
    wanted, name = recipe.network.weights, recipe.network.name
    if name in HUB:
        from hubbub.models import hub_models

        hub_models.require_library()
        if wanted == "none":
            return None
        return hub_models.weights_file(hub_models.find(CHECKPOINTS[name] if wanted == "default" else wanted))
    if wanted in ("default", "imagenet"):
        asset = published(recipe)
        of_images = name in TORCHVISION or name not in NETWORKS
        if wanted == "imagenet" and not (asset and of_images):
            width = f" of width {recipe.network.width}" if name in RESNETS else ""
            raise NetworkError(f"{name}{width} has no ImageNet weights. Set network.weights = 'default' or 'none'.")
        if name == shipped.SMALL:
            return shipped.WEIGHTS
        return download.get(asset) if asset else None
    if wanted == "none":
        return None
    if wanted in download.ASSETS and download.ASSETS[wanted].kind == "weights":
        return download.get(wanted)
    path = homes.absolute(wanted)
    if not path.is_file():
        assets = (name for name, asset in download.ASSETS.items() if asset.kind == "weights")
        known = ["default", "imagenet", "none", *assets]
        raise NetworkError(
            f"network.weights: '{wanted}' is neither a file nor a known name. {did_you_mean(wanted, known)}"
        )
    return path


def load_weights(network: Network, path: Path) -> str:
    """Load a checkpoint into the network, except last layers for other classes; returns a report.

    Attention that the file does not contain keeps its random weights. Raises `CheckpointError` (`YAMNetError` for its
    .h5 file, `NetworkError` for an ONNX or LiteRT file) and loads nothing if the file does not fit the network.
    """
    from hubbub.models import checkpoint, hub_models, yamnet
    from hubbub.models.foreign import Foreign

    if isinstance(network, Foreign):
        return network.read(path)
    if network.architecture is not None and (path.parent / hub_models.CONFIG).is_file():
        network.adopt(hub_models.read_architecture(path.parent))
    state = yamnet.read_h5(path) if path.suffix == ".h5" else _network_state(hub_models.read_state(path))
    inner: Any = network
    prefix, notes = "", tuple[str, ...]()
    added = {name: module for name, module in network.named_modules() if any(module is one for one in network.added())}
    head = tuple(f"{name}." for name, module in added.items() if isinstance(module, nn.Linear))
    others = tuple(f"{name}." for name, module in added.items() if not isinstance(module, nn.Linear))
    optional = ["window", "fbsp.bias", *(name for name in network.state_dict() if name.startswith(others))]
    # AudioCLIP's files contain three towers, of which the audio tower is an ESResNeXt, and no head.
    if "fc.weight" not in state and any(name.startswith("audio.") for name in state):
        prefix = "audio."
        if hasattr(network, "audio"):
            inner, head = network.audio, ()
    elif hasattr(inner, "translated"):  # published under other names
        translated = inner.translated(state)
        state, notes = translated.state, translated.notes
        optional += translated.optional
    loaded = checkpoint.load(inner, state, source=path.name, prefix=prefix, head=head, optional=tuple(optional))
    return "\n".join([loaded.report(), *notes])


def _network_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The network's tensors in a training checkpoint (the averaged ones, if any) or a saved classifier of hubbub; those
    of other files unchanged."""
    for prefix in ("averaged.module.", "learning."):
        if tensors := {n.removeprefix(prefix): tensor for n, tensor in state.items() if n.startswith(prefix)}:
            return merged_state(tensors)
    return {name: tensor for name, tensor in state.items() if not name.startswith(FRONTEND)}
