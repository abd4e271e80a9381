"""Quantise an ONNX network to 8 bits: a quarter of the size, mostly faster, a little less exact; the cost is measured.

Weights are rounded channel by channel, activations by their ranges on real sound, by onnxruntime's static quantisation
(Jacob et al. 2018, https://arxiv.org/abs/1712.05877). Where that changes decisions, as for networks whose activations
hold a few large values among many small ones, only weights are rounded. The front end stays as it is: its values span
more decades than 8 bits hold.
"""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hubbub.classifier.onnx_classifier import BATCH, SEGMENTS
from hubbub.runtime.progress import track

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["cost", "weights_and_maps", "weights_only"]

Array = npt.NDArray[np.float32]
#: Operations with weights, and the axis of the weights' output channels.
CHANNELS = {"Conv": 0, "Gemm": 0, "MatMul": 1}
SMALLEST = 1024  # weights with fewer values are not worth a scale a channel


def weights_and_maps(proto: "ModelProto", segments: Array) -> "ModelProto":
    """The graph with convolutions and dense layers in 8 bits, with ranges from segments `[S, N]`."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            parts = range(0, len(segments), BATCH)
            self.batches: Iterator[int] = iter(track(parts, "taking ranges", len(parts)))

        def get_next(self) -> dict[str, Array] | None:
            start = next(self.batches, None)
            return None if start is None else {SEGMENTS: np.ascontiguousarray(segments[start : start + BATCH])}

    with TemporaryDirectory() as folder:
        exact, plain, small = (str(Path(folder) / name) for name in ("exact.onnx", "plain.onnx", "small.onnx"))
        onnx.save(proto, exact)
        # Folds BatchNorm into convolutions, so that its range counts.
        quant_pre_process(exact, plain, skip_symbolic_shape=True)
        quantize_static(
            plain,
            small,
            Reader(),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=list(CHANNELS),
            nodes_to_exclude=sorted(_front_end(onnx.load(plain))),
        )
        return onnx.load(small)


def weights_only(proto: "ModelProto") -> "ModelProto":
    """The graph with weights stored in 8 bits, each channel with its own scale; it computes in floats as before."""
    from onnx import helper, numpy_helper

    small = type(proto)()
    small.CopyFrom(proto)
    graph, front_end = small.graph, _front_end(proto)
    weights_of = {tensor.name: tensor for tensor in graph.initializer}
    axes = {
        node.input[1]: CHANNELS[node.op_type]
        for node in graph.node
        if node.op_type in CHANNELS and node.name not in front_end and node.input[1] in weights_of
    }
    for name, axis in axes.items():
        weights = numpy_helper.to_array(weights_of[name])
        if weights.size < SMALLEST or weights.dtype != np.float32 or weights.ndim < 2:
            continue
        others = tuple(i for i in range(weights.ndim) if i != axis)
        scales = np.maximum(np.abs(weights).max(axis=others, keepdims=True) / 127, np.finfo(np.float32).tiny)
        graph.initializer.remove(weights_of[name])
        graph.initializer.append(numpy_helper.from_array((weights / scales).round().astype(np.int8), f"{name}_int8"))
        graph.initializer.append(numpy_helper.from_array(scales.ravel(), f"{name}_scale"))
        inputs = [f"{name}_int8", f"{name}_scale"]
        graph.node.insert(0, helper.make_node("DequantizeLinear", inputs, [name], f"{name}_exact", axis=axis))
    return small


def _front_end(proto: "ModelProto") -> set[str]:
    """The nodes that the first logarithm is computed from; every front end ends with it."""
    makers = {output: node for node in proto.graph.node for output in node.output}
    found, waiting = set[str](), [next(node for node in proto.graph.node if node.op_type == "Log")]
    while waiting:
        node = waiting.pop()
        if node.name not in found:
            found.add(node.name)
            waiting += [makers[name] for name in node.input if name in makers]
    return found


def cost(before: Array, after: Array, targets: npt.NDArray[np.int64] | None = None) -> dict[str, Any]:
    """How decisions on the same clips differ between probabilities `[C, K]` before and after; both accuracies where
    the clips' classes are known."""
    decided, then = after.argmax(axis=1), before.argmax(axis=1)
    found = {
        "clips": len(after),
        "same_decision": float((decided == then).mean()),
        "mean_difference": float(np.abs(after - before).mean()),
        "largest_difference": float(np.abs(after - before).max()),
    }
    if targets is not None:
        found |= {"accuracy": float((decided == targets).mean()), "accuracy_exact": float((then == targets).mean())}
    return found
