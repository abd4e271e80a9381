"""Where training figures are followed: TensorBoard always, MLflow and Weights & Biases where the recipe names them.

Lightning's own loggers do the writing. This room opens their runs before a training, goes on with the same ones when
a run folder is trained again, and ends them. A tracker that cannot be used is an error before any training; one that
stops answering half-way loses its own further figures, never the training. Nothing but settings and figures is sent.
This room does not know what the figures mean.
"""

import logging
import os
import re
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

__all__ = ["TrackerError", "record", "tracked"]

_log = logging.getLogger("hubbub")
# What the trackers are told while a run lasts, wherever the user has not said otherwise: print nothing, report nothing
# about the user to their makers, and give up in a minute or two instead of hours.
_MANNERS = {
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
# Before the training nothing is lost by giving up at once.
_AT_FIRST = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}


class TrackerError(HubbubError):
    """A tracker that cannot be used; the message says how to mend it or do without."""


@dataclass(frozen=True)
class _Run:
    folder: Path
    name: str
    group: str
    settings: dict[str, Any]
    store: Path


@contextmanager
def tracked(
    names: Collection[str], folder: Path, *, run: str, group: str, settings: dict[str, Any], store: Path
) -> Iterator[list["Logger"]]:
    """Yields Lightning's loggers of one training: TensorBoard's and those of `names` ("mlflow", "wandb").

    Each has a run named `run` in the experiment (MLflow) or project (W&B) `group`, with `settings` (nested) as
    hyperparameters. It ends with the block: finished, or failed where the block raises. `folder` takes TensorBoard's
    and W&B's files, and the runs' ids (`mlflow.id`, `wandb.id`): where these are found, those runs go on. MLflow
    writes to `MLFLOW_TRACKING_URI`, else to the SQLite file `store`, which any number of processes may share.
    In processes of a rank above 0 only TensorBoard's is yielded, and writes nothing.

    Raises TrackerError, before anything is trained, where a package is missing or a server does not answer.
    """
    from lightning.fabric.utilities.rank_zero import rank_zero_only

    wanted = [] if getattr(rank_zero_only, "rank", 0) else dict.fromkeys(names)
    one = _Run(homes.absolute(folder), run, group, settings, homes.absolute(store))
    theirs = frozenset(os.environ)
    with ExitStack() as stack:
        stack.enter_context(_environment(_MANNERS, theirs))
        loggers = []
        with _environment(_AT_FIRST, theirs):
            for name in ("tensorboard", *wanted):
                logger, end = _OPEN[name](one)
                stack.push(partial(_end, name, end))
                loggers.append(logger)
        yield loggers


def record(loggers: Iterable["Logger"], figures: dict[str, float]) -> None:
    """Log a training's final figures, such as those of its test part."""
    for logger in loggers:
        logger.log_metrics(figures)


_Opened = tuple["Logger", Callable[[str], object]]


def _tensorboard(run: _Run) -> _Opened:
    from lightning.pytorch.loggers import TensorBoardLogger

    logger = TensorBoardLogger(run.folder, name="", version="tensorboard", default_hp_metric=False)
    logger.log_hyperparams(run.settings)  # to hparams.yaml; without a metric, not to the event file
    logger.experiment.add_hparams(dict(_flat(run.settings)), {}, run_name=".")
    return logger, logger.finalize


def _mlflow(run: _Run) -> _Opened:
    _require("mlflow")
    from filelock import FileLock
    from lightning.pytorch.loggers import MLFlowLogger
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    given, kept = os.environ.get("MLFLOW_TRACKING_URI"), run.folder / "mlflow.id"
    address = given or f"sqlite:///{run.store}"
    try:
        if not given and re.search(r"[?#%]", address):
            raise ValueError("no ?, # or % may be in the path of its file")
        run.store.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{run.store}.lock"):  # MLflow's tables cannot be made by two processes at a time
            client = MlflowClient(address)
        experiment = client.get_experiment_by_name(run.group)
        if experiment is None:
            with suppress(MlflowException):  # another process was first; any other reason is met again below
                client.create_experiment(run.group, None if given else (run.store.parent / "mlruns").as_uri())
            experiment = client.get_experiment_by_name(run.group)
            assert experiment is not None
        run_id, going_on = kept.read_text(encoding="utf-8") if kept.is_file() else "", False
        if run_id:
            with suppress(MlflowException):  # deleted since, or of another server
                client.update_run(run_id, status="RUNNING")
                going_on = True
        if not going_on:
            run_id = client.create_run(experiment.experiment_id, run_name=run.name).info.run_id
        logger = MLFlowLogger(run.group, tracking_uri=address, run_id=run_id)
        with _environment({"MLFLOW_TRACKING_URI": address}):  # Lightning sets it, for all that comes after
            _ = logger.experiment  # opened here, because a child process cannot do it for this one
        if not going_on:
            logger.log_hyperparams(run.settings)  # MLflow takes them once
        files.write_text(kept, run_id)
    except Exception as error:  # of MLflow, SQLAlchemy, requests or the server: all mean the same here
        raise TrackerError(
            f"MLflow at {_without_secrets(address)} cannot be used: {_why(error)}. Start its server, set "
            "MLFLOW_TRACKING_URI to another, or take mlflow out of train.trackers."
        ) from error
    return _steady(logger, "MLflow"), logger.finalize


def _wandb(run: _Run) -> _Opened:
    _require("wandb")
    import wandb
    from lightning.pytorch.loggers import WandbLogger

    kept = run.folder / "wandb.id"
    project = re.sub(r"[/\\#?%:]", "-", run.group)[:128]  # W&B takes no others
    try:
        run.folder.mkdir(parents=True, exist_ok=True)
        # create_new: a run that the user has open is none of ours
        begin = partial(wandb.init, project=project, name=run.name, dir=run.folder, reinit="create_new")
        experiment = None
        if kept.is_file():
            with suppress(Exception):  # deleted since, or of another server; any other reason is met again below
                experiment = begin(id=kept.read_text(encoding="utf-8"), resume="allow")
        if experiment is None:
            experiment = begin()
        logger = WandbLogger(run.name, run.folder, version=experiment.id, project=project, experiment=experiment)
        logger.log_hyperparams(run.settings)
        files.write_text(kept, experiment.id)
    except Exception as error:
        raise TrackerError(
            f"Weights & Biases cannot be used: {_why(error)}. Run `wandb login`, set WANDB_MODE=offline to keep the "
            "figures in the run folder for `wandb sync`, or take wandb out of train.trackers."
        ) from error
    return _steady(logger, "Weights & Biases"), lambda status: experiment.finish(exit_code=int(status != "success"))


_OPEN: dict[str, Callable[[_Run], _Opened]] = {"tensorboard": _tensorboard, "mlflow": _mlflow, "wandb": _wandb}


def _steady(logger: Any, name: str) -> "Logger":
    """The logger with methods that do not raise; no subclass, because Lightning is imported only when it is needed,
    and a class made then could not be pickled for the processes of other devices."""
    for method in ("log_metrics", "finalize"):
        setattr(logger, method, partial(_attempt, logger, name, method))
    return logger


def _attempt(logger: Any, name: str, method: str, *args: Any, **kwargs: Any) -> None:
    """Call a logger's own method; once it has failed, say so and call no more, since each call may wait a minute."""
    if getattr(logger, "lost", False):
        return
    try:
        getattr(type(logger), method)(logger, *args, **kwargs)
    except Exception as error:
        logger.lost = True
        _log.warning("%s takes no more figures (%s); training goes on, TensorBoard has them all", name, _why(error))


def _end(name: str, end: Callable[[str], object], kind: type[BaseException] | None, *_: object) -> None:
    try:
        end("failed" if kind else "success")
    except Exception as error:  # everything else about the training is done and written
        _log.warning("the run in %s could not be ended: %s", name, _why(error))


@contextmanager
def _environment(values: Mapping[str, str], theirs: Collection[str] = ()) -> Iterator[None]:
    """Environment variables for the time of a block; those in `theirs` stay as they are."""
    before = {name: os.environ.get(name) for name in values if name not in theirs}
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
    """An error in one line: what the system said first, if it did (connection refused, timed out), else itself."""
    chain = [error]
    while cause := chain[-1].__cause__ or (None if chain[-1].__suppress_context__ else chain[-1].__context__):
        chain.append(cause)
    reason = next((link for link in reversed(chain) if isinstance(link, OSError)), error)
    line = (str(reason).strip() or type(reason).__name__).splitlines()[0].rstrip(".")
    _, requests_says, cause_in_words = line.rpartition("(Caused by ")
    return _without_secrets(cause_in_words.removesuffix(")") if requests_says else line)


def _without_secrets(text: str) -> str:
    """Without the user and password that an address may hold."""
    return re.sub(r"//[^/@\s]*@", "//", text)
