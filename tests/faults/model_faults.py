"""Hostile copies of safetensors files and of ONNX graphs, which stay readable as such."""

import json
import random
import struct
from typing import Any

import numpy as np
import onnx
from onnx import helper

from hubbub.classifier.onnx_classifier import META
from tests.faults.mutate import mutated_bytes, mutated_json, mutated_tree

__all__ = ["mutated_onnx", "mutated_tensors"]


def mutated_tensors(rng: random.Random, whole: bytes) -> bytes:
    """A safetensors file with a hostile header of the right length, or with any faults."""
    if rng.random() < 0.5:
        return mutated_bytes(rng, whole)
    size = struct.unpack("<Q", whole[:8])[0]
    head = json.dumps(mutated_tree(rng, json.loads(whole[8 : 8 + size]))).encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(head)) + head + whole[8 + size :]


def mutated_onnx(rng: random.Random, whole: bytes) -> bytes:
    """A graph with hostile operators, attributes, tensors or metadata, or with any faults."""
    if rng.random() < 0.3:
        return mutated_bytes(rng, whole)
    model = onnx.load_model_from_string(whole)
    for _ in range(rng.choice((1, 1, 2, 3))):
        rng.choice(_ONNX_FAULTS)(rng, model.graph, model)
    content: bytes = model.SerializeToString()
    return content


def _operator(rng: random.Random, graph: Any, model: Any) -> None:
    node = rng.choice(graph.node)
    node.op_type = rng.choice(
        (
            *{one.op_type for one in graph.node},
            "Loop",
            "If",
            "Scan",
            "Expand",
            "Tile",
            "Nothing",
            "Gather",
            "Resize",
            "NonZero",
        )
    )
    node.domain = rng.choice(("", "", "", "com.microsoft", "theirs"))


def _inputs(rng: random.Random, graph: Any, model: Any) -> None:
    node, names = rng.choice(graph.node), [name for one in graph.node for name in (*one.input, *one.output)]
    if not node.input:
        return
    at = rng.randrange(len(node.input))
    kind = rng.randrange(4)
    if kind == 0:
        del node.input[at]
    elif kind == 1:
        node.input.append(rng.choice(names))
    else:
        node.input[at] = rng.choice((*names, "", "nothing"))


def _attribute(rng: random.Random, graph: Any, model: Any) -> None:
    node = rng.choice([one for one in graph.node if one.attribute] or [None])
    if node is None:
        return
    attribute = rng.choice(node.attribute)
    value = rng.choice((0, -1, 1, 2**31, 2**40, -(2**63), 2**63 - 1, 65536))
    if attribute.ints:
        attribute.ints[rng.randrange(len(attribute.ints))] = value
        if rng.random() < 0.3:
            attribute.ints.extend([value] * rng.choice((1, 5, 100)))
    elif attribute.type == onnx.AttributeProto.FLOAT:
        attribute.f = rng.choice((float("nan"), float("inf"), 0.0, -1.0, 1e38))
    elif attribute.type == onnx.AttributeProto.INT:
        attribute.i = value
    else:
        attribute.type = rng.choice((1, 2, 3, 4, 5, 6, 7, 8, 11))


def _tensor(rng: random.Random, graph: Any, model: Any) -> None:
    tensor = rng.choice(list(graph.initializer) or [None])
    if tensor is None:
        return
    kind = rng.randrange(6)
    if kind == 0 and tensor.dims:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice((0, -1, 1, 2**20, 2**31, 2**62, 3))
    elif kind == 1:
        tensor.dims.append(rng.choice((0, 1, 2**31, -1)))
    elif kind == 2:
        tensor.data_type = rng.randrange(25)
    elif kind == 3 and tensor.raw_data:
        tensor.raw_data = mutated_bytes(rng, tensor.raw_data)
    elif kind == 4 and tensor.raw_data:
        size = len(tensor.raw_data) // 4
        values = rng.choice((np.nan, np.inf, 1e38, -1e38, 0)) * np.ones(max(size, 1), np.float32)
        tensor.raw_data = values.tobytes()
    else:
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.ClearField("raw_data")
        where = rng.choice(
            ("/etc/passwd", "../../../../../etc/passwd", "classifier.json", "", "network.safetensors", "/dev/zero")
        )
        del tensor.external_data[:]
        for key, value in {
            "location": where,
            "offset": rng.choice(("0", "-1", "8", str(2**62))),
            "length": rng.choice(("4", str(2**40), "-1", "x")),
        }.items():
            tensor.external_data.add(key=key, value=value)


def _edges(rng: random.Random, graph: Any, model: Any) -> None:
    value = rng.choice([*graph.input, *graph.output])
    shape = value.type.tensor_type.shape
    kind = rng.randrange(4)
    if kind == 0 and shape.dim:
        shape.dim[rng.randrange(len(shape.dim))].dim_value = rng.choice((0, -1, 1, 3, 2**31, 2**62))
    elif kind == 1:
        value.type.tensor_type.elem_type = rng.randrange(20)
    elif kind == 2:
        value.name = rng.choice(("", "x", graph.node[0].output[0]))
    else:
        shape.dim.add(dim_value=rng.choice((1, 7)))


def _metadata(rng: random.Random, graph: Any, model: Any) -> None:
    for one in model.metadata_props:
        if one.key == META:
            one.value = mutated_json(rng, one.value.encode()).decode("utf-8", "replace")


def _added(rng: random.Random, graph: Any, model: Any) -> None:
    """An operator between the input and what takes it."""
    name = graph.input[0].name
    nodes = rng.choice(
        (
            [
                helper.make_node("Constant", [], ["r"], value_ints=[1, rng.choice((3, 2**62))]),
                helper.make_node("Tile", [name, "r"], ["added"]),
            ],
            [
                helper.make_node("Constant", [], ["s"], value_ints=[rng.choice((4, 2**62)), 1]),
                helper.make_node("Expand", [name, "s"], ["added"]),
            ],
            [helper.make_node("Identity", [name], ["added"], domain="theirs")],
            [helper.make_node("ReduceSum", [name], ["added"])],
        )
    )
    for node in graph.node:
        for at, one in enumerate(node.input):
            if one == name:
                node.input[at] = "added"
    for number, node in enumerate(nodes):
        graph.node.insert(number, node)


_ONNX_FAULTS = (_operator, _inputs, _attribute, _attribute, _tensor, _tensor, _edges, _metadata, _metadata, _added)
