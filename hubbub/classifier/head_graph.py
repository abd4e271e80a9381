"""A fitted head of dense layers as an ONNX graph, made operation by operation: no tracing, which takes seconds."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hubbub.classifier.onnx_classifier import EMBEDDINGS, LOGITS

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

__all__ = ["OPSET", "head_graph", "linear_graph"]

OPSET = 20
_ONE = np.ones(1, np.float32)
#: The version of the file format that came with it (https://onnx.ai/onnx/intro/concepts.html#what-is-an-opset-version).
_FORMAT = 9


def head_graph(arrays: Mapping[str, npt.NDArray[np.float32]], compress: bool, *, twice: bool = False) -> "ModelProto":
    """Embeddings `[N, D]` -> logits `[N, K]`, from a dense head's `arrays`, with the signed logarithm first where
    `compress`. With `twice` each embedding is taken as the mean and as the maximum of a clip of one segment."""
    from onnx import TensorProto, helper, numpy_helper

    nodes: list[NodeProto] = []

    def then(operation: str, *inputs: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(operation, inputs, [f"x{len(nodes)}"], **attributes))
        return nodes[-1].output[0]

    x = then("Concat", EMBEDDINGS, EMBEDDINGS, axis=1) if twice else EMBEDDINGS
    if compress:
        x = then("Mul", then("Sign", x), then("Log", then("Add", then("Abs", x), "one")))
    x = then("Div", then("Sub", x, "mean"), "scale")
    layers = sum(name.startswith("weight") for name in arrays)
    for i in range(layers):
        x = then("Gemm", then("Relu", x) if i else x, f"weight{i}", f"bias{i}")
    nodes[-1].output[0] = LOGITS

    sizes = {EMBEDDINGS: len(arrays["mean"]) // (2 if twice else 1), LOGITS: len(arrays[f"bias{layers - 1}"])}
    given, found = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", n]) for name, n in sizes.items())
    held = {**arrays, "one": _ONE} if compress else arrays
    constants = [numpy_helper.from_array(array, name) for name, array in held.items()]
    graph = helper.make_graph(nodes, "head", [given], [found], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=_FORMAT)


def linear_graph(weight: npt.NDArray[np.float32], bias: npt.NDArray[np.float32]) -> "ModelProto":
    """Embeddings `[N, D]` -> logits `[N, K]`, from the weights `[K, D]` of a network's last layer."""
    ones = np.ones(weight.shape[1], np.float32)
    arrays = {"mean": np.zeros_like(ones), "scale": ones, "weight0": np.ascontiguousarray(weight.T), "bias0": bias}
    return head_graph(arrays, compress=False)
