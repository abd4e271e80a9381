"""Prints the results of `hubbub classify`: as a table, or in one of the formats."""

import sys
from typing import TYPE_CHECKING

from hubbub.cli.options import err, log_warnings, out

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubbub.inference.formats import Format
    from hubbub.inference.result import FileResult, PredictOptions

__all__ = ["print_results", "report_problems"]

NOT_KNOWN = "probably none of the classes"


def print_results(
    form: "Format | None", results: "Iterator[FileResult]", options: "PredictOptions", threshold: float
) -> int:
    """Print each result as it comes; returns how many have no prediction."""
    from hubbub.inference.formats import FORMATS

    failed = 0
    if form:
        sys.stdout.write(form.header)
    else:
        out.print(HEADERS[options.events is not None])
    for result in results:
        failed += result.prediction is None
        if form is not FORMATS["json"]:  # which holds the error itself
            report_problems(result)
        if result.prediction is None and form is not FORMATS["json"]:
            continue
        if form:
            sys.stdout.write(form.body(result, threshold))
            sys.stdout.flush()
        elif options.events:
            _print_events(result)
        else:
            _print_row(result, options.top, threshold)
    return failed


def report_problems(result: "FileResult") -> None:
    """Prints why there is no prediction, or the warnings about the recording."""
    if result.prediction is None:
        err.print(f"error: {result.error}", soft_wrap=True)
    else:
        log_warnings(result.file, result.prediction.warnings)


#: The first line of the tables of files and of events.
HEADERS = (
    f"{'seconds':>9}  {'class':<24} score  file  (next)",
    f"{'start':>9}  {'end':>9}  {'class':<24} score  file",
)


def _print_row(result: "FileResult", top: int, threshold: float) -> None:
    from hubbub.inference.formats import name_of

    prediction = result.prediction
    if prediction is None:
        return
    found = prediction.top(top) if prediction.present is None else list(prediction.present.items())
    best = [one for one in found if one[1] >= threshold]
    (label, score), *others = best or [("-", prediction.score)]
    also = ", ".join(f"{name_of(name)} {other:.2f}" for name, other in others)
    if prediction.known is False or prediction.present == {}:
        nearest = f"none of the classes; {name_of(prediction.label)} is nearest"
        also = (NOT_KNOWN if prediction.known is False else nearest) + (f"; {also}" if also else "")
    file = name_of(result.file)
    out.print(f"{prediction.seconds:>9.2f}  {name_of(label):<24}  {score:.2f}  {file}  ({also})", soft_wrap=True)


def _print_events(result: "FileResult") -> None:
    from hubbub.inference.formats import name_of, rows

    file = name_of(result.file)
    if result.prediction and not result.prediction.events:
        why = NOT_KNOWN if result.prediction.known is False else "no events"
        out.print(f"{'-':>9}  {'-':>9}  {'-':<24}  {'-':>4}  {file}  ({why})", soft_wrap=True)
    for e in rows(result):
        out.print(f"{e.start:>9.2f}  {e.end:>9.2f}  {name_of(e.label):<24}  {e.score:.2f}  {file}", soft_wrap=True)
