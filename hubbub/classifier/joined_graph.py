"""The ONNX file of another team with a front end before it and a classifier's head behind it, as one graph.

Nothing is traced: nodes are put one behind the other. The names in the file get a prefix, so that they differ from
ours.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hubbub.classifier.head_graph import OPSET
from hubbub.classifier.onnx_classifier import EMBEDDINGS, LOGITS, SEGMENTS
from hubbub.errors import HubbubError
from hubbub.models.foreign import Foreign
from hubbub.models.onnx_graph import read_graph

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

__all__ = ["ExportError", "joined"]

#: Begin the names of the file, and of what is put around it.
PREFIX, AROUND = "network/", "around/"
#: Operators that are put around the file are as they are since this version, or earlier.
OLDEST = 13
#: The version of the file format that has them all.
FORMAT = 9


class ExportError(HubbubError):
    """A classifier that cannot be exported, or whose file gives other scores."""


def joined(network: Foreign, head: "ModelProto", length: int, front: "ModelProto | None" = None) -> "ModelProto":
    """Segments `[B, length]` -> embeddings `[B, D]` and the logits `[B, K]` that `head` makes of them; `front` computes
    what the network takes. Raises `ExportError` where their operators cannot be converted to one version."""
    from onnx import TensorProto, helper

    proto, opened = read_graph(network.content, "the ONNX file"), network.opened
    version = _version(proto)
    target = max(version, OPSET) if front or version < OLDEST else version
    proto, front = _converted(proto, target), front and _converted(front, target)
    graph = proto.graph
    taken, found = PREFIX + opened.input, PREFIX + opened.output
    _rename(graph)
    _prune(graph, found)
    source = AROUND + "segment"
    embedding = AROUND + "embedding" if opened.singly else EMBEDDINGS
    sizes = [*[1 if opened.singly else -1] * opened.batched, *opened.taken]
    shape = helper.make_tensor(AROUND + "shape", TensorProto.INT64, [len(sizes)], sizes)
    before = helper.make_node("Reshape", [source, AROUND + "shape"], [taken])
    after = list(_averaged(found, embedding, opened.frames_axis))
    graph.initializer.append(shape)
    inner = [before, *graph.node, *after]
    front_nodes, constants = _front_nodes(front, source)
    if opened.singly:
        inner = [_one_by_one(graph, inner, source, embedding)]
    else:
        constants += graph.initializer
    last = _prefixed(head, "head/").graph
    nodes = [*front_nodes, *inner, *last.node]
    widths = {SEGMENTS: length, EMBEDDINGS: opened.width, LOGITS: network.fc.out_features}
    given, *results = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", n]) for name, n in widths.items()
    )
    whole = helper.make_graph(nodes, "classifier", [given], results, [*constants, *last.initializer])
    whole.sparse_initializer.extend([] if opened.singly else graph.sparse_initializer)
    return helper.make_model(
        whole,
        opset_imports=list(proto.opset_import),
        ir_version=max(proto.ir_version, FORMAT),
        functions=list(proto.functions),
    )


def _version(proto: "ModelProto") -> int:
    """The version of ONNX's own operators in a graph."""
    return max((one.version for one in proto.opset_import if one.domain in ("", "ai.onnx")), default=OPSET)


def _converted(proto: "ModelProto", version: int) -> "ModelProto":
    from onnx import version_converter

    if _version(proto) == version:
        return proto
    try:
        return version_converter.convert_version(proto, version)
    except Exception as error:  # its exceptions have no common base
        why = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise ExportError(
            f"the ONNX file of another team cannot be joined with this classifier: its operators cannot be converted "
            f"to opset {version} ({why}). Get the file in opset {version}, or use the classifier as it is."
        ) from error


def _prefixed(proto: "ModelProto", prefix: str) -> "ModelProto":
    from onnx.compose import add_prefix

    return add_prefix(proto, prefix, rename_inputs=False, rename_outputs=False)


def _front_nodes(front: "ModelProto | None", found: str) -> tuple[list["NodeProto"], list[Any]]:
    """The nodes and constants that compute `found` from the segments."""
    from onnx import helper

    if front is None:
        return [helper.make_node("Identity", [SEGMENTS], [found])], []
    graph = _prefixed(front, "front/").graph
    last = helper.make_node("Identity", [graph.output[0].name], [found])
    return [*graph.node, last], list(graph.initializer)


def _averaged(found: str, embedding: str, axis: int | None) -> Iterator["NodeProto"]:
    """The nodes from the file's output to the embedding `[B, D]`: the mean over an axis of `[B, D, T]` or `[B, T, D]`.

    Pooling and Flatten are the same in all versions; ReduceMean is not."""
    from onnx import helper

    if axis is None:
        yield helper.make_node("Identity", [found], [embedding])
        return
    if axis == 1:
        yield helper.make_node("Transpose", [found], [f"{AROUND}turned"], perm=[0, 2, 1])
        found = f"{AROUND}turned"
    yield helper.make_node("GlobalAveragePool", [found], [f"{AROUND}mean"])
    yield helper.make_node("Flatten", [f"{AROUND}mean"], [embedding], axis=1)


def _one_by_one(graph: "GraphProto", nodes: list["NodeProto"], source: str, embedding: str) -> "NodeProto":
    """One node that computes a graph for each segment of a batch on its own."""
    from onnx import TensorProto, helper

    flat, row = helper.make_tensor(f"{AROUND}flat", TensorProto.INT64, [1], [-1]), f"{AROUND}row"
    one = f"{AROUND}one"
    nodes[0].input[0] = one
    nodes = [*nodes, helper.make_node("Reshape", [embedding, f"{AROUND}flat"], [row])]
    body = helper.make_graph(
        nodes,
        "one segment",
        [helper.make_tensor_value_info(one, TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info(row, TensorProto.FLOAT, None)],
        [*graph.initializer, flat],
    )
    body.sparse_initializer.extend(graph.sparse_initializer)
    return helper.make_node("Scan", [source], [EMBEDDINGS], body=body, num_scan_inputs=1)


def _graphs_in(node: "NodeProto") -> Iterator["GraphProto"]:
    """The graphs inside of a node, as If and Loop have."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _rename(graph: "GraphProto") -> None:
    """Begin every name with the prefix, also in graphs inside of nodes, which use values from outside."""
    del graph.value_info[:], graph.quantization_annotation[:]
    for value in (*graph.input, *graph.output, *graph.initializer, *(one.values for one in graph.sparse_initializer)):
        value.name = PREFIX + value.name
    for node in graph.node:
        node.name = node.name and PREFIX + node.name
        for names in (node.input, node.output):
            names[:] = [name and PREFIX + name for name in names]
        for inner in _graphs_in(node):
            _rename(inner)


def _prune(graph: "GraphProto", found: str) -> None:
    """Remove what an output does not need."""
    needed, kept = {found}, []
    for node in reversed(graph.node):  # which is in order of computation
        if needed & set(node.output):
            kept.append(node)
            needed |= _needs(node)
    constants = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(reversed(kept))
    graph.initializer.extend(constants)


def _needs(node: "NodeProto") -> set[str]:
    """The names of all values that a node uses, also inside of it."""
    names = set(node.input)
    for graph in _graphs_in(node):
        names |= {value.name for value in graph.output}.union(*map(_needs, graph.node))
    return names
