"""Recipes that train in a moment, for tests."""

from typing import Any

from hubbub.config.recipe import Recipe

__all__ = ["LENGTH", "plan"]

#: Samples of a segment.
LENGTH = 1_600


def plan(**sections: dict[str, Any]) -> Recipe:
    """A recipe of the smallest CNN, without dropout, for one epoch of one step unless told otherwise."""
    content: dict[str, dict[str, Any]] = {
        "data": {"name": "noise"},
        "windows": {"length": LENGTH, "hop": LENGTH},
        "frontend": {"name": "logmel", "n_fft": 256, "hop": 160, "n_mels": 16, "ref": "max"},
        "network": {"width": 2, "dropout": 0.0},
        "train": {"epochs": 1, "batch_size": 100, "schedule": "constant", "learning_rate": 0.05, "device": "cpu"},
    }
    for section, values in sections.items():
        content[section] = content.get(section, {}) | values
    return Recipe.of(content)
