"""Accuracy against the number of training recordings, for a frozen network's head: would more recordings help?

The head is fitted on nested random subsets of the training recordings and scored on the validation part; the test part
is never used. Networks that are trained, heads that are slow to fit, and label sets have no such curve.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from hubbub.data.splits import Split
from hubbub.experiment.fit import Rows, fit
from hubbub.experiment.prepare import Log, Prepared
from hubbub.metrics import classification
from hubbub.report import run_folder

__all__ = ["nested_subsets", "write_learning_curve"]

#: Heads that are fitted in about a second.
QUICK_HEADS = ("logreg", "lda")
#: Shares of each class's training recordings; the point of all of them was scored when the cell was run.
SHARES = (1 / 8, 1 / 4, 1 / 2)
MOST_FOLDS = 3


def write_learning_curve(prepared: Prepared, folder: Path, log: Log) -> None:
    """Writes the learning curve of a finished run's first test folds, if its head is quick to fit and there is none.

    One row a fold and subset: `fold`, `recordings`, `clips`, and `clip_accuracy` and `clip_macro_f1` on validation.
    """
    splits = [split for split in prepared.splits if len(split.validation)][:MOST_FOLDS]
    if prepared.recipe.head.name not in QUICK_HEADS or not splits or prepared.clips.multilabel:
        return
    if run_folder.read_learning_curve(folder) is not None:
        return
    log("fitting on fewer recordings: would more of them help?")
    rows = [point for split in splits for point in _points(prepared, split, folder)]
    run_folder.write_learning_curve(folder, pd.DataFrame(rows))


def _points(prepared: Prepared, split: Split, folder: Path) -> Iterator[dict[str, str | int | float | None]]:
    """The points of one test fold, for the run's first seed; the setting is the one that validation chose."""
    seed = prepared.recipe.train.seeds[0]
    place = run_folder.cell_folder(folder, split.name, seed)
    choice, groups = run_folder.read_result(place).choice, prepared.clips.table["group"].to_numpy()

    def point(rows: Rows, accuracy: float | None, macro_f1: float | None) -> dict[str, str | int | float | None]:
        sizes = {"recordings": len(set(groups[rows])), "clips": len(rows)}
        return {"fold": split.name, **sizes, "clip_accuracy": accuracy, "clip_macro_f1": macro_f1}

    nothing = np.zeros(0, dtype=np.intp)
    for rows in nested_subsets(prepared.targets, groups, split.train, SHARES, seed):
        model = fit(prepared, rows, nothing, seed, place, choice=choice).chosen
        assert prepared.embedded is not None
        part = prepared.embedded.of(split.validation)
        scores = model.predict_proba(part.values, part.offsets[:-1])[1]
        figures = classification.evaluate(prepared.targets[split.validation], scores)
        yield point(rows, figures["accuracy"], figures["macro_f1"])
    whole = run_folder.read_validation(place)
    yield point(split.train, whole.clip_accuracy, whole.clip_macro_f1)


def nested_subsets(
    targets: npt.NDArray[np.int64], groups: npt.NDArray[np.object_], rows: Rows, shares: tuple[float, ...], seed: int
) -> list[Rows]:
    """Subsets of `rows` by rising `shares` of each class's groups, at least one; each contains the one before.

    Groups come whole and in one random order for all classes. Subsets that repeat another one, or that are all rows,
    are left out.
    """
    names, codes = np.unique(groups[rows], return_inverse=True)
    rank = np.random.default_rng(seed).permutation(len(names))[codes]
    found: list[Rows] = []
    for share in sorted(shares):
        taken = np.zeros(len(names), dtype=bool)
        for k in np.unique(targets[rows]):
            own = np.unique(rank[targets[rows] == k])
            taken[own[: int(np.ceil(share * len(own)))]] = True
        subset = rows[taken[rank]]
        if len(subset) < len(rows) and not any(len(subset) == len(other) for other in found):
            found.append(subset)
    return found
