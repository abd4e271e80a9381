"""Classifiers of labels that were never trained on: CLAP and AudioCLIP compare sounds with texts about the labels."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hubbub.classifier.base import SAVED_IN, ClassifierError
from hubbub.classifier.saved import CARD
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.config.recipe import Recipe
from hubbub.models import clap, esresnext
from hubbub.models.audioclip_texts import require_tokenizer
from hubbub.models.weights import find_weights, load_weights
from hubbub.models.zero_shot import zero_shot_head

__all__ = ["zero_shot"]

#: The length of a segment [s], half of what both learnt from, so that a sound in it is not lost in what is around it.
SEGMENT_S = 5
#: The published weights of AudioCLIP, and the text that it learnt about a label.
AUDIOCLIP, LABEL_ALONE = ("audioclip", "audioclip_full", "audioclip_partial"), "{}"


def zero_shot(name: str | os.PathLike[str], labels: Sequence[str], template: str | None = None) -> TorchClassifier:
    """The classifier of these labels by CLAP or AudioCLIP: `clap` and `audioclip` are the published ones,
    `audioclip_full` and `audioclip_partial` the two that AudioCLIP has; other names are checkpoints of CLAP, as those
    of `network.weights`. Raises `ClassifierError` for labels that are too few or alike, and for anything else."""
    named = [label.strip() for label in labels] if not isinstance(labels, str) else [labels]
    if len(named) < 2 or not all(named) or len(set(named)) < len(named):
        raise ClassifierError(
            f"labels {labels!r}: give two or more different ones, since scores compare them with each other."
        )
    if os.path.exists(Path(name) / CARD) or os.path.isfile(name) or os.path.isdir(Path(name) / SAVED_IN):
        raise ClassifierError(
            f"{name} is a saved classifier, whose labels are fixed: the texts' embeddings are part of it, and the "
            "tower of texts is not. Leave labels out, or give the checkpoint of CLAP."
        )
    recipe = Recipe.of(_recipe(str(name), template), "labels")
    model = TorchClassifier(recipe, tuple(named))
    weights = find_weights(recipe)
    assert weights is not None  # neither 'none' nor a network without published weights
    load_weights(model.network, weights)
    network, size = recipe.network.name, model.network.fc.in_features
    model.head = zero_shot_head(network, named, recipe.head.template, weights, size)
    model.card = {"trained_on": "pairs of sounds and texts, by the network's authors; on no clips of these labels"}
    return model


def _recipe(name: str, template: str | None) -> dict[str, Any]:
    """The recipe of a checkpoint."""
    if name in AUDIOCLIP:
        require_tokenizer()  # before half a gigabyte is fetched
        network, rate_hz, pad, template = (
            "audioclip",
            esresnext.RATE_HZ,
            "zeros",
            LABEL_ALONE if template is None else template,
        )
    else:
        network, rate_hz, pad = "clap", clap.RATE_HZ, "repeat"
    return {
        "title": f"{'CLAP' if network == 'clap' else 'AudioCLIP'}, zero-shot",
        "data": {"name": "labels"},
        "audio": {"rate_hz": rate_hz},
        "windows": {"length": SEGMENT_S * rate_hz, "hop": SEGMENT_S * rate_hz, "pad": pad},
        "network": {"name": network, "weights": "default" if name == network else name},
        "head": {"name": "zeroshot", **({} if template is None else {"template": template})},
    }
