"""Embeds recordings on a Ray cluster (https://docs.ray.io): each process loads the network once and takes some
recordings at a time. The machine that was asked stores what they send back.
"""

from collections.abc import Callable, Iterator
from functools import partial

from hubbub.archive.archive import About
from hubbub.archive.backbone import load_backbone
from hubbub.archive.changes import Task
from hubbub.archive.index import Embedded, Engine, embed_files
from hubbub.runtime.ray_cluster import connect, task_slots

__all__ = ["ray_engine"]

#: Recordings that a process gets at once: those of a lost machine are repeated.
BLOCK = 16


def ray_engine(address: str | None = None, cpus: float = 1.0, gpus: float | None = None) -> Engine:
    """The engine for `index` that embeds on the cluster at `address` (default: one on this machine); each process has
    `cpus` cores and `gpus` accelerators. All machines must read the recordings at the same places."""
    return partial(_embed, address, cpus, gpus)


def _embed(
    address: str | None,
    cpus: float,
    gpus: float | None,
    tasks: list[Task],
    about: About,
    progress: Callable[[str, float], None],
) -> Iterator[Embedded]:
    blocks = [tasks[start : start + BLOCK] for start in range(0, len(tasks), BLOCK)]
    if not blocks:
        return
    ray = connect(address)
    try:
        from ray.util import ActorPool

        most, gpus = task_slots(ray, cpus, gpus)
        worker = ray.remote(_Worker).options(num_cpus=cpus, num_gpus=gpus, max_restarts=-1, max_task_retries=-1)
        pool = ActorPool([worker.remote(about, max(int(cpus), 1)) for _ in range(min(most, len(blocks)))])
        for done in pool.map_unordered(lambda actor, block: actor.embed.remote(block), blocks):
            for one in done:
                progress(one.task.file, 1.0)
                yield one
    finally:
        ray.shutdown()


class _Worker:
    """A process of the cluster, which holds the network."""

    def __init__(self, about: About, threads: int) -> None:
        self.about, self.model = about, load_backbone(about.model)
        try:
            import torch
        except ImportError:  # an exported network needs none
            return
        torch.set_num_threads(threads)

    def embed(self, tasks: list[Task]) -> list[Embedded]:
        return list(embed_files(self.model, tasks, self.about, lambda file, share: None))
