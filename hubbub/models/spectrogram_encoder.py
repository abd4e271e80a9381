"""What AST, CLAP and Whisper's encoder share: their checkpoints, the settings of their front ends, their layers."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from hubbub.models import hub_models
from hubbub.models.checkpoint import CheckpointError
from hubbub.models.network import Architecture, NetworkError

__all__ = ["architecture_of", "chosen", "cut_layers", "refuse_other"]

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


def refuse_other(
    ours: Architecture, theirs: Architecture, decisive: Sequence[str], settings: Mapping[str, Any], part: str = ""
) -> None:
    """Raises `CheckpointError` where a checkpoint's config, or its `part`, or its preprocessor decides something that
    the shapes of weights do not tell, and otherwise than this network's."""
    configs: list[Any] = [hub_models.library_config(one["config"]) for one in (ours, theirs)]
    own, given = (getattr(config, part) if part else config for config in configs)
    pairs = {name: (getattr(own, name), getattr(given, name)) for name in decisive}
    pairs |= {
        name: (ours["preprocessor"].get(name, default), theirs["preprocessor"].get(name, default))
        for name, default in settings.items()
    }
    differing = [f"{name} = {b!r} instead of {a!r}" for name, (a, b) in pairs.items() if _plain(a) != _plain(b)]
    if differing:
        raise CheckpointError(
            f"the checkpoint's config differs from the network that it is for: {', '.join(differing)}. Name the "
            "checkpoint in network.weights, OWNER/NAME, instead of 'default'."
        )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, list | tuple) else value
