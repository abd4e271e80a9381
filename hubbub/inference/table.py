"""Classify many recordings into one table, as a data frame for further work in Python."""

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pandas as pd

from hubbub.audio.find_files import FindError, find
from hubbub.classifier.load import load
from hubbub.errors import examples
from hubbub.inference.predict import predict_files
from hubbub.inference.result import FileResult, PredictOptions
from hubbub.runtime.progress import track

if TYPE_CHECKING:
    from hubbub.classifier.base import Classifier

__all__ = ["classify"]

PathLike = str | os.PathLike[str]


def classify(
    files: PathLike | Iterable[PathLike], model: "Classifier | PathLike", *, segments: bool = False
) -> pd.DataFrame:
    """Files, folders or patterns, one or several, and a classifier or its name -> a table with one row a file.

    Its columns are `file`, `seconds`, `label`, `score`, `present` (a list of the classes that it holds, where these may
    be several or none), `known`, `warnings`, `error`, `clock` (when the recording
    began, in ISO 8601; "" where that is not known), and one column a class with its probability (with " (class)" behind
    a name that is taken). With `segments` there is one row a segment, with `start` and `end` [s] and its own `clock`.
    What cannot be read or found is a row with its `error`. `attrs["left_out"]` lists by reason what was skipped in
    folders. Raises `FindError` where nothing at all is found.
    """
    classifier = load(model) if isinstance(model, str | os.PathLike) else model
    given = [os.fspath(one) for one in ([files] if isinstance(files, str | os.PathLike) else files)]
    paths: list[str] = []
    missing: list[FileResult] = []
    left_out: dict[str, list[str]] = {}
    for path in given:
        try:
            found = find([path], classifier.endings)
        except FindError as error:
            missing.append(FileResult(path, None, str(error)))
            continue
        paths += found.files
        for reason, names in found.left_out.items():
            left_out.setdefault(reason, []).extend(names)
    if not paths:
        raise FindError(" ".join(one.error for one in missing) or "nothing to classify: the list of files is empty.")
    paths = list(dict.fromkeys(paths))
    options = PredictOptions(top=len(classifier.labels))
    results = [*track(predict_files(classifier, paths, options=options), "classifying", len(paths)), *missing]
    spans = ("start", "end") if segments else ()
    present = ("present",) if classifier.multilabel else ()
    fixed = ("file", "seconds", *spans, "label", "score", *present, "known", "warnings", "error", "clock")
    classes = {label: f"{label} (class)" if label in fixed else label for label in classifier.labels}
    rows = [row for result in results for row in _rows(result, classes, segments)]
    table = pd.DataFrame(rows, columns=[*fixed, *classes.values()])
    table.attrs["left_out"] = {reason: examples(names) for reason, names in left_out.items()}
    return table


def _rows(result: FileResult, classes: dict[str, str], segments: bool) -> list[dict[str, Any]]:
    prediction = result.prediction
    if prediction is None:
        return [{"file": result.file, "warnings": "", "error": result.error, "clock": ""}]
    file = {
        "file": result.file,
        "seconds": prediction.seconds,
        "known": prediction.known,
        "warnings": " ".join(prediction.warnings),
        "error": "",
        "clock": result.clock(0.0),
    }
    if not segments:
        scores = {classes[label]: score for label, score in prediction.scores.items()}
        present = {} if prediction.present is None else {"present": list(prediction.present)}
        return [{**file, "label": prediction.label, "score": prediction.score, **present, **scores}]
    return [
        {**file, "start": best[0].start, "end": best[0].end, "label": best[0].label, "score": best[0].score}
        | ({} if prediction.held is None else {"present": [one.label for one in held]})
        | {"clock": result.clock(best[0].start), **{classes[one.label]: one.score for one in best}}
        for best, held in zip(prediction.best_segments(), prediction.held_by_segment(), strict=True)
    ]
