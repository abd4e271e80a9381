"""An exported graph in the fastest form that this processor has, by OpenVINO (https://docs.openvino.ai).

The front end stays in single precision, by onnxruntime: its values span more decades than short numbers hold. The
network behind it computes in bfloat16 where the processor does, and in 8 bits where the file was exported with
`--int8`.
"""

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hubbub.classifier.base import ClassifierError
from hubbub.classifier.onnx_classifier import open_session
from hubbub.runtime.processes import cores

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["FastSession", "front_end"]

Array = npt.NDArray[np.float32]


class FastSession:
    """Runs a graph as onnxruntime's session does, on up to `part` segments of `length` samples. `folder` holds the
    weights that the graph does not.

    Raises `ClassifierError` where OpenVINO is not installed.
    """

    def __init__(self, graph: bytes, part: int, length: int, folder: Path | None = None) -> None:
        try:
            import openvino
        except ImportError as error:
            raise ClassifierError(
                "--fast needs OpenVINO, which is not here. Install it: pip install 'hubbub[fast]'. Or leave --fast out."
            ) from error
        import onnx

        proto = onnx.load_from_string(graph)
        if folder is not None:
            onnx.load_external_data_for_model(proto, str(folder))
        front, body, self._between = _split(proto)
        self._front = open_session(front.SerializeToString(), "the front end")
        core = openvino.Core()
        short = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if short else "f32",
            "NUM_STREAMS": cores(),
            "INFERENCE_NUM_THREADS": cores(),
        }
        model = core.read_model(body.SerializeToString())
        example = self._front.run(self._between, {proto.graph.input[0].name: np.zeros((part, length), np.float32)})
        model.reshape({name: list(value.shape) for name, value in zip(self._between, example, strict=True)})
        self._network = core.compile_model(model, "CPU", settings)
        self._names = [value.get_any_name() for value in self._network.outputs]
        self._own = threading.local()
        self.precision = ("8 bits, " if b"QuantizeLinear" in graph else "") + ("bfloat16" if short else "single")

    def run(self, names: list[str], inputs: dict[str, Array]) -> list[Array]:
        """The named outputs for up to `part` segments."""
        (segments,) = inputs.values()
        if not hasattr(self._own, "request"):  # each thread has its own
            self._own.request = self._network.create_infer_request()
            self._own.inputs = [self._own.request.get_tensor(name).data for name in self._between]
            self._own.outputs = {name: self._own.request.get_tensor(name).data for name in self._names}
        for place, value in zip(self._own.inputs, self._front.run(self._between, inputs), strict=True):
            place[: len(segments)] = value  # what an earlier, larger part left behind them is computed and not read
        self._own.request.infer()
        return [self._own.outputs[name][: len(segments)].copy() for name in names]


def front_end(proto: "ModelProto") -> set[str]:
    """The names of the nodes that the first logarithm is computed from, and its own; every front end ends with it."""
    makers = {output: node for node in proto.graph.node for output in node.output}
    found, waiting = set[str](), [next(node for node in proto.graph.node if node.op_type == "Log")]
    while waiting:
        node = waiting.pop()
        if node.name not in found:
            found.add(node.name)
            waiting += [makers[name] for name in node.input if name in makers]
    return found


def _split(proto: "ModelProto") -> tuple["ModelProto", "ModelProto", list[str]]:
    """The front end and the network behind it as graphs of their own, and the tensors between them."""
    from onnx import shape_inference
    from onnx.utils import Extractor

    first = front_end(proto)
    made = {name for node in proto.graph.node if node.name in first for name in node.output}
    used = {name for node in proto.graph.node if node.name not in first for name in node.input}
    between = sorted(made & used)
    extractor: Any = Extractor(shape_inference.infer_shapes(proto))
    inputs, outputs = ([value.name for value in values] for values in (proto.graph.input, proto.graph.output))
    return extractor.extract_model(inputs, between), extractor.extract_model(between, outputs), between
