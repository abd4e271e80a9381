"""The classifier that runs on torch, and its folder on disk.

Sample rate, windows, front end, network, head, labels and pooling are saved together, so that features cannot differ
between training, the command line and other programs. A saved classifier is JSON, safetensors and, for LightGBM, its
text dump: loading never executes anything from it, and a file that was changed since is refused.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import safetensors.numpy
import safetensors.torch
import torch
from torch import Tensor, nn

from hubbub.audio import image_files, windows
from hubbub.audio.frontend import FrontEnd
from hubbub.classifier import pooling
from hubbub.classifier.base import Classifier, ClassifierError
from hubbub.classifier.metadata import read_metadata, read_typicality
from hubbub.classifier.saved import CARD, EXPORTED, FORMAT, HEAD, NETWORK, TYPICALITY, read_card, sign
from hubbub.classifier.saved_torch import (
    Uninitialised,
    architecture_in,
    check_factory,
    check_tensors,
    plain_tensors,
    refuse_not_finite,
)
from hubbub.config import sections as settings
from hubbub.config.data import Data
from hubbub.config.recipe import Recipe
from hubbub.models.custom import PREFIX, NetworkFactory, is_custom, with_custom
from hubbub.models.network import FRONTEND, Architecture, Network, NetworkError
from hubbub.models.registry import build_network
from hubbub.models.yamnet import class_names, load_yamnet
from hubbub.runtime import files
from hubbub.runtime.devices import choose_device, full_precision

if TYPE_CHECKING:
    from hubbub.models.head import Head

__all__ = ["TorchClassifier", "load_audioset"]

Array = npt.NDArray[np.float32]
#: Part of the fingerprint. Raise it when outputs change, so that cached ones are computed again.
OUTPUTS = 1
#: Segments a pass: on a CPU larger batches exceed its caches, an accelerator needs them.
BATCH, BATCH_ACCELERATOR = 32, 256


class TorchClassifier(Classifier):
    """A network, and a head where the recipe has one, that turn a recording into class probabilities.

    `network` is the network itself, or a class or function of the caller's own that makes one (see `models.custom`),
    which the recipe then names; without it the recipe's is built, from `architecture` where that was saved with it. A
    new one is initialised from `seed`. `activation` is softmax by default, or sigmoid where clips have label sets.
    `card` says what it was trained on, with caveats about its predictions, and `confidence` how they are calibrated;
    both are saved with it.
    """

    def __init__(
        self,
        recipe: Recipe,
        labels: tuple[str, ...],
        *,
        network: Network | NetworkFactory | None = None,
        head: "Head | None" = None,
        activation: pooling.Activation | None = None,
        card: dict[str, Any] | None = None,
        seed: int = 0,
        architecture: Architecture | None = None,
    ) -> None:
        factory = None if isinstance(network, Network) else network
        recipe = recipe if factory is None else with_custom(recipe, factory)
        self.recipe, self.labels, self.head = recipe, labels, head
        self.activation = activation or ("sigmoid" if recipe.data.multilabel else "softmax")
        self.card: dict[str, Any] = card or {}
        has_frontend = recipe.frontend.name != "none"
        self.frontend = FrontEnd(recipe.frontend, recipe.audio.rate_hz) if has_frontend else None
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.network: Network = (
                network if isinstance(network, Network) else build_network(recipe, len(labels), factory, architecture)
            )
        self.to("cpu").eval()

    def to(self, device: str | torch.device) -> Self:
        """Move front end and network to a device; `auto` is the fastest here. Heads stay on the CPU."""
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
        """Set the network to evaluation mode."""
        self.network.eval()
        return self

    @property
    def frozen(self) -> bool:
        """Whether only what comes after the embeddings was fitted to the data."""
        return self.recipe.frozen

    gives_embeddings = frozen

    @property
    def batch(self) -> int:
        return BATCH if self.device.type == "cpu" else BATCH_ACCELERATOR

    def features(self, segments: Tensor, augment: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Segments `[B, N]` on the classifier's device -> the network's input, with gradients.

        Precomputed spectrograms `[B, F, W]` and images `[B, C, F, W]` are taken where the front end takes them.
        `augment` is applied to spectrograms before they become images.
        """
        if self.frontend is None:
            return segments
        # Spectra span more decades than half precision can represent.
        with torch.autocast(segments.device.type, enabled=False):
            return self.frontend(segments, augment)

    def embeddings(self, segments: Tensor) -> Tensor:
        """Segments `[B, N]` on the classifier's device -> embeddings `[B, D]`, with gradients."""
        return self.network.embed(self.features(segments))

    def logits(self, segments: Tensor) -> Tensor:
        """Segments `[B, N]` on the classifier's device -> the network's own logits `[B, K]`, with gradients."""
        return self.network.head(self.embeddings(segments))

    def forward(self, segments: Array) -> Array:
        """Embeddings where the network is frozen, else logits."""
        with self._predicting():
            return self._forward(segments).cpu().numpy()

    def outputs(self, segments: Array) -> Array:
        """As every classifier's. An accelerator gets its next batch while it computes: it is waited for at the end."""
        if self.device.type == "cpu" or (self.typicality is not None and not self.gives_embeddings):
            return super().outputs(segments)
        with self._predicting():
            rows = []
            for start in range(0, len(segments), self.batch):
                batch = segments[start : start + self.batch]
                rows.append(torch.cat([self._forward(windows.view_of(batch, *view)) for view in self.views], dim=1))
            return torch.cat(rows).cpu().numpy()

    def _forward(self, segments: Array) -> Tensor:
        """As `forward`, on the device, which may still be computing."""
        return (self.embeddings if self.frozen else self.logits)(self._on_device(segments)).float()

    def _on_device(self, segments: Array) -> Tensor:
        batch = torch.from_numpy(segments)
        if self.device.type == "cuda":  # it copies from pinned memory by itself
            return batch.pin_memory().to(self.device, non_blocking=True)
        return batch.to(self.device)

    @contextmanager
    def _predicting(self) -> Iterator[None]:
        """No gradients, and the numbers of `precision`."""
        short = torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")
        with torch.inference_mode(), short, full_precision(self.device.type):
            yield

    def embeddings_and_logits(self, segments: Array) -> tuple[Array, Array]:
        with self._predicting():
            embeddings = self.embeddings(self._on_device(segments))
            return embeddings.float().cpu().numpy(), self.network.head(embeddings).float().cpu().numpy()

    def segment_embeddings(self, segments: Array) -> Array:
        if self.recipe.head.name == "none" and not isinstance(self.network.fc, nn.Linear):
            raise ClassifierError(
                f"the output of {self.recipe.network.name.removeprefix(PREFIX)} is not that of a linear layer, so it "
                "has no embeddings. End it in nn.Linear and train it again."
            )
        with self._predicting():
            return self.embeddings(self._on_device(segments)).float().cpu().numpy()

    def head_logits(self, outputs: Array) -> Array:
        if self.head is not None:
            return self.head.decision_function(outputs)
        if self.recipe.head.name != "none":
            raise ClassifierError("this classifier's head has not been fitted. Train it first.")
        if not self.frozen:
            return outputs
        with self._predicting():
            return self.network.head(torch.from_numpy(outputs).to(self.device)).float().cpu().numpy()

    def load_precomputed(self, file: Path) -> npt.NDArray[Any]:
        """An image or a spectrogram -> one segment. Raises `ClassifierError` where it does not fit the front end."""
        if self.frontend is None:
            return super().load_precomputed(file)
        settings, length = self.recipe.frontend, self.recipe.windows.length
        if file.suffix.lower() == ".npy":
            values, wanted = image_files.read_spectrogram(file), self.frontend.spectrogram_shape(length)
            framed = self.frontend.fit_frames(values)
            if framed.shape[1:] != wanted:
                raise ClassifierError(
                    f"{file} has the shape {list(values.shape)}; this classifier takes {list(wanted)}. Give it such a "
                    "spectrogram."
                )
            return framed
        if settings.scale == "none" and settings.name == "logmel":
            raise ClassifierError(
                f"{file} is an image, and this classifier's spectrograms are decibels. Give it sound."
            )
        image = image_files.read_image(file, self.frontend.shape(length))[None]
        if image.shape[1] == 3 and settings.colours == "none":
            raise ClassifierError(f"{file} is in colour, and this classifier takes grey images. Give it a grey one.")
        return image

    def _statistics(self) -> dict[str, Tensor]:
        """The front end's statistics of the training part, by name."""
        return self.frontend.state_dict() if self.frontend else {}

    def fingerprint(self) -> str:
        """sha256 of all that `outputs` depends on: rate, windows, front end, network and its weights."""
        digest = hashlib.sha256(f"{OUTPUTS} {self.frozen} {self.hop} {self.views}".encode())
        for section in (self.recipe.audio, self.recipe.windows, self.recipe.frontend):
            digest.update(section.model_dump_json().encode())
        network = self.recipe.network
        digest.update((network.model_dump_json(include={"name", "width"}) + network.output).encode())
        for name, tensor in sorted((self.network.state_dict() | self._statistics()).items()):
            if not (self.frozen and name.startswith("fc.")):  # embeddings do not depend on it
                digest.update(name.encode())
                digest.update(tensor.cpu().contiguous().numpy())
        if self.network.architecture is not None:
            digest.update(json.dumps(self.network.architecture, sort_keys=True).encode())
        if is_custom(network.name):  # its code may have changed
            noise = np.random.default_rng(0).normal(0, 0.1, (2, self.recipe.windows.length))
            digest.update(self.forward(noise.astype(np.float32)).tobytes())
        return digest.hexdigest()

    def save(self, folder: str | Path, exported: bytes | None = None, *, half: bool = False) -> Path:
        """Write the folder that `TorchClassifier.load` reads, whole or not at all; `exported` is the content of its
        exported file, which predictions without torch use. With `half` the network's weights are rounded to half
        precision, in half the space. Raises `StoreError` where the folder holds anything but an earlier classifier."""
        card: dict[str, Any] = {
            "format": FORMAT,
            "labels": list(self.labels),
            "activation": self.activation,
            "recipe": self.recipe.model_dump(mode="json", exclude_none=True),
            "card": self.card,
            "confidence": asdict(self.confidence),
        }
        if self.network.architecture is not None:
            card["architecture"] = self.network.architecture
        with files.whole_folder(folder, CARD) as temporary:
            state = plain_tensors(self.network, half=half)
            state |= {f"{FRONTEND}{name}": tensor.cpu() for name, tensor in self._statistics().items()}
            safetensors.torch.save_file(state, temporary / NETWORK)
            if self.head is not None:
                safetensors.numpy.save_file(_plain(self.head.arrays()), temporary / HEAD)
                for name, text in self.head.texts().items():
                    (temporary / f"head.{name}.txt").write_text(text, encoding="utf-8")
            if self.typicality is not None:
                (temporary / TYPICALITY).write_bytes(self.typicality.to_bytes())
            if exported is not None:
                (temporary / EXPORTED).write_bytes(exported)
            sign(card, temporary)
            (temporary / CARD).write_text(json.dumps(card, indent=2, allow_nan=False), encoding="utf-8")
        return Path(folder)

    @classmethod
    def load(cls, folder: str | Path, network: NetworkFactory | None = None) -> Self:
        """Read a saved classifier; `network` is the class or function that made its network, where that is not one of
        hubbub's. Raises `ClassifierError` where the folder is none, is not whole, or holds a file that was changed
        since it was saved, and where `network` is missing or another one."""
        folder = Path(folder)
        missing = [name for name in (CARD, NETWORK) if not os.path.isfile(folder / name)]
        if missing:
            raise ClassifierError(
                f"{folder} is not a saved classifier: {missing[0]} is missing. Give a run folder, or the classifier "
                "folder inside it."
            )
        try:
            return cls._read(folder, network)
        except ClassifierError:
            raise
        except NetworkError as error:
            if network is not None:
                raise
            raise ClassifierError(f"{folder} is not a whole classifier ({error}). Train or copy it again.") from error
        except Exception as error:  # libraries raise many kinds for damaged files
            why = str(error) or type(error).__name__
            raise ClassifierError(f"{folder} is not a whole classifier ({why}). Train or copy it again.") from error

    @classmethod
    def _read(cls, folder: Path, network: NetworkFactory | None) -> Self:
        content = read_card(folder)
        metadata = read_metadata(content, str(folder / CARD))
        recipe = metadata.recipe
        check_factory(folder, recipe, network)
        with nullcontext() if network is not None else Uninitialised():
            model = cls(
                recipe,
                metadata.labels,
                network=network,
                activation=metadata.activation,
                card=metadata.card,
                architecture=architecture_in(content, folder, recipe),
            )
        model.recipe, model.confidence = recipe, metadata.confidence
        state = safetensors.torch.load_file(folder / NETWORK)
        refuse_not_finite(folder / NETWORK, state)
        statistics = {name: state.pop(f"{FRONTEND}{name}") for name in model._statistics()}
        if network is not None:
            check_tensors(folder, recipe, network, state, model.network.state_dict())
        model.network.load_state_dict(state, strict=True)
        if model.frontend:
            model.frontend.load_state_dict(statistics, strict=True)
        if recipe.head.name != "none":
            from hubbub.models.heads import build_head, candidates  # imports scikit-learn: a second, 60 MB

            texts = {
                name.split(".")[1]: (folder / name).read_text(encoding="utf-8")
                for name in content["sha256"]
                if name.endswith(".txt")
            }
            arrays = safetensors.torch.load_file(folder / HEAD)
            refuse_not_finite(folder / HEAD, arrays)
            unfitted = build_head(recipe.head, candidates(recipe.head)[0])
            plain = {name: tensor.numpy() for name, tensor in arrays.items()}
            model.head = unfitted.restore(plain, texts, len(metadata.labels), model.multilabel)
        distances = (folder / TYPICALITY).read_bytes() if TYPICALITY in content["sha256"] else None
        model.typicality = read_typicality(metadata, distances, str(folder))
        return model


def load_audioset() -> TorchClassifier:
    """YAMNet with its own 521 AudioSet classes."""
    recipe = Recipe(
        data=Data(name="audioset"),
        network=settings.Network(name="yamnet"),
        title="YAMNet, AudioSet's classes",
    )
    card = {"trained_on": "AudioSet, by YAMNet's authors"}
    return TorchClassifier(recipe, class_names(), network=load_yamnet(), activation="sigmoid", card=card)


def _plain(arrays: dict[str, Array]) -> dict[str, Array]:
    return {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()}
