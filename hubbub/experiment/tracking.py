"""What a run hands to its trackers: each cell's figures and files, and at the end those of the whole run."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from hubbub.experiment.prepare import Log, Prepared
from hubbub.report import run_folder
from hubbub.report.headline import headline_metric
from hubbub.report.level_results import LEVELS
from hubbub.report.results import Summary
from hubbub.training.loggers import TrackerError, log_artifacts, log_metrics, open_loggers

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger

__all__ = ["cell_loggers", "log_run"]


def cell_loggers(prepared: Prepared, place: Path, name: str) -> AbstractContextManager[list["Logger"]]:
    """The loggers of the cell in the folder `place`: a run `name` in the experiment of the run folder's name."""
    return _loggers(prepared, run_folder.run_of(place), place, name, prepared.recipe.train.trackers)


def log_run(prepared: Prepared, folder: Path, summary: Summary, log: Log) -> None:
    """Records a finished run in MLflow, if its recipe names that: figures, page, pictures and classifier. What cannot
    be recorded is a line of the log."""
    if "mlflow" not in prepared.recipe.train.trackers:
        return
    figures = {
        f"mean_test_{level}_{name}": value
        for level in LEVELS
        for name in (headline_metric(summary.multilabel)[0], "macro_f1")
        if (value := summary.level(level).figure(name).mean) is not None
    }
    try:
        with _loggers(prepared, folder, folder, "all folds and seeds", ("mlflow",)) as loggers:
            log_metrics(loggers, figures)
            log_artifacts(loggers, run_folder.result_files(folder))
    except TrackerError as error:  # the run itself is complete
        log(f"warning: {error}")


def _loggers(
    prepared: Prepared, folder: Path, place: Path, name: str, trackers: tuple[str, ...]
) -> AbstractContextManager[list["Logger"]]:
    settings = prepared.recipe.model_dump(mode="json", exclude_none=True, exclude={"quick"})
    return open_loggers(
        trackers, place, run=name, group=folder.name, settings=settings, store=folder.parent / "mlflow.db",
        tensorboard=place != folder, network=prepared.recipe.head.name == "none",
    )  # fmt: skip
