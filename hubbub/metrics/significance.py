"""Significance tests of paired runs, as pure functions over arrays.

Conventions: all p-values are two-sided; a test that is not possible gives None. `resample` draws whole groups (source
recordings), because clips of one recording are not independent; McNemar's test ignores groups, so its p is too small
if recordings have several clips. Tests over folds answer another question: would the difference recur with other
training parts? The folds' training parts overlap; Nadeau & Bengio (2003, Inference for the generalization error,
https://doi.org/10.1023/A:1024068626366) correct for that, Wilcoxon's test does not.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hubbub.errors import HubbubError

__all__ = ["PairedError", "corrected_t", "holm", "interval", "mcnemar", "p_value", "resample", "wilcoxon"]

Array = npt.NDArray[np.float64]
#: With fewer folds Wilcoxon's test cannot reach p < 0.05: the smallest p of five folds is 2 / 2**5 = 0.0625.
FEWEST_FOLDS = 6
#: Folds whose differences are closer than this differ by the same amount, but for rounding.
SAME = 1e-12
_CHUNK = 4_000_000


class PairedError(HubbubError):
    """Pairs that cannot be tested."""


def resample(values: npt.NDArray[np.floating], groups: npt.ArrayLike, resamples: int, seed: int = 0) -> Array | None:
    """Bootstrap means `[R, M]` of the columns of `values` `[N, M]`; whole groups are drawn with replacement.

    All columns share the draws, so the difference of two columns is a paired bootstrap (Efron & Tibshirani 1993, An
    introduction to the bootstrap). `groups` `[N]` names each row's group. None if there is only one group. Raises
    PairedError if shapes do not fit.
    """
    names, codes = np.unique(np.asarray(groups), return_inverse=True)
    if values.ndim != 2 or codes.shape != values.shape[:1] or not len(values):
        raise PairedError(f"values of shape {values.shape} in {codes.size} groups: give [N, M] and N groups, N > 0.")
    if len(names) == 1:
        return None
    sums = np.stack([np.bincount(codes, column, len(names)) for column in values.T], axis=1)
    sizes = np.bincount(codes, minlength=len(names))
    rng, even = np.random.default_rng(seed), np.full(len(names), 1 / len(names))
    step = max(1, _CHUNK // len(names))
    parts = []
    for start in range(0, resamples, step):
        draws = rng.multinomial(len(names), even, size=min(step, resamples - start)).astype(float)
        parts.append((draws @ sums) / (draws @ sizes)[:, None])
    return np.concatenate(parts)


def interval(draws: Array) -> list[float]:
    """The 95 % percentile interval of draws `[R]`."""
    return [float(v) for v in np.percentile(draws, [2.5, 97.5])]


def p_value(draws: Array) -> float:
    """The two-sided p of draws of a difference `[R]`: twice the smaller share on a side of 0, at least 2 / (R + 1)."""
    draws = np.round(draws, 12)  # a zero with rounding errors is on neither side
    rarer = min((draws <= 0).sum(), (draws >= 0).sum())
    return min(1.0, 2 * (int(rarer) + 1) / (len(draws) + 1))


def mcnemar(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> tuple[int, int, float]:
    """Correct or not `[N]`, of two runs -> clips only the first has right, clips only the second has, and McNemar's p.

    The exact binomial form (McNemar 1947, https://doi.org/10.1007/BF02295996); p is 1 if no clip differs.
    """
    if first.shape != second.shape:
        raise PairedError(
            f"{first.shape} and {second.shape} decisions: give the decisions of both runs on the same clips."
        )
    from scipy import stats  # slow to import

    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    p = stats.binomtest(only_first, only_first + only_second).pvalue if only_first + only_second else 1.0
    return only_first, only_second, float(p)


def corrected_t(differences: Sequence[float], ratio: float) -> float | None:
    """The p of Nadeau & Bengio's corrected resampled t-test over J folds' differences; None for one fold, and for folds
    that all differ by the same, which tell nothing of the spread.

    The variance is multiplied by 1 / J + `ratio` (test clips / training clips) instead of 1 / J, because the training
    parts of folds overlap. It was derived for random splits and is customary for folds (Bouckaert & Frank 2004,
    https://doi.org/10.1007/978-3-540-24775-3_3).
    """
    values = np.asarray(differences, dtype=float)
    if len(values) < 2:
        return None
    mean, variance = values.mean(), values.var(ddof=1) * (1 / len(values) + ratio)
    if np.ptp(values) < SAME:
        return 1.0 if abs(mean) < SAME else None
    from scipy import stats

    return float(2 * stats.t.sf(abs(mean) / np.sqrt(variance), len(values) - 1))


def wilcoxon(differences: Sequence[float]) -> float | None:
    """The p of Wilcoxon's signed-rank test over folds' differences; None for fewer than `FEWEST_FOLDS`."""
    values = np.asarray(differences, dtype=float)
    if len(values) < FEWEST_FOLDS:
        return None
    from scipy import stats

    return float(stats.wilcoxon(values).pvalue) if values.any() else 1.0


def holm(ps: Sequence[float]) -> Array:
    """Holm's adjusted p-values, in the given order (Holm 1979, https://www.jstor.org/stable/4615733)."""
    values = np.asarray(ps, dtype=float)
    order = np.argsort(values, kind="stable")
    steps = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted
