"""Takes the weights of an exported graph from the safetensors file beside it, so that a folder holds them once.

ONNX calls this external data: the graph says at which byte of which file a tensor begins
(https://onnx.ai/onnx/repo-docs/ExternalData.html). A safetensors file is a length, a header and the tensors' plain
bytes, so both formats can read one file. The graph converts weights in half precision to single precision when it is
loaded.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["link"]

#: Tensors of fewer values stay in the graph.
SMALLEST = 1024


def link(proto: "ModelProto", file: Path) -> "ModelProto":
    """A copy of a graph without the initializers whose values a safetensors file holds in half precision: they are
    taken from it. The file must lie beside the graph when that is loaded."""
    from onnx import TensorProto, helper, numpy_helper

    places, linked, casts = _places(file), type(proto)(), []
    linked.CopyFrom(proto)
    for tensor in linked.graph.initializer:
        values = numpy_helper.to_array(tensor)
        place = places.get(values.tobytes()) if values.dtype == np.float32 and values.size >= SMALLEST else None
        if place is None:
            continue
        name, shape = tensor.name, list(tensor.dims)
        tensor.Clear()
        tensor.name, tensor.data_type, tensor.data_location = f"{name}.half", TensorProto.FLOAT16, TensorProto.EXTERNAL
        tensor.dims.extend(shape)
        for key, value in (("location", file.name), ("offset", place[0]), ("length", place[1])):
            tensor.external_data.add(key=key, value=str(value))
        casts.append(helper.make_node("Cast", [tensor.name], [name], f"{name}.single", to=TensorProto.FLOAT))
    nodes = [*casts, *linked.graph.node]
    del linked.graph.node[:]
    linked.graph.node.extend(nodes)
    return linked


def _places(file: Path) -> dict[bytes, tuple[int, int]]:
    """The first byte and the length of each tensor in half precision, by its values in single precision."""
    content = file.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    found = {}
    for name, held in json.loads(content[8:start]).items():
        if name != "__metadata__" and held["dtype"] == "F16":
            begin, end = (start + offset for offset in held["data_offsets"])
            found[np.frombuffer(content[begin:end], np.float16).astype(np.float32).tobytes()] = begin, end - begin
    return found
