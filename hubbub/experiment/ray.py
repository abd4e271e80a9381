"""The engine for a Ray cluster: the steps of a run as its tasks (Moritz et al. 2018, https://docs.ray.io).

A task names the cores and the share of an accelerator that it needs, and Ray finds a machine. Ray tries a task again
when its machine is lost; a training with a checkpoint in a shared folder then resumes. Files reach the run folder
directly, where all machines share it, or through a storage URL (fsspec).
"""

import hashlib
import os
import platform
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout

from hubbub.experiment.engine import Done, attempt
from hubbub.experiment.prepare import Log
from hubbub.experiment.steps import Begun, Performer, RunPlan, Step
from hubbub.report import run_folder
from hubbub.runtime import files, homes
from hubbub.runtime.processes import EngineError
from hubbub.runtime.ray_cluster import CONNECT_TIMEOUT_S, connect, task_slots

__all__ = ["Place", "Ray", "perform_task", "writes"]

#: The number of times a task is tried again when its machine or process is lost.
RETRIES = 3
#: Environment variables that say where trackers send figures; tasks get those of the process that started the run.
TRACKERS = ("MLFLOW_TRACKING_URI", "WANDB_MODE")
#: Ray performs the tasks of a worker process one after another; this keeps the last run's data between them.
_PERFORMER = Performer()


@dataclass(frozen=True)
class Place:
    """How a task finds the run folder: shared, where the file `SHARED` holds `token`, or through `storage`."""

    storage: str | None
    token: str
    home: str | None
    version: str
    trackers: dict[str, str]


class Ray:
    """A cluster's machines as an engine; `cpus` and `gpus` are what one step needs, in fractions if need be.

    `address` is a cluster's HOST:PORT; without one, RAY_ADDRESS or a cluster of this machine alone. `storage` is any
    URL that fsspec knows and all machines reach, where the run folders are not on a file system that they share.
    """

    def __init__(
        self, address: str | None, *, cpus: float = 1.0, gpus: float | None = None, storage: str | None = None
    ) -> None:
        self.address, self.cpus, self.gpus, self.storage = address, cpus, gpus, storage
        self.slots = 1
        self._token = secrets.token_hex(8)
        self._running: dict[Any, Step] = {}
        self._folders: set[Path] = set()

    def __enter__(self) -> Self:
        ray = connect(self.address)
        try:
            self.slots, self.gpus = task_slots(ray, self.cpus, self.gpus)
        except EngineError:
            ray.shutdown()
            raise
        self._task = ray.remote(
            num_cpus=self.cpus, num_gpus=self.gpus, max_retries=RETRIES, scheduling_strategy="SPREAD"
        )(perform_task)
        return self

    def __exit__(self, *error: object) -> None:
        import ray

        ray.shutdown()  # ends its tasks, too
        for folder in self._folders:
            (folder / run_folder.SHARED).unlink(missing_ok=True)

    def begin(self, run: RunPlan, log: Log) -> Done:
        """Begins the run on the cluster, so that this machine needs neither the data nor an accelerator."""
        log(f"{run.folder.name}: beginning on the cluster, {self.slots} cells at once")
        self.start(Step(run, "begin"))
        return self.next()

    def start(self, step: Step) -> None:
        trackers = {name: os.environ[name] for name in TRACKERS if name in os.environ}
        if self.storage and "mlflow" in step.run.recipe.train.trackers and TRACKERS[0] not in trackers:
            raise EngineError(
                f"with --storage, the file that MLflow writes to would be lost with each cell. Set {TRACKERS[0]} to a "
                "server's address."
            )
        home = os.pathsep.join(map(str, homes.homes()[:-1])) or None  # without this user's own folder
        place = Place(self.storage, self._token, home, metadata.version("hubbub"), trackers)
        if not self.storage:
            files.write_text(step.run.folder / run_folder.SHARED, self._token)
            self._folders.add(step.run.folder)
        self._running[self._task.remote(_with_absolute_folder(step), place, max(int(self.cpus), 1))] = step

    def next(self) -> Done:
        import ray

        (ready, *_), _ = ray.wait(list(self._running))
        step = self._running.pop(ready)
        try:
            done: Done = ray.get(ready)
        except ray.exceptions.RayError as error:
            return Done(step, 0.0, error=EngineError(
                f"the cluster could not perform it: {' '.join(str(error).split())[:400]}. A step whose machine is lost "
                f"is tried {RETRIES + 1} times. The same command tries it again."
            ))  # fmt: skip
        done = replace(done, step=step, result=_with_own_folder(step, done.result))
        if self.storage and not done.error:
            try:
                for one in (step, *_not_fetched(done)):
                    _fetch(self.storage, _with_absolute_folder(one), one.run.folder, writes)
            except Exception as error:  # file systems raise what they like
                return Done(step, done.seconds, error=EngineError(
                    f"it is done, but could not be fetched from {self.storage}: {error}. The same command fetches it."
                ))  # fmt: skip
        return done


def perform_task(step: Step, place: Place, threads: int) -> Done:
    """A task: performs a step on this machine."""
    import torch

    torch.set_num_threads(threads)
    os.environ.update(place.trackers)
    if place.home:
        os.environ.setdefault("HUBBUB_HOME", place.home)
    try:
        if (ours := metadata.version("hubbub")) != place.version:
            raise EngineError(
                f"it has hubbub {ours}, the machine that started the run has {place.version}. Install the same version."
            )
        with _run_folder(step, place) as folder:
            done = attempt(_PERFORMER, replace(step, run=replace(step.run, folder=folder)))
            if place.storage and not done.error:
                if step.kind == "begin" and done.result.left:
                    _remove_stale(place.storage, step)
                _send(place.storage, step, folder)
    except EngineError as error:
        done = Done(step, 0.0, error=error)
    if done.error:
        where = EngineError(f"on {platform.node()}: {done.reason}")
        for note in getattr(done.error, "__notes__", ()):
            where.add_note(note)
        return Done(step, done.seconds, error=where)
    return done


def _with_absolute_folder(step: Step) -> Step:
    """A step with an absolute run folder, which holds on every machine."""
    return replace(step, run=replace(step.run, folder=homes.absolute(step.run.folder)))


def _with_own_folder(step: Step, result: Any) -> Any:
    """The result of a run's beginning with the run folder as this machine names it."""
    if not isinstance(result, Begun):
        return result
    run = replace(result.run, folder=step.run.folder)
    cells, left = (tuple(replace(c, run=run) for c in part) for part in (result.cells, result.left))
    return Begun(run, cells, left)


def _not_fetched(done: Done) -> list[Step]:
    """The cells that were done before the run began and whose files are not here yet."""
    if not isinstance(done.result, Begun):
        return []
    before = [one for one in done.result.cells if one not in done.result.left]
    return [one for one in before if not run_folder.is_done(one.place)]


@contextmanager
def _run_folder(step: Step, place: Place) -> Iterator[Path]:
    """The run folder as this machine sees it."""
    if place.storage:
        with tempfile.TemporaryDirectory(prefix="hubbub-") as scratch:
            folder = Path(scratch) / step.run.folder.name
            folder.mkdir()
            _fetch(place.storage, step, folder, _needs)
            yield folder
        return
    folder, token = step.run.folder, step.run.folder / run_folder.SHARED
    if not token.is_file() or token.read_text() != place.token:
        raise EngineError(
            f"it does not see {folder}. Put --out on a file system that all machines share, or give --storage URL."
        )
    if step.kind != "cell":
        yield folder
        return
    cell = step.place
    cell.parent.mkdir(exist_ok=True)
    try:  # a machine that Ray considers lost may still be writing
        with FileLock(cell.parent / f".{cell.name}.lock", timeout=CONNECT_TIMEOUT_S):
            yield folder
    except Timeout:
        raise EngineError(f"another process is at work in {cell}. Wait for it to end.") from None


def _needs(step: Step, path: str) -> bool:
    """Whether a step reads a file of the run folder."""
    if step.kind == "end":
        return not run_folder.is_checkpoint(path)
    return path in run_folder.DEFINING or (step.kind == "begin" and run_folder.marks_done(path))


def writes(step: Step, path: str) -> bool:
    """Whether a step may write a file of the run folder."""
    if step.kind == "cell":
        return any(path.startswith(f"{name}/seed-{step.seed}/") for name in run_folder.fold_names(step.fold))
    return path in run_folder.DEFINING if step.kind == "begin" else not run_folder.belongs_to_a_cell(path)


def _send(storage: str, step: Step, folder: Path) -> None:
    """Copies what a step wrote to the storage; the file that marks a cell done comes last."""
    system, root = _storage(storage, step)
    found = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()]
    for path in sorted((p for p in found if writes(step, p)), key=run_folder.marks_done):
        system.makedirs(f"{root}/{path}".rpartition("/")[0], exist_ok=True)
        system.put_file(str(folder / path), f"{root}/{path}")


def _remove_stale(storage: str, step: Step) -> None:
    """Removes what depends on all cells, since some will change."""
    system, root = _storage(storage, step)
    for name in run_folder.OF_ALL_CELLS:
        if system.exists(f"{root}/{name}"):
            system.rm(f"{root}/{name}", recursive=True)


def _fetch(storage: str, step: Step, folder: Path, wanted: Callable[[Step, str], bool]) -> None:
    """Copies the wanted files that exist in the storage to a run folder."""
    system, root = _storage(storage, step)
    system.invalidate_cache()
    found = [path.removeprefix(root).lstrip("/") for path in system.find(root)]
    if leading := [path for path in found if ".." in path.split("/")]:
        raise EngineError(f"{storage} names a file {leading[0]}, which leads out of the run folder.")
    for path in sorted((p for p in found if wanted(step, p)), key=run_folder.marks_done):
        with files.whole_file(folder / path) as temporary:
            system.get_file(f"{root}/{path}", str(temporary))


def _storage(url: str, step: Step) -> tuple[Any, str]:
    """The file system of a URL and the run's path in it: the folder's name and a hash of its absolute path."""
    import fsspec

    try:
        system, root = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise EngineError(f"--storage {url}: {error}.") from error
    folder = step.run.folder
    return system, f"{root.rstrip('/')}/{folder.name}-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"
