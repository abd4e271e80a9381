"""The way in to every classifier, by its name.

This room only asks who can read it; an exported file is read where torch is not installed.
"""

from pathlib import Path

from hubbub.hearing import Hearing
from hubbub.onnx_model import ENDING, OnnxClassifier

__all__ = ["load"]


def load(name: str | Path) -> Hearing:
    """A run folder, a classifier folder, an exported file (.onnx), or `yamnet` for YAMNet's own 521 AudioSet classes.

    Raises `ClassifierError` for anything else, and for what is not whole.
    """
    if Path(name).suffix.lower() == ENDING:
        return OnnxClassifier.load(name)
    from hubbub import classifier

    return classifier.load(name)
