"""A run on another team's file: trained frozen, saved with the file inside, and used where the file is not."""

import json
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile

import hubbub
from hubbub.classifier.export import ExportError, Sounds, export
from hubbub.classifier.load import load_torch
from hubbub.classifier.onnx_classifier import OnnxClassifier
from hubbub.classifier.saved import EXPORTED
from hubbub.config.recipe import Recipe
from hubbub.experiment.prepare import prepare
from hubbub.inference.explain import explain
from hubbub.report import run_folder
from hubbub.report.model_summary import summarise_model
from tests.helpers.foreign import BANDS, foreign, write
from tests.helpers.litert import litert
from tests.helpers.serving import serving
from tests.helpers.sounds import write_tones

LENGTH, RATE = 1_600, 16_000
#: A classifier's scores of a sound, in a process of its own.
SCORES = """
import json, sys, hubbub
from hubbub.classifier.export import ExportError, Sounds, export
from hubbub.classifier.load import load_torch
folder, file = sys.argv[1:]
print(json.dumps([load(folder).classify(file).scores for load in (hubbub.load, load_torch)]))
"""


def recipe(folder: Path, file: Path) -> Path:
    path = folder / "theirs.toml"
    path.write_text(
        f'title = "tones: theirs"\n[data]\nname = "{folder / "tones" / "list.csv"}"\n'
        f'[protocol]\nkind = "kfold"\n[windows]\nlength = {LENGTH}\nhop = {LENGTH}\n'
        f'[network]\nname = "onnx"\nweights = "{file}"\n[head]\nname = "logreg"\nc = [0.01]\n'
    )
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> hubbub.Run:
    """One fold of 32 clips of tones, on a file that is removed afterwards."""
    folder = tmp_path_factory.mktemp("theirs")
    write_tones(folder / "tones")
    file = write(folder / "theirs.onnx", foreign(["label", "embedding"]))
    run = hubbub.bench(str(recipe(folder, file)), folds=[1], quiet=True, out=folder / "runs")
    file.unlink()
    return run


def test_it_learns_and_says_what_it_is(run: hubbub.Run) -> None:
    accuracy = run_folder.read_result(run_folder.cell_folder(run.folder, "1", 42)).figure("clip", "accuracy")
    assert accuracy is not None and accuracy > 0.8
    asked = run_folder.read_recipe(run.folder)
    assert asked.network.name == "onnx" and asked.network.weights.endswith("theirs.onnx")
    assert asked.retitled(None).title.endswith(": frozen theirs, logistic regression on segments")
    weights = run_folder.read_environment(run.folder).weights
    assert list(weights) == ["theirs.onnx"]


@pytest.mark.slow
def test_it_is_used_in_another_process_without_the_file(run: hubbub.Run, tmp_path: Path) -> None:
    tone = 0.1 * np.sin(2 * np.pi * 1_200 * np.arange(4_000) / RATE)
    soundfile.write(tmp_path / "tone.wav", tone, RATE)
    done = subprocess.run(
        [sys.executable, "-c", SCORES, str(run.folder), str(tmp_path / "tone.wav")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    exported, on_torch = json.loads(done.stdout)
    assert exported == pytest.approx(on_torch, abs=1e-4) and exported["b"] > 0.5
    assert (run.folder / "classifier" / EXPORTED).is_file()
    assert isinstance(hubbub.load(run.folder), OnnxClassifier)
    with serving(tmp_path / "served", run.folder) as server:
        answer = httpx.post(f"{server.url}/v1/classify", content=(tmp_path / "tone.wav").read_bytes(), timeout=60)
        assert answer.status_code == 200, answer.text
        assert answer.json()["scores"] == pytest.approx(exported, abs=1e-4)


def test_decisions_are_explained_by_occlusion(run: hubbub.Run) -> None:
    wave = np.random.default_rng(0).normal(0, 0.1, 4_000).astype(np.float32)
    found = explain(load_torch(run.folder), wave, RATE)
    assert found.method == "occlusion"
    assert found.caveats[0].startswith("a file of another team has no gradients and no map. Patches of the")


def test_what_it_consists_of_is_shown(run: hubbub.Run) -> None:
    facts = summarise_model(str(run.folder)).facts
    assert facts["ONNX file"].startswith("'x' 1600 to 'embedding' of 16 values; in batches, on the CPU; 16 operators")
    assert "float" in facts["stored numbers"] and f"on embeddings of {BANDS}" in facts["head"]
    assert facts["parameters"].startswith("0:")


def test_a_recipe_is_shown_with_its_file(tmp_path: Path) -> None:
    file = write(tmp_path / "theirs.onnx", foreign())
    found = summarise_model(str(recipe(tmp_path, file)), classes=5)
    assert "'embedding' of 16 values" in found.facts["ONNX file"]


@pytest.mark.slow
def test_a_litert_file_is_trained_on_saved_served_and_not_exported(tmp_path: Path) -> None:
    write_tones(tmp_path / "tones")
    file = tmp_path / "theirs.tflite"
    file.write_bytes(litert(["label", "embedding"]))
    run = hubbub.bench(str(recipe(tmp_path, file)), folds=[1], quiet=True, out=tmp_path / "runs")
    accuracy = run_folder.read_result(run_folder.cell_folder(run.folder, "1", 42)).figure("clip", "accuracy")
    assert accuracy is not None and accuracy > 0.8
    file.unlink()
    tone = 0.1 * np.sin(2 * np.pi * 1_200 * np.arange(4_000) / RATE)
    soundfile.write(tmp_path / "tone.wav", tone, RATE)
    model = hubbub.load(run.folder)
    scores = model.classify(tmp_path / "tone.wav").scores
    assert scores["b"] > 0.5 and not (run.folder / "classifier" / EXPORTED).exists()
    facts = summarise_model(str(run.folder)).facts
    assert facts["LiteRT file"].startswith(
        "'x' 1600 to 'embedding' of 16 values; one segment at a time, on the CPU; 12"
    )
    assert facts["stored numbers"].startswith("2,637: 2,628 float32, 9 int32")
    with pytest.raises(ExportError, match="a LiteRT file of another team cannot be part of an ONNX graph"):
        export(load_torch(run.folder), tmp_path / "theirs.onnx", Sounds("a tone", [tone.astype(np.float32)]))
    with serving(tmp_path / "served", run.folder) as server:
        answer = httpx.post(f"{server.url}/v1/classify", content=(tmp_path / "tone.wav").read_bytes(), timeout=60)
        assert answer.status_code == 200, answer.text
        assert answer.json()["scores"] == pytest.approx(scores, abs=1e-4)


def test_embeddings_are_cached_by_the_file_and_its_output(tmp_path: Path) -> None:
    write_tones(tmp_path / "tones")
    theirs, outputs = tmp_path / "theirs.onnx", ["label", "embedding"]
    prints = []
    for content, output in ((outputs, "label"), (outputs, "embedding"), ([*outputs, "power"], "embedding")):
        write(theirs, foreign(content))
        asked = Recipe.load(recipe(tmp_path, theirs), [f"network.output={output}"])
        prepared = prepare(asked)
        assert prepared.embedded is not None and prepared.embedded.values.shape[1] == {"label": 3}.get(output, BANDS)
        prints.append(prepared.base.fingerprint())
    assert len(set(prints)) == 3
