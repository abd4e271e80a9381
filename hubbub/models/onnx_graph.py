"""ONNX files of other teams, run by onnxruntime.

A file is read as data: it is refused where it takes weights from other files, and libraries of operators are never
loaded.
"""

import json
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from hubbub.models.errors import NetworkError
from hubbub.models.graph_runner import Array, Port, first_line
from hubbub.runtime import onnx_session

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, TensorProto
    from onnxruntime import InferenceSession, NodeArg

__all__ = ["OnnxGraph", "read_graph", "stored_numbers"]

#: Single precision, as onnxruntime calls it.
FLOAT = "tensor(float)"
#: The key of the metadata in files that hubbub exported, which is JSON.
META = "hubbub"


class OnnxGraph:
    """The content of an ONNX file, ready to run. Raises `NetworkError` for what is no whole ONNX file; `source` names
    the file."""

    format, batches = "ONNX", True

    def __init__(self, content: bytes, source: str) -> None:
        graph = read_graph(content, source).graph
        try:
            self._session: InferenceSession = onnx_session.open_session(content)
            self.inputs = [_port(one) for one in self._session.get_inputs()]  # a name in it may be no text
            self.outputs = [_port(one) for one in self._session.get_outputs()]
        except Exception as error:  # its exceptions have no common base
            raise NetworkError(
                f"{source} cannot be run by onnxruntime ({first_line(error)}). Download it again, or export it with "
                "the operators of ONNX alone."
            ) from error
        self.inner: list[str] = []
        self.operators, self.stored = len(graph.node), stored_numbers(graph)

    @property
    def rate_hz(self) -> int | None:
        """The sample rate in a file of hubbub's own."""
        try:
            rate = json.loads(self._session.get_modelmeta().custom_metadata_map[META])["recipe"]["audio"]["rate_hz"]
        except (KeyError, TypeError, ValueError):  # of another team, or not hubbub's metadata
            return None
        return rate

    def run(self, names: list[str], batch: Array) -> list[Array]:
        return list(self._session.run(names, {self.inputs[0].name: batch}))


def read_graph(content: bytes, source: str) -> "ModelProto":
    """The content of an ONNX file, which must hold all of its weights. Raises `NetworkError`."""
    import onnx

    try:
        proto = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's, which is no dependency of ours
        raise NetworkError(f"{source} is not a whole ONNX file ({error}). Download or export it again.") from error
    if not proto.graph.node:
        raise NetworkError(f"{source} is not a whole ONNX file (it has no operators). Download or export it again.")
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in _tensors(proto)):
        raise NetworkError(
            f"{source} takes its weights from another file, and a network here is one file. Join them in Python: "
            "onnx.save(onnx.load('in.onnx'), 'out.onnx')."
        )
    return proto


def stored_numbers(graph: "GraphProto") -> Counter[str]:
    """How many numbers of each type a graph stores."""
    import onnx

    kinds = Counter[str]()
    for one in graph.initializer:
        kinds[onnx.TensorProto.DataType.Name(one.data_type).lower()] += int(np.prod(one.dims, dtype=np.int64))
    return kinds


def _tensors(proto: "ModelProto") -> "Iterator[TensorProto]":
    """All tensors that a file stores, also those of its functions, of attributes and of graphs inside of nodes."""
    waiting: list[Any] = [proto.graph, *proto.functions]
    while waiting:
        graph: GraphProto | Any = waiting.pop()
        yield from getattr(graph, "initializer", ())
        sparse = list(getattr(graph, "sparse_initializer", ()))
        for attribute in (one for node in graph.node for one in node.attribute):
            yield from (attribute.t, *attribute.tensors)
            sparse += [attribute.sparse_tensor, *attribute.sparse_tensors]
            waiting += [attribute.g, *attribute.graphs]
        for one in sparse:
            yield from (one.values, one.indices)


def _port(value: "NodeArg") -> Port:
    shape = tuple(n if isinstance(n, int) else None for n in value.shape)
    return Port(value.name, shape, value.type, value.type == FLOAT)
