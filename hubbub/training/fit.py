"""Fit a network on one split; the test part is never used.

Validation chooses the epoch, whose weights are read from the checkpoint on disk; the training step is in `module.py`.
Heads on frozen embeddings are fitted in `head.py`.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from torch.utils.data import DataLoader

from hubbub.augment import Outliers, outliers
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.config.recipe import Recipe
from hubbub.data.arrays import Arrays
from hubbub.data.cache import Segments, Waves, key_of
from hubbub.data.inputs import Inputs
from hubbub.models.lora import merge
from hubbub.runtime import distributed
from hubbub.runtime.allocator import keep_freed_memory
from hubbub.runtime.devices import choose_device
from hubbub.training.batches import Embeddings, Source, Spectrograms, Stored, Waveforms
from hubbub.training.fitted import Fitted, TrainError
from hubbub.training.module import EachEpoch, Training
from hubbub.training.schedule import plateaus
from hubbub.training.targets import SegmentTargets, Targets
from hubbub.training.teacher import Lessons
from hubbub.training.trainer import build_trainer, checkpoint_callbacks, explain_errors, quiet

__all__ = [
    "FitRequest",
    "build_module",
    "data_key",
    "fit_network",
    "run_trainer",
    "run_training",
]

Rows = npt.NDArray[np.intp]
#: The largest size of the spectrograms that a part keeps [bytes]; larger ones are computed in each epoch.
MOST_HELD = 2**30


@dataclass(frozen=True)
class FitRequest:
    """The fit of a network that rank 0 requests from the workers; `checkpoints` is a folder on rank 0's machine."""

    recipe: Recipe
    labels: tuple[str, ...]
    train: Rows
    validation: Rows
    seed: int
    lowered: Sequence[int]
    checkpoints: Path
    epochs: int
    resume: bool
    lessons: Lessons | None


def fit_network(
    classifier: TorchClassifier,
    inputs: Inputs | Segments,
    targets: Targets,
    train: Rows,
    validation: Rows,
    folder: Path,
    *,
    seed: int,
    choice: dict[str, Any] | None = None,
    loggers: list[Logger] | None = None,
    each_epoch: EachEpoch | None = None,
    lessons: Lessons | None = None,
) -> Fitted:
    """Train `classifier.network` in place on the clips `train`; the clips `validation` choose the epoch.

    `inputs` are the decoded clips or, for a frozen network, the embeddings of their segments; `targets` are class
    numbers `[clips]`, label sets `[clips, K]`, or timed label sets. Without validation clips the last epoch is kept; an
    earlier fit's `choice` sets their number. Checkpoints `best.ckpt` and `last.ckpt` are in `folder`/checkpoints;
    training continues from a `last.ckpt` there. `loggers` and `each_epoch` receive the metrics of each epoch;
    `each_epoch` may raise to end the training. `lessons` are what the recipe's teacher makes of the segments of the
    training clips.
    Raises `TrainError`.
    """
    settings, checkpoints = classifier.recipe.train, folder / "checkpoints"
    nodes, devices = _devices(classifier)
    distributed.check_world_size(settings.nodes, settings.devices)
    lowered = choice.get("lowered", ()) if choice else ()
    module = build_module(classifier, inputs, targets, train, validation, seed, lowered, each_epoch, lessons)
    checks = module.validation_source
    if len(module.train_source) < 2 * nodes * devices:
        raise TrainError(f"{len(module.train_source)} training segments are too few for {nodes * devices} devices.")
    last = checkpoints / "last.ckpt"
    resume = last.is_file()
    if not resume or not read_checkpoint(last)["stopped"]:
        epochs = choice["epoch"] if choice else settings.epochs
        if nodes * devices > 1 and distributed.this_process().world_size > 1:
            assert not isinstance(inputs, Segments)
            name = data_key(inputs, targets, settings.device)
            distributed.broadcast(
                FitRequest(
                    *(classifier.recipe, classifier.labels, train, validation, seed, lowered, checkpoints, epochs),
                    *(resume, lessons),
                )
            )
            distributed.build_on_all(lambda: name, str, "clips or kind of device")
        run_training(module, checkpoints, epochs, resume=resume, loggers=loggers or [])
    best = read_checkpoint(checkpoints / "best.ckpt" if checks else last)
    module.load_state_dict(best["state_dict"], strict=True)
    if module.averaged:
        module.learning.load_state_dict(module.averaged.module.state_dict())
    trainable = sum(p.numel() for p in (module.learning.parameters() if classifier.frozen else module.tuning.trained))
    merge(classifier.network)
    classifier.to(settings.device).eval()
    final = read_checkpoint(last)
    history = final["history"]
    chosen: dict[str, Any] = {"epoch": int(best["epoch"]) + 1}
    if settings.schedule == "plateau":
        chosen["lowered"] = plateaus(settings, history) if checks else list(lowered)
    return Fitted(classifier, classifier, chosen, pd.DataFrame(history), trainable, tuple(final.get("threads", ())))


def _devices(classifier: TorchClassifier) -> tuple[int, int]:
    """Machines, and devices per machine: one device for frozen embeddings, which train faster than a second starts."""
    settings = classifier.recipe.train
    return (1, 1) if classifier.frozen else (settings.nodes, settings.devices)


def data_key(sound: Inputs, targets: Targets, device: str) -> str:
    """A hash of what all processes of a training must share: clips, their classes, the kind of device."""
    every = targets.embeddings if isinstance(targets, SegmentTargets) else targets
    return key_of(sound.key, hashlib.sha256(every.tobytes()).hexdigest(), choose_device(device))


def run_training(module: Training, folder: Path, epochs: int, *, resume: bool, loggers: list[Logger]) -> None:
    """Train all epochs on all devices, with checkpoints in `folder`; `resume` continues from its `last.ckpt`."""
    callbacks = checkpoint_callbacks(module.settings, folder, choosing=module.validation_source is not None)
    run_trainer(module, callbacks, epochs, loggers=loggers, checkpoint=folder / "last.ckpt" if resume else None)


def run_trainer(
    module: Training,
    callbacks: list[Callback],
    epochs: int,
    *,
    batches: DataLoader[Any] | None = None,
    loggers: list[Logger] | None = None,
    checkpoint: Path | None = None,
) -> None:
    """Run Lightning's trainer on a module, seeded; `batches` replace the module's own. Raises `TrainError`."""
    settings = module.settings
    with _seeded(module.seed), quiet(), explain_errors(settings), keep_freed_memory():
        trainer = build_trainer(
            settings, epochs, *_devices(module.classifier), callbacks=callbacks, loggers=loggers or []
        )
        trainer.fit(module, batches, ckpt_path=checkpoint, weights_only=True)


def build_module(
    classifier: TorchClassifier,
    inputs: Inputs | Segments,
    targets: Targets,
    train: Rows,
    validation: Rows,
    seed: int,
    lowered: Sequence[int] = (),
    each_epoch: EachEpoch | None = None,
    lessons: Lessons | None = None,
) -> Training:
    """The Lightning module of a fit; the front end is fitted to the training part."""
    source = _source(classifier, inputs, targets, train, True)
    checks = _source(classifier, inputs, targets, validation, False) if len(validation) else None
    if len(source) and (frontend := classifier.frontend) and not classifier.frozen:
        source.to(torch.device("cpu"))
        rows = torch.arange(len(source)).split(classifier.recipe.train.batch_size)
        frontend.to("cpu").fit(source.fetch(some) for some in rows)
    return Training(
        classifier,
        source,
        checks,
        seed,
        lowered,
        each_epoch,
        lessons,
        _outliers(classifier, source) if source else None,
    )


def read_checkpoint(checkpoint: Path) -> dict[str, Any]:
    return torch.load(checkpoint, map_location="cpu", weights_only=True)


def _source(
    classifier: TorchClassifier, inputs: Inputs | Segments, targets: Targets, clips: Rows, learning: bool
) -> Source:
    """The examples of some clips; `learning` where they are augmented."""
    if isinstance(inputs, Segments):
        return Embeddings(inputs, clips, targets, classifier.network.fc.in_features)
    if isinstance(inputs, Arrays):
        return Stored(inputs, clips, targets)
    assert isinstance(inputs, Waves)
    recipe = classifier.recipe
    waves = Waveforms(inputs, clips, targets, recipe.windows, crop=recipe.augment.crop)
    frontend, size = classifier.frontend, recipe.windows.length
    if frontend is None or frontend.logmel is None or (learning and recipe.augment.changes_waves):
        return waves
    held = len(waves) * frontend.n_mels * frontend.logmel.frames(size) * np.dtype(np.float32).itemsize
    return Spectrograms(waves, frontend.logmel, recipe.train.batch_size) if held <= MOST_HELD else waves


def _outliers(classifier: TorchClassifier, source: Source) -> Outliers | None:
    """The recipe's outliers, in the form in which the source gives its examples."""
    chosen, recipe = classifier.recipe.augment.outliers, classifier.recipe
    if chosen is None or not isinstance(source, Waveforms | Spectrograms):
        return None
    size, rate = recipe.windows.length, recipe.audio.rate_hz
    numbers = torch.arange(outliers.COUNT).split(recipe.train.batch_size)
    waves = (torch.from_numpy(np.stack([outliers.outlier_wave(int(n), size, rate) for n in some])) for some in numbers)
    if isinstance(source, Spectrograms):
        assert classifier.frontend and classifier.frontend.logmel
        logmel = classifier.frontend.logmel.to("cpu")
        with torch.no_grad():
            bank = torch.cat([logmel(some) for some in waves])
    else:
        bank = torch.cat(list(waves))
    return Outliers(chosen.p, bank, len(classifier.labels))


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed torch's global generator (dropout) inside the block, and restore it after."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
