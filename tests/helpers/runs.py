"""Small runs on the synthetic data set: seconds on one core."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hubbub.config.recipe import Recipe
from hubbub.experiment.prepare import Prepared
from tests.helpers.files import read_json

__all__ = ["TINY", "figures", "tiny_recipe", "with_other_labels"]

TINY = ("data.limit=2", "train.epochs=2", "network.width=4", "train.batch_size=16")


def tiny_recipe(*settings: str, name: str = "street-cnn") -> Recipe:
    """The recipe `name` with little data and a small network; `settings` come last."""
    return Recipe.load(name, [*TINY, *settings])


def figures(folder: Path) -> dict[str, Any]:
    """A run's summary without its times."""
    summary = read_json(folder / "summary.json")
    return {name: value for name, value in summary.items() if name not in ("seconds", "segments_per_second")}


def with_other_labels(prepared: Prepared, rows: npt.NDArray[np.intp]) -> Prepared:
    """Prepared data in which the clips `rows` have the label of another class, wherever it is read."""
    table, labels = prepared.clips.table.copy(), prepared.clips.labels
    other = [labels[(target + 1) % len(labels)] for target in prepared.targets[rows]]
    table.loc[rows, "label"] = other
    clips = replace(prepared.clips, table=table)
    return replace(prepared, clips=clips, targets=clips.targets())
