"""Folds of clips with several labels each: whole groups, each label spread evenly.

Iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011, https://doi.org/10.1007/978-3-642-23808-6_10), with
groups in the place of their examples: what belongs together is placed as one, with all its labels.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from hubbub.errors import HubbubError, count

__all__ = ["FoldError", "multilabel_folds"]


class FoldError(HubbubError):
    """Clips that cannot be split into folds."""


def multilabel_folds(targets: npt.NDArray[np.bool_], groups: npt.ArrayLike, k: int, seed: int = 0) -> npt.NDArray[Any]:
    """The fold of each clip, `[N]`, from 1 to `k`: whole groups, each label spread evenly. No fold is empty.

    `targets` `[N, K]` says which labels a clip has, `groups` `[N]` what it belongs to. The label in the fewest groups
    that are not placed yet comes first, and of its groups those with most of its clips. Each goes to the fold that
    lacks most clips of this label, of several to the one that lacks most clips, then to a random one. Groups without
    labels come last. Raises `FoldError` where there are fewer groups than folds.
    """
    names, codes = np.unique(np.asarray(groups), return_inverse=True)
    if k < 2 or len(names) < k:
        raise FoldError(
            f"{count(len(names), 'recording')} cannot be split into {count(k, 'fold')}, as a recording stays whole. "
            "Ask for two folds or more, and for no more than there are recordings, or add recordings."
        )
    counts = np.zeros((len(names), targets.shape[1] + 1), dtype=np.int64)
    np.add.at(counts, codes, np.column_stack([targets, np.ones(len(targets), dtype=bool)]))  # the last is of all clips
    rng = np.random.default_rng(seed)
    # Counts are times k, so that what a fold lacks at first, a k-th of all, is a whole number, and ties are exact.
    lacking = np.tile(counts.sum(axis=0), (k, 1))
    fold_of = np.zeros(len(names), dtype=np.int64)
    order = rng.permutation(len(names))
    waiting = np.ones(len(names), dtype=bool)
    while waiting.any():
        left = (counts[waiting, :-1] > 0).sum(axis=0)
        label = int(np.where(left > 0, left, len(names) + 1).argmin()) if left.any() else -1
        own = order[waiting[order] & (counts[order, label] > 0)]
        for group in own[np.argsort(-counts[own, label], kind="stable")]:
            most = np.flatnonzero(lacking[:, label] == lacking[:, label].max())
            most = most[lacking[most, -1] == lacking[most, -1].max()]
            fold = rng.choice(most)
            lacking[fold] -= k * counts[group]
            fold_of[group], waiting[group] = fold + 1, False
    return fold_of[codes]
