"""The protocol of engines, which perform steps: in this process, in several, or on a cluster."""

import time
import traceback
from dataclasses import dataclass
from typing import Any, Protocol, Self

from hubbub.errors import HubbubError
from hubbub.experiment.prepare import Log
from hubbub.experiment.steps import Performer, RunPlan, Step
from hubbub.runtime import distributed, files

__all__ = ["Done", "Engine", "attempt"]


@dataclass(frozen=True)
class Done:
    """A step that was performed, its duration, and its result or error."""

    step: Step
    seconds: float
    result: Any = None
    error: Exception | None = None

    @property
    def reason(self) -> str:
        """Why the step failed: the message, and the type of an error that hubbub does not raise itself."""
        if isinstance(self.error, HubbubError):
            return str(self.error)
        if files.is_full(self.error):
            return f"the disk is full ({self.error}). Make room."
        return f"{type(self.error).__name__}: {self.error}"


class Engine(Protocol):
    """Performs up to `slots` steps at once: `start` one, and `next` waits for any of them to be done."""

    slots: int

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...

    def begin(self, run: RunPlan, log: Log) -> Done: ...

    def start(self, step: Step) -> None: ...

    def next(self) -> Done: ...


def attempt(performer: Performer, step: Step, log: Log = lambda line: None) -> Done:
    """Performs a step. An error is returned with its traceback in its notes, not raised."""
    began = time.perf_counter()
    try:
        return Done(step, result=performer.perform(step, log), seconds=time.perf_counter() - began)
    except Exception as error:
        if distributed.this_process().world_size > 1:
            raise  # the other ranks may be in the middle of this step, and cannot go on alone
        error.add_note(traceback.format_exc())
        return Done(step, error=error, seconds=time.perf_counter() - began)
