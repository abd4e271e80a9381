"""What this process is among those that train one network together, and what they tell each other.

torchrun (https://docs.pytorch.org/docs/stable/elastic/run.html) starts one command several times, on one machine or
on several, and numbers the processes. Rank 0 leads: it does all that the command does, as if it were alone. The others
wait for what it tells them, over gloo, whatever the network itself is trained over.
This room does not know what is told, nor how a network is trained.
"""

import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from hubbub.errors import HubbubError

__all__ = ["Place", "RankError", "alike", "alone", "check", "hear", "here", "lost", "spoken", "tell", "together"]

T = TypeVar("T")
# A process that dies closes its connections and is noticed at once; these are for machines that vanish without a word.
# Within a fit, the longest wait of one process for another.
LIMIT = timedelta(minutes=10)
# Between fits, when rank 0 decodes, tests and writes while the others wait.
PATIENCE = timedelta(days=7)
# Before they have joined, how long a process that fails waits for torchrun to end it.
TO_BE_ENDED_S = 60.0
_group: Any = None


class RankError(HubbubError):
    """Processes that cannot train together as they were started, or one that has lost the others."""


@dataclass(frozen=True)
class Place:
    """Process `rank` of `world`; `local_rank` of `local_world` on its machine."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    local_world: int = 1


def here() -> Place:
    """Where torchrun has put this process; alone where something else started it."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return Place()
    return Place(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")))


def check(nodes: int, devices: int) -> None:
    """Raises `RankError` unless as many processes were started as `nodes` machines with `devices` each need.

    One machine may also be without torchrun: its processes are then started when they are needed.
    """
    place = here()
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        if nodes > 1:
            raise RankError(
                f"train.nodes is {nodes}, and this process was started alone. Start the command on each machine with "
                f"torchrun --nnodes {nodes} --nproc-per-node {devices} --rdzv-backend c10d --rdzv-endpoint HOST:29500 "
                "-m hubbub.cli ..., or leave train.nodes at 1."
            )
    elif (place.world, place.local_world) != (nodes * devices, devices):
        raise RankError(
            f"torchrun started {_processes(place.world)}, {place.local_world} of them on this machine; the recipe asks "
            f"for train.nodes {nodes} with train.devices {devices} each. torchrun's --nnodes must be train.nodes, its "
            f"--nproc-per-node train.devices: give --set train.nodes={place.world // place.local_world} "
            f"--set train.devices={place.local_world}, or start {_processes(nodes * devices)}."
        )


def alone(what: str) -> None:
    """Raises `RankError` where several processes were started for `what`, which one does."""
    if (world := here().world) > 1:
        raise RankError(f"torchrun started {_processes(world)}, and {what} runs in one. Start it without torchrun.")


@contextmanager
def together(nodes: int, devices: int) -> Iterator[bool]:
    """Joins all processes for the time of a block; yields whether this one leads.

    When the leader's block ends, `hear` gives None to the others. Where it raises they are told nothing: they may be
    in the middle of a step, and lose their connection as its process ends. Raises `RankError` as `check` does.
    """
    global _group
    check(nodes, devices)
    if (place := here()).world == 1:
        yield True
        return
    import torch
    from torch import distributed

    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(backend, timeout=LIMIT)
    _group = distributed.new_group(backend="gloo", timeout=PATIENCE)
    yield place.rank == 0
    if place.rank == 0:
        tell(None)
    distributed.destroy_process_group()
    _group = None


def tell(message: object) -> None:
    """Rank 0's message to all others, which `hear` it; anything that can be pickled, None for the end."""
    from torch import distributed

    with _connected():
        distributed.broadcast_object_list([message], src=0, group=_group)


def hear() -> Any:
    """What rank 0 tells next, however long that takes."""
    from torch import distributed

    message = [None]
    with _connected():
        distributed.broadcast_object_list(message, src=0, group=_group)
    return message[0]


def alike(make: Callable[[], T], name: Callable[[T], str], what: str) -> T:
    """What `make` gives here, once all processes have made theirs and all of it has the same `name`.

    One process a machine goes first, so that the others find what it has put into the cache. Raises `RankError`,
    saying `what` differs.
    """
    from torch import distributed

    place = here()
    made = None if place.local_rank else make()
    with _connected():
        distributed.barrier(group=_group)
    made = make() if place.local_rank else made
    assert made is not None
    names: list[Any] = [None] * place.world
    with _connected():
        distributed.all_gather_object(names, (name(made), platform.node()), group=_group)
    (first, machine), *_ = names
    if others := [f"rank {rank} on {name}" for rank, (one, name) in enumerate(names) if one != first]:
        raise RankError(
            f"{', '.join(others)}: not the same {what} as rank 0 has on {machine}. All machines need the same files in "
            "HUBBUB_HOME, the same kind of device and the same version of hubbub."
        )
    return made


def lost() -> RankError:
    """What is raised where the other end of a connection is gone."""
    return RankError(
        "another process that took part has ended or cannot be reached, so this one ends too; that one or torchrun "
        "says why. The same command, on all machines, goes on from the last whole epoch."
    )


def spoken(error: HubbubError) -> str:
    """The line that tells a person of an error, with the name of a rank above 0.

    Before the processes have joined all fail alike, and one a machine says it. The rest return nothing, and late:
    torchrun ends all processes with the first, and that must not be before the one that speaks has spoken.
    """
    place = here()
    if place.local_rank and _group is None:
        time.sleep(TO_BE_ENDED_S)
        return ""
    return f"error (rank {place.rank} on {platform.node()}): {error}" if place.rank else f"error: {error}"


@contextmanager
def _connected() -> Iterator[None]:
    if _group is None:
        raise RankError("torchrun started several processes that have not joined. Use hubbub train or hubbub bench.")
    try:
        yield
    except RuntimeError as error:
        raise lost() from error


def _processes(count: int) -> str:
    return "1 process" if count == 1 else f"{count} processes"
