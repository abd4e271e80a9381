"""The classifier: waves in, logits out, with everything between inside one object.

Sample rate, windows, front end, network, head, labels and pooling travel together, so features cannot drift between
training, the command line and whatever loads the saved folder. A saved classifier is JSON, safetensors and, for
LightGBM, its text dump: loading one never executes anything from it.
"""

import hashlib
import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import safetensors.numpy
import safetensors.torch
import torch
from torch import Tensor

from hubbub import audio, files, pictures, settings, windows
from hubbub.errors import HubbubError
from hubbub.features import FrontEnd
from hubbub.models import build_network
from hubbub.models.heads import Head, build_head, candidates
from hubbub.models.network import FRONTEND, Network
from hubbub.models.yamnet import class_names, load_yamnet
from hubbub.recipe import Recipe
from hubbub.windows import Heard

__all__ = ["Classifier", "ClassifierError", "choose_device", "load"]

Array = npt.NDArray[np.float32]
FORMAT = 1
CARD = "classifier.json"
#: The endings of files that are spectrograms, or pictures of them.
GIVEN = (*pictures.EXTENSIONS, ".npy")
NETWORK = "network.safetensors"
#: Segments a pass on a processor, whose caches larger batches fall out of, and on an accelerator, which needs them.
BATCH, BATCH_ACCELERATOR = 32, 256


class ClassifierError(HubbubError):
    """A saved classifier that is not whole, or a wave it cannot take."""


class Classifier:
    """A network, and where the recipe has one a head, that turn a recording into class probabilities.

    Without `network` a new one is built, its weights drawn from `seed`. `card` says what it was trained on and what
    must be said beside its answers; it is saved with it.
    """

    def __init__(
        self,
        recipe: Recipe,
        labels: tuple[str, ...],
        *,
        network: Network | None = None,
        head: Head | None = None,
        activation: windows.Activation = "softmax",
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
    def rate_hz(self) -> int:
        return self.recipe.audio.rate_hz

    @property
    def hop(self) -> int:
        """Samples from one segment to the next where the classifier answers."""
        return self.recipe.evaluate.hop or self.recipe.windows.hop

    @property
    def endings(self) -> tuple[str, ...]:
        """The endings of files that it takes: sounds, or pictures and spectrograms where it takes only such."""
        hears = self.frontend is None or self.frontend.logmel is not None
        return audio.EXTENSIONS if hears else GIVEN

    @property
    def frozen(self) -> bool:
        """Whether all that was fitted to the data comes after the embeddings."""
        return self.recipe.frozen

    @property
    def views(self) -> list[tuple[windows.Level, float]]:
        """The forms each segment is heard in: its level, and the share of its length it is rolled to the right."""
        return list(itertools.product(self.recipe.windows.levels, (0.0, *self.recipe.evaluate.shifts)))

    def cut(self, wave: Array) -> Array:
        """Wave `[T]` at `rate_hz` -> segments `[S, N]`, as they are when it answers."""
        settings = self.recipe.windows
        return windows.cut(wave, settings.length, self.hop, settings.pad)

    def spans(self, samples: int) -> npt.NDArray[np.float64]:
        """Start and end of each segment that `cut` makes of a wave of `samples`: `[S, 2]` in seconds."""
        return windows.spans(samples, self.rate_hz, self.recipe.windows.length, self.hop)

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

    def evidence(self, segments: Array) -> Array:
        """Segments `[S, N]` -> what a decision is made from: embeddings where the network is frozen, else logits.

        Those of all `views` stand side by side: `[S, views * D]` or `[S, views * K]`.
        """
        heard, size = [], BATCH if self.device.type == "cpu" else BATCH_ACCELERATOR
        with torch.inference_mode():
            for start in range(0, len(segments), size):
                batch = segments[start : start + size]
                heard.append(np.concatenate([self._evidence(batch, *view) for view in self.views], axis=1))
        return np.concatenate(heard)

    def _evidence(self, segments: Array, level: windows.Level, shift: float) -> Array:
        heard = windows.at_level(segments, level)
        heard = np.roll(heard, round(shift * heard.shape[-1]), axis=-1) if shift else np.array(heard)
        batch = torch.from_numpy(heard).to(self.device)
        return (self.embed if self.frozen else self.logits)(batch).float().cpu().numpy()

    def judge(self, evidence: Array, offsets: npt.ArrayLike) -> tuple[Array, Array]:
        """Evidence `[S, ...]` of clips that start at `offsets` `[C]` -> probabilities `[S, K]` and `[C, K]`.

        Views are averaged as segments are: their logits under `mean_logit`, else their probabilities. A head on
        pooled embeddings scores a segment as a clip of one segment.
        """
        if self.recipe.head.name != "none" and self.head is None:
            raise ClassifierError("this classifier's head has not been fitted. Train it before it is asked anything.")
        views = np.split(evidence, len(self.views), axis=1)
        head_pool, pooling = self.recipe.head.pool, self.recipe.evaluate.pooling
        if self.head is not None and head_pool != "segment":
            heard = [
                (self.head.predict_proba(windows.pool_embeddings(view, np.arange(len(view)), head_pool)),
                 self.head.predict_proba(windows.pool_embeddings(view, offsets, head_pool)))
                for view in views
            ]  # fmt: skip
        else:
            logits = [self._last_layer(view) for view in views]
            if pooling == "mean_logit":
                logits = [_mean(logits)]
            heard = [
                (windows.probabilities(view, self.activation), windows.pool(view, offsets, pooling, self.activation))
                for view in logits
            ]
        by_segment, by_clip = (_mean(scores) for scores in zip(*heard, strict=True))
        return by_segment, by_clip

    def _last_layer(self, evidence: Array) -> Array:
        if self.head is not None:
            return self.head.decision_function(evidence)
        if not self.frozen:
            return evidence
        with torch.inference_mode():
            return self.network.head(torch.from_numpy(evidence).to(self.device)).float().cpu().numpy()

    def read(self, source: str | Path | BinaryIO | npt.ArrayLike, rate_hz: int | None = None) -> tuple[Array, float]:
        """What `classify` takes for a sound -> its wave `[T]` at the classifier's rate, and how long it is [s]."""
        if self.frontend and self.frontend.logmel is None:
            raise ClassifierError(
                "this classifier was trained on spectrograms or pictures, and how they were made is not known: it "
                "takes only such, not sound. To have it hear, train on what hubbub data images or features made."
            )
        if isinstance(source, str | Path) or hasattr(source, "read"):
            wave, own_rate = audio.decode(source)  # type: ignore[arg-type]
        else:
            wave, own_rate = _checked(np.asarray(source, dtype=np.float32), rate_hz)
        return audio.resample(wave, own_rate, self.rate_hz), len(wave) / own_rate

    def classify(self, source: str | Path | BinaryIO | npt.ArrayLike, rate_hz: int | None = None) -> Heard:
        """A file, an open stream or a wave -> `Heard`.

        A wave is `[T]` or `[T, channels]` in [-1, 1] and needs its `rate_hz`; files carry theirs. Any rate, length and
        channel count will do. A file may also be a picture of a spectrogram, or a spectrogram (.npy, `[F, W]`), made as
        those it was trained on; where that is not known, its `seconds` are 0. Raises `AudioError`, `PictureError` or
        `ClassifierError`.
        """
        if isinstance(source, str | Path) and Path(source).suffix.lower() in GIVEN:
            given = self.given(Path(source))
            seconds = self.recipe.windows.length / self.rate_hz if self.recipe.frontend.name == "logmel" else 0.0
            segments, spans = given, np.array([[0.0, seconds]])
        else:
            wave, seconds = self.read(source, rate_hz)
            segments, spans = self.cut(wave), self.spans(len(wave))
        by_segment, clip = self.judge(self.evidence(segments), [0])
        table = pd.DataFrame(by_segment, columns=list(self.labels))
        table.insert(0, "start", spans[:, 0])
        table.insert(1, "end", spans[:, 1])
        scores = dict(zip(self.labels, (float(p) for p in clip[0]), strict=True))
        label = max(scores, key=lambda name: scores[name])
        return Heard(label, scores[label], scores, table, seconds)

    def given(self, file: Path) -> npt.NDArray[Any]:
        """A picture or a spectrogram -> the one segment that it is."""
        if self.frontend is None:
            raise ClassifierError(
                f"{file} is a picture or a spectrogram, and this classifier takes sound. Give it that."
            )
        settings, length = self.recipe.frontend, self.recipe.windows.length
        if file.suffix.lower() == ".npy":
            values, wanted = pictures.read_spectrogram(file), self.frontend.spectrogram_shape(length)
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
        picture = pictures.read(file, self.frontend.shape(length))[None]
        if picture.shape[1] == 3 and settings.colours == "none":
            raise ClassifierError(f"{file} is in colours, and this classifier takes grey pictures. Give it such.")
        return picture

    def _statistics(self) -> dict[str, Tensor]:
        """What the front end learnt of the training part, by name."""
        return self.frontend.state_dict() if self.frontend else {}

    def fingerprint(self) -> str:
        """sha256 of all that evidence depends on: rate, windows, front end, network and its weights."""
        digest = hashlib.sha256(f"{FORMAT} {self.frozen} {self.hop} {self.views}".encode())
        for section in (self.recipe.audio, self.recipe.windows, self.recipe.frontend):
            digest.update(section.model_dump_json().encode())
        digest.update(self.recipe.network.model_dump_json(include={"name", "width"}).encode())
        for name, tensor in sorted((self.network.state_dict() | self._statistics()).items()):
            if not (self.frozen and name.startswith("fc.")):  # embeddings come before it
                digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def save(self, folder: str | Path) -> Path:
        """Write the folder that `Classifier.load` reads, whole or not at all."""
        card = {
            "format": FORMAT,
            "labels": list(self.labels),
            "activation": self.activation,
            "recipe": self.recipe.model_dump(mode="json", exclude_none=True),
            "card": self.card,
        }
        with files.whole_folder(folder) as temporary:
            state = {name: tensor.cpu().contiguous() for name, tensor in self.network.state_dict().items()}
            state |= {f"{FRONTEND}{name}": tensor.cpu() for name, tensor in self._statistics().items()}
            safetensors.torch.save_file(state, temporary / NETWORK)
            if self.head is not None:
                safetensors.numpy.save_file(_plain(self.head.arrays()), temporary / "head.safetensors")
                for name, text in self.head.texts().items():
                    (temporary / f"head.{name}.txt").write_text(text, encoding="utf-8")
            (temporary / CARD).write_text(json.dumps(card, indent=2, allow_nan=False), encoding="utf-8")
        return Path(folder)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a saved classifier. Raises `ClassifierError` where the folder is not one or is not whole."""
        folder = Path(folder)
        missing = [name for name in (CARD, NETWORK) if not (folder / name).is_file()]
        if missing:
            raise ClassifierError(
                f"{folder} is not a saved classifier: {missing[0]} is missing. Give a run folder, or the classifier "
                "folder inside it."
            )
        try:
            content = json.loads((folder / CARD).read_text(encoding="utf-8"))
            if content["format"] != FORMAT:
                raise ClassifierError(
                    f"{folder} was saved in format {content['format']}; this hubbub reads {FORMAT}. Update hubbub."
                )
            recipe, labels = Recipe.of(content["recipe"], str(folder / CARD)), tuple(content["labels"])
            model = cls(recipe, labels, activation=content["activation"], card=content["card"])
            state = safetensors.torch.load_file(folder / NETWORK)
            statistics = {name: state.pop(f"{FRONTEND}{name}") for name in model._statistics()}
            model.network.load_state_dict(state, strict=True)
            if model.frontend:
                model.frontend.load_state_dict(statistics, strict=True)
            if recipe.head.name != "none":
                texts = {p.name.split(".")[1]: p.read_text(encoding="utf-8") for p in folder.glob("head.*.txt")}
                arrays = safetensors.numpy.load_file(folder / "head.safetensors")
                model.head = build_head(recipe.head, candidates(recipe.head)[0]).restore(arrays, texts, len(labels))
        except (OSError, KeyError, ValueError, RuntimeError, safetensors.SafetensorError) as error:
            raise ClassifierError(f"{folder} is not a whole classifier ({error}). Train or copy it again.") from error
        return model


def load(name: str | Path) -> Classifier:
    """A run folder, a classifier folder, or `yamnet` for YAMNet's own 521 AudioSet classes -> Classifier."""
    if str(name) == "yamnet":
        return _audioset()
    folder = Path(name)
    if not folder.is_dir():
        raise ClassifierError(
            f"{name} is not a folder. Give a run folder (runs/NAME), a saved classifier, or 'yamnet'."
        )
    return Classifier.load(folder if (folder / CARD).is_file() else folder / "classifier")


def choose_device(asked: str = "auto") -> str:
    """What was asked for; for `auto` the accelerator of this machine, else `cpu`."""
    if asked != "auto":
        return asked
    found = torch.accelerator.current_accelerator(check_available=True)
    return found.type if found else "cpu"


def _audioset() -> Classifier:
    recipe = Recipe(
        data=settings.Data(name="audioset"),
        network=settings.Network(name="yamnet"),
        title="YAMNet, AudioSet's classes",
    )
    card = {"trained_on": "AudioSet, by YAMNet's authors"}
    return Classifier(recipe, class_names(), network=load_yamnet(), activation="sigmoid", card=card)


def _checked(wave: Array, rate_hz: int | None) -> tuple[Array, int]:
    if rate_hz is None:
        raise ClassifierError("a wave does not say its sample rate. Give rate_hz, e.g. classify(wave, rate_hz=44100).")
    if wave.ndim not in (1, 2) or wave.size == 0:
        raise ClassifierError(
            f"a wave of shape {wave.shape}: give [samples] or [samples, channels], at least one sample."
        )
    if not np.isfinite(wave).all():
        raise ClassifierError(f"the wave holds {int((~np.isfinite(wave)).sum())} samples that are NaN or infinite.")
    return audio.mix_down(wave), rate_hz


def _mean(arrays: Sequence[Array]) -> Array:
    return arrays[0] if len(arrays) == 1 else np.mean(arrays, axis=0, dtype=np.float32)


def _plain(arrays: dict[str, Array]) -> dict[str, Array]:
    return {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()}
