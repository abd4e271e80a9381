"""shipped_graph: classifiers on the frozen `small` are exported without tracing it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from hubbub.classifier import export as module
from hubbub.classifier.export import Sounds, export, exported
from hubbub.classifier.onnx_classifier import OnnxClassifier
from hubbub.classifier.shipped_graph import computes
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.config.recipe import Recipe
from hubbub.models.heads import build_head, candidates
from hubbub.models.small import Small
from hubbub.models.weights import load_weights
from hubbub.runtime.shipped import WEIGHTS

LABELS = ("a", "b", "c")


def shipped() -> Small:
    network = Small()
    load_weights(network, WEIGHTS)
    return network.eval()


def waves(model: TorchClassifier, count: int) -> list[np.ndarray]:
    """Noise of 2.4 segments, of several levels."""
    length = round(2.4 * model.recipe.windows.length)
    return [np.random.default_rng(i).normal(0, 0.02 * (i + 1), length).astype(np.float32) for i in range(count)]


@pytest.fixture(scope="module", params=["segment", "mean", "mean+max"])
def headed(request: pytest.FixtureRequest) -> TorchClassifier:
    """A fitted head on the frozen network."""
    recipe = Recipe.load("street-small", [f"head.pool={request.param}"])
    model = TorchClassifier(recipe, LABELS, network=shipped())
    rng, size = np.random.default_rng(0), 512 if request.param == "mean+max" else 256
    x, y = rng.normal(size=(60, size)).astype(np.float32), np.arange(60) % 3
    model.head = build_head(recipe.head, candidates(recipe.head)[0]).fit(x + y[:, None], y)
    return model


def test_scores_and_embeddings_are_those_of_torch(headed: TorchClassifier, tmp_path: Path) -> None:
    assert computes(headed.network)
    found = export(headed, tmp_path / "one.onnx", Sounds("noise", waves(headed, 3)))
    for wave in waves(headed, 4):
        segments = headed.cut(wave)
        ours, theirs = (one.segment_embeddings(segments) for one in (found, headed))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * np.abs(theirs).max())
        ours, theirs = (one.predict_proba(one.outputs(segments), [0])[1] for one in (found, headed))
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_the_network_is_not_traced(headed: TorchClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was traced")

    monkeypatch.setattr(module, "_traced", refuse)
    facts = OnnxClassifier(exported(headed, Sounds("noise", waves(headed, 2)))).exported
    assert facts["any_length"] and facts["difference"] < module.TOLERANCE


def test_other_weights_are_traced() -> None:
    network = shipped()
    assert computes(network)
    with torch.no_grad():
        next(network.body.parameters()).mul_(1.001)
    assert not computes(network)
