"""The network that embeds an archive: a classifier's, or the pretrained network of a recipe."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hubbub.classifier.load import NAMED, load
from hubbub.config.recipe import Recipe, shipped
from hubbub.data.archive_file import ArchiveError
from hubbub.errors import HubbubError

if TYPE_CHECKING:
    from hubbub.classifier.base import Classifier

__all__ = ["absolute_name", "embed_texts", "knows_texts", "load_backbone"]

#: What a network's recipe is called: that of ESC-50, which each published network has.
_RECIPE = "esc50-{}"
#: The networks that learned from sounds and texts.
WITH_TEXTS = ("clap", "audioclip")


def load_backbone(name: str, device: str = "auto") -> "Classifier":
    """The classifier of this name, or the pretrained network of a recipe (`esc50-beats`, a TOML file) or of this name
    (`beats`), with windows that do not overlap, which halves the work.

    Raises `ArchiveError` where it takes no sound or has no pretrained weights, and what `load` raises.
    """
    recipe = recipe_name(name)
    model = _of_recipe(name, recipe, device) if recipe else load(name, device=device)
    if not model.takes_sound:
        raise ArchiveError(f"{name} takes spectrograms, not sound. Give a network for sound.")
    evaluate = model.recipe.evaluate.model_copy(update={"hop": model.recipe.windows.length})
    model.recipe = model.recipe.model_copy(update={"evaluate": evaluate})
    return model


def absolute_name(name: str) -> str:
    """The name of a network that holds in any working directory."""
    return os.path.abspath(name) if name not in NAMED and os.path.exists(name) else name


def recipe_name(name: str) -> str:
    """The recipe that a name stands for; "" for a classifier's name."""
    if name in NAMED:
        return ""
    if name in shipped() or Path(name).suffix == ".toml":
        return name
    return _RECIPE.format(name) if _RECIPE.format(name) in shipped() else ""


def embed_texts(name: str, texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """What the tower of texts of the network of this name makes of some texts, `[n, D]`. Raises `ArchiveError` where it
    has none."""
    from hubbub.models.weights import find_weights
    from hubbub.models.zero_shot import zero_shot_head

    recipe = recipe_name(name)
    try:
        if not knows_texts(name):
            raise ArchiveError("it has learned nothing about texts")
        loaded = Recipe.load(recipe)
        network, template = loaded.network.name, loaded.head.template
        found = zero_shot_head(network, list(texts), template, find_weights(loaded), 1).vectors
    except HubbubError as error:
        raise ArchiveError(
            f"the archive was indexed with {name}, which understands no words ({error}). Index the recordings with one "
            "that does: hubbub index RECORDINGS --to FOLDER --model clap"
        ) from error
    assert found is not None
    return np.asarray(found, dtype=np.float32)


def knows_texts(name: str) -> bool:
    """Whether the network of this name compares sounds with texts."""
    try:
        recipe = recipe_name(name)
        return bool(recipe) and Recipe.load(recipe).network.name in WITH_TEXTS
    except HubbubError:  # a recipe's file that is gone
        return False


def _of_recipe(name: str, recipe: str, device: str) -> "Classifier":
    from hubbub.classifier.torch_classifier import TorchClassifier
    from hubbub.models.weights import find_weights, load_weights

    loaded = Recipe.load(recipe, ["network.mode=head"])
    weights = find_weights(loaded)
    if weights is None:
        raise ArchiveError(
            f"{name} is a network without pretrained weights. Give one that has some (yamnet, mn10_as, beats, clap), "
            "or a trained classifier."
        )
    model = TorchClassifier(loaded, ("a", "b"))  # the labels of a last layer that is not used
    load_weights(model.network, weights)
    return model.to(device)
