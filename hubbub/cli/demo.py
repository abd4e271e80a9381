"""`hubbub demo`: data, training, evaluation, report and a first classification in one command."""

from collections.abc import Callable
from pathlib import Path

from hubbub.classifier.load import load
from hubbub.config.recipe import Recipe
from hubbub.data.datasets import DATASETS
from hubbub.data.open import open_clips
from hubbub.experiment.run import run_recipe
from hubbub.report import run_folder
from hubbub.runtime import download
from hubbub.runtime.homes import StoreError, find

__all__ = ["run_demo"]

Log = Callable[[str], None]


def run_demo(out: Path, settings: list[str], log: Log) -> None:
    """Runs the recipe that fits this machine into `out/demo` and classifies a clip of its first test fold."""
    data = "esc10" if find("data", DATASETS["esc10"].folder) else "street"
    log("data: " + ("ESC-10" if data == "esc10" else "street, generated here: ESC-50 is not installed"))
    network = _network(log)
    recipe = Recipe.load(f"{data}-{network}", settings)
    run_recipe(recipe, out / "demo", log=log)
    _classify_one(out / "demo", recipe, log)


def _network(log: Log) -> str:
    try:
        log(f"network: YAMNet, with the weights {download.get('yamnet')}")
    except StoreError:
        log("network: a small CNN: YAMNet's weights are not installed and could not be downloaded")
        return "cnn"
    return "yamnet"


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
