"""The learning rate of each step, as a pure function of settings, step and validation history.

It has no state, so a resumed run continues with the same rates. Schedules: constant, cosine (Loshchilov & Hutter,
arXiv 1608.03983), exponential, one cycle (Smith & Topin, arXiv 1708.07120), and reduction on a plateau.
"""

import math
from collections.abc import Sequence

from hubbub.config.train import Train

__all__ = ["learning_rate", "plateaus"]

ONE_CYCLE_RISE = 0.3  # share of the steps in which the rate rises
ONE_CYCLE_START, ONE_CYCLE_END = 1 / 25, 1 / 25e4  # shares of the largest rate, as in torch's OneCycleLR


def learning_rate(settings: Train, largest: float, step: int, per_epoch: int, lowered: Sequence[int] = ()) -> float:
    """The learning rate of optimizer step `step`, counted from 0, with `per_epoch` steps per epoch.

    Frozen epochs run at the rate `largest`; after them the rate rises for `warmup_epochs` and then follows the
    schedule, which ends with the last of `epochs`. Under plateau, the rate is reduced at the end of the epochs
    `lowered`, counted from 1.
    """
    finished = step // per_epoch
    step -= settings.freeze_epochs * per_epoch
    steps = (settings.epochs - settings.freeze_epochs) * per_epoch
    warm_up = settings.warmup_epochs * per_epoch
    if step < 0 or (settings.schedule == "constant" and step >= warm_up):
        return largest
    if step < warm_up:
        return largest * (step + 1) / warm_up
    done = (step - warm_up) / max(steps - warm_up, 1)
    if settings.schedule == "cosine":
        low = min(settings.min_learning_rate, largest)
        return low + (largest - low) * (1 + math.cos(math.pi * done)) / 2
    if settings.schedule == "exponential":
        return largest * settings.gamma ** ((step - warm_up) // per_epoch)
    if settings.schedule == "plateau":
        return largest * settings.plateau_factor ** sum(epoch <= finished for epoch in lowered)
    return _one_cycle(largest, step, steps)


def _one_cycle(largest: float, step: int, steps: int) -> float:
    """Rise and fall along half cosines."""
    top = max(ONE_CYCLE_RISE * steps - 1, 1)
    if step <= top:
        first, last, done = largest * ONE_CYCLE_START, largest, step / top
    else:
        first, last, done = largest, largest * ONE_CYCLE_END, (step - top) / max(steps - 1 - top, 1)
    return last + (first - last) * (1 + math.cos(math.pi * done)) / 2


def plateaus(settings: Train, history: list[dict[str, float]]) -> list[int]:
    """The epochs, counted from 1, at whose end the monitor has not improved for more than `plateau_patience` epochs.

    `history` holds the metrics of the epochs so far; frozen epochs are ignored.
    """
    sign = 1 if settings.monitor == "val_loss" else -1
    found, still, best = [], 0, math.inf
    for epoch, row in enumerate(history[settings.freeze_epochs :], settings.freeze_epochs + 1):
        value = sign * row[settings.monitor]
        best, still = (value, 0) if value < best else (best, still + 1)
        if still > settings.plateau_patience:
            found.append(epoch)
            still = 0
    return found
