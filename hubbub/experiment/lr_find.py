"""The learning-rate range test: a short training whose rate rises from step to step, and where its loss falls fastest.

The idea is Leslie Smith's (2017, https://arxiv.org/abs/1506.01186). The network it moves is thrown away; only clips of
the training part are opened. This room saves no weights and knows no validation.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor, nn

from hubbub.config.recipe import Recipe
from hubbub.errors import HubbubError
from hubbub.experiment.fit import initialised_classifier
from hubbub.experiment.prepare import Log, prepare
from hubbub.report import plots
from hubbub.runtime import distributed, files
from hubbub.runtime.progress import track
from hubbub.train import batches, fit
from hubbub.train.module import Training

__all__ = ["RangeTest", "RangeTestError", "run", "suggest"]

Batch = tuple[Tensor, float]
Values = npt.NDArray[np.float64]
LOWEST, HIGHEST, STEPS = 1e-7, 10.0, 100
#: What is kept of the mean of earlier losses at each step.
SMOOTHING = 0.9
#: The test ends when the smoothed loss is this many times its smallest.
DIVERGED = 4.0
#: Steps whose mean stands on too few losses to tell a slope.
FIRST = 10


class RangeTestError(HubbubError):
    """A recipe that has no learning rate to find."""


@dataclass(frozen=True)
class RangeTest:
    """What the test gives: `table` (`step`, `learning_rate`, `loss`, `smoothed`), and two rates read off it.

    `steepest` is where the loss falls fastest per decade, `tenth` a tenth of the rate where it is smallest;
    both None where the loss never fell.
    """

    table: pd.DataFrame
    steepest: float | None
    tenth: float | None


def run(recipe: Recipe, folder: Path, *, quick: bool = False, log: Log = lambda line: None) -> RangeTest:
    """Test the recipe's training on its first split; `lr-find.png` and `lr-find.csv` in `folder`."""
    distributed.alone("a range test")
    if recipe.head.name != "none":
        raise RangeTestError(
            f"head.name is '{recipe.head.name}': a head on frozen embeddings is not trained by steps of a rate. "
            "Give a recipe that trains its network."
        )
    prepared = prepare(recipe, log, quick=quick, parts=("train",))
    (split,) = prepared.splits
    seed = prepared.recipe.train.seeds[0]
    model = initialised_classifier(prepared, seed).to(prepared.recipe.train.device)
    module = fit.prepared(model, prepared.inputs, prepared.targets, split.train, split.validation, seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
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

    For the slope the losses are smoothed from both sides: from one alone the curve trails, and with it the answer, by
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
    """A running mean that forgets, corrected for having begun at nothing (Kingma & Ba, https://arxiv.org/abs/1412.6980)."""
    mean, smoothed = 0.0, []
    for step, loss in enumerate(losses, 1):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        smoothed.append(mean / (1 - SMOOTHING**step))
    return np.array(smoothed)


def _losses(module: Training) -> list[float]:
    """The loss of each step at its rate, until it has diverged."""
    settings, device = module.settings, module.classifier.device
    module.to(device)
    module.source.to(device)
    module.on_train_epoch_start()
    optimizer = module.configure_optimizers()
    largest = settings.learning_rate
    shares = {"head": 1.0, "backbone": (settings.backbone_learning_rate or largest) / largest}
    feed = enumerate(_endless(module))
    losses: list[float] = []
    for rate in track(_rates(), "finding the rate", STEPS):
        for group in optimizer.param_groups:
            group["lr"] = float(rate) * shares[group["name"]]
        loss = _step(module, optimizer, feed)
        if not math.isfinite(loss):
            break
        losses.append(loss)
        means = _smooth(losses)
        if means[-1] > DIVERGED * means.min():
            break
    if len(losses) < 2:
        raise RangeTestError("the loss was not finite from the start. Look at the data: hubbub data check.")
    return losses


def _endless(module: Training) -> Iterator[Batch]:
    """The batches of one epoch after another."""
    settings = module.settings
    for epoch in itertools.count():
        rng = np.random.default_rng([module.seed, epoch])
        yield from batches.epoch_batches(
            module.source.targets, settings.batch_size, rng, balanced="sampler" in settings.balance
        )


def _step(module: Training, optimizer: torch.optim.Optimizer, feed: Iterator[tuple[int, Batch]]) -> float:
    """One step of the optimizer, as training takes it -> the loss before it; NaN where it is none."""
    settings = module.settings
    optimizer.zero_grad()
    total = 0.0
    for number, batch in itertools.islice(feed, settings.accumulate):
        try:
            loss = module.training_step(batch, number) / settings.accumulate
        except fit.TrainError:  # the loss is no number any more
            return math.nan
        loss.backward()
        total += loss.item()
    if settings.clip_norm:
        nn.utils.clip_grad_norm_(module.learning.parameters(), settings.clip_norm)
    optimizer.step()
    return total
