"""The main job, once, on what is at hand: data, training, honest evaluation, report, a sound classified."""

from collections.abc import Callable
from pathlib import Path

from hubbub.config.recipe import Recipe
from hubbub.data.datasets import DATASETS
from hubbub.data.open import open_clips
from hubbub.experiment.run import run_recipe
from hubbub.report import run_folder
from hubbub.runtime import download
from hubbub.runtime.homes import StoreError, find

__all__ = ["run"]

Log = Callable[[str], None]


def run(out: Path, settings: list[str], log: Log) -> None:
    """Run the recipe that fits this machine into `out/demo` and classify a clip that its model has not heard."""
    data = "esc10" if find("data", DATASETS["esc10"].folder) else "street"
    log("data: " + ("ESC-10, found in a home" if data == "esc10" else "street, synthesised here: no home has ESC-50"))
    network = _network(log)
    recipe = Recipe.load(f"{data}-{network}", settings)
    run_recipe(recipe, out / "demo", log=log)
    _classify_one(out / "demo", recipe, log)


def _network(log: Log) -> str:
    try:
        log(f"network: YAMNet, with the weights {download.get('yamnet')}")
    except StoreError:
        log("network: a small CNN trained here: no home has YAMNet's weights and they could not be downloaded")
        return "cnn"
    return "yamnet"


def _classify_one(folder: Path, recipe: Recipe, log: Log) -> None:
    from hubbub.classifier.torch_classifier import load

    fold, _, place = run_folder.cells(folder)[0]
    clips = open_clips(recipe).table
    clip = clips[clips["fold"] == fold].iloc[0]
    heard = load(place).classify(clip["path"])
    log(f"\na clip of fold {fold}, by the model that has not heard that fold:")
    log(f"  {clip['path']}\n  heard: {heard.label} ({heard.score:.2f}); it is: {clip['label']}")
    log(f"\npage: {run_folder.page_file(folder)}\ntry next:")
    log(f"  hubbub classify {clip['path']} --model {folder}")
    log(f"  hubbub explain {place} {clip['path']}")
    log(f"  hubbub report {folder}")
    log("  hubbub recipes")
