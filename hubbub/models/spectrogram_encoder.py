"""What AST, CLAP and Whisper's encoder share: their checkpoints, the settings of their front ends, their layers."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from hubbub.models import hub_models
from hubbub.models.network import Architecture, NetworkError

__all__ = ["architecture_of", "chosen", "cut_layers"]

#: The types of model in `config.json`.
KINDS = {"ast": "audio-spectrogram-transformer", "clap": "clap", "whisper": "whisper"}


def architecture_of(name: str, weights: str, base: Architecture) -> Architecture:
    """What builds the network of a recipe: from the checkpoint that `network.weights` names, or `base`.

    Raises `NetworkError` for a checkpoint of another network, `HubError` if it cannot be downloaded.
    """
    if weights in ("default", "none"):
        return base
    found = hub_models.read_architecture(hub_models.find(weights))
    kind = found["config"]["model_type"]
    if kind != KINDS[name]:
        own = next((one for one, its in KINDS.items() if its == kind), "transformers")
        raise NetworkError(
            f"network.weights: {weights} is of the type '{kind}', not '{KINDS[name]}'. Set network.name = '{own}', or "
            "name other weights."
        )
    return found


def chosen(architecture: Architecture, defaults: Mapping[str, Any], rate_hz: int) -> dict[str, Any]:
    """The settings of a front end: those of the checkpoint's preprocessor, or else `defaults`. Raises `NetworkError`
    for one at another sample rate."""
    given = architecture["preprocessor"]
    if given.get("sampling_rate", rate_hz) != rate_hz:
        raise NetworkError(
            f"the checkpoint takes sound at {given['sampling_rate']} Hz, and this network {rate_hz} Hz. Name another."
        )
    return {name: given.get(name, default) for name, default in defaults.items()}


def cut_layers(layers: nn.ModuleList, layer: int) -> nn.ModuleList:
    """The layers up to the one with this number: 1 is the first, -1 the last. Raises `NetworkError` without such a
    one."""
    number = layer if layer > 0 else len(layers) + 1 + layer
    if not 1 <= number <= len(layers):
        raise NetworkError(
            f"network.layer = {layer}: this network has {len(layers)} layers. Set -1 (the output), 1 to {len(layers)}, "
            "or 'mix'."
        )
    return layers[:number]
