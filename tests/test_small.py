"""The classifier that comes with the package: it answers anywhere, says what it is, and its forms agree."""

import json
import subprocess
import sys
import tarfile
import zipfile
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import hubbub
from hubbub.classifier.load import load, load_torch
from hubbub.classifier.onnx_classifier import OnnxClassifier
from hubbub.classifier.saved import CARD, EXPORTED, NETWORK, TYPICALITY
from hubbub.config.recipe import Recipe
from hubbub.data.datasets import DATASETS
from hubbub.models.registry import build_network
from hubbub.models.small import CLASSES, Small
from hubbub.models.weights import find_weights, load_weights
from hubbub.report.model_summary import summarise_model
from hubbub.runtime import shipped

ROOT = Path(__file__).parents[1]
RATE_HZ = 22_050
FILES = (CARD, NETWORK, EXPORTED, TYPICALITY)


@pytest.fixture
def street(tmp_path: Path) -> Path:
    wave = np.random.default_rng(0).normal(0, 0.05, 3 * 44_100)
    soundfile.write(tmp_path / "street.wav", wave, 44_100)
    return tmp_path / "street.wav"


def classify(street: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """`hubbub classify` with no data home, no home of the user's and no torch."""
    blocked = street.parent / "torch.py"
    blocked.write_text("raise ImportError('torch is not installed here')")
    nothing = str(street.parent / "nothing")
    code = "import sys; sys.argv[0] = 'hubbub'; from hubbub.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, "classify", str(street), *options],
        capture_output=True, text=True, check=True, cwd=street.parent,
        env={"PYTHONPATH": f"{street.parent}:{ROOT}", "PATH": "", "HOME": nothing, "XDG_DATA_HOME": nothing},
    )  # fmt: skip


def test_it_answers_without_torch_and_data_home_and_says_what_it_is_not_for(street: Path) -> None:
    done = classify(street)
    assert done.stderr.splitlines() == [f"model: small, which comes with hubbub: {shipped.NOT_FOR}"]
    assert "street.wav" in done.stdout


def test_the_line_is_not_in_what_other_programs_read(street: Path) -> None:
    answer = json.loads(classify(street, "--json").stdout)
    assert answer["model"] == "small" and shipped.NOT_FOR not in json.dumps(answer)
    header, *rows = classify(street, "--csv").stdout.splitlines()
    assert all(len(row.split(",")) == len(header.split(",")) for row in rows) and rows


def test_who_names_it_is_told_nothing(street: Path) -> None:
    assert classify(street, "--model", "small").stderr == ""


def test_its_files_are_in_the_package_and_small() -> None:
    folder = files("hubbub").joinpath("models/shipped/small")
    sizes = {name: len(folder.joinpath(name).read_bytes()) for name in FILES}
    assert Path(str(folder)) == shipped.FOLDER and shipped.WEIGHTS.name == NETWORK
    assert {file.name for file in shipped.FOLDER.iterdir()} == set(sizes)
    assert sum(sizes.values()) <= shipped.LARGEST


def test_both_forms_are_one_classifier_of_esc50s_classes() -> None:
    exported, weights = load("small", device="cpu"), load_torch("small")
    assert isinstance(exported, OnnxClassifier) and exported.labels == weights.labels
    assert len(weights.labels) == CLASSES == DATASETS["esc50"].classes
    assert exported.card == weights.card and exported.card["model_card"].startswith("# Model card: `small`")
    assert exported.confidence == weights.confidence and weights.confidence.threshold is not None
    waves = np.random.default_rng(0).normal(0, 0.1, (2, 2 * RATE_HZ)).astype(np.float32)
    np.testing.assert_allclose(exported.outputs(waves), weights.outputs(waves), atol=1e-4)
    assert "CC BY-NC" in weights.card["licence"]


@pytest.mark.parametrize("level", [0.0, 1e-4])
def test_silence_and_the_noise_of_a_recorder_are_unknown(level: float) -> None:
    wave = np.random.default_rng(1).normal(0, 1, 5 * RATE_HZ).astype(np.float32) * level
    assert load("small").classify(wave, RATE_HZ).known is False


def test_its_weights_are_halves_on_disk_and_exactly_these_in_memory() -> None:
    import safetensors.torch

    stored = safetensors.torch.load_file(shipped.WEIGHTS)
    own = load_torch("small").network.state_dict()
    assert own.keys() == stored.keys()
    for name, tensor in stored.items():
        assert tensor.dtype == (torch.float16 if own[name].is_floating_point() else own[name].dtype)
        assert torch.equal(tensor.to(own[name].dtype), own[name])


def test_the_backbone_gives_the_embeddings_of_the_classifier() -> None:
    classifier = load_torch("small")
    network = Small().eval()
    load_weights(network, shipped.WEIGHTS)
    waves = torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, (3, 2 * RATE_HZ)).astype(np.float32))
    with torch.inference_mode():
        expected = classifier.embeddings(waves)
        assert expected.shape == (3, 256) and torch.equal(network.embed(waves), expected)
        assert torch.equal(network.logits(waves), classifier.logits(waves))


@pytest.mark.parametrize("recipe", ["street-small", "us8k-small", "emodb-small"])
def test_recipes_start_from_the_files_in_the_package(recipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUBBUB_HOME", "/nowhere")
    loaded = Recipe.load(recipe)
    assert find_weights(loaded) == shipped.WEIGHTS and loaded.frozen
    network = build_network(loaded, 7)
    assert "tensors" in load_weights(network, shipped.WEIGHTS) and network.fc.out_features == CLASSES


def test_it_can_be_shown_like_any_classifier() -> None:
    summary = summarise_model("small")
    assert summary.title == "small" and summary.facts["classes"] == str(CLASSES)


def test_importing_hubbub_does_not_read_it() -> None:
    code = (
        "import sys; opened = []; sys.addaudithook(lambda e, a: opened.append(str(a[0])) if e == 'open' else None); "
        "import hubbub; assert not [name for name in opened if 'shipped/' in name]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_a_caller_gives_no_network_for_it() -> None:
    with pytest.raises(hubbub.HubbubError, match="hubbub's own 'compact'"):
        hubbub.load("small", network=Small)


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_a_built_package_contains_it(kind: str, tmp_path: Path) -> None:
    from hatchling.builders.sdist import SdistBuilder
    from hatchling.builders.wheel import WheelBuilder

    builder = {"wheel": WheelBuilder, "sdist": SdistBuilder}[kind](str(ROOT))
    (built,) = builder.build(directory=str(tmp_path), versions=["standard"])
    if kind == "wheel":
        names = zipfile.ZipFile(built).namelist()
    else:
        with tarfile.open(built) as archive:
            names = archive.getnames()
    for file in FILES:
        assert [name for name in names if name.endswith(f"hubbub/models/shipped/small/{file}")]
