"""Engines of this machine: steps run one after another in this process, or several at once in processes.

Every process gets its share of the cores and, on a machine with accelerators, one of them. A process receives steps as
plain values, so both engines write the same files. `ray.py` is the engine for other machines.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from multiprocessing import connection
from typing import Any, Self

from hubbub.experiment.engine import Done, attempt
from hubbub.experiment.prepare import Log
from hubbub.experiment.steps import Performer, RunPlan, Step
from hubbub.runtime import distributed
from hubbub.runtime.processes import EngineError, cores, describe_exit, exit_with_parent, set_environment

__all__ = ["InProcess", "Processes", "local_engine"]


class InProcess:
    """Performs steps in this process, one after another, with all cores."""

    slots = 1

    def __init__(self, log: Log = lambda line: None) -> None:
        self.log = log
        self._performer = Performer()
        self._started: list[Step] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()

    def release(self) -> None:
        """Frees the memory of the prepared data."""
        self._performer.release()

    def begin(self, run: RunPlan, log: Log) -> Done:
        return attempt(self._performer, Step(run, "begin"), log)

    def start(self, step: Step) -> None:
        self._started.append(step)

    def next(self) -> Done:
        return attempt(self._performer, self._started.pop(0), self.log)


@dataclass
class _Worker:
    process: Any
    pipe: Any
    step: Step | None = None
    began: float = 0.0


class Processes:
    """Performs steps in `jobs` processes of this machine, started when needed, each with its share of the cores.

    A run begins in this process, so that what its cells share is decoded and embedded once, with all cores. When a
    process dies, its step fails and another process replaces it. With one slot, as for a single cell, steps are
    performed in this process: another one would import and prepare the same again.
    """

    def __init__(self, jobs: int, accelerators: int = 0, log: Log = lambda line: None) -> None:
        self.slots, self.accelerators = jobs, accelerators
        self._here = InProcess(log)
        self._workers: list[_Worker | None] = [None] * jobs

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for worker in filter(None, self._workers):
            worker.pipe.close()  # an idle process ends
            if worker.step:
                worker.process.kill()
        for worker in filter(None, self._workers):
            worker.process.join()
        self._here.release()

    def begin(self, run: RunPlan, log: Log) -> Done:
        return self._here.begin(run, log)

    def start(self, step: Step) -> None:
        if self.slots == 1:
            self._here.start(step)
            return
        self._here.release()  # the processes prepare their own
        number = next(n for n, worker in enumerate(self._workers) if worker is None or worker.step is None)
        worker = self._workers[number]
        if worker is None or not worker.process.is_alive():  # it may have been killed while it had nothing to do
            worker = self._new(number)
        self._workers[number] = worker
        worker.step, worker.began = step, time.perf_counter()
        worker.pipe.send(step)

    def next(self) -> Done:
        if self.slots == 1:
            return self._here.next()
        busy = {worker.pipe: worker for worker in self._workers if worker and worker.step}
        worker = busy[connection.wait(busy)[0]]
        step, worker.step = worker.step, None
        assert step is not None
        try:
            done: Done = worker.pipe.recv()
            return done
        except (EOFError, OSError):
            worker.process.join()
            self._workers[self._workers.index(worker)] = None
            return Done(step, time.perf_counter() - worker.began, error=EngineError(
                f"its process ended without an answer ({describe_exit(worker.process.exitcode)}). The same command "
                "tries it again; with fewer --jobs each has more memory."
            ))  # fmt: skip

    def _new(self, number: int) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        share = max(cores() // self.slots, 1)
        process = context.Process(target=_work, args=(theirs, share), name=f"hubbub-{number}")
        shown = {"CUDA_VISIBLE_DEVICES": _accelerator(number % self.accelerators)} if self.accelerators else {}
        with set_environment({"OMP_NUM_THREADS": str(share), **shown}):  # read when libraries are loaded
            process.start()
        theirs.close()
        return _Worker(process, ours)


def local_engine(runs: list[RunPlan], jobs: int | None, log: Log) -> InProcess | Processes:
    """This machine's engine with `jobs` processes; by default one for each accelerator or core.

    Heads on frozen embeddings take less time than the start of a process, and a training on several devices uses all of
    them: such runs stay in this process.
    """
    from hubbub.runtime.devices import choose_device

    accelerators = 0
    if any(choose_device(run.recipe.train.device) == "cuda" for run in runs):
        import torch

        accelerators = torch.cuda.device_count()
    several = any(run.recipe.train.nodes * run.recipe.train.devices > 1 for run in runs)
    alone = several or all(run.recipe.frozen for run in runs)
    on_processor = all(choose_device(run.recipe.train.device) == "cpu" for run in runs)
    if jobs and jobs > 1:
        distributed.require_one_process(f"a grid with --jobs {jobs}")
    wanted = jobs or (1 if alone else accelerators or (cores() if on_processor else 1))
    return InProcess(log) if wanted == 1 else Processes(wanted, accelerators, log)


def _accelerator(number: int) -> str:
    """The name of an accelerator by its number among those that this process may use."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",")[number] if visible else str(number)


def _work(pipe: Any, threads: int) -> None:
    """The loop of a worker process: performs the steps it receives until the pipe is closed.

    It prints nothing, since the progress bars of several processes would overwrite each other.
    """
    threading.Thread(target=exit_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115, open as long as the process
    import torch

    torch.set_num_threads(threads)
    performer = Performer()
    while True:
        try:
            step = pipe.recv()
        except EOFError:
            return
        done = attempt(performer, step)
        try:
            pipe.send(done)
        except Exception as error:  # a result that cannot be pickled
            pipe.send(Done(step, done.seconds, error=EngineError(f"{done.error!r}, which cannot be sent: {error}")))
