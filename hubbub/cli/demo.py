"""`hubbub demo`: data, training, evaluation, report and a first classification in one command, without a network."""

from collections.abc import Callable
from pathlib import Path

from hubbub.classifier.load import load
from hubbub.config.recipe import Recipe
from hubbub.data.open import open_clips
from hubbub.experiment.run import run_recipe
from hubbub.report import run_folder
from hubbub.runtime.shipped import SMALL

__all__ = ["RECIPE", "run_demo"]

Log = Callable[[str], None]
#: Synthetic sound and the network that comes with hubbub: nothing is downloaded.
RECIPE = "street-small"


def run_demo(out: Path, settings: list[str], log: Log) -> None:
    """Runs a recipe that any machine can run into `out/demo` and classifies a clip of its first test fold."""
    log("data: street, ten classes of city sound, generated here")
    log(f"network: {SMALL}, which comes with hubbub, frozen, with a linear head")
    recipe = Recipe.load(RECIPE, settings)
    run_recipe(recipe, out / "demo", log=log)
    _classify_one(out / "demo", recipe, log)


def _classify_one(folder: Path, recipe: Recipe, log: Log) -> None:
    fold, _, cell = run_folder.cells(folder)[0]
    clips = open_clips(recipe).table
    clip = clips[clips["fold"] == fold].iloc[0]
    prediction = load(cell).classify(clip["path"])
    log(f"\na clip of fold {fold}, by the model that was not trained on that fold:")
    log(f"  {clip['path']}\n  predicted: {prediction.label} ({prediction.score:.2f}); label: {clip['label']}")
    log(f"\npage: {run_folder.page_file(folder)}\ntry next:")
    log(f"  hubbub classify {clip['path']} --model {folder}")
    log(f"  hubbub explain {cell} {clip['path']}")
    log(f"  hubbub report {folder}")
    log("  hubbub recipes")
