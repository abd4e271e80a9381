"""The learning-rate range test: a short training whose rate rises from step to step, and where its loss falls fastest.

The idea is Leslie Smith's (2017, https://arxiv.org/abs/1506.01186). It trains as `train/` does and discards the
network; only clips of the training part are opened.
"""

import itertools
import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from hubbub.config.recipe import Recipe
from hubbub.errors import HubbubError
from hubbub.experiment.fit import initialised_classifier, lessons, training_targets
from hubbub.experiment.prepare import Log, prepare
from hubbub.report import plots
from hubbub.runtime import distributed, files
from hubbub.training.batches import epoch_batches
from hubbub.training.fit import build_module, run_trainer
from hubbub.training.fitted import DivergedError
from hubbub.training.module import Training

__all__ = ["RangeTest", "RangeTestError", "run", "suggest"]

Values = npt.NDArray[np.float64]
LOWEST, HIGHEST, STEPS = 1e-7, 10.0, 100
#: The weight of the earlier losses in the moving average.
SMOOTHING = 0.9
#: The test ends when the smoothed loss is this many times its smallest.
DIVERGED = 4.0
#: The first steps, whose average is of too few losses for a slope.
FIRST = 10


class RangeTestError(HubbubError):
    """A recipe without a learning rate to find, or a loss that is not finite."""


@dataclass(frozen=True)
class RangeTest:
    """The result of the test: `table` (`step`, `learning_rate`, `loss`, `smoothed`), and two suggested rates.

    `steepest` is the rate at which the loss falls fastest per decade, `tenth` a tenth of the rate of the smallest loss;
    both are None if the loss never fell.
    """

    table: pd.DataFrame
    steepest: float | None
    tenth: float | None


def run(recipe: Recipe, folder: Path, *, quick: bool = False, log: Log = lambda line: None) -> RangeTest:
    """Run the test on the recipe's first split, on one device; writes `lr-find.png` and `lr-find.csv` to `folder`."""
    distributed.require_one_process("a range test")
    if recipe.head.name != "none":
        raise RangeTestError(
            f"head.name is '{recipe.head.name}': a head on frozen embeddings does not use train.learning_rate. "
            "Give a recipe that trains its network."
        )
    recipe = recipe.altered({"train.devices": 1, "train.nodes": 1})
    prepared = prepare(recipe, log, quick=quick, parts=("train",))
    (split,) = prepared.splits
    seed = prepared.recipe.train.seeds[0]
    model = initialised_classifier(prepared, seed)
    module = build_module(
        *(model, prepared.inputs, training_targets(prepared), split.train, split.validation, seed),
        lessons=lessons(prepared, split.train),
    )
    losses = _losses(module)
    rates = _rates()[: len(losses)]
    smoothed = _smooth(losses)
    steepest, tenth = suggest(rates, np.array(losses))
    table = pd.DataFrame(
        {"step": np.arange(1, len(losses) + 1), "learning_rate": rates, "loss": losses, "smoothed": smoothed}
    )
    files.write_csv(folder / "lr-find.csv", table)
    plots.rates(table, steepest, folder / "lr-find.png")
    return RangeTest(table, steepest, tenth)


def suggest(rates: Values, losses: Values) -> tuple[float | None, float | None]:
    """Rates and losses `[steps]` -> the rate of steepest descent, and a tenth of that of the smallest smoothed loss.

    The slope is taken of losses smoothed in both directions: smoothed in one, the curve and its steepest place lag by
    most of a decade.
    """
    lowest = int(np.argmin(_smooth(losses)))
    if lowest <= FIRST:
        return None, None
    falling = losses[: lowest + 1]
    smoothed = (_smooth(falling) + _smooth(falling[::-1])[::-1]) / 2
    slope = np.gradient(smoothed, np.log10(rates[: lowest + 1]))[FIRST:]
    if slope.min() >= 0:
        return None, None
    return float(rates[FIRST + int(np.argmin(slope))]), float(rates[lowest] / 10)


def _rates() -> Values:
    return np.geomspace(LOWEST, HIGHEST, STEPS)


def _smooth(losses: Values | list[float]) -> Values:
    """An exponential moving average with bias correction (Kingma & Ba, https://arxiv.org/abs/1412.6980)."""
    mean, smoothed = 0.0, []
    for step, loss in enumerate(losses, 1):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        smoothed.append(mean / (1 - SMOOTHING**step))
    return np.array(smoothed)


class _RateSweep(Callback):
    """Sets the rate of each step, records its loss, and stops the training once the loss has diverged."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self._sum = 0.0

    def on_before_optimizer_step(self, trainer: Trainer, module: LightningModule, optimizer: Optimizer) -> None:
        settings = cast(Training, module).settings
        rate, largest = float(_rates()[len(self.losses)]), settings.learning_rate
        shares = {"head": 1.0, "backbone": (settings.backbone_learning_rate or largest) / largest}
        for group in optimizer.param_groups:
            group["lr"] = rate * shares[group["name"]] * group["share"]

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        self._sum += outputs["loss"].item()
        if not math.isfinite(self._sum):  # an accelerator's losses are not looked at in each step of a training
            raise DivergedError("the loss is not finite")
        if (index + 1) % trainer.accumulate_grad_batches == 0:
            self.losses.append(self._sum)
            self._sum = 0.0
            means = _smooth(self.losses)
            trainer.should_stop = bool(means[-1] > DIVERGED * means.min())


def _losses(module: Training) -> list[float]:
    """The loss of each step at its rate, until it has diverged."""
    settings, sweep = module.settings, _RateSweep()
    endless = itertools.chain.from_iterable(
        epoch_batches(
            module.train_source.targets,
            settings.batch_size,
            np.random.default_rng([module.seed, epoch]),
            balanced="sampler" in settings.balance,
        )
        for epoch in itertools.count()
    )
    parts: Any = list(itertools.islice(endless, STEPS * settings.accumulate))
    with suppress(DivergedError):
        run_trainer(module, [sweep], 1, batches=DataLoader(parts, batch_size=None))
    if len(sweep.losses) < 2:
        raise RangeTestError("the loss was not finite from the start. Look at the data: hubbub data check.")
    return sweep.losses
