"""The LightningModule of a training: training step, validation, learning rates.

All random numbers of a step depend on seed, epoch and step only, so a killed run resumes from its last checkpoint and
ends with the same weights.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from hubbub.augment import Mixing, Outliers, Spectrogram, Waveform
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.models.network import Network
from hubbub.training import batches
from hubbub.training.batches import Source
from hubbub.training.ema import EMA
from hubbub.training.fitted import DivergedError, TrainError
from hubbub.training.frame_loss import encoded, frame_loss, to_validate
from hubbub.training.losses import annotated_shares, check_fit, multilabel_loss
from hubbub.training.recompute import recomputed
from hubbub.training.schedule import learning_rate, plateaus
from hubbub.training.teacher import Lessons, distance
from hubbub.training.tuning import Tuning
from hubbub.training.validation import figures

__all__ = ["EachEpoch", "Training"]

#: Receives the metrics of an epoch; an exception ends the training.
EachEpoch = Callable[[dict[str, float]], None]
#: Weight of an auxiliary classifier's loss (Inception v3: Szegedy et al. 2016, as in torchvision).
SIDE_SHARE = 0.4
#: Steps of an accelerator between looks at their losses.
UNCHECKED = 50


class Training(lightning.LightningModule):
    """Trains one network on segments: with cross-entropy where each has one class, else with a loss of `losses.py`.

    Logs `train_loss`, `train_accuracy` and, on validation segments, `val_*`; `history` holds them for each epoch.
    `train_accuracy` is that of the training batches as the network got them: augmented, with dropout, and with the
    weights of that moment. Mixed segments and label sets have no one class, so their trainings have none. Logs the
    learning rates of each epoch's last step as `learning_rate` (of the head) and `backbone_learning_rate`. A recipe
    with adapters gives the network some, which `lora.merge` adds to its weights after the training. `lowered` is for a
    plateau schedule without validation: the epochs at whose end an earlier fit lowered its rate. `lessons` are
    what a teacher makes of the training segments, `outliers` replace some of them. Raises `TrainError` for settings
    that do not fit the targets.
    """

    def __init__(
        self,
        classifier: TorchClassifier,
        train: Source,
        validation: Source | None,
        seed: int,
        lowered: Sequence[int] = (),
        each_epoch: EachEpoch | None = None,
        lessons: Lessons | None = None,
        outliers: Outliers | None = None,
    ) -> None:
        super().__init__()
        self.lowered, self.each_epoch = lowered, each_epoch
        self.classifier, self.settings = classifier, classifier.recipe.train
        self.tuning = Tuning(classifier.network, classifier.recipe, seed)
        # The trained part; a checkpoint holds it, its average, and the map to a teacher's embeddings.
        self.learning = classifier.network.fc if classifier.frozen else classifier.network
        self.tuning.freeze(classifier.recipe.network.mode == "head")  # DDP needs to know which parameters are trained
        self.train_source, self.validation_source, self.seed = train, validation, seed
        augment = classifier.recipe.augment
        self.augment, self.mask = Waveform(augment, classifier.rate_hz), Spectrogram(augment)
        self.classes, balance = len(classifier.labels), self.settings.balance
        self.multilabel = train.targets.ndim == 2
        check_fit(self.settings, self.multilabel)
        if self.multilabel and (outliers or lessons):
            raise TrainError(
                f"{'augment.outliers' if outliers else '[teacher]'} is for clips of one label each, and these may hold "
                "several. Leave it out."
            )
        mixes = (augment.between or augment.mixup or augment.cutmix) and not classifier.frozen
        self.frames = classifier.frames  # of a frame-wise network: its targets are those of all frames, [S, F * K]
        self.mixing = Mixing(augment, self.classes * self.frames, self.multilabel) if mixes else None
        self.outliers, self.lessons = outliers, lessons
        # Targets are shares of all classes, with lessons or what is annotated behind them, or else class numbers.
        self.soft = bool(mixes or outliers or lessons or self.multilabel)
        if lessons:  # the map
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                self.projection = nn.Linear(classifier.network.fc.in_features, lessons.embeddings.shape[1])
            if lessons.projection:
                self.projection.load_state_dict(lessons.projection)
        weights = None
        if "weights" in balance:
            of_sets, of_classes = batches.positive_weights, batches.class_weights
            sets = train.targets.view(-1, self.classes) if self.multilabel else train.targets
            weights = of_sets(sets) if self.multilabel else of_classes(train.targets, self.classes)
        self.class_weights: Tensor | None
        self.register_buffer("class_weights", weights, persistent=False)
        decay = self.settings.average
        self.averaged = EMA(self.learning, decay) if decay else None
        self.history: list[dict[str, float]] = []
        self.threads: set[int] = set()  # numbers of CPU threads used in the epochs
        self._losses: list[Tensor] = []
        self._right: list[Tensor] = []  # whether each training segment was decided right
        self._metrics: dict[str, float] = {}
        self._validated: list[tuple[Tensor, Tensor]] = []

    def train_dataloader(self) -> DataLoader[Any]:
        rng = np.random.default_rng([self.seed, self.current_epoch])
        return self._loader(self.train_source, rng, balanced="sampler" in self.settings.balance)

    def val_dataloader(self) -> DataLoader[Any] | list[Any]:
        return self._loader(self.validation_source, None) if self.validation_source else []

    def _loader(self, source: Source, rng: np.random.Generator | None, *, balanced: bool = False) -> DataLoader[Any]:
        rank, world, size = self.global_rank, self.trainer.world_size, self.settings.batch_size
        parts = batches.epoch_batches(source.targets, size, rng, rank=rank, world=world, balanced=balanced)
        return DataLoader(parts, batch_size=None)  # type: ignore[arg-type]

    def transfer_batch_to_device(self, batch: Any, device: torch.device, _: int) -> Any:
        return batch  # example numbers; the examples are fetched on the device

    @property
    def network(self) -> Network:
        return self.classifier.network

    def on_fit_start(self) -> None:
        self.classifier.to(self.device)
        for source in (self.train_source, self.validation_source):
            if source:
                source.to(self.device)

    @property
    def freezing(self) -> bool:
        """Whether only the layers added to the published network are trained in this epoch."""
        return self.classifier.recipe.network.mode == "head" or self.current_epoch < self.settings.freeze_epochs

    def on_train_epoch_start(self) -> None:
        self.tuning.start_epoch(self.freezing)

    def on_train_batch_start(self, batch: Any, index: int) -> None:
        for group in self.optimizers().param_groups:  # type: ignore[union-attr]
            group["lr"] = self._rate(group["name"]) * group.get("share", 1.0)  # of earlier versions' checkpoints

    def training_step(self, batch: tuple[Tensor, float], index: int) -> Tensor:
        rows, share = batch
        entropy = [self.seed, self.current_epoch, index, self.global_rank]
        step_seed = int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> 1)
        # For dropout. torch.manual_seed takes milliseconds: it notes a stack for every kind of device that is not used.
        torch.default_generator.manual_seed(step_seed)
        if self.device.type != "cpu":
            getattr(torch, self.device.type).manual_seed(step_seed)
        generator = torch.Generator(self.device if self.device.type == "cuda" else "cpu").manual_seed(step_seed)
        inputs = self.train_source.fetch(rows, generator)
        embeddings, targets = self._forward(inputs, self._targets(rows), generator)
        logits = self.network.head(embeddings)
        labels = targets[:, : self.classes] if self.soft and not self.multilabel else targets
        if not self.soft:
            self._right.append(logits.detach().argmax(1) == labels)
        loss = self._loss(logits, labels)
        for side in self.network.side_logits():
            loss = loss + SIDE_SHARE * self._loss(side, labels)
        if teacher := self.classifier.recipe.teacher:
            scores, taught = targets[:, self.classes :].split([self.classes, self.projection.out_features], dim=1)
            taught_loss = distance(teacher, logits, scores, self.projection(embeddings), taught)
            loss = (1 - teacher.scores) * loss + taught_loss
        loss = loss * share + self.network.regulariser()
        self._losses.append(loss.detach())
        if self.device.type == "cpu" or len(self._losses) % UNCHECKED == 0:
            self._check_losses()
        return loss

    def _targets(self, rows: Tensor) -> Tensor:
        """Class numbers `[B]` of training segments, or shares of the classes `[B, K]`, followed by their lessons. The
        number -1 stands for no class, so all its shares are 0. Of label sets: which classes are present, followed by
        which are annotated, `[B, 2 K]`; of frames as `frame_loss.encoded` has them."""
        targets = self.train_source.targets[rows].to(self.device, non_blocking=True)
        if self.frames > 1:
            return encoded(targets, self.classes)
        if self.multilabel:
            return torch.cat([targets > 0, targets >= 0], dim=1).float()
        if not self.soft:
            return targets
        shares = nn.functional.one_hot(targets.clamp_min(0), self.classes).float() * (targets >= 0)[:, None]
        if not self.lessons:
            return shares
        lessons = (self.lessons.scores[rows], self.lessons.embeddings[rows])
        return torch.cat([shares, *(part.to(self.device, non_blocking=True) for part in lessons)], dim=1)

    def _forward(self, inputs: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Examples and targets -> embeddings and targets, with augmentation and mixing."""
        if self.classifier.frozen:
            return inputs, targets
        if self.outliers:
            inputs, targets = self.outliers.replace(inputs, targets, generator)
        waves = self.augment(inputs, generator)
        if self.mixing:
            waves, targets = self.mixing.waves(waves, targets, generator)
        features = self.classifier.features(waves, lambda spectrograms: self.mask(spectrograms, generator))
        if self.mixing:
            features, targets = self.mixing.spectrograms(features, targets, generator)
        with recomputed(self.network) if self.settings.checkpointing else nullcontext():
            return self.network.embed(features), targets

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        smoothing = self.settings.label_smoothing
        name = "bce" if self.settings.loss == "auto" else self.settings.loss
        if self.frames > 1:
            weak, weights = self.settings.weak, self.class_weights
            return frame_loss(name, self.network, logits, targets, weak, weights, smoothing)
        if self.multilabel:
            present, known = targets.split(self.classes, dim=1)
            shares = annotated_shares(present, known)
            return multilabel_loss(name, logits, shares, known, self.class_weights, smoothing)
        return nn.functional.cross_entropy(logits, targets, self.class_weights, label_smoothing=smoothing)

    def on_train_batch_end(self, outputs: Any, batch: Any, index: int) -> None:
        if self.averaged and self.global_step > self.averaged.steps:  # only after an optimizer step
            self.averaged.update(self.learning)

    def on_validation_epoch_start(self) -> None:
        self._check_losses()
        self._swap_average()

    def on_train_epoch_end(self) -> None:
        self._check_losses()
        right = torch.cat(self._right).float().cpu() if self._right else torch.zeros(0)
        losses, hits, seen = self._from_all_devices(
            float(torch.stack(self._losses).mean()), float(right.sum()), len(right)
        )
        self._losses.clear()
        self._right.clear()
        trained = {"train_loss": float(np.mean(losses))}
        if sum(seen):
            trained["train_accuracy"] = sum(hits) / sum(seen)
        row = {"epoch": self.current_epoch + 1, **trained, **self._metrics}
        self.history.append(row)
        self.log_dict(trained, prog_bar=True, sync_dist=True)
        self.log_dict(self._last_rates(), sync_dist=True)
        if self.each_epoch:
            self.each_epoch(row)

    def validation_step(self, batch: tuple[Tensor, float], _: int) -> None:
        rows = batch[0]
        inputs = self.validation_source.fetch(rows)  # type: ignore[union-attr]
        logits = self.network.head(inputs) if self.classifier.frozen else self.classifier.logits(inputs)
        self._validated.append((rows, logits.float()))

    def on_validation_epoch_end(self) -> None:
        self._swap_average()
        rows, logits = (torch.cat(parts) for parts in zip(*self._validated, strict=True))
        self._validated.clear()
        rows, logits = (torch.cat(parts) for parts in self._from_all_devices(rows, logits.cpu()))
        if not torch.isfinite(total := logits.sum()):
            raise self._diverged("the sum of the validation logits", total)
        targets = self.validation_source.targets[rows]  # type: ignore[union-attr]
        if self.frames > 1:
            targets, logits = to_validate(self.network, targets, logits)
        self._metrics = figures(targets, logits)
        self.log_dict(self._metrics, prog_bar=True, sync_dist=True)

    def _swap_average(self) -> None:
        if self.averaged:
            self.averaged.swap_with(self.learning)

    def _check_losses(self) -> None:
        """Raises `DivergedError` where one of the last losses is not finite. An accelerator's are looked at seldom,
        because each look waits for all its work."""
        infinite = ~torch.isfinite(torch.stack(self._losses[-UNCHECKED:]))
        if infinite.any():
            first = int(infinite.nonzero()[0])
            raise self._diverged("the loss", self._losses[-UNCHECKED:][first], len(infinite) - 1 - first)

    def _diverged(self, name: str, value: Tensor, before: int = 0) -> DivergedError:
        """The error of a value that is not finite, `before` batches before this one."""
        step = self.global_step + 1 - before // self.settings.accumulate
        return DivergedError(
            f"{name} became {float(value)} in epoch {self.current_epoch + 1}, step {step}. "
            "The last good checkpoint is kept. Lower train.learning_rate, or set train.clip_norm."
        )

    def _from_all_devices(self, *values: Any) -> list[list[Any]]:
        """The values of all devices: one list for each value."""
        gathered: list[Any] = [values] * self.trainer.world_size
        if self.trainer.world_size > 1:
            torch.distributed.all_gather_object(gathered, values)
        return [list(parts) for parts in zip(*gathered, strict=True)]

    def _last_rates(self) -> dict[str, float]:
        """The learning rates of the epoch's last step; 0 for a backbone that it did not train. Of a backbone with rates
        by depth the largest, and the smallest as `lowest_learning_rate`."""
        rates: dict[str, float] = {}
        for group in self.optimizers().param_groups:  # type: ignore[union-attr]
            if group["name"] == "head":
                rates["learning_rate"] = group["lr"]
                continue
            rate = 0.0 if self.freezing else group["lr"]
            rates |= {"lowest_learning_rate": rate} if "backbone_learning_rate" not in rates else {}
            rates["backbone_learning_rate"] = rate
        if self.settings.layer_decay == 1:
            rates.pop("lowest_learning_rate", None)
        return rates

    def _rate(self, group: str) -> float:
        settings = self.settings
        largest = settings.learning_rate
        if group == "backbone" and settings.backbone_learning_rate:
            largest = settings.backbone_learning_rate
        per_epoch = math.ceil(self.trainer.num_training_batches / settings.accumulate)
        on_plateau = settings.schedule == "plateau" and self.validation_source is not None
        lowered = plateaus(settings, self.history) if on_plateau else self.lowered
        return learning_rate(settings, largest, self.global_step, per_epoch, lowered)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        groups = [group | {"lr": self.settings.learning_rate} for group in self.tuning.groups()]
        if self.lessons:
            groups.append(groups[0] | {"params": list(self.projection.parameters()), "name": "head"})
        decay = self.settings.weight_decay
        if self.settings.optimizer == "sgd":
            momentum = self.settings.momentum
            return torch.optim.SGD(groups, momentum=momentum, nesterov=momentum > 0, weight_decay=decay)
        kind = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[self.settings.optimizer]
        return kind(groups, weight_decay=decay)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["history"] = self.history
        if self.device.type == "cpu":
            self.threads.add(torch.get_num_threads())
        checkpoint["threads"] = sorted(self.threads)
        checkpoint["stopped"] = self.trainer.should_stop

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history = checkpoint["history"]
        self.threads = set(checkpoint.get("threads", ()))
