"""Load any classifier by its name, as `hubbub.load` does.

torch is imported only for classifiers that need it: an exported file loads where torch is not installed.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from hubbub.classifier.base import SAVED_IN, Classifier, ClassifierError
from hubbub.classifier.onnx_classifier import ENDING, OnnxClassifier
from hubbub.config.recipe import RECIPE
from hubbub.errors import count, examples

if TYPE_CHECKING:
    from hubbub.classifier.torch_classifier import TorchClassifier
    from hubbub.models.custom import NetworkFactory

__all__ = ["default_model", "load", "load_torch"]


def load(name: str | os.PathLike[str], network: "NetworkFactory | None" = None) -> Classifier:
    """The classifier of a run folder, a classifier folder or an exported file (.onnx); `yamnet` is YAMNet with its own
    521 AudioSet classes.

    `network` is the class or function that made the network of a classifier that was trained with it. Raises
    `ClassifierError` for anything else, and for a damaged or incomplete classifier.
    """
    if not _is_exported(name):
        return load_torch(name, network)
    if network is not None:
        raise ClassifierError(f"{name} is an exported file, which holds its network. Leave network= out.")
    return OnnxClassifier.load(Path(name))


def load_torch(name: str | os.PathLike[str], network: "NetworkFactory | None" = None) -> "TorchClassifier":
    """As `load`, for what needs gradients or weights: an exported file, which has none, raises `ClassifierError`."""
    from hubbub.classifier.torch_classifier import CARD, TorchClassifier, load_audioset

    if str(name) == "yamnet":
        if network is not None:
            raise ClassifierError("'yamnet' is hubbub's own network. Leave network= out.")
        return load_audioset()
    if not str(name):
        raise ClassifierError(
            "the model's name is empty. Give a run folder (runs/NAME), a saved classifier, or 'yamnet'."
        )
    folder = Path(name)
    if _is_exported(name):
        raise ClassifierError(
            f"{name} is an exported file, which has no gradients and cannot be opened up. Give the run folder or "
            "classifier it came from."
        )
    if not os.path.isdir(folder):
        raise ClassifierError(
            f"{name} is not a folder. Give a run folder (runs/NAME), a saved classifier, or 'yamnet'."
        )
    if not os.path.isfile(folder / CARD) and not os.path.isdir(folder / SAVED_IN):
        _refuse_without_classifier(folder)
    return TorchClassifier.load(folder if os.path.isfile(folder / CARD) else folder / SAVED_IN, network)


def _refuse_without_classifier(folder: Path) -> None:
    """Raises `ClassifierError` for a run without a final classifier, and for a folder of runs."""
    if os.path.isfile(folder / RECIPE):
        of_folds = sorted(place.parent for place in folder.glob(f"test-*/*/{SAVED_IN}"))
        there = (
            f"the classifier of one test fold is in {of_folds[0]}" if of_folds else "no test fold is finished either"
        )
        raise ClassifierError(
            f"{folder} has no final classifier: --no-refit left it out, or the run was stopped. The command that made "
            f"the run makes it, without --no-refit; {there}."
        )
    if runs := sorted(place.parent for place in folder.glob(f"*/{SAVED_IN}")):
        raise ClassifierError(f"{folder} holds {count(len(runs), 'run')}, and is none. Give one: {examples(runs)}.")


def default_model() -> str:
    """The model used where none is named: YAMNet's own classes. Raises `ClassifierError` where its weights are not
    installed."""
    from hubbub.runtime import download, homes

    if homes.find("weights", download.ASSETS["yamnet"].file) is None:
        raise ClassifierError(
            "no --model was given, and YAMNet's weights are not installed. Train a model (hubbub demo makes "
            "runs/demo), or fetch YAMNet: hubbub data get yamnet."
        )
    return "yamnet"


def _is_exported(name: str | os.PathLike[str]) -> bool:
    return Path(name).suffix.lower() == ENDING
