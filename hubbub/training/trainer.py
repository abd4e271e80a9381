"""Lightning's Trainer for a training: devices, precision, checkpoints, early stopping, and its errors explained.

The training step is in `module.py`.
"""

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import Logger
from lightning.pytorch.strategies import DDPStrategy

from hubbub.config.train import Train
from hubbub.runtime import distributed, files
from hubbub.runtime.devices import choose_device
from hubbub.training.fitted import TrainError

__all__ = ["build_trainer", "checkpoint_callbacks", "explain_errors", "quiet"]


def build_trainer(
    settings: Train, epochs: int, nodes: int, devices: int, *, callbacks: list[Callback], loggers: list[Logger]
) -> lightning.Trainer:
    """Lightning's trainer with the recipe's settings.

    Each of several devices has its own process: torchrun's, if torchrun started this one, else spawned for the fit.
    """
    device, several = choose_device(settings.device), nodes * devices > 1
    started = several and distributed.this_process().world_size > 1
    strategy = DDPStrategy(
        start_method="popen" if started else "spawn", find_unused_parameters=settings.freeze_epochs > 0
    )
    return lightning.Trainer(
        accelerator=device,
        num_nodes=nodes,
        devices=devices,
        strategy=strategy if several else "auto",
        precision=_precision(settings.precision, device),
        max_epochs=epochs,
        accumulate_grad_batches=settings.accumulate,
        gradient_clip_val=settings.clip_norm or None,
        callbacks=callbacks,
        enable_checkpointing=any(isinstance(callback, ModelCheckpoint) for callback in callbacks),
        plugins=[_OfFirstRank() if started else _WholeCheckpoints()],
        logger=loggers,
        use_distributed_sampler=False,
        sync_batchnorm=several and device == "cuda",
        benchmark=device == "cuda",  # the shapes of batches do not change
        reload_dataloaders_every_n_epochs=1,
        enable_progress_bar=sys.stderr.isatty(),
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=10,
    )


def _precision(asked: str, device: str) -> Any:
    """Lightning's name of a precision; `amp` is the fastest one of the device that trains well."""
    if asked == "amp":
        if device == "cuda":
            asked = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
        else:
            asked = "bf16" if device == "cpu" and torch.cpu._is_avx512_bf16_supported() else "fp32"
    if asked == "fp16" and device == "cpu":
        raise TrainError("train.precision 'fp16' needs an accelerator. Use bf16, fp32, or amp for what fits here.")
    return {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}[asked]


def checkpoint_callbacks(settings: Train, folder: Path, *, choosing: bool) -> list[Callback]:
    """Callbacks that keep `last.ckpt` in `folder` and, if `choosing`, `best.ckpt`, and stop early."""
    last = ModelCheckpoint(folder, filename="last", enable_version_counter=False, save_on_train_epoch_end=True)
    if not choosing:
        return [last]
    mode = "min" if settings.monitor == "val_loss" else "max"
    stop = EarlyStopping(
        settings.monitor, mode=mode, patience=settings.patience, check_finite=False, check_on_train_epoch_end=True
    )
    best = ModelCheckpoint(
        folder, filename="best", monitor=settings.monitor, mode=mode, save_weights_only=True,
        enable_version_counter=False, save_on_train_epoch_end=True,
    )  # fmt: skip
    return [stop, best, last]


class _WholeCheckpoints(TorchCheckpointIO):
    """Writes checkpoints whole or not at all."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        with files.whole_file(path) as temporary:
            torch.save(checkpoint, temporary)


class _OfFirstRank(_WholeCheckpoints):
    """Rank 0 reads a checkpoint for all processes, so that other machines need no access to its files."""

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        if distributed.this_process().rank:
            return dict(distributed.receive())
        checkpoint = super().load_checkpoint(path, map_location, weights_only)
        distributed.broadcast(checkpoint)
        return checkpoint


@contextmanager
def explain_errors(settings: Train) -> Iterator[None]:
    """Translate errors of memory, of BatchNorm and of lost connections into what to do about them."""
    try:
        yield
    except (RuntimeError, ValueError, MemoryError) as error:
        text = str(error)
        if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in text:
            raise TrainError(
                f"a batch of {settings.batch_size} segments does not fit into memory. Lower train.batch_size and raise "
                "train.accumulate by the same factor, set train.checkpointing = true, or use shorter windows."
            ) from error
        if "more than 1 value per channel" in text:
            raise TrainError(
                "BatchNorm cannot learn from a batch of one. Raise train.batch_size, or set train.bn_eval = true."
            ) from error
        if isinstance(error, torch.distributed.DistError) or "gloo" in text:
            raise distributed.connection_error() from error
        raise


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Lightning's messages about loaders and hardware: they do not concern these data."""
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
