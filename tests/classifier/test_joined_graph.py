"""joined_graph: a classifier on another team's file is exported as one file, which gives the same scores."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto

from hubbub.classifier.base import ClassifierError
from hubbub.classifier.export import ExportError, Sounds, export
from hubbub.classifier.onnx_classifier import OnnxClassifier
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.config.recipe import Recipe
from hubbub.models.heads import build_head, candidates
from hubbub.models.network import NetworkError
from hubbub.models.weights import load_weights
from hubbub.runtime.shipped import WEIGHTS
from tests.helpers.classifiers import LABELS
from tests.helpers.foreign import foreign, on_spectrograms, write

LENGTH, RATE = 1_600, 16_000
FRONT = {"frontend": {"name": "logmel", "n_mels": 40}}


def waves() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(0, 0.1, 3 * LENGTH).astype(np.float32) for _ in range(3)]


def classifier(file: Path, **sections: Any) -> TorchClassifier:
    """A classifier on a file, whose head is fitted to embeddings of noise, shifted by class."""
    network = {"name": "onnx", "weights": str(file), **sections.pop("network", {})}
    content = {"data": {"name": "street"}, "windows": {"length": LENGTH, "hop": LENGTH}, "head": {"name": "logreg"}}
    recipe = Recipe.of(content | sections | {"network": network})
    model = TorchClassifier(recipe, LABELS)
    load_weights(model.network, file)
    if recipe.head.name != "none":
        x = model.outputs(np.random.default_rng(1).normal(0, 0.1, (60, recipe.windows.length)).astype(np.float32))
        x = np.concatenate([x, x], axis=1) if recipe.head.pool == "mean+max" else x
        y = np.arange(60) % len(LABELS)
        model.head = build_head(recipe.head, candidates(recipe.head)[0]).fit(x + y[:, None], y)
    return model


#: Two front ends are traced, which takes seconds.
slow = pytest.mark.slow


@pytest.mark.parametrize(
    ("made", "sections"),
    [
        (foreign(["label", "embedding"]), {}),
        (foreign(batch=1), {"head": {"name": "mlp", "hidden": 8, "pool": "mean+max", "compress": True}}),
        (foreign(["turned"]), {"head": {"name": "none"}, "network": {"mode": "head"}}),
        (foreign(["power"], batch=1), {}),
        (foreign(axis=False), {}),  # one wave
        (foreign(opset=11), {}),  # converted: too old for what is put around it
        (foreign(opset=21), {}),
        pytest.param(on_spectrograms(40, "frames"), FRONT, marks=slow),
        pytest.param(on_spectrograms(40, 6, channel=True, opset=21), FRONT, marks=slow),
    ],
)
def test_one_file_gives_the_same_scores(tmp_path: Path, made: ModelProto, sections: dict[str, Any]) -> None:
    model = classifier(write(tmp_path / "theirs.onnx", made), **sections)
    export(model, tmp_path / "ours.onnx", Sounds("noise", waves()))
    file = OnnxClassifier.load(tmp_path / "ours.onnx")
    segments = np.random.default_rng(2).normal(0, 0.1, (5, LENGTH)).astype(np.float32)
    expected = model.forward(segments)
    found = file.embeddings_and_logits(segments)[0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    clips = [list(one.classify(wave, RATE).scores.values()) for one in (file, model) for wave in waves()]
    np.testing.assert_allclose(clips[:3], clips[3:], atol=1e-4)
    assert np.ptp(clips[3:], axis=0).max() > 1e-4, "all clips alike would prove nothing"
    onnx.checker.check_model(onnx.load(tmp_path / "ours.onnx"), full_check=True)


def test_what_the_embedding_does_not_need_is_left_out(tmp_path: Path) -> None:
    model = classifier(write(tmp_path / "theirs.onnx", foreign(["label", "embedding", "broken"])))
    export(model, tmp_path / "ours.onnx", Sounds("noise", waves()))
    kinds = [node.op_type for node in onnx.load(tmp_path / "ours.onnx").graph.node]
    assert "If" in kinds and "Sqrt" not in kinds and kinds.count("MatMul") == 0


def test_functions_of_the_file_are_kept(tmp_path: Path) -> None:
    made, helper = on_spectrograms(40, "frames"), onnx.helper
    opsets, mul = list(made.opset_import), helper.make_node("Mul", ["a", "a"], ["b"])
    made.functions.append(helper.make_function("theirs", "Square", ["a"], ["b"], [mul], opsets))
    made.opset_import.append(helper.make_opsetid("theirs", 1))
    made.graph.node[1].input[0] = "squared"
    made.graph.node.insert(1, helper.make_node("Square", ["maps"], ["squared"], domain="theirs"))
    made.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", LENGTH]))
    model = classifier(write(tmp_path / "theirs.onnx", made))
    file = export(model, tmp_path / "ours.onnx", Sounds("noise", waves()))
    segments = waves()[0].reshape(3, LENGTH)
    squares = np.square(segments.reshape(3, 40, -1)).mean(axis=2)
    np.testing.assert_allclose(file.embeddings_and_logits(segments)[0], squares, rtol=1e-4)


def test_a_file_that_hubbub_exported_is_a_network_too(tmp_path: Path) -> None:
    """Its names are ours, its metadata say its sample rate, and they do not reach the new file."""
    recipe = Recipe.load("street-small")
    theirs, length = TorchClassifier(recipe, LABELS), recipe.windows.length
    load_weights(theirs.network, WEIGHTS)
    x, y = np.random.default_rng(0).normal(size=(60, 256)).astype(np.float32), np.arange(60) % 3
    theirs.head = build_head(recipe.head, candidates(recipe.head)[0]).fit(x + y[:, None], y)
    sounds = Sounds("noise", [np.random.default_rng(0).normal(0, 0.1, length).astype(np.float32)])
    export(theirs, tmp_path / "theirs.onnx", sounds)
    sections = {"windows": {"length": length, "hop": length}, "audio": {"rate_hz": 22_050}}
    model = classifier(tmp_path / "theirs.onnx", **sections)
    segments = np.stack([sounds.waves[0], sounds.waves[0][::-1]])
    expected = theirs.forward(segments)
    np.testing.assert_allclose(model.outputs(segments), expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    export(model, tmp_path / "ours.onnx", sounds)
    assert OnnxClassifier.load(tmp_path / "ours.onnx").recipe == model.recipe
    with pytest.raises(NetworkError, match="takes sound at 22050 Hz"):
        classifier(tmp_path / "theirs.onnx", **sections | {"audio": {"rate_hz": 16_000}})


def test_what_cannot_be_done_is_refused(tmp_path: Path) -> None:
    model = classifier(write(tmp_path / "theirs.onnx", foreign()))
    with pytest.raises(ExportError, match="--int8 rounds hubbub's own networks"):
        export(model, tmp_path / "ours.onnx", Sounds("noise", waves()), int8=True)
    export(model, tmp_path / "ours.onnx", Sounds("noise", waves()))
    with pytest.raises(ClassifierError, match="--fast is not for the ONNX file of another team"):
        OnnxClassifier.load(tmp_path / "ours.onnx", fast=True)


def test_operators_that_cannot_be_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("Upsample has no adapter")

    model = classifier(write(tmp_path / "theirs.onnx", foreign(opset=11)))
    monkeypatch.setattr(onnx.version_converter, "convert_version", fails)
    with pytest.raises(ExportError, match=r"Upsample has no adapter\). Get the file in opset 20"):
        export(model, tmp_path / "ours.onnx", Sounds("noise", waves()))
