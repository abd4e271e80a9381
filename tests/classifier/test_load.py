"""`load`: the exported network that a folder carries, or torch; and folders that hold no classifier."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import hubbub
from hubbub.classifier.base import ClassifierError
from hubbub.classifier.export import Sounds, exported
from hubbub.classifier.load import load, load_torch
from hubbub.classifier.onnx_classifier import OnnxClassifier
from hubbub.classifier.torch_classifier import TorchClassifier
from tests.helpers.classifiers import small_classifier


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run whose classifier was left out, with one finished fold."""
    folder = tmp_path / "runs" / "mine"
    (folder / "test-1" / "seed-42" / "classifier").mkdir(parents=True)
    (folder / "recipe.toml").write_text("", "utf-8")
    return folder


def test_a_run_without_a_final_classifier_names_that_of_a_fold(run: Path) -> None:
    with pytest.raises(ClassifierError, match="has no final classifier: --no-refit left it out") as refused:
        load(run)
    assert str(refused.value).endswith(f"the classifier of one test fold is in {run / 'test-1' / 'seed-42'}.")


def test_a_run_without_a_finished_fold_says_so(run: Path) -> None:
    (run / "test-1" / "seed-42" / "classifier").rmdir()
    with pytest.raises(ClassifierError, match="no test fold is finished either"):
        load(run)


def test_a_folder_of_runs_names_them(run: Path) -> None:
    (run / "classifier").mkdir()
    with pytest.raises(ClassifierError, match=r"holds 1 run, and is none\. Give one: .*mine"):
        load(run.parent)


def test_any_other_folder_is_no_classifier(tmp_path: Path) -> None:
    with pytest.raises(ClassifierError, match="not a saved classifier"):
        load(tmp_path)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with a classifier that carries its exported network, and a recording."""
    folder, model = tmp_path_factory.mktemp("saved"), small_classifier()
    wave = np.random.default_rng(0).normal(0, 0.1, 3 * model.rate_hz).astype(np.float32)
    model.save(folder / "run" / "classifier", exported(model, Sounds("noise", [wave])))
    soundfile.write(folder / "street.wav", wave, model.rate_hz)
    return folder


def test_the_exported_network_gives_the_same_without_torch(saved: Path) -> None:
    light = load(saved / "run")
    assert isinstance(light, OnnxClassifier)
    ours, theirs = (one.classify(saved / "street.wav") for one in (light, load_torch(saved / "run")))
    np.testing.assert_allclose(list(ours.scores.values()), list(theirs.scores.values()), atol=1e-4)
    np.testing.assert_array_equal(ours.spans, theirs.spans)


@pytest.mark.parametrize(
    "words", [["classify", "street.wav", "--model", "run"], ["classify", "street.wav", "--model", "run", "--json"]]
)
def test_a_command_imports_neither_torch_nor_pandas_nor_scipy(saved: Path, words: list[str]) -> None:
    code = (
        "import sys\nfrom hubbub.cli.main import main\n"
        f"sys.argv = ['hubbub', *{words}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "heavy = {'torch', 'pandas', 'scipy', 'sklearn', 'lightning', 'matplotlib'} & set(sys.modules)\n"
        "print('heavy:', *sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=saved, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "heavy:"


def test_a_device_of_torch_or_a_network_of_ones_own_needs_torch(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubbub.classifier.load.is_cpu", lambda device: False)
    assert isinstance(load(saved / "run"), TorchClassifier)
    with pytest.raises(ClassifierError, match="runs on torch here, which --fast does not change"):
        load(saved / "run", fast=True)


@pytest.mark.parametrize("name", ["network.onnx", "network.safetensors"])
def test_a_changed_file_is_refused_whichever_is_read(saved: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "classifier"
    small_classifier().save(folder, (saved / "run" / "classifier" / "network.onnx").read_bytes())
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    os.chmod(folder / name, 0o644)
    (folder / name).write_bytes(content)
    for reader in (hubbub.load, load_torch):
        with pytest.raises(ClassifierError, match=f"{name} is not the file that was saved"):
            reader(folder)


def test_a_card_that_is_no_text_is_refused(tmp_path: Path) -> None:
    small_classifier().save(tmp_path / "model")
    (tmp_path / "model" / "classifier.json").write_bytes(b'{"format": 2, "labels": ["\xff"]}')
    with pytest.raises(ClassifierError, match=r"classifier\.json is not a whole classifier: it is not JSON"):
        load(tmp_path / "model")
