"""Small runs on the synthetic data set: seconds on one core."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from hubbub.config.recipe import Recipe
from hubbub.experiment import gallery, steps
from hubbub.experiment.prepare import Prepared
from hubbub.experiment.run import run_recipe
from hubbub.report.results import Summary
from tests.helpers.files import read_json

__all__ = ["TINY", "bare", "bare_run", "figures", "tiny_recipe", "with_other_labels"]

TINY = ("data.limit=2", "train.epochs=2", "network.width=4", "train.batch_size=16")


def tiny_recipe(*settings: str, name: str = "street-cnn") -> Recipe:
    """The recipe `name` with little data and a small network; `settings` come last."""
    return Recipe.load(name, [*TINY, *settings])


@contextmanager
def bare() -> Iterator[None]:
    """Runs of this process end without an exported file and explained mistakes, which are two thirds of a tiny run's
    time. Tests of exports and of the gallery look at these."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "_exported", lambda *_: None)
        patch.setattr(gallery, "write_gallery", lambda *_: None)
        yield


@bare()
def bare_run(recipe: Recipe, folder: Path, **settings: Any) -> Summary:
    """`run_recipe`, `bare`."""
    return run_recipe(recipe, folder, **settings)


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
