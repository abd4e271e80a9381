"""Systems B and D from pictures: drawn once with their variants, then networks of their suites trained on them.

The short form takes two of each suite: the others differ in what stands behind the first layer.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hubbub.classifier.load import load
from hubbub.config.recipe import Recipe
from hubbub.data import write_images
from hubbub.data.open import open_data
from hubbub.report.compare import compare_runs
from tests.helpers.amount import amount
from tests.helpers.contacts import without_network
from tests.helpers.runs import bare_run

B = ("resnet18", "inception_v3", "alexnet", "vgg16", "mobilenet_v2", "efficientnet_b0", "convnext_tiny")
D = ("baseline", "resnet50-cbam", "alexnet", "resnet50", "resnet50-se")
#: Folds 1, 9 and 10 train, choose and test; the other folds would only take time.
FOLDS = {"urbansound8k": ("1", "9", "10"), "esc50": ("1", "2", "3")}


def drawn(recipe: str, variants: str, folder: Path, *settings: str) -> Path:
    """The recipe's pictures of one clip a class and fold, in its `--quick` size."""
    made = Recipe.load(recipe, ["data.limit=1", "data.allow_missing=true", *settings])
    return write_images.write(made, folder, variants)


@pytest.fixture(scope="module")
def b(home: Callable[[str, str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    home("data", "urbansound8k")
    return drawn("us8k-resnet18", "b", tmp_path_factory.mktemp("b"), "frontend.size=[96,96]")


@pytest.fixture(scope="module")
def d(home: Callable[[str, str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    home("data", "esc50")
    return drawn("esc50-resnet50", "d", tmp_path_factory.mktemp("d"), "data.name=esc10", "frontend.size=[64,64]")


def test_system_bs_own_pictures_train(tmp_path: Path) -> None:
    """Its columns, folders and format: RGBA of 1000 x 400. Networks of two sizes can be compared on them."""
    rows = []
    for number in range(12):
        fold, label = number % 3 + 1, ("siren", "drilling")[number // 3 % 2]
        pixels = np.random.default_rng(number).integers(0, 256, (400, 1000, 4), dtype=np.uint8)
        pixels[: 200 if label == "siren" else 400, :, 0], pixels[..., 3] = 0, 255
        name = f"{number}-{number % 2}-original.png"
        (tmp_path / f"spectrograms/fold{fold}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / f"spectrograms/fold{fold}" / name, compress_level=0)
        rows.append({"spec_file_name": name, "orig_file_name": f"{number}.wav", "fsID": number, "fold": fold,
                     "classID": number % 2, "class": label, "augmentation": "original"})  # fmt: skip
    pd.DataFrame(rows).to_csv(tmp_path / "UrbanSound8K_spec.csv", index=False)
    protocol = 'protocol={kind="kfold", folds=["1"], train=[], val=[], test=[]}'
    settings = [f"data.name={tmp_path / 'UrbanSound8K_spec.csv'}", "data.limit=9", "network.weights=none", protocol]
    runs = [tmp_path / "resnet18", tmp_path / "mobilenet_v2"]
    for run, size in zip(runs, (32, 48), strict=True):
        own = [*settings, f"frontend.size=[{size},{size}]", "train.epochs=1"]
        bare_run(Recipe.load(f"us8k-{run.name}", own, quick=True), run, quick=True, refit=False)
    first, other = (json.loads((run / "environment.json").read_text()) for run in runs)
    assert first["data"]["clips"] == 12 and first["data"]["manifest"] == other["data"]["manifest"]
    assert compare_runs(runs).protocols == [first["protocol"]]


def trained(recipe: str, pictures: Path, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """A `--quick` run on pictures: its loss falls, copies train and nothing else, and what it saved hears sound."""
    without_network(patch)
    settings = [f"data.name={pictures}", "data.limit=1"]
    bare_run(Recipe.load(recipe, settings, quick=True), folder, quick=True, refit=False)
    cell = next(folder.glob("test-*/seed-*"))
    losses = pd.read_csv(cell / "history.csv")["train_loss"]
    assert losses.iloc[-1] < losses.iloc[0]
    listed = pd.read_csv(pictures, dtype=str)
    copies = set(listed["spec_file_name"][listed["augmentation"] != "original"])
    tested = set(pd.read_parquet(cell / "predictions.parquet")["clip"])
    assert tested and not tested & copies
    assert json.loads((folder / "environment.json").read_text())["data"]["clips"] > len(tested)
    resolved = Recipe.load(folder / "recipe.toml")
    assert resolved.augment.stretch is None and resolved.frontend.name == "logmel"
    sound = open_data(resolved.data.name).table["path"][0]
    model = load(cell)
    assert model.classify(sound).label in model.labels  # a picture


@pytest.mark.slow
@pytest.mark.parametrize("network", B[: amount(2, len(B))])
def test_system_b_trains_from_pictures(network: str, b: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(f"us8k-{network}", b, tmp_path / "run", monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("network", D[: amount(2, len(D))])
def test_system_d_trains_from_pictures(network: str, d: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(f"esc50-{network}", d, tmp_path / "run", monkeypatch)
