"""Networks of the Hugging Face hub from data to use: trained, saved, loaded elsewhere, served, explained, exported."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile

from hubbub.classifier.export import Sounds, export
from hubbub.classifier.load import load, load_torch
from hubbub.config.recipe import Recipe
from hubbub.experiment.run import run_recipe
from hubbub.inference.explain import explain
from tests.helpers.checkpoints import save_checkpoint
from tests.helpers.serving import serving
from tests.helpers.shipped_recipes import runs_quick
from tests.helpers.sounds import noise

PLAN = {
    "data": {"name": "street", "limit": 2},
    "protocol": {"kind": "fixed", "train": ["1", "2"], "val": ["3"], "test": ["4"]},
    "windows": {"length": 16_000, "hop": 16_000},
    "train": {"epochs": 1, "batch_size": 16, "learning_rate": 1e-3},
}
HEAD = {"network": {"name": "wavlm"}, "head": {"name": "logreg", "pool": "mean", "c": [0.1]}}
WHOLE = {"network": {"name": "transformers", "layer": "mix", "token_pooling": "attention"}}


@pytest.mark.slow
@pytest.mark.parametrize("how", [HEAD, WHOLE], ids=["frozen", "fine-tuned"])
def test_a_network_of_the_hub_goes_all_the_way(how: dict[str, dict[str, object]], tmp_path: Path) -> None:
    checkpoint = save_checkpoint(tmp_path / "net", "wavlm")
    recipe = Recipe.of({**PLAN, **how, "network": {**how["network"], "weights": str(checkpoint)}})
    run = run_recipe(recipe, tmp_path / "run")
    assert not [line for line in run.why_not_comparable if "RANDOM" in line]
    for file in checkpoint.iterdir():  # what was saved must do
        file.unlink()
    wave = 0.1 * noise(1, 24_000)[:, 0]
    soundfile.write(tmp_path / "x.wav", wave, 16_000)
    model = load_torch(tmp_path / "run")
    scores = model.classify(wave, rate_hz=16_000).scores
    code = (
        "import json, sys, hubbub\n"
        "from hubbub.classifier.load import load_torch\n"
        f"for model in (load_torch({str(tmp_path / 'run')!r}), hubbub.load({str(tmp_path / 'run')!r})):\n"
        f"    print(json.dumps(model.classify({str(tmp_path / 'x.wav')!r}).scores))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for line in done.stdout.splitlines():
        assert json.loads(line) == pytest.approx(scores, abs=1e-3)
    file = export(model, tmp_path / "x.onnx", Sounds("noise", [0.1 * noise(1, 30_000)[:, 0] for _ in range(2)]))
    assert file.exported["difference"] <= 1e-4 and file.exported["any_length"]
    assert file.classify(wave, rate_hz=16_000).scores == pytest.approx(scores, abs=1e-3)
    for occlusion in (False, True):
        found = explain(model, wave, 16_000, occlusion=occlusion)
        assert np.isfinite(found.map).all() and found.map.max() > 0
    with serving(tmp_path / "served", tmp_path / "run") as server:
        answer = httpx.post(f"{server.url}/v1/classify", files={"file": (tmp_path / "x.wav").read_bytes()}, timeout=60)
    assert answer.status_code == 200, answer.text
    assert load(tmp_path / "run").labels == model.labels


@pytest.mark.slow
def test_a_recipe_of_the_hub_runs_quick_with_random_weights(
    home: Callable[[str, str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One layer of the twelve, for time."""
    runs_quick("emodb-wavlm", home, tmp_path, monkeypatch, "network.layer=1")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert any(line.startswith("RANDOM INITIALISATION: the wavlm's") for line in summary["why_not_comparable"])
    assert "RANDOM INITIALISATION" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
