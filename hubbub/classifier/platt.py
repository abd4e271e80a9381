"""Calibration of label sets: a temperature and an offset of each class, by Platt scaling (Platt 1999, Probabilistic
outputs for support vector machines; with the targets that he proposes, so that no class is made certain).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hubbub.classifier import pooling

__all__ = ["Platt", "average", "fit"]

#: A temperature and an offset of each class: sigmoid(logit / temperature + offset) is the calibrated probability.
Platt = tuple[tuple[float, float], ...]
#: Temperatures are searched between the inverse and it; a class that scores against the truth ends at it.
FARTHEST = 100.0
_OFFSET = 50.0


def fit(targets: npt.NDArray[np.integer], scores: npt.NDArray[np.float32]) -> Platt:
    """Temperature and offset of each class `[K]` from held-out probabilities `[N, K]` and their targets `[N, K]`: 1
    present, 0 absent, -1 not annotated. A class that is present nowhere, or absent nowhere, keeps its probabilities."""
    logits = pooling.logits(scores, "sigmoid")
    return tuple(_of_class(own, values) for own, values in zip(targets.T, logits.T, strict=True))


def _of_class(targets: npt.NDArray[np.integer], logits: npt.NDArray[np.float64]) -> tuple[float, float]:
    from scipy import optimize, special

    known = targets >= 0
    present, values = targets[known] > 0, logits[known]
    if not present.any() or present.all():
        return 1.0, 0.0
    # Platt's targets: those of a flat prior, in the place of 1 and 0.
    aims = np.where(present, (present.sum() + 1) / (present.sum() + 2), 1 / ((~present).sum() + 2))

    def loss(found: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        slope = np.exp(found[0])
        moved = slope * values + found[1]
        error = special.expit(moved) - aims
        gradient = np.array([(error * slope * values).mean(), error.mean()])
        return float((np.logaddexp(0, moved) - aims * moved).mean()), gradient

    far = np.log(FARTHEST)
    found = optimize.minimize(loss, np.zeros(2), jac=True, bounds=[(-far, far), (-_OFFSET, _OFFSET)], method="L-BFGS-B")
    return float(np.exp(-found.x[0])), float(found.x[1])


def average(found: Sequence[Platt]) -> Platt:
    """The average of several fits of one recipe: of each class the geometric mean of temperatures, the mean offset."""
    values = np.array(found)
    temperatures, offsets = np.exp(np.log(values[..., 0]).mean(axis=0)), values[..., 1].mean(axis=0)
    return tuple(zip(temperatures.tolist(), offsets.tolist(), strict=True))
