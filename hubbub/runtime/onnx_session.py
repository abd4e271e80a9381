"""Runs ONNX graphs on the CPU by onnxruntime (https://onnxruntime.ai). Loading executes nothing but graphs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["Session", "open_session"]


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
