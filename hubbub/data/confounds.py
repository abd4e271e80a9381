"""Confound check: can the class of a recording be told from its file properties, without its sound?

For each family of properties a decision tree predicts the class of recordings that it was not fitted on. If it does
better than chance, a classifier may learn the recorder instead of the sound. One recording counts once, however many
clips it gave, and what luck can do is tested, so that a few recordings give no alarm.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from hubbub.data.findings import PropertyTest

__all__ = ["FAMILIES", "Family", "property_tests"]

Array = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Family:
    """Properties that have one cause. `by_nature`: classes of sounds may differ in them whatever recorded them.

    An alarm needs `clear`, this share of the way from chance to 1 for all classes, or `clear_class`, for one class a
    share of its recordings that exceeds that of the others by so much; .5 where half the classes differ from the rest.
    """

    name: str
    columns: tuple[str, ...]
    by_nature: bool = False
    clear: float = 0.15
    clear_class: float = 0.5


FAMILIES = (
    Family("file format", ("rate_hz", "channels", "coding")),
    Family("band limit", ("band",)),
    # Where an encoder cuts depends on the sound too: in ESC-10 as Vorbis, 82 % of the clips of a crackling fire have no
    # edge, of the others 34 %.
    Family("encoder's low-pass", ("encoded",), clear=0.6, clear_class=0.8),
    Family("DC offset", ("offset",)),
    Family("noise floor", ("floor_db",), by_nature=True),
    Family("loudness", ("level_db", "peak_db"), by_nature=True),
    Family("length or silence", ("seconds", "silent"), by_nature=True),
)
_FOLDS = 5
_CODING = "="  # coding=WAV PCM_16: the column of one coding
#: The trees of different folds share recordings, so luck in one fold is luck in others too. Without differences the
#: accuracy varies by this factor more than with labels shuffled in each fold alone (simulated data sets of 16 to 200
#: recordings).
_SHARED_LUCK = 1.25
#: An alarm needs a probability below this: 1 % per data set, over all families and both criteria (and all classes).
_SIGNIFICANT = 0.01 / (2 * len(FAMILIES))


def property_tests(clips: pd.DataFrame) -> list[PropertyTest]:
    """One test per family over clips with `label`, `group` and the properties of `FAMILIES`.

    Classes of fewer than two recordings take no part; with fewer than two classes left there are no tests.
    """
    clips = clips[clips.groupby("label")["group"].transform("nunique") >= 2]
    if clips["label"].nunique() < 2:
        return []
    clips = _numeric(clips)
    # A group that holds several classes, such as a speaker, counts once for each of them.
    recordings = clips.groupby(["group", "label"], sort=True).mean().reset_index()
    labels, targets = np.unique(recordings["label"], return_inverse=True)
    folds = _folds(targets.astype(np.int64), recordings["group"].to_numpy())
    return [_test(family, recordings, labels.tolist(), targets.astype(np.int64), folds) for family in FAMILIES]


def _numeric(clips: pd.DataFrame) -> pd.DataFrame:
    """Labels, groups and properties, where each text of `coding` has become a column of 0 and 1."""
    codings = pd.get_dummies(clips["coding"], prefix="coding", prefix_sep=_CODING, dtype=float)
    columns = [name for family in FAMILIES for name in family.columns if name != "coding"]
    return pd.concat([clips[["label", "group"]], clips[columns].astype(float), codings], axis=1)


def _folds(targets: Codes, groups: npt.NDArray[np.object_]) -> Codes:
    """The test fold of each recording: whole groups, stratified by class."""
    from sklearn.model_selection import StratifiedGroupKFold

    count = int(min(_FOLDS, np.bincount(targets).min(), len(set(groups))))
    folds = np.zeros(len(targets), np.int64)
    for number, (_, test) in enumerate(
        StratifiedGroupKFold(count, shuffle=True, random_state=0).split(targets, targets, groups)
    ):
        folds[test] = number
    return folds


def _test(
    family: Family, recordings: pd.DataFrame, labels: Sequence[str], targets: Codes, folds: Codes
) -> PropertyTest:
    columns = [name for name in map(str, recordings) if name.partition(_CODING)[0] in family.columns]
    values = recordings[columns].to_numpy(float)
    chance = 1 / len(labels)
    found = PropertyTest(
        family=family.name, properties=family.columns, recordings=len(targets), accuracy=chance, chance=chance, p=1.0
    )
    if not np.ptp(values, axis=0).any():
        return found
    shares = _predicted(values, targets, folds, len(labels))
    accuracy, p = _accuracy(shares.argmax(axis=1), targets, folds)
    told = _told_apart(shares > chance + 1e-9, targets, family.clear_class)
    clear = (accuracy - chance) / (1 - chance) >= family.clear and p < _SIGNIFICANT
    return found.model_copy(
        update={
            "accuracy": accuracy,
            "p": p,
            "classes": tuple(labels[k] for k in told),
            "alarming": clear or bool(told),
        }
    )


def _predicted(values: Array, targets: Codes, folds: Codes, classes: int) -> Array:
    """Shares of the classes `[recordings, classes]` by trees that did not see the recording; classes weigh alike."""
    from sklearn.tree import DecisionTreeClassifier

    shares = np.full((len(targets), classes), 1 / classes)
    for fold in range(folds.max() + 1):
        train, test = folds != fold, folds == fold
        counts = np.bincount(targets[train], minlength=classes)
        leaf = max(2, int(counts[counts > 0].min()) // 4)
        tree = DecisionTreeClassifier(
            max_leaf_nodes=max(8, 2 * classes), min_samples_leaf=leaf, class_weight="balanced", random_state=0
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # many classes of few recordings look like a regression to it
            tree.fit(values[train], targets[train])
        shares[test] = 0
        shares[np.ix_(test, tree.classes_)] = tree.predict_proba(values[test])
    return shares


def _accuracy(predicted: Codes, targets: Codes, folds: Codes) -> tuple[float, float]:
    """The balanced accuracy, and the probability that labels shuffled within the test folds give as much.

    Mean and variance over all shuffles are exact, the distribution is taken as normal (Hoeffding 1951, A combinatorial
    central limit theorem, https://doi.org/10.1214/aoms/1177729491).
    """
    from scipy.stats import norm

    classes = targets.max() + 1
    weights = 1 / np.bincount(targets) / classes
    found, mean, variance = float(weights[targets[predicted == targets]].sum()), 0.0, 0.0
    for fold in range(folds.max() + 1):
        size = int((folds == fold).sum())
        true, taken = (np.bincount(codes[folds == fold], minlength=classes) for codes in (targets, predicted))
        hits = weights * true * taken / size  # of each class, expected
        mean += hits.sum()
        spread = size * (weights * hits * (1 - (true + taken) / size)).sum() + hits.sum() ** 2
        variance += spread / max(size - 1, 1)
    if variance <= 0:
        return found, 1.0
    return found, float(norm.sf((found - mean) / (_SHARED_LUCK * variance**0.5)))


def _told_apart(favoured: npt.NDArray[np.bool_], targets: Codes, clear: float) -> list[int]:
    """The classes whose recordings the tree favours for them far more often than others' recordings, clearest first.

    Fisher's exact test for each class, with Holm's adjustment.
    """
    from scipy.stats import hypergeom

    own = np.eye(favoured.shape[1], dtype=bool)[targets]
    hits, size, marked = (favoured & own).sum(axis=0), own.sum(axis=0), favoured.sum(axis=0)
    gain = hits / size - (marked - hits) / (len(targets) - size)
    p = hypergeom.sf(hits - 1, len(targets), size, marked)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    if len(size) == 2:  # they are told apart by one test, and Fisher's is strict with so few recordings
        adjusted[order] = np.maximum.accumulate(p[order])
    else:  # twice, for the luck that folds share
        adjusted[order] = 2 * np.maximum.accumulate(p[order] * (len(size) - np.arange(len(p))))
    by_gain = np.argsort(-gain, kind="stable")
    return [int(k) for k in by_gain if adjusted[k] < _SIGNIFICANT and gain[k] >= clear]
