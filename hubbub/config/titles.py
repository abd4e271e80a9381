"""Titles that say what ran: one rule for all.

A title is `DATA, PROTOCOL: NETWORK, WEIGHTS`. Each half stays as its author wrote it while what it names is as it was;
a half that a changed recipe makes untrue is written from the recipe.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hubbub.config.recipe import Recipe
    from hubbub.config.sections import Network

__all__ = ["DATA_TITLES", "NETWORKS", "data_title", "describe_weights", "title_after"]

#: The known data sets, as their authors call them.
DATA_TITLES = {
    "esc50": "ESC-50",
    "esc10": "ESC-10",
    "urbansound8k": "UrbanSound8K",
    "emodb": "EmoDB",
    "street": "street (synthetic)",
}
NETWORKS = {
    "cnn": "a small CNN",
    "compact": "hubbub's own small network",
    "framewise": "hubbub's own frame-wise network",
    "baseline": "the baseline CNN",
    "cnn1d": "a 1-D CNN",
    "transformer": "a Transformer encoder",
    "alexnet": "AlexNet",
    "vgg16": "VGG16",
    "resnet18": "ResNet18",
    "resnet50": "ResNet-50",
    "mobilenet_v2": "MobileNetV2",
    "inception_v3": "InceptionV3",
    "efficientnet_b0": "EfficientNet-B0",
    "convnext_tiny": "ConvNeXt-Tiny",
    "small": "hubbub-small",
    "yamnet": "YAMNet",
    "yamnet_framewise": "YAMNet frame by frame",
    "esresnext": "ESResNeXt-fbsp",
    "audioclip": "AudioCLIP's audio branch",
    "mn04_as": "EfficientAT mn04",
    "mn10_as": "EfficientAT mn10",
    "cnn14": "PANNs' Cnn14",
    "beats": "BEATs",
    "wav2vec2": "wav2vec 2.0",
    "hubert": "HuBERT",
    "wavlm": "WavLM",
    "transformers": "an encoder of transformers",
    "ast": "AST",
    "clap": "CLAP",
    "whisper": "Whisper's encoder",
    "onnx": "an ONNX network",
}
#: Where published weights come from; those of other networks are ImageNet's.
_WEIGHTS = {
    **dict.fromkeys(("cnn", "compact", "framewise", "baseline", "cnn1d", "transformer"), "from scratch"),
    "small": "from ESC-50",
    **dict.fromkeys(("yamnet", "yamnet_framewise", "esresnext", "esresnext_audioset"), "from AudioSet"),
    **dict.fromkeys(("mn04_as", "mn10_as", "cnn14", "cnn14_audioset", "beats", "beats_audioset"), "from AudioSet"),
    "beats_unlabelled": "from AudioSet without labels",
    **dict.fromkeys(("wav2vec2", "hubert"), "from LibriSpeech without labels"),
    "wavlm": "from 94,000 h of speech without labels",
    "ast": "from AudioSet",
    "clap": "from sounds and texts",
    "whisper": "from 680,000 h of speech with transcripts",
    **dict.fromkeys(("audioclip", "audioclip_full", "audioclip_partial"), "from AudioCLIP"),
}
_ATTENTION = {"se": " with squeeze-and-excitation", "cbam": " with CBAM"}
_HEADS = {
    "logreg": "logistic regression",
    "lda": "linear discriminant analysis",
    "mlp": "MLP",
    "lightgbm": "LightGBM",
    "ensemble": "LightGBM + MLP",
    "zeroshot": "zero-shot",
}
_COUNTS = {2: "two", 3: "three", 4: "four", 5: "five"}
_POOLS = {"segment": "segments", "mean": "mean clip embeddings", "max": "largest clip embeddings"}


def title_after(title: str, before: "Recipe | None", after: "Recipe") -> str:
    """The title of `after`, which was made from the recipe `before` that had this title; without `before`, both halves
    are written anew."""
    if not title:
        return title
    data, colon, network = title.partition(": ")
    if not colon:
        data, network = "", title
    if before is None or _network_facts(before) != _network_facts(after):
        data, network = data or _describe_data(after), _describe_network(after)
    if before is None or _data_facts(before) != _data_facts(after):
        data = _describe_data(after)
    return f"{data}: {network}" if data else network


def data_title(name: str) -> str:
    """What a data set is called: the last part of its path, a table's up to its first dot (`night.selections.txt`)."""
    path = Path(name)
    return (path.absolute().name if os.path.isdir(name) else path.name.split(".")[0]) or name


def _data_facts(recipe: "Recipe") -> tuple[Any, ...]:
    data, protocol = recipe.data, recipe.protocol
    parts = (protocol.kind, protocol.folds, protocol.train, protocol.val, protocol.test)
    return data.name, data.test, data.labels, data.held_out, *parts, len(recipe.train.seeds)


def _network_facts(recipe: "Recipe") -> tuple[Any, ...]:
    network, head, frontend = recipe.network, recipe.head, recipe.frontend
    named = (network.name, network.weights, network.mode, network.attention, network.width)
    tuned = (network.trained_blocks, network.lora_rank)
    taught, views = recipe.teacher is not None, (recipe.windows.levels, recipe.windows.speeds)
    return *named, *tuned, taught, head.name, head.pool, *views, frontend.name, frontend.colours


def _describe_data(recipe: "Recipe") -> str:
    """`ESC-50, folds 1-4, tested on fold 5`"""
    data, protocol, seeds = recipe.data, recipe.protocol, len(recipe.train.seeds)
    words = [_lists(recipe) if protocol.kind == "csv" else DATA_TITLES.get(data.name) or data_title(data.name)]
    if data.labels:
        words.append(f"{len(data.labels)} of its classes")
    if data.held_out:
        words.append(f"{len(data.held_out)} classes held out")
    if data.test:
        words.append(f"tested on {data_title(data.test)}")
    if protocol.kind == "fixed":
        words.append(_fixed(protocol.train, protocol.val, protocol.test))
    elif protocol.folds:
        words.append(f"tested on fold {_short(protocol.folds)} alone")
    elif protocol.kind == "kfold":
        words.append(f"folds {_short(protocol.train)} in turn" if protocol.train else "k-fold")
    else:
        of_kind = {"grouped": "grouped folds", "time": "parts of one recording", "holdout": "grouped hold-out"}
        of_kind["logo"] = "leave one speaker out" if data.name == "emodb" else "leave one group out"
        words += [of_kind[protocol.kind]] if protocol.kind in of_kind else []
    if seeds > 1:
        words.append(f"{seeds} seeds")
    return ", ".join(words)


def _fixed(train: tuple[str, ...], val: tuple[str, ...], test: tuple[str, ...]) -> str:
    folds = "fold" if len(train) == 1 else "folds"
    if val and val == test:
        return f"{folds} {_short(train)}, chosen and scored on fold {_short(test)}"
    if val:
        return f"folds {_short(train)} / {_short(val)} / {_short(test)}"
    return f"{folds} {_short(train)}, tested on fold {_short(test)}"


def _lists(recipe: "Recipe") -> str:
    """`train + val + test in lists`: the names of the lists, and their folder if it is one."""
    protocol = recipe.protocol
    paths = [Path(name) for part in (protocol.train, protocol.val, protocol.test) for name in part]
    names = " + ".join(path.stem for path in paths)
    folders = {path.absolute().parent.name for path in paths}
    return f"{names} in {folders.pop()}" if len(folders) == 1 else names


def _short(folds: tuple[str, ...]) -> str:
    """`1-8` for whole numbers in a row, else `1, 3, 5`."""
    if len(folds) > 2 and all(fold.isdecimal() for fold in folds):
        numbers = [int(fold) for fold in folds]
        if numbers == list(range(numbers[0], numbers[-1] + 1)):
            return f"{folds[0]}-{folds[-1]}"
    return ", ".join(folds)


def _describe_network(recipe: "Recipe") -> str:
    """`ResNet18 on colour spectrograms, from ImageNet`, or `frozen YAMNet, LightGBM on segments`"""
    network, head = recipe.network, recipe.head
    name = NETWORKS.get(network.name, network.name) + _ATTENTION.get(network.attention, "")
    weights = describe_weights(recipe)
    if network.name == "onnx":
        name = Path(network.weights).stem
    if head.name != "none":
        untrained = ", random weights" if weights == "from scratch" else ""
        pool = _POOLS.get(head.pool, "clip embeddings")
        return f"frozen {name}{untrained}, {_HEADS[head.name]} on {pool}{_describe_views(recipe)}"
    if network.width is not None:
        name += f", width {network.width},"
    inputs = {"none": "", "precomputed": " on stored spectrograms"}.get(
        recipe.frontend.name, " on log-mel spectrograms"
    )
    if recipe.frontend.name == "logmel" and recipe.frontend.colours != "none":
        inputs = " on colour spectrograms"
    if recipe.teacher:
        weights += f", taught by {NETWORKS[recipe.teacher.network]}"
    return ", ".join([f"{name}{inputs}, {weights}", *_describe_tuning(network)])


def _describe_tuning(network: "Network") -> list[str]:
    """What is trained, if it is not the whole network."""
    if network.mode == "head":
        return ["last layer alone"]
    blocks = network.trained_blocks
    last = [] if blocks is None else ["last block" if blocks == 1 else f"last {_COUNTS.get(blocks, blocks)} blocks"]
    return [f"adapters of rank {network.lora_rank}", *last] if network.lora_rank else last


def _describe_views(recipe: "Recipe") -> str:
    """` at two levels and three speeds`, or nothing."""
    counts = {"level": len(recipe.windows.levels), "speed": len(recipe.windows.speeds)}
    several = [f"{_COUNTS.get(count, count)} {what}s" for what, count in counts.items() if count > 1]
    return f" at {' and '.join(several)}" if several else ""


def describe_weights(recipe: "Recipe") -> str:
    name, weights = recipe.network.name, recipe.network.weights
    if weights == "none":
        return "from scratch"
    if weights == "default":
        other_width = name.startswith("resnet") and recipe.network.width not in (None, 64)
        return "from scratch" if other_width else _WEIGHTS.get(name, "from ImageNet")
    return "from ImageNet" if weights == "imagenet" else _WEIGHTS.get(weights, f"from {Path(weights).name}")
