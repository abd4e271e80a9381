"""Networks of the Hugging Face hub from data to use: trained, saved, loaded elsewhere, served, explained, exported."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import safetensors.torch
import soundfile
import torch

from hubbub.audio import decode
from hubbub.classifier.export import TOLERANCE, Sounds, export
from hubbub.classifier.load import load_torch
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.config.recipe import Recipe
from hubbub.experiment.run import run_recipe
from hubbub.inference.explain import explain
from hubbub.models.weights import load_weights
from hubbub.report import run_folder
from tests.helpers.checkpoints import save_checkpoint, tiny
from tests.helpers.runs import bare_run
from tests.helpers.serving import serving
from tests.helpers.shipped_recipes import runs_quick
from tests.helpers.sounds import noise
from tests.helpers.spectrogram_checkpoints import saved

PLAN = {
    "data": {"name": "street", "limit": 2},
    "protocol": {"kind": "fixed", "train": ["1", "2"], "val": ["3"], "test": ["4"]},
    "windows": {"length": 16_000, "hop": 16_000},
    "train": {"epochs": 1, "batch_size": 16, "learning_rate": 1e-3},
}


def recipe(checkpoint: Path, **sections: dict[str, Any]) -> Recipe:
    """Few clips and one epoch; the networks begin with the checkpoint's weights."""
    network = {"name": "wav2vec2", "weights": str(checkpoint), **sections.pop("network", {})}
    return Recipe.of({**PLAN, **sections, "network": network})


@pytest.mark.slow
def test_a_frozen_network_goes_all_the_way_without_its_checkpoint(tmp_path: Path) -> None:
    checkpoint = save_checkpoint(tmp_path / "net", "wav2vec2")
    head = {"name": "logreg", "pool": "mean", "c": [0.1]}
    run = run_recipe(recipe(checkpoint, head=head), tmp_path / "run")
    assert not [line for line in run.why_not_comparable if "RANDOM" in line]
    shutil.rmtree(checkpoint)
    wave = 0.1 * noise(1, 24_000)[:, 0]
    soundfile.write(tmp_path / "x.wav", wave, 16_000, subtype="FLOAT")
    code = (
        "import json, sys, hubbub\n"
        "from hubbub.classifier.load import load_torch\n"
        "for load in (hubbub.load, load_torch):\n"
        "    scores = load(sys.argv[1]).classify(sys.argv[2]).scores\n"
        "    print(json.dumps(scores), 'transformers' in sys.modules)"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "run"), str(tmp_path / "x.wav")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    exported, whole = (line.rsplit(" ", 1) for line in done.stdout.splitlines())
    assert (exported[1], whole[1]) == ("False", "True")  # the exported network needs neither library nor config
    assert json.loads(exported[0]) == pytest.approx(json.loads(whole[0]), abs=1e-4)
    with serving(tmp_path / "served", tmp_path / "run") as server:
        answer = httpx.post(f"{server.url}/v1/classify", content=(tmp_path / "x.wav").read_bytes(), timeout=60)
    assert answer.json()["scores"] == pytest.approx(json.loads(whole[0]), abs=1e-3)


@pytest.mark.slow
def test_a_fine_tuned_network_with_learnt_means_is_explained(tmp_path: Path) -> None:
    checkpoint = save_checkpoint(tmp_path / "net", "wav2vec2")
    bare_run(recipe(checkpoint, network={"layer": "mix", "token_pooling": "attention"}), tmp_path / "run", refit=False)
    model = load_torch(next((tmp_path / "run").glob("test-*/seed-*/classifier")))
    own = safetensors.torch.load_file(checkpoint / "model.safetensors")
    for name in ("encoder.layers.0.feed_forward.output_dense.weight", "feature_extractor.conv_layers.0.conv.weight"):
        assert not torch.equal(model.network.state_dict()[f"body.{name}"], own[name]), "it was not trained"
    assert model.network.state_dict()["mix.weights"].any()
    wave = 0.1 * noise(1, 24_000)[:, 0]
    for occlusion, method in ((False, "Grad-CAM"), (True, "occlusion")):
        found = explain(model, wave, 16_000, occlusion=occlusion)
        assert found.method == method and np.isfinite(found.map).all() and found.map.max() > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "rate_hz", "seconds"), [("wav2vec2", 16_000, 2.5), ("ast", 16_000, 1.0), ("clap", 48_000, 5.0)]
)
def test_adapters_are_trained_on_real_clips_and_merged(
    name: str, rate_hz: int, seconds: float, home: Callable[[str, str], Path], tmp_path: Path
) -> None:
    """Low-rank adapters on 50 clips of ESC-10: saved, loaded elsewhere, explained, exported."""
    home("data", "esc50")
    checkpoint = tiny(name) if name == "wav2vec2" else str(saved(name)[0])
    plan = Recipe.of(
        {
            "data": {"name": "esc10", "limit": 1},
            "protocol": {"kind": "fixed", "train": ["1", "2", "3"], "val": ["4"], "test": ["5"]},
            "audio": {"rate_hz": rate_hz},
            "windows": {"length": f"{seconds} s", "hop": f"{seconds} s"},
            "network": {"name": name, "weights": checkpoint, "lora_rank": 2},
            "train": {"epochs": 1, "batch_size": 32, "learning_rate": 1e-2, "device": "cpu"},
        }
    )
    bare_run(plan, tmp_path / "run", refit=False)
    [place] = (tmp_path / "run").glob("test-*/seed-*/classifier")
    model, fresh = load_torch(place), TorchClassifier(plan, tuple(map(str, range(10))))
    load_weights(fresh.network, Path(checkpoint) / "model.safetensors")
    before, after = fresh.network.state_dict(), model.network.state_dict()
    assert before.keys() == after.keys()  # no adapters are left
    changed = [key for key, value in after.items() if not torch.equal(value, before[key]) and not key.startswith("fc.")]
    adapted = {f"{key}.weight" for key, layer in fresh.network.named_modules() if isinstance(layer, torch.nn.Linear)}
    assert changed and set(changed) <= adapted
    clip = run_folder.predictions(tmp_path / "run")["clip"].iloc[0]
    [sound] = (home("data", "esc50")).rglob(f"{clip}.*")
    code = "import json, sys, hubbub; print(json.dumps(hubbub.load(sys.argv[1]).classify(sys.argv[2]).scores))"
    words = [sys.executable, "-c", code, str(place), str(sound)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    expected = model.classify(sound).scores
    assert json.loads(done.stdout) == pytest.approx(expected, abs=1e-4)
    explained = explain(model, decode.load(sound, rate_hz)[:rate_hz], rate_hz)
    assert np.isfinite(explained.map).all()
    written = export(model, tmp_path / "x.onnx", Sounds("esc10", [decode.load(sound, rate_hz)]))
    assert written.exported["difference"] <= TOLERANCE


@pytest.mark.slow
def test_a_recipe_of_the_hub_runs_quick_with_random_weights(
    home: Callable[[str, str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One layer of the twelve, for time."""
    runs_quick("emodb-wavlm", home, tmp_path, monkeypatch, "network.layer=1")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert any(line.startswith("RANDOM INITIALISATION: the wavlm's") for line in summary["why_not_comparable"])
    assert "RANDOM INITIALISATION" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
