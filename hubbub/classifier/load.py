"""The way in to every classifier, by its name.

This room only asks who can read it; an exported file is read where torch is not installed.
"""

from pathlib import Path

from hubbub.classifier.base import Classifier, ClassifierError
from hubbub.classifier.onnx_classifier import ENDING, OnnxClassifier

__all__ = ["default_model", "load"]


def load(name: str | Path) -> Classifier:
    """A run folder, a classifier folder, an exported file (.onnx), or `yamnet` for YAMNet's own 521 AudioSet classes.

    Raises `ClassifierError` for anything else, and for what is not whole.
    """
    if Path(name).suffix.lower() == ENDING:
        return OnnxClassifier.load(name)
    from hubbub.classifier import torch_classifier

    return torch_classifier.load(name)


def default_model() -> str:
    """The model used where none is named: YAMNet's own classes, where its weights are at hand."""
    from hubbub.runtime import download, homes

    if homes.find("weights", download.ASSETS["yamnet"].file) is None:
        raise ClassifierError(
            "no --model was given, and YAMNet's weights are not at hand. Train one (hubbub demo makes runs/demo), "
            "or fetch YAMNet: hubbub data get yamnet."
        )
    return "yamnet"
