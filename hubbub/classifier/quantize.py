"""Quantise an ONNX network to 8 bits: a quarter of the size, faster, a little less exact; the cost is measured.

Weights are rounded channel by channel, activations by their ranges on real sound (Jacob et al. 2018,
https://arxiv.org/abs/1712.05877), by onnxruntime. Before that the channels of an activation are scaled to like ranges,
which changes no result (Nagel et al. 2019, https://arxiv.org/abs/1906.04721). The layers that rounding harms most keep
their precision, as many as it takes for the embeddings to stay what they were. So does the front end: its values span
more decades than 8 bits hold.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hubbub.classifier.fast_session import front_end
from hubbub.classifier.onnx_classifier import BATCH, EMBEDDINGS, SEGMENTS
from hubbub.runtime.progress import track

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

__all__ = ["ALIKE", "cost", "quantized"]

Array = npt.NDArray[np.float32]
#: Operations with weights.
LAYERS = ("Conv", "Gemm", "MatMul")
#: The cosines of the embeddings before and after that are kept: of real segments on average, and of digital silence.
#: Silence gives the same error at each place of a map and in each of its segments, so that no mean makes it smaller.
ALIKE, ALIKE_IN_SILENCE = 0.994, 0.999
#: Segments that it is measured on.
CHECKED = 64
#: The smallest range of a channel as a share of the largest, when ranges are made alike: in one that was silent, other
#: sound may not be.
SMALLEST_RANGE = 0.02


def quantized(proto: "ModelProto", segments: Array) -> tuple["ModelProto", dict[str, Any]]:
    """The graph with its layers in 8 bits, with ranges from segments `[S, N]`; how many of how many `layers` were
    `rounded`, and the mean `cosine` of the embeddings before and after."""
    with TemporaryDirectory() as folder:
        plain = _prepared(proto, segments, Path(folder))
        ranges = _ranges(plain, segments, Path(folder))
        names = [node.name for node in _layers(plain)]
        checked = segments[np.linspace(0, len(segments) - 1, min(CHECKED, len(segments))).astype(int)]
        checked = np.concatenate([checked, np.zeros_like(checked[:1])])
        exact = _run(plain, [EMBEDDINGS], checked)[0]

        def tried(rounded: Sequence[str]) -> tuple["ModelProto", float, bool]:
            small = _rounded(plain, ranges, rounded)
            *of_sounds, of_silence = _cosines(exact, _run(small, [EMBEDDINGS], checked)[0])
            cosine = float(np.mean(of_sounds))
            return small, cosine, cosine >= ALIKE and bool(of_silence >= ALIKE_IN_SILENCE)

        small, cosine, is_alike = tried(names)
        kept = 0  # layers that keep their precision
        if not is_alike:
            alone = {name: tried([name])[1] for name in track(names, "rounding each layer", len(names))}
            order = sorted(names, key=lambda name: alone[name])
            while not is_alike:
                kept += 1
                small, cosine, is_alike = tried(order[kept:]) if kept < len(names) else (plain, 1.0, True)
    return small, {"rounded": len(names) - kept, "layers": len(names), "cosine": cosine}


def _prepared(proto: "ModelProto", segments: Array, folder: Path) -> "ModelProto":
    """The graph with BatchNorm folded into convolutions, so that its range counts, and channels of like ranges."""
    import onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process

    before, after = (str(folder / name) for name in ("exact.onnx", "plain.onnx"))
    onnx.save(proto, before)
    quant_pre_process(before, after, skip_symbolic_shape=True)
    plain = onnx.load(after)
    _make_channels_alike(plain, segments)
    return plain


def _ranges(proto: "ModelProto", segments: Array, folder: Path) -> Any:
    """onnxruntime's ranges of the graph's tensors."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader
    from onnxruntime.quantization.calibrate import create_calibrator

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            parts = range(0, len(segments), BATCH)
            self.batches: Iterator[int] = iter(track(parts, "taking ranges", len(parts)))

        def get_next(self) -> dict[str, Array] | None:
            start = next(self.batches, None)
            return None if start is None else {SEGMENTS: np.ascontiguousarray(segments[start : start + BATCH])}

    file = folder / "alike.onnx"
    onnx.save(proto, file)
    calibrator = create_calibrator(file, [*LAYERS, "Relu"], str(folder / "augmented.onnx"))
    calibrator.collect_data(Reader())
    return calibrator.compute_data()


def _make_channels_alike(proto: "ModelProto", segments: Array) -> None:
    """Scales the channels between two convolutions, with a ReLU between them, to like ranges: the weights before it are
    divided and those behind it multiplied, which changes no result."""
    from onnx import numpy_helper

    pairs = list(_chains(proto))
    largest = _largest(proto, [first.output[0] for _, first, _ in pairs], segments)
    weights = {tensor.name: tensor for tensor in proto.graph.initializer}
    values = {name: numpy_helper.to_array(tensor).astype(np.float64) for name, tensor in weights.items()}
    for (before, _, after), ranges in zip(pairs, largest, strict=True):
        channels = np.maximum(ranges, SMALLEST_RANGE * max(float(ranges.max()), 1e-30))
        ahead = values[after.input[1]]
        if ahead.shape[1] == 1:  # depthwise: each channel has its own weights, and so its own scale
            scale = channels / channels.max()
        else:
            least = np.abs(ahead).max(axis=(0, *range(2, ahead.ndim))).clip(1e-8)
            scale = np.sqrt(channels / least)
            scale /= np.exp(np.log(scale).mean())
        column = scale.reshape(-1, *[1] * (ahead.ndim - 1))
        values[before.input[1]] = values[before.input[1]] / column
        values[before.input[2]] = values[before.input[2]] / scale
        values[after.input[1]] = ahead * (column if ahead.shape[1] == 1 else column.swapaxes(0, 1))
    for name in {one for before, _, after in pairs for one in (*before.input[1:], after.input[1])}:
        weights[name].CopyFrom(numpy_helper.from_array(values[name].astype(np.float32), name))


def _chains(proto: "ModelProto") -> Iterator[tuple["NodeProto", "NodeProto", "NodeProto"]]:
    """Each convolution with a bias, the ReLU that alone follows it, and the convolution that alone follows that."""
    followers: dict[str, list[NodeProto]] = {}
    for node in proto.graph.node:
        for name in node.input:
            followers.setdefault(name, []).append(node)
    outputs = {value.name for value in proto.graph.output}
    constants = {tensor.name for tensor in proto.graph.initializer}
    for before in proto.graph.node:
        if before.op_type != "Conv" or len(before.input) < 3 or not {*before.input[1:]} <= constants:
            continue
        relus = followers.get(before.output[0], [])
        after = followers.get(relus[0].output[0], []) if [one.op_type for one in relus] == ["Relu"] else []
        if [one.op_type for one in after] != ["Conv"] or after[0].input[1] not in constants:
            continue
        if {before.output[0], relus[0].output[0]} & outputs:
            continue
        groups = next((a.i for a in after[0].attribute if a.name == "group"), 1)
        alone = all(len(followers[name]) == 1 for name in (*before.input[1:], after[0].input[1]))
        depth = next(tuple(t.dims) for t in proto.graph.initializer if t.name == after[0].input[1])
        if alone and (groups == 1 or (depth[1] == 1 and depth[0] == groups)):
            yield before, relus[0], after[0]


def _largest(proto: "ModelProto", names: list[str], segments: Array) -> list[Array]:
    """The largest value of each channel of the named tensors."""
    from onnx import helper

    watched = type(proto)()
    watched.CopyFrom(proto)
    watched.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    found: list[Array] = []
    for values in _batches(watched, names, segments) if names else ():
        tops = [value.max(axis=(0, *range(2, value.ndim))) for value in values]
        found = tops if not found else [np.maximum(a, b) for a, b in zip(found, tops, strict=True)]
    return found


def _rounded(proto: "ModelProto", ranges: Any, names: Sequence[str]) -> "ModelProto":
    """The graph with the named layers, and the ReLUs behind them, in 8 bits."""
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    copy = type(proto)()
    copy.CopyFrom(proto)
    made = {node.output[0] for node in proto.graph.node if node.name in set(names)}
    relus = [node.name for node in proto.graph.node if node.op_type == "Relu" and node.input[0] in made]
    quantizer = QDQQuantizer(
        copy, True, False, QuantType.QInt8, QuantType.QUInt8, ranges, [*names, *relus], [], [*LAYERS, "Relu"], {}
    )
    quantizer.quantize_model()
    return quantizer.model.model


def _layers(proto: "ModelProto") -> list["NodeProto"]:
    """The layers between the front end and the embeddings; the last one keeps its precision."""
    first, wanted = front_end(proto), {EMBEDDINGS}
    found = []
    for node in reversed(proto.graph.node):  # a graph's nodes are in the order of their computation
        if node.name not in first and wanted & set(node.output):
            wanted |= set(node.input)
            found += [node] if node.op_type in LAYERS else []
    return found[::-1]


def _run(proto: "ModelProto", names: list[str], segments: Array) -> list[Array]:
    """The named outputs for segments `[S, N]`."""
    return [np.concatenate(values) for values in zip(*_batches(proto, names, segments), strict=True)]


def _batches(proto: "ModelProto", names: list[str], segments: Array) -> Iterator[list[Array]]:
    """The same, batch by batch."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    for start in range(0, len(segments), BATCH):
        yield session.run(names, {SEGMENTS: np.ascontiguousarray(segments[start : start + BATCH])})


def _cosines(exact: Array, rounded: Array) -> Array:
    """The cosines of the rows of both, `[S]`; 1 where the exact one is zero."""
    of_exact, of_rounded = (np.linalg.norm(rows, axis=1) for rows in (exact, rounded))
    cosines: Array = (exact * rounded).sum(axis=1) / np.maximum(of_exact * of_rounded, 1e-30)
    return np.where(of_exact > 0, cosines, 1.0)


def cost(
    before: Array, after: Array, targets: npt.NDArray[Any] | None = None, *, multilabel: bool = False
) -> dict[str, Any]:
    """How decisions on the same clips differ between probabilities `[C, K]` before and after; both accuracies where
    the clips' classes are known. The decisions on label sets are all pairs of clip and class, each at .5."""
    if multilabel:
        known = np.ones(after.shape, dtype=bool) if targets is None else targets >= 0
        targets = None if targets is None else targets[known] > 0
        decided, then = (scores[known] >= 0.5 for scores in (after, before))
    else:
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
