"""Checkpoints in the Hugging Face hub's layout: found or downloaded, and read without executing anything of them.

A checkpoint is a folder with `config.json`, `model.safetensors` (or its index and shards) and, mostly,
`preprocessor_config.json` (https://huggingface.co/docs/safetensors, https://huggingface.co/docs/transformers);
`runtime.fetched_models` downloads it. Weights are safetensors and never pickles. `auto_map`, which names code that
comes with a checkpoint, is ignored: the classes are those of the library `transformers`, which the extra
`hubbub[transformers]` installs and which is imported only when such a network is built.

What such a network needs beside its recipe, its `Architecture`, is stored in `classifier.json` of a saved classifier,
which so loads without hub and folder.
"""

import json
import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from hubbub.errors import did_you_mean, examples
from hubbub.models import checkpoint
from hubbub.models.checkpoint import CheckpointError
from hubbub.models.network import Architecture, NetworkError
from hubbub.runtime import homes
from hubbub.runtime.fetched_models import fetch_model
from hubbub.runtime.hub import NAME, PICKLES

if TYPE_CHECKING:
    from transformers import PretrainedConfig

__all__ = [
    *("CONFIG", "INDEX", "WEIGHTS", "find", "is_named", "library_config", "library_model", "read_architecture"),
    *("read_state", "refuse_other", "require_library", "weights_file", "without_heads"),
]

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
#: Fetched where a checkpoint has them: what CLAP's tokenizer needs is small.
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt")
#: The names of a weight's length and direction where a layer has weight normalisation, older and newer ones.
_NORMALISED = ((".weight_g", ".weight_v"), (".parametrizations.weight.original0", ".parametrizations.weight.original1"))
#: What a config does not decide here: code, numbers' precision, and what was noted about its file.
_IGNORED = ("auto_map", "custom_pipelines", "dtype", "torch_dtype", "quantization_config", "_name_or_path")


def is_named(weights: str) -> bool:
    """Whether `network.weights` is OWNER/NAME or OWNER/NAME@REVISION, and no folder."""
    return not os.path.exists(homes.absolute(weights)) and bool(NAME.fullmatch(weights.partition("@")[0]))


def find(weights: str) -> Path:
    """The folder of the checkpoint OWNER/NAME@REVISION in a data home, downloaded if necessary, or the folder that
    `weights` is. Raises `NetworkError`, or `HubError` if the download fails."""
    if is_named(weights):
        return fetch_model(weights, lambda names: _files(names, weights))
    folder = homes.absolute(weights)
    if not (folder / CONFIG).is_file():
        raise NetworkError(
            f"network.weights: '{weights}' is neither a checkpoint OWNER/NAME or OWNER/NAME@REVISION of the Hugging "
            f"Face hub nor a folder with {CONFIG} and {WEIGHTS}. Give one of them, 'default' or 'none'."
        )
    return folder


def weights_file(folder: Path) -> Path:
    """The file of a checkpoint's weights, or the index of its shards. Raises `CheckpointError` if it has only a
    pickle."""
    there = [path.name for path in folder.iterdir()]
    return folder / _weights_of(there, str(folder))[0]


def read_architecture(folder: Path) -> Architecture:
    """Config and preprocessor of a checkpoint, for `library_config`. Raises `CheckpointError` if they are damaged."""
    config = _read_json(folder / CONFIG)
    if not isinstance(config.get("model_type"), str):
        raise CheckpointError(f"{folder / CONFIG} names no model_type. Give a checkpoint that transformers saved.")
    has_preprocessor = (folder / PREPROCESSOR).is_file()
    return {"config": config, "preprocessor": _read_json(folder / PREPROCESSOR) if has_preprocessor else {}}


def read_state(file: Path) -> dict[str, Tensor]:
    """The state dict in a file of weights, or in the files that an index lists. Raises `CheckpointError` where it is
    not whole."""
    return _read_shards(file) if file.name == INDEX else checkpoint.read(file)


def _read_shards(index: Path) -> dict[str, Tensor]:
    places = _read_json(index).get("weight_map")
    if not isinstance(places, dict) or not places or not all(isinstance(one, str) for one in places.values()):
        raise CheckpointError(f"{index} lists no tensors (weight_map). Fetch it again.")
    state: dict[str, Tensor] = {}
    for shard in sorted(set(places.values())):
        if Path(shard).name != shard or not shard.endswith(".safetensors"):
            raise CheckpointError(f"{index} names {shard!r}, which is no .safetensors file beside it. Fetch it again.")
        state |= checkpoint.read(index.parent / shard)
    if differing := sorted(places.keys() ^ state.keys()):
        raise CheckpointError(f"{index} and its files differ in {examples(differing)}. Fetch all of them again.")
    return state


def require_library() -> None:
    """Raises `NetworkError` where the library is not installed."""
    if find_spec("transformers") is None:
        raise NetworkError("networks of the Hugging Face hub need transformers: pip install 'hubbub[transformers]'")


def library_config(config: Mapping[str, Any]) -> "PretrainedConfig":
    """A config of the library for the content of `config.json`. Raises `NetworkError` where the library does not know
    its type."""
    require_library()
    from transformers import CONFIG_MAPPING

    kind = str(config.get("model_type"))
    if kind not in CONFIG_MAPPING:
        raise NetworkError(
            f"transformers has no model type '{kind}', and code that comes with a checkpoint is never executed. "
            f"{did_you_mean(kind, CONFIG_MAPPING)}"
        )
    values = {name: value for name, value in config.items() if name not in _IGNORED}
    try:
        return CONFIG_MAPPING[kind].from_dict(values)
    except Exception as error:  # it has no exceptions of its own
        raise NetworkError(
            f"transformers refuses the config of this {kind}: {error}. Fetch the checkpoint again."
        ) from error


def library_model(config: "PretrainedConfig") -> Any:
    """The library's network without a head, with random weights in single precision. Weight normalisation is
    multiplied out: a module that has it cannot be pickled."""
    from transformers import AutoModel

    model = AutoModel.from_config(config, trust_remote_code=False, dtype=torch.float32)
    for module in list(model.modules()):
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight")
            module._load_state_dict_pre_hooks.clear()  # which stays, and cannot be pickled either
    return model


def without_heads(state: Mapping[str, Tensor], model: nn.Module) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """A checkpoint's state dict -> the tensors of the library's network without a head, under its own names; and a note
    on what was left out.

    Where names begin with the network's (`wav2vec2.`), all others are heads.
    """
    prefix = f"{getattr(model, 'base_model_prefix', '')}."
    prefixed = prefix != "." and any(name.startswith(prefix) for name in state)
    kept = {name.removeprefix(prefix): x for name, x in state.items() if not prefixed or name.startswith(prefix)}
    left_out = Counter(name.partition(".")[0] for name in state if prefixed and not name.startswith(prefix))
    for of_length, of_direction in _NORMALISED:
        for name in [name for name in kept if name.endswith(of_length)]:
            layer = name.removesuffix(of_length)
            if f"{layer}{of_direction}" in kept:
                length, direction = kept.pop(name), kept.pop(f"{layer}{of_direction}")
                axes = [axis for axis, size in enumerate(length.shape) if size == 1]
                kept[f"{layer}.weight"] = direction * (length / direction.norm(dim=axes, keepdim=True))
    note = ", ".join(f"{name} ({number})" for name, number in left_out.items())
    return kept, (f"heads left out: {note}",) if left_out else ()


def refuse_other(
    ours: Architecture, theirs: Architecture, decisive: Sequence[str], settings: Mapping[str, Any], part: str = ""
) -> None:
    """Raises `CheckpointError` where a checkpoint's config, or its `part`, or its preprocessor decides something that
    the shapes of weights do not tell, and otherwise than this network's."""
    configs: list[Any] = [library_config(one["config"]) for one in (ours, theirs)]
    own, given = (getattr(config, part) if part else config for config in configs)
    pairs = {name: (getattr(own, name, None), getattr(given, name, None)) for name in decisive}
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


def _files(names: Collection[str], where: str) -> list[str]:
    """Those of a repository's files that a checkpoint needs."""
    weights = _weights_of(names, where)
    if CONFIG not in names:
        raise NetworkError(f"{where} has no {CONFIG}, so it is no checkpoint of transformers. Name another.")
    return [*weights, CONFIG, *(name for name in (PREPROCESSOR, *_TOKENIZER) if name in names)]


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        json.dumps(content, allow_nan=False)  # it is saved with classifiers
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{file} cannot be read as JSON ({error}). Fetch it again.") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{file} is not a JSON object. Fetch it again.")
    return content


def _weights_of(names: Iterable[str], where: str) -> list[str]:
    """The files of a checkpoint's weights among `names`: the one, or the index and its shards."""
    names = sorted(names)
    if WEIGHTS in names:
        return [WEIGHTS]
    if INDEX in names:
        return [INDEX, *(name for name in names if name.startswith("model-") and name.endswith(".safetensors"))]
    pickled = [name for name in names if name.endswith(PICKLES)]
    if not pickled:
        raise CheckpointError(f"{where} has no {WEIGHTS}, but {examples(names) or 'nothing'}. Give a whole checkpoint.")
    raise CheckpointError(
        f"{where} has its weights only as {pickled[0]}, a pickle, which can hold any code and is not opened. Name a "
        f"revision with {WEIGHTS} (OWNER/NAME@refs/pr/N for a pull request on its page), or convert it: "
        "docs/troubleshooting.md has the command."
    )
