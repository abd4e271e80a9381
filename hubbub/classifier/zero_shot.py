"""Classifiers of labels that were never trained on: CLAP compares sounds with texts about the labels."""

import os
from collections.abc import Sequence
from pathlib import Path

from hubbub.classifier.base import SAVED_IN, ClassifierError
from hubbub.classifier.saved import CARD
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.config.recipe import Recipe
from hubbub.models.clap import RATE_HZ
from hubbub.models.weights import find_weights, load_weights
from hubbub.models.zero_shot import zero_shot_head

__all__ = ["zero_shot"]

#: The length of a segment [s], half of what CLAP takes, so that a sound in it is not lost in what is around it.
SEGMENT_S = 5


def zero_shot(name: str | os.PathLike[str], labels: Sequence[str], template: str | None = None) -> TorchClassifier:
    """The classifier of these labels by a CLAP checkpoint: `clap` is the published one, other names are as those of
    `network.weights`. Raises `ClassifierError` for labels that are too few or alike, and for anything but CLAP."""
    named = [label.strip() for label in labels] if not isinstance(labels, str) else [labels]
    if len(named) < 2 or not all(named) or len(set(named)) < len(named):
        raise ClassifierError(
            f"labels {labels!r}: give two or more different ones, since scores compare them with each other."
        )
    if os.path.exists(Path(name) / CARD) or os.path.isfile(name) or os.path.isdir(Path(name) / SAVED_IN):
        raise ClassifierError(
            f"{name} is a saved classifier, whose labels are fixed: the texts' embeddings are part of it, and CLAP's "
            "tower of texts is not. Leave labels out, or give the checkpoint of CLAP."
        )
    content = {
        "title": "CLAP, zero-shot",
        "data": {"name": "labels"},
        "audio": {"rate_hz": RATE_HZ},
        "windows": {"length": SEGMENT_S * RATE_HZ, "hop": SEGMENT_S * RATE_HZ, "pad": "repeat"},
        "network": {"name": "clap", "weights": "default" if str(name) == "clap" else str(name)},
        "head": {"name": "zeroshot", **({} if template is None else {"template": template})},
    }
    recipe = Recipe.of(content, "labels")
    model = TorchClassifier(recipe, tuple(named))
    weights = find_weights(recipe)
    assert weights is not None  # neither 'none' nor a network without published weights
    load_weights(model.network, weights)
    model.head = zero_shot_head(named, recipe.head.template, weights, model.network.fc.in_features)
    model.card = {"trained_on": "pairs of sounds and texts, by CLAP's authors; on no clips of these labels"}
    return model
