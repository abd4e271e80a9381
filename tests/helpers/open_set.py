"""Open-set scores of a classifier, and of itself saved, loaded and exported."""

from pathlib import Path

import numpy as np

from hubbub.classifier.base import Classifier
from hubbub.classifier.export import Sounds, export
from hubbub.classifier.load import load, load_torch
from hubbub.classifier.onnx_classifier import OnnxClassifier
from hubbub.classifier.torch_classifier import TorchClassifier

__all__ = ["assert_kept", "familiarity", "probabilities_and_typicality"]


def familiarity(model: Classifier, wave: np.ndarray) -> np.ndarray:
    """A wave -> the familiarity of its segments, `[S]`."""
    segments = model.cut(wave)
    by_segment, _ = model.predict_proba(outputs := model.outputs(segments), [0])
    found = model.familiarity(by_segment, outputs, segments)
    assert found is not None
    return found


def probabilities_and_typicality(model: TorchClassifier, wave: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A wave -> the largest probability and the typicality of its segments, `[S]` each, the latter from embeddings."""
    first = model.segment_embeddings(model.cut(wave).copy())
    assert model.typicality is not None
    return model.predict_proba(model.outputs(model.cut(wave)), [0])[0].max(axis=1), model.typicality.score(first)


def assert_kept(model: TorchClassifier, wave: np.ndarray, expected: np.ndarray, folder: Path, atol: float) -> None:
    """Saved, loaded and exported, a classifier finds a wave as familiar as `expected`, and is as sure."""
    export(model, folder / "file.onnx", Sounds("noise", [wave]))
    model.save(folder / "model", (folder / "file.onnx").read_bytes())
    for other in (load_torch(folder / "model"), load(folder / "model", device="cpu"), load(folder / "file.onnx")):
        np.testing.assert_allclose(familiarity(other, wave), expected, rtol=1e-3, atol=atol)
        assert other.confidence == model.confidence
    assert isinstance(other, OnnxClassifier)
