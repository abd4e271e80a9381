"""linked_weights: a graph whose weights lie in the safetensors file beside it."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from hubbub.classifier.base import ClassifierError
from hubbub.classifier.export import Sounds, exported
from hubbub.classifier.load import load
from hubbub.classifier.saved import EXPORTED, NETWORK
from hubbub.classifier.torch_classifier import TorchClassifier
from tests.helpers.recipes import LENGTH, plan

LABELS = ("a", "b", "c")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved classifier in half precision, whose exported graph has its weights in the same file."""
    model = TorchClassifier(plan(network={"width": 8}), LABELS, seed=1)
    model.network.half().float()
    place = tmp_path_factory.mktemp("linked") / "classifier"
    model.save(place, half=True)
    noise = np.random.default_rng(0).normal(0, 0.1, 3 * LENGTH).astype(np.float32)
    content = exported(model, Sounds("noise", [noise]), beside=place / NETWORK)
    model.save(place, content, half=True)
    return place


def segments() -> np.ndarray:
    return np.random.default_rng(1).normal(0, 0.1, (4, LENGTH)).astype(np.float32)


def test_the_scores_are_those_of_the_saved_weights(folder: Path) -> None:
    graph, weights = load(folder), TorchClassifier.load(folder)
    assert type(graph) is not type(weights)
    np.testing.assert_allclose(graph.outputs(segments()), weights.outputs(segments()), atol=1e-4)


def test_the_graph_holds_no_weights_of_its_own(folder: Path) -> None:
    graph = onnx.load(str(folder / EXPORTED), load_external_data=False)
    outside = [tensor for tensor in graph.graph.initializer if tensor.data_location == onnx.TensorProto.EXTERNAL]
    values = sum(int(np.prod(tensor.dims)) for tensor in outside)
    assert values > 0.9 * sum(x.numel() for x in TorchClassifier.load(folder).network.parameters())
    assert {entry.value for tensor in outside for entry in tensor.external_data if entry.key == "location"} == {NETWORK}


def test_other_weights_beside_it_are_noticed(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    content = bytearray((tmp_path / NETWORK).read_bytes())
    content[-1] ^= 1
    (tmp_path / NETWORK).write_bytes(content)
    with pytest.raises(ClassifierError, match="is not the file that was saved"):
        load(tmp_path)


def test_without_the_weights_it_is_not_whole(folder: Path, tmp_path: Path) -> None:
    (tmp_path / EXPORTED).write_bytes((folder / EXPORTED).read_bytes())
    with pytest.raises(ClassifierError, match="not a whole ONNX file"):
        load(tmp_path / EXPORTED)
