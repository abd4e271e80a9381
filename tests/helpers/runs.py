"""Small runs on the synthetic data set: seconds on one core."""

from pathlib import Path
from typing import Any

from hubbub.config.recipe import Recipe
from tests.helpers.files import read_json

__all__ = ["TINY", "figures", "tiny_recipe"]

TINY = ("data.limit=2", "train.epochs=2", "network.width=4", "train.batch_size=16")


def tiny_recipe(*settings: str, name: str = "street-cnn") -> Recipe:
    """The recipe `name` with little data and a small network; `settings` come last."""
    return Recipe.load(name, [*TINY, *settings])


def figures(folder: Path) -> dict[str, Any]:
    """A run's summary without its times."""
    summary = read_json(folder / "summary.json")
    return {name: value for name, value in summary.items() if name not in ("seconds", "segments_per_second")}
