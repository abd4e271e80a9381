"""A finished run as an object: its figures, predictions, classifier and page."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from hubbub.classifier.base import ClassifierError
from hubbub.classifier.load import load
from hubbub.report import run_folder
from hubbub.report.caveats import tags
from hubbub.report.headline import headline
from hubbub.report.reading import ReportError
from hubbub.report.results import Summary
from hubbub.runtime.escape import escape_control

if TYPE_CHECKING:
    from hubbub.classifier.base import Classifier
    from hubbub.models.custom import NetworkFactory

__all__ = ["Run"]


class Run:
    """The finished run in a folder, e.g. `Run("runs/mine")`. Its parts are read when they are first used.

    `network` is the class or function that made the network of a run that was trained with one. Raises `ReportError`
    for a folder that is not a finished run.
    """

    folder: Path

    def __init__(self, folder: str | Path, network: "NetworkFactory | None" = None) -> None:
        self.folder = Path(folder)
        self._network = network
        if missing := run_folder.missing_file(self.folder):
            raise ReportError(
                f"{folder} has no {missing}: it is not a finished run. Give the folder of a run, such as runs/NAME; "
                "the command that began a run finishes it."
            )

    def __fspath__(self) -> str:
        return str(self.folder)

    @cached_property
    def summary(self) -> Summary:
        """The figures: `summary.clip.accuracy.mean` (of label sets `.macro_map`), `.ci95`, `summary.folds`,
        `summary.why_not_comparable`."""
        return run_folder.read_summary(self.folder)

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """All test predictions: `fold`, `seed`, `clip`, `level` (clip or segment), `group`, `label` (the truth),
        `start` and `end` [s], and one column of probabilities a class; of label sets also `labels` and `unknown`."""
        return run_folder.predictions(self.folder).reset_index(["fold", "seed"]).reset_index(drop=True)

    @cached_property
    def classifier(self) -> "Classifier":
        """The final classifier, refitted on all folds after the evaluation. Raises `ClassifierError` where the run has
        none."""
        if run_folder.read_environment(self.folder).scored:
            raise ClassifierError(f"{self.folder} holds scored predictions: hubbub trained no classifier for them.")
        return load(self.folder, self._network)

    @property
    def report(self) -> Path:
        """The page, which any browser opens."""
        return run_folder.page_file(self.folder)

    def __repr__(self) -> str:
        """Title, clip accuracy or macro mAP with its interval, and the tags of the caveats, one line each."""
        (name, figure), cells = headline(self.summary), len(self.summary.folds)
        mean = "not defined" if figure.mean is None else f"{figure.mean:.3f}"
        interval = " to ".join(f"{end:.3f}" for end in figure.ci95) if figure.ci95 else "not known"
        tests = f"{self.summary.clips:,} clips, {cells} {'test' if cells == 1 else 'tests'}"
        lines = [
            f"Run {self.folder}: {self.summary.recipe}",
            f"clip {name} {mean}, 95 % interval {interval}; {tests}",
        ]
        if reasons := self.summary.why_not_comparable:
            lines.append("read first: " + tags(reasons))
        return "\n".join(map(escape_control, lines))
