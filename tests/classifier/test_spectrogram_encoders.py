"""Classifiers on AST, CLAP and Whisper's encoder: saved, exported, explained, trained frozen and whole."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import hubbub
from hubbub.classifier.export import TOLERANCE, Sounds, export
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.config.recipe import Recipe
from hubbub.experiment.run import run_recipe
from hubbub.inference.explain import explain
from hubbub.models.weights import find_weights, load_weights
from hubbub.report import run_folder
from tests.helpers.sounds import write_tones
from tests.helpers.spectrogram_checkpoints import saved

pytest.importorskip("transformers")

RATES = {"ast": 16_000, "clap": 48_000, "whisper": 16_000}
each = pytest.mark.parametrize("name", RATES)
LABELS = ("dog", "rain", "siren")


def recipe(name: str, folder: Path | str, data: Path | str = "street", seconds: float = 0.5, **sections: Any) -> Recipe:
    length = round(seconds * RATES[name])
    content: dict[str, Any] = {
        "data": {"name": str(data)},
        "audio": {"rate_hz": RATES[name]},
        "windows": {"length": length, "hop": length},
        "network": {"name": name, "weights": str(folder)},
        "train": {"device": "cpu"},
    }
    return Recipe.of({**content, **{key: content.get(key, {}) | values for key, values in sections.items()}})


def waves(name: str) -> list[np.ndarray]:
    """Noise, and a tone that begins late, of 2.4 segments."""
    rng, count = np.random.default_rng(0), round(1.2 * RATES[name])
    noise = rng.normal(0, 0.1, (2, count))
    tone = np.sin(np.arange(count) / RATES[name] * 6_000) * (np.arange(count) > 0.7 * count)
    return [one.astype(np.float32) for one in (noise[0], 0.3 * tone + 0.01 * noise[1])]


@pytest.mark.parametrize("name", ["ast", pytest.param("clap", marks=pytest.mark.slow), "whisper"])
def test_saved_and_exported_it_needs_no_checkpoint(name: str, tmp_path: Path) -> None:
    shutil.copytree(saved(name)[0], tmp_path / "checkpoint")
    plan = recipe(name, tmp_path / "checkpoint")
    model = TorchClassifier(plan, LABELS)
    file = find_weights(plan)
    assert file is not None
    load_weights(model.network, file)
    expected = [model.classify(wave, rate_hz=model.rate_hz).scores for wave in waves(name)]
    assert max(abs(a - b) for a, b in zip(expected[0].values(), expected[1].values(), strict=True)) > 1e-4
    model.save(tmp_path / "saved")
    written = export(model, tmp_path / "x.onnx", Sounds("noise", waves(name)))
    assert written.exported["difference"] <= TOLERANCE
    assert written.exported["any_length"] == (name != "clap")
    shutil.rmtree(tmp_path / "checkpoint")
    for place in ("saved", "x.onnx"):
        again = hubbub.load(tmp_path / place, device="cpu")
        for wave, scores in zip(waves(name), expected, strict=True):
            found = again.classify(wave, rate_hz=model.rate_hz).scores
            np.testing.assert_allclose(list(found.values()), list(scores.values()), atol=1e-4)
    again = hubbub.load(tmp_path / "saved", device="cpu")
    assert isinstance(again, TorchClassifier) and again.fingerprint() == model.fingerprint()
    explained = explain(again, waves(name)[1], again.rate_hz)
    assert explained.method == "Grad-CAM" and explained.map.max() > 0 and np.isfinite(explained.map).all()
    assert ("tells when, not how high" in " ".join(explained.caveats)) == (name == "whisper")


@each
def test_a_frozen_network_under_a_head(name: str, tmp_path: Path) -> None:
    """Tones of two pitches in noise: 32 short clips of four folds."""
    data = write_tones(tmp_path / "tones") / "list.csv"
    plan = recipe(
        name,
        saved(name)[0],
        data,
        0.25,
        protocol={"kind": "kfold", "folds": ["1"]},
        head={"name": "logreg", "c": [1.0]},
    )
    summary = run_recipe(plan, tmp_path / "run", refit=False)
    assert summary.clips == 8
    assert not any(reason.startswith("RANDOM") for reason in summary.why_not_comparable)
    table = run_folder.predictions(tmp_path / "run")
    clips = table[table["level"] == "clip"]
    assert (clips[["a", "b"]].idxmax(axis=1) == clips["label"]).mean() >= 0.75


@pytest.mark.slow
@each
def test_the_whole_network_learns(name: str, tmp_path: Path) -> None:
    data = write_tones(tmp_path / "tones") / "list.csv"
    train = {"epochs": 12, "batch_size": 8, "learning_rate": 3e-3, "schedule": "constant", "warmup_epochs": 0}
    plan = recipe(name, saved(name)[0], data, 0.25, protocol={"kind": "kfold", "folds": ["1"]}, train=train)
    run_recipe(plan, tmp_path / "run", refit=False)
    [history] = (tmp_path / "run").glob("test-*/seed-*/history.csv")
    losses = pd.read_csv(history)["train_loss"]
    assert losses.iloc[-1] < 0.9 * losses.iloc[0]
    [place] = (tmp_path / "run").glob("test-*/seed-*/classifier")
    assert hubbub.load(place, device="cpu").labels == ("a", "b")
