"""Fit one network, or one head on frozen embeddings, on one split.

A network: the one training loop (Lightning). Segments are cut from the resident waves and shuffled by a seeded
generator; validation picks the epoch, and its weights are read back from the checkpoint on disk, never from a shallow
copy. A head: every candidate on the training part, the best on validation fitted again on both.
This room does not see the test part.
"""

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from hubbub import metrics, windows
from hubbub.classifier import Classifier
from hubbub.data.cache import Segments, Waves
from hubbub.models.heads import build_head, candidates
from hubbub.settings import Train

__all__ = ["Fitted", "Training", "fit_head", "fit_network"]

Rows = npt.NDArray[np.intp]
Targets = npt.NDArray[np.int64]
WARM_UP = 0.3


@dataclass(frozen=True)
class Fitted:
    """What a fit gives.

    `chosen` was fitted on the training part: its validation figures are honest. `final` is the one to test: the same
    for a network, refitted on training + validation for a head. `choice` is what validation decided, and `history`
    the losses and validation metrics of each epoch of a network.
    """

    chosen: Classifier
    final: Classifier
    choice: dict[str, Any]
    history: pd.DataFrame | None = None


class SegmentData(Dataset[tuple[Tensor, Tensor]]):
    """The segments of some clips, fetched a whole batch at a time."""

    def __init__(self, classifier: Classifier, waves: Waves, clips: Rows, targets: Targets) -> None:
        self.classifier, self.waves = classifier, waves
        settings = classifier.recipe.windows
        counts = [windows.count(len(waves.wave(i)), settings.length, settings.hop) for i in clips]
        self.index = [(clip, k) for clip, count in zip(clips, counts, strict=True) for k in range(count)]
        self.targets = torch.from_numpy(np.repeat(targets[clips], counts))

    def __len__(self) -> int:
        return len(self.index)

    def __getitems__(self, rows: list[int]) -> tuple[Tensor, Tensor]:
        segments = [self.classifier.cut(self.waves.wave(clip))[k] for clip, k in (self.index[r] for r in rows)]
        return torch.from_numpy(np.stack(segments)), self.targets[rows]


class Training(lightning.LightningModule):
    """Cross-entropy on segments, AdamW, one schedule; logs `train_loss` and, on validation segments, `val_*`."""

    def __init__(self, classifier: Classifier, settings: Train, steps: int) -> None:
        super().__init__()
        self.classifier, self.settings, self.steps = classifier, settings, steps
        self.network, self.frontend = classifier.network, classifier.frontend
        self.history: list[dict[str, float]] = []
        self._losses: list[Tensor] = []
        self._figures: dict[str, float] = {}
        self._validated: list[tuple[Tensor, Tensor]] = []

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        segments, targets = batch
        loss = nn.functional.cross_entropy(self.classifier.logits(segments), targets)
        self.log("train_loss", loss, on_step=False, on_epoch=True, prog_bar=True)
        self._losses.append(loss.detach())
        return loss

    def on_train_epoch_end(self) -> None:
        loss = float(torch.stack(self._losses).mean())
        self._losses.clear()
        self.history.append({"epoch": self.current_epoch + 1, "train_loss": loss, **self._figures})

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        segments, targets = batch
        self._validated.append((self.classifier.logits(segments).float().cpu(), targets.cpu()))

    def on_validation_epoch_end(self) -> None:
        logits, targets = (torch.cat(parts) for parts in zip(*self._validated, strict=True))
        self._validated.clear()
        figures = metrics.evaluate(targets.numpy(), logits.softmax(1).numpy())
        self._figures = {
            f"val_{name}": float(figures[ours] or 0.0)
            for ours, name in (("log_loss", "loss"), ("accuracy", "accuracy"), ("macro_f1", "macro_f1"))
        }
        self.log_dict(self._figures, prog_bar=True)

    def configure_optimizers(self) -> Any:
        settings = self.settings
        optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        if settings.schedule == "constant":
            return optimiser
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, settings.learning_rate, total_steps=self.steps, pct_start=WARM_UP
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def fit_network(
    classifier: Classifier,
    waves: Waves,
    targets: Targets,
    train: Rows,
    validation: Rows,
    folder: Path,
    *,
    seed: int,
    choice: dict[str, Any] | None = None,
) -> Fitted:
    """Train `classifier.network` in place on the clips `train`; the epoch is chosen on the clips `validation`.

    Without validation clips nothing is chosen: the last epoch is kept, of `choice["epoch"]` where that is given.
    Checkpoints `best.ckpt` and `last.ckpt` and TensorBoard's files go to `folder`. `targets` `[clips]` are class
    numbers.
    """
    settings = classifier.recipe.train
    epochs = choice["epoch"] if choice else settings.epochs
    with _seeded(seed), _quiet():
        loader = _loader(classifier, waves, train, targets, torch.Generator().manual_seed(seed))
        module = Training(classifier, settings, epochs * len(loader))
        trainer = lightning.Trainer(
            accelerator=settings.device,
            devices=1,
            max_epochs=epochs,
            callbacks=_callbacks(settings, folder / "checkpoints", choosing=len(validation) > 0),
            logger=TensorBoardLogger(folder, name="", version="tensorboard"),
            enable_progress_bar=sys.stderr.isatty(),
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=10,
        )
        classifier.to(trainer.strategy.root_device)
        checks = _loader(classifier, waves, validation, targets, None) if len(validation) else None
        trainer.fit(module, loader, checks)
        best = folder / "checkpoints" / ("best.ckpt" if len(validation) else "last.ckpt")
        state = torch.load(best, map_location="cpu", weights_only=True)
    module.load_state_dict(state["state_dict"], strict=True)
    classifier.to("cpu").eval()
    return Fitted(classifier, classifier, {"epoch": int(state["epoch"]) + 1}, pd.DataFrame(module.history))


def fit_head(
    base: Classifier,
    segments: Segments,
    targets: Targets,
    train: Rows,
    validation: Rows,
    *,
    seed: int,
    choice: dict[str, Any] | None = None,
) -> Fitted:
    """Fit the recipe's head on `base`'s embeddings `segments` of all clips; `train` and `validation` are clip numbers.

    The candidate with the best validation clip accuracy is taken, the lower log loss deciding between equals.
    """
    options = [choice] if choice else candidates(base.recipe.head)
    fitted = [(_fit_once(base, segments, targets, train, seed, option), option) for option in options]
    if not len(validation):
        (model, option), *_ = fitted
        return Fitted(model, model, option)
    ranks = []
    for model, _ in fitted:
        part = segments.of(validation)
        figures = metrics.evaluate(targets[validation], model.judge(part.values, part.offsets[:-1])[1])
        ranks.append((figures["accuracy"] or 0.0, -(figures["log_loss"] or 0.0)))
    chosen, option = fitted[max(range(len(ranks)), key=ranks.__getitem__)]
    final = _fit_once(base, segments, targets, np.union1d(train, validation), seed, option)
    return Fitted(chosen, final, option)


def _fit_once(
    base: Classifier, segments: Segments, targets: Targets, clips: Rows, seed: int, choice: dict[str, Any]
) -> Classifier:
    settings, part = base.recipe.head, segments.of(clips)
    levels = np.split(part.values, len(base.recipe.windows.levels), axis=1)
    if settings.pool == "segment":
        y = targets[clips][part.clip]
    else:
        y = targets[clips]
        levels = [windows.pool_embeddings(level, part.offsets[:-1], settings.pool) for level in levels]
    head = build_head(settings, choice, seed).fit(np.concatenate(levels), np.tile(y, len(levels)))
    return Classifier(base.recipe, base.labels, network=base.network, head=head)


def _loader(
    classifier: Classifier, waves: Waves, clips: Rows, targets: Targets, shuffle: torch.Generator | None
) -> DataLoader[Any]:
    data, batch_size = SegmentData(classifier, waves, clips, targets), classifier.recipe.train.batch_size
    return DataLoader(
        data,
        batch_size=batch_size,
        shuffle=shuffle is not None,
        generator=shuffle,
        collate_fn=lambda batch: batch,
        # One left-over segment would give BatchNorm nothing to average; the next shuffle brings it back.
        drop_last=shuffle is not None and len(data) > batch_size and len(data) % batch_size == 1,
    )


def _callbacks(settings: Train, folder: Path, *, choosing: bool) -> list[Callback]:
    if not choosing:
        return [ModelCheckpoint(folder, filename="last", enable_version_counter=False)]
    mode = "min" if settings.monitor == "val_loss" else "max"
    keep = ModelCheckpoint(
        folder, filename="best", monitor=settings.monitor, mode=mode, save_last=True, enable_version_counter=False
    )
    return [keep, EarlyStopping(settings.monitor, mode=mode, patience=settings.patience)]


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """torch's global generator (dropout) seeded inside, as it was outside."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Lightning's remarks about loaders and hardware, which say nothing about this data."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
