"""A shipped recipe in its small form: it runs, learns, and its classifier classifies."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from hubbub.classifier.load import load
from hubbub.config.recipe import Recipe, shipped
from hubbub.data import write_scenes
from hubbub.data.datasets import DATASETS
from hubbub.data.open import open_clips
from hubbub.data.scenes import SceneSettings
from hubbub.experiment.prepare import prepare
from hubbub.models.registry import HUB
from tests.helpers.amount import LONG
from tests.helpers.contacts import without_network
from tests.helpers.runs import bare_run

__all__ = ["own_networks", "runs_quick"]


#: Run by `make faults` alone, for time: each differs from one that runs in the data set, its windows and augmentation
#: alone, in width, in how long it trains, or in layers that other tests look at.
LEFT_OUT = {
    *("emodb-alexnet", "emodb-resnet50", "emodb-resnet50-cbam", "emodb-resnet50-se"),  # as esc50-, as emodb-baseline
    *("us8k-mn04_as", "us8k-mn10_as", "us8k-audioclip", "us8k-esresnext", "us8k-cnn14"),  # as esc50-
    *("esc50-beats", "esc10-yamnet", "esc10-yamnet-views"),  # as us8k-beats, esc50-
    *("esc50-resnet18half-cv", "esc50-resnet18half-validation", "esc50-resnet18half-final"),  # as esc50-resnet18-
    *("esc50-resnet18-validation", "esc50-resnet50-se", "esc50-compact-long"),  # as -cv, -cbam, esc50-compact
    *("us8k-vgg16", "us8k-alexnet", "esc50-esresnext"),  # as esc50-alexnet, esc50-audioclip
    *("esc50-resnet50", "esc50-resnet18-final", "street-yamnet", "emodb-yamnet"),  # as -cbam, -cv, esc50-yamnet
    *("scenes-compact", "us8k-compact", "us8k-efficientnet_b0"),  # as scenes-yamnet, esc50-compact, us8k-mobilenet_v2
    *("esc50-cnn14", "esc50-mn10_as", "emodb-small", "us8k-small"),  # as esc50-mn04_as, esc50-small
    *("esc10-cnn", "us8k-convnext_tiny"),  # as street-cnn, us8k-mobilenet_v2
    *("us8k-inception_v3", "us8k-resnet18"),  # test_from_images.py, from pictures
    "esc50-audioclip-zeroshot",  # test_audioclip_texts.py, test_zero_shot.py
}


def own_networks(esc: bool) -> list[str]:
    """The shipped recipes of ESC-50 and ESC-10, or all others; in the short form without those of `LEFT_OUT`, and
    without networks of the Hugging Face hub, of which test_hub_networks.py runs one."""
    names = [name for name in shipped() if name.startswith("esc") == esc]
    if LONG:
        return names
    return [name for name in names if name not in LEFT_OUT and Recipe.load(name).network.name not in HUB]


def runs_quick(
    name: str, home: Callable[[str, str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *settings: str
) -> None:
    without_network(monkeypatch)
    plan = Recipe.load(name, ["data.allow_missing=true", *settings], quick=True)
    if plan.data.name == "scenes":  # made of another data set, as the recipe says
        monkeypatch.chdir(tmp_path)
        write_scenes.write("street", Path("scenes"), SceneSettings(0.05, 12.0), ("dog_bark", "jackhammer", "siren"))
    elif plan.data.name != "street":
        home("data", DATASETS[plan.data.name].folder)
    if plan.network.name == "yamnet":
        home("weights", "yamnet.h5")
    summary = bare_run(plan, tmp_path / "run", quick=True)
    assert any(reason.startswith("QUICK") for reason in summary.why_not_comparable)
    assert load(tmp_path / "run").card["not_comparable"] == summary.why_not_comparable
    if plan.data.name == "emodb":
        assert any(reason.startswith("ANOTHER VERSION: every") for reason in summary.why_not_comparable)
    assert summary.clips == len({c for split in prepare(plan, quick=True).splits for c in split.test})
    for history in (tmp_path / "run").glob("test-*/seed-*/history.csv"):
        losses = pd.read_csv(history)["train_loss"]
        assert losses.iloc[-1] < losses.iloc[0]
    clip = open_clips(plan).table["path"].iloc[0]
    assert tuple(load(tmp_path / "run").classify(clip).scores) == prepare(plan, quick=True).clips.labels
