"""Load any classifier by its name, as `hubbub.load` does.

torch is imported only for classifiers that need it: an exported file loads where torch is not installed.
"""

import logging
import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hubbub.classifier.base import SAVED_IN, Classifier, ClassifierError
from hubbub.classifier.onnx_classifier import ENDING, OnnxClassifier
from hubbub.classifier.saved import CARD, EXPORTED, is_part, read_card
from hubbub.config.recipe import RECIPE
from hubbub.errors import count, examples
from hubbub.runtime import download, files, homes, shipped
from hubbub.runtime.devices import has_bfloat16, is_cpu
from hubbub.runtime.fetched_models import fetch_model, split_name
from hubbub.runtime.hub import NAME
from hubbub.runtime.shipped import SMALL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hubbub.classifier.torch_classifier import TorchClassifier
    from hubbub.models.custom import NetworkFactory

__all__ = ["HUB", "NAMED", "folder_of", "is_exported", "is_on_hub", "load", "load_torch", "pinned"]

YAMNET = "yamnet"
#: Networks that compare sounds with texts about any labels.
OF_WORDS = ("clap", "audioclip")
#: The classifiers that are loaded by a name.
NAMED = (SMALL, YAMNET)
#: The names of classifiers on the Hugging Face hub begin with it.
HUB = "hf:"
#: Part of the name of YAMNet's exported file. Raise it when exports change, so that it is exported again.
YAMNET_EXPORTED = 1

_log = logging.getLogger(__name__)


def load(
    name: str | os.PathLike[str],
    network: "NetworkFactory | None" = None,
    device: str = "auto",
    *,
    labels: "Sequence[str] | None" = None,
    template: str | None = None,
    fast: bool = False,
) -> Classifier:
    """The classifier of a run folder, a classifier folder or an exported file (.onnx), on a device; `small` is the one
    that comes with hubbub, of ESC-50's 50 classes, and `yamnet` YAMNet with its own 521 AudioSet classes;
    `hf:ORG/NAME` or `hf:ORG/NAME@REVISION` is one that was published on the Hugging Face hub. It is fetched once, and
    a name without a commit means that one from then on (`pinned`).

    `device` is that of torch; `auto` is the fastest here. On the CPU the exported network that a classifier carries
    runs, which imports no torch; one without runs on torch. `fast` computes in the shortest numbers that this processor
    has, at a small loss of precision (docs/performance.md), which needs `hubbub[fast]`; on an NVIDIA accelerator in
    bfloat16. `network` is the class or function that made the network of a classifier that was trained with it.
    `labels` are for CLAP and AudioCLIP, which compare sounds with texts about any labels: `clap`, OWNER/NAME@REVISION
    of the Hugging Face hub or the folder of a checkpoint of CLAP, or `audioclip`; `template` is the text, in which {}
    stands for a label.
    Raises `ClassifierError` for anything else, and for a damaged or incomplete classifier.
    """
    if labels is not None:
        if network is not None:
            raise ClassifierError("labels= is for CLAP and AudioCLIP, which are hubbub's own. Leave network= out.")
        from hubbub.classifier.zero_shot import zero_shot

        return _on_torch(zero_shot(name, labels, template), name, device, fast)
    if template is not None:
        raise ClassifierError("template= is the text about labels. Give labels= too, or leave it out.")
    if str(name) in OF_WORDS:
        raise ClassifierError(
            f"{name} has no labels of its own. Give some: hubbub.load('{name}', labels=['dog barking', 'rain']), or "
            "--labels 'dog barking, rain'."
        )
    if is_exported(name):
        if network is not None:
            raise ClassifierError(f"{name} is an exported file, which holds its network. Leave network= out.")
        return OnnxClassifier.load(Path(name), fast=fast).to(device)
    if network is None and is_cpu(device):
        if str(name) == YAMNET:
            return _load_yamnet(fast)
        folder = folder_of(name)
        if os.path.isfile(folder / EXPORTED):
            read_card(folder)
            return OnnxClassifier.load(folder / EXPORTED, fast=fast)
    return _on_torch(load_torch(name, network), name, device, fast)


def _on_torch(
    classifier: "TorchClassifier", name: str | os.PathLike[str], device: str, fast: bool
) -> "TorchClassifier":
    classifier.to(device)
    if fast:
        if not has_bfloat16(classifier.device.type):
            raise ClassifierError(
                f"{name} runs on torch here, which --fast does not change: it is for classifiers that carry an "
                "exported network, on the processor, and for NVIDIA accelerators with bfloat16. Leave --fast out."
            )
        classifier.precision = "bfloat16"
    return classifier


def load_torch(name: str | os.PathLike[str], network: "NetworkFactory | None" = None) -> "TorchClassifier":
    """As `load`, for what needs gradients or weights, on the CPU: an exported file, which has none, raises
    `ClassifierError`."""
    from hubbub.classifier.torch_classifier import TorchClassifier, load_audioset

    if str(name) == YAMNET:
        if network is not None:
            raise ClassifierError("'yamnet' is hubbub's own network. Leave network= out.")
        return load_audioset()
    return TorchClassifier.load(folder_of(name), network)


def pinned(name: str) -> str:
    """The name of a classifier on the hub with the commit that it means here, once it is fetched; other names as they
    are. Raises `HubError`, or `ClassifierError` where the hub has no classifier of that name."""
    if not is_on_hub(name):
        return name
    return f"{HUB}{split_name(name.removeprefix(HUB))[0]}@{folder_of(name).name}"


def _load_yamnet(fast: bool) -> OnnxClassifier:
    """YAMNet, exported once a machine."""
    weights = download.get("yamnet")
    file = homes.cache_dir() / "exported" / f"{files.sha256(weights)[:16]}-{YAMNET_EXPORTED}{ENDING}"
    with suppress(ClassifierError):  # none yet, or a damaged one
        return OnnxClassifier.load(file, fast=fast)
    from hubbub.classifier.export import Sounds, export
    from hubbub.classifier.torch_classifier import load_audioset

    _log.info("exporting YAMNet, once on this machine")
    model, rng = load_audioset(), np.random.default_rng(0)
    file.parent.mkdir(parents=True, exist_ok=True)
    export(model, file, Sounds("noise", [rng.normal(0, 0.1, 3 * model.rate_hz).astype(np.float32)]))
    return OnnxClassifier.load(file, fast=fast)


def folder_of(name: str | os.PathLike[str]) -> Path:
    """The folder of a saved classifier by its name: a run's, the folder itself, or that of one on the hub. Raises
    `ClassifierError` where there is none."""
    if str(name) == SMALL:
        return shipped.FOLDER
    if not str(name):
        raise ClassifierError(
            "the model's name is empty. Give a run folder (runs/NAME), a saved classifier, 'small' or 'yamnet'."
        )
    if is_on_hub(name):
        return fetch_model(str(name).removeprefix(HUB), lambda listed: _parts(str(name), listed))
    folder = Path(name)
    if is_exported(name):
        raise ClassifierError(
            f"{name} is an exported file, which has no gradients and cannot be opened up. Give the run folder or "
            "classifier it came from."
        )
    if not os.path.isdir(folder):
        published = f", or {HUB}{name} for one on the Hugging Face hub" if NAME.fullmatch(str(name)) else ""
        raise ClassifierError(
            f"{name} is not a folder. Give a run folder (runs/NAME), a saved classifier, 'small' or 'yamnet'"
            f"{published}."
        )
    if os.path.isfile(folder / CARD):
        return folder
    if not os.path.isdir(folder / SAVED_IN):
        _refuse_without_classifier(folder)
    return folder / SAVED_IN if os.path.isdir(folder / SAVED_IN) else folder


def _parts(name: str, listed: Collection[str]) -> list[str]:
    """The files of a saved classifier among those of a repository; nothing else of it is fetched."""
    if CARD not in listed:
        raise ClassifierError(
            f"{name} holds no classifier that hubbub published: it has no {CARD}, but {examples(listed) or 'nothing'}."
        )
    return [one for one in listed if is_part(one)]


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


def is_exported(name: str | os.PathLike[str]) -> bool:
    """Whether a classifier's name is that of an exported file."""
    return not is_on_hub(name) and Path(name).suffix.lower() == ENDING


def is_on_hub(name: str | os.PathLike[str]) -> bool:
    """Whether a classifier's name is that of one on the Hugging Face hub."""
    return str(name).startswith(HUB)
