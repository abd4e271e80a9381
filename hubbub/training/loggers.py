"""Loggers of training metrics: TensorBoard always, MLflow and Weights & Biases if the recipe names them.

Lightning's loggers write, except TensorBoard's of a head, which is fitted without Lightning. Here their runs are opened
before a training, continued when a run folder is trained again, and closed. A tracker that cannot be used is an error
before the training; one that fails later loses its own further metrics, and the training goes on. Settings and metrics
are sent, and to MLflow the results' files at the end.
"""

import logging
import os
import re
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubbub.errors import HubbubError
from hubbub.runtime import files, homes

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger

__all__ = ["TrackerError", "log_artifacts", "log_metrics", "open_loggers"]

_log = logging.getLogger("hubbub")
# Defaults of the trackers during a run, which the user's environment overrides: print nothing, send no telemetry, and
# give up after a minute or two instead of hours.
_DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "WANDB_CONSOLE": "off",
    "WANDB_DISABLE_CODE": "true",
    "WANDB_DISABLE_GIT": "true",
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_FINISH_TIMEOUT": "60",
    "WANDB_INIT_TIMEOUT": "20",
    "WANDB_SILENT": "true",
}
# Before the training it is safe to give up at once.
_BEFORE_TRAINING = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}


class TrackerError(HubbubError):
    """A tracker that cannot be used; the message says how to repair it or do without it."""


@dataclass(frozen=True)
class _Run:
    folder: Path
    name: str
    group: str
    settings: dict[str, Any]
    store: Path
    network: bool


@contextmanager
def open_loggers(
    names: Collection[str],
    folder: Path,
    *,
    run: str,
    group: str,
    settings: dict[str, Any],
    store: Path,
    tensorboard: bool = True,
    network: bool = True,
) -> Iterator[list["Logger"]]:
    """Yields Lightning's loggers of one training: TensorBoard's, if wanted, and those of `names` ("mlflow", "wandb").

    Each logs to a run named `run` in the experiment (MLflow) or project (W&B) `group`, with `settings` (nested) as
    hyperparameters. The run ends with the block: finished, or failed if the block raises. `folder` holds the files of
    TensorBoard and W&B and the ids of the runs (`mlflow.id`, `wandb.id`); runs with stored ids are continued. MLflow
    writes to `MLFLOW_TRACKING_URI`, else to the SQLite file `store`, which any number of processes may share. Where no
    `network` is trained, TensorBoard's logger is not Lightning's, whose import takes seconds.
    In processes of rank 1 or higher only TensorBoard's logger is yielded, and it writes nothing.

    Raises TrackerError, before the training, if a package is missing or a server does not answer.
    """
    wanted = dict.fromkeys(names)
    if network:
        from lightning.fabric.utilities.rank_zero import rank_zero_only

        wanted = {} if getattr(rank_zero_only, "rank", 0) else wanted
    one = _Run(homes.absolute(folder), run, group, settings, homes.absolute(store), network)
    user_set = frozenset(os.environ)
    with ExitStack() as stack:
        stack.enter_context(_environment(_DEFAULTS, user_set))
        stack.enter_context(_without_tracebacks_of_writers())
        loggers = []
        with _environment(_BEFORE_TRAINING, user_set):
            for name in (*(("tensorboard",) if tensorboard else ()), *wanted):
                logger, end = _OPEN[name](one)
                stack.push(partial(_end, name, end))
                loggers.append(logger)
        yield loggers


@contextmanager
def _without_tracebacks_of_writers() -> Iterator[None]:
    """Where TensorBoard's thread cannot write, as on a full disk, its error is raised where something is logged next.
    Python would print its traceback besides."""
    before = threading.excepthook

    def hook(error: threading.ExceptHookArgs) -> None:
        if not (isinstance(error.exc_value, OSError) and type(error.thread).__name__ == "_AsyncWriterThread"):
            before(error)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before


def log_metrics(loggers: Iterable["Logger"], metrics: dict[str, float]) -> None:
    """Log metrics at the end of a training, such as those of the test part."""
    for logger in loggers:
        logger.log_metrics(metrics)


def log_artifacts(loggers: Iterable["Logger"], paths: Iterable[Path]) -> None:
    """Copies files and folders to MLflow's run at the end of a training; other loggers take none. If the server does
    not take one, the rest is left out with a warning."""
    loggers = [logger for logger in loggers if not isinstance(logger, _TensorBoard)]
    if not loggers:
        return
    from lightning.pytorch.loggers import MLFlowLogger

    for logger in (one for one in loggers if isinstance(one, MLFlowLogger) and not getattr(one, "lost", False)):
        assert logger.run_id is not None
        try:
            for path in paths:
                if path.is_dir():
                    logger.experiment.log_artifacts(logger.run_id, str(path), path.name)
                else:
                    logger.experiment.log_artifact(logger.run_id, str(path))
        except Exception as error:  # of MLflow, requests or the server
            _log.warning("MLflow has not all files of the run (%s); they are in its folder", _why(error))


#: A logger, and what ends its run.
_Opened = tuple[Any, Callable[[str], object]]


def _tensorboard(run: _Run) -> _Opened:
    if not run.network:
        alone = _TensorBoard(run)
        return alone, alone.finalize
    from lightning.pytorch.loggers import TensorBoardLogger

    logger = TensorBoardLogger(run.folder, name="", version="tensorboard", default_hp_metric=False)
    logger.log_hyperparams(run.settings)  # to hparams.yaml; without a metric, not to the event file
    logger.experiment.add_hparams(dict(_flat(run.settings)), {}, run_name=".")
    return logger, logger.finalize


class _TensorBoard:
    """The files of TensorBoard, with the settings and the metrics of a training without Lightning."""

    def __init__(self, run: _Run) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(run.folder / "tensorboard")
        self.writer.add_hparams(dict(_flat(run.settings)), {}, run_name=".")

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        for name, value in metrics.items():
            self.writer.add_scalar(name, value, step)

    def finalize(self, status: str) -> None:
        self.writer.close()


def _mlflow(run: _Run) -> _Opened:
    _require("mlflow")
    from filelock import FileLock
    from lightning.pytorch.loggers import MLFlowLogger
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    configured, id_file = os.environ.get("MLFLOW_TRACKING_URI"), run.folder / "mlflow.id"
    address = configured or f"sqlite:///{run.store}"
    try:
        if not configured and re.search(r"[?#%]", address):
            raise ValueError("the path of its file must not contain ?, # or %")
        run.store.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{run.store}.lock"):  # two processes cannot create MLflow's tables at the same time
            client = MlflowClient(address)
        experiment = client.get_experiment_by_name(run.group)
        if experiment is None:
            with suppress(MlflowException):  # another process was first; any other error occurs again below
                client.create_experiment(run.group, None if configured else (run.store.parent / "mlruns").as_uri())
            experiment = client.get_experiment_by_name(run.group)
            assert experiment is not None
        run_id, resumed = id_file.read_text(encoding="utf-8") if id_file.is_file() else "", False
        if run_id:
            with suppress(MlflowException):  # deleted since, or of another server
                client.update_run(run_id, status="RUNNING")
                resumed = True
        if not resumed:
            run_id = client.create_run(experiment.experiment_id, run_name=run.name).info.run_id
        logger = MLFlowLogger(run.group, tracking_uri=address, run_id=run_id)
        with _environment({"MLFLOW_TRACKING_URI": address}):  # Lightning would set it for the whole process
            _ = logger.experiment  # opened here: a child process cannot do it for this one
        if not resumed:
            logger.log_hyperparams(run.settings)  # MLflow accepts them once
        files.write_text(id_file, run_id)
    except Exception as error:  # of MLflow, SQLAlchemy, requests or the server
        raise TrackerError(
            f"MLflow at {_without_secrets(address)} cannot be used: {_why(error)}. Start its server, set "
            "MLFLOW_TRACKING_URI to another, or take mlflow out of train.trackers."
        ) from error
    return _without_errors(logger, "MLflow"), logger.finalize


def _wandb(run: _Run) -> _Opened:
    _require("wandb")
    import wandb
    from lightning.pytorch.loggers import WandbLogger

    id_file = run.folder / "wandb.id"
    project = re.sub(r"[/\\#?%:]", "-", run.group)[:128]  # W&B allows no others
    try:
        run.folder.mkdir(parents=True, exist_ok=True)
        # create_new: do not log to a run that the user has open
        begin = partial(wandb.init, project=project, name=run.name, dir=run.folder, reinit="create_new")
        experiment = None
        if id_file.is_file():
            with suppress(Exception):  # deleted since, or of another server; any other error occurs again below
                experiment = begin(id=id_file.read_text(encoding="utf-8"), resume="allow")
        if experiment is None:
            experiment = begin()
        logger = WandbLogger(run.name, run.folder, version=experiment.id, project=project, experiment=experiment)
        logger.log_hyperparams(run.settings)
        files.write_text(id_file, experiment.id)
    except Exception as error:
        raise TrackerError(
            f"Weights & Biases cannot be used: {_why(error)}. Run `wandb login`, set WANDB_MODE=offline to keep the "
            "figures in the run folder for `wandb sync`, or take wandb out of train.trackers."
        ) from error
    return _without_errors(logger, "Weights & Biases"), lambda status: experiment.finish(
        exit_code=int(status != "success")
    )


_OPEN: dict[str, Callable[[_Run], _Opened]] = {"tensorboard": _tensorboard, "mlflow": _mlflow, "wandb": _wandb}


def _without_errors(logger: Any, name: str) -> "Logger":
    """The logger, with methods that do not raise. It is no subclass: Lightning is imported late, and a class created
    then could not be pickled for the processes of other devices."""
    for method in ("log_metrics", "finalize"):
        setattr(logger, method, partial(_attempt, logger, name, method))
    return logger


def _attempt(logger: Any, name: str, method: str, *args: Any, **kwargs: Any) -> None:
    """Call a logger's own method; after one failure warn and call it no more, since each call may take a minute."""
    if getattr(logger, "lost", False):
        return
    try:
        getattr(type(logger), method)(logger, *args, **kwargs)
    except Exception as error:
        logger.lost = True
        _log.warning(
            "%s no longer receives metrics (%s); training goes on, and TensorBoard has all of them", name, _why(error)
        )


def _end(name: str, end: Callable[[str], object], kind: type[BaseException] | None, *_: object) -> None:
    try:
        end("failed" if kind else "success")
    except Exception as error:  # the training itself is complete and saved
        _log.warning("the run in %s could not be ended: %s", name, _why(error))


@contextmanager
def _environment(values: Mapping[str, str], keep: Collection[str] = ()) -> Iterator[None]:
    """Set environment variables for a block; those named in `keep` are not changed."""
    before = {name: os.environ.get(name) for name in values if name not in keep}
    os.environ.update({name: values[name] for name in before})
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _require(package: str) -> None:
    try:
        import_module(package)
    except ImportError as error:
        raise TrackerError(
            f"train.trackers names {package}, which cannot be imported ({error}): pip install 'hubbub[{package}]'"
        ) from error


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """`{"a": {"b": 1}}` as ("a/b", 1), in the types that TensorBoard takes."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}/")
        else:
            yield prefix + name, value if isinstance(value, int | float | str) else str(value)


def _why(error: BaseException) -> str:
    """An error in one line: the first error of the system in its chain (connection refused, timed out), else itself."""
    chain = [error]
    while cause := chain[-1].__cause__ or (None if chain[-1].__suppress_context__ else chain[-1].__context__):
        chain.append(cause)
    reason = next((link for link in reversed(chain) if isinstance(link, OSError)), error)
    line = (str(reason).strip() or type(reason).__name__).splitlines()[0].rstrip(".")
    _, requests_says, cause_in_words = line.rpartition("(Caused by ")
    return _without_secrets(cause_in_words.removesuffix(")") if requests_says else line)


def _without_secrets(text: str) -> str:
    """The text without the user and password of addresses."""
    return re.sub(r"//[^/@\s]*@", "//", text)
