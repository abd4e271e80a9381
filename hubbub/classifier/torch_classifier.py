"""The classifier: waves in, logits out, with everything between inside one object.

Sample rate, windows, front end, network, head, labels and pooling travel together, so features cannot drift between
training, the command line and whatever loads the saved folder. A saved classifier is JSON, safetensors and, for
LightGBM, its text dump: loading one never executes anything from it, and a file that is not the one that was saved is
refused.
"""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import safetensors.numpy
import safetensors.torch
import torch
from torch import Tensor

from hubbub.audio import image_files
from hubbub.audio.frontend import FrontEnd
from hubbub.classifier import pooling
from hubbub.classifier.base import SAVED_IN, Classifier, ClassifierError
from hubbub.classifier.metadata import described, parsed
from hubbub.config import sections as settings
from hubbub.config.recipe import Recipe
from hubbub.models.network import FRONTEND, Network
from hubbub.models.registry import build_network
from hubbub.models.yamnet import class_names, load_yamnet
from hubbub.runtime import files
from hubbub.runtime.devices import choose_device

if TYPE_CHECKING:
    from hubbub.models.heads import Head

__all__ = ["TorchClassifier", "ClassifierError", "load"]

Array = npt.NDArray[np.float32]
FORMAT = 2
#: Raise it when evidence changes, and embeddings kept before are no longer found.
OUTPUTS = 1
CARD = "classifier.json"
NETWORK, HEAD = "network.safetensors", "head.safetensors"
#: Segments a pass on a processor, whose caches larger batches fall out of, and on an accelerator, which needs them.
BATCH, BATCH_ACCELERATOR = 32, 256


class TorchClassifier(Classifier):
    """A network, and where the recipe has one a head, that turn a recording into class probabilities.

    Without `network` a new one is built, its weights drawn from `seed`. `card` says what it was trained on and what
    must be said beside its answers, and `confidence` how sure these may be; both are saved with it.
    """

    def __init__(
        self,
        recipe: Recipe,
        labels: tuple[str, ...],
        *,
        network: Network | None = None,
        head: "Head | None" = None,
        activation: pooling.Activation = "softmax",
        card: dict[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        self.recipe, self.labels, self.head, self.activation = recipe, labels, head, activation
        self.card: dict[str, Any] = card or {}
        named = recipe.frontend.name != "none"
        self.frontend = FrontEnd(recipe.frontend, recipe.audio.rate_hz) if named else None
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.network = network or build_network(recipe, len(labels))
        self.to("cpu").eval()

    def to(self, device: str | torch.device) -> Self:
        """Move front end and network to a device, `auto` being the fastest here; heads stay on the processor."""
        wanted = torch.device(choose_device(str(device)))
        if wanted.type not in ("cpu", choose_device()):
            raise ClassifierError(
                f"there is no device '{wanted.type}' here. Use auto, which is {choose_device()} here."
            )
        self.device = wanted
        if self.frontend:
            self.frontend.to(self.device)
        self.network.to(self.device)
        return self

    def eval(self) -> Self:
        self.network.eval()
        return self

    @property
    def frozen(self) -> bool:
        """Whether all that was fitted to the data comes after the embeddings."""
        return self.recipe.frozen

    @property
    def batch(self) -> int:
        return BATCH if self.device.type == "cpu" else BATCH_ACCELERATOR

    def features(self, segments: Tensor, change: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Segments `[B, N]`, or what stands for them, on the classifier's device -> what its network takes.

        Spectrograms `[B, F, W]` and pictures `[B, C, F, W]` go in where the front end has them. Gradients pass.

        `change`, from spectrograms to such, is applied before they become pictures.
        """
        if self.frontend is None:
            return segments
        # Spectra span more decades than half precision holds.
        with torch.autocast(segments.device.type, enabled=False):
            return self.frontend(segments, change)

    def embed(self, segments: Tensor) -> Tensor:
        """Segments `[B, N]` on the classifier's device -> embeddings `[B, D]`, with gradients."""
        return self.network.embed(self.features(segments))

    def logits(self, segments: Tensor) -> Tensor:
        """Segments `[B, N]` on the classifier's device -> the network's own logits `[B, K]`, with gradients."""
        return self.network.head(self.embed(segments))

    def _forward(self, segments: Array) -> Array:
        """Embeddings where the network is frozen, else logits."""
        with torch.inference_mode():
            batch = torch.from_numpy(segments).to(self.device)
            return (self.embed if self.frozen else self.logits)(batch).float().cpu().numpy()

    def _last_layer(self, outputs: Array) -> Array:
        if self.head is not None:
            return self.head.decision_function(outputs)
        if self.recipe.head.name != "none":
            raise ClassifierError("this classifier's head has not been fitted. Train it before it is asked anything.")
        if not self.frozen:
            return outputs
        with torch.inference_mode():
            return self.network.head(torch.from_numpy(outputs).to(self.device)).float().cpu().numpy()

    def load_precomputed(self, file: Path) -> npt.NDArray[Any]:
        """A picture or a spectrogram -> the one segment that it is."""
        if self.frontend is None:
            return super().load_precomputed(file)
        settings, length = self.recipe.frontend, self.recipe.windows.length
        if file.suffix.lower() == ".npy":
            values, wanted = image_files.read_spectrogram(file), self.frontend.spectrogram_shape(length)
            framed = self.frontend.framed(values)
            if framed.shape[1:] != wanted:
                raise ClassifierError(
                    f"{file} has the shape {list(values.shape)}; this classifier takes {list(wanted)}. Make it so."
                )
            return framed
        if settings.scale == "none" and settings.name == "logmel":
            raise ClassifierError(
                f"{file} is a picture, and this classifier's spectrograms are decibels. Give it sound."
            )
        picture = image_files.read(file, self.frontend.shape(length))[None]
        if picture.shape[1] == 3 and settings.colours == "none":
            raise ClassifierError(f"{file} is in colours, and this classifier takes grey pictures. Give it such.")
        return picture

    def _statistics(self) -> dict[str, Tensor]:
        """What the front end learnt of the training part, by name."""
        return self.frontend.state_dict() if self.frontend else {}

    def fingerprint(self) -> str:
        """sha256 of all that evidence depends on: rate, windows, front end, network and its weights."""
        digest = hashlib.sha256(f"{OUTPUTS} {self.frozen} {self.hop} {self.views}".encode())
        for section in (self.recipe.audio, self.recipe.windows, self.recipe.frontend):
            digest.update(section.model_dump_json().encode())
        digest.update(self.recipe.network.model_dump_json(include={"name", "width"}).encode())
        for name, tensor in sorted((self.network.state_dict() | self._statistics()).items()):
            if not (self.frozen and name.startswith("fc.")):  # embeddings come before it
                digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def save(self, folder: str | Path) -> Path:
        """Write the folder that `TorchClassifier.load` reads, whole or not at all. Raises `StoreError` where something
        else than an earlier classifier lies there."""
        card: dict[str, Any] = {
            "format": FORMAT,
            "labels": list(self.labels),
            "activation": self.activation,
            "recipe": self.recipe.model_dump(mode="json", exclude_none=True),
            "card": self.card,
            "confidence": asdict(self.confidence),
        }
        with files.whole_folder(folder, CARD) as temporary:
            state = {name: tensor.cpu().contiguous() for name, tensor in self.network.state_dict().items()}
            state |= {f"{FRONTEND}{name}": tensor.cpu() for name, tensor in self._statistics().items()}
            safetensors.torch.save_file(state, temporary / NETWORK)
            if self.head is not None:
                safetensors.numpy.save_file(_plain(self.head.arrays()), temporary / HEAD)
                for name, text in self.head.texts().items():
                    (temporary / f"head.{name}.txt").write_text(text, encoding="utf-8")
            card["sha256"] = {file.name: files.sha256(file) for file in sorted(temporary.iterdir())}
            card["sha256"][CARD] = _checksum(card)
            (temporary / CARD).write_text(json.dumps(card, indent=2, allow_nan=False), encoding="utf-8")
        return Path(folder)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a saved classifier. Raises `ClassifierError` where the folder is not one, is not whole, or holds a file
        that is not the one that was saved."""
        folder = Path(folder)
        missing = [name for name in (CARD, NETWORK) if not os.path.isfile(folder / name)]
        if missing:
            raise ClassifierError(
                f"{folder} is not a saved classifier: {missing[0]} is missing. Give a run folder, or the classifier "
                "folder inside it."
            )
        try:
            return cls._of(folder)
        except ClassifierError:
            raise
        except Exception as error:  # of files that anybody may have written: libraries have one for each damage
            why = str(error) or type(error).__name__
            raise ClassifierError(f"{folder} is not a whole classifier ({why}). Train or copy it again.") from error

    @classmethod
    def _of(cls, folder: Path) -> Self:
        content = parsed((folder / CARD).read_text(encoding="utf-8"), str(folder / CARD), FORMAT)
        _refuse_altered(folder, content)
        said = described(content, str(folder / CARD))
        model = cls(said.recipe, said.labels, activation=said.activation, card=said.card)
        model.confidence = said.confidence
        state = safetensors.torch.load_file(folder / NETWORK)
        _refuse_not_finite(folder / NETWORK, state)
        statistics = {name: state.pop(f"{FRONTEND}{name}") for name in model._statistics()}
        model.network.load_state_dict(state, strict=True)
        if model.frontend:
            model.frontend.load_state_dict(statistics, strict=True)
        if said.recipe.head.name != "none":
            from hubbub.models.heads import build_head, candidates  # brings scikit-learn: a second, 60 MB

            texts = {
                name.split(".")[1]: (folder / name).read_text(encoding="utf-8")
                for name in content["sha256"]
                if name.endswith(".txt")
            }
            arrays = safetensors.torch.load_file(folder / HEAD)
            _refuse_not_finite(folder / HEAD, arrays)
            fresh = build_head(said.recipe.head, candidates(said.recipe.head)[0])
            plain = {name: tensor.numpy() for name, tensor in arrays.items()}
            model.head = fresh.restore(plain, texts, len(said.labels))
        return model


def load(name: str | Path) -> TorchClassifier:
    """A run folder, a classifier folder, or `yamnet` for YAMNet's own 521 AudioSet classes -> Classifier."""
    if str(name) == "yamnet":
        return _audioset()
    if not str(name):
        raise ClassifierError(
            "the model's name is empty. Give a run folder (runs/NAME), a saved classifier, or 'yamnet'."
        )
    folder = Path(name)
    if folder.suffix.lower() == ".onnx":
        raise ClassifierError(
            f"{name} is an exported file, which has no gradients and cannot be opened up. Give the run folder or "
            "classifier it came from."
        )
    if not os.path.isdir(folder):
        raise ClassifierError(
            f"{name} is not a folder. Give a run folder (runs/NAME), a saved classifier, or 'yamnet'."
        )
    return TorchClassifier.load(folder if os.path.isfile(folder / CARD) else folder / SAVED_IN)


def _audioset() -> TorchClassifier:
    recipe = Recipe(
        data=settings.Data(name="audioset"),
        network=settings.Network(name="yamnet"),
        title="YAMNet, AudioSet's classes",
    )
    card = {"trained_on": "AudioSet, by YAMNet's authors"}
    return TorchClassifier(recipe, class_names(), network=load_yamnet(), activation="sigmoid", card=card)


def _checksum(card: dict[str, Any]) -> str:
    """sha256 of a card, but for its own."""
    others = {name: digest for name, digest in card["sha256"].items() if name != CARD}
    return hashlib.sha256(json.dumps(card | {"sha256": others}, sort_keys=True).encode()).hexdigest()


def _refuse_altered(folder: Path, card: dict[str, Any]) -> None:
    """Whoever can write here can write checksums too: they tell damage and careless hands, not forgery."""
    written = card.get("sha256")
    if not isinstance(written, dict) or CARD not in written or any(Path(name).name != name for name in written):
        raise ClassifierError(f"{folder / CARD} holds no checksums of the files beside it. Train or copy it again.")
    found = {CARD: _checksum(card)} | {name: files.sha256(folder / name) for name in written if name != CARD}
    for name, digest in found.items():
        if digest != written[name]:
            raise ClassifierError(
                f"{folder / name} is not the file that was saved: its sha256 is {digest}, and {written[name]} was "
                "written down. Copy the classifier again from where it came, or train it again."
            )


def _refuse_not_finite(file: Path, tensors: dict[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ClassifierError(
                f"{file}: '{name}' holds values that are not finite numbers, and so would its answers. Train it again, "
                "e.g. with a lower train.learning_rate, or copy it again from where it came."
            )


def _plain(arrays: dict[str, Array]) -> dict[str, Array]:
    return {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()}
