"""Runs ONNX graphs on the CPU by onnxruntime (https://onnxruntime.ai). Loading executes nothing but graphs."""

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from hubbub.runtime.processes import cores

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["PART", "Session", "open_session", "run_batch"]

Array = npt.NDArray[np.float32]
#: Segments that a core computes at a time: larger batches fall out of its cache.
PART = 16


class Session(Protocol):
    """What runs a graph."""

    def run(self, names: list[str], feeds: dict[str, Any], /) -> Any:
        """The named outputs for inputs by name."""


def open_session(graph: bytes, folder: Path | None = None) -> "InferenceSession":
    """A session of one thread; `folder` holds the weights that the graph does not. Raises onnxruntime's own exceptions,
    which have no common base, where the graph is damaged."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    if folder is not None:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    options.log_severity_level = 3  # errors; its warnings are about its own choices
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def run_batch(session: Session, names: list[str], name: str, batch: Array, most: int = PART) -> list[Array]:
    """The named outputs for the input `name` `[B, ...]`. Each core computes parts of up to `most` rows on its own:
    threads that share an operation wait for each other at each of them, and longer where another program holds a
    core."""
    if len(batch) == 1:
        return list(session.run(names, {name: batch}))
    rounds = -(-len(batch) // (most * cores()))  # each core computes as many parts as the others
    parts = np.array_split(batch, min(rounds * cores(), len(batch)))
    found = list(_threads().map(lambda part: session.run(names, {name: part}), parts))
    return [np.concatenate(values) for values in zip(*found, strict=True)]


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cores(), "onnx")
