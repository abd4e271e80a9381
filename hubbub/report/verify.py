"""Does a run still say what its predictions give? And what has changed since: versions and machine."""

import math
import platform
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from hubbub.report import run_folder
from hubbub.report.headline import metric_names
from hubbub.report.level_results import LEVELS
from hubbub.report.results import Environment, Summary
from hubbub.report.summary import OWN_INTERVALS, summary_of
from hubbub.runtime.processes import processor_name

__all__ = ["changes_since", "differences", "has_other_intervals", "verify"]

#: Figures that differ by less are the same: sums of floats, added in another order.
ROUNDING = 1e-9


def verify(folder: Path) -> list[str]:
    """The figures of a run's files that differ from those of its predictions, a line each; empty if all agree.

    Compared are those of the summary file and of the test result of each cell, as far as the files have them: earlier
    versions wrote fewer. Intervals are compared where both are of one method; `has_other_intervals` says whether any
    are not.
    """
    found = summary_of(folder)
    return [*differences("", run_folder.read_summary(folder).as_json(), found.as_json()), *_of_cells(folder, found)]


def has_other_intervals(summary: Summary) -> bool:
    """Whether a summary has intervals of another method than this version's."""
    metrics = metric_names(summary.multilabel)
    figures = (summary.level(level).figure(metric) for level in LEVELS for metric in metrics)
    return any(figure.ci95 is not None and figure.interval not in OWN_INTERVALS for figure in figures)


def changes_since(environment: Environment) -> list[str]:
    """The versions and the machine of a run that are others here: `numpy 1.26.4, here 2.1.0`, a line each."""
    machine = environment.machine
    facts = {
        "hubbub": (environment.hubbub, metadata.version("hubbub")),
        "python": (environment.python, platform.python_version()),
        **{name: (version, _version(name)) for name, version in environment.libraries.items()},
        "system": (machine.system, platform.platform()),
        "processor": (machine.processor, processor_name()),
    }
    return [f"{name} {then}, here {now}" for name, (then, now) in facts.items() if then not in ("", "-", now)]


def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return "not installed"


def _of_cells(folder: Path, found: Summary) -> Iterator[str]:
    """The figures of the cells' test results that the predictions do not give."""
    for cell, (_, _, place) in zip(found.folds, run_folder.cells(folder), strict=True):
        figures = {f"{level}_{name}": value for level in LEVELS for name, value in getattr(cell, level).items()}
        written = run_folder.read_result(place).as_json()
        own = {name: written[name] for name in figures if written.get(name) is not None}
        yield from differences(str(place.relative_to(folder)), own, figures)


def differences(name: str, written: Any, found: Any) -> Iterator[str]:
    """The values of a file that differ from those `found` again, a line each."""
    if isinstance(written, dict) and isinstance(found, dict):
        skipped = (
            {"ci95", "interval"} if written.get("ci95") and written.get("interval") not in OWN_INTERVALS else set()
        )
        if written.get("sd_seeds") == 0 and found.get("sd_seeds") is None:
            skipped.add("sd_seeds")  # seeds that gave the same predictions, in the file of an earlier version
        for key in (key for key in written if key not in skipped):
            yield from differences(f"{name}.{key}".lstrip("."), written[key], found.get(key))
    elif isinstance(written, list) and isinstance(found, list) and len(written) == len(found):
        for number, pair in enumerate(zip(written, found, strict=True)):
            yield from differences(f"{name}[{number}]", *pair)
    elif isinstance(written, float) and isinstance(found, float):
        if not math.isclose(written, found, rel_tol=ROUNDING, abs_tol=ROUNDING):
            yield f"{name} is {written}; the predictions give {found}"
    elif written != found:
        yield f"{name} is {written}; the predictions give {found}"
