"""Which column of a table of predictions holds what: the clip, the predicted class or its scores, times, fold, seed."""

import re
from dataclasses import dataclass, field

import pandas as pd

from hubbub.data.clips import Clips
from hubbub.data.values import clean, text
from hubbub.errors import HubbubError, did_you_mean, examples

__all__ = ["Columns", "PredictionsError", "choose_columns"]

# Names of columns without blanks, dashes and case, the likeliest first.
CLIP = ("clip", "clipid", "file", "filename", "filepath", "path", "recording", "audio", "beginfile", "id", "name")
PREDICTED = (
    *("prediction", "predicted", "predictedlabel", "predictedclass", "predlabel", "pred", "ypred", "decision"),
    *("label", "class", "classname", "category", "species", "commonname"),
)
#: Names that mean the truth where another column gives the prediction.
TRUTH = ("label", "truth", "true", "truelabel", "target", "ytrue", "class", "category")
START = ("start", "starttime", "starts", "onset", "begintimes")
END = ("end", "endtime", "ends", "offset", "endtimes")
FOLD, SEED, LEVEL = ("fold", "testfold"), ("seed",), ("level",)
#: What programs add to a prediction.
KNOWN = ("group", "score", "confidence", "probability", "row", "known", "seconds", "model")


class PredictionsError(HubbubError):
    """A table of predictions that cannot be scored."""


@dataclass(frozen=True)
class Columns:
    """The names of a table's columns by what they hold; `classes` maps a class to the column of its scores.

    `remarks` say what is not used, and which classes have no column.
    """

    clip: str
    predicted: str | None
    truth: str | None
    start: str | None
    end: str | None
    fold: str | None
    seed: str | None
    level: str | None
    classes: dict[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    @property
    def labels_alone(self) -> bool:
        """Whether the table gives classes without probabilities."""
        return not self.classes


def choose_columns(table: pd.DataFrame, clips: Clips) -> Columns:
    """The columns of a table of predictions of these clips. Raises `PredictionsError` where a needed one is missing or
    one looks like a class that the data set does not have."""
    names = list(table.columns)
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise PredictionsError(f"two columns are called '{twice[0]}'. Rename one of them.")
    classes = {label: name for name in names if (label := clean(name)) in clips.labels}
    free = [name for name in names if name not in classes.values()]

    def named(known: tuple[str, ...], but: tuple[str | None, ...]) -> list[str]:
        plain = {_plain(name): name for name in reversed(free) if name not in but}
        return [plain[one] for one in known if one in plain]

    def first(known: tuple[str, ...], *but: str | None) -> str | None:
        return next(iter(named(known, but)), None)

    clip = first(CLIP)
    if clip is None:
        raise PredictionsError(
            f"no column names the clip (columns: {examples(names, 8)}). Call it 'clip': the clip's id, file name or "
            "path."
        )
    start, end, fold, seed, level = (first(known, clip) for known in (START, END, FOLD, SEED, LEVEL))
    used = (clip, start, end, fold, seed, level)
    candidates = [] if classes else named(PREDICTED, used)
    predicted = next((name for name in candidates if _holds_classes(table[name], clips)), next(iter(candidates), None))
    if predicted is None and not classes:
        raise PredictionsError(
            f"no column gives a prediction (columns: {examples(names, 8)}). Give the predicted class in a column "
            f"'prediction', or one column of probabilities a class, named as in {clips.name}: "
            f"{examples(clips.labels)}."
        )
    own = bool(classes) and level is not None  # hubbub's own predictions: the label is the truth
    truths = named(TRUTH, (*used, predicted)) if predicted or own else []
    truth = next((name for name in truths if _holds_classes(table[name], clips)), None)
    rest = [name for name in free if name not in (*used, predicted, truth)]
    remarks = [f"not used: {examples(rest, 8)}"] if (rest := [n for n in rest if _plain(n) != "group"]) else []
    if classes and (lacking := [label for label in clips.labels if label not in classes]):
        _refuse_unknown_classes(table, rest, clips)
        remarks.append(f"without a column, so of probability 0: {examples(lacking)}")
    return Columns(clip, predicted, truth, start, end, fold, seed, level, classes, tuple(remarks))


def _holds_classes(column: pd.Series, clips: Clips) -> bool:
    """Whether every cell is a class of the data set, or empty."""
    return {clean(cell) for cell in text(column)} <= {*clips.labels, ""}


def _refuse_unknown_classes(table: pd.DataFrame, rest: list[str], clips: Clips) -> None:
    """Raises `PredictionsError` for a column of numbers that has the name of no class, where a class has no column."""
    for name in rest:
        if _plain(name) in (*KNOWN, *PREDICTED, *TRUTH):
            continue
        if pd.to_numeric(pd.Series(text(table[name])), errors="coerce").notna().all():
            raise PredictionsError(
                f"column '{name}' holds numbers, and {clips.name} has no such class. "
                f"{did_you_mean(name, clips.labels)} Rename it, or leave it out."
            )


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())
