"""The main job, once, on what is at hand: data, training, honest evaluation, report, a sound classified."""

from collections.abc import Callable
from pathlib import Path

from hubbub.config.recipe import Recipe
from hubbub.data.datasets import DATASETS
from hubbub.data.open import open_clips
from hubbub.experiment import run as experiment
from hubbub.runtime import download
from hubbub.runtime.homes import StoreError, find

__all__ = ["run"]

Say = Callable[[str], None]


def run(out: Path, settings: list[str], say: Say) -> None:
    """Run the recipe that fits this machine into `out/demo` and classify a clip that its model has not heard."""
    data = "esc10" if find("data", DATASETS["esc10"].folder) else "street"
    say("data: " + ("ESC-10, found in a home" if data == "esc10" else "street, synthesised here: no home has ESC-50"))
    network = _network(say)
    recipe = Recipe.load(f"{data}-{network}", settings)
    experiment.run(recipe, out / "demo", say=say)
    _classify_one(out / "demo", recipe, say)


def _network(say: Say) -> str:
    try:
        say(f"network: YAMNet, with the weights {download.get('yamnet')}")
    except StoreError:
        say("network: a small CNN trained here: no home has YAMNet's weights and they could not be downloaded")
        return "cnn"
    return "yamnet"


def _classify_one(folder: Path, recipe: Recipe, say: Say) -> None:
    from hubbub.classifier.torch_classifier import load

    place = sorted(folder.glob("test-*/seed-*"))[0]
    fold = place.parent.name.removeprefix("test-")
    clips = open_clips(recipe).table
    clip = clips[clips["fold"] == fold].iloc[0]
    heard = load(place).classify(clip["path"])
    say(f"\na clip of fold {fold}, by the model that has not heard that fold:")
    say(f"  {clip['path']}\n  heard: {heard.label} ({heard.score:.2f}); it is: {clip['label']}")
    say(f"\npage: {folder / 'report.html'}\ntry next:")
    say(f"  hubbub classify {clip['path']} --model {folder}")
    say(f"  hubbub explain {place} {clip['path']}")
    say(f"  hubbub report {folder}")
    say("  hubbub recipes")
