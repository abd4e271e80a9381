"""stratified_folds: whole groups, each label spread over the folds, and no fold empty."""

from itertools import pairwise

import numpy as np
import pytest
from sklearn.model_selection import GroupKFold

from hubbub.data.folds import FoldError
from hubbub.data.stratified_folds import multilabel_folds


def case(seed: int, groups: int = 150, most: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Recordings of 1 to `most` clips; eight labels, frequent and rare, that a recording's clips tend to share."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, most + 1, groups)
    of_group = rng.random((groups, 8)) < [0.6, 0.4, 0.3, 0.3, 0.2, 0.15, 0.1, 0.08]
    codes = np.repeat(np.arange(groups), sizes)
    order = rng.permutation(len(codes))
    targets = of_group[codes] & (rng.random((len(codes), 8)) < 0.8)
    return targets[order], np.array([f"night {code}" for code in codes])[order]


def shares(targets: np.ndarray, folds: np.ndarray, k: int) -> np.ndarray:
    """The share of each label's clips in each fold `[k, K]`."""
    return np.array([targets[folds == fold].sum(axis=0) for fold in range(1, k + 1)]) / targets.sum(axis=0)


def by_group_alone(targets: np.ndarray, groups: np.ndarray, k: int) -> np.ndarray:
    folds = np.zeros(len(groups), dtype=int)
    for fold, (_, test) in enumerate(GroupKFold(k).split(targets, groups=groups), 1):
        folds[test] = fold
    return folds


@pytest.mark.parametrize("k", [2, 3, 5, 10])
@pytest.mark.parametrize("seed", range(4))
def test_no_group_is_in_two_folds_and_every_clip_is_in_one(seed: int, k: int) -> None:
    targets, groups = case(seed)
    folds = multilabel_folds(targets, groups, k, seed)
    assert folds.shape == groups.shape and sorted(set(folds.tolist())) == list(range(1, k + 1))
    assert all(len(set(folds[groups == group].tolist())) == 1 for group in set(groups.tolist()))


def test_labels_are_spread_evenly_and_more_so_than_by_group_alone() -> None:
    ours, theirs = [], []
    for seed in range(10):
        targets, groups = case(seed)
        largest = max(np.bincount(np.unique(groups, return_inverse=True)[1]))
        folds = multilabel_folds(targets, groups, 5, seed)
        away = np.abs(shares(targets, folds, 5) - 1 / 5)
        # No label is further from a fifth of its clips than the clips of two of the largest recordings.
        assert (away * targets.sum(axis=0)).max() < 2 * largest + 0.5
        assert np.abs(np.bincount(folds)[1:] / len(folds) - 1 / 5).max() < 0.04
        ours.append(away.mean())
        theirs.append(np.abs(shares(targets, by_group_alone(targets, groups, 5), 5) - 1 / 5).mean())
    assert all(one < other / 2 for one, other in zip(ours, theirs, strict=True))
    assert np.mean(ours) < 0.02


def test_clips_of_their_own_are_spread_to_within_two_clips_of_each_label() -> None:
    targets, _ = case(1)
    folds = multilabel_folds(targets, np.arange(len(targets)), 5)
    assert (np.abs(shares(targets, folds, 5) - 1 / 5) * targets.sum(axis=0)).max() < 2
    assert np.ptp(np.bincount(folds)[1:]) <= 10


def test_a_rare_label_in_as_many_recordings_as_folds_is_in_each() -> None:
    targets, groups = case(2)
    rare = np.zeros((len(targets), 1), dtype=bool)
    for group in sorted(set(groups.tolist()))[::30][:5]:
        rare[np.flatnonzero(groups == group)[0]] = True
    folds = multilabel_folds(np.hstack([targets, rare]), groups, 5)
    assert sorted(folds[rare[:, 0]].tolist()) == [1, 2, 3, 4, 5]


def test_one_big_group_has_a_fold_to_itself_as_long_as_others_lack_clips() -> None:
    targets, groups = case(3, groups=40)
    big = np.tile(np.array([True, True] + [False] * 6), (400, 1))
    folds = multilabel_folds(np.vstack([targets, big]), np.append(groups, ["flood"] * 400), 5)
    of_big = set(folds[-400:].tolist())
    assert len(of_big) == 1
    sizes = np.bincount(folds[:-400], minlength=6)[1:]
    rest = [size for fold, size in enumerate(sizes, 1) if fold not in of_big]
    assert min(rest) > 0.7 * len(targets) / 4, "the other folds share the rest"


def test_the_seed_decides_and_nothing_else() -> None:
    targets, groups = case(4)
    same, again, other = (multilabel_folds(targets, groups, 5, seed) for seed in (0, 0, 1))
    assert (same == again).all() and (same != other).any()
    state = np.random.get_state()[1].tolist()
    multilabel_folds(targets, groups, 5)
    assert np.random.get_state()[1].tolist() == state


def test_clips_without_labels_are_spread_too() -> None:
    folds = multilabel_folds(np.zeros((60, 3), dtype=bool), np.repeat(np.arange(20), 3), 4)
    assert np.bincount(folds)[1:].tolist() == [15] * 4


def test_as_many_groups_as_folds_leave_no_fold_empty() -> None:
    for seed in range(10):
        targets, groups = case(seed, groups=6)
        assert set(multilabel_folds(targets, groups, 6, seed).tolist()) == set(range(1, 7))


def test_fewer_groups_than_folds_are_refused_as_for_single_labels() -> None:
    targets, groups = case(0, groups=3)
    with pytest.raises(FoldError, match="3 recordings cannot be split into 4 folds, as a recording stays whole"):
        multilabel_folds(targets, groups, 4)
    with pytest.raises(FoldError, match="cannot be split into 1 fold"):
        multilabel_folds(targets, groups, 1)


def test_more_folds_make_smaller_ones() -> None:
    targets, groups = case(5)
    largest = [np.bincount(multilabel_folds(targets, groups, k))[1:].max() for k in (2, 4, 8)]
    assert all(more < fewer for fewer, more in pairwise(largest))
