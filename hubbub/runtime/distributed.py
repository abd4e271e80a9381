"""The processes that train one network together, and how they exchange messages.

torchrun (https://docs.pytorch.org/docs/stable/elastic/run.html) starts one command several times, on one or several
machines, and gives each process a rank. Rank 0 runs the command as if it were alone. The others wait for its messages,
which travel over gloo, whatever backend the network itself is trained over.
This module does not know what the messages hold, nor how a network is trained.
"""

import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from hubbub.errors import HubbubError, count

__all__ = [
    *("Process", "RankError", "broadcast", "build_on_all", "check_world_size", "connection_error", "error_line"),
    *("process_group", "receive", "require_one_process", "this_process"),
]

T = TypeVar("T")
# A process that dies closes its connections, which is noticed at once. These limits are for machines that vanish.
# The longest wait of one process for another within a fit.
FIT_TIMEOUT = timedelta(minutes=10)
# The longest wait between fits, while rank 0 decodes, tests and writes.
BETWEEN_FITS_TIMEOUT = timedelta(days=7)
# How long a process that fails before the group has formed waits for torchrun to end it.
TO_BE_ENDED_S = 60.0
_group: Any = None


class RankError(HubbubError):
    """The number of processes does not fit the recipe, or a process has lost the others."""


@dataclass(frozen=True)
class Process:
    """Process `rank` of `world_size`; `local_rank` of `local_world_size` on its machine."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    local_world_size: int = 1


def this_process() -> Process:
    """The rank that torchrun gave this process; rank 0 of 1 if torchrun did not start it."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return Process()
    return Process(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")))


def check_world_size(nodes: int, devices: int) -> None:
    """Raises `RankError` unless torchrun started one process for each of `devices` on each of `nodes` machines.

    One machine does not need torchrun: its processes are then started by the fit.
    """
    process = this_process()
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        if nodes > 1:
            raise RankError(
                f"train.nodes is {nodes}, and this process was started alone. Start the command on each machine with "
                f"torchrun --nnodes {nodes} --nproc-per-node {devices} --rdzv-backend c10d --rdzv-endpoint HOST:29500 "
                "-m hubbub.cli ..., or leave train.nodes at 1."
            )
    elif (process.world_size, process.local_world_size) != (nodes * devices, devices):
        raise RankError(
            f"torchrun started {_processes(process.world_size)}, {process.local_world_size} of them on this machine; "
            f"the recipe asks for train.nodes {nodes} with train.devices {devices} each. torchrun's --nnodes must be "
            "train.nodes, its --nproc-per-node train.devices: give "
            f"--set train.nodes={process.world_size // process.local_world_size} "
            f"--set train.devices={process.local_world_size}, or start {_processes(nodes * devices)}."
        )


def require_one_process(task: str) -> None:
    """Raises `RankError` if torchrun started several processes for a task that runs in one."""
    if (world_size := this_process().world_size) > 1:
        raise RankError(
            f"torchrun started {_processes(world_size)}, and {task} runs in one. Start it without torchrun."
        )


@contextmanager
def process_group(nodes: int, devices: int) -> Iterator[bool]:
    """Connects all processes for the time of a block; yields whether this is rank 0.

    When the block of rank 0 ends, `receive` returns None in the others. If it raises, the others get no message: they
    may be in the middle of a step, and lose their connection as its process ends. Raises `RankError` as
    `check_world_size` does.
    """
    global _group
    check_world_size(nodes, devices)
    if (process := this_process()).world_size == 1:
        yield True
        return
    import torch
    from torch import distributed

    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(backend, timeout=FIT_TIMEOUT)
    _group = distributed.new_group(backend="gloo", timeout=BETWEEN_FITS_TIMEOUT)
    yield process.rank == 0
    if process.rank == 0:
        broadcast(None)
    distributed.destroy_process_group()
    _group = None


def broadcast(message: object) -> None:
    """Sends a message from rank 0 to all others, which `receive` it: anything that can be pickled, None for the end."""
    from torch import distributed

    with _connected():
        distributed.broadcast_object_list([message], src=0, group=_group)


def receive() -> Any:
    """The next message of rank 0, however long it takes."""
    from torch import distributed

    message = [None]
    with _connected():
        distributed.broadcast_object_list(message, src=0, group=_group)
    return message[0]


def build_on_all(build: Callable[[], T], name: Callable[[T], str], what: str) -> T:
    """Builds an object in every process and returns this process's own, after comparing their names.

    One process a machine builds first, so that the others find its results in the cache. Raises `RankError`, which
    says that `what` differs, unless `name` gives the same for all of them.
    """
    from torch import distributed

    process = this_process()
    built = None if process.local_rank else build()
    with _connected():
        distributed.barrier(group=_group)
    built = build() if process.local_rank else built
    assert built is not None
    names: list[Any] = [None] * process.world_size
    with _connected():
        distributed.all_gather_object(names, (name(built), platform.node()), group=_group)
    (first, machine), *_ = names
    if others := [f"rank {rank} on {node}" for rank, (one, node) in enumerate(names) if one != first]:
        raise RankError(
            f"{', '.join(others)}: not the same {what} as rank 0 has on {machine}. All machines need the same files in "
            "HUBBUB_HOME, the same kind of device and the same version of hubbub."
        )
    return built


def connection_error() -> RankError:
    """The error to raise when the connection to another process is lost."""
    return RankError(
        "another process that took part has ended or cannot be reached, so this one ends too; its own message or "
        "torchrun's says why. Run the same command on all machines to continue from the last whole epoch."
    )


def error_line(error: HubbubError) -> str:
    """The line to print for an error, with the rank if it is above 0.

    Before the group has formed, all processes fail in the same way, and one a machine prints it. The rest return "",
    and late: torchrun ends all processes as soon as one has ended, which must not happen before the line is printed.
    """
    process = this_process()
    if process.local_rank and _group is None:
        time.sleep(TO_BE_ENDED_S)
        return ""
    return f"error (rank {process.rank} on {platform.node()}): {error}" if process.rank else f"error: {error}"


@contextmanager
def _connected() -> Iterator[None]:
    if _group is None:
        raise RankError("torchrun started several processes that have not joined. Use hubbub train or hubbub bench.")
    try:
        yield
    except RuntimeError as error:
        raise connection_error() from error


def _processes(number: int) -> str:
    return count(number, "process", "processes")
