"""Small classifiers of random weights, for tests."""

import numpy as np

from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.config.recipe import Recipe
from hubbub.models.heads import build_head, candidates

__all__ = ["LABELS", "small_classifier"]

LABELS = ("dog", "rain", "siren")


def small_classifier(*settings: str, labels: tuple[str, ...] = LABELS, seed: int = 1) -> TorchClassifier:
    """The CNN of `street-cnn`, four channels wide, with these settings. A head is fitted to random embeddings, in which
    the classes differ."""
    recipe = Recipe.load("street-cnn", ["network.width=4", "windows.hop=16000", *settings])
    model = TorchClassifier(recipe, labels, seed=seed)
    if recipe.head.name != "none":
        rng = np.random.default_rng(0)
        size = model.outputs(np.zeros((1, recipe.windows.length), np.float32)).shape[1] // len(model.views)
        size *= 2 if recipe.head.pool == "mean+max" else 1
        x, y = rng.normal(size=(60, size)).astype(np.float32), np.arange(60) % len(labels)
        model.head = build_head(recipe.head, candidates(recipe.head)[0]).fit(x + y[:, None], y)
    return model
